/* route.h - which target to try next. Pure: same inputs, same answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A route is a small tree. Leaves are targets; inner nodes are strategies over
 * their children. Nodes sit in one array and name each other by index, so a
 * route can be copied, compared and printed.
 */
#ifndef PK_ROUTE_H
#define PK_ROUTE_H

#include "base.h"

enum pk_strategy { PK_LEAF, PK_SINGLE, PK_FALLBACK, PK_LOADBALANCE };

/* HTTP statuses that a rule names. `given` tells an empty list from no list. */
struct pk_statuses {
    bool given;
    int count;
    int16_t list[PK_STATUSES_MAX];
};

struct pk_node {
    enum pk_strategy strategy;
    int16_t parent, child, sibling; /* indexes into pk_route.nodes; -1 = none */
    int16_t target;                 /* leaf: index into pk_config.targets */
    uint32_t weight;                /* share among siblings of a loadbalance; 0 = never */
    struct pk_statuses on_statuses; /* fallback: move on for these; not given = any but 2xx */
};

struct pk_route {
    struct pk_node nodes[PK_NODES_MAX];
    int count; /* nodes[0] is the root */
};

bool pk_statuses_have(const struct pk_statuses *s, int status);

/* The leaf to try first. `random` decides every loadbalance on the way down. */
int pk_route_first(const struct pk_route *r, uint64_t random);

/* The leaf to try after the leaf `node` ended with `status` (a failure without an HTTP answer
 * has the status of its error code), or -1 when the route is exhausted or the answer stands. */
int pk_route_next(const struct pk_route *r, int node, int status, uint64_t random);

/* The place of `node` among its siblings of the nearest fallback above it, or 0: what
 * pk_logs.fallback_index reports. */
int pk_route_fallback_index(const struct pk_route *r, int node);

#endif
