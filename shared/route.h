/* route.h - which target to try next. Pure: same inputs, same answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A route is a small tree. Leaves are targets; inner nodes are strategies over
 * their children. Nodes sit in one array and name each other by index, so a
 * route can be copied, compared and printed. A child stands behind its parent.
 */
#ifndef PK_ROUTE_H
#define PK_ROUTE_H

#include "base.h"

enum pk_strategy { PK_LEAF, PK_SINGLE, PK_FALLBACK, PK_LOADBALANCE, PK_CONDITIONAL };

/* What a loadbalance goes by. */
enum pk_balance { PK_BY_WEIGHT, PK_BY_LATENCY, PK_BY_COST };

/* HTTP statuses that a rule names. `given` tells an empty list from no list. */
struct pk_statuses {
    bool given;
    int count;
    int16_t list[PK_STATUSES_MAX];
};

struct pk_node {
    enum pk_strategy strategy;
    enum pk_balance by;             /* loadbalance */
    int16_t parent, child, sibling; /* indexes into pk_route.nodes; -1 = none */
    int16_t target;                 /* leaf: index into pk_config.targets */
    uint32_t weight;                /* share among siblings of a loadbalance; 0 = never */
    uint64_t id;                    /* what a sticky loadbalance above knows it by */
    pk_str name;                    /* as the config names it, or empty */
    struct pk_statuses on_statuses; /* fallback: move on for these; not given = any but 2xx */
};

struct pk_route {
    struct pk_node nodes[PK_NODES_MAX];
    int count; /* nodes[0] is the root */
};

/* What is known of a leaf from its recent attempts; -1 = not known. */
struct pk_figure {
    int64_t latency_us;
    int64_t cost_pusd; /* a million tokens */
};

/* What a walk depends on besides the tree: settled once a call, before the first walk. In the sets bit n
 * is node n. */
struct pk_steer {
    uint64_t random;                /* the state of pk_random_next() */
    uint64_t open;                  /* nodes whose circuits are open: see pk_route_settle() */
    uint64_t sticky;                /* loadbalances that go by their hash, not by chance */
    uint64_t hashes[PK_NODES_MAX];  /* of those */
    int16_t chosen[PK_NODES_MAX];   /* conditional: the child to take; -1: no condition holds */
    uint32_t weights[PK_NODES_MAX]; /* in force */
    int undecided;                  /* out: the conditional where the walk got stuck, or -1 */
};

bool pk_statuses_have(const struct pk_statuses *s, int status);

/* Completes `steer`, in which the leaves with open circuits and what conditionals chose are set: adds to
 * `open` the inner nodes of which nothing else is left, and fills `weights` from the config's and, where
 * a loadbalance goes by latency or cost, from figures[leaf] (may be NULL: nothing is known). A child's weight
 * is divided by the cube of how many times slower or dearer it is than the best of its siblings, down to
 * a sixteenth; so is that of a child that nothing is known of. */
void pk_route_settle(const struct pk_route *r, struct pk_steer *steer,
                     const struct pk_figure *figures);

/* The leaf to try first, or -1 with steer->undecided set. A leaf whose circuit is open is passed over,
 * unless all that a strategy could give are open: then none counts as open there. */
int pk_route_first(const struct pk_route *r, struct pk_steer *steer);

/* The leaf to try after the leaf `node` ended with `status` (a failure without an HTTP answer
 * has the status of its error code), or -1 when the route is exhausted or the answer stands, or with
 * steer->undecided set. */
int pk_route_next(const struct pk_route *r, struct pk_steer *steer, int node, int status);

/* Whether a walk can come to `leaf`, as the conditionals have chosen. */
bool pk_route_reaches(const struct pk_route *r, const struct pk_steer *steer, int leaf);

/* The place of `node` among its siblings of the nearest fallback above it, or 0: what
 * pk_logs.fallback_index reports. */
int pk_route_fallback_index(const struct pk_route *r, int node);

#endif
