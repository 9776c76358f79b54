/* prompt_read.c - a prompt's document, read and checked (prompt.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "prompt.h"

#include <string.h>

enum { NAME_BYTES_MAX = 256, DESCRIPTION_BYTES_MAX = 4096, VALUE_SHOWN_MAX = 64 };

struct reader {
    struct pk_arena *arena;
    const struct pk_json *doc;
    struct pk_prompt *p;
    bool partial;
    struct pk_buf parameters, details; /* JSON objects without their last brace */
    struct pk_error *err;
};

struct member {
    const char *name, *want; /* want: what it must be */
    unsigned types;          /* bits of enum pk_json_type */
    bool (*read)(struct reader *r, int value, const struct member *m);
    size_t at, max; /* read_text: its field of struct pk_prompt, and bytes */
};

/* --- paths ----------------------------------------------------------------------------- */

/* "messages[1].content" for a value of the document. */
static const char *path_of(struct pk_arena *arena, const struct pk_json *doc, int value)
{
    struct pk_buf path = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    int in = 0;

    if (value == 0)
        return "string"; /* the document is the text alone */
    while (in >= 0 && in != value) {
        bool object = pk_json_type(doc, in) == PK_JSON_OBJECT;
        int v = pk_json_first(doc, in), i = 0;

        for (int next; (next = pk_json_next(doc, in, v)) >= 0 && next <= value; i++)
            v = next;
        if (object)
            pk_buf_addf(&path, "%s%.*s", path.len ? "." : "",
                        PK_FMT(pk_str_sub(pk_json_str(arena, doc, v), 0, VALUE_SHOWN_MAX)));
        else
            pk_buf_addf(&path, "[%d]", i);
        in = object ? v + 1 : v;
    }
    pk_buf_addc(&path, '\0');
    return path.failed ? "template" : path.at;
}

/* --- templates ------------------------------------------------------------------------- */

static bool check_template(struct pk_arena *arena, const struct pk_json *doc, int string,
                           struct pk_names *names, struct pk_error *err)
{
    pk_str text = pk_json_str(arena, doc, string);
    struct pk_error first;

    return pk_mustache_check(arena, text, "", names, &first) ||
           pk_mustache_check(arena, text, path_of(arena, doc, string), names, err);
}

/* Every string in `value`, but for the names of members. Recursion is bounded by PK_JSON_DEPTH_MAX. */
static bool check_templates(struct pk_arena *arena, const struct pk_json *doc, int value,
                            struct pk_names *names, struct pk_error *err)
{
    bool object = pk_json_type(doc, value) == PK_JSON_OBJECT;

    if (pk_json_type(doc, value) == PK_JSON_STRING)
        return check_template(arena, doc, value, names, err);
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        if (!check_templates(arena, doc, object ? v + 1 : v, names, err))
            return false;
    return true;
}

bool pk_prompt_partials(struct pk_arena *arena, pk_str template, struct pk_names *partials,
                        struct pk_error *err)
{
    struct pk_json doc;

    return pk_json_parse(arena, template, "template", &doc, err) &&
           check_templates(arena, &doc, 0, partials, err);
}

static bool take_template(struct reader *r, int value)
{
    struct pk_names names = {.count = 0};

    if (r->p->template.len)
        return pk_fail(r->err, PK_BAD_REQUEST, "messages and string: one of them is enough");
    r->p->template = pk_json_raw(r->doc, value);
    return check_templates(r->arena, r->doc, value, &names, r->err);
}

/* --- messages -------------------------------------------------------------------------- */

static bool is_variable(struct pk_arena *arena, pk_str text)
{
    static const struct pk_json none;
    struct pk_mustache m = {.arena = arena, .vars = &none};
    int value;

    return pk_mustache_alone(&m, text, &value);
}

static bool check_message(struct reader *r, int item)
{
    const struct pk_json *doc = r->doc;
    int role = pk_json_get(doc, item, "role"), content = pk_json_get(doc, item, "content");
    enum pk_json_type type = pk_json_type(doc, content);

    if (pk_json_type(doc, item) == PK_JSON_STRING)
        return is_variable(r->arena, pk_json_str(r->arena, doc, item)) ||
               pk_fail(r->err, PK_BAD_REQUEST,
                       "%s: must be an object, or a string that is one variable",
                       path_of(r->arena, doc, item));
    if (pk_json_type(doc, item) != PK_JSON_OBJECT)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be an object, not %s",
                       path_of(r->arena, doc, item), pk_json_type_name(pk_json_type(doc, item)));
    if (pk_json_type(doc, role) != PK_JSON_STRING)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.role: must be a string",
                       path_of(r->arena, doc, item));
    if (type == PK_JSON_STRING || type == PK_JSON_ARRAY || type == PK_JSON_NULL ||
        type == PK_JSON_NONE)
        return true;
    return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be a string or an array, not %s",
                   path_of(r->arena, doc, content), pk_json_type_name(type));
}

static bool read_messages(struct reader *r, int value, const struct member *m)
{
    (void)m;
    if (pk_json_count(r->doc, value) == 0)
        return pk_fail(r->err, PK_BAD_REQUEST, "messages: must not be empty");
    for (int v = pk_json_first(r->doc, value); v >= 0; v = pk_json_next(r->doc, value, v))
        if (!check_message(r, v))
            return false;
    return take_template(r, value);
}

/* Whether a text begins as an array of messages does: [{" */
static bool looks_like_messages(pk_str text)
{
    static const char start[] = "[{\"";
    size_t found = 0;

    for (size_t i = 0; i < text.len && found < sizeof start - 1; i++) {
        if (text.at[i] == start[found])
            found++;
        else if (!strchr(" \t\r\n", text.at[i]))
            return false;
    }
    return found == sizeof start - 1;
}

/* Portkey keeps an array of messages as a string. */
static bool read_messages_text(struct reader *r, pk_str text)
{
    struct pk_buf doc = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
    struct reader of_inner = *r;
    struct pk_json inner;

    if (!pk_json_parse(r->arena, text, "string", &inner, r->err))
        return false;
    pk_buf_adds(&doc, "{\"messages\":"); /* so that paths are the same */
    pk_buf_add(&doc, pk_str_trim(text));
    pk_buf_addc(&doc, '}');
    if (!pk_json_parse(r->arena, pk_buf_str(&doc), "string", &inner, r->err))
        return false;
    of_inner.doc = &inner;
    return read_messages(&of_inner, pk_json_get(&inner, 0, "messages"), NULL);
}

static bool read_string(struct reader *r, int value, const struct member *m)
{
    pk_str text = pk_json_str(r->arena, r->doc, value);

    (void)m;
    if (!r->partial && text.len == 0)
        return pk_fail(r->err, PK_BAD_REQUEST, "string: must not be empty");
    if (!r->partial && looks_like_messages(text))
        return read_messages_text(r, text);
    return take_template(r, value);
}

/* --- the other members ----------------------------------------------------------------- */

static void add_member(struct pk_buf *out, const struct pk_json *doc, int key)
{
    pk_buf_addc(out, out->len ? ',' : '{');
    pk_buf_add(out, pk_json_raw(doc, key));
    pk_buf_addc(out, ':');
    pk_buf_add(out, pk_json_raw(doc, key + 1));
}

static bool read_text(struct reader *r, int value, const struct member *m)
{
    pk_str *field = (pk_str *)(void *)((char *)r->p + m->at);
    pk_str text = pk_json_str(r->arena, r->doc, value);

    if (field->len && !pk_str_eq(*field, text))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: is given twice", m->name);
    if (text.len == 0 || text.len > m->max)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be 1..%zu bytes", m->name, m->max);
    *field = text;
    return true;
}

static bool read_config(struct reader *r, int value, const struct member *m)
{
    if (pk_json_type(r->doc, value) == PK_JSON_STRING)
        return read_text(r, value, m);
    r->p->config = pk_json_raw(r->doc, value);
    return true;
}

static bool read_parameter(struct reader *r, int value, const struct member *m)
{
    int parameters = pk_json_get(r->doc, 0, "parameters");

    if (pk_json_get(r->doc, parameters, m->name) >= 0)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: parameters.%s is given too; give one of them",
                       m->name, m->name);
    add_member(&r->parameters, r->doc, value - 1);
    return true;
}

static bool read_detail(struct reader *r, int value, const struct member *m)
{
    (void)m;
    add_member(&r->details, r->doc, value - 1);
    return true;
}

/* What the caller of a prompt decides. */
static bool is_callers(const struct pk_json *doc, int key)
{
    static const char *const names[] = {"messages", "stream", "stream_options", "pk"};

    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_json_is(doc, key, names[i]))
            return true;
    return false;
}

static bool read_parameters(struct reader *r, int value, const struct member *m)
{
    const struct pk_json *doc = r->doc;

    (void)m;
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k)) {
        if (is_callers(doc, k))
            return pk_fail(r->err, PK_BAD_REQUEST, "parameters.%.*s: is not part of a prompt",
                           PK_FMT(pk_json_str(r->arena, doc, k)));
        if (!pk_json_is(doc, k, "model")) {
            add_member(&r->parameters, doc, k);
            continue;
        }
        pk_str model = pk_json_str(r->arena, doc, k + 1);
        bool another = r->p->model.len && !pk_str_eq(r->p->model, model);
        if (another || pk_json_type(doc, k + 1) != PK_JSON_STRING)
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "parameters.model: must be a string, and given once");
        r->p->model = model;
    }
    return true;
}

/* --- the table ------------------------------------------------------------------------- */

#define T(type)  (1u << PK_JSON_##type)
#define FIELD(f) offsetof(struct pk_prompt, f)
/* clang-format off */
static const struct member members[] = { /* the first six are a partial's too */
    {"string",              "a string",              T(STRING),             read_string,     0, 0},
    {"name",                "a string",              T(STRING),             read_text,       FIELD(name), NAME_BYTES_MAX},
    {"description",         "a string",              T(STRING),             read_text,       FIELD(description), DESCRIPTION_BYTES_MAX},
    {"version_description", "a string",              T(STRING),             read_text,       FIELD(description), DESCRIPTION_BYTES_MAX},
    {"collection_id",       "a string",              T(STRING),             read_detail,     0, 0},
    {"workspace_id",        "a string",              T(STRING),             read_detail,     0, 0},
    {"messages",            "an array",              T(ARRAY),              read_messages,   0, 0},
    {"model",               "a string",              T(STRING),             read_text,       FIELD(model), NAME_BYTES_MAX},
    {"parameters",          "an object",             T(OBJECT),             read_parameters, 0, 0},
    {"tools",               "an array",              T(ARRAY),              read_parameter,  0, 0},
    {"tool_choice",         "a string or an object", T(STRING) | T(OBJECT), read_parameter,  0, 0},
    {"functions",           "an array",              T(ARRAY),              read_parameter,  0, 0},
    {"function_call",       "a string or an object", T(STRING) | T(OBJECT), read_parameter,  0, 0},
    {"response_format",     "an object",             T(OBJECT),             read_parameter,  0, 0},
    {"config",              "a string or an object", T(STRING) | T(OBJECT), read_config,     FIELD(config), PK_SLUG_BYTES_MAX},
    {"virtual_key",         "a string",              T(STRING),             read_text,       FIELD(virtual_key), PK_SLUG_BYTES_MAX},
    {"template_metadata",   "an object",             T(OBJECT),             read_detail,     0, 0},
    {"prompt_metadata",     "an object",             T(OBJECT),             read_detail,     0, 0}, /* the same, in updates */
    {"is_raw_template",     "0 or 1",                T(NUMBER) | T(TRUE) | T(FALSE), read_detail, 0, 0},
};
/* clang-format on */
#undef T
#undef FIELD

enum { PARTIAL_MEMBERS = 6 };

static const struct member *find_member(const struct reader *r, int key)
{
    size_t count = r->partial ? PARTIAL_MEMBERS : PK_COUNT(members);

    for (size_t i = 0; i < count; i++)
        if (pk_json_is(r->doc, key, members[i].name))
            return &members[i];
    return NULL;
}

static bool read_member(struct reader *r, int key)
{
    const struct member *m = find_member(r, key);
    enum pk_json_type type = pk_json_type(r->doc, key + 1);
    pk_str name = pk_json_str(r->arena, r->doc, key);

    if (!m)
        return pk_fail(r->err, PK_BAD_REQUEST, "%.*s: a %s has no such member",
                       PK_FMT(pk_str_sub(name, 0, VALUE_SHOWN_MAX)),
                       r->partial ? "partial" : "prompt");
    if (pk_json_member(r->doc, 0, name) != key + 1)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: is given twice", m->name);
    if (type == PK_JSON_NULL)
        return true;
    if (!(m->types & (1u << type)))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be %s, not %s", m->name, m->want,
                       pk_json_type_name(type));
    return m->read(r, key + 1, m);
}

/* "@SLUG/MODEL": whom to ask is said with the model. */
static bool split_model(struct reader *r)
{
    struct pk_prompt *p = r->p;
    int slash = pk_str_find(p->model, '/');

    if (!pk_str_starts(p->model, "@") || slash < 2)
        return true;
    if (p->config.len || p->virtual_key.len)
        return pk_fail(r->err, PK_BAD_REQUEST, "model: names a slug, and so does %s",
                       p->config.len ? "config" : "virtual_key");
    p->config = pk_str_sub(p->model, 1, (size_t)slash - 1);
    p->model = pk_str_sub(p->model, (size_t)slash + 1, p->model.len);
    return p->model.len || pk_fail(r->err, PK_BAD_REQUEST, "model: must be \"@SLUG/MODEL\"");
}

static pk_str closed(struct pk_buf *object)
{
    if (object->len)
        pk_buf_addc(object, '}');
    return pk_buf_str(object);
}

static bool read_object(struct reader *r)
{
    struct pk_prompt *p = r->p;

    for (int k = pk_json_first(r->doc, 0); k >= 0; k = pk_json_next(r->doc, 0, k))
        if (!read_member(r, k))
            return false;
    if (p->template.len == 0)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: must be given",
                       r->partial ? "string" : "messages");
    if (p->config.len && p->virtual_key.len)
        return pk_fail(r->err, PK_BAD_REQUEST, "config and virtual_key: one of them is enough");
    p->parameters = closed(&r->parameters);
    p->details = closed(&r->details);
    return split_model(r);
}

/* A template that may begin with a brace is told from an object: {{ */
static bool is_plain(pk_str text)
{
    pk_str start = pk_str_trim(text);

    return start.len == 0 || pk_str_starts(start, "{{") || !strchr("{\"", start.at[0]);
}

static bool read_document(struct reader *r, pk_str text, bool plain_text)
{
    struct pk_buf quoted = pk_buf_in(r->arena, PK_BODY_BYTES_MAX);
    struct pk_json *doc = pk_alloc(r->arena, sizeof *doc);

    *r->p = (struct pk_prompt){.version = 0};
    r->parameters = r->details = quoted;
    if (text.len > PK_PROMPT_BYTES_MAX)
        return pk_fail(r->err, PK_TOO_LARGE, "prompt: larger than %d bytes", PK_PROMPT_BYTES_MAX);
    if (plain_text && is_plain(text)) {
        pk_json_quote(&quoted, text);
        text = pk_buf_str(&quoted);
    }
    if (!doc || !pk_json_parse(r->arena, text, "prompt", doc, r->err))
        return false;
    r->doc = doc;
    if (pk_json_type(doc, 0) == PK_JSON_STRING)
        return read_string(r, 0, NULL);
    return pk_json_type(doc, 0) == PK_JSON_OBJECT
               ? read_object(r)
               : pk_fail(r->err, PK_BAD_REQUEST, "prompt: must be an object or a string, not %s",
                         pk_json_type_name(pk_json_type(doc, 0)));
}

/* Whatever memory that ran out was taken for. */
static bool parse(struct reader *r, pk_str text, bool plain_text)
{
    bool ok = read_document(r, text, plain_text);

    return r->arena->failed ? pk_fail(r->err, PK_NO_MEMORY, "prompt: out of memory") : ok;
}

bool pk_prompt_parse(struct pk_arena *arena, pk_str text, bool plain_text, struct pk_prompt *p,
                     struct pk_error *err)
{
    struct reader r = {.arena = arena, .p = p, .err = err};

    return parse(&r, text, plain_text);
}

bool pk_prompt_parse_partial(struct pk_arena *arena, pk_str text, bool plain_text,
                             struct pk_prompt *p, struct pk_error *err)
{
    struct reader r = {.arena = arena, .p = p, .partial = true, .err = err};

    return parse(&r, text, plain_text);
}
