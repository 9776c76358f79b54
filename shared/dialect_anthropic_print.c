/* dialect_anthropic_print.c - what a client of the Messages API is sent.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "Messages", "Streaming messages" and "Errors" pages of Anthropic's reference.
 *
 *   message_start, then blocks (content_block_start, deltas, content_block_stop), message_delta, message_stop
 *
 * One block is open at a time. Thoughts that their provider does not sign have an empty signature; a tool call's extra_content (Gemini's signature) stays
 * with its block, for the client to send back. message_delta has all counts, for only then they are known.
 */
#include "dialect_anthropic.h"
#include "dialect_pivot.h"
#include "dialect_read.h"

#include <string.h>

/* --- words and counts ------------------------------------------------------------------------ */

static pk_str stop_reason(const struct pk_stream *s)
{
    static const struct pk_word words[] = {
        {"stop", "end_turn"},          {"length", "max_tokens"},       {"tool_calls", "tool_use"},
        {"function_call", "tool_use"}, {"content_filter", "refusal"},  {"end_turn", "end_turn"},
        {"eos", "end_turn"},           {"model_length", "max_tokens"},
    };
    const struct pk_stream_choice *c = &s->choices[0];
    pk_str word = pk_read_word(words, PK_COUNT(words), c->finish_reason);

    if (pk_str_is(word, "end_turn") && pk_stream_tools(s, 0))
        return PK_STR("tool_use"); /* as some providers forget to say */
    if (pk_str_is(word, "end_turn") && c->refusal.len)
        return PK_STR("refusal");
    return word;
}

/* Without input_tokens in another bucket: those of the cache stand beside them. */
static void print_usage(const struct pk_usage *u, struct pk_buf *out)
{
    int64_t written = u->cache_write + u->cache_write_1h, output = u->output + u->reasoning;

    pk_member_key(out, "usage");
    pk_buf_addf(out, "{\"input_tokens\":%lld,\"cache_creation_input_tokens\":%lld",
                (long long)u->input, (long long)written);
    pk_buf_addf(out, ",\"cache_read_input_tokens\":%lld,\"output_tokens\":%lld",
                (long long)u->cache_read, (long long)output);
    if (u->reasoning)
        pk_buf_addf(out, ",\"output_tokens_details\":{\"thinking_tokens\":%lld}",
                    (long long)u->reasoning);
    pk_buf_addc(out, '}');
}

/* What a message starts with, up to its content: {"id":...,"model":... */
static void print_head(const struct pk_stream *s, struct pk_buf *out)
{
    pk_str id = s->id;

    if (pk_str_starts(id, "chatcmpl-"))
        id = pk_str_sub(id, 9, id.len);
    if (!pk_str_starts(id, "msg_"))
        id = pk_copyf(out->arena, "msg_%.*s", PK_FMT(id));
    pk_buf_addc(out, '{');
    pk_member_text(out, "id", id);
    pk_buf_adds(out, ",\"type\":\"message\",\"role\":\"assistant\",\"model\":");
    pk_json_quote(out, s->model.len ? s->model : s->asked);
}

static void print_stop(pk_str reason, struct pk_buf *out)
{
    pk_member_text(out, "stop_reason", reason);
    pk_dialect_raw(out, "stop_sequence", PK_STR("null"));
}

/* An image of the answer as a block; by its address when it is no data: URL. */
static void print_image(pk_str url, struct pk_buf *out)
{
    pk_str media = PK_NONE, bytes = PK_NONE;

    pk_member_comma(out);
    pk_buf_adds(out, "{\"type\":\"image\",\"source\":{");
    if (pk_make_data_url(url, &media, &bytes)) {
        pk_dialect_raw(out, "type", PK_STR("\"base64\""));
        pk_member_text(out, "media_type", media);
        pk_member_text(out, "data", bytes);
    } else {
        pk_dialect_raw(out, "type", PK_STR("\"url\""));
        pk_member_text(out, "url", url);
    }
    pk_buf_adds(out, "}}");
}

static void print_tool(const struct pk_stream_tool *t, pk_str input, struct pk_buf *out)
{
    pk_member_comma(out);
    pk_buf_adds(out, "{\"type\":\"tool_use\"");
    pk_member_text(out, "id", t->id);
    pk_member_text(out, "name", t->name);
    pk_dialect_raw(out, "input", input);
    pk_dialect_raw(out, "extra_content", t->extra);
    pk_buf_addc(out, '}');
}

/* --- a complete message ---------------------------------------------------------------------- */

static void print_thoughts(const struct pk_stream_choice *c, struct pk_buf *out)
{
    if (c->thinking.len) { /* the same thoughts, signed */
        pk_member_comma(out);
        pk_buf_add(out, pk_buf_str(&c->thinking));
    } else if (c->reasoning.len) {
        pk_member_comma(out);
        pk_buf_adds(out, "{\"type\":\"thinking\",\"thinking\":");
        pk_json_quote(out, pk_buf_str(&c->reasoning));
        pk_buf_adds(out, ",\"signature\":\"\"}");
    }
}

static void print_text(const struct pk_buf *text, struct pk_buf *out)
{
    if (text->len == 0)
        return;
    pk_member_comma(out);
    pk_buf_adds(out, "{\"type\":\"text\",\"text\":");
    pk_json_quote(out, pk_buf_str(text));
    pk_buf_addc(out, '}');
}

/* Images that the stream has gathered in OpenAI's shape. */
static void print_images(const struct pk_stream_choice *c, struct pk_buf *out)
{
    struct pk_json doc;
    struct pk_error unused;
    pk_str list;

    if (!c->more || c->more->images.len == 0)
        return;
    list = pk_copyf(out->arena, "[%.*s]", PK_FMT(pk_buf_str(&c->more->images)));
    if (!pk_json_parse(out->arena, list, "images", &doc, &unused))
        return;
    for (int i = pk_json_first(&doc, 0); i >= 0; i = pk_json_next(&doc, 0, i)) {
        int url = pk_json_get(&doc, pk_json_get(&doc, i, "image_url"), "url");

        print_image(pk_json_str(out->arena, &doc, url), out);
    }
}

void pk_anthropic_print_answer(const struct pk_stream *s, struct pk_buf *out)
{
    const struct pk_stream_choice *c = &s->choices[0];

    if (s->passes) {
        pk_anthropic_assembled(s, out);
        return;
    }
    print_head(s, out);
    pk_buf_adds(out, ",\"content\":[");
    print_thoughts(c, out);
    print_text(&c->text, out);
    print_text(&c->refusal, out);
    print_images(c, out);
    for (int i = 0; i < s->tool_count; i++)
        if (s->tools[i].choice == 0)
            print_tool(&s->tools[i],
                       pk_pivot_arguments(out->arena, pk_buf_str(&s->tools[i].arguments)), out);
    pk_buf_addc(out, ']');
    print_stop(stop_reason(s), out);
    print_usage(&s->usage, out);
    pk_buf_addc(out, '}');
}

/* --- errors ---------------------------------------------------------------------------------- */

static const struct {
    int status;
    const char *type;
} types[] = {
    {400, "invalid_request_error"},
    {401, "authentication_error"},
    {402, "billing_error"},
    {403, "permission_error"},
    {404, "not_found_error"},
    {408, "timeout_error"},
    {409, "conflict_error"},
    {413, "request_too_large"},
    {422, "invalid_request_error"},
    {429, "rate_limit_error"},
    {500, "api_error"},
    {502, "api_error"},
    {503, "api_error"},
    {504, "timeout_error"},
    {529, "overloaded_error"},
};

/* Anthropic's word for an error: our own kinds have one each; a provider's stands if it is one of them, unless
 * it is the one that others use for everything; then it is what belongs to the status. */
static pk_str error_type(const struct pk_fault *f)
{
    static const struct pk_word ours[] = {
        {"invalid_request", "invalid_request_error"},
        {"invalid_json", "invalid_request_error"},
        {"invalid_config", "invalid_request_error"},
        {"guardrail_blocked", "invalid_request_error"},
        {"not_found", "not_found_error"},
        {"missing_key", "authentication_error"},
        {"permission_denied", "permission_error"},
        {"host_not_allowed", "permission_error"},
        {"limit_exceeded", "rate_limit_error"},
        {"too_large", "request_too_large"},
        {"timeout", "timeout_error"},
        {"invalid_answer", "api_error"},
        {"connection_error", "api_error"},
        {"store_error", "api_error"},
        {"out_of_memory", "api_error"},
    };
    bool none = f->type.len == 0 || pk_str_is(f->type, "provider_error");
    const char *by_status = none ? "api_error" : NULL;
    pk_str word = pk_read_word(ours, PK_COUNT(ours), f->type);
    bool vague = pk_str_is(f->type, "invalid_request_error"), known = word.at != f->type.at;

    for (size_t i = 0; i < PK_COUNT(types); i++) {
        known = known || (pk_str_is(f->type, types[i].type) && !vague);
        if (types[i].status == f->status)
            by_status = types[i].type;
    }
    return known || !by_status ? word : pk_str_of(by_status);
}

void pk_anthropic_print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out)
{
    (void)provider; /* has no place in this shape */
    pk_buf_adds(out, "{\"type\":\"error\",\"error\":{");
    pk_member_text(out, "type", error_type(f));
    pk_member_text(out, "message", f->message.len ? f->message : PK_STR("the request failed"));
    pk_buf_adds(out, "}}");
}

/* --- events ---------------------------------------------------------------------------------- */

static void send(struct pk_buf *out, const char *name, struct pk_buf *document)
{
    pk_buf_addc(document, '}');
    pk_sse_print(out, pk_str_of(name), pk_buf_str(document));
    out->failed = out->failed || document->failed;
}

static struct pk_buf document(struct pk_arena *arena, const char *type)
{
    struct pk_buf b = pk_buf_in(arena, PK_STREAM_BYTES_MAX);

    pk_buf_addf(&b, "{\"type\":\"%s\"", type);
    return b;
}

/* --- a stream, delta by delta ---------------------------------------------------------------- */

enum open { OPEN_NONE, OPEN_TEXT, OPEN_THINKING, OPEN_OTHER };

/* What has been printed of a stream. */
struct printer {
    bool begun;
    int next;       /* the index of the next block */
    enum open open; /* what the last block is, while it can go on */
    struct pk_pivot_calls calls;
};

static void begin(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    struct pk_buf b = document(&s->scratch, "message_start");

    if (p->begun)
        return;
    p->begun = true;
    pk_member_key(&b, "message");
    print_head(s, &b);
    pk_buf_adds(&b, ",\"content\":[]");
    print_stop(PK_NONE, &b);
    print_usage(&s->usage, &b);
    pk_buf_addc(&b, '}');
    send(out, "message_start", &b);
}

static void close_block(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    struct pk_buf b = document(&s->scratch, "content_block_stop");

    if (p->open == OPEN_NONE)
        return;
    p->open = OPEN_NONE;
    pk_buf_addf(&b, ",\"index\":%d", p->next - 1);
    send(out, "content_block_stop", &b);
}

static void open_block(struct pk_stream *s, enum open kind, pk_str block, struct pk_buf *out)
{
    struct pk_buf b = document(&s->scratch, "content_block_start");
    struct printer *p = s->printer;

    close_block(s, p, out);
    p->open = kind;
    pk_buf_addf(&b, ",\"index\":%d", p->next++);
    pk_dialect_raw(&b, "content_block", block);
    send(out, "content_block_start", &b);
}

/* A piece of the block that is open. */
static void send_delta(struct pk_stream *s, const char *kind, pk_str text, struct pk_buf *out)
{
    struct pk_buf b = document(&s->scratch, "content_block_delta");
    const struct printer *p = s->printer;

    pk_buf_addf(&b, ",\"index\":%d,\"delta\":{\"type\":\"%s_delta\"", p->next - 1, kind);
    pk_member_key(&b, strcmp(kind, "input_json") == 0 ? "partial_json" : kind);
    pk_json_quote(&b, text);
    pk_buf_addc(&b, '}');
    send(out, "content_block_delta", &b);
}

static void on_text(struct pk_stream *s, enum open kind, pk_str text, struct pk_buf *out)
{
    static const char *const starts[] = {
        [OPEN_TEXT] = "{\"type\":\"text\",\"text\":\"\"}",
        [OPEN_THINKING] = "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}",
    };
    struct printer *p = s->printer;

    if (p->open != kind) {
        pk_pivot_print_calls(s, &p->calls, true, out);
        open_block(s, kind, pk_str_of(starts[kind]), out);
    }
    send_delta(s, kind == OPEN_TEXT ? "text" : "thinking", text, out);
}

/* A signed block: the thought that is open is its text. */
static void on_signed(struct pk_stream *s, pk_str block, struct pk_buf *out)
{
    struct printer *p = s->printer;
    struct pk_error unused;
    struct pk_json doc;

    if (!pk_json_parse(&s->scratch, block, "thinking", &doc, &unused))
        return;
    pk_str signature = pk_json_str(&s->scratch, &doc, pk_json_get(&doc, 0, "signature"));
    if (p->open == OPEN_THINKING && signature.len)
        send_delta(s, "signature", signature, out);
    else
        open_block(s, OPEN_THINKING, block, out);
    close_block(s, p, out);
}

static void on_image(struct pk_stream *s, pk_str url, struct pk_buf *out)
{
    struct pk_buf block = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);

    print_image(url, &block);
    open_block(s, OPEN_OTHER, pk_buf_str(&block), out);
    close_block(s, s->printer, out);
}

static void begin_call(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out)
{
    struct pk_buf block = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);

    print_tool(t, PK_STR("{}"), &block);
    open_block(s, OPEN_OTHER, pk_buf_str(&block), out);
}

static void more_of_call(struct pk_stream *s, pk_str arguments, struct pk_buf *out)
{
    send_delta(s, "input_json", arguments, out);
}

static void end_call(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out)
{
    (void)t;
    close_block(s, s->printer, out);
}

/* All that is open, or waits for its turn. */
static void close_all(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    pk_pivot_print_calls(s, &p->calls, true, out);
    close_block(s, p, out);
}

static void on_done(struct pk_stream *s, struct pk_buf *out)
{
    struct pk_buf b = document(&s->scratch, "message_delta");

    close_all(s, s->printer, out);
    pk_buf_adds(&b, ",\"delta\":{");
    print_stop(stop_reason(s), &b);
    pk_buf_addc(&b, '}');
    print_usage(&s->usage, &b);
    send(out, "message_delta", &b);
    b = document(&s->scratch, "message_stop");
    send(out, "message_stop", &b);
}

/* NULL when there is no memory, which the stream will say itself. */
static struct printer *printer_of(struct pk_stream *s)
{
    struct printer *p = s->printer ? s->printer : pk_alloc(s->arena, sizeof *p);

    if (p && !s->printer)
        p->calls =
            (struct pk_pivot_calls){.begin = begin_call, .more = more_of_call, .end = end_call};
    s->printer = p;
    return p;
}

void pk_anthropic_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    struct printer *p = printer_of(s);

    if (!p || d->choice != 0)
        return;
    if (d->kind != PK_DELTA_ERROR && d->kind != PK_DELTA_USAGE && d->kind != PK_DELTA_OTHER)
        begin(s, p, out);
    switch (d->kind) {
    case PK_DELTA_TEXT:
    case PK_DELTA_REFUSAL: on_text(s, OPEN_TEXT, d->text, out); break;
    case PK_DELTA_REASONING: on_text(s, OPEN_THINKING, d->text, out); break;
    case PK_DELTA_THINKING: on_signed(s, d->text, out); break;
    case PK_DELTA_TOOL: pk_pivot_print_calls(s, &p->calls, false, out); break;
    case PK_DELTA_IMAGE: on_image(s, d->text, out); break;
    case PK_DELTA_FINISH: close_all(s, p, out); break;
    case PK_DELTA_DONE: on_done(s, out); break;
    case PK_DELTA_START:    /* is printed before anything else */
    case PK_DELTA_USAGE:    /* at the end */
    case PK_DELTA_LOGPROBS: /* these have no place in this dialect */
    case PK_DELTA_EXTRA:
    case PK_DELTA_MEMBER:
    case PK_DELTA_OTHER:
    case PK_DELTA_ERROR: break; /* the caller ends the stream with it */
    }
}

/* --- as the front: a complete answer as a stream --------------------------------------------- */

static void replay_start(const struct pk_json *doc, struct pk_buf *out)
{
    const struct pk_json_edit edits[] = {
        {PK_STR("content"), PK_STR("[]")},
        {PK_STR("stop_reason"), PK_STR("null")},
        {PK_STR("stop_sequence"), PK_STR("null")},
    };
    struct pk_buf b = document(out->arena, "message_start");
    struct pk_buf message = pk_buf_in(out->arena, PK_STREAM_BYTES_MAX);

    pk_json_splice(&message, doc, 0, edits, PK_COUNT(edits));
    pk_dialect_raw(&b, "message", pk_buf_str(&message));
    send(out, "message_start", &b);
}

/* The members of a block that come as deltas, and what stands for them at its start. */
static const struct part {
    const char *member, *empty, *delta, *as;
    bool as_text; /* the delta carries JSON as a string */
} parts[] = {
    {"text", "\"\"", "text_delta", "text", false},
    {"thinking", "\"\"", "thinking_delta", "thinking", false},
    {"signature", "\"\"", "signature_delta", "signature", false},
    {"input", "{}", "input_json_delta", "partial_json", true},
};

static void replay_part(const struct part *p, pk_str value, int index, struct pk_buf *out)
{
    struct pk_buf b = document(out->arena, "content_block_delta");

    pk_buf_addf(&b, ",\"index\":%d,\"delta\":{\"type\":\"%s\"", index, p->delta);
    pk_member_key(&b, p->as);
    if (p->as_text)
        pk_json_quote(&b, value);
    else
        pk_dialect_line(&b, value);
    pk_buf_addc(&b, '}');
    send(out, "content_block_delta", &b);
}

static void replay_block(const struct pk_json *doc, int block, int index, struct pk_buf *out)
{
    struct pk_json_edit edits[PK_COUNT(parts)];
    struct pk_buf b = document(out->arena, "content_block_start");
    struct pk_buf start = pk_buf_in(out->arena, PK_STREAM_BYTES_MAX);
    int n = 0;

    for (size_t i = 0; i < PK_COUNT(parts); i++)
        if (pk_dialect_has(doc, block, parts[i].member))
            edits[n++] =
                (struct pk_json_edit){pk_str_of(parts[i].member), pk_str_of(parts[i].empty)};
    pk_json_splice(&start, doc, block, edits, n);
    pk_buf_addf(&b, ",\"index\":%d", index);
    pk_dialect_raw(&b, "content_block", pk_buf_str(&start));
    send(out, "content_block_start", &b);
    for (size_t i = 0; i < PK_COUNT(parts); i++)
        if (pk_dialect_has(doc, block, parts[i].member))
            replay_part(&parts[i], pk_json_raw(doc, pk_json_get(doc, block, parts[i].member)),
                        index, out);
    b = document(out->arena, "content_block_stop");
    pk_buf_addf(&b, ",\"index\":%d", index);
    send(out, "content_block_stop", &b);
}

static void replay_end(const struct pk_json *doc, struct pk_buf *out)
{
    static const char *const shown[] = {"stop_reason", "stop_sequence", "stop_details"};
    struct pk_buf b = document(out->arena, "message_delta");

    pk_buf_adds(&b, ",\"delta\":{");
    for (size_t i = 0; i < PK_COUNT(shown); i++)
        pk_dialect_raw(&b, shown[i], pk_json_raw(doc, pk_json_get(doc, 0, shown[i])));
    pk_buf_addc(&b, '}');
    pk_dialect_raw(&b, "usage", pk_json_raw(doc, pk_json_get(doc, 0, "usage")));
    send(out, "message_delta", &b);
    b = document(out->arena, "message_stop");
    send(out, "message_stop", &b);
}

bool pk_anthropic_replay(const struct pk_json *doc, bool with_usage, struct pk_buf *out)
{
    int content = pk_json_get(doc, 0, "content"), index = 0;

    (void)with_usage; /* this dialect always tells it */
    if (pk_json_type(doc, content) != PK_JSON_ARRAY)
        return false;
    replay_start(doc, out);
    for (int b = pk_json_first(doc, content); b >= 0; b = pk_json_next(doc, content, b), index++) {
        if (pk_json_type(doc, b) != PK_JSON_OBJECT)
            return false;
        replay_block(doc, b, index, out);
    }
    replay_end(doc, out);
    return !out->failed && !out->arena->failed;
}
