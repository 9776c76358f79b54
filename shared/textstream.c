/* textstream.c - see textstream.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "textstream.h"

#include "base.h"
#include "dialect_parts.h"
#include "member.h"

struct pk_text_stream *pk_text_new(struct pk_arena *arena)
{
    struct pk_text_stream *t = pk_alloc(arena, sizeof *t);

    if (!t)
        return NULL;
    t->arena = arena;
    for (int i = 0; i < PK_TEXT_CHOICES_MAX; i++)
        t->choices[i].text = pk_buf_in(arena, PK_TEXT_BYTES_MAX);
    return t;
}

static bool is_usual(const struct pk_json *doc, int member)
{
    return pk_json_is(doc, member, "choices") || pk_json_is(doc, member, "usage");
}

/* The members of the event or answer but for choices and usage, on one line. */
static void add_head(const struct pk_json *doc, struct pk_buf *out)
{
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        if (is_usual(doc, k))
            continue;
        pk_dialect_line(out, pk_json_raw(doc, k));
        pk_buf_addc(out, ':');
        pk_dialect_line(out, pk_json_raw(doc, k + 1));
        pk_buf_addc(out, ',');
    }
}

static void keep_head(struct pk_text_stream *t, const struct pk_json *event)
{
    struct pk_buf head = pk_buf_in(t->arena, PK_EVENT_BYTES_MAX);

    add_head(event, &head);
    t->head = pk_buf_str(&head);
    t->lossy = t->lossy || head.failed;
}

static void take_choice(struct pk_text_stream *t, struct pk_arena *scratch,
                        const struct pk_json *event, int choice)
{
    int probabilities = pk_json_get(event, choice, "logprobs");
    int finish = pk_json_get(event, choice, "finish_reason");
    int64_t index = 0;

    (void)pk_json_int(event, pk_json_get(event, choice, "index"), &index);
    if (index < 0 || index >= PK_TEXT_CHOICES_MAX ||
        (probabilities >= 0 && pk_json_type(event, probabilities) != PK_JSON_NULL)) {
        t->lossy = true;
        return;
    }
    struct pk_text_choice *c = &t->choices[index];
    c->given = true;
    pk_buf_add(&c->text, pk_json_str(scratch, event, pk_json_get(event, choice, "text")));
    if (pk_json_type(event, finish) == PK_JSON_STRING)
        c->finish = pk_copy(t->arena, pk_json_str(scratch, event, finish));
    t->lossy = t->lossy || c->text.failed;
}

void pk_text_take(struct pk_text_stream *t, struct pk_arena *scratch, const struct pk_json *event)
{
    int choices = pk_json_get(event, 0, "choices"), usage = pk_json_get(event, 0, "usage");

    if (t->lossy || pk_json_type(event, choices) != PK_JSON_ARRAY)
        return;
    if (t->head.len == 0)
        keep_head(t, event);
    for (int c = pk_json_first(event, choices); c >= 0; c = pk_json_next(event, choices, c))
        take_choice(t, scratch, event, c);
    if (pk_json_type(event, usage) == PK_JSON_OBJECT)
        t->usage = pk_copy(t->arena, pk_json_raw(event, usage));
}

static void print_choice(const struct pk_text_choice *c, int index, struct pk_buf *out)
{
    pk_member_item(out);
    pk_member_key(out, "text");
    pk_json_quote(out, pk_buf_str(&c->text));
    pk_member_int(out, "index", index);
    pk_member_raw(out, "logprobs", PK_STR("null"));
    pk_member_text(out, "finish_reason", c->finish);
    pk_buf_addc(out, '}');
}

bool pk_text_answer(const struct pk_text_stream *t, pk_str *body, pk_str *finish_reason)
{
    struct pk_buf out = pk_buf_in(t->arena, PK_STREAM_BYTES_MAX);

    if (t->lossy || !t->choices[0].given)
        return false;
    pk_buf_addc(&out, '{');
    pk_buf_add(&out, t->head);
    pk_buf_adds(&out, "\"choices\":[");
    for (int i = 0; i < PK_TEXT_CHOICES_MAX; i++) {
        if (!t->choices[i].given)
            continue;
        if (t->choices[i].finish.len == 0)
            return false;
        print_choice(&t->choices[i], i, &out);
    }
    pk_buf_addc(&out, ']');
    pk_member_raw(&out, "usage", t->usage);
    pk_buf_addc(&out, '}');
    *body = pk_buf_str(&out);
    *finish_reason = t->choices[0].finish;
    return !out.failed;
}

/* --- told as a stream ------------------------------------------------------------------------- */

static void tell(const struct pk_json *answer, const char *member, pk_str value, struct pk_buf *out)
{
    pk_buf_adds(out, "data: {");
    add_head(answer, out);
    pk_buf_addf(out, "\"%s\":", member);
    pk_dialect_line(out, value);
}

bool pk_text_replay(const struct pk_json *answer, bool with_usage, struct pk_buf *out)
{
    int choices = pk_json_get(answer, 0, "choices"), usage = pk_json_get(answer, 0, "usage");

    if (pk_json_type(answer, choices) != PK_JSON_ARRAY ||
        pk_json_get(answer, pk_json_item(answer, choices, 0), "text") < 0)
        return false;
    tell(answer, "choices", pk_json_raw(answer, choices), out);
    pk_buf_adds(out, "}\n\n");
    if (with_usage && pk_json_type(answer, usage) == PK_JSON_OBJECT) {
        tell(answer, "usage", pk_json_raw(answer, usage), out);
        pk_buf_adds(out, ",\"choices\":[]}\n\n");
    }
    pk_buf_adds(out, "data: [DONE]\n\n");
    return !out->failed && !out->arena->failed;
}
