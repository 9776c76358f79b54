/* drive.c - see drive.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Between two waits of at most PK_SLICE_MS, and at least every half of that however busy the transport is, it
 * looks whether the statement was interrupted.
 */
#include "drive.h"

#include "store_cache.h"
#include "store_guard.h"
#include "store_hold.h"
#include "store_near.h"

#include <poll.h>
#include <string.h>

enum { SETTLE_WAIT_MS = 2000 }; /* for an answer that this process has just stored */

static void wait_slice(const struct pk_conn *c, int64_t until_ms)
{
    struct pollfd fd = {.fd = pk_xfer_fd(c->xfer), .events = POLLIN};
    int64_t first = pk_loop_deadline_ms(c->loop);
    int64_t left = (first < until_ms ? first : until_ms) - pk_clock_ms();

    if (left > 0)
        (void)poll(&fd, 1, left < PK_SLICE_MS ? (int)left : PK_SLICE_MS);
}

/* A cache key's first bytes: what the writer knows its entry by. */
static uint64_t tag_of(const uint8_t key[PK_CACHE_KEY_BYTES])
{
    uint64_t tag;

    memcpy(&tag, key, sizeof tag);
    return tag | 1;
}

/* A cache that cannot be read is an empty one. */
static void lookup(struct pk_conn *c, struct pk_task *t, struct pk_arena *arena)
{
    const uint8_t *key = pk_call_cache_key(t->call);
    struct pk_cache_entry entry;
    struct pk_event ev = {.kind = PK_EV_MISS};
    struct pk_error unused;
    bool found = false;

    if (c->writer)
        (void)pk_writer_settle(c->writer, tag_of(key), SETTLE_WAIT_MS);
    if (pk_store_cache_get(c->store, arena, key, pk_clock_us(), pk_call_max_age_s(t->call), &entry,
                           &found, &unused) &&
        found)
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_loop_answer(c->loop, t, &ev);
}

/* An entry that near has found. */
struct fetch {
    struct pk_conn *conn;
    struct pk_call *call;
    struct pk_arena *arena;
};

static bool fetch(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry)
{
    const struct fetch *f = ctx;
    struct pk_error unused;
    bool found = false;

    return pk_store_cache_get(f->conn->store, f->arena, key, pk_clock_us(),
                              pk_call_max_age_s(f->call), entry, &found, &unused) &&
           found;
}

static void look_near(struct pk_conn *c, struct pk_task *t, struct pk_arena *arena)
{
    struct fetch from = {c, t->call, arena};
    const struct pk_cache_vector *v = pk_call_vector(t->call);
    struct pk_near_question q = {v, pk_call_threshold(t->call), fetch, &from};
    struct pk_near *near = pk_conn_near(c);
    struct pk_cache_entry entry;
    struct pk_event ev = {.kind = PK_EV_MISS};

    if (c->writer)
        (void)pk_writer_settle(c->writer, tag_of(v->gate), SETTLE_WAIT_MS);
    if (near && pk_store_near_find(c->store, near, &q, &entry))
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_loop_answer(c->loop, t, &ev);
}

static void save_vector(struct pk_conn *c, const struct pk_call *call, struct pk_arena *arena)
{
    const struct pk_cache_vector *v = pk_call_vector(call);
    struct pk_buf entry = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_error unused;

    if (!v)
        return;
    pk_journal_vector(&entry, pk_call_cache_key(call), v);
    (void)pk_conn_journal(c, &entry, tag_of(v->gate), &unused);
}

static void save(struct pk_conn *c, struct pk_task *t, struct pk_arena *arena)
{
    const uint8_t *key = pk_call_cache_key(t->call);
    struct pk_buf entry = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    struct pk_event ev = {.kind = PK_EV_SAVED};
    struct pk_error unused;

    pk_journal_cache(&entry, key, pk_call_save(t->call), pk_clock_us(), pk_call_max_age_s(t->call));
    (void)pk_conn_journal(c, &entry, tag_of(key), &unused);
    save_vector(c, t->call, arena);
    pk_loop_answer(c->loop, t, &ev);
}

static void query(struct pk_conn *c, struct pk_task *t)
{
    struct pk_event ev = pk_store_row(c->store, pk_call_query(t->call));
    pk_loop_answer(c->loop, t, &ev);
}

static void reserve(struct pk_conn *c, struct pk_task *t)
{
    struct pk_reserve r = *pk_call_reserve(t->call);
    struct pk_reserve *const asked[] = {&r};

    if (c->writer)
        pk_writer_reserve(c->writer, c->store, asked, 1, SETTLE_WAIT_MS);
    else
        pk_store_reserve(c->store, asked, 1, pk_clock_us());
    struct pk_event ev = pk_reserve_event(&r, c->settings.lenient);
    pk_loop_answer(c->loop, t, &ev);
}

/* What is lost is counted by the writer and shown by pk_health(): a call that was paid for is not
 * failed because it could not be logged. */
static void log_call(struct pk_conn *c, struct pk_call *call, struct pk_arena *arena)
{
    struct pk_buf entry = pk_buf_in(arena, PK_CALL_BYTES_MAX);
    struct pk_error unused;

    pk_journal_record(&entry, pk_call_logged(call));
    (void)pk_conn_journal(c, &entry, 0, &unused);
}

static void end(struct pk_conn *c, struct pk_ride *r)
{
    r->over = true;
    c->rides--;
    if (!r->ended)
        return;
    r->ended_next = *r->ended;
    *r->ended = r;
}

/* Performs what the machine asks of the host. */
static void perform(struct pk_conn *c, struct pk_ride *r)
{
    struct pk_task *t = &r->task;

    switch (t->next.op) {
    case PK_OP_LOOKUP: lookup(c, t, r->arena); break;
    case PK_OP_NEAR: look_near(c, t, r->arena); break;
    case PK_OP_RESERVE: reserve(c, t); break;
    case PK_OP_QUERY: query(c, t); break;
    case PK_OP_SAVE: save(c, t, r->arena); break;
    case PK_OP_DONE:
        log_call(c, t->call, r->arena);
        end(c, r);
        break;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP: pk_loop_resume(c->loop, t); break;
    }
}

void pk_ride_start(struct pk_conn *c, struct pk_ride *r, struct pk_call *call,
                   struct pk_arena *arena, struct pk_ride **ended)
{
    *r = (struct pk_ride){.task = {.call = call}, .arena = arena, .ended = ended};
    r->out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    c->rides++;
    pk_loop_start(c->loop, &r->task);
}

void pk_ride_cancel(struct pk_conn *c, struct pk_ride *r)
{
    if (!r->over)
        pk_loop_cancel(c->loop, &r->task);
}

bool pk_ride_free_to_go(const struct pk_conn *c, struct pk_error *err)
{
    return !c->driving ||
           pk_fail(err, PK_BAD_REQUEST, "this connection is in the middle of another call");
}

void pk_ride_turn(struct pk_conn *c, int64_t until_ms)
{
    struct pk_task *due = pk_loop_next(c->loop);
    struct pk_ride *r = (struct pk_ride *)(void *)due;

    if (!due) {
        wait_slice(c, until_ms);
        return;
    }
    c->driving = true;
    pk_buf_add(&r->out, due->next.out);
    perform(c, r);
    c->driving = false;
}

bool pk_ride_interrupted(struct pk_conn *c, struct pk_interrupt *p)
{
    c->driving = true; /* a progress handler may be called */
    bool interrupted = pk_interrupted(p, PK_SLICE_MS / 2);
    c->driving = false;
    return interrupted;
}

bool pk_drive(struct pk_conn *c, struct pk_call *call, struct pk_arena *arena, pk_str *body,
              struct pk_error *err)
{
    struct pk_interrupt interrupt = {.db = c->db, .last_ms = pk_clock_ms()};
    struct pk_ride ride;
    bool cancelled = false;

    if (!pk_ride_free_to_go(c, err))
        return false;
    pk_ride_start(c, &ride, call, arena, NULL);
    while (!ride.over) {
        pk_ride_turn(c, INT64_MAX);
        if (!cancelled && pk_ride_interrupted(c, &interrupt)) {
            cancelled = true;
            pk_ride_cancel(c, &ride);
        }
    }
    pk_interrupt_end(&interrupt);
    *body = pk_buf_str(&ride.out);
    return !ride.out.failed ||
           pk_fail(err, PK_NO_MEMORY, "the answer is too large for the call's memory");
}
