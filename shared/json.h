/* json.h - JSON as a flat list of values over the original text (RFC 8259).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Parsing copies nothing: each value knows where it stands in the text, so a
 * number keeps every digit, an object keeps its order, and a change is spliced
 * into the bytes as they came. Values are named by their index; -1 is "not there"
 * and every reader accepts it, so lookups chain without checks in between.
 *
 * The parser is strict: no comments, no trailing commas, no lone surrogates, valid
 * UTF-8 only, and no \u0000, which Postgres could not store.
 */
#ifndef PK_JSON_H
#define PK_JSON_H

#include "arena.h"
#include "buf.h"

enum pk_json_type {
    PK_JSON_NONE, /* of the index -1 */
    PK_JSON_NULL,
    PK_JSON_FALSE,
    PK_JSON_TRUE,
    PK_JSON_NUMBER,
    PK_JSON_STRING,
    PK_JSON_ARRAY,
    PK_JSON_OBJECT,
};

struct pk_json_node {
    uint32_t start, end; /* the value's bytes in the text, quotes and brackets included */
    uint32_t after;      /* index just behind this value and all that is in it */
    uint32_t count;      /* members of an object, items of an array */
    uint8_t type;        /* enum pk_json_type */
    bool escaped;        /* a string with backslashes in it */
};

/* A document. `text` is borrowed and must outlive it. Node 0 is the root; an
 * object's members follow it as key, value, key, value. */
struct pk_json {
    pk_str text;
    struct pk_json_node *nodes;
    int count;
};

/* The error names `what` and the byte where the text stops being JSON. */
bool pk_json_parse(struct pk_arena *arena, pk_str text, const char *what, struct pk_json *doc,
                   struct pk_error *err) PK_MUST_CHECK;

/* *doc = *read, when that is what `text`, the same bytes in the same place, was parsed to. */
bool pk_json_reuse(const struct pk_json *read, pk_str text, struct pk_json *doc);

enum pk_json_type pk_json_type(const struct pk_json *doc, int value);
const char *pk_json_type_name(enum pk_json_type type);   /* "an object" */
int pk_json_count(const struct pk_json *doc, int value); /* items or members; 0 for the rest */

/* The value of a member (the last one when the name is repeated), or -1. Names are
 * compared exactly, case included. */
int pk_json_member(const struct pk_json *doc, int object, pk_str name);
static inline int pk_json_get(const struct pk_json *doc, int object, const char *name)
{
    return pk_json_member(doc, object, pk_str_of(name));
}
/* Several at once, of a list of names with an empty one at its end: values[i] is that of names[i]. */
void pk_json_members(const struct pk_json *doc, int object, const pk_str *names, int *values);
/* Which of such a list a string is, escapes considered; -1: none. */
int pk_json_which(const struct pk_json *doc, int string, const pk_str *names);
int pk_json_item(const struct pk_json *doc, int array, int i);
/* Follows "choices[0].message.content"; for short fixed paths. */
int pk_json_at(const struct pk_json *doc, const char *path);

/* Walking: for (int v = pk_json_first(d, list); v >= 0; v = pk_json_next(d, list, v)).
 * Over an array `v` is each item; over an object it is each key, and v + 1 its value. */
int pk_json_first(const struct pk_json *doc, int container);
int pk_json_next(const struct pk_json *doc, int container, int v);

/* The bytes of a value as they stand in the text; empty for -1. */
pk_str pk_json_raw(const struct pk_json *doc, int value);
/* The content of a string, unescaped into `arena` only when it has escapes; empty when the
 * value is no string. */
pk_str pk_json_str(struct pk_arena *arena, const struct pk_json *doc, int value);
/* Whether the value is the string `text`, escapes considered. */
bool pk_json_equals(const struct pk_json *doc, int value, pk_str text);
static inline bool pk_json_is(const struct pk_json *doc, int value, const char *text)
{
    return pk_json_equals(doc, value, pk_str_of(text));
}
/* The value of an integer literal that fits (1, -5; not 1.0, not 1e3). */
bool pk_json_int(const struct pk_json *doc, int value, int64_t *out);
bool pk_json_number(const struct pk_json *doc, int value, double *out);
bool pk_json_true(const struct pk_json *doc, int value); /* is it the literal true */

/* One change to the members of an object: sets `name`, or removes it when `value` is
 * empty (at == NULL). `value` is JSON text. */
struct pk_json_edit {
    pk_str name;
    pk_str value;
};

/* The object's text with the edits applied and every other byte as it was. A repeated
 * member that is edited ends up there once. */
void pk_json_splice(struct pk_buf *out, const struct pk_json *doc, int object,
                    const struct pk_json_edit *edits, int count);

/* `base` (an object) with the top-level members of `over` (an object) in place of its own:
 * how override_params and params are applied. */
bool pk_json_merge(struct pk_arena *arena, pk_str base, pk_str over, const char *what, pk_str *out,
                   struct pk_error *err) PK_MUST_CHECK;

/* The value with members sorted, blanks gone and strings in one spelling: equal documents
 * give equal bytes. Numbers stay as spelled. `without` names members of the object `value` to leave
 * out, NULL at the end; NULL: none. */
void pk_json_canonical(struct pk_buf *out, const struct pk_json *doc, int value,
                       const char *const *without);

/* Appends `s` as a JSON string. Invalid UTF-8 becomes U+FFFD; U+0085 and U+2028/9 are escaped, so that
 * the text is safe in JavaScript and in server-sent events. */
void pk_json_quote(struct pk_buf *out, pk_str s);

/* Appends JSON, or an event of it, as it is but for U+0085 and U+2028/9, which are escaped: some readers of
 * streams end a line there. */
void pk_json_add_one_line(struct pk_buf *out, pk_str json);

/* Whether `s` is valid UTF-8 without NUL; `*bad` is the first offending byte. */
bool pk_utf8_valid(pk_str s, size_t *bad);

#endif
