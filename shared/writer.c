/* writer.c - see writer.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   pk_writer_add -> filling ==swap==> writing -> transactions of PK_WRITER_GROUP_MAX entries
 *
 * Two buffers change places under the lock; the thread reads `writing` without it. Entries are
 * numbered in the order in which they came: `added` have come, `settled` of them are over. While nothing
 * waits the thread sleeps until it is to sweep, and is woken once a window, not once an entry.
 */
#include "writer_inner.h"

#include "store_group.h"
#include "xfer.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    KEEP_BYTES = 2 << 20,  /* a buffer that grew larger is given back when empty */
    WAKE_BYTES = 1 << 20,  /* this much waiting ends the window early */
    ROUND_PAUSE_MS = 100,  /* between two tries at a transaction */
    FIRST_SWEEP_MS = 1000, /* after the start; a process that ends before sweeps once at its end */
};

static struct timespec at_ms(int64_t ms)
{
    return (struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
}

static int64_t later(int64_t now, int64_t wait_ms)
{
    return wait_ms > PK_TIMEOUT_MS_MAX ? now + PK_TIMEOUT_MS_MAX : now + wait_ms;
}

/* --- the queue ----------------------------------------------------------------------------- */

bool pk_queue_add(struct queue *q, pk_str entry)
{
    size_t need = q->len + sizeof entry.len + entry.len;

    if (need > q->cap) {
        size_t cap = need < KEEP_BYTES / 2 ? KEEP_BYTES / 2 : need + need / 2;
        char *grown = realloc(q->at, cap);

        if (!grown)
            return false;
        q->at = grown;
        q->cap = cap;
    }
    memcpy(q->at + q->len, &entry.len, sizeof entry.len);
    if (entry.len)
        memcpy(q->at + q->len + sizeof entry.len, entry.at, entry.len);
    q->len = need;
    return true;
}

pk_str pk_queue_take(const struct queue *q, size_t *pos)
{
    pk_str entry;

    PK_ASSERT(q->len - *pos >= sizeof entry.len);
    memcpy(&entry.len, q->at + *pos, sizeof entry.len);
    *pos += sizeof entry.len;
    PK_ASSERT(q->len - *pos >= entry.len);
    entry.at = q->at + *pos;
    *pos += entry.len;
    return entry;
}

void pk_queue_empty(struct queue *q)
{
    q->len = 0;
    if (q->cap <= KEEP_BYTES)
        return;
    free(q->at);
    *q = (struct queue){0};
}

/* --- the thread ---------------------------------------------------------------------------- */

/* Whether another try may succeed. Memory comes back. */
static bool passes(const struct pk_error *err)
{
    return err->retryable || err->code == PK_NO_MEMORY;
}

/* Whether it is the store that refuses, rather than an entry. An engine may tell of a bad entry at the end. */
static bool away(bool bad, const struct pk_error *err)
{
    return err->code == PK_STORE_DOWN || (!bad && passes(err));
}

enum pk_wrote pk_writer_group(struct pk_writer *w, const struct queue *q, size_t from, size_t to,
                              struct pk_error *err)
{
    bool bad = false;
    int64_t count = 0;

    pk_store_group_init(w->store); /* not before: a start would wait for so much memory */
    if (!pk_store_group_begin(w->store, w->kept, err))
        return PK_AWAY;
    for (; from < to && !bad; count++)
        bad = !pk_journal_apply(w->store, pk_queue_take(q, &from), err);
    bad = bad || !pk_store_group_settle(w->store, err);
    w->kept = pk_store_group_end(w->store, !bad, err);
    if (!w->kept)
        return away(bad, err) ? PK_AWAY : passes(err) ? PK_FAILED : PK_REFUSED;
    (void)pthread_mutex_lock(&w->lock);
    w->written += count;
    (void)pthread_mutex_unlock(&w->lock);
    return PK_WROTE;
}

void pk_writer_note(struct pk_writer *w, const struct pk_error *err)
{
    (void)pthread_mutex_lock(&w->lock);
    memcpy(w->last_error, err->msg, sizeof w->last_error);
    (void)pthread_mutex_unlock(&w->lock);
}

static void note_lost(struct pk_writer *w, int64_t upto)
{
    struct pk_lost *last = w->lost_count ? &w->lost[w->lost_count - 1] : NULL;

    if (last && last->upto == w->settled) {
        last->upto = upto;
        return;
    }
    if (w->lost_count == PK_WRITER_LOST_MAX) {
        w->lost[1].after = w->lost[0].after;
        memmove(w->lost, w->lost + 1, sizeof w->lost - sizeof w->lost[0]);
        w->lost_count--;
    }
    w->lost[w->lost_count++] = (struct pk_lost){w->settled, upto};
}

/* Entries that are over: in the store, put aside, or lost. */
static void settle(struct pk_writer *w, int64_t count, int64_t lost)
{
    (void)pthread_mutex_lock(&w->lock);
    if (lost > 0)
        note_lost(w, w->settled + count);
    w->settled += count;
    w->dropped += lost;
    w->stalled = false;
    (void)pthread_cond_broadcast(&w->done);
    if (w->on_settled)
        w->on_settled(w->settled_ctx);
    (void)pthread_mutex_unlock(&w->lock);
}

/* Cut short by pk_writer_free(). */
static void pause_until(struct pk_writer *w, int64_t until_ms)
{
    struct timespec until = at_ms(until_ms);

    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop)
        if (pthread_cond_timedwait(&w->work, &w->lock, &until) != 0)
            break;
    (void)pthread_mutex_unlock(&w->lock);
}

/* Writes the entries of [*from, to), or puts them aside, until *from is `to` or nobody takes them; how many were
 * lost. */
static int64_t write_or_spool(struct pk_writer *w, size_t *from, size_t to)
{
    int rounds = w->spool.path[0] ? 1 : PK_WRITER_ROUNDS_MAX;
    enum pk_wrote wrote = PK_AWAY;
    struct pk_error err;
    int64_t lost = 0;

    if (pk_writer_is_away(w)) {
        (void)pk_writer_set_aside(w, &w->writing, from, to);
        return 0;
    }
    for (int round = 0; round < rounds; round++) {
        w->store->unseen = round == 0;
        wrote = pk_writer_group(w, &w->writing, *from, to, &err);
        w->store->unseen = false;
        if (wrote == PK_WROTE) {
            *from = to;
            return 0;
        }
        pk_writer_note(w, &err);
        if (wrote == PK_REFUSED)
            break;
        if (round + 1 < rounds)
            pause_until(w, pk_clock_ms() + ((int64_t)ROUND_PAUSE_MS << round));
    }
    if (wrote == PK_AWAY && w->spool.path[0])
        pk_writer_away(w);
    else
        lost = pk_writer_singly(w, &w->writing, from, to);
    (void)pk_writer_set_aside(w, &w->writing, from, to);
    return lost;
}

/* Their callers wait, the entries' do not. Not for ever. */
static void let_reservers_go_first(struct pk_writer *w)
{
    struct timespec until = at_ms(pk_clock_ms() + PK_WRITER_WINDOW_MS);

    (void)pthread_mutex_lock(&w->lock);
    while (w->reserving > 0)
        if (pthread_cond_timedwait(&w->done, &w->lock, &until) != 0)
            break;
    (void)pthread_mutex_unlock(&w->lock);
}

static int count_of(const struct queue *q, size_t from, size_t to)
{
    int count = 0;

    for (; from < to; count++)
        (void)pk_queue_take(q, &from);
    return count;
}

/* Whether to try again with what neither the store nor the spool has room for, after waiting until one of them may.
 * Somebody waits for what is durable, and is told that it is lost. */
static bool may_wait(struct pk_writer *w)
{
    if (!w->spool.path[0] || w->durable)
        return false;
    pause_until(w, w->away_until_ms);
    (void)pthread_mutex_lock(&w->lock);
    bool may = !w->stop;
    (void)pthread_mutex_unlock(&w->lock);
    return may;
}

static void write_all(struct pk_writer *w)
{
    size_t from = 0;

    while (from < w->writing.len) {
        size_t to = from;
        int64_t count = 0, lost = 0;

        for (; to < w->writing.len && count < PK_WRITER_GROUP_MAX; count++)
            (void)pk_queue_take(&w->writing, &to);
        do {
            let_reservers_go_first(w);
            pk_turn_take(&w->turn);
            lost += write_or_spool(w, &from, to);
            pk_turn_give(&w->turn);
        } while (from < to && may_wait(w));
        settle(w, count, lost + count_of(&w->writing, from, to));
        from = to;
    }
}

/* One step, without the lock; when the next one is due is the result. A store that cannot be swept is
 * tried again later: what it refuses it refuses the entries too, and they tell. */
static int64_t sweep(struct pk_writer *w)
{
    struct pk_error ignored;
    enum pk_sweep_then then = PK_SWEEP_OVER;

    pk_turn_take(&w->turn);
    int64_t from_us = pk_clock_mono_us();
    bool ok = pk_store_sweep(w->store, &w->sweep, pk_clock_us(), &then, &ignored);
    int64_t to_us = pk_clock_mono_us();
    pk_turn_give(&w->turn);
    pk_sweep_took(&w->sweep, to_us - from_us);
    w->has_swept = true;
    return to_us / 1000 + pk_sweep_pause_ms(ok, then);
}

/* With the lock, which is released meanwhile: one step, if it is time. */
static void sweep_if_due(struct pk_writer *w)
{
    if (pk_clock_ms() < w->sweep_at_ms)
        return;
    w->sweep_at_ms = INT64_MAX; /* pk_writer_sweep() may say otherwise while the step runs */
    (void)pthread_mutex_unlock(&w->lock);
    int64_t next_ms = sweep(w);
    (void)pthread_mutex_lock(&w->lock);
    if (next_ms < w->sweep_at_ms)
        w->sweep_at_ms = next_ms;
}

/* Likewise. */
static void end_leases_if_due(struct pk_writer *w)
{
    bool every = w->end_leases;

    if (!every && pk_clock_ms() < w->leases_at_ms)
        return;
    (void)pthread_mutex_unlock(&w->lock);
    pk_writer_end_leases(w, every);
    (void)pthread_mutex_lock(&w->lock);
    w->leases_at_ms =
        pk_lease_any(&w->leases) ? pk_clock_ms() + PK_LEASE_IDLE_US / 1000 : INT64_MAX;
    if (every)
        w->end_leases = false;
    (void)pthread_cond_broadcast(&w->done);
}

/* Waits, with the lock, until there is something to write and its window is over, or to replay; false when the
 * writer was stopped and nothing is left. */
static bool gather(struct pk_writer *w)
{
    while (w->filling.len == 0) {
        int64_t replay_ms = w->spool_waits ? w->replay_at_ms : INT64_MAX;
        int64_t next_ms = w->sweep_at_ms < w->leases_at_ms ? w->sweep_at_ms : w->leases_at_ms;
        struct timespec next = at_ms(next_ms < replay_ms ? next_ms : replay_ms);

        if (w->stop)
            return false;
        if (replay_ms <= pk_clock_ms())
            return true;
        if (w->end_leases || pthread_cond_timedwait(&w->work, &w->lock, &next) != 0) {
            end_leases_if_due(w);
            sweep_if_due(w);
        }
    }
    struct timespec until = at_ms(w->filling.first_ms + (w->durable ? 0 : PK_WRITER_WINDOW_MS));
    while (!w->urgent && !w->stop && w->filling.len < WAKE_BYTES)
        if (pthread_cond_timedwait(&w->work, &w->lock, &until) != 0)
            break;
    return true;
}

static void *run(void *arg)
{
    struct pk_writer *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    while (gather(w)) {
        struct queue full = w->filling;

        PK_ASSERT(w->writing.len == 0);
        w->filling = w->writing;
        w->writing = full;
        w->urgent = false;
        w->store->cache_max = w->cache_max;
        (void)pthread_mutex_unlock(&w->lock);
        write_all(w);
        pk_writer_replay(w);
        (void)pthread_mutex_lock(&w->lock);
        pk_queue_empty(&w->writing);
        (void)pthread_cond_broadcast(&w->done);
        pk_writer_copy_if_due(w);
        end_leases_if_due(w);
        sweep_if_due(w);
    }
    (void)pthread_mutex_unlock(&w->lock);
    if (pk_writer_is_away(w))
        return NULL;
    pk_writer_end_leases(w, true);
    if (!w->has_swept)
        (void)sweep(w);
    return NULL;
}

bool pk_writer_spawn(pthread_t *thread, const char *name, void *(*run_it)(void *),
                     struct pk_writer *w)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(thread, NULL, run_it, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        (void)pthread_setname_np(*thread, name);
    return !failed;
}

/* --- for everybody ------------------------------------------------------------------------- */

static bool fits(const struct pk_writer *w, size_t len)
{
    size_t held = w->filling.len + w->writing.len;

    return held == 0 || (len <= PK_WRITER_BYTES_MAX && held <= PK_WRITER_BYTES_MAX - len);
}

static bool fresh(const struct pk_writer *w, int64_t now)
{
    const struct queue *oldest = w->writing.len ? &w->writing : &w->filling;

    return oldest->len == 0 || now - oldest->first_ms <= PK_WRITER_AGE_MS;
}

/* Waits, with the lock, until entry number `target` is over. */
static bool wait_settled(struct pk_writer *w, int64_t target, int64_t wait_ms)
{
    if (w->settled >= target)
        return true;
    struct timespec until = at_ms(later(pk_clock_ms(), wait_ms));
    while (w->settled < target) {
        w->urgent = true;
        (void)pthread_cond_signal(&w->work);
        if (pthread_cond_timedwait(&w->done, &w->lock, &until) != 0)
            break;
    }
    return w->settled >= target;
}

static void dispose(struct pk_writer *w)
{
    pk_store_group_free(w->store);
    pk_store_close(w->store);
    pk_store_close(w->copier);
    pk_spool_close(w->reading, false);
    free(w->filling.at);
    free(w->writing.at);
    free(w->replaying.at);
    free(w);
}

struct pk_writer *pk_writer_new(struct pk_store *store, struct pk_error *err)
{
    struct pk_writer *w = calloc(1, sizeof *w);
    pthread_condattr_t attr;

    if (!w) {
        pk_store_close(store);
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for the log writer");
        return NULL;
    }
    w->store = store;
    w->sweep_at_ms = pk_clock_ms() + FIRST_SWEEP_MS;
    w->leases_at_ms = INT64_MAX;
    if (store->ops->keep_log)
        store->ops->keep_log(store);
    pk_turn_init(&w->copying);
    pk_turn_init(&w->turn);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->work, &attr);
    (void)pthread_cond_init(&w->done, &attr);
    (void)pthread_condattr_destroy(&attr);
    (void)pthread_cond_init(&w->copy_due, NULL);
    if (pk_writer_spawn(&w->thread, "pk-writer", run, w))
        return w;
    dispose(w);
    (void)pk_fail(err, PK_NO_MEMORY, "cannot start the thread of the log writer");
    return NULL;
}

void pk_writer_free(struct pk_writer *w)
{
    if (!w)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    pk_writer_end_copier(w);
    (void)pthread_cond_destroy(&w->copy_due);
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_cond_destroy(&w->done);
    (void)pthread_mutex_destroy(&w->lock);
    pk_turn_free(&w->turn);
    pk_turn_free(&w->copying);
    dispose(w);
}

/* With the lock: whether there is room, after waiting for it. One who waited in vain tells the others: until the
 * thread gets on, nobody does. */
static bool wait_for_room(struct pk_writer *w, size_t len, int64_t wait_ms)
{
    int64_t now = pk_clock_ms(), until_ms = later(now, wait_ms);
    struct timespec until = at_ms(until_ms);

    while (!(fits(w, len) && fresh(w, now))) {
        if (now >= until_ms || (w->stalled && w->spool.path[0])) {
            w->stalled = wait_ms > 0;
            return false;
        }
        (void)pthread_cond_timedwait(&w->done, &w->lock, &until);
        now = pk_clock_ms();
    }
    return true;
}

/* With the lock: the entry's number, 0: there is no room. */
static int64_t enqueue(struct pk_writer *w, pk_str entry, uint64_t tag)
{
    bool first = w->filling.len == 0, small = w->filling.len < WAKE_BYTES;

    if (!fits(w, entry.len) || !pk_queue_add(&w->filling, entry))
        return 0;
    w->added++;
    if (first)
        w->filling.first_ms = pk_clock_ms();
    if (tag)
        w->tagged[tag % PK_WRITER_TAGS] = w->added;
    if (first || (small && w->filling.len >= WAKE_BYTES))
        (void)pthread_cond_signal(&w->work);
    return w->added;
}

/* Past the thread, which is behind: without the lock, since it is a write to a disk. */
static bool put_aside(struct pk_writer *w, pk_str entry)
{
    (void)pthread_mutex_unlock(&w->lock);
    bool kept = pk_spool_put(&w->spool, &entry, 1);
    (void)pthread_mutex_lock(&w->lock);
    w->spooled += kept;
    w->spool_waits = w->spool_waits || kept;
    return kept;
}

int64_t pk_writer_put(struct pk_writer *w, pk_str entry, uint64_t tag, int64_t wait_ms)
{
    int64_t number = 0;

    (void)pthread_mutex_lock(&w->lock);
    bool room = wait_for_room(w, entry.len, wait_ms);
    bool aside = !room && put_aside(w, entry);
    if (!aside)
        number = enqueue(w, entry, tag);
    if (!aside && !number)
        w->refused++;
    (void)pthread_mutex_unlock(&w->lock);
    return aside ? 0 : number ? number : -1;
}

bool pk_writer_add(struct pk_writer *w, pk_str entry, uint64_t tag, int64_t wait_ms)
{
    return pk_writer_put(w, entry, tag, wait_ms) >= 0;
}

void pk_writer_lose(struct pk_writer *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->refused++;
    (void)pthread_mutex_unlock(&w->lock);
}

void pk_writer_offer(struct pk_writer *w, pk_str entry)
{
    (void)pthread_mutex_lock(&w->lock);
    (void)enqueue(w, entry, 0);
    (void)pthread_mutex_unlock(&w->lock);
}

bool pk_writer_settle(struct pk_writer *w, uint64_t tag, int64_t wait_ms)
{
    (void)pthread_mutex_lock(&w->lock);
    bool settled = wait_settled(w, w->tagged[tag % PK_WRITER_TAGS], wait_ms);
    (void)pthread_mutex_unlock(&w->lock);
    return settled;
}

/* Waits, with the lock, until no leases are left. */
static bool wait_leases(struct pk_writer *w, int64_t wait_ms)
{
    struct timespec until = at_ms(later(pk_clock_ms(), wait_ms));

    w->end_leases = w->end_leases || pk_lease_any(&w->leases);
    while (w->end_leases) {
        (void)pthread_cond_signal(&w->work);
        if (pthread_cond_timedwait(&w->done, &w->lock, &until) != 0)
            break;
    }
    return !w->end_leases;
}

/* Waits, with the lock, until nothing is aside. */
static bool wait_replayed(struct pk_writer *w, int64_t wait_ms)
{
    struct timespec until = at_ms(later(pk_clock_ms(), wait_ms));

    while (w->spool_waits) {
        (void)pthread_cond_signal(&w->work);
        if (pthread_cond_timedwait(&w->done, &w->lock, &until) != 0)
            break;
    }
    return !w->spool_waits;
}

bool pk_writer_flush(struct pk_writer *w, int64_t wait_ms)
{
    (void)pthread_mutex_lock(&w->lock);
    bool settled =
        wait_settled(w, w->added, wait_ms) && wait_replayed(w, wait_ms) && wait_leases(w, wait_ms);
    (void)pthread_mutex_unlock(&w->lock);
    return settled;
}

struct pk_writer_stats pk_writer_stats(struct pk_writer *w)
{
    struct pk_writer_stats s;

    (void)pthread_mutex_lock(&w->lock);
    s.pending = w->added - w->settled;
    s.pending_bytes = (int64_t)(w->filling.len + w->writing.len);
    s.written = w->written;
    s.dropped = w->dropped + w->refused;
    s.spooled = w->spooled;
    s.parked = w->parked;
    s.spool_bytes = w->spool_waits ? pk_spool_bytes(&w->spool) : 0;
    memcpy(s.last_error, w->last_error, sizeof s.last_error);
    (void)pthread_mutex_unlock(&w->lock);
    return s;
}

void pk_writer_cache_max(struct pk_writer *w, struct pk_cache_max max)
{
    (void)pthread_mutex_lock(&w->lock);
    w->cache_max = max;
    (void)pthread_mutex_unlock(&w->lock);
}

void pk_writer_sweep(struct pk_writer *w)
{
    (void)pthread_mutex_lock(&w->lock);
    w->sweep_at_ms = 0;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
}

bool pk_writer_hold(struct pk_writer *w, int64_t wait_ms)
{
    int64_t until_ms = later(pk_clock_ms(), wait_ms);

    if (!pk_turn_take_until(&w->copying, until_ms))
        return false;
    if (pk_turn_take_until(&w->turn, until_ms))
        return true;
    pk_turn_give(&w->copying);
    return false;
}

void pk_writer_let_go(struct pk_writer *w)
{
    pk_turn_give(&w->turn);
    pk_turn_give(&w->copying);
}

void pk_writer_orphan(struct pk_writer *w)
{
    dispose(w); /* the locks may be anybody's: they are left alone */
}
