/* store_pq_watch.c - the one thread that hears of changes, and knows whether the database is there.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   connect ─▶ LISTEN, epoch ─▶ wait ⇄ notified, or asks (each LOOK_MS)
 *      ▲                          │ lost, or no answer in time
 *      └──────── REST_MS ◀────────┘
 *
 * Asking now and then finds a network that swallows everything, which LISTEN does not.
 */
#include "store_pq_inner.h"

#include "xfer.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOK_MS = 500, REST_MS = 250 };

static const char listen_sql[] = "listen pk_epoch";
static const char epoch_sql[] = "select value from pk_meta where name = 'epoch'";

/* Until `fd` can be read, at most wait_ms; true when it is time to end. */
static bool wait_or_stop(struct pk_pq *d, int fd, int wait_ms)
{
    struct pollfd p[] = {{.fd = d->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    (void)poll(p, fd < 0 ? 1 : 2, wait_ms);
    return p[0].revents != 0;
}

static bool ask(struct pk_pq *d, PGconn *c, const char *sql, int64_t *value, struct pk_error *err)
{
    PGresult *r = pk_pq_ask(c, sql, NULL, pk_clock_ms() + d->timeout_ms + PK_PQ_ANSWER_MS);
    ExecStatusType status = r ? PQresultStatus(r) : PGRES_FATAL_ERROR;
    bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;

    if (!ok)
        (void)pk_pq_fail(d, c, r, err);
    if (status == PGRES_TUPLES_OK && PQntuples(r) > 0)
        *value = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return ok;
}

static bool take_notices(struct pk_pq *d, PGconn *c, struct pk_error *err)
{
    PGnotify *n;

    if (!PQconsumeInput(c))
        return pk_pq_fail(d, c, NULL, err);
    while ((n = PQnotifies(c))) {
        pk_pq_heard(d, strtoll(n->extra, NULL, 10));
        PQfreemem(n);
    }
    return true;
}

/* Until the connection fails, or it is time to end: then true. */
static bool listen_on(struct pk_pq *d, PGconn *c, struct pk_error *err)
{
    int64_t look_ms = 0, epoch = 0;

    if (!ask(d, c, listen_sql, &epoch, err) || !ask(d, c, epoch_sql, &epoch, err))
        return false;
    atomic_store(&d->epoch, epoch); /* also when the database has been set back */
    for (;;) {
        int64_t now_ms = pk_clock_ms();

        if (now_ms >= look_ms) {
            if (!ask(d, c, epoch_sql, &epoch, err))
                return false;
            pk_pq_heard(d, epoch);
            pk_pq_up(d);
            look_ms = pk_clock_ms() + LOOK_MS;
        }
        if (!take_notices(d, c, err)) /* also what came along with an answer */
            return false;
        if (wait_or_stop(d, PQsocket(c), LOOK_MS))
            return true;
    }
}

static void *run(void *arg)
{
    struct pk_pq *d = arg;
    struct pk_error err;
    bool stopped = false;

    while (!stopped) {
        PGconn *c = pk_pq_connect(d, d->timeout_ms, &err);

        stopped = c && listen_on(d, c, &err);
        PQfinish(c);
        if (stopped)
            break;
        pk_pq_down(d, &err);
        stopped = wait_or_stop(d, -1, REST_MS);
    }
    return NULL;
}

bool pk_pq_watch(struct pk_pq *d, struct pk_error *err)
{
    sigset_t all, before;

    d->stop_fd = eventfd(0, EFD_CLOEXEC);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    d->watched = d->stop_fd >= 0;
    d->watched = d->watched && pthread_create(&d->watcher, NULL, run, d) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return d->watched ||
           pk_fail(err, PK_NO_MEMORY, "cannot start the thread that watches the store");
}

void pk_pq_free(struct pk_pq *d)
{
    const uint64_t one = 1;

    if (!d)
        return;
    if (d->watched) {
        ssize_t written = write(d->stop_fd, &one, sizeof one);
        (void)written;
        (void)pthread_join(d->watcher, NULL);
    }
    if (d->stop_fd >= 0)
        (void)close(d->stop_fd);
    (void)pthread_mutex_destroy(&d->lock);
    free(d->url);
    free(d);
}
