/* guard_text.c - the texts of a request or an answer, and documents with other texts in their places.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Texts are strings of the document: they are changed in place, and every other byte stays as it came. What
 * a tool call's arguments say is no text.
 */
#include "guard_inner.h"

#include "dialect_parts.h"

static bool is_anthropic(const struct pk_dialect *front)
{
    return front == &pk_dialect_anthropic;
}

static bool is_responses(const struct pk_dialect *front)
{
    return front == &pk_dialect_responses;
}

const char *pk_guard_list(const struct pk_dialect *front)
{
    return is_responses(front) ? "input" : "messages";
}

/* The member that holds what the system says; NULL: it stands among the messages. */
static const char *system_of(const struct pk_dialect *front)
{
    return is_responses(front) ? "instructions" : is_anthropic(front) ? "system" : NULL;
}

/* --- reading --------------------------------------------------------------------------------- */

static void add_piece(struct pk_guard_doc *doc, int node, int unit, bool system)
{
    void *rows = pk_alloc_row(doc->arena, doc->pieces, doc->count, sizeof *doc->pieces);

    if (!rows)
        return; /* the arena has failed */
    doc->pieces = rows;
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

/* A text, or a list of texts, of objects with one, or of parts. */
static void add_input(struct pk_guard_doc *doc, int input)
{
    const struct pk_json *j = &doc->json;
    bool list = pk_json_type(j, input) == PK_JSON_ARRAY;

    add_text(doc, input, false);
    add_text(doc, pk_json_get(j, input, "text"), false);
    for (int item = list ? pk_json_first(j, input) : -1; item >= 0;
         item = pk_json_next(j, input, item)) {
        add_text(doc, item, false);
        add_text(doc, pk_json_get(j, item, "text"), false);
    }
}

/* What is embedded, ranked or drawn is one thing to look at, whatever it consists of. */
static void read_inputs(struct pk_guard_doc *doc)
{
    static const char *const names[] = {"input", "prompt", "query", "documents"};

    for (size_t i = 0; i < PK_COUNT(names); i++)
        add_input(doc, pk_json_get(&doc->json, 0, names[i]));
    doc->units = 1;
}

static void read_request(struct pk_guard_doc *doc)
{
    const struct pk_json *j = &doc->json;
    int messages = pk_json_get(j, 0, pk_guard_list(doc->front));
    int system_text = system_of(doc->front) ? pk_json_get(j, 0, system_of(doc->front)) : -1;

    if (messages < 0) {
        read_inputs(doc);
        return;
    }
    if (pk_json_type(j, system_text) == PK_JSON_STRING)
        add_piece(doc, system_text, PK_GUARD_UNIT_SYSTEM, true);
    if (pk_json_type(j, messages) == PK_JSON_STRING) { /* all that the user says */
        add_text(doc, messages, false);
        doc->units++;
    }
    for (int m = pk_json_first(j, messages); m >= 0; m = pk_json_next(j, messages, m)) {
        int role = pk_json_get(j, m, "role");
        bool system = pk_json_is(j, role, "system") || pk_json_is(j, role, "developer");

        add_content(doc, pk_json_get(j, m, "content"), system);
        if (is_responses(doc->front))
            add_content(doc, pk_json_get(j, m, "output"), false); /* of a tool */
        doc->units++;
    }
}

static void read_answer(struct pk_guard_doc *doc)
{
    const struct pk_json *j = &doc->json;
    int choices = pk_json_get(j, 0, "choices"), output = pk_json_get(j, 0, "output");

    if (is_responses(doc->front)) {
        for (int i = pk_json_first(j, output); i >= 0; i = pk_json_next(j, output, i))
            add_content(doc, pk_json_get(j, i, "content"), false);
        doc->units = 1;
        return;
    }
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

/* The same of a Responses request, whose system has one text. */
static void insert_instructions(struct pk_guard_doc *doc, pk_str text, struct pk_buf *out)
{
    int old = pk_json_get(&doc->json, 0, "instructions");
    struct pk_buf value = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    pk_str rest = pk_json_str(doc->arena, &doc->json, old);

    pk_json_quote(&value,
                  rest.len ? pk_copyf(doc->arena, "%.*s\n%.*s", PK_FMT(text), PK_FMT(rest)) : text);
    struct pk_json_edit edit = {PK_STR("instructions"), pk_buf_str(&value)};
    pk_json_splice(out, &doc->json, 0, &edit, 1);
}

static void print_message(struct pk_buf *out, pk_str role, pk_str text)
{
    pk_buf_adds(out, "{\"role\":");
    pk_json_quote(out, role);
    pk_buf_adds(out, ",\"content\":");
    pk_json_quote(out, text);
    pk_buf_addc(out, '}');
}

/* A message before number `before` of the list, or at its end. */
static void insert_message(struct pk_guard_doc *doc, int before, pk_str message, struct pk_buf *out)
{
    int messages = pk_json_get(&doc->json, 0, pk_guard_list(doc->front));
    const struct pk_json_node *list = &doc->json.nodes[messages];
    int next = pk_json_item(&doc->json, messages, before);
    size_t at = next >= 0 ? doc->json.nodes[next].start : list->end - 1;

    pk_buf_add(out, pk_str_sub(doc->text, 0, at));
    pk_buf_adds(out, next < 0 && list->count ? "," : "");
    pk_buf_add(out, message);
    pk_buf_adds(out, next < 0 ? "" : ",");
    pk_buf_add(out, pk_str_sub(doc->text, at, doc->text.len));
}

/* A text alone is the user's: it becomes a list of two messages. */
static void insert_beside(struct pk_guard_doc *doc, bool before, pk_str message, struct pk_buf *out)
{
    int input = pk_json_get(&doc->json, 0, "input");
    struct pk_buf list = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    struct pk_buf said = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);

    print_message(&said, PK_STR("user"), pk_json_str(doc->arena, &doc->json, input));
    pk_buf_addf(&list, "[%.*s,%.*s]", PK_FMT(before ? message : pk_buf_str(&said)),
                PK_FMT(before ? pk_buf_str(&said) : message));
    struct pk_json_edit edit = {PK_STR("input"), pk_buf_str(&list)};
    pk_json_splice(out, &doc->json, 0, &edit, 1);
}

bool pk_guard_doc_insert(struct pk_guard_doc *doc, int unit, pk_str role, pk_str text,
                         struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    struct pk_buf message = pk_buf_in(doc->arena, PK_BODY_BYTES_MAX);
    int messages = pk_json_get(&doc->json, 0, pk_guard_list(doc->front));
    bool system = pk_str_is(role, "system");
    bool alone = is_responses(doc->front) && pk_json_type(&doc->json, messages) == PK_JSON_STRING;

    if (pk_json_type(&doc->json, messages) != PK_JSON_ARRAY && !alone)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be a list", pk_guard_list(doc->front));
    print_message(&message, role, text);
    if (system && is_anthropic(doc->front))
        insert_system(doc, text, &out);
    else if (system && is_responses(doc->front))
        insert_instructions(doc, text, &out);
    else if (alone)
        insert_beside(doc, unit >= 0, pk_buf_str(&message), &out);
    else
        insert_message(doc,
                       unit >= 0 ? unit
                       : system  ? 0
                                 : pk_json_count(&doc->json, messages),
                       pk_buf_str(&message), &out);
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

static void print_response(struct pk_buf *out, pk_str model, int64_t created_s)
{
    pk_buf_adds(out, "{\"id\":\"resp_guardrail\",\"object\":\"response\"");
    pk_buf_addf(out, ",\"created_at\":%lld,\"error\":null,\"model\":", (long long)created_s);
    pk_json_quote(out, model);
    pk_buf_adds(out, ",\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],"
                     "\"usage\":{\"input_tokens\":0,\"input_tokens_details\":{\"cached_tokens\":0},"
                     "\"output_tokens\":0,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                     "\"total_tokens\":0}}");
}

/* How an answer of each front says one text: `open`, the text, `close` are the value of `list`; the member `end`
 * tells why there is no more of it. */
static const struct shape {
    const char *list, *open, *close, *end, *reason;
} shapes[] = {
    {"choices", "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":",
     "},\"finish_reason\":\"stop\"}]", NULL, NULL},
    {"content", "[{\"type\":\"text\",\"text\":", "}]", "stop_reason", "\"end_turn\""},
    {"output",
     "[{\"id\":\"msg_guardrail\",\"type\":\"message\",\"status\":\"completed\","
     "\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],"
     "\"logprobs\":[],\"text\":",
     "}]}]", "status", "\"completed\""},
};

static const struct shape *shape_of(const struct pk_dialect *front)
{
    return &shapes[is_responses(front) ? 2 : is_anthropic(front)];
}

static void print_empty(struct pk_buf *out, const struct pk_dialect *front, pk_str model,
                        int64_t created_s)
{
    if (is_anthropic(front))
        print_anthropic(out, model);
    else if (is_responses(front))
        print_response(out, model, created_s);
    else
        print_openai(out, model, created_s);
}

bool pk_guard_replace(struct pk_arena *arena, const struct pk_dialect *front, pk_str answer,
                      pk_str model, pk_str text, int64_t created_s, pk_str *out,
                      struct pk_error *err)
{
    const struct shape *shape = shape_of(front);
    struct pk_buf base = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf content = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_buf spliced = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_json doc;

    pk_buf_add(&base, answer);
    if (answer.len == 0)
        print_empty(&base, front, model, created_s);
    if (!pk_dialect_built(&base, "answer", err) ||
        !pk_json_parse(arena, pk_buf_str(&base), "answer", &doc, err))
        return false;
    pk_buf_adds(&content, shape->open);
    pk_json_quote(&content, text);
    pk_buf_adds(&content, shape->close);
    const struct pk_json_edit edits[] = {
        {pk_str_of(shape->list), pk_buf_str(&content)},
        {pk_str_of(shape->end ? shape->end : ""), pk_str_of(shape->reason ? shape->reason : "")},
    };
    pk_json_splice(&spliced, &doc, 0, edits, shape->end ? 2 : 1);
    *out = pk_buf_str(&spliced);
    return !content.failed && pk_dialect_built(&spliced, "answer", err);
}
