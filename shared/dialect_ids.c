/* dialect_ids.c - see dialect_ids.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_ids.h"

#include "dialect_parts.h"
#include "sticky.h"

#include <ctype.h>

enum { ID_CHARS = 9 };

/* The body so far, and where in the old one it goes on. */
struct renamed {
    struct pk_arena *arena;
    const struct pk_json *doc;
    struct pk_buf out;
    const char *rest;
};

static bool fits(pk_str id)
{
    for (size_t i = 0; i < id.len; i++)
        if (!isalnum((unsigned char)id.at[i]))
            return false;
    return id.len == ID_CHARS;
}

static void add_id(struct pk_buf *out, pk_str id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t hash = pk_hash_add(0xcbf29ce484222325u, id);

    for (int i = 0; i < ID_CHARS; i++, hash /= sizeof digits - 1)
        pk_buf_addc(out, digits[hash % (sizeof digits - 1)]);
}

static void rename_id(struct renamed *r, int value)
{
    pk_str raw = pk_json_raw(r->doc, value), id = pk_json_str(r->arena, r->doc, value);

    if (pk_json_type(r->doc, value) != PK_JSON_STRING || fits(id) || raw.at < r->rest)
        return;
    pk_buf_add(&r->out, (pk_str){r->rest, (size_t)(raw.at - r->rest)});
    pk_buf_addc(&r->out, '"');
    add_id(&r->out, id);
    pk_buf_addc(&r->out, '"');
    r->rest = raw.at + raw.len;
}

bool pk_dialect_short_ids(struct pk_arena *arena, pk_str *body, struct pk_error *err)
{
    struct renamed r = {
        .arena = arena, .out = pk_buf_in(arena, PK_BODY_BYTES_MAX), .rest = body->at};
    struct pk_json doc;

    if (!pk_json_parse(arena, *body, "body", &doc, err))
        return false;
    r.doc = &doc;
    int messages = pk_json_get(&doc, 0, "messages");
    if (pk_json_type(&doc, messages) != PK_JSON_ARRAY)
        return true;
    for (int m = pk_json_first(&doc, messages); m >= 0; m = pk_json_next(&doc, messages, m)) {
        int calls = pk_json_get(&doc, m, "tool_calls");

        rename_id(&r, pk_json_get(&doc, m, "tool_call_id"));
        if (pk_json_type(&doc, calls) != PK_JSON_ARRAY)
            continue;
        for (int t = pk_json_first(&doc, calls); t >= 0; t = pk_json_next(&doc, calls, t))
            rename_id(&r, pk_json_get(&doc, t, "id"));
    }
    if (r.rest == body->at)
        return true;
    pk_buf_add(&r.out, (pk_str){r.rest, (size_t)(body->at + body->len - r.rest)});
    *body = pk_buf_str(&r.out);
    return pk_dialect_built(&r.out, "body", err);
}
