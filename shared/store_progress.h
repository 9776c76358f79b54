/* store_progress.h - the rows of batches in flight (progress.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_PROGRESS_H
#define PK_STORE_PROGRESS_H

#include "progress.h"
#include "store.h"

/* Puts the row in the place of the one before, unless that is newer; removes it when it is over. */
bool pk_store_progress_put(struct pk_store *s, const struct pk_progress_row *r,
                           struct pk_error *err) PK_MUST_CHECK;

#endif
