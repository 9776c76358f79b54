/* field.c - see field.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "field.h"

#include <string.h>

/* What the doors without a URL serve. */
static const char default_pathname[] = "/v1/chat/completions";

/* The names of a path behind its first one. */
static bool split(struct pk_arena *arena, pk_str rest, struct pk_field *field)
{
    while (rest.len) {
        int dot = pk_str_find(rest, '.');
        size_t len = dot < 0 ? rest.len : (size_t)dot;

        if (len == 0 || field->count == PK_FIELD_STEPS_MAX || (dot >= 0 && len + 1 == rest.len))
            return false;
        field->steps[field->count++] = pk_copy(arena, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return field->count > 0;
}

bool pk_field_parse(struct pk_arena *arena, pk_str text, struct pk_field *field)
{
    static const struct {
        const char *name;
        enum pk_field_kind kind;
    } whole[] = {
        {"url.pathname", PK_FIELD_PATHNAME}, {"user_id", PK_FIELD_USER},
        {"trace_id", PK_FIELD_TRACE},        {"session", PK_FIELD_SESSION},
        {"prefix", PK_FIELD_PREFIX},
    };

    *field = (struct pk_field){.kind = PK_FIELD_METADATA};
    if (pk_str_starts(text, "metadata."))
        return split(arena, pk_str_sub(text, strlen("metadata."), text.len), field);
    field->kind = PK_FIELD_PARAMS;
    if (pk_str_starts(text, "params."))
        return split(arena, pk_str_sub(text, strlen("params."), text.len), field);
    for (size_t i = 0; i < PK_COUNT(whole); i++) {
        field->kind = whole[i].kind;
        if (pk_str_is(text, whole[i].name))
            return true;
    }
    return false;
}

bool pk_field_source_init(struct pk_field_source *from, struct pk_arena *arena,
                          const struct pk_request *req, const struct pk_json *body,
                          struct pk_error *err)
{
    *from = (struct pk_field_source){.arena = arena, .req = req, .body = body};
    return req->metadata.len == 0 ||
           pk_json_parse(arena, req->metadata, "metadata", &from->metadata, err);
}

/* --- values ---------------------------------------------------------------------------- */

static void read_number(struct pk_arena *arena, struct pk_scalar *s)
{
    struct pk_error unused = {0};
    struct pk_json doc;
    pk_str text = pk_str_trim(s->text);

    if (text.len == 0 || text.len > 64 || !strchr("-0123456789", text.at[0]))
        return;
    if (pk_json_parse(arena, text, "number", &doc, &unused))
        s->numeric = pk_json_number(&doc, 0, &s->number);
}

struct pk_scalar pk_scalar_of(struct pk_arena *arena, const struct pk_json *doc, int value)
{
    struct pk_scalar s = {.type = pk_json_type(doc, value)};

    s.text = s.type == PK_JSON_STRING ? pk_json_str(arena, doc, value) : pk_json_raw(doc, value);
    if (s.type == PK_JSON_STRING)
        read_number(arena, &s);
    else
        s.numeric = pk_json_number(doc, value, &s.number);
    return s;
}

static struct pk_scalar text_scalar(pk_str text)
{
    return (struct pk_scalar){.type = text.len ? PK_JSON_STRING : PK_JSON_NONE, .text = text};
}

static struct pk_scalar at_steps(struct pk_arena *arena, const struct pk_json *doc,
                                 const struct pk_field *field)
{
    int v = doc->count ? 0 : -1;
    int64_t item;

    for (int i = 0; i < field->count && v >= 0; i++) {
        if (pk_json_type(doc, v) != PK_JSON_ARRAY)
            v = pk_json_get(doc, v, field->steps[i].at);
        else if (pk_str_int(field->steps[i], &item) && item >= 0 && item < pk_json_count(doc, v))
            v = pk_json_item(doc, v, (int)item);
        else
            v = -1;
    }
    return pk_scalar_of(arena, doc, v);
}

/* A member of the metadata or the body when it is a text. */
static pk_str text_member(const struct pk_field_source *from, const struct pk_json *doc,
                          const char *name)
{
    return doc->count ? pk_json_str(from->arena, doc, pk_json_get(doc, 0, name)) : PK_NONE;
}

static pk_str user_of(const struct pk_field_source *from)
{
    pk_str user = from->req->user_id;

    if (user.len == 0)
        user = text_member(from, &from->metadata, "_user");
    return user.len ? user : text_member(from, from->body, "user");
}

static pk_str session_of(const struct pk_field_source *from)
{
    pk_str session = text_member(from, &from->metadata, "session_id");

    return session.len ? session : from->req->trace_id;
}

struct pk_scalar pk_field_value(const struct pk_field_source *from, const struct pk_field *field)
{
    pk_str pathname = from->req->pathname;

    switch (field->kind) {
    case PK_FIELD_METADATA: return at_steps(from->arena, &from->metadata, field);
    case PK_FIELD_PARAMS: return at_steps(from->arena, from->body, field);
    case PK_FIELD_PATHNAME:
        return text_scalar(pathname.len ? pathname : pk_str_of(default_pathname));
    case PK_FIELD_USER: return text_scalar(user_of(from));
    case PK_FIELD_TRACE: return text_scalar(from->req->trace_id);
    case PK_FIELD_SESSION: return text_scalar(session_of(from));
    case PK_FIELD_PREFIX: break;
    }
    return text_scalar(PK_NONE);
}
