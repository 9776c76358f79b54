/* config_condition.c - reads strategy.conditions and strategy.default (condition.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A query is an object. A member is `$and` or `$or` with a list of queries, or a field with a value or with
 * an object of operators; all of them must hold. What cannot ever hold, or names nothing, is an error.
 */
#include "config_inner.h"

#include "condition.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    enum pk_operator op;
} operators[] = {
    {"$eq", PK_WHEN_EQ},   {"$ne", PK_WHEN_NE},       {"$in", PK_WHEN_IN},
    {"$nin", PK_WHEN_NIN}, {"$regex", PK_WHEN_REGEX}, {"$gt", PK_WHEN_GT},
    {"$gte", PK_WHEN_GTE}, {"$lt", PK_WHEN_LT},       {"$lte", PK_WHEN_LTE},
};

/* A query while it is read. */
struct query {
    struct pk_config_reader *p;
    struct pk_term *terms;
    int count, depth;
};

/* Goes down in p->path; the result goes back up. */
static size_t PK_PRINTF(2, 3) enter(struct pk_config_reader *p, const char *fmt, ...)
{
    size_t len = strlen(p->path);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(p->path + len, sizeof p->path - len, fmt, args);
    va_end(args);
    return len;
}

static void leave(struct pk_config_reader *p, size_t len)
{
    p->path[len] = 0;
}

static struct pk_term *add_term(struct query *q, enum pk_operator op)
{
    if (q->count == PK_TERMS_MAX) {
        (void)pk_config_fail(q->p, "", "more than %d terms", PK_TERMS_MAX);
        return NULL;
    }
    struct pk_term *t = &q->terms[q->count++];
    *t = (struct pk_term){
        .op = op, .after = q->count, .path = pk_copy(q->p->arena, pk_str_of(q->p->path))};
    return t;
}

/* --- operators ------------------------------------------------------------------------- */

static bool read_scalar(struct query *q, int value, struct pk_scalar *out)
{
    *out = pk_scalar_of(q->p->arena, &q->p->doc, value);
    if (out->type == PK_JSON_OBJECT || out->type == PK_JSON_ARRAY)
        return pk_config_fail(q->p, "", "must be a string, a number, true, false or null");
    if (out->type == PK_JSON_NUMBER && !out->numeric)
        return pk_config_fail(q->p, "", "the number is out of range");
    return true;
}

static bool read_list(struct query *q, struct pk_term *t, int value)
{
    const struct pk_json *doc = &q->p->doc;
    int n = pk_json_count(doc, value);

    if (pk_json_type(doc, value) != PK_JSON_ARRAY || n == 0 || n > PK_OPERANDS_MAX)
        return pk_config_fail(q->p, "", "must be a list of 1 to %d values", PK_OPERANDS_MAX);
    struct pk_scalar *list = pk_alloc(q->p->arena, (size_t)n * sizeof *list);
    if (!list)
        return pk_fail(q->p->err, PK_NO_MEMORY, "config: out of memory");
    for (int v = pk_json_first(doc, value); v >= 0; v = pk_json_next(doc, value, v))
        if (!read_scalar(q, v, &list[t->operand_count++]))
            return false;
    t->operands = list;
    return true;
}

static bool read_pattern(struct query *q, struct pk_term *t, int value)
{
    struct pk_error why = {0};

    if (pk_json_type(&q->p->doc, value) != PK_JSON_STRING)
        return pk_config_fail(q->p, "", "must be a string");
    /* No machine code: values are short, and some configs are read for one call only. */
    t->regex = pk_regex_new(q->p->arena, pk_json_str(q->p->arena, &q->p->doc, value), 0, &why);
    if (t->regex)
        return true;
    if (why.code == PK_NO_MEMORY)
        return pk_fail(q->p->err, PK_NO_MEMORY, "config: out of memory");
    return pk_config_fail(q->p, "", "%s", why.msg);
}

static bool read_one(struct query *q, struct pk_term *t, int value)
{
    struct pk_scalar *one = pk_alloc(q->p->arena, sizeof *one);

    if (!one)
        return pk_fail(q->p->err, PK_NO_MEMORY, "config: out of memory");
    if (!read_scalar(q, value, one))
        return false;
    if (t->op != PK_WHEN_EQ && t->op != PK_WHEN_NE && !one->numeric)
        return pk_config_fail(q->p, "", "must be a number");
    t->operands = one;
    t->operand_count = 1;
    return true;
}

static bool read_comparison(struct query *q, enum pk_operator op, const struct pk_field *field,
                            int value)
{
    struct pk_term *t = add_term(q, op);

    if (!t)
        return false;
    t->field = field;
    if (op == PK_WHEN_REGEX)
        return read_pattern(q, t, value);
    return op == PK_WHEN_IN || op == PK_WHEN_NIN ? read_list(q, t, value) : read_one(q, t, value);
}

static bool read_operator(struct query *q, const struct pk_field *field, int key)
{
    for (size_t i = 0; i < PK_COUNT(operators); i++) {
        if (!pk_json_is(&q->p->doc, key, operators[i].name))
            continue;
        size_t len = enter(q->p, ".%s", operators[i].name);
        bool ok = read_comparison(q, operators[i].op, field, key + 1);
        leave(q->p, len);
        return ok;
    }
    return pk_config_fail(q->p, "", "unknown operator %.*s",
                          PK_FMT(pk_str_sub(pk_json_raw(&q->p->doc, key), 0, 64)));
}

/* --- queries --------------------------------------------------------------------------- */

static bool read_field(struct query *q, pk_str name, int value)
{
    const struct pk_json *doc = &q->p->doc;
    struct pk_field *field = pk_alloc(q->p->arena, sizeof *field);

    if (!field)
        return pk_fail(q->p->err, PK_NO_MEMORY, "config: out of memory");
    if (!pk_field_parse(q->p->arena, name, field) || field->kind > PK_FIELD_PATHNAME)
        return pk_config_fail(q->p, "", "must be metadata.NAME, params.NAME or url.pathname");
    if (pk_json_type(doc, value) != PK_JSON_OBJECT)
        return read_comparison(q, PK_WHEN_EQ, field, value);
    if (pk_json_count(doc, value) == 0)
        return pk_config_fail(q->p, "", "must hold an operator, such as $eq");
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k))
        if (!read_operator(q, field, k))
            return false;
    return true;
}

static bool read_query(struct query *q, int value);

/* `$and` or `$or`. */
static bool read_group(struct query *q, enum pk_operator op, int value)
{
    const struct pk_json *doc = &q->p->doc;
    struct pk_term *group = add_term(q, op);
    int i = 0;

    if (pk_json_type(doc, value) != PK_JSON_ARRAY || pk_json_count(doc, value) == 0)
        return pk_config_fail(q->p, "", "must be a list of at least one query");
    for (int v = pk_json_first(doc, value); group && v >= 0; v = pk_json_next(doc, value, v), i++) {
        size_t len = enter(q->p, "[%d]", i);

        if (!read_query(q, v))
            return false;
        leave(q->p, len);
    }
    if (group)
        group->after = q->count;
    return group != NULL;
}

static bool read_query_member(struct query *q, int key)
{
    pk_str name = pk_json_str(q->p->arena, &q->p->doc, key);
    size_t len = enter(q->p, ".%.*s", PK_FMT(pk_str_sub(name, 0, 64)));
    bool ok;

    if (pk_str_is(name, "$and"))
        ok = read_group(q, PK_WHEN_ALL, key + 1);
    else if (pk_str_is(name, "$or"))
        ok = read_group(q, PK_WHEN_ANY, key + 1);
    else if (pk_str_starts(name, "$"))
        ok = pk_config_fail(q->p, "", "unknown operator; a query knows $and and $or");
    else
        ok = read_field(q, name, key + 1);
    leave(q->p, len);
    return ok;
}

/* Recursion is bounded by PK_QUERY_DEPTH_MAX. */
static bool read_query(struct query *q, int value)
{
    const struct pk_json *doc = &q->p->doc;
    struct pk_term *all;

    if (pk_json_type(doc, value) != PK_JSON_OBJECT || pk_json_count(doc, value) == 0)
        return pk_config_fail(q->p, "", "must be an object with at least one condition");
    if (++q->depth > PK_QUERY_DEPTH_MAX)
        return pk_config_fail(q->p, "", "nested deeper than %d", PK_QUERY_DEPTH_MAX);
    all = add_term(q, PK_WHEN_ALL);
    for (int k = pk_json_first(doc, value); all && k >= 0; k = pk_json_next(doc, value, k))
        if (!read_query_member(q, k))
            return false;
    q->depth--;
    if (all)
        all->after = q->count;
    return all != NULL;
}

/* --- conditions ------------------------------------------------------------------------ */

static bool condition_query(struct pk_config_reader *p, int value, void *into)
{
    const struct pk_json_node *n = &p->doc.nodes[value];
    size_t most = n->after - (uint32_t)value; /* each term is spelled by a value of its own */
    struct query q = {.p = p};
    size_t len = enter(p, ".query");

    q.terms = pk_alloc(p->arena, (most < PK_TERMS_MAX ? most : PK_TERMS_MAX) * sizeof *q.terms);
    if (!q.terms)
        return pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    if (!read_query(&q, value))
        return false;
    leave(p, len);
    ((struct pk_condition *)into)->terms = q.terms;
    return true;
}

static bool condition_then(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "then", value, PK_SLUG_BYTES_MAX,
                               &((struct pk_condition *)into)->then);
}

static const struct pk_config_member condition_members[] = {
    {"query", condition_query},
    {"then", condition_then},
    {0},
};

static struct pk_conditional *rule_of(struct pk_config_reader *p, struct pk_draft *d)
{
    if (!d->conditional)
        d->conditional = pk_alloc(p->arena, sizeof *d->conditional);
    if (!d->conditional)
        (void)pk_fail(p->err, PK_NO_MEMORY, "config: out of memory");
    return d->conditional;
}

bool pk_config_read_conditions(struct pk_config_reader *p, int value, void *into)
{
    struct pk_conditional *rule = rule_of(p, into);
    int n = pk_json_count(&p->doc, value);

    if (!rule)
        return false;
    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || n == 0 || n > PK_CONDITIONS_MAX)
        return pk_config_fail(p, "conditions", "must be a list of 1 to %d conditions",
                              PK_CONDITIONS_MAX);
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        struct pk_condition *c = &rule->list[rule->count];
        size_t len = enter(p, ".conditions[%d]", rule->count++);

        if (!pk_config_read_object(p, v, condition_members, c))
            return false;
        if (!c->terms || c->then.len == 0)
            return pk_config_fail(p, c->terms ? "then" : "query", "must be given");
        leave(p, len);
    }
    return true;
}

bool pk_config_read_default(struct pk_config_reader *p, int value, void *into)
{
    struct pk_conditional *rule = rule_of(p, into);

    return rule && pk_config_read_text(p, "default", value, PK_SLUG_BYTES_MAX, &rule->otherwise);
}

/* --- names ----------------------------------------------------------------------------- */

/* The child of `self` that is called `name`; -1 with *err filled when there is none, or more than one. */
static int named_child(struct pk_config_reader *p, int self, pk_str name)
{
    const struct pk_route *r = &p->config->route;
    int found = -1;

    for (int i = r->nodes[self].child; i >= 0; i = r->nodes[i].sibling) {
        if (!pk_str_eq(r->nodes[i].name, name))
            continue;
        if (found >= 0) {
            (void)pk_config_fail(p, "", "two targets are called \"%.*s\"", PK_FMT(name));
            return -1;
        }
        found = i;
    }
    if (found < 0)
        (void)pk_config_fail(p, "", "no target here is called \"%.*s\"", PK_FMT(name));
    return found;
}

bool pk_config_link_conditions(struct pk_config_reader *p, struct pk_conditional *rule, int self)
{
    size_t len = enter(p, "%sstrategy", *p->path ? "." : "");

    rule->path = pk_copy(p->arena, pk_str_of(p->path));
    rule->child = -1;
    for (int i = 0; i < rule->count; i++) {
        size_t strategy = enter(p, ".conditions[%d].then", i);

        rule->list[i].child = named_child(p, self, rule->list[i].then);
        if (rule->list[i].child < 0)
            return false;
        leave(p, strategy);
    }
    if (rule->otherwise.len) {
        (void)enter(p, ".default");
        rule->child = named_child(p, self, rule->otherwise);
        if (rule->child < 0)
            return false;
    }
    leave(p, len);
    p->config->conditional[self] = rule;
    return true;
}
