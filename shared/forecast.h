/* forecast.h - what calls would use and cost, before one is made.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call is taken as far as the request that would be sent, and no further: what the cache answers, what guardrails block
 * and what is asked twice costs nothing. Tokens of input are counted as tokens.h counts; output is what the request allows
 * (estimate.h). The first target that the config comes to says which they are; the price is that of the cheapest
 * target that may answer at least, and that of the dearest at most.
 */
#ifndef PK_FORECAST_H
#define PK_FORECAST_H

#include "call.h"

enum { PK_FORECAST_ASKED_MAX = 1 << 22 }; /* requests that are told apart */

struct pk_forecast {
    int64_t rows, distinct, cached_rows, input_tokens, max_output_tokens;
    int64_t min_pusd, max_pusd;
    bool min_unknown, max_unknown; /* of one of the calls */
    bool
        batched; /* set by the owner: they go through their provider's batch API, to one target at its price */

    /* its own */
    struct pk_allocator from;
    uint64_t *asked; /* hashes, whose last bit says: the cache has it */
    size_t places, used;
};

/* Where a cached answer is looked for; as PK_OP_LOOKUP. */
struct pk_forecast_cache {
    bool (*has)(void *ctx, struct pk_call *call, struct pk_arena *arena);
    void *ctx;
};

void pk_forecast_init(struct pk_forecast *f, struct pk_allocator from);
void pk_forecast_free(struct pk_forecast *f);

/* A row whose prompt is NULL, or that is wrong: no call. */
void pk_forecast_no_call(struct pk_forecast *f);
/* A row that asks `req`. What is needed for it is in `arena`, and may go. */
bool pk_forecast_add(struct pk_forecast *f, struct pk_arena *arena, const struct pk_config *config,
                     const struct pk_facts *facts, struct pk_request *req, int64_t now_us,
                     struct pk_forecast_cache cache, struct pk_error *err) PK_MUST_CHECK;

#endif
