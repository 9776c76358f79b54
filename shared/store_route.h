/* store_route.h - what routing knows of targets from earlier calls: circuits and figures.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_ROUTE_H
#define PK_STORE_ROUTE_H

#include "store.h"

/* Adds a record's outcomes to the counts of its circuits, and opens those that have had enough: the epoch
 * grows with that, so that every process sees it. Once a record; in the caller's transaction. */
bool pk_store_circuits_count(struct pk_store *s, const struct pk_record *r,
                             struct pk_error *err) PK_MUST_CHECK;

/* Sets config->open from the circuits counted under config->circuit; *until_us becomes the earliest time at
 * which one of them closes, when that is before it. */
bool pk_store_circuits_load(struct pk_store *s, struct pk_config *config, int64_t now_us,
                            int64_t *until_us, struct pk_error *err) PK_MUST_CHECK;

/* What the last hour's log, or as much of it as a few thousand calls are, says of the targets of the stored
 * config `slug`; empty: of all configs that are not stored. */
bool pk_store_figures_load(struct pk_store *s, pk_str slug, int64_t now_us,
                           struct pk_figures *figures, struct pk_error *err) PK_MUST_CHECK;

#endif
