/* drive.h - runs calls while SQLite waits: one to its end, or many a turn at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * All calls of a connection are in one loop: while one is waited for, the others go on.
 */
#ifndef PK_DRIVE_H
#define PK_DRIVE_H

#include "interrupt.h"
#include "loop.h"

enum { PK_SLICE_MS = 10 }; /* the longest wait */

/* Needs pk_conn_ready() and pk_conn_online(). What the client would get is in *body, in `arena`. The call is
 * at PK_OP_DONE afterwards and its record is on its way to the log, whatever became of it: an
 * interrupted statement ends it as cancelled. False only when it could not be run at all. */
bool pk_drive(struct pk_conn *c, struct pk_call *call, struct pk_arena *arena, pk_str *body,
              struct pk_error *err) PK_MUST_CHECK;

/* A call of many. It must stay where it is until it is over. */
struct pk_ride {
    struct pk_task task; /* first: the loop returns its address */
    struct pk_arena *arena;
    struct pk_buf out;                   /* what the client would get */
    bool over;                           /* at PK_OP_DONE, and on its way to the log: */
    struct pk_ride **ended, *ended_next; /* then it is listed here, unless that is NULL */
};

/* False while a turn is under way: a progress handler or an authorizer that calls back is a mistake. */
bool pk_ride_free_to_go(const struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;
void pk_ride_start(struct pk_conn *c, struct pk_ride *r, struct pk_call *call,
                   struct pk_arena *arena, struct pk_ride **ended);
void pk_ride_cancel(struct pk_conn *c, struct pk_ride *r); /* it is over a turn later */
/* Whether the statement was; looked at now and then. */
bool pk_ride_interrupted(struct pk_conn *c, struct pk_interrupt *p);
/* Does one thing that a call of this connection needs, or waits at most PK_SLICE_MS and not past `until_ms`
 * (monotonic). */
void pk_ride_turn(struct pk_conn *c, int64_t until_ms);

#endif
