/* lease.h - what is set aside of limits ahead of calls, so that few calls need to ask the store. Pure.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call that asks the store may set aside more than it needs: when there have been others a moment ago, and far
 * more is left than that, so that a limit is still used to its last unit. The next calls take from it. It is a
 * reservation like any other, so nothing can be overspent; those that take from it settle with it. What nobody
 * takes for a while is given back.
 *
 * A lease is of one limit, subject and slot, and of the terms of one epoch. There are few; a limit that finds
 * no place is asked of the store each time. The host guards the table; in Postgres it is shared by backends, so
 * there are no pointers in it.
 */
#ifndef PK_LEASE_H
#define PK_LEASE_H

#include "reserve.h"

enum {
    PK_LEASES_MAX = 64,
    PK_LEASE_CALLS_MAX = 256,       /* calls that are set aside for at once, */
    PK_LEASE_BUSY_CALLS_MAX = 4096, /* or so many, when the last were used up within */
    PK_LEASE_BUSY_US = 100 * 1000,  /* this time, */
    PK_LEASE_SHARE = 16,            /* where so many times that is left, */
    PK_LEASE_ROOM_CALLS = 1024,     /* and enough for so many calls */
    PK_LEASE_IDLE_US = 1000 * 1000, /* a lease that nobody takes from for so long is given back */
    PK_LEASE_LIFE_US = 10 * 1000 * 1000, /* calls that begin so long after it may take from it */
};

struct pk_lease {
    uint8_t id[PK_UUID_BYTES]; /* of the reservation: made of that of the call that began it */
    struct pk_slot slot;
    int64_t epoch;
    int64_t free; /* not taken yet */
    int64_t expires_us;
    int64_t asked_us; /* when it was last of use */
    int64_t planned_us;
    int64_t again_us; /* nothing is set aside ahead before */
    int calls;        /* that are set aside for next time */
    uint16_t limit_len, subject_len;
    char names[PK_LIMIT_SLUG_BYTES + PK_SUBJECT_BYTES];
};

/* Starts zeroed. */
struct pk_leases {
    int count;
    struct pk_lease rows[PK_LEASES_MAX];
};

pk_str pk_lease_limit(const struct pk_lease *l);
pk_str pk_lease_subject(const struct pk_lease *l);

/* Answers `r` when leases have all that it wants; else they, and it, are as before. */
bool pk_lease_take(struct pk_leases *all, struct pk_reserve *r, int64_t now_us);

/* For a question that goes to the store: says in its holds how much to set aside ahead. */
void pk_lease_plan(struct pk_leases *all, struct pk_reserve *r, int64_t now_us);

/* How much must be left to set aside what is planned. */
int64_t pk_lease_room(const struct pk_hold *h);

/* Keeps what the store has set aside ahead. It must have been committed. */
void pk_lease_keep(struct pk_leases *all, const struct pk_reserve *r, int64_t now_us);

/* Moves what nobody has taken from for a while to `ended`, or all: the store is to be told. */
void pk_lease_end(struct pk_leases *all, int64_t now_us, bool every, struct pk_leases *ended);

/* The store could not be told: they are as before, and end again in a while. */
void pk_lease_restore(struct pk_leases *all, const struct pk_leases *ended);

/* Whether any is left. */
bool pk_lease_any(const struct pk_leases *all);

#endif
