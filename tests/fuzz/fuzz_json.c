/* fuzz_json.c - the JSON reader: parse, splice, merge, canonical; and cJSON as a second opinion.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The input is a document, 0xff, a member's name, 0xff, a value for it.
 */
#include "fuzz.h"
#include "json.h"

#include <cjson/cJSON.h>
#include <math.h>

enum {
    CJSON_NUMBER_MAX = 63, /* it reads no more characters of a number */
    MERGE_MAX = 64,        /* members that pk_json_merge() takes */
};

static bool has_long_number(const struct pk_json *doc)
{
    for (int i = 0; i < doc->count; i++)
        if (doc->nodes[i].type == PK_JSON_NUMBER &&
            doc->nodes[i].end - doc->nodes[i].start >= CJSON_NUMBER_MAX)
            return true;
    return false;
}

static void same_leaf(struct pk_arena *arena, const struct pk_json *doc, int v, const cJSON *c)
{
    enum pk_json_type type = pk_json_type(doc, v);
    double number;

    PK_ASSERT(cJSON_IsNull(c) == (type == PK_JSON_NULL));
    PK_ASSERT(cJSON_IsTrue(c) == (type == PK_JSON_TRUE));
    PK_ASSERT(cJSON_IsFalse(c) == (type == PK_JSON_FALSE));
    PK_ASSERT(cJSON_IsNumber(c) == (type == PK_JSON_NUMBER));
    PK_ASSERT(cJSON_IsString(c) == (type == PK_JSON_STRING));
    if (type == PK_JSON_STRING)
        PK_ASSERT(pk_str_is(pk_json_str(arena, doc, v), c->valuestring));
    if (type == PK_JSON_NUMBER && pk_json_number(doc, v, &number))
        PK_ASSERT(number == c->valuedouble ||
                  fabs(number - c->valuedouble) <= fabs(number) * 1e-15);
}

/* The nesting is at most PK_JSON_DEPTH_MAX. */
static void same(struct pk_arena *arena, const struct pk_json *doc, int v, const cJSON *c)
{
    bool object = pk_json_type(doc, v) == PK_JSON_OBJECT;
    const cJSON *child = c->child;

    PK_ASSERT(cJSON_IsObject(c) == object);
    PK_ASSERT(cJSON_IsArray(c) == (pk_json_type(doc, v) == PK_JSON_ARRAY));
    if (!cJSON_IsObject(c) && !cJSON_IsArray(c)) {
        same_leaf(arena, doc, v, c);
        return;
    }
    PK_ASSERT(pk_json_count(doc, v) == cJSON_GetArraySize(c));
    for (int i = pk_json_first(doc, v); i >= 0; i = pk_json_next(doc, v, i)) {
        PK_ASSERT(child != NULL);
        if (object)
            PK_ASSERT(pk_str_is(pk_json_str(arena, doc, i), child->string));
        same(arena, doc, object ? i + 1 : i, child);
        child = child->next;
    }
    PK_ASSERT(child == NULL);
}

static void second_opinion(struct pk_arena *arena, const struct pk_json *doc)
{
    if (has_long_number(doc))
        return;
    cJSON *other = cJSON_ParseWithLength(doc->text.at, doc->text.len);
    PK_ASSERT(other != NULL);
    same(arena, doc, 0, other);
    cJSON_Delete(other);
}

static struct pk_json parsed(struct pk_arena *arena, pk_str text)
{
    struct pk_json doc;
    struct pk_error err = {0};

    PK_ASSERT(pk_json_parse(arena, text, "output", &doc, &err));
    return doc;
}

/* Equal documents have equal canonical text, and it is its own. */
static pk_str canonical(struct pk_arena *arena, const struct pk_json *doc)
{
    struct pk_buf once = pk_buf_in(arena, 64 << 20), twice = pk_buf_in(arena, 64 << 20);

    pk_json_canonical(&once, doc, 0, NULL);
    PK_ASSERT(!once.failed);
    struct pk_json again = parsed(arena, pk_buf_str(&once));
    pk_json_canonical(&twice, &again, 0, NULL);
    PK_ASSERT(pk_str_eq(pk_buf_str(&once), pk_buf_str(&twice)));
    return pk_buf_str(&once);
}

/* After a splice the member is there (or gone), and the others are as they were. */
static void splice(struct pk_arena *arena, const struct pk_json *doc, pk_str name, pk_str value)
{
    struct pk_buf out = pk_buf_in(arena, 64 << 20);
    struct pk_json_edit edit = {name, value};

    pk_json_splice(&out, doc, 0, &edit, 1);
    PK_ASSERT(!out.failed);
    struct pk_json after = parsed(arena, pk_buf_str(&out));
    pk_str key = pk_copy(arena, name);
    PK_ASSERT(pk_str_eq(pk_json_raw(&after, pk_json_get(&after, 0, key.at)), value));
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        pk_str member = pk_copy(arena, pk_json_str(arena, doc, k));
        if (pk_str_eq(member, name))
            continue;
        PK_ASSERT(pk_str_eq(pk_json_raw(doc, pk_json_get(doc, 0, member.at)),
                            pk_json_raw(&after, pk_json_get(&after, 0, member.at))));
    }
}

static void change(struct pk_arena *arena, const struct pk_json *doc, pk_str name, pk_str value)
{
    struct pk_error err = {0};
    struct pk_json other;
    size_t bad;
    pk_str merged;

    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return;
    bool all = pk_json_merge(arena, doc->text, doc->text, "base", &merged, &err);
    PK_ASSERT(all == (pk_json_count(doc, 0) <= MERGE_MAX));
    if (pk_utf8_valid(name, &bad)) {
        splice(arena, doc, name, PK_NONE);
        if (pk_json_parse(arena, value, "value", &other, &err))
            splice(arena, doc, name, pk_str_trim(pk_json_raw(&other, 0)));
    }
    if (pk_json_merge(arena, doc->text, value, "over", &merged, &err))
        (void)parsed(arena, merged);
}

/* Any bytes can be quoted, and valid text comes back as it was. */
static void quote(struct pk_arena *arena, pk_str s)
{
    struct pk_buf out = pk_buf_in(arena, 64 << 20);
    size_t bad;

    pk_json_quote(&out, s);
    PK_ASSERT(!out.failed);
    if (s.len && memchr(s.at, '\0', s.len))
        return;
    struct pk_json doc = parsed(arena, pk_buf_str(&out));
    PK_ASSERT(pk_json_type(&doc, 0) == PK_JSON_STRING);
    if (pk_utf8_valid(s, &bad))
        PK_ASSERT(pk_str_eq(pk_json_str(arena, &doc, 0), s));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_error err = {0};
    struct pk_json doc;
    pk_str rest = fuzz_text(bytes, size);

    quote(&arena, rest);
    pk_str text = fuzz_part(&rest);
    pk_str name = fuzz_part(&rest);
    if (pk_json_parse(&arena, text, "input", &doc, &err)) {
        second_opinion(&arena, &doc);
        (void)canonical(&arena, &doc);
        change(&arena, &doc, name, rest);
    } else {
        PK_ASSERT(err.code == PK_BAD_JSON || err.code == PK_TOO_LARGE);
    }
    pk_arena_free(&arena);
    return 0;
}
