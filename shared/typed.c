/* typed.c - what of an answer is taken, and how it is asked for again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Models put JSON into code fences, talk around it, or leave it out and say the bare word. Such an answer is
 * taken when there is no doubt: one JSON value in it and no second, or the word and nothing else.
 */
#include "typed.h"

#include "jsontext.h"

#include <string.h>

enum { REPAIR_BYTES_MAX = 64 << 10 }; /* of a wrong answer that goes back */

/* --- the text ----------------------------------------------------------------------------------- */

static bool unfit(struct pk_error *why, const char *what)
{
    return pk_fail(why, PK_UNFIT, "%s", what);
}

/* Without what a model that thinks aloud says first. */
static pk_str without_thoughts(pk_str text)
{
    static const char open[] = "<think>", close[] = "</think>";
    pk_str t = pk_str_trim(text);
    const char *end;

    if (!pk_str_starts(t, open))
        return t;
    end = memmem(t.at, t.len, close, sizeof close - 1);
    if (!end)
        return PK_NONE;
    end += sizeof close - 1;
    return pk_str_trim((pk_str){end, t.len - (size_t)(end - t.at)});
}

/* What the first choice says; empty with *why when it says nothing. */
static pk_str words_of(struct pk_arena *arena, const struct pk_json *doc, struct pk_error *why)
{
    int message = pk_json_at(doc, "choices[0].message");
    pk_str text = pk_json_str(arena, doc, pk_json_get(doc, message, "content"));

    text = without_thoughts(text);
    if (text.len)
        return text;
    if (pk_json_str(arena, doc, pk_json_get(doc, message, "refusal")).len)
        (void)unfit(why, "the model refused to answer");
    else
        (void)unfit(why, "there is no text in the answer");
    return PK_NONE;
}

/* The one JSON value that the text has. */
static bool only_json(struct pk_arena *arena, pk_str text, struct pk_json *doc,
                      struct pk_error *why)
{
    struct pk_jsontext found = pk_jsontext_of(arena, text);
    struct pk_error unused = {0};
    struct pk_json second;

    if (pk_json_parse(arena, text, "answer", doc, &unused))
        return true;
    if (!pk_jsontext_next(&found, doc))
        return unfit(why, "there is no JSON in the answer");
    return !pk_jsontext_next(&found, &second) ||
           unfit(why, "there is more than one JSON value in the answer");
}

/* --- the value ---------------------------------------------------------------------------------- */

/* Postgres's jsonb has no place for 1e200000. */
static bool has_usual_numbers(const struct pk_json *doc)
{
    double unused;

    for (int i = 0; i < doc->count; i++)
        if (doc->nodes[i].type == PK_JSON_NUMBER && !pk_json_number(doc, i, &unused))
            return false;
    return true;
}

static bool read_json(struct pk_arena *arena, const struct pk_typed *t, pk_str text,
                      struct pk_typed_value *out, struct pk_error *why)
{
    struct pk_error wrong = {0};
    struct pk_json doc;

    if (!only_json(arena, text, &doc, why))
        return false;
    if (!has_usual_numbers(&doc))
        return unfit(why, "a number is too long or out of range");
    out->text = pk_json_raw(&doc, 0);
    return pk_schema_check(arena, t->schema, &doc, 0, &wrong) == PK_SCHEMA_VALID ||
           unfit(why, wrong.msg);
}

/* The member `name` of the answer's object, as text; else the answer itself, without quotes or a full stop. */
static pk_str word_of(struct pk_arena *arena, pk_str text, const char *name)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    if (only_json(arena, text, &doc, &unused)) {
        int value = pk_json_type(&doc, 0) == PK_JSON_OBJECT ? pk_json_get(&doc, 0, name) : 0;

        return pk_str_trim(pk_json_type(&doc, value) == PK_JSON_STRING
                               ? pk_json_str(arena, &doc, value)
                               : pk_json_raw(&doc, value));
    }
    if (pk_str_ends(text, "."))
        text.len--;
    return text;
}

static bool read_label(struct pk_arena *arena, const struct pk_typed *t, pk_str text,
                       struct pk_typed_value *out, struct pk_error *why)
{
    const pk_str said[] = {word_of(arena, text, "label"),
                           text}; /* a label may end in a full stop */

    for (size_t s = 0; s < PK_COUNT(said); s++) {
        for (int i = 0; i < t->label_count; i++) {
            if (pk_str_eq_nocase(pk_str_trim(t->labels[i]), said[s])) {
                out->text = t->labels[i];
                return true;
            }
        }
    }
    return unfit(why, "the answer is none of the labels");
}

static bool read_truth(struct pk_arena *arena, pk_str text, struct pk_typed_value *out,
                       struct pk_error *why)
{
    pk_str word = word_of(arena, text, "answer");

    out->truth = pk_str_is_nocase(word, "true") || pk_str_is_nocase(word, "yes");
    return out->truth || pk_str_is_nocase(word, "false") || pk_str_is_nocase(word, "no") ||
           unfit(why, "the answer is neither true nor false");
}

static bool read_score(struct pk_arena *arena, const struct pk_typed *t, pk_str text,
                       struct pk_typed_value *out, struct pk_error *why)
{
    pk_str word = word_of(arena, text, "score");
    struct pk_error unused = {0};
    struct pk_json doc;

    if (!pk_json_parse(arena, word, "score", &doc, &unused) ||
        !pk_json_number(&doc, 0, &out->score))
        return unfit(why, "the answer is no number");
    return (out->score >= t->low && out->score <= t->high) ||
           pk_fail(why, PK_UNFIT, "the score is not from %.15g to %.15g", t->low, t->high);
}

static bool read_words(struct pk_arena *arena, const struct pk_typed *t, pk_str text,
                       struct pk_typed_value *out, struct pk_error *why)
{
    switch (t->kind) {
    case PK_TYPED_JSON: return read_json(arena, t, text, out, why);
    case PK_TYPED_LABEL: return read_label(arena, t, text, out, why);
    case PK_TYPED_TRUTH: return read_truth(arena, text, out, why);
    case PK_TYPED_SCORE: return read_score(arena, t, text, out, why);
    }
    return false;
}

bool pk_typed_read(struct pk_arena *arena, const struct pk_typed *typed, pk_str answer,
                   struct pk_typed_value *out, struct pk_error *why)
{
    struct pk_error unused = {0};
    struct pk_json doc;
    bool fits = false;

    *out = (struct pk_typed_value){0};
    if (!pk_json_parse(arena, answer, "answer", &doc, &unused))
        return arena->failed ? pk_fail(why, PK_NO_MEMORY, "answer: out of memory")
                             : unfit(why, "the answer is malformed");
    pk_str text = words_of(arena, &doc, why);
    if (text.len)
        fits = read_words(arena, typed, text, out, why);
    if (arena->failed)
        return pk_fail(why, PK_NO_MEMORY, "answer: out of memory");
    if (!fits && pk_json_is(&doc, pk_json_at(&doc, "choices[0].finish_reason"), "length"))
        return unfit(why, "the answer was cut off at the most tokens that it may have");
    return fits;
}

bool pk_typed_null(const struct pk_typed *typed, enum pk_code code)
{
    static const enum pk_code failed[] = {PK_UNFIT,   PK_UPSTREAM, PK_BAD_ANSWER, PK_NETWORK,
                                          PK_TIMEOUT, PK_DENIED,   PK_TOO_LARGE};

    if (typed->kind == PK_TYPED_LABEL)
        return code == PK_UNFIT;
    for (size_t i = 0; typed->kind == PK_TYPED_TRUTH && i < PK_COUNT(failed); i++)
        if (code == failed[i])
            return true;
    return false;
}

/* --- asking again ------------------------------------------------------------------------------- */

static const char *wanted(const struct pk_typed *t)
{
    switch (t->kind) {
    case PK_TYPED_JSON: return "one JSON value that is valid against the schema";
    case PK_TYPED_LABEL: return "{\"label\": one of the labels, spelled as it was given}";
    case PK_TYPED_TRUTH: return "{\"answer\": true} or {\"answer\": false}";
    case PK_TYPED_SCORE: return "{\"score\": a number in the range}";
    }
    return "";
}

static void add_turn(struct pk_buf *out, const char *role, pk_str text)
{
    pk_buf_addf(out, ",{\"role\":\"%s\",\"content\":", role);
    pk_json_quote(out, text);
    pk_buf_addc(out, '}');
}

static bool with(struct pk_arena *arena, const struct pk_json *body, struct pk_json_edit edit,
                 pk_str *out, struct pk_error *err)
{
    struct pk_buf text = pk_buf_in(arena, PK_BODY_BYTES_MAX);

    pk_json_splice(&text, body, 0, &edit, 1);
    *out = pk_buf_str(&text);
    if (text.failed && !arena->failed)
        return pk_fail(err, PK_TOO_LARGE, "messages: the request is larger than %d MiB",
                       PK_BODY_BYTES_MAX >> 20);
    return !text.failed || pk_fail(err, PK_NO_MEMORY, "messages: out of memory");
}

bool pk_typed_repair(struct pk_arena *arena, const struct pk_typed *typed,
                     const struct pk_json *body, pk_str answer, pk_str why, pk_str *out,
                     struct pk_error *err)
{
    pk_str turns = pk_json_raw(body, pk_json_get(body, 0, "messages"));
    struct pk_buf messages = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_error unused = {0};
    struct pk_json doc;
    pk_str said;

    PK_ASSERT(turns.len > 2 && turns.at[turns.len - 1] == ']');
    pk_buf_add(&messages, pk_str_sub(turns, 0, turns.len - 1));
    if (pk_json_parse(arena, answer, "answer", &doc, &unused)) {
        said = pk_json_str(arena, &doc, pk_json_at(&doc, "choices[0].message.content"));
        said = pk_str_sub(without_thoughts(said), 0, REPAIR_BYTES_MAX);
        if (said.len)
            add_turn(&messages, "assistant", said);
    }
    add_turn(
        &messages, "user",
        pk_copyf(arena,
                 "This is not what was asked for: %.*s. Answer again, with %s and nothing else.",
                 PK_FMT(why), wanted(typed)));
    pk_buf_addc(&messages, ']');
    struct pk_json_edit edit = {PK_STR("messages"), pk_buf_str(&messages)};
    return with(arena, body, edit, out, err);
}

bool pk_typed_plain(struct pk_arena *arena, const struct pk_json *body, pk_str *out,
                    struct pk_error *err)
{
    return with(arena, body, (struct pk_json_edit){PK_STR("response_format"), PK_NONE}, out, err);
}
