/* worker.h - the thread that works off the queue (docs/queue.md) of pkd's store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   claim ─▶ a call each, many in flight ─▶ save, with its row in the log
 *
 * It has a store, a transport and a loop of its own, so that whoever is served over HTTP does not wait for it. What it has
 * claimed it renews; when the process is gone, the lease ends, and another worker takes over. An answer is saved
 * before anything else is done with it, and kept until the store takes it.
 */
#ifndef PKD_WORKER_H
#define PKD_WORKER_H

#include "thread.h"

struct pkd_worker;

/* As the options say; *w is NULL when they want none. Before the serving threads begin. */
bool pkd_worker_new(struct pkd_app *app, struct pkd_worker **w, struct pk_error *err) PK_MUST_CHECK;
bool pkd_worker_start(struct pkd_worker *w, struct pk_error *err) PK_MUST_CHECK;
void pkd_worker_wake(struct pkd_worker *w); /* the app is stopping; NULL is fine */
/* Lets calls finish within the grace period and gives the rest back. NULL is fine. */
void pkd_worker_free(struct pkd_worker *w);

#endif
