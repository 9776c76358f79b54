/* dialect_ollama.c - Ollama's own /api/chat: answers and streams.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Ollama's API reference. Requests are in dialect_ollama_request.c. A stream is lines of JSON, each an
 * answer with the next piece of the message; the last one is "done", and tells why and how many tokens. An answer
 * has no id; calls of older versions have none either.
 */
#include "dialect_ollama.h"

#include "codec.h"
#include "dialect_read.h"

static pk_str finish_of(const struct pk_stream *s, pk_str reason)
{
    if (pk_str_is(reason, "stop") && pk_stream_tools(s, 0) > 0)
        return PK_STR("tool_calls");
    return reason;
}

static void read_usage(const struct pk_json *doc, struct pk_usage *u)
{
    if (!pk_dialect_has(doc, 0, "prompt_eval_count") && !pk_dialect_has(doc, 0, "eval_count"))
        return;
    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .input = pk_dialect_count(doc, 0, "prompt_eval_count"),
        .output = pk_dialect_count(doc, 0, "eval_count"),
    };
}

/* --- deltas ---------------------------------------------------------------------------------- */

/* A call's id; where there is none, one made of the time of the answer, which clients may tell from the ids of
 * earlier answers. */
static pk_str call_id(const struct pk_reader *r, int call, int tool)
{
    pk_str id = pk_read_string(r, call, "id"), at = pk_read_string(r, 0, "created_at");
    struct pk_buf made = pk_buf_in(&r->s->scratch, 64);

    if (id.len)
        return id;
    pk_buf_adds(&made, "call_");
    at = pk_str_sub(at, 0, 30);
    for (size_t i = 0; i < at.len; i++)
        if (at.at[i] >= '0' && at.at[i] <= '9')
            pk_buf_addc(&made, at.at[i]);
    pk_buf_addf(&made, "_%d", tool);
    return pk_buf_str(&made);
}

static void emit_call(const struct pk_reader *r, int call)
{
    int function = pk_json_get(r->doc, call, "function");
    int arguments = pk_json_get(r->doc, function, "arguments");
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .tool = pk_stream_tools(r->s, 0),
        .name = pk_read_string(r, function, "name"),
        .text = arguments < 0 ? PK_STR("{}") : pk_json_raw(r->doc, arguments),
    };

    d.id = call_id(r, call, d.tool);
    r->emit(r->s, &d);
}

static void emit_logprobs(const struct pk_reader *r)
{
    int list = pk_json_get(r->doc, 0, "logprobs");

    if (pk_json_type(r->doc, list) != PK_JSON_ARRAY)
        return;
    for (int p = pk_json_first(r->doc, list); p >= 0; p = pk_json_next(r->doc, list, p))
        pk_read_emit(r, PK_DELTA_LOGPROBS, pk_json_raw(r->doc, p));
}

static void emit_message(const struct pk_reader *r)
{
    int message = pk_json_get(r->doc, 0, "message"),
        calls = pk_json_get(r->doc, message, "tool_calls");

    pk_read_emit_string(r, PK_DELTA_REASONING, message, "thinking");
    pk_read_emit_string(r, PK_DELTA_TEXT, message, "content");
    if (pk_json_type(r->doc, calls) == PK_JSON_ARRAY)
        for (int c = pk_json_first(r->doc, calls); c >= 0; c = pk_json_next(r->doc, calls, c))
            emit_call(r, c);
    if (pk_json_count(r->doc, pk_json_get(r->doc, message, "images")) > 0)
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("images"));
    emit_logprobs(r);
}

/* Why it stopped, and how long it took. */
static void emit_end(const struct pk_reader *r)
{
    static const char *const kept[] = {"total_duration", "load_duration", "prompt_eval_duration",
                                       "eval_duration"};
    pk_str reason = pk_read_string(r, 0, "done_reason");

    for (size_t i = 0; i < PK_COUNT(kept); i++)
        if (pk_dialect_has(r->doc, 0, kept[i]))
            pk_read_emit_member(r, pk_str_of(kept[i]),
                                pk_json_raw(r->doc, pk_json_get(r->doc, 0, kept[i])));
    pk_read_emit(r, PK_DELTA_FINISH, finish_of(r->s, reason));
}

/* --- checks ---------------------------------------------------------------------------------- */

static bool check_calls(const struct pk_json *doc, int calls, struct pk_error *err)
{
    if (pk_json_type(doc, calls) != PK_JSON_ARRAY)
        return true;
    for (int c = pk_json_first(doc, calls); c >= 0; c = pk_json_next(doc, calls, c)) {
        int function = pk_json_get(doc, c, "function");

        if (pk_json_type(doc, pk_json_get(doc, function, "name")) != PK_JSON_STRING ||
            !pk_read_absent_or(doc, pk_json_get(doc, function, "arguments"), PK_JSON_OBJECT))
            return pk_fail(err, PK_BAD_ANSWER, "answer: a tool call is malformed");
    }
    return true;
}

/* "done" must be there: without it this is no answer of Ollama's. A dropped connection inside of Ollama ends an
 * answer that has no reason. */
static bool check(const struct pk_json *doc, struct pk_error *err)
{
    int message = pk_json_get(doc, 0, "message"), done = pk_json_get(doc, 0, "done"),
        calls = pk_json_get(doc, message, "tool_calls");

    if (pk_json_type(doc, message) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no message in it");
    if (!pk_read_absent_or(doc, pk_json_get(doc, message, "content"), PK_JSON_STRING) ||
        !pk_read_absent_or(doc, pk_json_get(doc, message, "thinking"), PK_JSON_STRING) ||
        !pk_read_absent_or(doc, calls, PK_JSON_ARRAY))
        return pk_fail(err, PK_BAD_ANSWER, "answer: its message is malformed");
    if (pk_json_type(doc, done) != PK_JSON_TRUE && pk_json_type(doc, done) != PK_JSON_FALSE)
        return pk_fail(err, PK_BAD_ANSWER, "answer: it does not say whether it is done");
    if (pk_json_true(doc, done) &&
        pk_json_type(doc, pk_json_get(doc, 0, "done_reason")) != PK_JSON_STRING)
        return pk_fail(err, PK_BAD_ANSWER, "answer: it does not say why it stopped");
    return check_calls(doc, calls, err);
}

/* --- complete answers ------------------------------------------------------------------------ */

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    struct pk_reader r = {.doc = doc, .emit = pk_stream_take};

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) || !check(doc, err))
        return false;
    if (!pk_json_true(doc, pk_json_get(doc, 0, "done")))
        return pk_fail(err, PK_BAD_ANSWER, "answer: it is not done");
    read_usage(doc, &a->usage);
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    r.s = pk_stream_of(arena, &pk_dialect_ollama, a);
    if (!r.s)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    emit_message(&r);
    emit_end(&r);
    a->finish_reason = r.s->choices[0].finish_reason;
    if (out)
        r.s->front->print_answer(r.s, out);
    return !(r.s->scratch.failed || arena->failed) ||
           pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

/* --- streams --------------------------------------------------------------------------------- */

static void emit_start(const struct pk_reader *r)
{
    struct pk_delta d = {.kind = PK_DELTA_START, .text = pk_read_string(r, 0, "model")};

    if (r->s->model.len == 0)
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
    if (!check(&doc, err))
        return false;
    emit_start(&r);
    emit_message(&r);
    if (!pk_json_true(&doc, pk_json_get(&doc, 0, "done")))
        return true;
    read_usage(&doc, &told.usage);
    if (told.usage.source != PK_USAGE_NONE)
        take(s, &told);
    emit_end(&r);
    pk_read_emit(&r, PK_DELTA_DONE, PK_NONE);
    return true;
}

static bool path(pk_str base, pk_str model, bool stream, struct pk_buf *out, struct pk_error *err)
{
    (void)model;
    (void)stream;
    (void)err;
    pk_buf_adds(out, pk_str_ends(base, "/api") ? "/chat" : "/api/chat");
    return true;
}

const struct pk_dialect pk_dialect_ollama = {
    .name = "ollama",
    .path = path,
    .headers = "",
    .error_event = "",
    .codecs = pk_codecs_ollama,
    .framing = PK_FRAMED_LINES,
    .request = pk_ollama_request,
    .answer = answer,
    .event = event,
    .fault = pk_dialect_read_fault,
};
