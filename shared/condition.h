/* condition.h - which child of a conditional strategy a request goes to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A query is a tree of terms in one array: a group stands in front of its members and knows where they
 * end. config_condition.c reads it, and checks all that can be checked without a request.
 */
#ifndef PK_CONDITION_H
#define PK_CONDITION_H

#include "field.h"
#include "regex.h"

enum {
    PK_CONDITIONS_MAX = 64, /* of one strategy */
    PK_TERMS_MAX = 256,     /* of one query */
    PK_OPERANDS_MAX = 256,  /* of one $in or $nin */
    PK_QUERY_DEPTH_MAX = 8, /* $and and $or inside each other */
};

enum pk_operator {
    PK_WHEN_ALL, /* a group: every member holds */
    PK_WHEN_ANY, /* a group: some member holds */
    PK_WHEN_EQ,
    PK_WHEN_NE,
    PK_WHEN_IN,
    PK_WHEN_NIN,
    PK_WHEN_REGEX,
    PK_WHEN_GT,
    PK_WHEN_GTE,
    PK_WHEN_LT,
    PK_WHEN_LTE,
};

struct pk_term {
    enum pk_operator op;
    int after;                        /* index of the first term that is no part of this one */
    const struct pk_field *field;     /* NULL for a group */
    const struct pk_scalar *operands; /* one, or a list for IN and NIN */
    int operand_count;
    const struct pk_regex *regex;
    pk_str
        path; /* where it stands, for messages: "strategy.conditions[0].query.metadata.tier.$eq" */
};

struct pk_condition {
    const struct pk_term *terms; /* terms[0] is the whole query */
    pk_str then;
    int child; /* the node that `then` names */
};

/* The rule of one conditional strategy. */
struct pk_conditional {
    struct pk_condition list[PK_CONDITIONS_MAX];
    int count;
    pk_str otherwise; /* "default"; empty: none */
    int child;        /* the node that it names, or -1 */
    pk_str path;      /* of the strategy: "targets[1].strategy" */
};

/* The child of the first condition that holds, else the default, else -1. PK_BAD_REQUEST when a value
 * cannot be judged: a pattern gave up on it. */
bool pk_conditional_choose(const struct pk_conditional *rule, const struct pk_field_source *from,
                           int *child, struct pk_error *err) PK_MUST_CHECK;

#endif
