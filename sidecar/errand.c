/* errand.c - see errand.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whatever is about the client happens in the serving thread, whatever is about the store in the clerk's.
 * Between the two: the job, which goes there and comes back once, and the piece, which comes back for each flush.
 */
#include "errand.h"

#include "answer.h"
#include "store_audit.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

/* The serving thread has conn, blocked and begun; the clerk has the errand; the lock guards the rest. */
struct pkd_trip {
    struct pkd_errand errand;
    struct pkd_job job, piece;
    struct pk_arena arena;
    struct pkd_thread *thread;
    pkd_errand_fn *serve;
    struct pkd_conn *conn;        /* NULL once the client has left or is answered */
    struct pkd_trip *prev, *next; /* in thread->trips */
    struct pk_error error;
    bool served, begun, blocked;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool taken, gone; /* the piece is on its way to the client; there is no client any more */
};

static void free_trip(struct pkd_trip *trip)
{
    *(trip->prev ? &trip->prev->next : &trip->thread->trips) = trip->next;
    if (trip->next)
        trip->next->prev = trip->prev;
    pk_arena_free(&trip->arena);
    (void)pthread_cond_destroy(&trip->moved);
    (void)pthread_mutex_destroy(&trip->lock);
    free(trip);
}

static struct pkd_trip *new_trip(struct pkd_thread *t, struct pkd_conn *c, pkd_errand_fn *serve)
{
    struct pkd_trip *trip = calloc(1, sizeof *trip);

    if (!trip)
        return NULL;
    pk_arena_init(&trip->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    (void)pthread_mutex_init(&trip->lock, NULL);
    (void)pthread_cond_init(&trip->moved, NULL);
    trip->thread = t;
    trip->conn = c;
    trip->serve = serve;
    trip->next = t->trips;
    if (t->trips)
        t->trips->prev = trip;
    t->trips = trip;
    return trip;
}

/* --- in the clerk's thread ----------------------------------------------------------------- */

bool pkd_errand_gone(struct pkd_errand *e)
{
    struct pkd_trip *trip = e->trip;

    if (!trip)
        return false;
    (void)pthread_mutex_lock(&trip->lock);
    bool gone = trip->gone;
    (void)pthread_mutex_unlock(&trip->lock);
    return gone;
}

static bool stop(void *ctx)
{
    return pkd_errand_gone(ctx);
}

static void run(struct pkd_job *job, struct pk_store *store)
{
    struct pkd_trip *trip = (struct pkd_trip *)((char *)job - offsetof(struct pkd_trip, job));
    struct pkd_errand *e = &trip->errand;

    if (!store) {
        trip->error = job->error;
        return;
    }
    if (job->is_long && pkd_errand_gone(e)) {
        (void)pk_fail(&trip->error, PK_CANCELLED, "the client has left");
        return;
    }
    e->store = store;
    pk_store_act_as(store, e->caller.len ? "key" : "os", e->caller.len ? e->caller : e->app->user);
    if (job->is_long) {
        store->stop = stop;
        store->stop_ctx = e;
    }
    trip->served = trip->serve(e, &trip->error);
    store->stop = NULL;
    if (trip->served && (e->out.failed || trip->arena.failed))
        trip->served = pk_fail(&trip->error, PK_TOO_LARGE, "the answer is too large: ask for less");
}

bool pkd_errand_flush(struct pkd_errand *e)
{
    struct pkd_trip *trip = e->trip;

    if (e->out.failed || e->out.len == 0)
        return !e->out.failed;
    (void)pthread_mutex_lock(&trip->lock);
    trip->taken = false;
    if (!trip->gone)
        pkd_pile_add(trip->piece.pile, &trip->piece);
    while (!trip->taken && !trip->gone)
        (void)pthread_cond_wait(&trip->moved, &trip->lock);
    bool taken = trip->taken;
    (void)pthread_mutex_unlock(&trip->lock);
    pk_buf_reset(&e->out);
    return taken;
}

/* --- in the serving thread ----------------------------------------------------------------- */

static void tell(struct pkd_trip *trip, bool *what)
{
    (void)pthread_mutex_lock(&trip->lock);
    *what = true;
    (void)pthread_cond_signal(&trip->moved);
    (void)pthread_mutex_unlock(&trip->lock);
}

static struct pkd_head head_of(const struct pkd_errand *e)
{
    return (struct pkd_head){
        .status = e->status, .content_type = e->content_type, .headers = e->more_headers};
}

static void take_piece(struct pkd_job *piece)
{
    struct pkd_trip *trip = (struct pkd_trip *)((char *)piece - offsetof(struct pkd_trip, piece));
    struct pkd_head head = head_of(&trip->errand);

    if (!trip->conn)
        return; /* it was told */
    if (!trip->begun)
        pkd_conn_begin(trip->conn, &head);
    trip->begun = true;
    trip->blocked = !pkd_conn_send(trip->conn, pk_buf_str(&trip->errand.out));
    if (!trip->blocked)
        tell(trip, &trip->taken);
}

static void answer(struct pkd_trip *trip)
{
    struct pkd_head head = head_of(&trip->errand);

    if (trip->begun) {
        if (trip->served && trip->errand.out.len)
            (void)pkd_conn_send(trip->conn, pk_buf_str(&trip->errand.out));
        pkd_conn_end(trip->conn, trip->served);
    } else if (trip->served) {
        pkd_conn_reply(trip->conn, &head, pk_buf_str(&trip->errand.out));
    } else {
        pkd_add(&trip->thread->meter->store_errors, trip->error.code == PK_STORE);
        pkd_answer_error(trip->conn, &trip->arena, &pk_dialect_openai, &trip->error);
    }
}

static void done(struct pkd_job *job)
{
    struct pkd_trip *trip = (struct pkd_trip *)((char *)job - offsetof(struct pkd_trip, job));

    if (trip->errand.method != PKD_GET) {
        pkd_keyring_expire(&trip->thread->keyring); /* whoever revoked a key may try it next */
        pkd_hot_expire(&trip->thread->hot);         /* or purged the cache */
    }
    if (trip->conn)
        answer(trip);
    free_trip(trip);
}

static void on_drained(void *owner, struct pkd_conn *c)
{
    struct pkd_trip *trip = owner;

    (void)c;
    if (trip->blocked)
        tell(trip, &trip->taken);
    trip->blocked = false;
}

static void on_closed(void *owner, struct pkd_conn *c)
{
    struct pkd_trip *trip = owner;

    (void)c;
    trip->conn = NULL;
    tell(trip, &trip->gone);
}

static const struct pkd_owner owner = {on_drained, on_closed, NULL};

void pkd_errand_abandon(struct pkd_thread *t)
{
    for (struct pkd_trip *trip = t->trips; trip; trip = trip->next)
        on_closed(trip, NULL);
}

/* What goes through as much of the log as it is asked for. */
static bool is_long(pk_str path)
{
    return pk_str_starts(path, "/v1/analytics/");
}

void pkd_errand_begin(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                      pkd_errand_fn *serve)
{
    struct pkd_trip *trip = new_trip(t, c, serve);
    struct pk_error err = {0};

    if (!trip) {
        (void)pk_fail(&err, PK_NO_MEMORY, "no memory for another request");
        pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
        return;
    }
    trip->arena.wipe = true; /* secrets are administered here too */
    trip->job =
        (struct pkd_job){.run = run, .done = done, .pile = t->pile, .is_long = is_long(req->path)};
    trip->piece = (struct pkd_job){.done = take_piece, .pile = t->pile};
    trip->errand = (struct pkd_errand){
        .arena = &trip->arena,
        .trip = trip,
        .app = t->app,
        .method = req->method == PKD_HEAD ? PKD_GET : req->method,
        .path = pk_copy(&trip->arena, req->path),
        .query = pk_copy(&trip->arena, req->query),
        .headers = pk_copy(&trip->arena, req->headers),
        .body = pk_copy(&trip->arena, req->body),
        .caller = t->caller ? pk_copy(&trip->arena, t->caller->name) : PK_NONE,
        .scopes = t->caller ? t->caller->scopes : PK_SCOPE_CALL | PK_SCOPE_ADMIN | PK_SCOPE_LOGS,
        .status = 200,
        .content_type = "application/json",
        .out = pk_buf_in(&trip->arena, PKD_ERRAND_BYTES_MAX),
    };
    if (!trip->arena.failed && pkd_clerks_ask(t->app->clerks, &trip->job)) {
        pkd_conn_set_owner(c, &owner, trip);
        return;
    }
    (void)pk_fail(&err, PK_STORE, "too many requests wait for the store; try again");
    pkd_answer_error(c, &t->scratch, &pk_dialect_openai, &err);
    free_trip(trip);
}
