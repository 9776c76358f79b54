/* worker_batch.h - the thread that works off, through providers' batch APIs, the jobs that ask for it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   claim ─▶ a call each, up to its request ─▶ write the batch down ─▶ send it ─▶ look at it now and then
 *   ─▶ a call each, from its answer on ─▶ save and log
 *
 * One batch at a time and one request to a provider at a time: a batch takes minutes to a day, so nothing is in a
 * hurry. The thread, its transport and its store are there once a job wants them.
 */
#ifndef PKD_WORKER_BATCH_H
#define PKD_WORKER_BATCH_H

#include "thread.h"

struct pkd_batcher;

/* Before the serving threads begin. */
bool pkd_batcher_new(struct pkd_app *app, struct pkd_batcher **out,
                     struct pk_error *err) PK_MUST_CHECK;
/* Starts it when `store` has work for it. The worker's thread alone. */
bool pkd_batcher_wake(struct pkd_batcher *b, struct pk_store *store,
                      struct pk_error *err) PK_MUST_CHECK;
/* Once the app is stopping: lets a request to a provider end within the grace period. NULL is fine. */
void pkd_batcher_free(struct pkd_batcher *b);

#endif
