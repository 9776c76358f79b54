/* dialect_openai_print.c - chat completions as clients get them: a stream, a whole answer, and a whole answer as a stream.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_openai.h"

#include "dialect_read.h"

static void print_usage(struct pk_buf *out, const struct pk_usage *u)
{
    int64_t written = u->cache_write + u->cache_write_1h;
    int64_t prompt = u->input + u->cache_read + written, completion = u->output + u->reasoning;
    int64_t total = prompt + completion;

    pk_buf_addf(out, "{\"prompt_tokens\":%lld,\"completion_tokens\":%lld,\"total_tokens\":%lld",
                (long long)prompt, (long long)completion, (long long)total);
    pk_buf_addf(out, ",\"prompt_tokens_details\":{\"cached_tokens\":%lld",
                (long long)u->cache_read);
    if (written)
        pk_buf_addf(out, ",\"cache_write_tokens\":%lld", (long long)written);
    pk_buf_addc(out, '}');
    if (u->reasoning)
        pk_buf_addf(out, ",\"completion_tokens_details\":{\"reasoning_tokens\":%lld}",
                    (long long)u->reasoning);
    pk_buf_addc(out, '}');
}

/* --- streams: printing ----------------------------------------------------------------------- */

/* What every chunk of a stream starts with, up to its list of choices. */
static void print_head(struct pk_buf *out, const char *object, const struct pk_stream *s)
{
    pk_buf_adds(out, "{\"id\":");
    pk_json_quote(out, s->id);
    pk_buf_addf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
                (long long)s->created_s);
    pk_json_quote(out, s->model.len ? s->model : s->asked);
}

static void open_chunk(struct pk_stream *s, struct pk_buf *out)
{
    if (s->head.len == 0) {
        struct pk_buf head = pk_buf_in(s->arena, PK_EVENT_BYTES_MAX);

        print_head(&head, "chat.completion.chunk", s);
        s->head = pk_buf_str(&head);
    }
    pk_buf_adds(out, "data: ");
    pk_buf_add(out, s->head);
    pk_buf_adds(out, ",\"choices\":[");
}

static void open_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_chunk(s, out);
    pk_buf_addf(out, "{\"index\":%d,\"delta\":{", d->choice);
}

static void close_delta(struct pk_buf *out)
{
    pk_buf_adds(out, "},\"finish_reason\":null}]}\n\n");
}

static void print_text(struct pk_stream *s, const struct pk_delta *d, const char *name,
                       struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_member_key(out, name);
    pk_json_quote(out, d->text);
    close_delta(out);
}

static void print_tool(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_addf(out, "\"tool_calls\":[{\"index\":%d", d->tool);
    if (d->id.len || d->name.len) {
        pk_buf_adds(out, ",\"id\":");
        pk_json_quote(out, d->id);
        pk_buf_adds(out, ",\"type\":\"function\",\"function\":{\"name\":");
        pk_json_quote(out, d->name);
        pk_buf_addc(out, ',');
    } else {
        pk_buf_adds(out, ",\"function\":{");
    }
    pk_buf_adds(out, "\"arguments\":");
    pk_json_quote(out, d->text);
    pk_buf_addc(out, '}');
    pk_dialect_raw(out, "extra_content", d->extra);
    pk_buf_adds(out, "}]");
    close_delta(out);
}

static void print_list(struct pk_stream *s, const struct pk_delta *d, const char *name,
                       struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_member_key(out, name);
    pk_buf_addc(out, '[');
    if (d->kind == PK_DELTA_IMAGE)
        pk_dialect_image(out, d->text);
    else
        pk_dialect_line(out, d->text);
    pk_buf_addc(out, ']');
    close_delta(out);
}

static void print_extra(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_dialect_raw(out, "extra_content", d->text);
    close_delta(out);
}

static void print_logprobs(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_adds(out, "},\"logprobs\":{\"content\":[");
    pk_dialect_line(out, d->text);
    pk_buf_adds(out, "]},\"finish_reason\":null}]}\n\n");
}

/* Their names are the provider's. */
static void print_list_of(const struct pk_stream_member *list, int count, struct pk_buf *out)
{
    for (int i = 0; i < count; i++) {
        pk_member_comma(out);
        pk_json_quote(out, list[i].name);
        pk_buf_addc(out, ':');
        pk_buf_add(out, pk_buf_str(&list[i].json));
    }
}

static void print_members(const struct pk_stream_choice *c, struct pk_buf *out)
{
    if (c->more)
        print_list_of(c->more->members, c->more->member_count, out);
}

static void print_finish(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    open_delta(s, d, out);
    pk_buf_adds(out, "},\"finish_reason\":");
    pk_json_quote(out, d->text);
    print_members(&s->choices[d->choice], out);
    pk_buf_adds(out, "}]}\n\n");
}

static void print_done(struct pk_stream *s, struct pk_buf *out)
{
    if (s->with_usage && s->usage.source != PK_USAGE_NONE) {
        open_chunk(s, out);
        pk_buf_adds(out, "],\"usage\":");
        print_usage(out, &s->usage);
        pk_buf_adds(out, "}\n\n");
    }
    pk_buf_adds(out, "data: [DONE]\n\n");
}

void pk_openai_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    switch (d->kind) {
    case PK_DELTA_START:
        open_delta(s, d, out);
        pk_buf_adds(out, "\"role\":\"assistant\",\"content\":\"\"");
        close_delta(out);
        break;
    case PK_DELTA_TEXT: print_text(s, d, "content", out); break;
    case PK_DELTA_REASONING: print_text(s, d, "reasoning_content", out); break;
    case PK_DELTA_REFUSAL: print_text(s, d, "refusal", out); break;
    case PK_DELTA_THINKING: print_list(s, d, "thinking_blocks", out); break;
    case PK_DELTA_TOOL: print_tool(s, d, out); break;
    case PK_DELTA_IMAGE: print_list(s, d, "images", out); break;
    case PK_DELTA_LOGPROBS: print_logprobs(s, d, out); break;
    case PK_DELTA_EXTRA: print_extra(s, d, out); break;
    case PK_DELTA_FINISH: print_finish(s, d, out); break;
    case PK_DELTA_DONE: print_done(s, out); break;
    case PK_DELTA_MEMBER:       /* with the finish reason */
    case PK_DELTA_USAGE:        /* at the end, when asked for */
    case PK_DELTA_OTHER:        /* has no place in this dialect */
    case PK_DELTA_ERROR: break; /* the caller ends the stream with it */
    }
}

/* --- whole documents ------------------------------------------------------------------------- */

static void print_tools(const struct pk_stream *s, int choice, struct pk_buf *out)
{
    pk_member_key(out, "tool_calls");
    pk_buf_addc(out, '[');
    for (int i = 0; i < s->tool_count; i++) {
        const struct pk_stream_tool *t = &s->tools[i];

        if (t->choice != choice)
            continue;
        pk_member_comma(out);
        pk_buf_adds(out, "{\"id\":");
        pk_json_quote(out, t->id);
        pk_buf_adds(out, ",\"type\":\"function\",\"function\":{\"name\":");
        pk_json_quote(out, t->name);
        pk_buf_adds(out, ",\"arguments\":");
        pk_json_quote(out, pk_buf_str(&t->arguments));
        pk_buf_addc(out, '}');
        pk_dialect_raw(out, "extra_content", t->extra);
        pk_buf_addc(out, '}');
    }
    pk_buf_addc(out, ']');
}

static void print_items(const char *name, const struct pk_buf *items, struct pk_buf *out)
{
    if (items->len == 0)
        return;
    pk_member_key(out, name);
    pk_buf_addc(out, '[');
    pk_buf_add(out, pk_buf_str(items));
    pk_buf_addc(out, ']');
}

static void print_message(const struct pk_stream *s, int i, struct pk_buf *out)
{
    const struct pk_stream_choice *c = &s->choices[i];
    bool tools = pk_stream_tools(s, i) > 0, silent = tools || c->refusal.len;

    pk_buf_adds(out, "{\"role\":\"assistant\",\"content\":");
    if (c->text.len == 0 && silent)
        pk_buf_adds(out, "null");
    else
        pk_json_quote(out, pk_buf_str(&c->text));
    if (c->refusal.len)
        pk_member_text(out, "refusal", pk_buf_str(&c->refusal));
    if (c->reasoning.len)
        pk_member_text(out, "reasoning_content", pk_buf_str(&c->reasoning));
    print_items("thinking_blocks", &c->thinking, out);
    if (c->more) {
        print_items("images", &c->more->images, out);
        pk_dialect_raw(out, "extra_content", c->more->extra);
    }
    if (tools)
        print_tools(s, i, out);
    pk_buf_addc(out, '}');
}

static void print_choice(const struct pk_stream *s, int i, struct pk_buf *out)
{
    const struct pk_stream_choice *c = &s->choices[i];

    pk_member_comma(out);
    pk_buf_addf(out, "{\"index\":%d,\"message\":", i);
    print_message(s, i, out);
    if (c->more && c->more->logprobs.len) {
        pk_buf_adds(out, ",\"logprobs\":{\"content\":[");
        pk_buf_add(out, pk_buf_str(&c->more->logprobs));
        pk_buf_adds(out, "]}");
    }
    pk_member_text(out, "finish_reason", c->finish_reason);
    print_members(c, out);
    pk_buf_addc(out, '}');
}

void pk_openai_print_answer(const struct pk_stream *s, struct pk_buf *out)
{
    print_head(out, "chat.completion", s);
    pk_buf_adds(out, ",\"choices\":[");
    for (int i = 0; i < s->choice_count; i++) {
        if (s->choices[i].used || i == 0)
            print_choice(s, i, out);
    }
    pk_buf_addc(out, ']');
    if (s->usage.source != PK_USAGE_NONE) {
        pk_member_key(out, "usage");
        print_usage(out, &s->usage);
    }
    print_list_of(s->kept, s->kept_count, out);
    pk_buf_addc(out, '}');
}

void pk_openai_print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out)
{
    pk_buf_adds(out, "{\"error\":{");
    pk_member_text(out, "message", f->message);
    pk_member_text(out, "type", f->type);
    pk_member_text(out, "param", f->param);
    pk_member_text(out, "code", f->code);
    pk_buf_addc(out, '}');
    if (provider.len)
        pk_member_text(out, "provider", provider);
    pk_buf_addc(out, '}');
}

/* --- replay: a complete answer as a stream --------------------------------------------------- */

struct replay {
    const struct pk_json *doc;
    struct pk_buf *out;
    pk_str head; /* up to the list of choices */
    pk_str index;
};

static void copy_members(struct pk_buf *out, const struct pk_json *doc, const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (pk_dialect_has(doc, 0, names[i]))
            pk_dialect_raw(out, names[i], pk_json_raw(doc, pk_json_get(doc, 0, names[i])));
}

static void open_replayed(const struct replay *r)
{
    pk_buf_adds(r->out, "data: ");
    pk_buf_add(r->out, r->head);
    pk_buf_adds(r->out, ",\"choices\":[{\"index\":");
    pk_dialect_line(r->out, r->index);
    pk_buf_adds(r->out, ",\"delta\":{");
}

static void replay_tools(const struct replay *r, int calls)
{
    int position = 0;

    pk_buf_addc(r->out, '[');
    for (int c = pk_json_first(r->doc, calls); c >= 0;
         c = pk_json_next(r->doc, calls, c), position++) {
        struct pk_buf call = pk_buf_in(r->out->arena, PK_STREAM_BYTES_MAX);
        struct pk_json_edit edit = {PK_STR("index"), pk_copyf(r->out->arena, "%d", position)};

        pk_member_comma(r->out);
        if (pk_json_type(r->doc, c) == PK_JSON_OBJECT)
            pk_json_splice(&call, r->doc, c, &edit, 1);
        pk_dialect_line(r->out, call.len ? pk_buf_str(&call) : pk_json_raw(r->doc, c));
    }
    pk_buf_addc(r->out, ']');
}

/* Each member of the message in a chunk of its own: thinking first, as it came. */
static void replay_members(const struct replay *r, int message, bool thinking)
{
    for (int k = pk_json_first(r->doc, message); k >= 0; k = pk_json_next(r->doc, message, k)) {
        pk_str name = pk_json_str(r->out->arena, r->doc, k);
        bool first = pk_str_starts(name, "reasoning") || pk_str_starts(name, "thinking");

        if (first != thinking || pk_str_is(name, "role") ||
            pk_json_type(r->doc, k + 1) == PK_JSON_NULL)
            continue;
        open_replayed(r);
        pk_dialect_line(r->out, pk_json_raw(r->doc, k));
        pk_buf_addc(r->out, ':');
        if (pk_str_is(name, "tool_calls"))
            replay_tools(r, k + 1);
        else
            pk_dialect_line(r->out, pk_json_raw(r->doc, k + 1));
        close_delta(r->out);
    }
}

/* What else a choice has, logprobs for one, in its last chunk. */
static void replay_rest(const struct replay *r, int choice)
{
    for (int k = pk_json_first(r->doc, choice); k >= 0; k = pk_json_next(r->doc, choice, k)) {
        if (pk_json_is(r->doc, k, "index") || pk_json_is(r->doc, k, "message") ||
            pk_json_is(r->doc, k, "finish_reason") || pk_json_type(r->doc, k + 1) == PK_JSON_NULL)
            continue;
        pk_member_comma(r->out);
        pk_dialect_line(r->out, pk_json_raw(r->doc, k));
        pk_buf_addc(r->out, ':');
        pk_dialect_line(r->out, pk_json_raw(r->doc, k + 1));
    }
}

static void replay_choice(struct replay *r, int choice, int position)
{
    int message = pk_json_get(r->doc, choice, "message");
    int index = pk_json_get(r->doc, choice, "index");
    pk_str finish = pk_json_raw(r->doc, pk_json_get(r->doc, choice, "finish_reason"));

    r->index = pk_json_type(r->doc, index) == PK_JSON_NUMBER
                   ? pk_json_raw(r->doc, index)
                   : pk_copyf(r->out->arena, "%d", position);
    open_replayed(r);
    pk_buf_adds(r->out, "\"role\":\"assistant\",\"content\":\"\"");
    close_delta(r->out);
    replay_members(r, message, true);
    replay_members(r, message, false);
    open_replayed(r);
    pk_buf_addc(r->out, '}');
    replay_rest(r, choice);
    pk_dialect_raw(r->out, "finish_reason", finish.len ? finish : PK_STR("\"stop\""));
    pk_buf_adds(r->out, "}]}\n\n");
}

bool pk_openai_replay(const struct pk_json *doc, bool with_usage, struct pk_buf *out)
{
    static const char *const shown[] = {"created", "model", "service_tier", "system_fingerprint",
                                        NULL};
    struct pk_buf head = pk_buf_in(out->arena, PK_EVENT_BYTES_MAX);
    struct replay r = {.doc = doc, .out = out};
    int choices = pk_json_get(doc, 0, "choices"), position = 0;

    if (pk_json_type(doc, choices) != PK_JSON_ARRAY)
        return false;
    pk_buf_addc(&head, '{');
    pk_dialect_raw(&head, "id", pk_json_raw(doc, pk_json_get(doc, 0, "id")));
    pk_dialect_raw(&head, "object", PK_STR("\"chat.completion.chunk\""));
    copy_members(&head, doc, shown);
    r.head = pk_buf_str(&head);
    for (int c = pk_json_first(doc, choices); c >= 0;
         c = pk_json_next(doc, choices, c), position++) {
        if (pk_json_type(doc, pk_json_get(doc, c, "message")) != PK_JSON_OBJECT)
            return false;
        replay_choice(&r, c, position);
    }
    if (with_usage && pk_dialect_has(doc, 0, "usage")) {
        pk_buf_adds(out, "data: ");
        pk_buf_add(out, r.head);
        pk_buf_adds(out, ",\"choices\":[]");
        pk_dialect_raw(out, "usage", pk_json_raw(doc, pk_json_get(doc, 0, "usage")));
        pk_buf_adds(out, "}\n\n");
    }
    pk_buf_adds(out, "data: [DONE]\n\n");
    return !out->failed && !head.failed && !out->arena->failed;
}
