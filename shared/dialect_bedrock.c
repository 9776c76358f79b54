/* dialect_bedrock.c - Amazon Bedrock's Converse and ConverseStream: answers, streams and errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the API reference of bedrock-runtime (2023-09-30). Requests are in dialect_bedrock_request.c.
 *
 * An answer has neither an id (the caller makes one) nor, unless a prompt router chose it, a model. In a stream the reason why
 * the model stopped comes before the usage: it is passed on with it, at the end, as everything that
 * stands in the choice goes with it.
 */
#include "dialect_bedrock.h"

#include "codec.h"
#include "dialect_read.h"

enum { FAULT_BYTES_MAX = 4096 };

/* --- what the words and counts mean ---------------------------------------------------------- */

static pk_str finish_of(pk_str reason)
{
    static const struct pk_word words[] = {
        {"end_turn", "stop"},
        {"stop_sequence", "stop"},
        {"tool_use", "tool_calls"},
        {"max_tokens", "length"},
        {"model_context_window_exceeded", "length"},
        {"guardrail_intervened", "content_filter"},
        {"content_filtered", "content_filter"},
    };

    return pk_read_word(words, PK_COUNT(words), reason);
}

/* Of the tokens written to the cache, those that stay for an hour. */
static int64_t written_1h(const struct pk_json *doc, int usage)
{
    int details = pk_json_get(doc, usage, "cacheDetails");
    int64_t count = 0;

    if (pk_json_type(doc, details) != PK_JSON_ARRAY)
        return 0;
    for (int d = pk_json_first(doc, details); d >= 0; d = pk_json_next(doc, details, d))
        if (pk_json_is(doc, pk_json_get(doc, d, "ttl"), "1h"))
            count += pk_dialect_count(doc, d, "inputTokens");
    return count;
}

/* inputTokens counts what was neither read from the cache nor written to it; outputTokens includes the
 * thinking, which is not told apart. */
static void read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int64_t written = pk_dialect_count(doc, usage, "cacheWriteInputTokens");
    int64_t in_1h = written_1h(doc, usage);

    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .input = pk_dialect_count(doc, usage, "inputTokens"),
        .cache_read = pk_dialect_count(doc, usage, "cacheReadInputTokens"),
        .cache_write_1h = in_1h < written ? in_1h : written,
        .output = pk_dialect_count(doc, usage, "outputTokens"),
    };
    u->cache_write = written - u->cache_write_1h;
}

/* --- errors ---------------------------------------------------------------------------------- */

/* {"message":...}, with a capital from AWS's front doors; the kind is in a header, and with some in
 * "__type": "com.amazon.coral.service#AccessDeniedException". What the model itself said stands beside. */
void pk_bedrock_fault(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f)
{
    pk_str type = pk_json_str(arena, doc, pk_json_get(doc, 0, "__type"));
    pk_str original = pk_json_str(arena, doc, pk_json_get(doc, 0, "originalMessage"));
    int hash = pk_str_find(type, '#');

    pk_dialect_read_fault(arena, doc, f);
    if (f->message.len == 0)
        f->message = pk_json_str(arena, doc, pk_json_get(doc, 0, "Message"));
    if (original.len && !pk_str_eq(original, f->message))
        f->message = pk_dialect_shorten(
            pk_copyf(arena, "%.*s: %.*s", PK_FMT(f->message), PK_FMT(original)), FAULT_BYTES_MAX);
    if (f->code.len == 0 && pk_dialect_has(doc, 0, "originalStatusCode"))
        f->code = pk_json_raw(doc, pk_json_get(doc, 0, "originalStatusCode"));
    if (type.len)
        f->type = pk_str_sub(type, hash < 0 ? 0 : (size_t)hash + 1, type.len);
}

/* An error as its HTTP body, inside of a 200. */
static bool is_error(const struct pk_json *doc)
{
    return pk_dialect_has(doc, 0, "message") || pk_dialect_has(doc, 0, "Message") ||
           pk_dialect_has(doc, 0, "__type");
}

/* --- what answers and streams share ---------------------------------------------------------- */

/* A whole thinking block in Anthropic's words, to be sent back: thinking without a signature needs no
 * way back. */
static void emit_thinking(const struct pk_reader *r, pk_str text, pk_str signature)
{
    struct pk_buf block = pk_buf_in(&r->s->scratch, PK_STREAM_BYTES_MAX);

    if (signature.len == 0)
        return;
    pk_buf_adds(&block, "{\"type\":\"thinking\",\"thinking\":");
    pk_json_quote(&block, text);
    pk_buf_adds(&block, ",\"signature\":");
    pk_json_quote(&block, signature);
    pk_buf_addc(&block, '}');
    pk_read_emit(r, PK_DELTA_THINKING, pk_buf_str(&block));
}

static void emit_redacted(const struct pk_reader *r, pk_str bytes)
{
    struct pk_buf block = pk_buf_in(&r->s->scratch, PK_STREAM_BYTES_MAX);

    pk_buf_adds(&block, "{\"type\":\"redacted_thinking\",\"data\":");
    pk_json_quote(&block, bytes);
    pk_buf_addc(&block, '}');
    pk_read_emit(r, PK_DELTA_THINKING, pk_buf_str(&block));
}

static void emit_image(const struct pk_reader *r, pk_str format, pk_str bytes)
{
    struct pk_buf url = pk_buf_in(&r->s->scratch, PK_STREAM_BYTES_MAX);

    if (bytes.len == 0) {
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("image"));
        return;
    }
    pk_buf_addf(&url, "data:image/%.*s;base64,", PK_FMT(format));
    pk_buf_add(&url, bytes);
    pk_read_emit(r, PK_DELTA_IMAGE, pk_buf_str(&url));
}

static void emit_call(const struct pk_reader *r, int call, pk_str arguments)
{
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .tool = r->s->message.tool++,
        .id = pk_read_string(r, call, "toolUseId"),
        .name = pk_read_string(r, call, "name"),
        .text = arguments,
    };

    r->emit(r->s, &d);
}

/* A call that Bedrock makes itself is not the client's to answer. */
static bool is_served(const struct pk_json *doc, int call)
{
    return pk_json_is(doc, pk_json_get(doc, call, "type"), "server_tool_use");
}

static void keep_citation(const struct pk_reader *r, int citation)
{
    struct pk_buf *kept = &r->s->message.citations;

    if (kept->len)
        pk_buf_addc(kept, ',');
    pk_dialect_line(kept, pk_json_raw(r->doc, citation));
}

/* What stands in the choice under Bedrock's own names: of an answer, or of the last event. */
static void emit_members(const struct pk_reader *r, int object)
{
    static const char *const kept[] = {"additionalModelResponseFields", "trace", "metrics",
                                       "performanceConfig", "serviceTier"};
    const struct pk_buf *citations = &r->s->message.citations;

    for (size_t i = 0; i < PK_COUNT(kept); i++)
        if (pk_dialect_has(r->doc, object, kept[i]))
            pk_read_emit_member(r, pk_str_of(kept[i]),
                                pk_json_raw(r->doc, pk_json_get(r->doc, object, kept[i])));
    if (citations->len)
        pk_read_emit_member(r, PK_STR("citations"),
                            pk_copyf(&r->s->scratch, "[%.*s]", PK_FMT(pk_buf_str(citations))));
}

/* The model that a prompt router chose. */
static pk_str routed_to(struct pk_arena *arena, const struct pk_json *doc)
{
    int router = pk_json_get(doc, pk_json_get(doc, 0, "trace"), "promptRouter");

    return pk_json_str(arena, doc, pk_json_get(doc, router, "invokedModelId"));
}

/* --- complete answers ------------------------------------------------------------------------ */

static void emit_citations(const struct pk_reader *r, int cited)
{
    int content = pk_json_get(r->doc, cited, "content"),
        citations = pk_json_get(r->doc, cited, "citations");

    if (pk_json_type(r->doc, content) == PK_JSON_ARRAY)
        for (int c = pk_json_first(r->doc, content); c >= 0; c = pk_json_next(r->doc, content, c))
            pk_read_emit_string(r, PK_DELTA_TEXT, c, "text");
    if (pk_json_type(r->doc, citations) == PK_JSON_ARRAY)
        for (int c = pk_json_first(r->doc, citations); c >= 0;
             c = pk_json_next(r->doc, citations, c))
            keep_citation(r, c);
}

static void emit_block(const struct pk_reader *r, int block)
{
    int call = pk_json_get(r->doc, block, "toolUse"), image = pk_json_get(r->doc, block, "image"),
        reasoning = pk_json_get(r->doc, block, "reasoningContent"),
        thought = pk_json_get(r->doc, reasoning, "reasoningText");

    if (pk_dialect_has(r->doc, block, "text")) {
        pk_read_emit_string(r, PK_DELTA_TEXT, block, "text");
    } else if (call >= 0 && !is_served(r->doc, call)) {
        emit_call(r, call, pk_json_raw(r->doc, pk_json_get(r->doc, call, "input")));
    } else if (thought >= 0) {
        pk_read_emit_string(r, PK_DELTA_REASONING, thought, "text");
        emit_thinking(r, pk_read_string(r, thought, "text"),
                      pk_read_string(r, thought, "signature"));
    } else if (pk_dialect_has(r->doc, reasoning, "redactedContent")) {
        emit_redacted(r, pk_read_string(r, reasoning, "redactedContent"));
    } else if (image >= 0) {
        emit_image(r, pk_read_string(r, image, "format"),
                   pk_read_string(r, pk_json_get(r->doc, image, "source"), "bytes"));
    } else if (pk_dialect_has(r->doc, block, "citationsContent")) {
        emit_citations(r, pk_json_get(r->doc, block, "citationsContent"));
    } else {
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("block"));
    }
}

static bool check_block(const struct pk_json *doc, int block, struct pk_error *err)
{
    int call = pk_json_get(doc, block, "toolUse");

    if (pk_json_type(doc, block) != PK_JSON_OBJECT ||
        !pk_read_absent_or(doc, pk_json_get(doc, block, "text"), PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "answer: a content block is malformed");
    if (call >= 0 && (pk_json_type(doc, pk_json_get(doc, call, "name")) != PK_JSON_STRING ||
                      pk_json_type(doc, pk_json_get(doc, call, "toolUseId")) != PK_JSON_STRING ||
                      pk_json_type(doc, pk_json_get(doc, call, "input")) != PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "answer: a toolUse has no name, id or input");
    return true;
}

static bool check(const struct pk_json *doc, int content, struct pk_error *err)
{
    if (pk_json_type(doc, content) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of content in it");
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b))
        if (!check_block(doc, b, err))
            return false;
    if (pk_json_type(doc, pk_json_get(doc, 0, "stopReason")) != PK_JSON_STRING)
        return pk_fail(err, PK_BAD_ANSWER, "answer: it does not say why it stopped");
    if (!pk_read_absent_or(doc, pk_json_get(doc, 0, "usage"), PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    return true;
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    int message = pk_json_get(doc, pk_json_get(doc, 0, "output"), "message");
    int content = pk_json_get(doc, message, "content"), usage = pk_json_get(doc, 0, "usage");
    struct pk_reader r = {.doc = doc, .emit = pk_stream_take};

    if (is_error(doc)) {
        pk_bedrock_fault(arena, doc, &a->fault);
        return pk_fail(err, PK_UPSTREAM, "the provider answered with an error");
    }
    if (!check(doc, content, err))
        return false;
    if (pk_json_type(doc, usage) == PK_JSON_OBJECT)
        read_usage(doc, usage, &a->usage);
    a->model = routed_to(arena, doc);
    a->finish_reason = finish_of(pk_json_str(arena, doc, pk_json_get(doc, 0, "stopReason")));
    r.s = pk_stream_of(arena, &pk_dialect_bedrock, a);
    if (!r.s)
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b))
        emit_block(&r, b);
    emit_members(&r, 0);
    pk_read_emit(&r, PK_DELTA_FINISH, a->finish_reason);
    if (out)
        r.s->front->print_answer(r.s, out);
    return !(r.s->scratch.failed || arena->failed) ||
           pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
}

/* --- streams: blocks ------------------------------------------------------------------------- */

enum block { BLOCK_PLAIN, BLOCK_THINKING, BLOCK_TOOL, BLOCK_SERVED, BLOCK_IMAGE };

/* What is known only when a block is whole. A call without input has an empty one. */
static void close_block(const struct pk_reader *r)
{
    struct pk_stream_message *m = &r->s->message;
    struct pk_delta none = {.kind = PK_DELTA_TOOL, .tool = m->tool - 1, .text = PK_STR("{}")};

    if (!m->open)
        return;
    m->open = false;
    switch ((enum block)m->kind) {
    case BLOCK_THINKING: emit_thinking(r, pk_buf_str(&m->text), pk_buf_str(&m->signature)); break;
    case BLOCK_TOOL:
        if (m->text.len == 0)
            r->emit(r->s, &none);
        break;
    case BLOCK_IMAGE: emit_image(r, m->block, pk_buf_str(&m->text)); break;
    case BLOCK_PLAIN:
    case BLOCK_SERVED: break;
    }
}

static void open_block(const struct pk_reader *r, int64_t index, enum block kind)
{
    struct pk_stream_message *m = &r->s->message;

    close_block(r);
    m->open = true;
    m->index = index;
    m->kind = (int)kind;
    pk_buf_reset(&m->text);
    pk_buf_reset(&m->signature);
}

static bool read_index(const struct pk_reader *r, int64_t *index, struct pk_error *err)
{
    return pk_json_int(r->doc, pk_json_get(r->doc, 0, "contentBlockIndex"), index) ||
           pk_fail(err, PK_BAD_ANSWER, "stream: a content block has no index");
}

static bool block_start(const struct pk_reader *r, struct pk_error *err)
{
    int start = pk_json_get(r->doc, 0, "start"), call = pk_json_get(r->doc, start, "toolUse"),
        image = pk_json_get(r->doc, start, "image");
    int64_t index;

    if (!read_index(r, &index, err))
        return false;
    if (call >= 0 && !is_served(r->doc, call)) {
        if (pk_json_type(r->doc, pk_json_get(r->doc, call, "name")) != PK_JSON_STRING ||
            pk_json_type(r->doc, pk_json_get(r->doc, call, "toolUseId")) != PK_JSON_STRING)
            return pk_fail(err, PK_BAD_ANSWER, "stream: a toolUse has no name or id");
        open_block(r, index, BLOCK_TOOL);
        emit_call(r, call, PK_NONE);
    } else if (image >= 0) {
        open_block(r, index, BLOCK_IMAGE);
        r->s->message.block = pk_copy(r->s->arena, pk_read_string(r, image, "format"));
    } else if (pk_json_count(r->doc, start) > 0) {
        open_block(r, index, BLOCK_SERVED);
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("block"));
    } else {
        open_block(r, index, BLOCK_PLAIN);
    }
    return true;
}

static bool input_delta(const struct pk_reader *r, int input, struct pk_error *err)
{
    struct pk_stream_message *m = &r->s->message;
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL, .tool = m->tool - 1, .text = pk_read_string(r, input, "input")};

    if (m->kind == BLOCK_SERVED)
        return true;
    if (m->kind != BLOCK_TOOL)
        return pk_fail(err, PK_BAD_ANSWER, "stream: input for a toolUse that has not begun");
    pk_buf_add(&m->text, d.text);
    if (d.text.len)
        r->emit(r->s, &d);
    return true;
}

static void reasoning_delta(const struct pk_reader *r, int reasoning)
{
    struct pk_stream_message *m = &r->s->message;

    m->kind = BLOCK_THINKING;
    pk_buf_add(&m->text, pk_read_string(r, reasoning, "text"));
    pk_buf_add(&m->signature, pk_read_string(r, reasoning, "signature"));
    pk_read_emit_string(r, PK_DELTA_REASONING, reasoning, "text");
    if (pk_dialect_has(r->doc, reasoning, "redactedContent"))
        emit_redacted(r, pk_read_string(r, reasoning, "redactedContent"));
}

static bool block_delta(const struct pk_reader *r, struct pk_error *err)
{
    struct pk_stream_message *m = &r->s->message;
    int delta = pk_json_get(r->doc, 0, "delta"), text = pk_json_get(r->doc, delta, "text"),
        input = pk_json_get(r->doc, delta, "toolUse"),
        reasoning = pk_json_get(r->doc, delta, "reasoningContent"),
        image = pk_json_get(r->doc, delta, "image");
    int64_t index;

    if (!read_index(r, &index, err))
        return false;
    if (!pk_read_absent_or(r->doc, text, PK_JSON_STRING))
        return pk_fail(err, PK_BAD_ANSWER, "stream: the text of a delta is no text");
    if (!m->open || m->index != index)
        open_block(r, index, BLOCK_PLAIN);
    if (text >= 0)
        pk_read_emit_string(r, PK_DELTA_TEXT, delta, "text");
    else if (input >= 0)
        return input_delta(r, input, err);
    else if (reasoning >= 0)
        reasoning_delta(r, reasoning);
    else if (pk_dialect_has(r->doc, delta, "citation"))
        keep_citation(r, pk_json_get(r->doc, delta, "citation"));
    else if (image >= 0 && m->kind == BLOCK_IMAGE && m->text.len == 0)
        pk_buf_add(&m->text, pk_read_string(r, pk_json_get(r->doc, image, "source"), "bytes"));
    else
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("delta"));
    return true;
}

static bool block_stop(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    close_block(r);
    return true;
}

/* --- streams: the message -------------------------------------------------------------------- */

static bool message_start(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    pk_read_emit(r, PK_DELTA_START, PK_NONE);
    return true;
}

static bool message_stop(const struct pk_reader *r, struct pk_error *err)
{
    pk_str reason = pk_read_string(r, 0, "stopReason");

    close_block(r);
    if (reason.len == 0)
        return pk_fail(err, PK_BAD_ANSWER, "stream: messageStop does not say why");
    r->s->choices[0].ended = pk_copy(r->s->arena, reason);
    emit_members(r, 0);
    return true;
}

static void end(struct pk_stream *s, pk_delta_fn *take)
{
    struct pk_delta done = {.kind = PK_DELTA_DONE},
                    finish = {.kind = PK_DELTA_FINISH, .text = finish_of(s->choices[0].ended)};

    if (s->choices[0].ended.len == 0)
        return;
    take(s, &finish);
    take(s, &done);
}

static bool metadata(const struct pk_reader *r, struct pk_error *err)
{
    int usage = pk_json_get(r->doc, 0, "usage");
    pk_str model = routed_to(&r->s->scratch, r->doc);
    struct pk_delta told = {.kind = PK_DELTA_USAGE};

    if (!pk_read_absent_or(r->doc, usage, PK_JSON_OBJECT))
        return pk_fail(err, PK_BAD_ANSWER, "stream: usage is no object");
    if (pk_json_type(r->doc, usage) == PK_JSON_OBJECT) {
        read_usage(r->doc, usage, &told.usage);
        r->emit(r->s, &told);
    }
    if (model.len)
        r->s->model = pk_copy(r->s->arena, model);
    emit_members(r, 0);
    end(r->s, r->emit);
    return true;
}

static bool nothing(const struct pk_reader *r, struct pk_error *err)
{
    (void)r;
    (void)err;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(const struct pk_reader *r, struct pk_error *err);
} events[] = {
    {"contentBlockDelta", block_delta}, {"contentBlockStart", block_start},
    {"contentBlockStop", block_stop},   {"messageStart", message_start},
    {"messageStop", message_stop},      {"metadata", metadata},
    {"initial-response", nothing},
};

/* The status that an exception has where it comes before a stream. */
static int status_of(pk_str exception)
{
    static const struct {
        const char *name;
        int status;
    } exceptions[] = {
        {"throttlingException", 429},         {"validationException", 400},
        {"serviceUnavailableException", 503}, {"internalServerException", 500},
        {"modelStreamErrorException", 424},   {"modelTimeoutException", 408},
    };

    for (size_t i = 0; i < PK_COUNT(exceptions); i++)
        if (pk_str_is(exception, exceptions[i].name))
            return exceptions[i].status;
    return 0;
}

void pk_bedrock_exception(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take)
{
    struct pk_delta error = {.kind = PK_DELTA_ERROR};
    struct pk_json doc;
    struct pk_error unused;

    if (pk_dialect_parse(&s->scratch, ev->data, &doc, &unused))
        pk_bedrock_fault(&s->scratch, &doc, &error.fault);
    if (error.fault.message.len == 0)
        error.fault.message = ev->name;
    error.fault.type = ev->name;
    error.fault.status = status_of(ev->name);
    take(s, &error);
}

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};

    if (ev->error) {
        pk_bedrock_exception(s, ev, take);
        return true;
    }
    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    for (size_t i = 0; i < PK_COUNT(events); i++)
        if (pk_str_is(ev->name, events[i].name))
            return events[i].read(&r, err);
    pk_read_emit(&r, PK_DELTA_OTHER, PK_STR("event"));
    return true;
}

/* --- the dialect ----------------------------------------------------------------------------- */

static bool path(pk_str base, pk_str model, bool stream, struct pk_buf *out, struct pk_error *err)
{
    (void)base;
    if (model.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "model: this provider needs one");
    pk_buf_adds(out, "/model/");
    pk_dialect_segment(out, model);
    pk_buf_adds(out, stream ? "/converse-stream" : "/converse");
    return true;
}

/* Who speaks to Anthropic's models in their own dialect is not translated. */
static const struct pk_dialect *back_for(const struct pk_dialect *front, pk_str model)
{
    return front == &pk_dialect_anthropic &&
                   pk_bedrock_model_of(model).family == PK_BEDROCK_ANTHROPIC
               ? &pk_dialect_bedrock_claude
               : &pk_dialect_bedrock;
}

const struct pk_dialect pk_dialect_bedrock = {
    .name = "bedrock",
    .path = path,
    .headers = "",
    .error_event = "",
    .codecs = pk_codecs_bedrock,
    .framing = PK_FRAMED_EVENTSTREAM,
    .error_header = "x-amzn-errortype",
    .back_for = back_for,
    .request = pk_bedrock_request,
    .answer = answer,
    .event = event,
    .end = end,
    .fault = pk_bedrock_fault,
};
