/* schema_keyword.c - the keywords of a schema: a table that says where in the compiled node the value of each goes, and how
 * it is read.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "schema_inner.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static enum pk_json_type type_at(const struct pk_schema_compiler *c, int value)
{
    return pk_json_type(&c->s->doc, value);
}

static bool is_object(struct pk_schema_compiler *c, int value)
{
    return type_at(c, value) == PK_JSON_OBJECT || pk_schema_fail(c, value, "must be an object");
}

static bool is_string(struct pk_schema_compiler *c, int value)
{
    return type_at(c, value) == PK_JSON_STRING || pk_schema_fail(c, value, "must be a string");
}

/* --- plain shapes: `to` is a field of a node or of one of its parts --------------------------- */

static bool read_schema(struct pk_schema_compiler *c, int value, void *to)
{
    int node = pk_schema_node_at(c, value);

    *(int *)to = node;
    return node >= 0;
}

static bool read_schemas(struct pk_schema_compiler *c, int value, void *to)
{
    int count = pk_json_count(&c->s->doc, value), i = 0, *at;

    if (type_at(c, value) != PK_JSON_ARRAY || count == 0)
        return pk_schema_fail(c, value, "must be a list of at least one schema");
    at = pk_alloc(c->arena, (size_t)count * sizeof *at);
    if (!at)
        return pk_schema_no_memory(c);
    for (int v = pk_json_first(&c->s->doc, value); v >= 0; v = pk_json_next(&c->s->doc, value, v))
        if (!read_schema(c, v, &at[i++]))
            return false;
    *(struct pk_schema_list *)to = (struct pk_schema_list){at, count};
    return true;
}

/* Schemas that are only there to be referred to. */
static bool read_definitions(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;

    (void)to;
    if (!is_object(c, value))
        return false;
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k))
        if (pk_schema_node_at(c, k + 1) < 0)
            return false;
    return true;
}

static bool read_count(struct pk_schema_compiler *c, int value, void *to)
{
    struct pk_decimal d;

    if (type_at(c, value) == PK_JSON_NUMBER) {
        d = pk_decimal_of(pk_json_raw(&c->s->doc, value));
        if (pk_decimal_count(&d, to))
            return true;
    }
    return pk_schema_fail(c, value, "must be a non-negative integer");
}

static bool read_bound(struct pk_schema_compiler *c, int value, void *to)
{
    struct pk_schema_bound *bound = to;

    if (type_at(c, value) != PK_JSON_NUMBER)
        return pk_schema_fail(c, value, "must be a number");
    *bound = (struct pk_schema_bound){true, pk_decimal_of(pk_json_raw(&c->s->doc, value))};
    return true;
}

static bool read_flag(struct pk_schema_compiler *c, int value, void *to)
{
    bool on = type_at(c, value) == PK_JSON_TRUE;

    if (!on && type_at(c, value) != PK_JSON_FALSE)
        return pk_schema_fail(c, value, "must be a boolean");
    *(bool *)to = on;
    return true;
}

static bool read_place(struct pk_schema_compiler *c, int value, void *to)
{
    (void)c;
    *(int *)to = value;
    return true;
}

static bool read_reference(struct pk_schema_compiler *c, int value, void *to)
{
    return is_string(c, value) && read_place(c, value, to);
}

static bool read_pattern(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_regex **regex = to;
    struct pk_error why = {0};

    if (!is_string(c, value))
        return false;
    *regex = pk_regex_new(c->arena, pk_schema_text(&c->text, value), 0, &why);
    return *regex || pk_schema_fail(c, value, why.msg);
}

static bool refuse(struct pk_schema_compiler *c, int value, void *to)
{
    (void)to;
    return pk_schema_fail(c, value,
                          "is of an older draft; say it as 2020-12 does (prefixItems, items, "
                          "dependentRequired, dependentSchemas, $dynamicRef)");
}

/* --- the dialect ------------------------------------------------------------------------------ */

static bool read_dialect(struct pk_schema_compiler *c, int value, void *to)
{
    pk_str uri = pk_schema_text(&c->text, value);

    (void)to;
    if (!is_string(c, value))
        return false;
    return pk_str_starts(uri, "https://json-schema.org/") ||
           pk_str_starts(uri, "http://json-schema.org/") ||
           pk_schema_fail(c, value, "names a dialect that is not known");
}

static bool read_anchor(struct pk_schema_compiler *c, int value, void *to)
{
    (void)to;
    return pk_schema_add_anchor(c, c->node, value, false);
}

static bool read_dynamic_anchor(struct pk_schema_compiler *c, int value, void *to)
{
    (void)to;
    return pk_schema_add_anchor(c, c->node, value, true);
}

static bool ignore(struct pk_schema_compiler *c, int value, void *to)
{
    (void)c;
    (void)value;
    (void)to;
    return true;
}

/* --- any type --------------------------------------------------------------------------------- */

static unsigned type_named(const struct pk_json *doc, int value)
{
    static const struct {
        const char *name;
        unsigned types;
    } names[] = {
        {"null", 1u << PK_JSON_NULL},     {"boolean", 1u << PK_JSON_TRUE | 1u << PK_JSON_FALSE},
        {"object", 1u << PK_JSON_OBJECT}, {"array", 1u << PK_JSON_ARRAY},
        {"number", 1u << PK_JSON_NUMBER}, {"string", 1u << PK_JSON_STRING},
        {"integer", PK_SCHEMA_INTEGER},
    };

    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_json_is(doc, value, names[i].name))
            return names[i].types;
    return 0;
}

static bool read_type(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;
    bool list = type_at(c, value) == PK_JSON_ARRAY;
    unsigned types = list ? 0 : type_named(doc, value);

    for (int v = list ? pk_json_first(doc, value) : -1; v >= 0; v = pk_json_next(doc, value, v)) {
        if (!type_named(doc, v))
            return pk_schema_fail(c, v, "is no type");
        types |= type_named(doc, v);
    }
    if (!types)
        return pk_schema_fail(c, value,
                              "must be one or more of null, boolean, object, array, number, "
                              "integer, string");
    *(uint8_t *)to = (uint8_t)types;
    return true;
}

static bool read_enum(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;
    struct pk_schema_node *n = to;
    uint64_t *hashes;
    int i = 0;

    if (type_at(c, value) != PK_JSON_ARRAY)
        return pk_schema_fail(c, value, "must be a list");
    hashes = pk_alloc(c->arena, (size_t)pk_json_count(doc, value) * sizeof *hashes);
    if (!hashes)
        return pk_schema_no_memory(c);
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        hashes[i++] = pk_schema_hash(&c->text, v, &c->steps);
    n->enum_values = value;
    n->enum_hashes = hashes;
    return true;
}

/* --- numbers and strings ---------------------------------------------------------------------- */

static bool read_multiple_of(struct pk_schema_compiler *c, int value, void *to)
{
    struct pk_schema_numbers *l = to;
    struct pk_schema_bound of = {0};

    if (!read_bound(c, value, &of))
        return false;
    if (of.at.negative || of.at.count == 0)
        return pk_schema_fail(c, value, "must be above 0");
    if (!pk_decimal_digits(&of.at, &l->divisor))
        return pk_schema_fail(c, value, "has more than 18 significant digits");
    l->scale = of.at.point - of.at.count;
    return true;
}

static bool read_format(struct pk_schema_compiler *c, int value, void *to)
{
    struct pk_schema_strings *l = to;

    if (!is_string(c, value))
        return false;
    if (!(c->flags & PK_SCHEMA_FORMATS))
        return true;
    l->format_name = pk_schema_text(&c->text, value);
    l->format = pk_schema_format_of(l->format_name);
    return l->format || pk_schema_fail(c, value, "is no format that can be checked");
}

/* --- objects ---------------------------------------------------------------------------------- */

/* Notes that a keyword names the member `key`; its id, or -1. */
static int add_name(struct pk_schema_compiler *c, struct pk_schema_objects *l, int key, int schema,
                    bool required)
{
    struct pk_schema_name *names = pk_alloc_row(c->arena, l->names, l->name_count, sizeof *names);

    if (!names)
        return pk_schema_no_memory(c), -1;
    l->names = names;
    names[l->name_count] = (struct pk_schema_name){
        .text = pk_schema_text(&c->text, key),
        .schema = schema,
        .id = l->name_count,
        .required = required,
    };
    l->needs = l->needs || required;
    return l->name_count++;
}

static bool add_dependent(struct pk_schema_compiler *c, struct pk_schema_objects *l,
                          struct pk_schema_dependent dependent)
{
    struct pk_schema_dependent *all =
        pk_alloc_row(c->arena, l->dependents, l->dependent_count, sizeof *all);

    if (!all)
        return pk_schema_no_memory(c);
    l->dependents = all;
    all[l->dependent_count++] = dependent;
    l->needs = true;
    return true;
}

static bool read_properties(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;
    int schema;

    if (!is_object(c, value))
        return false;
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k))
        if (!read_schema(c, k + 1, &schema) || add_name(c, to, k, schema, false) < 0)
            return false;
    return true;
}

static bool is_names(struct pk_schema_compiler *c, int value)
{
    const struct pk_json *doc = &c->s->doc;

    if (type_at(c, value) != PK_JSON_ARRAY)
        return pk_schema_fail(c, value, "must be a list of member names");
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        if (!is_string(c, v))
            return false;
    return true;
}

static bool read_required(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;

    if (!is_names(c, value))
        return false;
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        if (add_name(c, to, v, -1, true) < 0)
            return false;
    return true;
}

static bool read_dependent_required(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;

    if (!is_object(c, value))
        return false;
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k)) {
        int trigger = is_names(c, k + 1) ? add_name(c, to, k, -1, false) : -1;

        if (trigger < 0)
            return false;
        for (int v = pk_json_first(doc, k + 1); v >= 0; v = pk_json_next(doc, k + 1, v)) {
            struct pk_schema_dependent d = {trigger, add_name(c, to, v, -1, false), -1};

            if (d.then_there < 0 || !add_dependent(c, to, d))
                return false;
        }
    }
    return true;
}

static bool read_dependent_schemas(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;

    if (!is_object(c, value))
        return false;
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k)) {
        struct pk_schema_dependent d = {add_name(c, to, k, -1, false), -1, -1};

        if (d.if_there < 0 || !read_schema(c, k + 1, &d.schema) || !add_dependent(c, to, d))
            return false;
    }
    return true;
}

static bool read_pattern_properties(struct pk_schema_compiler *c, int value, void *to)
{
    const struct pk_json *doc = &c->s->doc;
    struct pk_schema_objects *l = to;

    if (!is_object(c, value))
        return false;
    l->patterns = pk_alloc(c->arena, (size_t)pk_json_count(doc, value) * sizeof *l->patterns);
    if (!l->patterns)
        return pk_schema_no_memory(c);
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k)) {
        struct pk_schema_pattern *p = &l->patterns[l->pattern_count++];

        if (!read_pattern(c, k, &p->regex) || !read_schema(c, k + 1, &p->schema))
            return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct pk_schema_name *x = a, *y = b;
    size_t n = x->text.len < y->text.len ? x->text.len : y->text.len;
    int c = n ? memcmp(x->text.at, y->text.at, n) : 0;

    if (c == 0 && x->text.len != y->text.len)
        return x->text.len < y->text.len ? -1 : 1;
    return c ? c : x->id - y->id;
}

/* Sorts the names, makes one of those that are equal, and lets dependents name the result. */
static bool sort_names(struct pk_schema_compiler *c, struct pk_schema_objects *l)
{
    int *now = pk_alloc(c->arena, (size_t)l->name_count * sizeof *now), kept = 0;

    if (!now)
        return pk_schema_no_memory(c);
    qsort(l->names, (size_t)l->name_count, sizeof *l->names, by_name);
    for (int i = 0; i < l->name_count; i++) {
        struct pk_schema_name name = l->names[i], *last = &l->names[kept - (kept > 0)];

        if (kept > 0 && pk_str_eq(last->text, name.text)) {
            last->schema = last->schema < 0 ? name.schema : last->schema;
            last->required = last->required || name.required;
        } else {
            l->names[kept++] = name;
        }
        now[name.id] = kept - 1;
    }
    l->name_count = kept;
    for (int i = 0; i < l->dependent_count; i++) {
        struct pk_schema_dependent *d = &l->dependents[i];

        d->if_there = now[d->if_there];
        d->then_there = d->then_there < 0 ? -1 : now[d->then_there];
    }
    return true;
}

/* --- keywords --------------------------------------------------------------------------------- */

enum part { NODE, NUMBERS, STRINGS, ARRAYS, OBJECTS };

#define NODE_AT(field)    NODE, offsetof(struct pk_schema_node, field)
#define NUMBERS_AT(field) NUMBERS, offsetof(struct pk_schema_numbers, field)
#define STRINGS_AT(field) STRINGS, offsetof(struct pk_schema_strings, field)
#define ARRAYS_AT(field)  ARRAYS, offsetof(struct pk_schema_arrays, field)
#define OBJECTS_AT(field) OBJECTS, offsetof(struct pk_schema_objects, field)

/* clang-format off */
static const struct keyword {
    const char *name;
    enum part part; /* where it goes: a part of the node, made when first needed, and a field of it */
    size_t offset;
    bool (*read)(struct pk_schema_compiler *c, int value, void *to);
} keywords[] = {
    {"$schema",               NODE, 0,                          read_dialect},
    {"$anchor",               NODE, 0,                          read_anchor},
    {"$dynamicAnchor",        NODE, 0,                          read_dynamic_anchor},
    {"$id",                   NODE, 0,                          ignore}, /* read before the others */
    {"$ref",                  NODE_AT(ref_value),               read_reference},
    {"$dynamicRef",           NODE_AT(dynamic_value),           read_reference},
    {"$defs",                 NODE, 0,                          read_definitions},
    {"definitions",           NODE, 0,                          read_definitions},
    {"type",                  NODE_AT(types),                   read_type},
    {"const",                 NODE_AT(const_value),             read_place},
    {"enum",                  NODE, 0,                          read_enum},
    {"minimum",               NUMBERS_AT(min),                  read_bound},
    {"maximum",               NUMBERS_AT(max),                  read_bound},
    {"exclusiveMinimum",      NUMBERS_AT(above),                read_bound},
    {"exclusiveMaximum",      NUMBERS_AT(below),                read_bound},
    {"multipleOf",            NUMBERS, 0,                       read_multiple_of},
    {"minLength",             STRINGS_AT(min),                  read_count},
    {"maxLength",             STRINGS_AT(max),                  read_count},
    {"pattern",               STRINGS_AT(pattern),              read_pattern},
    {"format",                STRINGS, 0,                       read_format},
    {"minItems",              ARRAYS_AT(min),                   read_count},
    {"maxItems",              ARRAYS_AT(max),                   read_count},
    {"uniqueItems",           ARRAYS_AT(unique),                read_flag},
    {"prefixItems",           ARRAYS_AT(prefix),                read_schemas},
    {"items",                 ARRAYS_AT(items),                 read_schema},
    {"contains",              ARRAYS_AT(contains),              read_schema},
    {"minContains",           ARRAYS_AT(min_contains),          read_count},
    {"maxContains",           ARRAYS_AT(max_contains),          read_count},
    {"minProperties",         OBJECTS_AT(min),                  read_count},
    {"maxProperties",         OBJECTS_AT(max),                  read_count},
    {"properties",            OBJECTS, 0,                       read_properties},
    {"patternProperties",     OBJECTS, 0,                       read_pattern_properties},
    {"additionalProperties",  OBJECTS_AT(additional),           read_schema},
    {"propertyNames",         OBJECTS_AT(property_names),       read_schema},
    {"required",              OBJECTS, 0,                       read_required},
    {"dependentRequired",     OBJECTS, 0,                       read_dependent_required},
    {"dependentSchemas",      OBJECTS, 0,                       read_dependent_schemas},
    {"allOf",                 NODE_AT(all_of),                  read_schemas},
    {"anyOf",                 NODE_AT(any_of),                  read_schemas},
    {"oneOf",                 NODE_AT(one_of),                  read_schemas},
    {"not",                   NODE_AT(negated),                 read_schema},
    {"if",                    NODE_AT(condition),               read_schema},
    {"then",                  NODE_AT(then),                    read_schema},
    {"else",                  NODE_AT(otherwise),               read_schema},
    {"unevaluatedItems",      NODE_AT(unevaluated_items),       read_schema},
    {"unevaluatedProperties", NODE_AT(unevaluated_properties),  read_schema},
    {"additionalItems",       NODE, 0,                          refuse},
    {"dependencies",          NODE, 0,                          refuse},
    {"$recursiveRef",         NODE, 0,                          refuse},
    {"$recursiveAnchor",      NODE, 0,                          refuse},
};
/* clang-format on */

static void *made(struct pk_arena *arena, void *part, const void *initial, size_t size)
{
    void *at = part ? part : pk_alloc(arena, size);

    return at && !part ? memcpy(at, initial, size) : at;
}

static void *part_of(struct pk_arena *arena, struct pk_schema_node *n, enum part part)
{
    static const struct pk_schema_numbers no_numbers = {0};
    static const struct pk_schema_strings no_strings = {.max = -1};
    static const struct pk_schema_arrays no_arrays = {
        .max = -1, .items = -1, .contains = -1, .min_contains = 1, .max_contains = -1};
    static const struct pk_schema_objects no_objects = {
        .max = -1, .additional = -1, .property_names = -1};

    switch (part) {
    case NODE: return n;
    case NUMBERS: return n->numbers = made(arena, n->numbers, &no_numbers, sizeof no_numbers);
    case STRINGS: return n->strings = made(arena, n->strings, &no_strings, sizeof no_strings);
    case ARRAYS: return n->arrays = made(arena, n->arrays, &no_arrays, sizeof no_arrays);
    case OBJECTS: return n->objects = made(arena, n->objects, &no_objects, sizeof no_objects);
    }
    return NULL;
}

static bool read_keyword(struct pk_schema_compiler *c, struct pk_schema_node *n, int key,
                         uint64_t *seen)
{
    for (size_t i = 0; i < PK_COUNT(keywords); i++) {
        const struct keyword *w = &keywords[i];
        char *part;

        if (!pk_json_is(&c->s->doc, key, w->name))
            continue;
        if (*seen & 1ull << i)
            return pk_schema_fail(c, key + 1, "is given twice");
        *seen |= 1ull << i;
        part = part_of(c->arena, n, w->part);
        return part ? w->read(c, key + 1, part + w->offset) : pk_schema_no_memory(c);
    }
    return true; /* an annotation */
}

bool pk_schema_read_keywords(struct pk_schema_compiler *c, struct pk_schema_node *n)
{
    const struct pk_json *doc = &c->s->doc;
    uint64_t seen = 0;

    _Static_assert(PK_COUNT(keywords) <= 64, "`seen` has a bit for each keyword");
    for (int k = pk_json_first(doc, n->place); k >= 0; k = pk_json_next(doc, n->place, k))
        if (!read_keyword(c, n, k, &seen))
            return false;
    return !n->objects || n->objects->name_count == 0 || sort_names(c, n->objects);
}
