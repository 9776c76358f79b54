/* json_write.c - quoting, splicing, merging and the canonical form.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "json_inner.h"

#include <stdlib.h>
#include <string.h>

/* How a character is escaped that JSON may hold as it is, and at which readers of lines, of events and of
 * JavaScript end a line. NULL: it is none. */
static const char *line_end(const unsigned char *at, size_t left)
{
    if (left >= 2 && at[0] == 0xc2 && at[1] == 0x85)
        return "\\u0085";
    if (left >= 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8)
        return at[2] == 0xa8 ? "\\u2028" : "\\u2029";
    return NULL;
}

/* Bytes of ASCII, about: it may stop early. */
static size_t ascii_len(const unsigned char *at, size_t left)
{
    size_t n = 0;

    for (; left - n >= 8; n += 8) {
        uint64_t w;

        memcpy(&w, at + n, 8);
        if (w & UINT64_MAX / 255 << 7)
            break;
    }
    while (n < left && at[n] < 0x80)
        n++;
    return n;
}

void pk_json_add_one_line(struct pk_buf *out, pk_str json)
{
    const unsigned char *at = (const unsigned char *)json.at;
    size_t plain = 0;

    for (size_t i = 0; i < json.len;) {
        i += ascii_len(at + i, json.len - i);
        const char *escape = i < json.len ? line_end(at + i, json.len - i) : NULL;
        if (escape) {
            pk_buf_add(out, pk_str_sub(json, plain, i - plain));
            pk_buf_adds(out, escape);
            i += at[i] == 0xc2 ? 2 : 3;
            plain = i;
        } else if (i < json.len) {
            i++;
        }
    }
    pk_buf_add(out, pk_str_sub(json, plain, json.len - plain));
}

void pk_json_quote(struct pk_buf *out, pk_str s)
{
    static const char escapes[] = "btn\0fr"; /* of \b \t \n (\v) \f \r */
    const unsigned char *at = (const unsigned char *)s.at;
    size_t plain = 0;

    pk_buf_addc(out, '"');
    for (size_t i = 0; i < s.len;) {
        i += pk_json_plain_len(at + i, s.len - i);
        if (i == s.len)
            break;
        size_t n = pk_json_utf8_len(at + i, s.len - i);
        const char *escape = line_end(at + i, s.len - i);

        if (n > 0 && at[i] >= ' ' && at[i] != '"' && at[i] != '\\' && !escape) {
            i += n;
            continue;
        }
        pk_buf_add(out, pk_str_sub(s, plain, i - plain));
        if (at[i] == '"' || at[i] == '\\')
            pk_buf_addf(out, "\\%c", at[i]);
        else if (at[i] >= '\b' && at[i] <= '\r' && at[i] != '\v')
            pk_buf_addf(out, "\\%c", escapes[at[i] - '\b']);
        else if (at[i] < ' ')
            pk_buf_addf(out, "\\u%04x", at[i]);
        else
            pk_buf_adds(out, escape ? escape : "\\ufffd");
        i += n ? n : 1;
        plain = i;
    }
    pk_buf_add(out, pk_str_sub(s, plain, s.len - plain));
    pk_buf_addc(out, '"');
}

/* The edit for this key, or -1. */
static int edit_of(const struct pk_json *doc, int key, const struct pk_json_edit *edits, int count)
{
    for (int i = 0; i < count; i++)
        if (pk_json_string_is(doc, key, edits[i].name))
            return i;
    return -1;
}

static void add_member(struct pk_buf *out, bool *first, pk_str name, pk_str value)
{
    if (!*first)
        pk_buf_addc(out, ',');
    *first = false;
    pk_json_quote(out, name);
    pk_buf_addc(out, ':');
    pk_buf_add(out, value);
}

void pk_json_splice(struct pk_buf *out, const struct pk_json *doc, int object,
                    const struct pk_json_edit *edits, int count)
{
    uint64_t done = 0; /* edits that have been written */
    bool first = true;

    PK_ASSERT(pk_json_type(doc, object) == PK_JSON_OBJECT);
    PK_ASSERT(count <= 64);
    uint32_t at = doc->nodes[object].start + 1; /* what is before it has been written */
    pk_buf_addc(out, '{');
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        int e = edit_of(doc, k, edits, count);
        uint32_t end = doc->nodes[k + 1].end;

        if (e < 0) { /* as it came: the blanks before it too, the comma only when it separates */
            pk_str raw = {doc->text.at + at, end - at};
            size_t comma = k == object + 1 ? 0 : (size_t)pk_str_find(raw, ',') + 1;

            if (!first)
                pk_buf_addc(out, ',');
            pk_buf_add(out, pk_str_sub(raw, comma, raw.len));
            first = false;
        } else if (edits[e].value.at && !(done & 1ull << e)) {
            add_member(out, &first, edits[e].name, edits[e].value);
            done |= 1ull << e;
        }
        at = end;
    }
    for (int e = 0; e < count; e++)
        if (edits[e].value.at && !(done & 1ull << e))
            add_member(out, &first, edits[e].name, edits[e].value);
    pk_buf_add(out, (pk_str){doc->text.at + at, doc->nodes[object].end - at});
}

/* `over`'s members as edits; -1 when there are more than one splice takes. */
static int edits_from(struct pk_arena *arena, const struct pk_json *over,
                      struct pk_json_edit *edits, int max)
{
    int n = 0;

    for (int k = pk_json_first(over, 0); k >= 0; k = pk_json_next(over, 0, k)) {
        if (n == max)
            return -1;
        edits[n].name = pk_json_str(arena, over, k);
        edits[n].value = pk_json_raw(over, k + 1);
        n++;
    }
    return n;
}

bool pk_json_merge(struct pk_arena *arena, pk_str base, pk_str over, const char *what, pk_str *out,
                   struct pk_error *err)
{
    struct pk_json_edit edits[64];
    struct pk_json b, o;

    if (!pk_json_parse(arena, base, what, &b, err) || !pk_json_parse(arena, over, what, &o, err))
        return false;
    if (pk_json_type(&b, 0) != PK_JSON_OBJECT || pk_json_type(&o, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be a JSON object", what);
    int n = edits_from(arena, &o, edits, (int)PK_COUNT(edits));
    if (n < 0)
        return pk_fail(err, PK_BAD_REQUEST, "%s: more than %zu members", what, PK_COUNT(edits));
    struct pk_buf merged = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    pk_json_splice(&merged, &b, 0, edits, n);
    if (merged.failed)
        return pk_fail(err, PK_TOO_LARGE, "%s: larger than %d MiB", what, PK_BODY_BYTES_MAX >> 20);
    *out = pk_buf_str(&merged);
    return true;
}

struct member {
    pk_str name;
    int value, order;
};

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t n = x->name.len < y->name.len ? x->name.len : y->name.len;
    int c = n ? memcmp(x->name.at, y->name.at, n) : 0;

    if (c == 0 && x->name.len != y->name.len)
        c = x->name.len < y->name.len ? -1 : 1;
    return c ? c : x->order - y->order;
}

static bool listed(const char *const *names, pk_str name)
{
    for (; names && *names; names++)
        if (pk_str_is(name, *names))
            return true;
    return false;
}

static void canonical_object(struct pk_buf *out, const struct pk_json *doc, int object,
                             const char *const *without)
{
    int n = pk_json_count(doc, object), i = 0;
    struct member *m = pk_alloc(out->arena, (size_t)n * sizeof *m);
    bool first = true;

    if (!m) {
        out->failed = true;
        return;
    }
    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k), i++)
        m[i] = (struct member){pk_json_str(out->arena, doc, k), k + 1, i};
    if (n > 1)
        qsort(m, (size_t)n, sizeof *m, by_name);
    pk_buf_addc(out, '{');
    for (i = 0; i < n; i++) {
        bool repeated = i + 1 < n && pk_str_eq(m[i].name, m[i + 1].name); /* the last one counts */

        if (repeated || listed(without, m[i].name))
            continue;
        add_member(out, &first, m[i].name, PK_NONE);
        pk_json_canonical(out, doc, m[i].value, NULL);
    }
    pk_buf_addc(out, '}');
}

/* Recursion is bounded by PK_JSON_DEPTH_MAX, which the parser enforces. */
void pk_json_canonical(struct pk_buf *out, const struct pk_json *doc, int value,
                       const char *const *without)
{
    bool first = true;

    switch (pk_json_type(doc, value)) {
    case PK_JSON_OBJECT: canonical_object(out, doc, value, without); return;
    case PK_JSON_ARRAY:
        pk_buf_addc(out, '[');
        for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v)) {
            if (!first)
                pk_buf_addc(out, ',');
            first = false;
            pk_json_canonical(out, doc, v, NULL);
        }
        pk_buf_addc(out, ']');
        return;
    case PK_JSON_STRING: pk_json_quote(out, pk_json_str(out->arena, doc, value)); return;
    case PK_JSON_NONE:
    case PK_JSON_NULL:
    case PK_JSON_FALSE:
    case PK_JSON_TRUE:
    case PK_JSON_NUMBER: pk_buf_add(out, pk_json_raw(doc, value)); return;
    }
}
