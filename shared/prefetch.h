/* prefetch.h - pk_prefetch(): a batch whose answers only the cache gets.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_PREFETCH_H
#define PK_PREFETCH_H

#include "batch.h"
#include "config.h"

/* Whether somebody who asks the same later will find the answers: the config has a cache, or `params` (those of every
 * row) turn one on. Answers that nobody finds would be paid for in vain. */
bool pk_prefetch_check(struct pk_arena *arena, const struct pk_config *config, pk_str params,
                       struct pk_error *err) PK_MUST_CHECK;

/* What became of it: {"rows", "distinct_prompts", "cached", "called", "failed", "cost_usd"}. cost_usd is null when
 * that of a call is not known. */
void pk_prefetch_print(struct pk_buf *out, const struct pk_batch_progress *p);

#endif
