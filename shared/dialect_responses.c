/* dialect_responses.c - the Responses API: answers and streams of those providers that have it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "Responses" and "Streaming events" pages of OpenAI's API reference. As the back it is only met by
 * its own front: bytes pass, and here they are only understood, for the log, limits and guardrails. What other
 * providers are asked is in dialect_responses_pivot.c, what their answers become in dialect_responses_print.c.
 */
#include "dialect_responses.h"

#include "dialect_read.h"

/* input_tokens includes what was read from the cache, output_tokens what was thought. */
static void read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int64_t in = pk_dialect_count(doc, usage, "input_tokens");
    int64_t out = pk_dialect_count(doc, usage, "output_tokens");
    int64_t cached =
        pk_dialect_count(doc, pk_json_get(doc, usage, "input_tokens_details"), "cached_tokens");
    int64_t thought =
        pk_dialect_count(doc, pk_json_get(doc, usage, "output_tokens_details"), "reasoning_tokens");

    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .cache_read = cached < in ? cached : in,
        .reasoning = thought < out ? thought : out,
    };
    u->input = in - u->cache_read;
    u->output = out - u->reasoning;
}

static bool has_calls(const struct pk_json *doc, int response)
{
    int output = pk_json_get(doc, response, "output");

    for (int i = pk_json_first(doc, output); i >= 0; i = pk_json_next(doc, output, i)) {
        int type = pk_json_get(doc, i, "type");

        if (pk_json_is(doc, type, "function_call") || pk_json_is(doc, type, "custom_tool_call"))
            return true;
    }
    return false;
}

/* Why the model stopped, in the words of chat completions; its status when it has not. */
static pk_str finish_of(struct pk_arena *arena, const struct pk_json *doc, int response)
{
    static const struct pk_word words[] = {{"max_output_tokens", "length"},
                                           {"content_filter", "content_filter"}};
    pk_str status = pk_json_str(arena, doc, pk_json_get(doc, response, "status"));
    pk_str reason = pk_json_str(
        arena, doc, pk_json_get(doc, pk_json_get(doc, response, "incomplete_details"), "reason"));

    if (pk_str_is(status, "incomplete"))
        return pk_read_word(words, PK_COUNT(words), reason);
    if (status.len && !pk_str_is(status, "completed"))
        return status;
    return has_calls(doc, response) ? PK_STR("tool_calls") : PK_STR("stop");
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    int usage = pk_json_get(doc, 0, "usage");

    (void)out; /* nobody else is told of it */
    if (!pk_dialect_no_error(arena, doc, &a->fault, err))
        return false;
    if (pk_json_type(doc, pk_json_get(doc, 0, "output")) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of output in it");
    if (pk_json_type(doc, usage) > PK_JSON_NULL && pk_json_type(doc, usage) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    if (pk_json_type(doc, usage) == PK_JSON_OBJECT)
        read_usage(doc, usage, &a->usage);
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    a->finish_reason = finish_of(arena, doc, 0);
    return true;
}

/* --- streams --------------------------------------------------------------------------------- */

static bool on_created(const struct pk_reader *r, struct pk_error *err)
{
    int response = pk_json_get(r->doc, 0, "response");
    struct pk_delta d = {.kind = PK_DELTA_START,
                         .id = pk_read_string(r, response, "id"),
                         .text = pk_read_string(r, response, "model")};

    if (pk_json_type(r->doc, response) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: response.created has no response");
    r->s->message.start = pk_copy(r->s->arena, pk_json_raw(r->doc, response));
    r->emit(r->s, &d);
    return true;
}

static bool on_end(const struct pk_reader *r, struct pk_error *err)
{
    int response = pk_json_get(r->doc, 0, "response"), usage;
    struct pk_delta d = {.kind = PK_DELTA_USAGE};

    if (pk_json_type(r->doc, response) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: the last event has no response");
    r->s->message.end = pk_copy(r->s->arena, pk_json_raw(r->doc, response));
    usage = pk_json_get(r->doc, response, "usage");
    if (pk_json_type(r->doc, usage) == PK_JSON_OBJECT) {
        read_usage(r->doc, usage, &d.usage);
        r->emit(r->s, &d);
    }
    pk_read_emit(r, PK_DELTA_FINISH, finish_of(&r->s->scratch, r->doc, response));
    pk_read_emit(r, PK_DELTA_DONE, PK_NONE);
    return true;
}

static bool on_failed(const struct pk_reader *r, struct pk_error *err)
{
    int response = pk_json_get(r->doc, 0, "response"),
        error = pk_json_get(r->doc, response, "error");
    struct pk_delta d = {.kind = PK_DELTA_ERROR};

    (void)err;
    d.fault.message = pk_read_string(r, error, "message");
    d.fault.code = pk_read_string(r, error, "code");
    r->emit(r->s, &d);
    return true;
}

static bool on_text(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    pk_read_emit_string(r, PK_DELTA_TEXT, 0, "delta");
    return true;
}

static bool on_refusal(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    pk_read_emit_string(r, PK_DELTA_REFUSAL, 0, "delta");
    return true;
}

static bool on_thought(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    pk_read_emit_string(r, PK_DELTA_REASONING, 0, "delta");
    return true;
}

/* Whatever the item is, the client sees that something is made. */
static bool on_item(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    r->s->content = true;
    return true;
}

static const struct {
    const char *type;
    bool (*read)(const struct pk_reader *r, struct pk_error *err);
} events[] = {
    {"response.output_text.delta", on_text},
    {"response.reasoning_summary_text.delta", on_thought},
    {"response.reasoning_text.delta", on_thought},
    {"response.refusal.delta", on_refusal},
    {"response.output_item.added", on_item},
    {"response.created", on_created},
    {"response.completed", on_end},
    {"response.incomplete", on_end},
    {"response.failed", on_failed},
};

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};

    if (pk_str_is(pk_str_trim(ev->data), "[DONE]"))
        return true; /* some end with it all the same */
    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    int type = pk_json_get(&doc, 0, "type");
    if (pk_read_emit_error(&r, pk_str_is(ev->name, "error") || pk_json_is(&doc, type, "error")))
        return true;
    for (size_t i = 0; i < PK_COUNT(events); i++)
        if (pk_json_is(&doc, type, events[i].type))
            return events[i].read(&r, err);
    return true;
}

static void print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out)
{
    pk_dialect_openai.print_error(f, provider, out);
}

const struct pk_dialect pk_dialect_responses = {
    .name = "responses",
    .chat_path = "/responses",
    .headers = "",
    .own_headers = "openai-beta",
    .error_event = "error",
    .plain = true,
    .answer = answer,
    .event = event,
    .fault = pk_dialect_read_fault,
    .pivot = pk_responses_pivot,
    .words = "max_completion_tokens=max_output_tokens reasoning_effort=reasoning.effort "
             "response_format=text.format messages.reasoning_content=input.reasoning "
             "messages.thinking_blocks=input.reasoning tools.function.strict=tools.strict",
    .print_delta = pk_responses_print_delta,
    .print_answer = pk_responses_print_answer,
    .print_error = print_error,
    .replay = pk_responses_replay,
};
