/* writer_limit.c - the reservations of a process: from its leases, else from the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "writer_inner.h"

#include "store_hold.h"
#include "xfer.h"

#include <string.h>

enum { AT_ONCE_MAX = 256 };

void pk_writer_end_leases(struct pk_writer *w, bool every)
{
    int64_t now_us = pk_clock_us();
    struct pk_error err;

    (void)pthread_mutex_lock(&w->lock);
    pk_lease_end(&w->leases, now_us, every, &w->ended);
    (void)pthread_mutex_unlock(&w->lock);
    if (w->ended.count == 0)
        return;
    pk_turn_take(&w->turn);
    bool ok = pk_store_leases_end(w->store, &w->ended, now_us, &err);
    pk_turn_give(&w->turn);
    if (ok)
        return;
    pk_writer_note(w, &err);
    (void)pthread_mutex_lock(&w->lock);
    pk_lease_restore(&w->leases, &w->ended);
    (void)pthread_mutex_unlock(&w->lock);
}

/* --- reserving --------------------------------------------------------------------------- */

static void ask_in_turn(struct pk_writer *w, struct pk_store *store,
                        struct pk_reserve *const *asked, int count, int64_t now_us)
{
    (void)pthread_mutex_lock(&w->lock);
    w->reserving++;
    (void)pthread_mutex_unlock(&w->lock);
    pk_turn_take(&w->turn);
    pk_store_reserve(store, asked, count, now_us);
    pk_turn_give(&w->turn);
    (void)pthread_mutex_lock(&w->lock);
    if (--w->reserving == 0)
        (void)pthread_cond_broadcast(&w->done);
    (void)pthread_mutex_unlock(&w->lock);
}

/* In the store; nobody of this process writes to a file meanwhile, which would make both wait for longer. */
static void ask_store(struct pk_writer *w, struct pk_store *store, struct pk_reserve *const *asked,
                      int count)
{
    int64_t now_us = pk_clock_us();

    if (store->remote)
        pk_store_reserve(store, asked, count, now_us);
    else
        ask_in_turn(w, store, asked, count, now_us);
    (void)pthread_mutex_lock(&w->lock);
    for (int i = 0; i < count; i++)
        pk_lease_keep(&w->leases, asked[i], now_us);
    if (w->leases_at_ms == INT64_MAX && pk_lease_any(&w->leases)) {
        w->leases_at_ms = pk_clock_ms() + PK_LEASE_IDLE_US / 1000;
        (void)pthread_cond_signal(&w->work);
    }
    (void)pthread_mutex_unlock(&w->lock);
}

/* Answers what leases can answer; the rest, which is planned, is left. *waiting tells that more may be there
 * when what this process has to settle is settled. */
static int ask_leases(struct pk_writer *w, struct pk_reserve *const *asked, int count,
                      struct pk_reserve **rest, bool *waiting)
{
    int64_t now_us = pk_clock_us();
    int left = 0;

    (void)pthread_mutex_lock(&w->lock);
    for (int i = 0; i < count; i++) {
        if (pk_lease_take(&w->leases, asked[i], now_us))
            continue;
        pk_lease_plan(&w->leases, asked[i], now_us);
        rest[left++] = asked[i];
    }
    *waiting = w->added > w->settled || pk_lease_any(&w->leases);
    (void)pthread_mutex_unlock(&w->lock);
    return left;
}

/* Those that only calls in progress are in the way of; they are as they were. */
static int in_use(struct pk_reserve **asked, int count)
{
    int left = 0;

    for (int i = 0; i < count; i++) {
        if (asked[i]->granted || !asked[i]->in_use)
            continue;
        asked[i]->tentative = false;
        asked[i]->error = (struct pk_error){0};
        for (int k = 0; k < asked[i]->holds.count; k++)
            asked[i]->holds.rows[k].ahead = 0;
        asked[left++] = asked[i];
    }
    return left;
}

static void reserve(struct pk_writer *w, struct pk_store *store, struct pk_reserve *const *asked,
                    int count, int64_t wait_ms)
{
    struct pk_reserve *rest[AT_ONCE_MAX];
    bool waiting;
    int left = ask_leases(w, asked, count, rest, &waiting);

    if (left == 0)
        return;
    for (int i = 0; i < left; i++)
        rest[i]->tentative = waiting;
    ask_store(w, store, rest, left);
    left = waiting ? in_use(rest, left) : 0;
    if (left == 0)
        return;
    (void)pk_writer_flush(w, wait_ms);
    ask_store(w, store, rest, left);
}

void pk_writer_reserve(struct pk_writer *w, struct pk_store *store, struct pk_reserve *const *asked,
                       int count, int64_t wait_ms)
{
    for (int i = 0; i < count; i += AT_ONCE_MAX)
        reserve(w, store, asked + i, count - i < AT_ONCE_MAX ? count - i : AT_ONCE_MAX, wait_ms);
}
