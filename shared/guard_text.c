/* guard_text.c - the texts of a request or an answer, and documents with other texts in their places.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Texts are strings of the document: they are changed in place, and every other byte stays as it came. What
 * a tool call's arguments say is no text.
 */
#include "guard_inner.h"

#include "dialect_parts.h"

enum { PIECES_FIRST = 8 };

static bool is_anthropic(const struct pk_dialect *front)
{
    return front == &pk_dialect_anthropic;
}

/* --- reading --------------------------------------------------------------------------------- */

static void add_piece(struct pk_guard_doc *doc, int node, int unit, bool system)
{
    if (doc->count == doc->cap) {
        int cap = doc->cap ? doc->cap * 2 : PIECES_FIRST;
        void *more = pk_alloc_grow(doc->arena, doc->pieces, (size_t)doc->cap * sizeof *doc->pieces,
                                   (size_t)cap * sizeof *doc->pieces);
        if (!more)
            return; /* the arena has failed */
        doc->pieces = more;
        doc->cap = cap;
    }
    doc->pieces[doc->count++] = (struct pk_guard_piece){
        .node = node,
        .unit = unit,
        .system = system,
        .text = pk_json_str(doc->arena, &doc->json, node),
    };
}

static void add_text(struct pk_guard_doc *doc, int value, bool system)
{
    if (pk_json_type(&doc->json, value) == PK_JSON_STRING)
        add_piece(doc, value, doc->units, system);
}

/* Parts of a message: those that have a text, whatever they call themselves. */
static void add_parts(struct pk_guard_doc *doc, int parts, bool system)
{
    const struct pk_json *j = &doc->json;

    if (pk_json_type(j, parts) != PK_JSON_ARRAY)
        return;
    for (int part = pk_json_first(j, parts); part >= 0; part = pk_json_next(j, parts, part))
        add_text(doc, pk_json_get(j, part, "text"), system);
}

/* Content is a string or a list of parts. What a tool gave back (Anthropic) is content of its own. */
static void add_content(struct pk_guard_doc *doc, int content, bool system)
{
    const struct pk_json *j = &doc->json;

    add_text(doc, content, system);
    if (pk_json_type(j, content) != PK_JSON_ARRAY)
        return;
    for (int part = pk_json_first(j, content); part >= 0; part = pk_json_next(j, content, part)) {
        int inner = pk_json_get(j, part, "content");

        add_text(doc, pk_json_get(j, part, "text"), system);
        add_text(doc, inner, system);
        add_parts(doc, inner, system);
    }
}

static void read_request(struct pk_guard_doc *doc)
{
    const struct pk_json *j = &doc->json;
    int messages = pk_json_get(j, 0, "messages");
    int system_text = pk_json_get(j, 0, "system");

    if (is_anthropic(doc->front) && pk_json_type(j, system_text) == PK_JSON_STRING)
        add_piece(doc, system_text, PK_GUARD_UNIT_SYSTEM, true);
    for (int m = pk_json_first(j, messages); m >= 0; m = pk_json_next(j, messages, m)) {
        int role = pk_json_get(j, m, "role");
        bool system = pk_json_is(j, role, "system") || pk_json_is(j, role, "developer");

        add_content(doc, pk_json_get(j, m, "content"), system);
        doc->units++;
    }
}

static void read_answer(struct pk_guard_doc *doc)
{
    const struct pk_json *j = &doc->json;
    int choices = pk_json_get(j, 0, "choices");

    if (is_anthropic(doc->front)) {
        add_content(doc, pk_json_get(j, 0, "content"), false);
        doc->units = 1;
        return;
    }
    for (int c = pk_json_first(j, choices); c >= 0; c = pk_json_next(j, choices, c)) {
        int message = pk_json_get(j, c, "message");

        add_content(doc, pk_json_get(j, message, "content"), false);
        doc->units++;
    }
}

bool pk_guard_doc_open(struct pk_guard_doc *doc, pk_str text, struct pk_error *err)
{
    doc->text = text;
    doc->count = doc->units = 0;
    if (!pk_json_parse(doc->arena, text, doc->phase == PK_GUARD_INPUT ? "body" : "answer",
                       &doc->json, err))
        return false;
    if (doc->phase == PK_GUARD_INPUT)
        read_request(doc);
    else
        read_answer(doc);
    return !doc->arena->failed || pk_fail(err, PK_NO_MEMORY, "guardrail: out of memory");
}

pk_str pk_guard_unit(const struct pk_guard_doc *doc, int unit)
{
    struct pk_buf joined = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    pk_str only = PK_NONE;
    int found = 0;

    for (int i = 0; i < doc->count; i++) {
        const struct pk_guard_piece *p = &doc->pieces[i];

        if (p->unit != unit)
            continue;
        if (found++ == 0) {
            only = p->text;
            continue;
        }
        if (found == 2)
            pk_buf_add(&joined, only);
        pk_buf_addc(&joined, '\n');
        pk_buf_add(&joined, p->text);
    }
    return found > 1 ? pk_buf_str(&joined) : only;
}

/* --- changing -------------------------------------------------------------------------------- */

bool pk_guard_doc_apply(struct pk_guard_doc *doc, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    size_t from = 0;

    for (int i = 0; i < doc->count; i++) {
        const struct pk_guard_piece *p = &doc->pieces[i];
        const struct pk_json_node *node = &doc->json.nodes[p->node];

        if (!p->changed)
            continue;
        pk_buf_add(&out, pk_str_sub(doc->text, from, node->start - from));
        pk_json_quote(&out, p->text);
        from = node->end;
    }
    pk_buf_add(&out, pk_str_sub(doc->text, from, doc->text.len));
    doc->changed = true;
    return pk_dialect_built(&out, "guardrail", err) &&
           pk_guard_doc_open(doc, pk_buf_str(&out), err);
}

/* The system's text of an Anthropic request, before what it says already. */
static void insert_system(struct pk_guard_doc *doc, pk_str text, struct pk_buf *out)
{
    int old = pk_json_get(&doc->json, 0, "system");
    struct pk_buf value = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    pk_str rest = pk_json_raw(&doc->json, old);

    pk_buf_adds(&value, "[{\"type\":\"text\",\"text\":");
    pk_json_quote(&value, text);
    pk_buf_addc(&value, '}');
    if (pk_json_count(&doc->json, old))
        pk_buf_addf(&value, ",%.*s", PK_FMT(pk_str_sub(rest, 1, rest.len)));
    else
        pk_buf_addc(&value, ']');
    struct pk_json_edit edit = {PK_STR("system"), pk_buf_str(&value)};
    pk_json_splice(out, &doc->json, 0, &edit, 1);
}

bool pk_guard_doc_insert(struct pk_guard_doc *doc, int unit, pk_str role, pk_str text,
                         struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    int messages = pk_json_get(&doc->json, 0, "messages");
    bool system = pk_str_is(role, "system");
    int count = pk_json_count(&doc->json, messages);
    int before = unit >= 0 ? unit : system ? 0 : count;

    if (pk_json_type(&doc->json, messages) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_REQUEST, "messages: must be a list");
    if (system && is_anthropic(doc->front)) {
        insert_system(doc, text, &out);
    } else {
        const struct pk_json_node *list = &doc->json.nodes[messages];
        int next = pk_json_item(&doc->json, messages, before);
        size_t at = next >= 0 ? doc->json.nodes[next].start : list->end - 1;

        pk_buf_add(&out, pk_str_sub(doc->text, 0, at));
        pk_buf_adds(&out, next < 0 && count ? ",{\"role\":" : "{\"role\":");
        pk_json_quote(&out, role);
        pk_buf_adds(&out, ",\"content\":");
        pk_json_quote(&out, text);
        pk_buf_adds(&out, next < 0 ? "}" : "},");
        pk_buf_add(&out, pk_str_sub(doc->text, at, doc->text.len));
    }
    doc->changed = true;
    return pk_dialect_built(&out, "guardrail", err) &&
           pk_guard_doc_open(doc, pk_buf_str(&out), err);
}

/* --- answers of our own ---------------------------------------------------------------------- */

static void print_openai(struct pk_buf *out, pk_str model, int64_t created_s)
{
    pk_buf_adds(out, "{\"id\":\"chatcmpl-guardrail\",\"object\":\"chat.completion\"");
    pk_buf_addf(out, ",\"created\":%lld,\"model\":", (long long)created_s);
    pk_json_quote(out, model);
    pk_buf_adds(out, ",\"choices\":[],\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0,"
                     "\"total_tokens\":0}}");
}

static void print_anthropic(struct pk_buf *out, pk_str model)
{
    pk_buf_adds(out, "{\"id\":\"msg_guardrail\",\"type\":\"message\",\"role\":\"assistant\","
                     "\"model\":");
    pk_json_quote(out, model);
    pk_buf_adds(out, ",\"content\":[],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
                     "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}");
}

bool pk_guard_replace(struct pk_arena *arena, const struct pk_dialect *front, pk_str answer,
                      pk_str model, pk_str text, int64_t created_s, pk_str *out,
                      struct pk_error *err)
{
    bool anthropic = is_anthropic(front);
    struct pk_buf base = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf content = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf spliced = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    pk_buf_add(&base, answer);
    if (answer.len == 0 && anthropic)
        print_anthropic(&base, model);
    else if (answer.len == 0)
        print_openai(&base, model, created_s);
    if (!pk_dialect_built(&base, "answer", err) ||
        !pk_json_parse(arena, pk_buf_str(&base), "answer", &doc, err))
        return false;
    pk_buf_adds(&content, anthropic ? "[{\"type\":\"text\",\"text\":"
                                    : "[{\"index\":0,\"message\":{\"role\":\"assistant\","
                                      "\"content\":");
    pk_json_quote(&content, text);
    pk_buf_adds(&content, anthropic ? "}]" : "},\"finish_reason\":\"stop\"}]");
    const struct pk_json_edit edits[] = {
        {pk_str_of(anthropic ? "content" : "choices"), pk_buf_str(&content)},
        {PK_STR("stop_reason"), PK_STR("\"end_turn\"")},
    };
    pk_json_splice(&spliced, &doc, 0, edits, anthropic ? 2 : 1);
    *out = pk_buf_str(&spliced);
    return !content.failed && pk_dialect_built(&spliced, "answer", err);
}
