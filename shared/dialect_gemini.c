/* dialect_gemini.c - Google's generateContent: answers and streams.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Google's reference of GenerateContentResponse. Requests are in dialect_gemini_request.c.
 *
 * An event of a stream is an answer of its own with the next parts in it. There is no terminal event:
 * the answer is whole when the bytes end and each of its candidates has told why it stopped. As older
 * models tell that in every event, it is passed on at the end.
 */
#include "dialect_gemini.h"

#include "codec.h"
#include "dialect_read.h"

#include <stdio.h>

enum { ID_BYTES_MAX = 24 };

/* --- what the words and counts mean ---------------------------------------------------------- */

static pk_str finish_of(pk_str reason, bool tools)
{
    static const struct pk_word words[] = {
        {"STOP", "stop"},
        {"MAX_TOKENS", "length"},
        {"SAFETY", "content_filter"},
        {"RECITATION", "content_filter"},
        {"LANGUAGE", "content_filter"},
        {"BLOCKLIST", "content_filter"},
        {"PROHIBITED_CONTENT", "content_filter"},
        {"SPII", "content_filter"},
        {"MODEL_ARMOR", "content_filter"},
        {"IMAGE_SAFETY", "content_filter"},
        {"IMAGE_PROHIBITED_CONTENT", "content_filter"},
        {"IMAGE_RECITATION", "content_filter"},
    };

    if (tools && pk_str_is(reason, "STOP"))
        return PK_STR("tool_calls");
    return pk_read_word(words, PK_COUNT(words), reason);
}

/* promptTokenCount includes what was read from the cache; what tools brought in is counted apart, and so
 * are the thoughts. */
static void read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int64_t prompt = pk_dialect_count(doc, usage, "promptTokenCount");
    int64_t cached = pk_dialect_count(doc, usage, "cachedContentTokenCount");

    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .cache_read = cached < prompt ? cached : prompt,
        .output = pk_dialect_count(doc, usage, "candidatesTokenCount"),
        .reasoning = pk_dialect_count(doc, usage, "thoughtsTokenCount"),
    };
    u->input = prompt - u->cache_read + pk_dialect_count(doc, usage, "toolUsePromptTokenCount");
}

/* --- checks ---------------------------------------------------------------------------------- */

static bool check_part(const struct pk_json *doc, int part, struct pk_error *err)
{
    int call = pk_json_get(doc, part, "functionCall");

    if (pk_json_type(doc, part) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: a part is no object");
    if (!pk_read_absent_or(doc, pk_json_get(doc, part, "text"), PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "answer: the text of a part is no text");
    if (!pk_read_absent_or(doc, call, PK_JSON_OBJECT) ||
        !pk_read_absent_or(doc, pk_json_get(doc, call, "args"), PK_JSON_OBJECT) ||
        (pk_json_type(doc, call) == PK_JSON_OBJECT &&
         pk_json_type(doc, pk_json_get(doc, call, "name")) != PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "answer: a functionCall is malformed");
    return true;
}

static bool check_candidate(const struct pk_json *doc, int candidate, struct pk_error *err)
{
    int content = pk_json_get(doc, candidate, "content");
    int parts = pk_json_get(doc, content, "parts");

    if (pk_json_type(doc, candidate) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: a candidate is no object");
    if (!pk_read_absent_or(doc, content, PK_JSON_OBJECT) ||
        !pk_read_absent_or(doc, parts, PK_JSON_ARRAY))
        return pk_fail(err, PK_BAD_ANSWER, "answer: the content of a candidate is malformed");
    if (!pk_read_absent_or(doc, pk_json_get(doc, candidate, "finishReason"), PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "answer: finishReason is no text");
    for (int p = pk_json_first(doc, parts); p >= 0; p = pk_json_next(doc, parts, p))
        if (!check_part(doc, p, err))
            return false;
    return true;
}

static bool is_blocked(const struct pk_json *doc)
{
    int feedback = pk_json_get(doc, 0, "promptFeedback");

    return pk_json_type(doc, pk_json_get(doc, feedback, "blockReason")) == PK_JSON_STRING;
}

static bool check(const struct pk_json *doc, struct pk_error *err)
{
    int candidates = pk_json_get(doc, 0, "candidates");

    if (!pk_read_absent_or(doc, candidates, PK_JSON_ARRAY))
        return pk_fail(err, PK_BAD_ANSWER, "answer: candidates is no list");
    if (!pk_read_absent_or(doc, pk_json_get(doc, 0, "usageMetadata"), PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "answer: usageMetadata is no object");
    for (int c = pk_json_first(doc, candidates); c >= 0; c = pk_json_next(doc, candidates, c))
        if (!check_candidate(doc, c, err))
            return false;
    return true;
}

/* --- from parts to deltas -------------------------------------------------------------------- */

static pk_str extra_of(const struct pk_reader *r, int part)
{
    int signature = pk_json_get(r->doc, part, "thoughtSignature");

    if (pk_json_type(r->doc, signature) != PK_JSON_STRING)
        return PK_NONE;
    return pk_copyf(&r->s->scratch, "{\"google\":{\"thought_signature\":%.*s}}",
                    PK_FMT(pk_json_raw(r->doc, signature)));
}

/* A call's id; where the model gave none, one that is made of the answer's and is no longer than
 * OpenAI's may be. */
static pk_str call_id(const struct pk_reader *r, int call, int tool)
{
    pk_str id = pk_read_string(r, call, "id"), answer = pk_str_sub(r->s->id, 0, ID_BYTES_MAX);
    struct pk_buf made = pk_buf_in(&r->s->scratch, 64);

    if (id.len)
        return id;
    pk_buf_adds(&made, "call_");
    for (size_t i = 0; i < answer.len; i++) {
        char c = answer.at[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        pk_buf_addc(&made, word || c == '-' ? c : '_');
    }
    pk_buf_addf(&made, "_%d_%d", r->choice, tool);
    return pk_buf_str(&made);
}

static void emit_call(const struct pk_reader *r, int part)
{
    int call = pk_json_get(r->doc, part, "functionCall"), args = pk_json_get(r->doc, call, "args");
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .choice = r->choice,
        .tool = pk_stream_tools(r->s, r->choice),
        .name = pk_read_string(r, call, "name"),
        .text = args < 0 ? PK_STR("{}") : pk_json_raw(r->doc, args),
        .extra = extra_of(r, part),
    };

    d.id = call_id(r, call, d.tool);
    r->emit(r->s, &d);
    if (pk_dialect_has(r->doc, call, "partialArgs") || pk_dialect_has(r->doc, call, "willContinue"))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("partial arguments"));
}

static void emit_inline(const struct pk_reader *r, int blob)
{
    pk_str media = pk_read_string(r, blob, "mimeType"), bytes = pk_read_string(r, blob, "data");
    struct pk_buf url = pk_buf_in(&r->s->scratch, PK_STREAM_BYTES_MAX);

    if (!pk_str_starts(media, "image/") || bytes.len == 0) {
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("inlineData"));
        return;
    }
    pk_buf_adds(&url, "data:");
    pk_buf_add(&url, media);
    pk_buf_adds(&url, ";base64,");
    pk_buf_add(&url, bytes);
    pk_read_emit(r, PK_DELTA_IMAGE, pk_buf_str(&url));
}

static void emit_part(const struct pk_reader *r, int part)
{
    int text = pk_json_get(r->doc, part, "text"), blob = pk_json_get(r->doc, part, "inlineData");
    bool thought = pk_json_true(r->doc, pk_json_get(r->doc, part, "thought"));
    pk_str said = pk_json_str(&r->s->scratch, r->doc, text), extra = extra_of(r, part);

    if (pk_dialect_has(r->doc, part, "functionCall")) {
        emit_call(r, part);
        return;
    }
    if (said.len)
        pk_read_emit(r, thought ? PK_DELTA_REASONING : PK_DELTA_TEXT, said);
    else if (pk_json_type(r->doc, blob) == PK_JSON_OBJECT)
        emit_inline(r, blob);
    else if (text < 0 && pk_json_count(r->doc, part) > (extra.len ? 1 : 0))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("part"));
    if (extra.len)
        pk_read_emit(r, PK_DELTA_EXTRA, extra);
}

/* --- probabilities --------------------------------------------------------------------------- */

static void write_token(const struct pk_reader *r, int token, struct pk_buf *out)
{
    pk_member_comma(out);
    pk_buf_adds(out, "{\"token\":");
    pk_json_quote(out, pk_read_string(r, token, "token"));
    pk_dialect_raw(out, "logprob",
                   pk_json_raw(r->doc, pk_json_get(r->doc, token, "logProbability")));
    pk_buf_adds(out, ",\"bytes\":null");
}

/* logprobsResult has the chosen tokens, and for each the likeliest ones, in lists of their own. */
static void emit_logprobs(const struct pk_reader *r, int candidate)
{
    int result = pk_json_get(r->doc, candidate, "logprobsResult");
    int chosen = pk_json_get(r->doc, result, "chosenCandidates");
    int tops = pk_json_get(r->doc, result, "topCandidates");
    int top = pk_json_first(r->doc, tops);
    struct pk_buf items = pk_buf_in(&r->s->scratch, PK_EVENT_BYTES_MAX);

    for (int t = pk_json_first(r->doc, chosen); t >= 0; t = pk_json_next(r->doc, chosen, t)) {
        int list = pk_json_get(r->doc, top, "candidates");

        if (items.len)
            pk_buf_addc(&items, ',');
        write_token(r, t, &items);
        pk_buf_adds(&items, ",\"top_logprobs\":[");
        for (int c = pk_json_first(r->doc, list); c >= 0; c = pk_json_next(r->doc, list, c)) {
            write_token(r, c, &items);
            pk_buf_addc(&items, '}');
        }
        pk_buf_adds(&items, "]}");
        top = top < 0 ? -1 : pk_json_next(r->doc, tops, top);
    }
    if (items.len)
        pk_read_emit(r, PK_DELTA_LOGPROBS, pk_buf_str(&items));
}

/* --- candidates ------------------------------------------------------------------------------ */

static void emit_member(const struct pk_reader *r, int object, const char *name)
{
    if (pk_dialect_has(r->doc, object, name))
        pk_read_emit_member(r, pk_str_of(name),
                            pk_json_raw(r->doc, pk_json_get(r->doc, object, name)));
}

static void emit_candidate(struct pk_reader *r, int candidate)
{
    static const char *const kept[] = {"groundingMetadata",  "citationMetadata",
                                       "urlContextMetadata", "safetyRatings",
                                       "finishMessage",      "avgLogprobs"};
    int parts = pk_json_get(r->doc, pk_json_get(r->doc, candidate, "content"), "parts");
    pk_str reason = pk_read_string(r, candidate, "finishReason");
    int64_t index = 0;

    (void)pk_json_int(r->doc, pk_json_get(r->doc, candidate, "index"), &index);
    if (index < 0 || index >= PK_STREAM_CHOICES_MAX) {
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("candidate"));
        return;
    }
    if (!pk_stream_choice(r->s, (int)index))
        return; /* the stream fails */
    r->choice = (int)index;
    for (int p = pk_json_first(r->doc, parts); p >= 0; p = pk_json_next(r->doc, parts, p))
        emit_part(r, p);
    emit_logprobs(r, candidate);
    for (size_t i = 0; i < PK_COUNT(kept); i++)
        emit_member(r, candidate, kept[i]);
    if (reason.len && !pk_str_eq(reason, r->s->choices[index].ended))
        r->s->choices[index].ended = pk_copy(r->s->arena, reason);
    r->s->choices[index].used = true;
    r->choice = 0;
}

/* A prompt that was blocked has no candidates: the answer is a refusal. */
static void emit_block(const struct pk_reader *r)
{
    int feedback = pk_json_get(r->doc, 0, "promptFeedback");
    pk_str words = pk_read_string(r, feedback, "blockReasonMessage");

    if (words.len == 0)
        words = pk_copyf(&r->s->scratch, "The prompt was blocked: %.*s",
                         PK_FMT(pk_read_string(r, feedback, "blockReason")));
    pk_read_emit(r, PK_DELTA_REFUSAL, words);
    emit_member(r, 0, "promptFeedback");
    r->s->choices[0].ended = PK_STR("SAFETY");
}

static void emit_all(struct pk_reader *r)
{
    int candidates = pk_json_get(r->doc, 0, "candidates");

    for (int c = pk_json_first(r->doc, candidates); c >= 0; c = pk_json_next(r->doc, candidates, c))
        emit_candidate(r, c);
    if (is_blocked(r->doc))
        emit_block(r);
}

static bool all_ended(const struct pk_stream *s)
{
    for (int i = 0; i < s->choice_count; i++)
        if (s->choices[i].used && s->choices[i].ended.len == 0)
            return false;
    return s->choices[0].used;
}

/* Why the candidates stopped. */
static void emit_ends(struct pk_stream *s, pk_delta_fn *take)
{
    for (int i = 0; i < s->choice_count; i++) {
        struct pk_stream_choice *c = &s->choices[i];
        struct pk_delta d = {.kind = PK_DELTA_FINISH,
                             .choice = i,
                             .text = finish_of(c->ended, pk_stream_tools(s, i) > 0)};

        if (c->ended.len)
            take(s, &d);
    }
}

/* --- complete answers ------------------------------------------------------------------------ */

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    int usage = pk_json_get(doc, 0, "usageMetadata");
    struct pk_reader r = {.doc = doc, .emit = pk_stream_take};

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) || !check(doc, err))
        return false;
    if (pk_json_count(doc, pk_json_get(doc, 0, "candidates")) == 0 && !is_blocked(doc))
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of candidates in it");
    if (pk_json_type(doc, usage) == PK_JSON_OBJECT)
        read_usage(doc, usage, &a->usage);
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "responseId"));
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "modelVersion"));
    r.s = pk_stream_of(arena, &pk_dialect_gemini, a);
    if (!r.s)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    emit_all(&r);
    emit_ends(r.s, pk_stream_take);
    if (!r.s->content && !r.s->scratch.failed && !arena->failed)
        return pk_fail(err, PK_BAD_ANSWER, "answer: its candidates are empty");
    a->finish_reason = r.s->choices[0].finish_reason;
    if (out)
        r.s->front->print_answer(r.s, out);
    return !(r.s->scratch.failed || arena->failed) ||
           pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

/* --- streams --------------------------------------------------------------------------------- */

static void emit_start(const struct pk_reader *r)
{
    struct pk_delta d = {.kind = PK_DELTA_START,
                         .id = pk_read_string(r, 0, "responseId"),
                         .text = pk_read_string(r, 0, "modelVersion")};

    if (r->s->id.len == 0 && r->s->model.len == 0 && (d.id.len || d.text.len))
        r->emit(r->s, &d);
}

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};
    struct pk_delta told = {.kind = PK_DELTA_USAGE};

    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    if (pk_read_emit_error(&r, false))
        return true;
    int usage = pk_json_get(&doc, 0, "usageMetadata");
    if (!check(&doc, err))
        return false;
    emit_start(&r);
    emit_all(&r);
    if (pk_json_type(&doc, usage) == PK_JSON_OBJECT) {
        read_usage(&doc, usage, &told.usage);
        take(s, &told);
    }
    return true;
}

static void end(struct pk_stream *s, pk_delta_fn *take)
{
    struct pk_delta done = {.kind = PK_DELTA_DONE};

    if (!all_ended(s))
        return;
    emit_ends(s, take);
    take(s, &done);
}

/* --- errors ---------------------------------------------------------------------------------- */

/* "34.07s" in milliseconds, rounded up; 0 when it is no such thing. */
static int64_t duration_ms(pk_str text)
{
    int64_t ms = 0, unit = 1000;
    bool fraction = false;

    if (!pk_str_ends(text, "s"))
        return 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        int digit = text.at[i] - '0';

        if (text.at[i] == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (digit < 0 || digit > 9 || ms > PK_TIMEOUT_MS_MAX)
            return 0;
        unit = fraction ? unit / 10 : unit;
        ms = fraction ? ms + digit * unit + (unit == 0 && digit > 0) : ms * 10 + digit * unit;
    }
    return ms;
}

/* What an error says, and in its details (google.rpc.RetryInfo) when to try again. */
static void fault(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f)
{
    int root = pk_json_type(doc, 0) == PK_JSON_ARRAY ? pk_json_item(doc, 0, 0) : 0;
    int details = pk_json_get(doc, pk_json_get(doc, root, "error"), "details");

    pk_dialect_read_fault(arena, doc, f);
    if (pk_json_type(doc, details) != PK_JSON_ARRAY)
        return;
    for (int d = pk_json_first(doc, details); d >= 0; d = pk_json_next(doc, details, d))
        if (pk_dialect_has(doc, d, "retryDelay"))
            f->retry_ms = duration_ms(pk_json_str(arena, doc, pk_json_get(doc, d, "retryDelay")));
}

const struct pk_dialect pk_dialect_gemini = {
    .name = "gemini",
    .path = pk_gemini_path,
    .headers = "",
    .error_event = "",
    .codecs = pk_codecs_gemini,
    .request = pk_gemini_request,
    .answer = answer,
    .event = event,
    .end = end,
    .fault = fault,
};

const struct pk_dialect pk_dialect_vertex = {
    .name = "vertex",
    .path = pk_vertex_path,
    .headers = "",
    .error_event = "",
    .codecs = pk_codecs_vertex,
    .request = pk_gemini_request,
    .answer = answer,
    .event = event,
    .end = end,
    .fault = fault,
};
