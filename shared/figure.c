/* figure.c - see figure.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "figure.h"

#include "sticky.h"

enum { ANSWERS_MIN = 3 };

static const double million = 1e6;

uint64_t pk_figure_id(pk_str target_path, pk_str provider, pk_str model)
{
    return pk_hash_add(pk_hash_add(pk_hash_add(PK_HASH_START, target_path), provider), model);
}

struct pk_figure pk_figure_of(const struct pk_tally *t)
{
    struct pk_figure f = {-1, -1};

    if (t->good < ANSWERS_MIN)
        return f;
    double mean = (double)t->good_us / (double)t->good;
    f.latency_us = (int64_t)(mean * (double)(t->good + t->bad) / (double)t->good);
    if (t->tokens > 0)
        f.cost_pusd = (int64_t)((double)t->cost_pusd / (double)t->tokens * million);
    return f;
}

struct pk_figure pk_figure_find(const struct pk_figures *figures, uint64_t id)
{
    for (int i = 0; i < figures->count; i++)
        if (figures->list[i].id == id)
            return figures->list[i].figure;
    return (struct pk_figure){-1, -1};
}
