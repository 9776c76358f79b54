/* route.c - walking the strategy tree.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Going down picks a child; a result comes back up until some fallback above has a
 * further child to offer. There is no recursion: depth costs nothing and the walk can
 * stop between any two attempts.
 */
#include "route.h"

#include <math.h>
#include <string.h>

static const double floor_share =
    1.0 / 16; /* of the best's: so that every target is measured again */

bool pk_statuses_have(const struct pk_statuses *s, int status)
{
    for (int i = 0; i < s->count; i++)
        if (s->list[i] == status)
            return true;
    return false;
}

static bool has(uint64_t set, int node)
{
    return set >> node & 1;
}

/* --- settle ---------------------------------------------------------------------------- */

/* Whether a walk that is at the child's parent may take it. */
static bool is_candidate(const struct pk_route *r, const struct pk_steer *steer, int child)
{
    const struct pk_node *n = &r->nodes[child];

    switch (r->nodes[n->parent].strategy) {
    case PK_LEAF: break;
    case PK_SINGLE: return r->nodes[n->parent].child == child;
    case PK_FALLBACK: return true;
    case PK_LOADBALANCE: return n->weight > 0;
    case PK_CONDITIONAL: return steer->chosen[n->parent] == child;
    }
    return false;
}

static bool all_open(const struct pk_route *r, const struct pk_steer *steer, int node)
{
    bool any = false;

    for (int i = r->nodes[node].child; i >= 0; i = r->nodes[i].sibling) {
        if (!is_candidate(r, steer, i))
            continue;
        if (!has(steer->open, i))
            return false;
        any = true;
    }
    return any;
}

static int64_t value_of(const struct pk_figure *f, enum pk_balance by)
{
    return by == PK_BY_COST ? f->cost_pusd : f->latency_us;
}

/* The smaller of two, of which -1 is none. */
static int64_t better(int64_t a, int64_t b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

static const struct pk_figure unknown = {-1, -1};

/* What may be expected of an inner node: the best of what it balances, else its first choice. */
static struct pk_figure figure_of(const struct pk_route *r, const struct pk_steer *steer, int node,
                                  const struct pk_figure *of)
{
    const struct pk_node *n = &r->nodes[node];
    struct pk_figure best = unknown;

    if (n->strategy == PK_CONDITIONAL)
        return steer->chosen[node] < 0 ? unknown : of[steer->chosen[node]];
    if (n->strategy != PK_LOADBALANCE)
        return of[n->child];
    for (int i = n->child; i >= 0; i = r->nodes[i].sibling) {
        if (r->nodes[i].weight == 0)
            continue;
        best.latency_us = better(best.latency_us, of[i].latency_us);
        best.cost_pusd = better(best.cost_pusd, of[i].cost_pusd);
    }
    return best;
}

static double share_of(int64_t value, int64_t best)
{
    double ratio, share;

    if (value < 0 || best < 0)
        return floor_share;
    if (value <= best)
        return 1;
    ratio = (double)best / (double)value;
    share = ratio * ratio * ratio;
    return share > floor_share ? share : floor_share;
}

static void weigh(const struct pk_route *r, struct pk_steer *steer, int node,
                  const struct pk_figure *of)
{
    enum pk_balance by = r->nodes[node].by;
    int64_t best = -1;

    for (int i = r->nodes[node].child; i >= 0; i = r->nodes[i].sibling)
        if (r->nodes[i].weight > 0)
            best = better(best, value_of(&of[i], by));
    for (int i = r->nodes[node].child; i >= 0; i = r->nodes[i].sibling) {
        double weight = (double)r->nodes[i].weight * share_of(value_of(&of[i], by), best);

        steer->weights[i] = weight > 0 && weight < 1 ? 1 : (uint32_t)weight;
    }
}

void pk_route_settle(const struct pk_route *r, struct pk_steer *steer,
                     const struct pk_figure *figures)
{
    struct pk_figure of[PK_NODES_MAX];

    for (int i = r->count - 1; i >= 0; i--) { /* children before their parents */
        const struct pk_node *n = &r->nodes[i];

        steer->weights[i] = n->weight;
        of[i] =
            n->strategy == PK_LEAF ? figures ? figures[i] : unknown : figure_of(r, steer, i, of);
        if (n->strategy == PK_LEAF)
            continue;
        if (n->strategy == PK_LOADBALANCE && n->by != PK_BY_WEIGHT)
            weigh(r, steer, i, of);
        if (steer->open && all_open(r, steer, i))
            steer->open |= (uint64_t)1 << i;
    }
}

/* --- down ------------------------------------------------------------------------------ */

/* Open circuits count as long as something else is left under the same parent. */
static bool usable(const struct pk_route *r, const struct pk_steer *steer, int child)
{
    return !has(steer->open, child) || has(steer->open, r->nodes[child].parent);
}

static uint32_t weight_of(const struct pk_route *r, const struct pk_steer *steer, int child)
{
    return usable(r, steer, child) ? steer->weights[child] : 0;
}

static int pick_weighted(const struct pk_route *r, struct pk_steer *steer, int first)
{
    uint64_t total = 0;
    int i;

    for (i = first; i >= 0; i = r->nodes[i].sibling)
        total += weight_of(r, steer, i);
    PK_ASSERT(total > 0); /* config.c refuses a loadbalance without weight */
    uint64_t ticket = pk_random_next(&steer->random) % total; /* cppcheck-suppress zerodiv */
    for (i = first; ticket >= weight_of(r, steer, i); i = r->nodes[i].sibling)
        ticket -= weight_of(r, steer, i);
    return i;
}

/* Rendezvous hashing: each child draws a lot from the hash, scaled so that shares follow the weights (an
 * exponential race: the smallest -ln(u) / weight wins). When a child comes or goes, only the hashes that it
 * wins, or had won, move. */
static int pick_sticky(const struct pk_route *r, const struct pk_steer *steer, int node)
{
    double best = 0;
    int found = -1;

    for (int i = r->nodes[node].child; i >= 0; i = r->nodes[i].sibling) {
        uint64_t state = steer->hashes[node] ^ r->nodes[i].id;
        double u = ((double)(pk_random_next(&state) >> 12) + 0.5) * 0x1p-52; /* within (0, 1) */
        uint32_t weight = weight_of(r, steer, i);

        if (weight == 0)
            continue;
        double lot = -log(u) / (double)weight;
        if (found >= 0 && lot >= best)
            continue;
        found = i;
        best = lot;
    }
    PK_ASSERT(found >= 0);
    return found;
}

/* The first usable child from `i` on, or -1. */
static int first_usable(const struct pk_route *r, const struct pk_steer *steer, int i)
{
    while (i >= 0 && !usable(r, steer, i))
        i = r->nodes[i].sibling;
    return i;
}

/* From any node down to the leaf that it stands for; -1 where a conditional has no answer. */
static int descend(const struct pk_route *r, struct pk_steer *steer, int i)
{
    while (r->nodes[i].strategy != PK_LEAF) {
        const struct pk_node *n = &r->nodes[i];

        PK_ASSERT(n->child > i);
        switch (n->strategy) {
        case PK_LEAF:
        case PK_SINGLE: i = n->child; break;
        case PK_FALLBACK: i = first_usable(r, steer, n->child); break;
        case PK_LOADBALANCE:
            i = has(steer->sticky, i) ? pick_sticky(r, steer, i)
                                      : pick_weighted(r, steer, n->child);
            break;
        case PK_CONDITIONAL:
            if (steer->chosen[i] < 0) {
                steer->undecided = i;
                return -1;
            }
            i = steer->chosen[i];
            break;
        }
        PK_ASSERT(i >= 0);
    }
    return i;
}

int pk_route_first(const struct pk_route *r, struct pk_steer *steer)
{
    PK_ASSERT(r->count > 0);
    steer->undecided = -1;
    return descend(r, steer, 0);
}

/* --- up -------------------------------------------------------------------------------- */

static bool moves_on(const struct pk_node *fallback, int status)
{
    if (fallback->on_statuses.given)
        return pk_statuses_have(&fallback->on_statuses, status);
    return status < 200 || status > 299;
}

int pk_route_next(const struct pk_route *r, struct pk_steer *steer, int node, int status)
{
    steer->undecided = -1;
    for (int i = node; i != 0; i = r->nodes[i].parent) {
        const struct pk_node *parent = &r->nodes[r->nodes[i].parent];
        int next = first_usable(r, steer, r->nodes[i].sibling);

        if (parent->strategy == PK_FALLBACK && moves_on(parent, status) && next >= 0)
            return descend(r, steer, next);
    }
    return -1;
}

bool pk_route_reaches(const struct pk_route *r, const struct pk_steer *steer, int leaf)
{
    for (int i = leaf; i != 0; i = r->nodes[i].parent)
        if (!is_candidate(r, steer, i))
            return false;
    return true;
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
