/* writer.h - one thread that writes the journal of a whole process to its store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever makes calls appends entries (journal.h) and goes on; that costs a copy. The thread has a store
 * of its own and writes what has gathered, a group of entries a transaction. An entry is in
 * the store within PK_WRITER_WINDOW_MS and the time that those before it take. When the thread falls
 * behind, pk_writer_add() waits, so that little is lost when the process dies.
 *
 * What the store does not take goes to a spool (spool.h), when there is one: entries that came while it was locked,
 * full or not there, and those for which somebody waited in vain. The thread replays it in order when the store is
 * back, also what another process left. An entry that the store refuses for good (the error is not
 * retryable) is parked beside the spool. What the spool has no room for waits in memory until it or the store takes
 * it; when that is full as well, what comes is dropped and counted.
 *
 * When nothing waits the thread sweeps: rows that are older than the store's retention go, a step at a time
 * (store_sweep.h); while entries keep coming, a step now and then, so that it keeps up.
 *
 * Every function may be called from any thread. A child made by fork() has no such thread: it may
 * only call pk_writer_orphan(), for a writer that was held at the fork.
 */
#ifndef PK_WRITER_H
#define PK_WRITER_H

#include "journal.h"
#include "reserve.h"

enum {
    PK_WRITER_BYTES_MAX = 16 << 20, /* entries that wait; a single larger one may wait alone */
    PK_WRITER_WINDOW_MS = 20,       /* entries gather this long before they are written */
    PK_WRITER_AGE_MS = 50,          /* pk_writer_add() waits while an older entry is not written */
    PK_WRITER_GROUP_MAX = 1024,     /* entries a transaction */
    PK_WRITER_ROUNDS_MAX = 3,       /* tries at one transaction */
    PK_WRITER_LOG_PAGES = 4000, /* of the store's log: hot pages are copied back once for many */
    PK_WRITER_LOG_PAGES_MAX = 16000, /* the writer does what another is to do */
};

struct pk_writer;

struct pk_writer_stats {
    int64_t pending, pending_bytes; /* entries that wait or are being written */
    int64_t written, dropped;       /* entries since the start */
    int64_t spooled, parked;        /* likewise, in the spool and beside it */
    int64_t spool_bytes;            /* that wait there */
    char last_error[256];           /* why the store refused last; "" = it never did */
};

/* Takes `store` in any case, which must be usable from another thread than this. NULL with *err
 * filled when memory or threads run out. */
struct pk_writer *pk_writer_new(struct pk_store *store, struct pk_error *err) PK_MUST_CHECK;

/* Writes what is left, ends the thread and closes the store. NULL is fine. */
void pk_writer_free(struct pk_writer *w);

/* Where the spool is, before the first entry comes. What an earlier process left there is written. */
void pk_writer_spool(struct pk_writer *w, const char *path, int64_t bytes_max);

/* Has a thread of its own copy the store's log to where it belongs, so that no entry waits for the disk meanwhile. Takes
 * `store`, which is another connection to the same, in any case. Once, before the first entry comes. */
bool pk_writer_copier(struct pk_writer *w, struct pk_store *store,
                      struct pk_error *err) PK_MUST_CHECK;

/* From now on an entry is on disk when it is safe, and is written as soon as the thread can: those that come
 * meanwhile share a transaction. `on_settled` is called, by the thread and under a lock, whenever some have become
 * so; it must not wait. */
bool pk_writer_durable(struct pk_writer *w, void (*on_settled)(void *ctx), void *ctx,
                       struct pk_error *err) PK_MUST_CHECK;

/* As pk_writer_add(); what to ask pk_writer_fate() with, 0: it is safe already, -1: it was dropped. */
int64_t pk_writer_put(struct pk_writer *w, pk_str entry, uint64_t tag, int64_t wait_ms);

/* What became of an entry. PK_LOST: it, or another of its group, was dropped; PK_SAFE: in the store, or in the spool. */
enum pk_fate { PK_UNSETTLED, PK_SAFE, PK_LOST };
enum pk_fate pk_writer_fate(struct pk_writer *w, int64_t number);

/* Appends a copy of `entry`. Waits up to wait_ms (0: never) for the thread to catch up; false when it was
 * dropped because there was no room. `tag` (0 = none) names what the entry changes, for
 * pk_writer_settle(): the first bytes of a cache key. */
bool pk_writer_add(struct pk_writer *w, pk_str entry, uint64_t tag, int64_t wait_ms);

/* There was no memory to make an entry: it counts as dropped. */
void pk_writer_lose(struct pk_writer *w);

/* As pk_writer_add(), without waiting, of one that may be lost: one that finds no room is not set aside, nor counted. */
void pk_writer_offer(struct pk_writer *w, pk_str entry);

/* Waits until the entries added under `tag` so far are in the store (or dropped); at once when there
 * are none. Two tags may be taken for one: then it waits for more. False after wait_ms. */
bool pk_writer_settle(struct pk_writer *w, uint64_t tag, int64_t wait_ms);

/* The same for every entry added so far, and what is in the spool; what was set aside ahead of calls is given back
 * too. */
bool pk_writer_flush(struct pk_writer *w, int64_t wait_ms);

/* What calls ask of their limits: pk_store_reserve() on `store`, which is the caller's own, for those that the
 * writer's leases (lease.h) do not answer. What only calls in progress are in the way of is asked again after
 * a flush, for which it waits so long. */
void pk_writer_reserve(struct pk_writer *w, struct pk_store *store, struct pk_reserve *const *asked,
                       int count, int64_t wait_ms);

struct pk_writer_stats pk_writer_stats(struct pk_writer *w);

/* How large the cache may become, from the next transaction on. */
void pk_writer_cache_max(struct pk_writer *w, struct pk_cache_max max);

/* Sweeps soon, rather than at the next turn: the retention has changed. */
void pk_writer_sweep(struct pk_writer *w);

/* Waits until the thread is between two transactions, and keeps it there until pk_writer_let_go(): before
 * fork(). False after wait_ms; then it is not held. */
bool pk_writer_hold(struct pk_writer *w, int64_t wait_ms);
void pk_writer_let_go(struct pk_writer *w);
/* In the child, instead of pk_writer_free(): closes the child's copy of the store. What waits is written
 * by the parent. */
void pk_writer_orphan(struct pk_writer *w);

#endif
