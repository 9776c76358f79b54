/* dialect_gemini_schema.c - a JSON Schema in the words that Gemini reads.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * responseJsonSchema and parametersJsonSchema take JSON Schema; what they do not know they ignore. Only
 * this is put in other words that mean the same:
 *   $ref beside other keywords   refused there: becomes anyOf of that one $ref
 *   const                        unknown: an enum of one, for strings and numbers
 *   allOf of one schema          unknown: anyOf of one
 *   definitions (draft 7)        unknown: $defs, when the root has none, with the $refs to them
 */
#include "dialect_gemini.h"

#include <string.h>

static const char draft7[] = "\"#/definitions/";

/* How far down a member's value holds schemas. */
enum holds { HOLDS_DATA, HOLDS_SCHEMA, HOLDS_LIST, HOLDS_MAP };

static const struct {
    const char *name;
    enum holds holds;
} keywords[] = {
    {"properties", HOLDS_MAP},  {"$defs", HOLDS_MAP},
    {"definitions", HOLDS_MAP}, {"patternProperties", HOLDS_MAP},
    {"anyOf", HOLDS_LIST},      {"oneOf", HOLDS_LIST},
    {"allOf", HOLDS_LIST},      {"prefixItems", HOLDS_LIST},
    {"items", HOLDS_SCHEMA},    {"additionalProperties", HOLDS_SCHEMA},
    {"not", HOLDS_SCHEMA},
};

struct cleaner {
    struct pk_buf *out;
    const struct pk_json *doc;
    bool draft7; /* definitions are $defs */
    int depth;
};

static void write_schema(struct cleaner *c, int schema);

static enum holds holds(const struct cleaner *c, int key)
{
    for (size_t i = 0; i < PK_COUNT(keywords); i++)
        if (pk_json_is(c->doc, key, keywords[i].name))
            return keywords[i].holds;
    return HOLDS_DATA;
}

/* A name and its colon, as they stand. */
static void write_key(struct cleaner *c, pk_str raw)
{
    pk_member_comma(c->out);
    pk_dialect_line(c->out, raw);
    pk_buf_addc(c->out, ':');
}

static void write_ref(struct cleaner *c, int ref)
{
    pk_str raw = pk_json_raw(c->doc, ref);

    pk_buf_adds(c->out, "\"$ref\":");
    if (c->draft7 && pk_str_starts(raw, draft7)) {
        pk_buf_adds(c->out, "\"#/$defs/");
        raw = pk_str_sub(raw, strlen(draft7), raw.len);
    }
    pk_dialect_line(c->out, raw);
}

static void write_held(struct cleaner *c, int value, enum holds how)
{
    bool map = pk_json_type(c->doc, value) == PK_JSON_OBJECT;
    bool list = pk_json_type(c->doc, value) == PK_JSON_ARRAY;

    if (how == HOLDS_SCHEMA && map) {
        write_schema(c, value);
        return;
    }
    if ((how == HOLDS_MAP && !map) || (how == HOLDS_LIST && !list) || how == HOLDS_SCHEMA ||
        how == HOLDS_DATA) {
        pk_dialect_line(c->out, pk_json_raw(c->doc, value));
        return;
    }
    pk_buf_addc(c->out, map ? '{' : '[');
    for (int v = pk_json_first(c->doc, value); v >= 0; v = pk_json_next(c->doc, value, v)) {
        if (map)
            write_key(c, pk_json_raw(c->doc, v));
        else
            pk_member_comma(c->out);
        write_schema(c, map ? v + 1 : v);
    }
    pk_buf_addc(c->out, map ? '}' : ']');
}

static bool is_const(const struct cleaner *c, int key)
{
    enum pk_json_type type = pk_json_type(c->doc, key + 1);

    return pk_json_is(c->doc, key, "const") && (type == PK_JSON_STRING || type == PK_JSON_NUMBER);
}

static void write_member(struct cleaner *c, int schema, int key)
{
    bool alone = pk_json_get(c->doc, schema, "anyOf") < 0;

    if (is_const(c, key)) {
        write_key(c, PK_STR("\"enum\""));
        pk_buf_addc(c->out, '[');
        pk_dialect_line(c->out, pk_json_raw(c->doc, key + 1));
        pk_buf_addc(c->out, ']');
        return;
    }
    if (pk_json_is(c->doc, key, "allOf") && alone && pk_json_count(c->doc, key + 1) == 1)
        write_key(c, PK_STR("\"anyOf\""));
    else if (pk_json_is(c->doc, key, "definitions") && c->draft7)
        write_key(c, PK_STR("\"$defs\""));
    else
        write_key(c, pk_json_raw(c->doc, key));
    write_held(c, key + 1, holds(c, key));
}

/* Whether a schema says anything beside its $ref that does not start with a '$'. */
static bool has_siblings(const struct cleaner *c, int schema)
{
    for (int k = pk_json_first(c->doc, schema); k >= 0; k = pk_json_next(c->doc, schema, k))
        if (!pk_str_starts(pk_json_raw(c->doc, k), "\"$"))
            return true;
    return false;
}

static void write_object(struct cleaner *c, int schema)
{
    int ref = pk_json_get(c->doc, schema, "$ref");
    bool wrapped = pk_json_type(c->doc, ref) == PK_JSON_STRING && has_siblings(c, schema) &&
                   pk_json_get(c->doc, schema, "anyOf") < 0;

    pk_buf_addc(c->out, '{');
    for (int k = pk_json_first(c->doc, schema); k >= 0; k = pk_json_next(c->doc, schema, k)) {
        if (k + 1 != ref) {
            write_member(c, schema, k);
            continue;
        }
        pk_member_comma(c->out);
        pk_buf_adds(c->out, wrapped ? "\"anyOf\":[{" : "");
        write_ref(c, ref);
        pk_buf_adds(c->out, wrapped ? "}]" : "");
    }
    pk_buf_addc(c->out, '}');
}

static void write_schema(struct cleaner *c, int schema)
{
    PK_ASSERT(c->depth < PK_JSON_DEPTH_MAX); /* the document is no deeper */
    c->depth++;
    if (pk_json_type(c->doc, schema) == PK_JSON_OBJECT)
        write_object(c, schema);
    else
        pk_dialect_line(c->out, pk_json_raw(c->doc, schema));
    c->depth--;
}

void pk_gemini_schema(struct pk_buf *out, const struct pk_json *doc, int schema)
{
    struct cleaner c = {.out = out, .doc = doc};

    c.draft7 =
        pk_json_get(doc, schema, "definitions") >= 0 && pk_json_get(doc, schema, "$defs") < 0;
    write_schema(&c, schema);
}
