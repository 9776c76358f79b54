/* dialect_responses_replay.c - a complete Response as the events of a stream: a cache hit.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Items come as they are, whatever kind they are of; texts, summaries and arguments come in the deltas that a
 * client puts together.
 */
#include "dialect_parts.h"
#include "dialect_responses.h"

#include "sse.h"

#include <string.h>

struct replay {
    const struct pk_json *doc;
    struct pk_buf *out;
    int sequence;
    pk_str id; /* of the item, as JSON */
    int index; /* of the item */
};

static struct pk_buf open_event(struct replay *r, const char *type)
{
    struct pk_buf b = pk_buf_in(r->out->arena, PK_STREAM_BYTES_MAX);

    pk_buf_addf(&b, "{\"type\":\"%s\",\"sequence_number\":%d", type, r->sequence++);
    return b;
}

static void send(struct replay *r, const char *type, struct pk_buf *document)
{
    pk_buf_addc(document, '}');
    pk_sse_print(r->out, pk_str_of(type), pk_buf_str(document));
    r->out->failed = r->out->failed || document->failed;
}

/* `object` with other values in place of its own. */
static pk_str with(struct replay *r, int object, const struct pk_json_edit *edits, int count)
{
    struct pk_buf b = pk_buf_in(r->out->arena, PK_STREAM_BYTES_MAX);

    pk_json_splice(&b, r->doc, object, edits, count);
    return pk_buf_str(&b);
}

static void send_response(struct replay *r, const char *type, pk_str response)
{
    struct pk_buf b = open_event(r, type);

    pk_dialect_raw(&b, "response", response);
    send(r, type, &b);
}

static void send_item(struct replay *r, const char *type, pk_str item)
{
    struct pk_buf b = open_event(r, type);

    pk_buf_addf(&b, ",\"output_index\":%d", r->index);
    pk_dialect_raw(&b, "item", item);
    send(r, type, &b);
}

/* An event about a part, or about the item itself when `part` is negative: one member, `value`. */
static void send_inner(struct replay *r, const char *type, int part, const char *member,
                       pk_str value)
{
    struct pk_buf b = open_event(r, type);
    bool summary = strstr(type, "summary") != NULL;

    pk_dialect_raw(&b, "item_id", r->id);
    pk_buf_addf(&b, ",\"output_index\":%d", r->index);
    if (part >= 0)
        pk_buf_addf(&b, ",\"%s\":%d", summary ? "summary_index" : "content_index", part);
    pk_dialect_raw(&b, member, value);
    if (strstr(type, "output_text"))
        pk_buf_adds(&b, ",\"logprobs\":[]");
    send(r, type, &b);
}

/* The kinds of part that come in deltas, by their type. */
static const struct part {
    const char *type, *member, *added, *delta, *done, *ended;
} parts[] = {
    {"output_text", "text", "response.content_part.added", "response.output_text.delta",
     "response.output_text.done", "response.content_part.done"},
    {"refusal", "refusal", "response.content_part.added", "response.refusal.delta",
     "response.refusal.done", "response.content_part.done"},
    {"reasoning_text", "text", "response.content_part.added", "response.reasoning_text.delta",
     "response.reasoning_text.done", "response.content_part.done"},
    {"summary_text", "text", "response.reasoning_summary_part.added",
     "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
     "response.reasoning_summary_part.done"},
};

static void replay_part(struct replay *r, int part, int position)
{
    for (size_t i = 0; i < PK_COUNT(parts); i++) {
        const struct part *p = &parts[i];
        struct pk_json_edit empty = {pk_str_of(p->member), PK_STR("\"\"")};
        pk_str text = pk_json_raw(r->doc, pk_json_get(r->doc, part, p->member));

        if (!pk_json_is(r->doc, pk_json_get(r->doc, part, "type"), p->type))
            continue;
        send_inner(r, p->added, position, "part", with(r, part, &empty, 1));
        send_inner(r, p->delta, position, "delta", text);
        send_inner(r, p->done, position, p->member, text);
        send_inner(r, p->ended, position, "part", pk_json_raw(r->doc, part));
    }
}

static void replay_parts(struct replay *r, int list)
{
    int position = 0;

    if (pk_json_type(r->doc, list) != PK_JSON_ARRAY)
        return;
    for (int p = pk_json_first(r->doc, list); p >= 0; p = pk_json_next(r->doc, list, p))
        replay_part(r, p, position++);
}

/* The members of an item that come in deltas. */
static const struct {
    const char *type, *member, *delta, *done;
} texts[] = {
    {"function_call", "arguments", "response.function_call_arguments.delta",
     "response.function_call_arguments.done"},
    {"custom_tool_call", "input", "response.custom_tool_call_input.delta",
     "response.custom_tool_call_input.done"},
};

static void replay_texts(struct replay *r, int item)
{
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        pk_str text = pk_json_raw(r->doc, pk_json_get(r->doc, item, texts[i].member));

        if (!pk_json_is(r->doc, pk_json_get(r->doc, item, "type"), texts[i].type) || !text.len)
            continue;
        send_inner(r, texts[i].delta, -1, "delta", text);
        send_inner(r, texts[i].done, -1, texts[i].member, text);
    }
}

/* An item as it stood before its deltas. */
static pk_str beginning(struct replay *r, int item)
{
    struct pk_json_edit edits[4];
    int n = 0, content = pk_json_get(r->doc, item, "content");
    bool call = pk_json_is(r->doc, pk_json_get(r->doc, item, "type"), "function_call");

    if (pk_json_type(r->doc, content) == PK_JSON_ARRAY)
        edits[n++] = (struct pk_json_edit){PK_STR("content"), PK_STR("[]")};
    if (pk_dialect_has(r->doc, item, "summary"))
        edits[n++] = (struct pk_json_edit){PK_STR("summary"), PK_STR("[]")};
    if (call)
        edits[n++] = (struct pk_json_edit){PK_STR("arguments"), PK_STR("\"\"")};
    if (pk_dialect_has(r->doc, item, "status"))
        edits[n++] = (struct pk_json_edit){PK_STR("status"), PK_STR("\"in_progress\"")};
    return with(r, item, edits, n);
}

static void replay_item(struct replay *r, int item)
{
    r->id = pk_json_raw(r->doc, pk_json_get(r->doc, item, "id"));
    send_item(r, "response.output_item.added", beginning(r, item));
    replay_parts(r, pk_json_get(r->doc, item, "summary"));
    replay_parts(r, pk_json_get(r->doc, item, "content"));
    replay_texts(r, item);
    send_item(r, "response.output_item.done", pk_json_raw(r->doc, item));
    r->index++;
}

bool pk_responses_replay(const struct pk_json *doc, bool with_usage, struct pk_buf *out)
{
    const struct pk_json_edit start[] = {
        {PK_STR("status"), PK_STR("\"in_progress\"")},
        {PK_STR("output"), PK_STR("[]")},
        {PK_STR("incomplete_details"), PK_STR("null")},
        {PK_STR("usage"), PK_STR("null")},
    };
    struct replay r = {.doc = doc, .out = out};
    int output = pk_json_get(doc, 0, "output");

    (void)with_usage; /* this dialect always tells it */
    if (pk_json_type(doc, output) != PK_JSON_ARRAY)
        return false;
    send_response(&r, "response.created", with(&r, 0, start, PK_COUNT(start)));
    send_response(&r, "response.in_progress", with(&r, 0, start, PK_COUNT(start)));
    for (int i = pk_json_first(doc, output); i >= 0; i = pk_json_next(doc, output, i)) {
        if (pk_json_type(doc, i) != PK_JSON_OBJECT)
            return false;
        replay_item(&r, i);
    }
    send_response(&r,
                  pk_json_is(doc, pk_json_get(doc, 0, "status"), "incomplete")
                      ? "response.incomplete"
                      : "response.completed",
                  doc->text);
    return !out->failed && !out->arena->failed;
}
