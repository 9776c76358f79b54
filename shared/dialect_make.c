/* dialect_make.c - see dialect_make.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_make.h"

#include <stdio.h>
#include <string.h>

enum { MERGED_MAX = 16 };

struct pk_maker pk_make(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                        struct pk_error *err)
{
    return (struct pk_maker){
        .in = body, .arena = out->arena, .out = out, .dropped = dropped, .err = err};
}

/* --- reading --------------------------------------------------------------------------------- */

int pk_make_get(const struct pk_maker *m, int object, const char *name)
{
    return pk_json_get(m->in, object, name);
}

enum pk_json_type pk_make_type(const struct pk_maker *m, int value)
{
    return pk_json_type(m->in, value);
}

bool pk_make_has(const struct pk_maker *m, int object, const char *name)
{
    return pk_dialect_has(m->in, object, name);
}

bool pk_make_is(const struct pk_maker *m, int object, const char *type)
{
    return pk_json_is(m->in, pk_make_get(m, object, "type"), type);
}

pk_str pk_make_string(const struct pk_maker *m, int value)
{
    return pk_json_str(m->arena, m->in, value);
}

bool pk_make_listed(const struct pk_maker *m, int value, const char *const names[])
{
    for (int i = 0; names[i]; i++)
        if (pk_json_is(m->in, value, names[i]))
            return true;
    return false;
}

bool pk_make_is_system(const struct pk_maker *m, int message)
{
    static const char *const roles[] = {"system", "developer", NULL};

    return pk_make_listed(m, pk_make_get(m, message, "role"), roles);
}

pk_str pk_make_image_url(const struct pk_maker *m, int part)
{
    int image = pk_make_get(m, part, "image_url");
    bool bare = pk_make_type(m, image) == PK_JSON_STRING;

    return pk_make_string(m, bare ? image : pk_make_get(m, image, "url"));
}

bool pk_make_data_url(pk_str url, pk_str *media, pk_str *bytes)
{
    int comma = pk_str_find(url, ',');
    pk_str head = comma < 0 ? PK_NONE : pk_str_sub(url, 5, (size_t)comma - 5);
    int semicolon = pk_str_find(head, ';');

    if (!pk_str_starts(url, "data:") || semicolon <= 0 || !pk_str_ends(head, ";base64"))
        return false;
    *media = pk_str_sub(head, 0, (size_t)semicolon);
    *bytes = pk_str_sub(url, (size_t)comma + 1, url.len);
    return true;
}

bool pk_make_is_web(pk_str url)
{
    return pk_str_starts(url, "http://") || pk_str_starts(url, "https://");
}

bool pk_make_arguments(struct pk_maker *m, int arguments, pk_str *object)
{
    struct pk_json doc;
    struct pk_error unused;
    pk_str text = pk_str_trim(pk_make_string(m, arguments));

    if (pk_make_type(m, arguments) == PK_JSON_OBJECT)
        text = pk_json_raw(m->in, arguments);
    if (text.len == 0)
        text = PK_STR("{}");
    if (!pk_json_parse(m->arena, text, "arguments", &doc, &unused) ||
        pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_make_refuse(m, "function.arguments must be a JSON object in a string");
    *object = text;
    return true;
}

/* --- writing --------------------------------------------------------------------------------- */

void pk_make_drop(const struct pk_maker *m, const char *name)
{
    pk_dialect_drop(m->dropped, pk_str_of(name));
}

void pk_make_copy(const struct pk_maker *m, int object, const char *from, const char *to)
{
    if (pk_make_has(m, object, from))
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, pk_make_get(m, object, from)));
}

void pk_make_merged(struct pk_maker *m, int own, const char *to, const struct pk_json_edit *members,
                    int count)
{
    struct pk_json_edit edits[MERGED_MAX];
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    bool object = pk_make_type(m, own) == PK_JSON_OBJECT;
    int n = 0;

    PK_ASSERT(count <= MERGED_MAX);
    for (int i = 0; i < count; i++)
        if (members[i].value.len && !(object && pk_make_has(m, own, members[i].name.at)))
            edits[n++] = members[i];
    if (object) {
        pk_json_splice(&out, m->in, own, edits, n);
    } else if (n) {
        pk_buf_addc(&out, '{');
        for (int i = 0; i < n; i++)
            pk_dialect_raw(&out, edits[i].name.at, edits[i].value);
        pk_buf_addc(&out, '}');
    }
    pk_dialect_raw(m->out, to, pk_buf_str(&out));
}

bool pk_make_refuse(const struct pk_maker *m, const char *what)
{
    return pk_fail(m->err, PK_BAD_REQUEST, "%s: %s", m->path, what);
}

/* --- fields ---------------------------------------------------------------------------------- */

bool pk_make_fields(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pk_make_has(m, 0, fields[i].from) &&
            !fields[i].write(m, pk_make_get(m, 0, fields[i].from), fields[i].to))
            return false;
    return true;
}

void pk_make_report(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    for (int k = pk_json_first(m->in, 0); k >= 0; k = pk_json_next(m->in, 0, k)) {
        bool known = pk_json_type(m->in, k + 1) == PK_JSON_NULL;

        for (size_t i = 0; i < count && !known; i++)
            known = pk_json_is(m->in, k, fields[i].from);
        if (!known)
            pk_dialect_drop(m->dropped, pk_make_string(m, k));
    }
}

void pk_make_end(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    pk_make_report(m, fields, count);
    pk_buf_addc(m->out, '}');
}

bool pk_make_object(struct pk_maker *m, const struct pk_make_field *fields, size_t count)
{
    pk_buf_addc(m->out, '{');
    if (!pk_make_fields(m, fields, count))
        return false;
    pk_make_end(m, fields, count);
    return true;
}

bool pk_make_same(struct pk_maker *m, int value, const char *to)
{
    pk_dialect_raw(m->out, to, pk_json_raw(m->in, value));
    return true;
}

bool pk_make_nothing(struct pk_maker *m, int value, const char *to)
{
    (void)m;
    (void)value;
    (void)to;
    return true;
}

bool pk_make_list(struct pk_maker *m, int value, const char *to)
{
    if (pk_make_type(m, value) == PK_JSON_STRING) {
        pk_member_key(m->out, to);
        pk_buf_addc(m->out, '[');
        pk_buf_add(m->out, pk_json_raw(m->in, value));
        pk_buf_addc(m->out, ']');
    } else if (pk_make_type(m, value) != PK_JSON_ARRAY) {
        return pk_fail(m->err, PK_BAD_REQUEST, "stop: must be a string or a list of strings");
    } else if (pk_json_count(m->in, value)) {
        pk_dialect_raw(m->out, to, pk_json_raw(m->in, value));
    }
    return true;
}

bool pk_make_one(struct pk_maker *m, int value, const char *to)
{
    if (!pk_str_is(pk_json_raw(m->in, value), "1"))
        pk_make_drop(m, to);
    return true;
}

/* --- messages -------------------------------------------------------------------------------- */

void pk_make_open(struct pk_maker *m, const char *role, const char *shown, const char *list)
{
    if (m->role && strcmp(m->role, role) == 0) {
        pk_member_comma(m->out);
        return;
    }
    pk_make_close(m);
    pk_member_comma(m->out);
    pk_buf_addf(m->out, "{\"role\":\"%s\",\"%s\":[", shown, list);
    m->role = role;
}

void pk_make_close(struct pk_maker *m)
{
    if (m->role)
        pk_buf_adds(m->out, "]}");
    m->role = NULL;
}

bool pk_make_content(struct pk_maker *m, const char *role, int message, int index)
{
    int content = pk_make_get(m, message, "content"), i = 0;

    if (pk_make_type(m, content) <= PK_JSON_NULL)
        return true;
    if (pk_make_type(m, content) == PK_JSON_STRING) {
        m->text(m, role, content, message);
        return true;
    }
    if (pk_make_type(m, content) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "content must be a string or a list of parts");
    for (int p = pk_json_first(m->in, content); p >= 0; p = pk_json_next(m->in, content, p), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].content[%d]", index, i);
        if (!m->part(m, role, p))
            return false;
    }
    return true;
}

bool pk_make_system(struct pk_maker *m, struct pk_buf *items)
{
    int messages = pk_make_get(m, 0, "messages"), i = 0;
    struct pk_buf *out = m->out;
    bool ok = true;

    m->out = items;
    for (int v = pk_json_first(m->in, messages); v >= 0 && ok;
         v = pk_json_next(m->in, messages, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d]", i);
        if (pk_make_is_system(m, v))
            ok = pk_make_content(m, NULL, v, i);
    }
    m->out = out;
    out->failed = out->failed || items->failed;
    return ok;
}

bool pk_make_system_list(struct pk_maker *m)
{
    struct pk_buf items = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (!pk_make_system(m, &items))
        return false;
    if (items.len == 0)
        return true;
    pk_member_key(m->out, "system");
    pk_buf_addc(m->out, '[');
    pk_buf_add(m->out, pk_buf_str(&items));
    pk_buf_addc(m->out, ']');
    return true;
}

bool pk_make_by_role(struct pk_maker *m, int message, int index, pk_make_message_fn *assistant,
                     pk_make_message_fn *tool)
{
    int role = pk_make_get(m, message, "role");

    if (pk_make_has(m, message, "name") && !pk_json_is(m->in, role, "tool"))
        pk_make_drop(m, "messages.name");
    if (pk_json_is(m->in, role, "user"))
        return pk_make_content(m, "user", message, index);
    if (pk_json_is(m->in, role, "assistant"))
        return assistant(m, message, index);
    if (pk_json_is(m->in, role, "tool"))
        return tool(m, message, index);
    return pk_make_is_system(m, message) ||
           pk_make_refuse(m, "role must be system, developer, user, assistant or tool");
}

bool pk_make_calls(struct pk_maker *m, int message, int index,
                   bool (*write)(struct pk_maker *m, int call))
{
    int calls = pk_make_get(m, message, "tool_calls"), i = 0;

    if (pk_make_type(m, calls) <= PK_JSON_NULL)
        return true;
    if (pk_make_type(m, calls) != PK_JSON_ARRAY)
        return pk_make_refuse(m, "tool_calls must be a list");
    for (int c = pk_json_first(m->in, calls); c >= 0; c = pk_json_next(m->in, calls, c), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d].tool_calls[%d]", index, i);
        if (!write(m, c))
            return false;
    }
    return true;
}

bool pk_make_messages(struct pk_maker *m, const char *to, pk_make_message_fn *write)
{
    int messages = pk_make_get(m, 0, "messages"), i = 0;

    if (pk_make_type(m, messages) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: must be a list");
    pk_member_key(m->out, to);
    pk_buf_addc(m->out, '[');
    size_t empty = m->out->len;
    for (int v = pk_json_first(m->in, messages); v >= 0;
         v = pk_json_next(m->in, messages, v), i++) {
        (void)snprintf(m->path, sizeof m->path, "messages[%d]", i);
        if (!write(m, v, i))
            return false;
    }
    pk_make_close(m);
    if (m->out->len == empty && !m->out->failed)
        return pk_fail(m->err, PK_BAD_REQUEST, "messages: this provider needs one of a user");
    pk_buf_addc(m->out, ']');
    return true;
}
