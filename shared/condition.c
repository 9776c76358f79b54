/* condition.c - see condition.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "condition.h"

static bool is_bool_or_null(enum pk_json_type type)
{
    return type == PK_JSON_TRUE || type == PK_JSON_FALSE || type == PK_JSON_NULL;
}

/* Without conversion, as JavaScript's ===: "1" is not 1. Lists and objects equal nothing. */
static bool same(const struct pk_scalar *a, const struct pk_scalar *b)
{
    if (a->type != b->type)
        return false;
    if (a->type == PK_JSON_NUMBER)
        return a->numeric && b->numeric && !(a->number < b->number) && !(a->number > b->number);
    return a->type == PK_JSON_STRING ? pk_str_eq(a->text, b->text) : is_bool_or_null(a->type);
}

static bool is_among(const struct pk_term *t, const struct pk_scalar *value)
{
    for (int i = 0; i < t->operand_count; i++)
        if (same(value, &t->operands[i]))
            return true;
    return false;
}

/* Numbers, or strings that spell them: "10" is more than 9. What is neither compares to nothing. */
static bool in_order(const struct pk_term *t, const struct pk_scalar *value)
{
    double a = value->number, b = t->operands[0].number;

    if (!value->numeric)
        return false;
    if (t->op == PK_WHEN_GT)
        return a > b;
    if (t->op == PK_WHEN_GTE)
        return a >= b;
    return t->op == PK_WHEN_LT ? a < b : a <= b;
}

static bool matches(const struct pk_term *t, const struct pk_scalar *value, struct pk_error *err)
{
    enum pk_found found;

    if (value->type != PK_JSON_STRING && value->type != PK_JSON_NUMBER &&
        value->type != PK_JSON_TRUE && value->type != PK_JSON_FALSE)
        return false;
    found = pk_regex_find(t->regex, value->text, 0, NULL);
    if (found == PK_FOUND_GAVE_UP)
        (void)pk_fail(err, PK_BAD_REQUEST, "%.*s: the pattern gave up on this request's value",
                      PK_FMT(t->path));
    return found == PK_FOUND;
}

static bool compare(const struct pk_term *t, const struct pk_field_source *from,
                    struct pk_error *err)
{
    struct pk_scalar value = pk_field_value(from, t->field);

    switch (t->op) {
    case PK_WHEN_EQ:
    case PK_WHEN_IN: return is_among(t, &value);
    case PK_WHEN_NE:
    case PK_WHEN_NIN: return !is_among(t, &value);
    case PK_WHEN_REGEX: return matches(t, &value, err);
    case PK_WHEN_GT:
    case PK_WHEN_GTE:
    case PK_WHEN_LT:
    case PK_WHEN_LTE: return in_order(t, &value);
    case PK_WHEN_ALL:
    case PK_WHEN_ANY: break;
    }
    return false;
}

/* Recursion is bounded by PK_QUERY_DEPTH_MAX. A failure ends the walk with err->code set. */
static bool holds(const struct pk_term *terms, int i, const struct pk_field_source *from,
                  struct pk_error *err)
{
    const struct pk_term *t = &terms[i];
    bool any = t->op == PK_WHEN_ANY;

    if (t->op != PK_WHEN_ALL && t->op != PK_WHEN_ANY)
        return compare(t, from, err);
    for (int k = i + 1; k < t->after && err->code == PK_OK; k = terms[k].after)
        if (holds(terms, k, from, err) == any)
            return any;
    return !any;
}

bool pk_conditional_choose(const struct pk_conditional *rule, const struct pk_field_source *from,
                           int *child, struct pk_error *err)
{
    for (int i = 0; i < rule->count; i++) {
        bool held = holds(rule->list[i].terms, 0, from, err);

        if (err->code != PK_OK)
            return false;
        if (held) {
            *child = rule->list[i].child;
            return true;
        }
    }
    *child = rule->child;
    return !from->arena->failed || pk_fail(err, PK_NO_MEMORY, "conditions: out of memory");
}
