/* route.c - walking the strategy tree.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Going down picks a child; a result comes back up until some fallback above has a
 * further child to offer. There is no recursion: depth costs nothing and the walk can
 * stop between any two attempts.
 */
#include "route.h"

bool pk_statuses_have(const struct pk_statuses *s, int status)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i] == status)
            return true;
    return false;
}

static int pick_weighted(const struct pk_route *r, int first, uint64_t random)
{
    uint64_t total = 0;
    int i;

    for (i = first; i >= 0; i = r->nodes[i].sibling)
        total += r->nodes[i].weight;
    PK_ASSERT(total > 0);             /* config.c refuses a loadbalance without weight */
    uint64_t ticket = random % total; /* cppcheck-suppress zerodiv */
    for (i = first; ticket >= r->nodes[i].weight; i = r->nodes[i].sibling)
        ticket -= r->nodes[i].weight;
    return i;
}

/* From any node down to the leaf that it stands for. */
static int descend(const struct pk_route *r, int i, uint64_t random)
{
    while (r->nodes[i].strategy != PK_LEAF) {
        const struct pk_node *n = &r->nodes[i];

        PK_ASSERT(n->child >= 0);
        i = n->strategy == PK_LOADBALANCE ? pick_weighted(r, n->child, pk_random_next(&random))
                                          : n->child;
    }
    return i;
}

int pk_route_first(const struct pk_route *r, uint64_t random)
{
    PK_ASSERT(r->count > 0);
    return descend(r, 0, random);
}

static bool moves_on(const struct pk_node *fallback, int status)
{
    if (fallback->on_statuses.given)
        return pk_statuses_have(&fallback->on_statuses, status);
    return status < 200 || status > 299;
}

int pk_route_next(const struct pk_route *r, int node, int status, uint64_t random)
{
    for (int i = node; i != 0; i = r->nodes[i].parent) {
        const struct pk_node *parent = &r->nodes[r->nodes[i].parent];

        if (parent->strategy == PK_FALLBACK && moves_on(parent, status) && r->nodes[i].sibling >= 0)
            return descend(r, r->nodes[i].sibling, random);
    }
    return -1;
}

int pk_route_fallback_index(const struct pk_route *r, int node)
{
    for (int i = node; i != 0; i = r->nodes[i].parent) {
        const struct pk_node *parent = &r->nodes[r->nodes[i].parent];
        int index = 0;

        if (parent->strategy != PK_FALLBACK)
            continue;
        for (int s = parent->child; s != i; s = r->nodes[s].sibling)
            index++;
        return index;
    }
    return 0;
}
