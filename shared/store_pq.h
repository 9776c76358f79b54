/* store_pq.h - the store in a Postgres database that has the extension pk, over the network.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A process has one struct pk_pq for the database, and a store (store.h) for each thread. Stores connect
 * when they are first used, and again when the connection was lost. No statement is waited for longer than
 * its store's time; a database that cannot be reached, or does not answer in time, is PK_STORE_DOWN, other
 * refusals are PK_STORE.
 *
 * With a watcher the process hears of changes at once (LISTEN), and every store takes the epoch from memory.
 * Then it is also the watcher alone who tries to reach a database that is down: the stores say so without
 * waiting until it has succeeded.
 */
#ifndef PK_STORE_PQ_H
#define PK_STORE_PQ_H

#include "store.h"

struct pk_pq;

/* Whether `path` names a database: postgresql://... or postgres://... */
bool pk_pq_is(const char *path);

/* `url` as libpq takes it; what it does not say is in libpq's environment and files. Nothing is connected.
 * One thread at a time. `timeout_ms` is for connecting, and for the watcher. Errors never quote the URL, which may hold a password. */
struct pk_pq *pk_pq_new(const char *url, int64_t timeout_ms, struct pk_error *err) PK_MUST_CHECK;
void pk_pq_free(struct pk_pq *d); /* its stores are closed; ends the watcher. NULL is fine */

/* "postgresql://host:port/database": for messages. */
const char *pk_pq_name(const struct pk_pq *d);

/* Starts the watcher, whose thread has every signal blocked. */
bool pk_pq_watch(struct pk_pq *d, struct pk_error *err) PK_MUST_CHECK;

/* A store whose statements may take `timeout_ms` each. NULL: no memory. */
struct pk_store *pk_store_pq(struct pk_pq *d, int64_t timeout_ms, struct pk_error *err);

#endif
