/* schema.c - compiling a schema document.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One pass reads every place where the draft has a schema, keyword by keyword (schema_keyword.c). References are
 * followed afterwards, when every identifier is known; what they lead to may be a place that no keyword names, and is
 * compiled then.
 */
#include "schema_inner.h"

bool pk_schema_fail(struct pk_schema_compiler *c, int place, const char *problem)
{
    struct pk_buf path = pk_buf_in(c->arena, PK_SCHEMA_BYTES_MAX + 64);

    if (c->arena->failed)
        return pk_fail(c->err, PK_NO_MEMORY, "schema: out of memory");
    pk_schema_path(&path, "schema", &c->s->doc, place);
    return pk_fail(c->err, PK_BAD_CONFIG, "%.*s: %s", PK_FMT(pk_str_sub(pk_buf_str(&path), 0, 160)),
                   problem);
}

bool pk_schema_no_memory(struct pk_schema_compiler *c)
{
    return pk_fail(c->err, PK_NO_MEMORY, "schema: out of memory");
}

/* --- nodes ----------------------------------------------------------------------------------- */

static struct pk_schema_node *add_node(struct pk_schema_compiler *c, int place)
{
    struct pk_schema_node *n = pk_alloc(c->arena, sizeof *n);

    if (!n)
        return NULL;
    *n = (struct pk_schema_node){
        .place = place,
        .never = pk_json_type(&c->s->doc, place) == PK_JSON_FALSE,
        .const_value = -1,
        .enum_values = -1,
        .negated = -1,
        .condition = -1,
        .then = -1,
        .otherwise = -1,
        .ref_value = -1,
        .dynamic_value = -1,
        .ref = -1,
        .dynamic_ref = -1,
        .unevaluated_items = -1,
        .unevaluated_properties = -1,
    };
    c->node_at[place] = c->node = c->s->node_count;
    c->s->nodes[c->s->node_count++] = n;
    return n;
}

/* Recursion is bounded by PK_JSON_DEPTH_MAX. */
int pk_schema_node_at(struct pk_schema_compiler *c, int place)
{
    enum pk_json_type type = pk_json_type(&c->s->doc, place);
    int outer_node = c->node, outer_resource = c->resource, node = c->node_at[place];
    struct pk_schema_node *n;

    if (node >= 0)
        return node;
    if (type != PK_JSON_OBJECT && type != PK_JSON_TRUE && type != PK_JSON_FALSE)
        return pk_schema_fail(c, place, "must be a schema: an object or a boolean"), -1;
    n = add_node(c, place);
    if (!n)
        return pk_schema_no_memory(c), -1;
    node = c->node;
    int id = pk_json_get(&c->s->doc, place, "$id");
    bool ok = id < 0 || pk_schema_add_resource(c, place, id);
    n->resource = c->resource;
    ok = ok && pk_schema_read_keywords(c, n);
    c->node = outer_node;
    c->resource = outer_resource;
    return ok ? node : -1;
}

/* --- references ------------------------------------------------------------------------------- */

/* Follows all references; what they lead to may have more. */
static bool follow_all(struct pk_schema_compiler *c)
{
    for (int i = 0; i < c->s->node_count; i++) {
        struct pk_schema_node *n = c->s->nodes[i];
        pk_str name = PK_NONE;

        if (n->ref_value >= 0)
            n->ref = pk_schema_follow(c, n->resource, n->ref_value, &name);
        if (n->ref_value >= 0 && n->ref < 0)
            return false;
        name = PK_NONE;
        if (n->dynamic_value >= 0)
            n->dynamic_ref = pk_schema_follow(c, n->resource, n->dynamic_value, &name);
        if (n->dynamic_value >= 0 && n->dynamic_ref < 0)
            return false;
        n->dynamic_name = name;
    }
    return true;
}

static bool measure(struct pk_schema_compiler *c, int node, int depth);

static bool measure_list(struct pk_schema_compiler *c, struct pk_schema_list list, int depth)
{
    for (int i = 0; i < list.count; i++)
        if (!measure(c, list.at[i], depth))
            return false;
    return true;
}

/* Refuses schemas that apply themselves to one and the same value without end. */
static bool measure(struct pk_schema_compiler *c, int node, int depth)
{
    struct pk_schema_node *n = node < 0 ? NULL : c->s->nodes[node];

    if (!n || n->finite)
        return true;
    if (depth == PK_SCHEMA_DEPTH_MAX)
        return pk_schema_fail(c, n->place, "refers to itself without end");
    for (int i = 0; n->objects && i < n->objects->dependent_count; i++)
        if (!measure(c, n->objects->dependents[i].schema, depth + 1))
            return false;
    if (!measure(c, n->ref, depth + 1) || !measure(c, n->dynamic_ref, depth + 1) ||
        !measure(c, n->negated, depth + 1) || !measure(c, n->condition, depth + 1) ||
        !measure(c, n->then, depth + 1) || !measure(c, n->otherwise, depth + 1) ||
        !measure_list(c, n->all_of, depth + 1) || !measure_list(c, n->any_of, depth + 1) ||
        !measure_list(c, n->one_of, depth + 1))
        return false;
    n->finite = true;
    return true;
}

static bool compile(struct pk_schema_compiler *c)
{
    size_t values = (size_t)c->s->doc.count;

    c->node_at = pk_alloc(c->arena, values * sizeof *c->node_at);
    c->s->nodes = pk_alloc(c->arena, values * sizeof(void *));
    c->s->resources = pk_alloc(c->arena, PK_SCHEMA_RESOURCES_MAX * sizeof *c->s->resources);
    c->s->anchors = pk_alloc(c->arena, PK_SCHEMA_ANCHORS_MAX * sizeof *c->s->anchors);
    if (!c->node_at || !c->s->nodes || !c->s->resources || !c->s->anchors)
        return pk_schema_no_memory(c);
    for (size_t i = 0; i < values; i++)
        c->node_at[i] = -1;
    c->s->resource_count = 1;
    if (pk_schema_node_at(c, 0) < 0 || !follow_all(c))
        return false;
    for (int i = 0; i < c->s->node_count; i++)
        if (!measure(c, i, 0))
            return false;
    return !c->arena->failed || pk_schema_no_memory(c);
}

bool pk_schema_compile(struct pk_arena *arena, pk_str text, unsigned flags,
                       const struct pk_schema **out, struct pk_error *err)
{
    struct pk_schema *s = pk_alloc(arena, sizeof *s);
    struct pk_schema_compiler c = {
        .arena = arena, .s = s, .flags = flags, .err = err, .steps = PK_SCHEMA_STEPS_MAX};

    if (text.len > PK_SCHEMA_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "schema: larger than %d KiB", PK_SCHEMA_BYTES_MAX >> 10);
    text = pk_copy(arena, text);
    if (!s || arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "schema: out of memory");
    if (!pk_json_parse(arena, text, "schema", &s->doc, err))
        return false;
    c.text = (struct pk_schema_text){arena, &s->doc, NULL};
    if (!compile(&c))
        return false;
    *out = s;
    return true;
}
