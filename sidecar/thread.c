/* thread.c - see thread.h. A turn: what the loop has for us, then what clients have.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "thread.h"

#include "client.h"
#include "endpoint.h"
#include "errand.h"
#include "log.h"
#include "metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { XFER_CONNECTIONS_MAX = 4096 };

/* A call goes as far as it can at once: what the next request asks may be what this one has just been told. */
static void on_request(void *ctx, struct pkd_conn *c, const struct pkd_request *req)
{
    struct pkd_thread *t = ctx;

    pkd_add(&t->meter->requests, 1);
    pkd_endpoint_serve(t, c, req);
    pk_arena_free(&t->scratch);
    for (struct pk_task *task; (task = pk_loop_queued(t->loop));)
        pkd_call_step(task);
}

static void on_ready(void *ctx, int fd)
{
    struct pkd_thread *t = ctx;
    uint64_t count;

    if (fd != t->wake_fd)
        return; /* the transport: pk_loop_next() sees to it */
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    pkd_call_woken(t);
    pkd_call_logged(t);
    pkd_pile_work(t->pile);
}

void pkd_thread_wake(struct pkd_thread *t)
{
    const uint64_t one = 1;
    ssize_t written = write(t->wake_fd, &one, sizeof one);

    (void)written; /* fails only when it is awake anyway */
}

/* Until no call has anything to do. What waits for its limits only is sent first: the transport is looked at later. */
static void run_calls(struct pkd_thread *t)
{
    do {
        pkd_call_reserve(t);
        for (struct pk_task *task; (task = pk_loop_next(t->loop));)
            pkd_call_step(task);
    } while (t->reserving);
    pkd_call_read_on(t);
}

static void begin_draining(struct pkd_thread *t)
{
    t->draining = true;
    t->stop_at_ms = pk_clock_ms() + t->app->options->grace_ms;
    pkd_server_drain(t->server);
    pkd_call_end_tunnels(t);
}

/* Whether all is done, or it is time to give up. */
static bool drained(struct pkd_thread *t)
{
    if (pkd_server_count(t->server) == 0 && t->call_count == 0)
        return true;
    if (pk_clock_ms() < t->stop_at_ms)
        return false;
    pkd_warn("grace_over calls=%d connections=%d", t->call_count, pkd_server_count(t->server));
    pkd_call_stop_all(t);
    run_calls(t);
    return true;
}

static int64_t next_deadline_ms(struct pkd_thread *t)
{
    int64_t at_ms = pk_loop_deadline_ms(t->loop);
    int64_t forget_ms = pkd_recall_sweep(&t->recall, t->resolver, false);

    if (forget_ms < at_ms)
        at_ms = forget_ms;
    forget_ms = pkd_hot_sweep(&t->hot);
    if (forget_ms < at_ms)
        at_ms = forget_ms;
    if (t->next_overdue_ms < at_ms)
        at_ms = t->next_overdue_ms;
    if (t->draining && t->stop_at_ms < at_ms)
        at_ms = t->stop_at_ms;
    return at_ms;
}

void *pkd_thread_run(void *thread)
{
    struct pkd_thread *t = thread;
    const uint64_t one = 1;

    for (;;) {
        run_calls(t);
        if (t->draining && drained(t)) /* behind the calls: the last of them may just have ended */
            break;
        pkd_server_turn(t->server, next_deadline_ms(t));
        atomic_fetch_add_explicit(&t->turns, 1, memory_order_relaxed);
        pkd_metrics_note(t);
        if (t->next_overdue_ms != INT64_MAX && t->next_overdue_ms <= pk_clock_ms())
            pkd_call_overdue(t, pk_clock_ms());
        if (!t->draining && atomic_load(&t->app->stopping))
            begin_draining(t);
    }
    pkd_errand_abandon(t);
    atomic_fetch_sub(&t->app->running, 1);
    ssize_t written = write(t->app->ended_fd, &one, sizeof one);
    (void)written;
    return NULL;
}

/* --- birth and death ----------------------------------------------------------------------- */

static bool open_server(struct pkd_thread *t, struct pk_error *err)
{
    const struct pkd_options *o = t->app->options;
    const struct pkd_server_options limits = {
        .head_ms = o->head_ms,
        .body_ms = o->body_ms,
        .idle_ms = o->idle_ms,
        .write_ms = o->write_ms,
        .connections_max = o->connections,
        .busy_poll_us = o->busy_poll_us,
        .tls = t->app->tls,
    };
    const struct pkd_server_host host = {t, on_request, on_ready};

    t->server = pkd_server_new(&limits, &host, err);
    return t->server != NULL;
}

static bool open_meter(struct pkd_thread *t, struct pk_error *err)
{
    t->meter = pkd_meter_new(t->app->meters);
    if (!t->meter)
        return pk_fail(err, PK_NO_MEMORY, "no memory for another thread");
    t->app->meters = t->meter;
    return true;
}

static bool open_transport(struct pkd_thread *t, struct pk_error *err)
{
    const struct pk_xfer_options options = {
        .allowed_hosts = t->app->options->allow_host,
        .connections_max = XFER_CONNECTIONS_MAX,
        .secrets = t->app->secrets,
        .http2 = t->app->options->upstream_http2,
        .ca_file = t->app->options->upstream_ca,
    };

    t->xfer = pk_xfer_new(&options, err);
    if (!t->xfer)
        return false;
    t->loop = pk_loop_new(t->xfer);
    t->resolver = pk_resolver_new(pk_allocator_malloc());
    t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    t->inbox = t->wake_fd < 0 ? NULL : pkd_inbox_new(t->wake_fd);
    t->pile = t->wake_fd < 0 ? NULL : pkd_pile_new(t->wake_fd);
    if (!t->loop || !t->resolver || !t->inbox || !t->pile)
        return pk_fail(err, PK_NO_MEMORY, "no memory for another thread");
    return pk_resolver_embedder(t->resolver, pk_str_of(t->app->options->embedder), err);
}

static bool listen_on(struct pkd_thread *t, const struct pkd_socket *sockets, int count,
                      struct pk_error *err)
{
    for (int i = 0; i < count; i++)
        if (!pkd_server_listen(t->server, &sockets[i], err))
            return false;
    return true;
}

static bool watch(struct pkd_thread *t, struct pk_error *err)
{
    return pkd_server_watch(t->server, pk_xfer_fd(t->xfer), err) &&
           pkd_server_watch(t->server, t->wake_fd, err);
}

struct pkd_thread *pkd_thread_new(struct pkd_app *app, const struct pkd_socket *sockets, int count,
                                  struct pk_error *err)
{
    struct pkd_thread *t = calloc(1, sizeof *t);

    if (!t) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for another thread");
        return NULL;
    }
    t->app = app;
    t->wake_fd = -1;
    t->next_overdue_ms = INT64_MAX;
    t->blocks = pkd_blocks_new();
    if (!t->blocks) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for another thread");
        free(t);
        return NULL;
    }
    t->memory = pkd_blocks_allocator(t->blocks);
    pk_arena_init(&t->scratch, t->memory, PK_CALL_BYTES_MAX);
    t->scratch.wipe = true; /* entries of hits have what was asked in them */
    pk_secret_random(&t->random, sizeof t->random);
    t->store = app->store ? app->store : pkd_home_open(&app->home, app->home.timeout_ms, err);
    app->store = NULL;
    if (t->store && t->store->ops->keep_log)
        t->store->ops->keep_log(t->store); /* who serves does not wait for the disk */
    if (t->store && open_meter(t, err) && open_server(t, err) && open_transport(t, err) &&
        listen_on(t, sockets, count, err) && watch(t, err))
        return t;
    pkd_thread_free(t);
    return NULL;
}

void pkd_thread_free(struct pkd_thread *t)
{
    if (!t)
        return;
    if (t->pile)
        pkd_pile_work(t->pile);
    if (t->loop)
        run_calls(t); /* what a clerk had to answer before it could end */
    pkd_server_free(t->server);
    pkd_call_free_spares(t);
    if (t->loop)
        pk_loop_free(t->loop);
    pk_xfer_free(t->xfer);
    (void)pkd_recall_sweep(&t->recall, t->resolver, true);
    pk_resolver_free(t->resolver);
    pkd_keyring_free(&t->keyring);
    pkd_hot_free(&t->hot);
    pk_store_close(t->store);
    pkd_pile_free(t->pile);
    pkd_inbox_free(t->inbox);
    if (t->wake_fd >= 0)
        (void)close(t->wake_fd);
    pk_arena_free(&t->scratch);
    pkd_blocks_free(t->blocks);
    free(t);
}
