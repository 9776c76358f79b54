/* dialect_responses_print.c - what a client of the Responses API is sent by a provider without it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the "Responses" and "Streaming events" pages of OpenAI's API reference.
 *
 *   response.created, response.in_progress, then items, one open at a time:
 *     response.output_item.added, what is in it by parts and deltas, response.output_item.done
 *   response.completed, or response.incomplete
 *
 * An answer is its items in the order in which they came; each is printed when it is closed and kept for the
 * Response at the end, so that both say the same. What the client asked for (tools, instructions ...) stands
 * in the Response as the API promises. Thoughts are a reasoning item with a summary; the signed blocks of a
 * provider that wants them back stand in encrypted_content as they are.
 */
#include "dialect_pivot.h"
#include "dialect_read.h"
#include "dialect_responses.h"

#include <string.h>

enum open { OPEN_NONE, OPEN_REASONING, OPEN_TEXT, OPEN_REFUSAL, OPEN_CALL };

/* What has been printed of an answer. */
struct printer {
    bool begun, ended;
    int sequence; /* the number of the next event */
    int index;    /* of the item that is open, or will be */
    enum open open;
    bool part;            /* of the reasoning that is open: it has a summary */
    struct pk_buf text;   /* of the item that is open */
    struct pk_buf blocks; /* its signed thoughts */
    struct pk_buf items;  /* those that are closed */
    struct pk_pivot_calls calls;
};

/* --- parts of the document ------------------------------------------------------------------- */

/* The id of the answer without the prefix of its kind. */
static pk_str base_id(const struct pk_stream *s)
{
    static const char *const prefixes[] = {"chatcmpl-", "msg_", "resp_"};

    for (size_t i = 0; i < PK_COUNT(prefixes); i++)
        if (pk_str_starts(s->id, prefixes[i]))
            return pk_str_sub(s->id, strlen(prefixes[i]), s->id.len);
    return s->id;
}

static pk_str item_id(const struct pk_stream *s, const char *prefix, struct pk_arena *arena)
{
    const struct printer *p = s->printer;

    return pk_copyf(arena, "%s_%.*s_%d", prefix, PK_FMT(base_id(s)), p->index);
}

static void print_usage(const struct pk_usage *u, struct pk_buf *out)
{
    int64_t in = u->input + u->cache_read + u->cache_write + u->cache_write_1h;
    int64_t made = u->output + u->reasoning, total = in + made;

    pk_member_key(out, "usage");
    if (u->source == PK_USAGE_NONE) {
        pk_buf_adds(out, "null");
        return;
    }
    pk_buf_addf(out, "{\"input_tokens\":%lld,\"input_tokens_details\":{\"cached_tokens\":%lld}",
                (long long)in, (long long)u->cache_read);
    pk_buf_addf(out,
                ",\"output_tokens\":%lld,\"output_tokens_details\":{\"reasoning_tokens\":%lld}",
                (long long)made, (long long)u->reasoning);
    pk_buf_addf(out, ",\"total_tokens\":%lld}", (long long)total);
}

/* What the request said, or what goes for it when it did not. */
static void print_asked(const struct pk_stream *s, struct pk_buf *out)
{
    static const struct {
        const char *name, *otherwise;
    } asked[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"max_tool_calls", "null"},
        {"metadata", "{}"},
        {"parallel_tool_calls", "true"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"temperature", "1"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_p", "1"},
        {"truncation", "\"disabled\""},
        {"user", "null"},
    };

    for (size_t i = 0; i < PK_COUNT(asked); i++) {
        int value = s->request ? pk_json_get(s->request, 0, asked[i].name) : -1;
        bool given = value >= 0 && pk_json_type(s->request, value) > PK_JSON_NULL;

        pk_dialect_raw(out, asked[i].name,
                       given ? pk_json_raw(s->request, value) : pk_str_of(asked[i].otherwise));
    }
}

static const char *incomplete_reason(const struct pk_stream *s)
{
    pk_str finish = s->choices[0].finish_reason;

    if (pk_str_is(finish, "length"))
        return "max_output_tokens";
    return pk_str_is(finish, "content_filter") ? "content_filter" : NULL;
}

static void print_response(const struct pk_stream *s, const char *status, pk_str items,
                           struct pk_buf *out)
{
    const char *reason = incomplete_reason(s);

    pk_buf_adds(out, "{\"id\":");
    pk_json_quote(out, pk_copyf(out->arena, "resp_%.*s", PK_FMT(base_id(s))));
    pk_buf_addf(out, ",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\"",
                (long long)s->created_s, status);
    pk_buf_adds(out, ",\"background\":false,\"error\":null,\"incomplete_details\":");
    if (strcmp(status, "incomplete") == 0)
        pk_buf_addf(out, "{\"reason\":\"%s\"}", reason ? reason : "max_output_tokens");
    else
        pk_buf_adds(out, "null");
    pk_buf_adds(out, ",\"model\":");
    pk_json_quote(out, s->model.len ? s->model : s->asked);
    pk_buf_adds(out, ",\"output\":[");
    pk_buf_add(out, items);
    pk_buf_adds(out, "],\"previous_response_id\":null,\"store\":false");
    print_asked(s, out);
    if (strcmp(status, "in_progress") == 0)
        pk_dialect_raw(out, "usage", PK_STR("null"));
    else
        print_usage(&s->usage, out);
    pk_buf_addc(out, '}');
}

static void print_text_part(const char *type, const char *member, pk_str text, struct pk_buf *out)
{
    pk_buf_addf(out, "{\"type\":\"%s\",\"%s\":", type, member);
    pk_json_quote(out, text);
    if (strcmp(type, "output_text") == 0)
        pk_buf_adds(out, ",\"annotations\":[],\"logprobs\":[]");
    pk_buf_addc(out, '}');
}

/* --- items ----------------------------------------------------------------------------------- */

static const struct {
    const char *prefix, *type;
    const char *part, *member; /* of what it has one of */
    const char *delta;         /* the events of that */
} kinds[] = {
    [OPEN_REASONING] = {"rs", "reasoning", "summary_text", "text", "reasoning_summary_text"},
    [OPEN_TEXT] = {"msg", "message", "output_text", "text", "output_text"},
    [OPEN_REFUSAL] = {"msg", "message", "refusal", "refusal", "refusal"},
};

/* A message or a reasoning; without what is in it, at its start. */
static void print_item(const struct pk_stream *s, const char *status, struct pk_buf *out)
{
    const struct printer *p = s->printer;
    bool begins = strcmp(status, "in_progress") == 0, reasoning = p->open == OPEN_REASONING;

    pk_member_comma(out);
    pk_buf_addc(out, '{');
    pk_member_text(out, "id", item_id(s, kinds[p->open].prefix, out->arena));
    pk_buf_addf(out, ",\"type\":\"%s\"", kinds[p->open].type);
    if (!reasoning)
        pk_buf_addf(out, ",\"status\":\"%s\",\"role\":\"assistant\"", status);
    pk_member_key(out, reasoning ? "summary" : "content");
    pk_buf_addc(out, '[');
    if (!begins && (p->part || !reasoning))
        print_text_part(kinds[p->open].part, kinds[p->open].member, pk_buf_str(&p->text), out);
    pk_buf_addc(out, ']');
    if (reasoning && p->blocks.len)
        pk_member_text(out, "encrypted_content",
                       pk_copyf(out->arena, "[%.*s]", PK_FMT(pk_buf_str(&p->blocks))));
    pk_buf_addc(out, '}');
}

/* Whether the client has described this tool as one that takes a text. */
static bool is_custom(const struct pk_stream *s, pk_str name)
{
    const struct pk_json *doc = s->request;
    int tools = doc ? pk_json_get(doc, 0, "tools") : -1;

    for (int t = doc ? pk_json_first(doc, tools) : -1; t >= 0; t = pk_json_next(doc, tools, t))
        if (pk_json_is(doc, pk_json_get(doc, t, "type"), "custom") &&
            pk_json_is(doc, pk_json_get(doc, t, "name"), pk_copy(s->arena, name).at))
            return true;
    return false;
}

/* The text that a custom tool's function was called with; the arguments themselves if it is not there. */
static pk_str input_of(struct pk_arena *arena, pk_str arguments)
{
    struct pk_json doc;
    struct pk_error unused;

    if (!pk_json_parse(arena, arguments, "arguments", &doc, &unused))
        return arguments;
    int input = pk_json_get(&doc, 0, PK_RESPONSES_INPUT);
    return pk_json_type(&doc, input) == PK_JSON_STRING ? pk_json_str(arena, &doc, input)
                                                       : arguments;
}

static void print_call(const struct pk_stream *s, const struct pk_stream_tool *t,
                       const char *status, struct pk_buf *out)
{
    bool begins = strcmp(status, "in_progress") == 0, custom = is_custom(s, t->name);
    pk_str arguments = begins ? PK_NONE : pk_buf_str(&t->arguments);

    pk_member_comma(out);
    pk_buf_addc(out, '{');
    pk_member_text(out, "id", item_id(s, custom ? "ctc" : "fc", out->arena));
    pk_buf_addf(out, ",\"type\":\"%s\",\"status\":\"%s\"",
                custom ? "custom_tool_call" : "function_call", status);
    pk_member_text(out, "call_id", t->id);
    pk_member_text(out, "name", t->name);
    pk_member_key(out, custom ? "input" : "arguments");
    pk_json_quote(out, custom ? input_of(out->arena, arguments)
                       : !begins && pk_str_trim(arguments).len == 0 ? PK_STR("{}")
                                                                    : arguments);
    pk_dialect_raw(out, "extra_content", t->extra);
    pk_buf_addc(out, '}');
}

static void print_image(const struct pk_stream *s, pk_str url, struct pk_buf *out)
{
    pk_str media = PK_NONE, bytes = url;

    (void)pk_make_data_url(url, &media, &bytes);
    pk_member_comma(out);
    pk_buf_addc(out, '{');
    pk_member_text(out, "id", item_id(s, "ig", out->arena));
    pk_buf_adds(out, ",\"type\":\"image_generation_call\",\"status\":\"completed\"");
    pk_member_text(out, "result", bytes);
    pk_buf_addc(out, '}');
}

/* --- events ---------------------------------------------------------------------------------- */

static struct pk_buf open_event(struct pk_stream *s, const char *type)
{
    struct pk_buf b = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);
    struct printer *p = s->printer;

    pk_buf_addf(&b, "{\"type\":\"%s\",\"sequence_number\":%d", type, p->sequence++);
    return b;
}

static void send(struct pk_buf *out, const char *type, struct pk_buf *document)
{
    pk_buf_addc(document, '}');
    pk_sse_print(out, pk_str_of(type), pk_buf_str(document));
    out->failed = out->failed || document->failed;
}

static void send_response(struct pk_stream *s, const char *type, const char *status,
                          struct pk_buf *out)
{
    struct pk_buf b = open_event(s, type);
    const struct printer *p = s->printer;

    pk_member_key(&b, "response");
    print_response(s, status, pk_buf_str(&p->items), &b);
    send(out, type, &b);
}

/* An item's beginning or end: `item` is its text. */
static void send_item(struct pk_stream *s, const char *type, pk_str item, struct pk_buf *out)
{
    struct pk_buf b = open_event(s, type);
    const struct printer *p = s->printer;

    pk_buf_addf(&b, ",\"output_index\":%d", p->index);
    pk_dialect_raw(&b, "item", item);
    send(out, type, &b);
}

/* The beginning of an event about what is in the open item. */
static struct pk_buf open_inner(struct pk_stream *s, const char *type)
{
    struct pk_buf b = open_event(s, type);
    const struct printer *p = s->printer;
    bool reasoning = p->open == OPEN_REASONING;

    pk_member_text(&b, "item_id", item_id(s, kinds[p->open].prefix, &s->scratch));
    pk_buf_addf(&b, ",\"output_index\":%d,\"%s\":0", p->index,
                reasoning ? "summary_index" : "content_index");
    return b;
}

/* A part's beginning or end. */
static void send_part(struct pk_stream *s, const char *what, pk_str text, struct pk_buf *out)
{
    const struct printer *p = s->printer;
    const char *type =
        pk_copyf(&s->scratch, "response.%s.%s",
                 p->open == OPEN_REASONING ? "reasoning_summary_part" : "content_part", what)
            .at;
    if (!type)
        return;
    struct pk_buf b = open_inner(s, type);

    pk_member_key(&b, "part");
    print_text_part(kinds[p->open].part, kinds[p->open].member, text, &b);
    send(out, type, &b);
}

/* A piece of a part's text, or all of it. */
static void send_text(struct pk_stream *s, const char *what, const char *member, pk_str text,
                      struct pk_buf *out)
{
    const struct printer *p = s->printer;
    const char *type = pk_copyf(&s->scratch, "response.%s.%s", kinds[p->open].delta, what).at;

    if (!type)
        return;
    struct pk_buf b = open_inner(s, type);

    pk_member_key(&b, member);
    pk_json_quote(&b, text);
    if (p->open == OPEN_TEXT)
        pk_buf_adds(&b, ",\"logprobs\":[]");
    send(out, type, &b);
}

/* --- opening and closing --------------------------------------------------------------------- */

/* The item is whole: the client is told, and it is kept. */
static void finish_item(struct pk_stream *s, const struct pk_buf *item, struct pk_buf *out)
{
    struct printer *p = s->printer;

    send_item(s, "response.output_item.done", pk_buf_str(item), out);
    if (p->items.len)
        pk_buf_addc(&p->items, ',');
    pk_buf_add(&p->items, pk_buf_str(item));
    p->index++;
    p->open = OPEN_NONE;
}

static void close_item(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    struct pk_buf item = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);

    if (p->open == OPEN_NONE)
        return;
    if (p->part) {
        send_text(s, "done", kinds[p->open].member, pk_buf_str(&p->text), out);
        send_part(s, "done", pk_buf_str(&p->text), out);
    }
    print_item(s, incomplete_reason(s) ? "incomplete" : "completed", &item);
    finish_item(s, &item, out);
}

static void open_item(struct pk_stream *s, enum open kind, struct pk_buf *out)
{
    struct pk_buf item = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);
    struct printer *p = s->printer;

    pk_pivot_print_calls(s, &p->calls, true, out);
    close_item(s, p, out);
    p->open = kind;
    p->part = false;
    pk_buf_reset(&p->text);
    pk_buf_reset(&p->blocks);
    print_item(s, "in_progress", &item);
    send_item(s, "response.output_item.added", pk_buf_str(&item), out);
}

static void on_text(struct pk_stream *s, enum open kind, pk_str text, struct pk_buf *out)
{
    struct printer *p = s->printer;

    if (p->open != kind)
        open_item(s, kind, out);
    if (!p->part)
        send_part(s, "added", PK_NONE, out);
    p->part = true;
    pk_buf_add(&p->text, text);
    send_text(s, "delta", "delta", text, out);
}

static void on_signed(struct pk_stream *s, pk_str block, struct pk_buf *out)
{
    struct printer *p = s->printer;

    if (p->open != OPEN_REASONING)
        open_item(s, OPEN_REASONING, out);
    if (p->blocks.len)
        pk_buf_addc(&p->blocks, ',');
    pk_dialect_line(&p->blocks, block);
}

static void on_image(struct pk_stream *s, pk_str url, struct pk_buf *out)
{
    struct pk_buf item = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);
    struct printer *p = s->printer;

    pk_pivot_print_calls(s, &p->calls, true, out);
    close_item(s, p, out);
    print_image(s, url, &item);
    send_item(s, "response.output_item.added", pk_buf_str(&item), out);
    finish_item(s, &item, out);
}

/* --- tool calls ------------------------------------------------------------------------------ */

static void begin_call(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out)
{
    struct pk_buf item = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);
    struct printer *p = s->printer;

    close_item(s, p, out);
    print_call(s, t, "in_progress", &item);
    send_item(s, "response.output_item.added", pk_buf_str(&item), out);
}

static struct pk_buf open_call_event(struct pk_stream *s, const char *type, bool custom)
{
    struct pk_buf b = open_event(s, type);
    const struct printer *p = s->printer;

    pk_member_text(&b, "item_id", item_id(s, custom ? "ctc" : "fc", &s->scratch));
    pk_buf_addf(&b, ",\"output_index\":%d", p->index);
    return b;
}

/* A custom tool's input is inside of the arguments: it is told at the end. */
static void more_of_call(struct pk_stream *s, pk_str arguments, struct pk_buf *out)
{
    static const char type[] = "response.function_call_arguments.delta";
    const struct printer *p = s->printer;

    if (is_custom(s, s->tools[p->calls.next].name))
        return;
    struct pk_buf b = open_call_event(s, type, false);
    pk_member_key(&b, "delta");
    pk_json_quote(&b, arguments);
    send(out, type, &b);
}

static void end_custom(struct pk_stream *s, pk_str input, struct pk_buf *out)
{
    static const char delta[] = "response.custom_tool_call_input.delta";
    static const char done[] = "response.custom_tool_call_input.done";
    struct pk_buf b = open_call_event(s, delta, true);

    pk_member_key(&b, "delta");
    pk_json_quote(&b, input);
    send(out, delta, &b);
    b = open_call_event(s, done, true);
    pk_member_key(&b, "input");
    pk_json_quote(&b, input);
    send(out, done, &b);
}

static void end_function(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out)
{
    static const char done[] = "response.function_call_arguments.done";
    struct pk_buf b = open_call_event(s, done, false);
    pk_str arguments = pk_buf_str(&t->arguments);

    pk_member_text(&b, "name", t->name);
    pk_member_key(&b, "arguments");
    pk_json_quote(&b, pk_str_trim(arguments).len ? arguments : PK_STR("{}"));
    send(out, done, &b);
}

static void end_call(struct pk_stream *s, const struct pk_stream_tool *t, struct pk_buf *out)
{
    struct pk_buf item = pk_buf_in(&s->scratch, PK_STREAM_BYTES_MAX);

    if (is_custom(s, t->name))
        end_custom(s, input_of(&s->scratch, pk_buf_str(&t->arguments)), out);
    else
        end_function(s, t, out);
    print_call(s, t, incomplete_reason(s) ? "incomplete" : "completed", &item);
    finish_item(s, &item, out);
}

/* --- deltas ---------------------------------------------------------------------------------- */

/* NULL when there is no memory, which the stream will say itself. */
static struct printer *printer_of(struct pk_stream *s)
{
    struct printer *p = s->printer ? s->printer : pk_alloc(s->arena, sizeof *p);

    if (p && !s->printer) {
        p->calls =
            (struct pk_pivot_calls){.begin = begin_call, .more = more_of_call, .end = end_call};
        p->text = p->blocks = p->items = pk_buf_in(s->arena, PK_STREAM_BYTES_MAX);
    }
    s->printer = p;
    return p;
}

static void begin(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    if (p->begun)
        return;
    p->begun = true;
    send_response(s, "response.created", "in_progress", out);
    send_response(s, "response.in_progress", "in_progress", out);
}

static void close_all(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    pk_pivot_print_calls(s, &p->calls, true, out);
    close_item(s, p, out);
}

static void on_done(struct pk_stream *s, struct printer *p, struct pk_buf *out)
{
    bool cut = incomplete_reason(s) != NULL;

    close_all(s, p, out);
    p->ended = true;
    send_response(s, cut ? "response.incomplete" : "response.completed",
                  cut ? "incomplete" : "completed", out);
}

void pk_responses_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out)
{
    struct printer *p = printer_of(s);

    if (!p || d->choice != 0)
        return;
    if (d->kind != PK_DELTA_ERROR && d->kind != PK_DELTA_USAGE && d->kind != PK_DELTA_OTHER)
        begin(s, p, out);
    switch (d->kind) {
    case PK_DELTA_TEXT: on_text(s, OPEN_TEXT, d->text, out); break;
    case PK_DELTA_REFUSAL: on_text(s, OPEN_REFUSAL, d->text, out); break;
    case PK_DELTA_REASONING: on_text(s, OPEN_REASONING, d->text, out); break;
    case PK_DELTA_THINKING: on_signed(s, d->text, out); break;
    case PK_DELTA_TOOL: pk_pivot_print_calls(s, &p->calls, false, out); break;
    case PK_DELTA_IMAGE: on_image(s, d->text, out); break;
    case PK_DELTA_FINISH: close_all(s, p, out); break;
    case PK_DELTA_DONE: on_done(s, p, out); break;
    case PK_DELTA_START:    /* is printed before anything else */
    case PK_DELTA_USAGE:    /* at the end */
    case PK_DELTA_LOGPROBS: /* these have no place here */
    case PK_DELTA_EXTRA:
    case PK_DELTA_MEMBER:
    case PK_DELTA_OTHER:
    case PK_DELTA_ERROR: break; /* the caller ends the stream with it */
    }
    out->failed = out->failed || p->items.failed || p->text.failed || p->blocks.failed;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* A stream of the API's own events has told the Response itself. */
static void print_own(const struct pk_stream *s, struct pk_buf *out)
{
    const struct pk_stream_message *m = &s->message;

    pk_buf_add(out, m->end.len ? m->end : m->start.len ? m->start : PK_STR("{}"));
}

void pk_responses_print_answer(const struct pk_stream *s, struct pk_buf *out)
{
    const struct printer *p = s->printer;
    struct pk_buf items = pk_buf_in(out->arena, PK_STREAM_BYTES_MAX);
    bool cut = incomplete_reason(s) || (p && p->open != OPEN_NONE);

    if (s->passes) {
        print_own(s, out);
        return;
    }
    if (p)
        pk_buf_add(&items, pk_buf_str(&p->items));
    if (p && p->open != OPEN_NONE) /* the stream broke off in it */
        print_item(s, "incomplete", &items);
    print_response(s, cut ? "incomplete" : "completed", pk_buf_str(&items), out);
    out->failed = out->failed || items.failed;
}
