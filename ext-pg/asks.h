/* asks.h - the slots in which backends ask the worker; see asks.c. Include pk_pg.h first.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_ASKS_H
#define PK_ASKS_H

#include "lease.h"

#include "storage/condition_variable.h"
#include "storage/lwlock.h"

enum { PK_ASKS_MAX = 64, PK_ASK_BYTES = 24 << 10 };

enum pk_ask_state {
    PK_ASK_FREE,
    PK_ASK_ASKED,
    PK_ASK_TAKEN,
    PK_ASK_ANSWERED,
    PK_ASK_DROPPED,
    PK_ASK_RETURNED,
};

struct pk_ask {
    enum pk_ask_state state;
    int proc; /* whom to wake */
    uint32 len;
    char bytes[PK_ASK_BYTES];
};

struct pk_asks {
    LWLock lock;
    ConditionVariable room;
    struct pk_ask slots[PK_ASKS_MAX];
    struct pk_leases leases; /* guarded by the lock too */
};

/* For ring.c, which has the memory. */
void pk_asks_init(struct pk_asks *a, int tranche);
void pk_asks_attach(struct pk_asks *a);

/* Asks, and waits for at most max_ms; *r is the question with its answer, which may be that nobody answered.
 * Throws when interrupted: then, and at exit, pk_asks_drop() is due. */
void pk_asks_reserve(const struct pk_reserve *question, struct pk_arena *arena, int max_ms,
                     struct pk_reserve *r);
void pk_asks_drop(void);

/* For the worker. `settle` writes what is in the ring, as far as it can. */
bool pk_asks_waiting(void);
void pk_asks_adopt(void);
bool pk_asks_serve(void (*settle)(void)); /* false: nobody had asked */

/* Whether something is set aside ahead of calls; the worker gives back what nobody takes from, or all. */
bool pk_asks_leased(void);
void pk_asks_end_leases(bool every);

#endif
