/* dialect_cohere.c - Cohere's v2/chat: answers and streams.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Cohere's reference of POST /v2/chat and its guide to streaming. Requests are in
 * dialect_cohere_request.c. An answer names no model.
 *
 * The plan that goes with tool calls (tool_plan) is the text beside them, as OpenAI has it; thinking is
 * reasoning. Citations stand in the choice, as they came.
 */
#include "dialect_cohere.h"

#include "codec.h"
#include "dialect_read.h"

/* --- what the words and counts mean ---------------------------------------------------------- */

static pk_str finish_of(pk_str reason)
{
    static const struct pk_word words[] = {
        {"COMPLETE", "stop"},        {"STOP_SEQUENCE", "stop"},         {"MAX_TOKENS", "length"},
        {"TOOL_CALL", "tool_calls"}, {"ERROR_TOXIC", "content_filter"},
    };

    return pk_read_word(words, PK_COUNT(words), reason);
}

/* The answer was not ended by the model, but by a failure of its own. */
static bool is_failure(pk_str reason)
{
    return pk_str_is(reason, "ERROR") || pk_str_is(reason, "TIMEOUT");
}

/* What is billed counts; the raw tokens, with what Cohere adds to a prompt, only where that is not told.
 * Tokens from Cohere's cache are billed like others, and so not told apart. */
static void read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int billed = pk_json_get(doc, usage, "billed_units"),
        tokens = pk_json_get(doc, usage, "tokens");
    int from =
        pk_dialect_has(doc, billed, "input_tokens") || pk_dialect_has(doc, billed, "output_tokens")
            ? billed
            : tokens;

    if (pk_json_type(doc, from) != PK_JSON_OBJECT)
        return;
    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .input = pk_dialect_count(doc, from, "input_tokens"),
        .output = pk_dialect_count(doc, from, "output_tokens"),
    };
}

/* --- deltas ---------------------------------------------------------------------------------- */

/* A piece of content: of an answer, at its start in a stream, or more of it. */
static void emit_content(const struct pk_reader *r, int content)
{
    pk_read_emit_string(r, PK_DELTA_REASONING, content, "thinking");
    pk_read_emit_string(r, PK_DELTA_TEXT, content, "text");
    if (pk_dialect_has(r->doc, content, "document"))
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("document"));
}

static void emit_call(const struct pk_reader *r, int call, int index)
{
    int function = pk_json_get(r->doc, call, "function");
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .tool = index,
        .id = pk_read_string(r, call, "id"),
        .name = pk_read_string(r, function, "name"),
        .text = pk_read_string(r, function, "arguments"),
    };

    r->emit(r->s, &d);
}

/* The chance of a piece of text: of all its tokens together. */
static double chance(const struct pk_json *doc, int logprobs)
{
    double sum = 0, one;

    for (int p = pk_json_first(doc, logprobs); p >= 0; p = pk_json_next(doc, logprobs, p))
        if (pk_json_number(doc, p, &one))
            sum += one;
    return sum;
}

static void emit_logprob(const struct pk_reader *r, int item)
{
    int logprobs = pk_json_get(r->doc, item, "logprobs");
    struct pk_buf out = pk_buf_in(&r->s->scratch, PK_EVENT_BYTES_MAX);

    if (pk_json_type(r->doc, item) != PK_JSON_OBJECT)
        return;
    pk_buf_adds(&out, "{\"token\":");
    pk_json_quote(&out, pk_read_string(r, item, "text"));
    if (pk_json_count(r->doc, logprobs) == 1)
        pk_dialect_raw(&out, "logprob", pk_json_raw(r->doc, pk_json_item(r->doc, logprobs, 0)));
    else
        pk_buf_addf(&out, ",\"logprob\":%.17g", chance(r->doc, logprobs));
    pk_buf_adds(&out, ",\"bytes\":null,\"top_logprobs\":[]}");
    pk_read_emit(r, PK_DELTA_LOGPROBS, pk_buf_str(&out));
}

/* --- complete answers ------------------------------------------------------------------------ */

static bool check_message(const struct pk_json *doc, struct pk_error *err)
{
    int message = pk_json_get(doc, 0, "message");
    int content = pk_json_get(doc, message, "content"),
        calls = pk_json_get(doc, message, "tool_calls");

    if (pk_json_type(doc, message) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no message in it");
    if (!pk_read_absent_or(doc, content, PK_JSON_ARRAY) ||
        !pk_read_absent_or(doc, calls, PK_JSON_ARRAY))
        return pk_fail(err, PK_BAD_ANSWER, "answer: content or tool_calls is no list");
    for (int c = pk_json_first(doc, content); c >= 0; c = pk_json_next(doc, content, c))
        if (pk_json_type(doc, c) != PK_JSON_OBJECT ||
            !pk_read_absent_or(doc, pk_json_get(doc, c, "text"), PK_JSON_STRING))
            return pk_fail(err, PK_BAD_ANSWER, "answer: a piece of content is malformed");
    for (int c = pk_json_first(doc, calls); c >= 0; c = pk_json_next(doc, calls, c))
        if (pk_json_type(doc, pk_json_get(doc, pk_json_get(doc, c, "function"), "name")) !=
            PK_JSON_STRING)
            return pk_fail(err, PK_BAD_ANSWER, "answer: a tool call has no name");
    if (!pk_read_absent_or(doc, pk_json_get(doc, 0, "finish_reason"), PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "answer: finish_reason is no text");
    if (!pk_read_absent_or(doc, pk_json_get(doc, 0, "usage"), PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    return true;
}

static void emit_message(const struct pk_reader *r, int message)
{
    int content = pk_json_get(r->doc, message, "content");
    int calls = pk_json_get(r->doc, message, "tool_calls");
    int citations = pk_json_get(r->doc, message, "citations");
    int logprobs = pk_json_get(r->doc, 0, "logprobs"), index = 0;

    for (int c = pk_json_first(r->doc, content); c >= 0; c = pk_json_next(r->doc, content, c))
        emit_content(r, c);
    pk_read_emit_string(r, PK_DELTA_TEXT, message, "tool_plan");
    for (int c = pk_json_first(r->doc, calls); c >= 0; c = pk_json_next(r->doc, calls, c))
        emit_call(r, c, index++);
    if (pk_json_count(r->doc, citations) > 0)
        pk_read_emit_member(r, PK_STR("citations"), pk_json_raw(r->doc, citations));
    if (pk_json_type(r->doc, logprobs) == PK_JSON_ARRAY)
        for (int p = pk_json_first(r->doc, logprobs); p >= 0; p = pk_json_next(r->doc, logprobs, p))
            emit_logprob(r, p);
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    struct pk_reader r = {.doc = doc, .emit = pk_stream_take};

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) || !check_message(doc, err))
        return false;
    pk_str reason = pk_json_str(arena, doc, pk_json_get(doc, 0, "finish_reason"));
    read_usage(doc, pk_json_get(doc, 0, "usage"), &a->usage);
    if (is_failure(reason))
        return pk_fail(err, PK_UPSTREAM, "the provider ended its answer with %.*s", PK_FMT(reason));
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->finish_reason = finish_of(reason);
    r.s = pk_stream_of(arena, &pk_dialect_cohere, a);
    if (!r.s)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    emit_message(&r, pk_json_get(doc, 0, "message"));
    if (reason.len)
        pk_read_emit(&r, PK_DELTA_FINISH, a->finish_reason);
    bool content = r.s->content;
    if (out)
        r.s->front->print_answer(r.s, out);
    if (r.s->scratch.failed || arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    return content || pk_fail(err, PK_BAD_ANSWER, "answer: its message is empty");
}

/* --- streams --------------------------------------------------------------------------------- */

static bool message_start(const struct pk_reader *r, int delta, struct pk_error *err)
{
    struct pk_delta d = {.kind = PK_DELTA_START, .id = pk_read_string(r, 0, "id")};

    (void)delta;
    (void)err;
    r->emit(r->s, &d);
    return true;
}

static bool content(const struct pk_reader *r, int delta, struct pk_error *err)
{
    int piece = pk_json_get(r->doc, pk_json_get(r->doc, delta, "message"), "content");
    int logprobs = pk_json_get(r->doc, 0, "logprobs");

    if (pk_json_type(r->doc, piece) != PK_JSON_OBJECT ||
        !pk_read_absent_or(r->doc, pk_json_get(r->doc, piece, "text"), PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "stream: a piece of content is malformed");
    emit_content(r, piece);
    emit_logprob(r, logprobs);
    return true;
}

static bool plan(const struct pk_reader *r, int delta, struct pk_error *err)
{
    (void)err;
    pk_read_emit_string(r, PK_DELTA_TEXT, pk_json_get(r->doc, delta, "message"), "tool_plan");
    return true;
}

static bool tool_call(const struct pk_reader *r, int delta, struct pk_error *err)
{
    int call = pk_json_get(r->doc, pk_json_get(r->doc, delta, "message"), "tool_calls");
    int64_t index;

    if (pk_json_type(r->doc, call) != PK_JSON_OBJECT ||
        !pk_json_int(r->doc, pk_json_get(r->doc, 0, "index"), &index) || index < 0 ||
        index > INT32_MAX)
        return pk_fail(err, PK_BAD_ANSWER, "stream: a tool call is malformed");
    emit_call(r, call, (int)index);
    return true;
}

/* Kept until the end, when all of them are known. */
static bool citation(const struct pk_reader *r, int delta, struct pk_error *err)
{
    int one = pk_json_get(r->doc, pk_json_get(r->doc, delta, "message"), "citations");
    struct pk_buf *kept = &r->s->message.citations;

    (void)err;
    if (pk_json_type(r->doc, one) != PK_JSON_OBJECT)
        return true;
    if (kept->len)
        pk_buf_addc(kept, ',');
    pk_dialect_line(kept, pk_json_raw(r->doc, one));
    return true;
}

static bool message_end(const struct pk_reader *r, int delta, struct pk_error *err)
{
    pk_str reason = pk_read_string(r, delta, "finish_reason"),
           said = pk_read_string(r, delta, "error");
    struct pk_delta told = {.kind = PK_DELTA_USAGE}, error = {.kind = PK_DELTA_ERROR};
    const struct pk_buf *citations = &r->s->message.citations;

    if (!pk_read_absent_or(r->doc, pk_json_get(r->doc, delta, "usage"), PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "stream: usage is no object");
    read_usage(r->doc, pk_json_get(r->doc, delta, "usage"), &told.usage);
    if (told.usage.source != PK_USAGE_NONE)
        r->emit(r->s, &told);
    if (said.len || is_failure(reason)) {
        error.fault = (struct pk_fault){.message = said.len ? said : reason, .type = reason};
        r->emit(r->s, &error);
        return true;
    }
    if (citations->len)
        pk_read_emit_member(r, PK_STR("citations"),
                            pk_copyf(&r->s->scratch, "[%.*s]", PK_FMT(pk_buf_str(citations))));
    if (reason.len)
        pk_read_emit(r, PK_DELTA_FINISH, finish_of(reason));
    pk_read_emit(r, PK_DELTA_DONE, PK_NONE);
    return true;
}

static bool nothing(const struct pk_reader *r, int delta, struct pk_error *err)
{
    (void)r;
    (void)delta;
    (void)err;
    return true;
}

static const struct {
    const char *type;
    bool (*read)(const struct pk_reader *r, int delta, struct pk_error *err);
} events[] = {
    {"content-delta", content},       {"content-start", content},     {"content-end", nothing},
    {"tool-call-delta", tool_call},   {"tool-call-start", tool_call}, {"tool-call-end", nothing},
    {"tool-plan-delta", plan},        {"citation-start", citation},   {"citation-end", nothing},
    {"message-start", message_start}, {"message-end", message_end},   {"debug", nothing},
};

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};

    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    int type = pk_json_get(&doc, 0, "type");
    bool plain = type < 0 && pk_dialect_has(&doc, 0, "message"); /* an error as its HTTP body */
    if (pk_read_emit_error(&r, plain))
        return true;
    for (size_t i = 0; i < PK_COUNT(events); i++)
        if (pk_json_is(&doc, type, events[i].type))
            return events[i].read(&r, pk_json_get(&doc, 0, "delta"), err);
    pk_read_emit(&r, PK_DELTA_OTHER, PK_STR("event"));
    return true;
}

static bool path(pk_str base, pk_str model, bool stream, struct pk_buf *out, struct pk_error *err)
{
    (void)model;
    (void)stream;
    (void)err;
    pk_buf_adds(out, pk_str_ends(base, "/v2") ? "/chat" : "/v2/chat");
    return true;
}

const struct pk_dialect pk_dialect_cohere = {
    .name = "cohere",
    .path = path,
    .headers = "",
    .error_event = "",
    .codecs = pk_codecs_cohere,
    .request = pk_cohere_request,
    .answer = answer,
    .event = event,
    .fault = pk_dialect_read_fault,
};
