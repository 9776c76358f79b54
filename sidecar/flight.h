/* flight.h - equal cacheable calls in flight are one upstream request, across the threads of a process.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   enter ─ nobody asks this yet ──▶ LEADS ──▶ save ──▶ leave
 *     │                                │                  │ saved: those who wait are woken, and hit
 *     ├─ somebody does ──▶ WAITS ◀─────┘                  │ not saved: the first of them leads
 *     └─ saved a moment ago ──▶ HIT
 *
 * Answers that were saved stay here until the writer has put them into the store, so that a thread reads
 * what any thread wrote. Every function may be called from any thread, a waiter by its own only.
 */
#ifndef PKD_FLIGHT_H
#define PKD_FLIGHT_H

#include "writer.h"

struct pkd_flights;
struct pkd_inbox;

enum pkd_role { PKD_ALONE, PKD_LEADS, PKD_WAITS, PKD_HIT };

/* A call's part in it. Zeroed at first; must stay where it is until it has left. */
struct pkd_waiter {
    enum pkd_role role;
    uint8_t key[PK_CACHE_KEY_BYTES];
    struct pkd_inbox *inbox; /* of its thread; set by the owner */
    void *owner;

    /* under the lock */
    struct pkd_waiter *next;
    struct pkd_flight *flight;
    bool woken; /* in the inbox */
};

/* `writer` tells which answers are in the store. NULL: no memory. */
struct pkd_flights *pkd_flights_new(struct pk_writer *writer);
void pkd_flights_free(struct pkd_flights *f);

/* The place where a thread finds its waiters that may go on; `fd` (an eventfd) is written to. */
struct pkd_inbox *pkd_inbox_new(int fd);
void pkd_inbox_free(struct pkd_inbox *inbox);

/* An answer that was saved under `key` and may not be in the store yet; its strings are in `arena`. */
bool pkd_flight_recent(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES],
                       struct pk_arena *arena, struct pk_cache_entry *entry);

/* Whether there is one. */
bool pkd_flight_has(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES]);

/* Joins under w->key; see above. HIT fills *entry. Of a waiter that was woken to lead: LEADS. */
enum pkd_role pkd_flight_enter(struct pkd_flights *f, struct pkd_waiter *w, struct pk_arena *arena,
                               struct pk_cache_entry *entry);

/* Keeps a copy under `key` until the entry that the writer knows by `tag` is in the store. */
void pkd_flight_save(struct pkd_flights *f, const uint8_t key[PK_CACHE_KEY_BYTES], uint64_t tag,
                     const struct pk_cache_entry *entry);

/* In any role: it is over, or no longer interested. Wakes whom it concerns. */
void pkd_flight_leave(struct pkd_flights *f, struct pkd_waiter *w);

/* A waiter of this thread that may enter again; NULL when there is none. */
struct pkd_waiter *pkd_flight_woken(struct pkd_flights *f, struct pkd_inbox *inbox);

#endif
