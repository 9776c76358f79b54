/* dialect_parts.c - see dialect_parts.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect_parts.h"

#include <string.h>

enum { FAULT_BYTES_MAX = 4096 };
/* Far beyond any context window; sums over many log rows, and their costs, must not overflow. */
static const int64_t COUNT_MAX = 100 * 1000 * 1000;

/* --- writing --------------------------------------------------------------------------------- */

void pk_dialect_line(struct pk_buf *out, pk_str json)
{
    size_t from = out->len;

    pk_buf_add(out, json);
    for (size_t i = from; i < out->len; i++)
        if (out->at[i] == '\n' || out->at[i] == '\r')
            out->at[i] = ' ';
}

void pk_dialect_raw(struct pk_buf *out, const char *name, pk_str json)
{
    if (json.len == 0)
        return;
    pk_member_key(out, name);
    pk_dialect_line(out, json);
}

void pk_dialect_image(struct pk_buf *out, pk_str url)
{
    if (out->len)
        pk_member_comma(out);
    pk_buf_adds(out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    pk_json_quote(out, url);
    pk_buf_adds(out, "}}");
}

void pk_dialect_segment(struct pk_buf *out, pk_str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';

        if (plain)
            pk_buf_addc(out, (char)c);
        else
            pk_buf_addf(out, "%%%02X", c);
    }
}

bool pk_dialect_built(const struct pk_buf *out, const char *what, struct pk_error *err)
{
    if (out->arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", what);
    if (out->failed)
        return pk_fail(err, PK_TOO_LARGE, "%s: larger than %zu MiB", what, out->max >> 20);
    return true;
}

/* --- reading --------------------------------------------------------------------------------- */

bool pk_dialect_has(const struct pk_json *doc, int object, const char *name)
{
    return pk_json_type(doc, pk_json_get(doc, object, name)) > PK_JSON_NULL;
}

int64_t pk_dialect_count(const struct pk_json *doc, int object, const char *name)
{
    return pk_dialect_count_of(doc, pk_json_get(doc, object, name));
}

int64_t pk_dialect_count_of(const struct pk_json *doc, int value)
{
    int64_t count;
    double number;

    if (pk_json_int(doc, value, &count))
        return count < 0 ? 0 : count > COUNT_MAX ? COUNT_MAX : count;
    if (!pk_json_number(doc, value, &number) || number < 0)
        return 0;
    return number > (double)COUNT_MAX ? COUNT_MAX : (int64_t)number;
}

static bool is_listed(pk_str list, pk_str name)
{
    while (list.len) {
        int blank = pk_str_find(list, ' ');
        size_t len = blank < 0 ? list.len : (size_t)blank;

        if (pk_str_eq(pk_str_sub(list, 0, len), name))
            return true;
        list = pk_str_sub(list, len + 1, list.len);
    }
    return false;
}

void pk_dialect_drop(struct pk_buf *dropped, pk_str name)
{
    if (is_listed(pk_buf_str(dropped), name))
        return;
    if (dropped->len)
        pk_buf_addc(dropped, ' ');
    pk_buf_add(dropped, name);
}

bool pk_dialect_parse(struct pk_arena *arena, pk_str text, struct pk_json *doc,
                      struct pk_error *err)
{
    pk_str trimmed = pk_str_trim(text);

    if (trimmed.len == 0)
        return pk_fail(err, PK_BAD_ANSWER, "answer: empty");
    if (trimmed.at[0] == '<')
        return pk_fail(err, PK_BAD_ANSWER, "answer: HTML or XML where JSON was expected");
    if (!pk_json_parse(arena, text, "answer", doc, err)) {
        struct pk_error why = *err;

        return why.code != PK_BAD_JSON ? false : pk_fail(err, PK_BAD_ANSWER, "%s", why.msg);
    }
    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_ANSWER, "answer: %s where an object was expected",
                       pk_json_type_name(pk_json_type(doc, 0)));
    return true;
}

pk_str pk_dialect_shorten(pk_str s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && ((unsigned char)s.at[max] & 0xc0) == 0x80)
        max--;
    return pk_str_sub(s, 0, max);
}

/* --- errors ---------------------------------------------------------------------------------- */

/* A member for people: a string's content, or whatever else it is as JSON. */
static pk_str words(struct pk_arena *arena, const struct pk_json *doc, int object, const char *name)
{
    int value = pk_json_get(doc, object, name);

    if (pk_json_type(doc, value) == PK_JSON_STRING)
        return pk_json_str(arena, doc, value);
    return pk_json_type(doc, value) > PK_JSON_NULL ? pk_json_raw(doc, value) : PK_NONE;
}

/* MiniMax's own place for errors, which may come with status 200; 0 is none. */
static bool is_base_error(const struct pk_json *doc, int base)
{
    int64_t code = 0;

    return pk_json_int(doc, pk_json_get(doc, base, "status_code"), &code) && code;
}

static int base_error(const struct pk_json *doc)
{
    int base = pk_json_get(doc, 0, "base_resp");

    return is_base_error(doc, base) ? base : -1;
}

/* The object that an error's members stand in: `error`, or the first of Cloudflare's `errors`, or the whole. */
static int error_in(const struct pk_json *doc, int root)
{
    int error = pk_json_get(doc, root, "error");
    int first = pk_json_item(doc, pk_json_get(doc, root, "errors"), 0);

    if (pk_json_type(doc, error) == PK_JSON_OBJECT)
        return error;
    return pk_json_type(doc, first) == PK_JSON_OBJECT ? first : root;
}

void pk_dialect_read_fault(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f)
{
    int root = pk_json_type(doc, 0) == PK_JSON_ARRAY ? pk_json_item(doc, 0, 0)
               : doc->count                          ? 0
                                                     : -1;
    int from = error_in(doc, root), base = base_error(doc);

    *f = (struct pk_fault){
        .message = words(arena, doc, from, "message"),
        .type = pk_json_str(arena, doc, pk_json_get(doc, from, "type")),
        .param = words(arena, doc, from, "param"),
        .code = words(arena, doc, from, "code"),
    };
    if (f->type.len == 0) /* Google's word for it */
        f->type = pk_json_str(arena, doc, pk_json_get(doc, from, "status"));
    if (f->message.len == 0 && from == root)
        f->message = words(arena, doc, root, "error");
    if (f->message.len == 0)
        f->message = words(arena, doc, root, "message");
    if (f->message.len == 0)
        f->message = words(arena, doc, root, "detail");
    if (f->message.len == 0 && base >= 0) {
        f->message = words(arena, doc, base, "status_msg");
        f->code = words(arena, doc, base, "status_code");
    }
    f->message = pk_dialect_shorten(f->message, FAULT_BYTES_MAX);
}

bool pk_dialect_no_error(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f,
                         struct pk_error *err)
{
    static const pk_str names[] = {PK_NAME("error"), PK_NAME("type"), PK_NAME("base_resp"), {0}};
    enum { ERROR, TYPE, BASE, NAMES };
    int at[NAMES];

    pk_json_members(doc, 0, names, at);
    bool empty =
        pk_json_type(doc, at[ERROR]) <= PK_JSON_FALSE || pk_json_raw(doc, at[ERROR]).len <= 2;
    if (empty && !pk_json_is(doc, at[TYPE], "error") && !is_base_error(doc, at[BASE]))
        return true;
    pk_dialect_read_fault(arena, doc, f);
    return pk_fail(err, PK_UPSTREAM, "the provider answered with an error%s",
                   f->message.len ? "" : " and no message");
}
