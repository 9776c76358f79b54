/* schema_inner.h - a compiled schema, and what compiling and judging share.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A schema document becomes a list of nodes, one a subschema, that name each other by index (-1: none).
 * What a keyword needs is in the node, or in a part of it that is there only when a keyword of its
 * kind is. A resource is a schema with an identifier of its own: the document, or what has `$id`.
 */
#ifndef PK_SCHEMA_INNER_H
#define PK_SCHEMA_INNER_H

#include "regex.h"
#include "schema.h"

enum {
    PK_SCHEMA_RESOURCES_MAX = 128, /* $id in a document */
    PK_SCHEMA_ANCHORS_MAX = 256,   /* $anchor and $dynamicAnchor in a document */
    PK_SCHEMA_INTEGER = 1,         /* in a set of types; the others are 1 << enum pk_json_type */
};

/* A JSON number without loss: 0.<digits> * 10^point. */
struct pk_decimal {
    pk_str
        digits; /* first significant digit to last; the text's point may be among them. Zero: empty */
    int64_t count; /* digits without the point */
    int64_t point;
    bool negative;
};

struct pk_decimal pk_decimal_of(pk_str number); /* as the JSON parser accepts it */
int pk_decimal_compare(const struct pk_decimal *a, const struct pk_decimal *b);
bool pk_decimal_is_integer(const struct pk_decimal *d);
/* A count: not negative, an integer; more than int64_t holds becomes its greatest value. */
bool pk_decimal_count(const struct pk_decimal *d, int64_t *out);
/* The digits as one number; false when there are more than 18. */
bool pk_decimal_digits(const struct pk_decimal *d, uint64_t *out);
/* Whether d / (divisor * 10^scale) is an integer; 0 < divisor < 10^18, no trailing zeros. */
bool pk_decimal_divides(const struct pk_decimal *d, uint64_t divisor, int64_t scale);

/* A document whose strings are read many times: each escaped one is unescaped once. */
struct pk_schema_text {
    struct pk_arena *arena;
    const struct pk_json *doc;
    pk_str *unescaped; /* one a value, made when the first escaped string is met */
};

pk_str pk_schema_text(struct pk_schema_text *t, int value);
/* Equal as JSON Schema says: numbers by value, members in any order. Both take what they looked at
 * from *steps, and are right only while that stays above 0. */
bool pk_schema_equal(struct pk_schema_text *a, int x, struct pk_schema_text *b, int y,
                     int64_t *steps);
uint64_t pk_schema_hash(struct pk_schema_text *t, int value, int64_t *steps); /* of equals: equal */

/* Whether a string is of the format; NULL: no such format. */
typedef bool pk_schema_format(pk_str s);
pk_schema_format *pk_schema_format_of(pk_str name);

/* Appends where `value` stands in `doc`: "$.items[2].name" for the root "$". */
void pk_schema_path(struct pk_buf *out, const char *root, const struct pk_json *doc, int value);

struct pk_schema_list {
    const int *at;
    int count;
};

struct pk_schema_bound {
    bool given;
    struct pk_decimal at;
};

struct pk_schema_numbers {
    struct pk_schema_bound min, max, above, below;
    uint64_t divisor; /* multipleOf is divisor * 10^scale; 0: none */
    int64_t scale;
};

struct pk_schema_strings {
    int64_t min, max; /* code points; max -1: any */
    const struct pk_regex *pattern;
    pk_schema_format *format;
    pk_str format_name;
};

struct pk_schema_arrays {
    int64_t min, max; /* max -1: any */
    bool unique;
    struct pk_schema_list prefix;
    int items, contains;
    int64_t min_contains, max_contains;
};

struct pk_schema_name {
    pk_str text;
    int schema; /* of `properties` */
    int id;     /* in the order in which names were met */
    bool required;
};

struct pk_schema_pattern {
    const struct pk_regex *regex;
    int schema;
};

/* When the name `if_there` is, so must be `then_there`, or `schema` hold. */
struct pk_schema_dependent {
    int if_there, then_there, schema;
};

struct pk_schema_objects {
    int64_t min, max;             /* max -1: any */
    struct pk_schema_name *names; /* every member that some keyword names, sorted */
    int name_count;
    bool needs; /* some are required or have dependents */
    struct pk_schema_pattern *patterns;
    int pattern_count;
    struct pk_schema_dependent *dependents;
    int dependent_count;
    int additional, property_names;
};

struct pk_schema_node {
    int place; /* in the schema document */
    int resource;
    bool never;      /* the schema `false` */
    uint8_t types;   /* 0: any */
    int const_value; /* places in the schema document */
    int enum_values;
    const uint64_t *enum_hashes; /* of enum_values, or of const_value */
    struct pk_schema_numbers *numbers;
    struct pk_schema_strings *strings;
    struct pk_schema_arrays *arrays;
    struct pk_schema_objects *objects;
    struct pk_schema_list all_of, any_of, one_of;
    int negated, condition, then, otherwise;
    int ref_value, dynamic_value; /* places of $ref and $dynamicRef */
    int ref, dynamic_ref;
    pk_str dynamic_name; /* when dynamic_ref is looked for in the dynamic scope */
    bool finite;         /* does not apply itself to the same value again */
    int unevaluated_items, unevaluated_properties;
};

struct pk_schema_resource {
    pk_str uri; /* absolute when some $id is; without fragment */
    int place;
};

struct pk_schema_anchor {
    pk_str name;
    int resource, node;
    bool dynamic;
};

struct pk_schema {
    struct pk_json doc;
    struct pk_schema_node **nodes; /* node 0 is the document */
    int node_count;
    struct pk_schema_resource *resources; /* resource 0 is the document */
    int resource_count;
    struct pk_schema_anchor *anchors;
    int anchor_count;
};

/* What is known while a document is compiled. */
struct pk_schema_compiler {
    struct pk_arena *arena;
    struct pk_schema *s;
    struct pk_schema_text text;
    unsigned flags;
    int *node_at;       /* of each value of the document that is a schema: its node; else -1 */
    int node, resource; /* that is being read */
    int64_t steps;
    struct pk_error *err;
};

/* The node of the schema at `place`, compiled when it is not yet; -1 on failure. */
int pk_schema_node_at(struct pk_schema_compiler *c, int place);
/* Fails with the path of `place` in front. */
bool pk_schema_fail(struct pk_schema_compiler *c, int place, const char *problem);
bool pk_schema_no_memory(struct pk_schema_compiler *c); /* fails with that */

/* schema_keyword.c: fills the node from the object at its place, and compiles the schemas in it. */
bool pk_schema_read_keywords(struct pk_schema_compiler *c, struct pk_schema_node *n);

/* Reads the $id at `value`, which makes the object `place` a resource, and turns c->resource to it. */
bool pk_schema_add_resource(struct pk_schema_compiler *c, int place, int value);
bool pk_schema_add_anchor(struct pk_schema_compiler *c, int node, int value, bool dynamic);
/* Follows the reference at `value`, read in the node's resource: to a node, or -1 on failure; *name is
 * set when it is by a dynamic anchor. */
int pk_schema_follow(struct pk_schema_compiler *c, int resource, int value, pk_str *name);

#endif
