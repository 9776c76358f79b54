/* dialect_anthropic.c - the Messages API: answers, streams and errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "Messages" and "Streaming messages" pages of Anthropic's reference, version
 * 2023-06-01. Requests are in dialect_anthropic_request.c; what its clients are sent is printed in
 * dialect_anthropic_print.c.
 *
 * In a stream blocks come one after the other. Each is put together from its start and its deltas
 * and kept as the JSON that a whole answer would have had; what an OpenAI client can see of it goes
 * on as deltas at once.
 */
#include "dialect_anthropic.h"
#include "codec.h"
#include "dialect_read.h"

enum { MEMBERS_MAX = 32 };

/* --- what the words and counts mean ---------------------------------------------------------- */

static pk_str finish_of(pk_str reason)
{
    static const struct pk_word words[] = {
        {"end_turn", "stop"},
        {"stop_sequence", "stop"},
        {"pause_turn", "stop"},
        {"max_tokens", "length"},
        {"tool_use", "tool_calls"},
        {"refusal", "content_filter"},
        {"model_context_window_exceeded", "length"},
    };

    return pk_read_word(words, PK_COUNT(words), reason);
}

/* input_tokens counts what was neither read from the cache nor written to it; output_tokens
 * includes the thinking. */
static void read_usage(const struct pk_json *doc, int usage, struct pk_usage *u)
{
    int written = pk_json_get(doc, usage, "cache_creation");
    int64_t in_1h = pk_dialect_count(doc, written, "ephemeral_1h_input_tokens");
    int64_t in_5m = pk_dialect_count(doc, written, "ephemeral_5m_input_tokens");
    int64_t all = pk_dialect_count(doc, usage, "cache_creation_input_tokens");
    int64_t output = pk_dialect_count(doc, usage, "output_tokens");
    int64_t thought =
        pk_dialect_count(doc, pk_json_get(doc, usage, "output_tokens_details"), "thinking_tokens");

    if (all < in_1h + in_5m)
        all = in_1h + in_5m;
    *u = (struct pk_usage){
        .source = PK_USAGE_PROVIDER,
        .input = pk_dialect_count(doc, usage, "input_tokens"),
        .cache_read = pk_dialect_count(doc, usage, "cache_read_input_tokens"),
        .cache_write = all - in_1h,
        .cache_write_1h = in_1h,
        .reasoning = thought < output ? thought : output,
    };
    u->output = output - u->reasoning;
}

/* --- blocks ---------------------------------------------------------------------------------- */

enum block { BLOCK_TEXT, BLOCK_THINKING, BLOCK_REDACTED, BLOCK_TOOL, BLOCK_OTHER };

static enum block block_kind(const struct pk_json *doc, int block)
{
    int type = pk_json_get(doc, block, "type");

    if (pk_json_is(doc, type, "text"))
        return BLOCK_TEXT;
    if (pk_json_is(doc, type, "thinking"))
        return BLOCK_THINKING;
    if (pk_json_is(doc, type, "redacted_thinking"))
        return BLOCK_REDACTED;
    return pk_json_is(doc, type, "tool_use") ? BLOCK_TOOL : BLOCK_OTHER;
}

/* What another dialect cannot show; between equals nothing is lost. */
static void emit_other(const struct pk_reader *r, pk_str name)
{
    if (!r->s->passes)
        pk_read_emit(r, PK_DELTA_OTHER, name);
}

static void emit_tool(const struct pk_reader *r, int block, pk_str arguments)
{
    struct pk_delta d = {
        .kind = PK_DELTA_TOOL,
        .tool = r->s->message.tool++,
        .id = pk_read_string(r, block, "id"),
        .name = pk_read_string(r, block, "name"),
        .text = arguments,
    };

    r->emit(r->s, &d);
}

/* --- complete answers ------------------------------------------------------------------------ */

static void emit_block(const struct pk_reader *r, int block)
{
    switch (block_kind(r->doc, block)) {
    case BLOCK_TEXT: pk_read_emit_string(r, PK_DELTA_TEXT, block, "text"); break;
    case BLOCK_THINKING:
        pk_read_emit_string(r, PK_DELTA_REASONING, block, "thinking");
        pk_read_emit(r, PK_DELTA_THINKING, pk_json_raw(r->doc, block));
        break;
    case BLOCK_REDACTED: pk_read_emit(r, PK_DELTA_THINKING, pk_json_raw(r->doc, block)); break;
    case BLOCK_TOOL:
        emit_tool(r, block, pk_json_raw(r->doc, pk_json_get(r->doc, block, "input")));
        break;
    case BLOCK_OTHER: emit_other(r, PK_STR("block")); break;
    }
}

/* Why the model stopped, in message or in the delta of message_delta. */
static void emit_end(const struct pk_reader *r, int object)
{
    pk_str reason = pk_read_string(r, object, "stop_reason");

    if (reason.len == 0)
        return;
    pk_read_emit_string(r, PK_DELTA_REFUSAL, pk_json_get(r->doc, object, "stop_details"),
                        "explanation");
    pk_read_emit(r, PK_DELTA_FINISH, finish_of(reason));
}

static bool check_message(const struct pk_json *doc, struct pk_error *err)
{
    int content = pk_json_get(doc, 0, "content");

    if (pk_json_type(doc, content) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_ANSWER, "answer: no list of content in it");
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b)) {
        enum block kind = block_kind(doc, b);
        const char *member = kind == BLOCK_TEXT ? "text" : "type";

        if (pk_json_type(doc, pk_json_get(doc, b, member)) != PK_JSON_STRING)
            return pk_fail(err, PK_BAD_ANSWER, "answer: a content block has no %s", member);
    }
    return true;
}

static bool print_openai(struct pk_arena *arena, const struct pk_json *doc,
                         const struct pk_answer *a, struct pk_buf *out)
{
    int content = pk_json_get(doc, 0, "content");
    struct pk_stream *s = pk_stream_of(arena, &pk_dialect_anthropic, a);
    struct pk_reader r = {.s = s, .doc = doc, .emit = pk_stream_take};

    if (!s)
        return false;
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b))
        emit_block(&r, b);
    emit_end(&r, 0);
    s->front->print_answer(s, out);
    return !s->scratch.failed && !arena->failed;
}

static bool answer(struct pk_arena *arena, const struct pk_json *doc, struct pk_answer *a,
                   struct pk_buf *out, struct pk_error *err)
{
    int usage = pk_json_get(doc, 0, "usage");

    if (!pk_dialect_no_error(arena, doc, &a->fault, err) || !check_message(doc, err))
        return false;
    if (pk_json_type(doc, usage) > PK_JSON_NULL && pk_json_type(doc, usage) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: usage is no object");
    if (pk_json_type(doc, usage) == PK_JSON_OBJECT)
        read_usage(doc, usage, &a->usage);
    a->id = pk_json_str(arena, doc, pk_json_get(doc, 0, "id"));
    a->model = pk_json_str(arena, doc, pk_json_get(doc, 0, "model"));
    a->finish_reason = finish_of(pk_json_str(arena, doc, pk_json_get(doc, 0, "stop_reason")));
    if (out && !print_openai(arena, doc, a, out))
        return pk_fail(err, PK_NO_MEMORY, "answer: out of memory");
    return true;
}

/* --- streams: putting blocks together -------------------------------------------------------- */

/* What the deltas said, as JSON. */
static pk_str quoted(struct pk_arena *arena, const struct pk_buf *text)
{
    struct pk_buf out = pk_buf_in(arena, PK_CALL_BYTES_MAX);

    pk_json_quote(&out, pk_buf_str(text));
    return pk_buf_str(&out);
}

/* A tool's input; an empty object when it was cut short. */
static pk_str input_of(struct pk_arena *arena, const struct pk_buf *text)
{
    struct pk_json doc;
    struct pk_error unused;

    return pk_json_parse(arena, pk_buf_str(text), "input", &doc, &unused) ? pk_buf_str(text)
                                                                          : PK_STR("{}");
}

/* The open block as JSON: its start with what its deltas brought. */
static void print_block(const struct pk_stream_message *m, struct pk_arena *arena,
                        struct pk_buf *out)
{
    struct pk_json doc;
    struct pk_error unused;
    struct pk_json_edit edits[2];
    struct pk_buf whole = pk_buf_in(arena, PK_CALL_BYTES_MAX);
    int n = 0;

    if (!pk_json_parse(arena, m->block, "block", &doc, &unused))
        return;
    if (m->kind == BLOCK_TEXT)
        edits[n++] = (struct pk_json_edit){PK_STR("text"), quoted(arena, &m->text)};
    if (m->kind == BLOCK_TEXT && m->citations.len)
        edits[n++] = (struct pk_json_edit){
            PK_STR("citations"), pk_copyf(arena, "[%.*s]", PK_FMT(pk_buf_str(&m->citations)))};
    if (m->kind == BLOCK_THINKING)
        edits[n++] = (struct pk_json_edit){PK_STR("thinking"), quoted(arena, &m->text)};
    if (m->kind == BLOCK_THINKING && m->signature.len)
        edits[n++] = (struct pk_json_edit){PK_STR("signature"), quoted(arena, &m->signature)};
    if ((m->kind == BLOCK_TOOL || m->kind == BLOCK_OTHER) && m->text.len)
        edits[n++] = (struct pk_json_edit){PK_STR("input"), input_of(arena, &m->text)};
    pk_json_splice(&whole, &doc, 0, edits, n);
    pk_dialect_line(out, pk_buf_str(&whole));
}

static void add_item(struct pk_buf *list, pk_str json)
{
    if (list->len)
        pk_buf_addc(list, ',');
    pk_dialect_line(list, json);
}

static void close_block(const struct pk_reader *r)
{
    struct pk_stream_message *m = &r->s->message;
    struct pk_buf block = pk_buf_in(&r->s->scratch, PK_CALL_BYTES_MAX);
    struct pk_json doc;
    struct pk_error unused;

    if (!m->open)
        return;
    m->open = false;
    print_block(m, &r->s->scratch, &block);
    add_item(&m->content, pk_buf_str(&block));
    if (!pk_json_parse(&r->s->scratch, pk_buf_str(&block), "block", &doc, &unused))
        return;
    if (m->kind == BLOCK_THINKING || m->kind == BLOCK_REDACTED)
        pk_read_emit(r, PK_DELTA_THINKING, pk_buf_str(&block));
    if (m->kind == BLOCK_TOOL && m->text.len == 0) { /* the input was whole at the start */
        struct pk_delta d = {
            .kind = PK_DELTA_TOOL,
            .tool = m->tool - 1,
            .text = pk_json_raw(&doc, pk_json_get(&doc, 0, "input")),
        };
        r->emit(r->s, &d);
    }
}

/* --- streams: events ------------------------------------------------------------------------- */

/* The members of an object that are not null, as edits. */
static int members_of(struct pk_arena *arena, const struct pk_json *doc, int object,
                      struct pk_json_edit edits[MEMBERS_MAX])
{
    int n = 0;

    if (pk_json_type(doc, object) != PK_JSON_OBJECT)
        return 0;
    for (int k = pk_json_first(doc, object); k >= 0 && n < MEMBERS_MAX;
         k = pk_json_next(doc, object, k))
        if (pk_json_type(doc, k + 1) != PK_JSON_NULL)
            edits[n++] = (struct pk_json_edit){pk_json_str(arena, doc, k), pk_json_raw(doc, k + 1)};
    return n;
}

/* *kept (an object as text, or empty) with the members of `object` in place of its own. */
static void merge(const struct pk_reader *r, pk_str *kept, int object)
{
    struct pk_json doc;
    struct pk_error unused;
    struct pk_json_edit edits[MEMBERS_MAX];
    struct pk_arena *scratch = &r->s->scratch;
    struct pk_buf out = pk_buf_in(scratch, PK_EVENT_BYTES_MAX);
    int n = members_of(scratch, r->doc, object, edits);

    if (!pk_json_parse(scratch, kept->len ? *kept : PK_STR("{}"), "message", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return;
    pk_json_splice(&out, &doc, 0, edits, n);
    *kept = pk_copy(r->s->arena, pk_buf_str(&out));
}

static bool take_usage(const struct pk_reader *r, int usage, struct pk_error *err)
{
    struct pk_stream_message *m = &r->s->message;
    struct pk_delta d = {.kind = PK_DELTA_USAGE};
    struct pk_json doc;

    if (pk_json_type(r->doc, usage) <= PK_JSON_NULL)
        return true;
    if (pk_json_type(r->doc, usage) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: usage is no object");
    merge(r, &m->usage, usage);
    if (!pk_dialect_parse(&r->s->scratch, m->usage, &doc, err))
        return false;
    read_usage(&doc, 0, &d.usage);
    r->emit(r->s, &d);
    return true;
}

static bool message_start(const struct pk_reader *r, struct pk_error *err)
{
    int message = pk_json_get(r->doc, 0, "message");
    struct pk_delta d = {.kind = PK_DELTA_START,
                         .id = pk_read_string(r, message, "id"),
                         .text = pk_read_string(r, message, "model")};

    if (pk_json_type(r->doc, message) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "stream: message_start has no message");
    r->s->message.start = pk_copy(r->s->arena, pk_json_raw(r->doc, message));
    r->emit(r->s, &d);
    return take_usage(r, pk_json_get(r->doc, message, "usage"), err);
}

static bool block_start(const struct pk_reader *r, struct pk_error *err)
{
    struct pk_stream_message *m = &r->s->message;
    int block = pk_json_get(r->doc, 0, "content_block");

    close_block(r);
    if (pk_json_type(r->doc, pk_json_get(r->doc, block, "type")) != PK_JSON_STRING)
        return pk_fail(err, PK_BAD_ANSWER, "stream: content_block_start has no block");
    if (!pk_json_int(r->doc, pk_json_get(r->doc, 0, "index"), &m->index))
        return pk_fail(err, PK_BAD_ANSWER, "stream: content_block_start has no index");
    m->open = true;
    m->kind = (int)block_kind(r->doc, block);
    m->block = pk_copy(r->s->arena, pk_json_raw(r->doc, block));
    pk_buf_reset(&m->text);
    pk_buf_reset(&m->signature);
    pk_buf_reset(&m->citations);
    switch ((enum block)m->kind) {
    case BLOCK_TEXT:
        pk_buf_add(&m->text, pk_read_string(r, block, "text"));
        pk_read_emit_string(r, PK_DELTA_TEXT, block, "text");
        break;
    case BLOCK_THINKING:
        pk_buf_add(&m->text, pk_read_string(r, block, "thinking"));
        pk_read_emit_string(r, PK_DELTA_REASONING, block, "thinking");
        break;
    case BLOCK_TOOL: emit_tool(r, block, PK_NONE); break;
    case BLOCK_REDACTED: break;
    case BLOCK_OTHER: emit_other(r, PK_STR("block")); break;
    }
    return true;
}

static void input_delta(const struct pk_reader *r, int delta)
{
    struct pk_stream_message *m = &r->s->message;
    struct pk_delta d = {.kind = PK_DELTA_TOOL,
                         .tool = m->tool - 1,
                         .text = pk_read_string(r, delta, "partial_json")};

    pk_buf_add(&m->text, d.text);
    if (d.text.len && m->kind == BLOCK_TOOL)
        r->emit(r->s, &d);
}

static bool block_delta(const struct pk_reader *r, struct pk_error *err)
{
    struct pk_stream_message *m = &r->s->message;
    int delta = pk_json_get(r->doc, 0, "delta"), type = pk_json_get(r->doc, delta, "type");
    int64_t index;

    if (!pk_json_int(r->doc, pk_json_get(r->doc, 0, "index"), &index) || !m->open ||
        index != m->index)
        return pk_fail(err, PK_BAD_ANSWER,
                       "stream: content_block_delta for a block that is not open");
    if (pk_json_is(r->doc, type, "text_delta")) {
        pk_buf_add(&m->text, pk_read_string(r, delta, "text"));
        pk_read_emit_string(r, PK_DELTA_TEXT, delta, "text");
    } else if (pk_json_is(r->doc, type, "thinking_delta")) {
        pk_buf_add(&m->text, pk_read_string(r, delta, "thinking"));
        pk_read_emit_string(r, PK_DELTA_REASONING, delta, "thinking");
    } else if (pk_json_is(r->doc, type, "signature_delta")) {
        pk_buf_add(&m->signature, pk_read_string(r, delta, "signature"));
    } else if (pk_json_is(r->doc, type, "input_json_delta")) {
        input_delta(r, delta);
    } else if (pk_json_is(r->doc, type, "citations_delta")) {
        add_item(&m->citations, pk_json_raw(r->doc, pk_json_get(r->doc, delta, "citation")));
        emit_other(r, PK_STR("citation"));
    } else {
        pk_read_emit(r, PK_DELTA_OTHER, PK_STR("delta"));
    }
    return true;
}

static bool block_stop(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    close_block(r);
    return true;
}

static bool message_delta(const struct pk_reader *r, struct pk_error *err)
{
    int delta = pk_json_get(r->doc, 0, "delta");

    close_block(r);
    merge(r, &r->s->message.end, delta);
    if (!take_usage(r, pk_json_get(r->doc, 0, "usage"), err))
        return false;
    emit_end(r, delta);
    return true;
}

static bool message_stop(const struct pk_reader *r, struct pk_error *err)
{
    (void)err;
    close_block(r);
    pk_read_emit(r, PK_DELTA_DONE, PK_NONE);
    return true;
}

static bool ping(const struct pk_reader *r, struct pk_error *err)
{
    (void)r;
    (void)err;
    return true;
}

static const struct {
    const char *type;
    bool (*read)(const struct pk_reader *r, struct pk_error *err);
} events[] = {
    {"content_block_delta", block_delta},
    {"content_block_start", block_start},
    {"content_block_stop", block_stop},
    {"message_start", message_start},
    {"message_delta", message_delta},
    {"message_stop", message_stop},
    {"ping", ping},
};

static bool event(struct pk_stream *s, const struct pk_sse_event *ev, pk_delta_fn *take,
                  struct pk_error *err)
{
    struct pk_json doc;
    struct pk_reader r = {.s = s, .doc = &doc, .emit = take};

    if (!pk_dialect_parse(&s->scratch, ev->data, &doc, err))
        return false;
    if (pk_read_emit_error(&r, pk_str_is(ev->name, "error")))
        return true;
    int type = pk_json_get(&doc, 0, "type");
    for (size_t i = 0; i < PK_COUNT(events); i++)
        if (pk_json_is(&doc, type, events[i].type))
            return events[i].read(&r, err);
    pk_read_emit(&r, PK_DELTA_OTHER, PK_STR("event"));
    return true;
}

/* --- as the front of its own providers -------------------------------------------------------- */

void pk_anthropic_assembled(const struct pk_stream *s, struct pk_buf *out)
{
    const struct pk_stream_message *m = &s->message;
    struct pk_buf over = pk_buf_in(out->arena, PK_CALL_BYTES_MAX);
    struct pk_buf open = pk_buf_in(out->arena, PK_CALL_BYTES_MAX);
    pk_str start =
        m->start.len ? m->start : PK_STR("{\"type\":\"message\",\"role\":\"assistant\"}");
    pk_str ended = PK_NONE, whole = PK_NONE;
    struct pk_error unused;

    pk_buf_adds(&over, "{\"content\":[");
    pk_buf_add(&over, pk_buf_str(&m->content));
    if (m->open) {
        print_block(m, out->arena, &open);
        pk_member_comma(&over);
        pk_buf_add(&over, pk_buf_str(&open));
    }
    pk_buf_addc(&over, ']');
    pk_dialect_raw(&over, "usage", m->usage);
    pk_buf_addc(&over, '}');
    if (pk_json_merge(out->arena, start, m->end.len ? m->end : PK_STR("{}"), "message", &ended,
                      &unused) &&
        pk_json_merge(out->arena, ended, pk_buf_str(&over), "message", &whole, &unused))
        pk_buf_add(out, whole);
    out->failed = out->failed || whole.len == 0;
}

const struct pk_dialect pk_dialect_anthropic = {
    .name = "anthropic",
    .chat_path = "/messages",
    .headers = "anthropic-version: 2023-06-01\n",
    .own_headers = "anthropic-version anthropic-beta",
    .error_event = "error",
    .request = pk_anthropic_request,
    .answer = answer,
    .event = event,
    .fault = pk_dialect_read_fault,
    .codecs = pk_codecs_anthropic,
    .pivot = pk_anthropic_pivot,
    .wants_tidying = pk_anthropic_wants_tidying,
    .tidy = pk_anthropic_tidy,
    .words =
        "max_completion_tokens=max_tokens stop=stop_sequences user=metadata.user_id "
        "reasoning_effort=thinking response_format=output_config.format "
        "parallel_tool_calls=tool_choice.disable_parallel_tool_use "
        "messages.reasoning_content=messages.thinking messages.thinking_blocks=messages.thinking "
        "tools.function.strict=tools.strict",
    .print_delta = pk_anthropic_print_delta,
    .print_answer = pk_anthropic_print_answer,
    .print_error = pk_anthropic_print_error,
    .replay = pk_anthropic_replay,
};
