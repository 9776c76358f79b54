/* figure.h - what the log says of the targets of a config, for loadbalances by latency or cost.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A figure belongs to a target and the model that it was asked for: one target may serve several.
 */
#ifndef PK_FIGURE_H
#define PK_FIGURE_H

#include "route.h"

enum { PK_FIGURES_MAX = 64 };

struct pk_figures {
    struct pk_measure {
        uint64_t id; /* pk_figure_id() */
        struct pk_figure figure;
    } list[PK_FIGURES_MAX];
    int count;
};

/* What was added up over the attempts at one target for one model. */
struct pk_tally {
    int64_t good, bad;         /* with an answer; without one, by the target's fault */
    int64_t good_us;           /* how long the good ones took */
    int64_t cost_pusd, tokens; /* of those whose cost is known */
};

uint64_t pk_figure_id(pk_str target_path, pk_str provider, pk_str model);

/* The time until an answer may be expected, failures included, and what a million tokens cost. Nothing is
 * known from fewer than three answers. */
struct pk_figure pk_figure_of(const struct pk_tally *t);

/* A figure that is not there is not known. */
struct pk_figure pk_figure_find(const struct pk_figures *figures, uint64_t id);

#endif
