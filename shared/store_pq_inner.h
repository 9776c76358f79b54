/* store_pq_inner.h - what the files of the Postgres engine share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_PQ_INNER_H
#define PK_STORE_PQ_INNER_H

#include "store_pq.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    PK_PQ_NAME_BYTES = 200,
    PK_PQ_ANSWER_MS = 200, /* how much later than the server we lose patience */
};

struct pk_pq {
    char *url;
    char name[PK_PQ_NAME_BYTES];
    int64_t timeout_ms;

    bool watched;         /* set before there are stores */
    atomic_bool down;     /* only when watched: nobody but the watcher tries */
    atomic_llong epoch;   /* the newest that was heard of; 0: none yet */
    pthread_mutex_t lock; /* for `why` */
    struct pk_error why;
    pthread_t watcher;
    int stop_fd;
};

/* store_pq_load.c: libpq, before any of it is called. One thread at a time. */
bool pk_pq_load(struct pk_error *err) PK_MUST_CHECK;

/* A connection that is ready for pk's statements: UTF-8, the extension's schema and no other, statements that
 * end by themselves after timeout_ms. NULL with *err filled. */
PGconn *pk_pq_connect(struct pk_pq *d, int64_t timeout_ms, struct pk_error *err) PK_MUST_CHECK;

/* The next result of what was sent, sending what is left of that first. NULL: there was none before
 * `deadline_ms`, or the connection is lost. */
PGresult *pk_pq_result(PGconn *c, int64_t deadline_ms);

/* One statement in text, with at most one parameter, and its result; no other may be under way. */
PGresult *pk_pq_ask(PGconn *c, const char *sql, const char *arg, int64_t deadline_ms);

/* Why there was no result, or why there is this one. PK_STORE_DOWN when it is for the connection. */
bool pk_pq_fail(const struct pk_pq *d, PGconn *c, const PGresult *r, struct pk_error *err);

/* The database does not answer, as *err says; or it does. */
void pk_pq_down(struct pk_pq *d, const struct pk_error *err);
void pk_pq_up(struct pk_pq *d);
/* False with *err filled while it is down and somebody sees to it. */
bool pk_pq_usable(struct pk_pq *d, struct pk_error *err) PK_MUST_CHECK;

/* Never lets it go back. */
void pk_pq_heard(struct pk_pq *d, int64_t epoch);

#endif
