/* flight.h - the calls of a batch (batch.h) that are in flight.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each call has a memory context of its own. When that goes before the call is over, because of an error or because
 * nobody wants its answer any more, the call ends as cancelled, and is logged. Include pk_pg.h first.
 */
#ifndef PK_FLIGHT_H
#define PK_FLIGHT_H

#include "pk_pg.h"

#include "batch.h"

struct pk_flight;

struct pk_flights {
    MemoryContext context; /* of the batch; what follows is the owner's to set */
    struct pk_batch *batch;
    struct pk_backend *backend;
    int concurrency;
    /* Fills in what a call needs of *run: store, snapshot, request. */
    void (*load)(void *owner, struct pk_item *item, struct pk_run *run);
    /* Fills in item->result: the call is over, or, with *err, could not begin. */
    void (*land)(void *owner, struct pk_item *item, struct pk_run *run, const struct pk_error *err);
    void *owner;
    int64_t look_ms; /* when it wants to look after something else; 0: never */

    struct pk_flight *first;
    int running, most;    /* now, and at most at a time */
    struct pk_run *ended; /* of the flights: they can land */
    int fds;              /* external ones that are taken, one a call in flight */
    bool warned;
};

/* *f is set as above, the batch at the latest when a call starts. Its files are given back when its context goes. */
void pk_flights_init(struct pk_flights *f);
/* Takes them before the first call, for a batch that has to know how many there are: f->concurrency is that. Throws when
 * not even one can be had. */
void pk_flights_take_files(struct pk_flights *f);
/* Begins as many calls as the batch and open files allow. Throws when not even one file can be had. */
void pk_flights_start(struct pk_flights *f);
/* Makes calls go on, or waits for one until something happens or `wait` is false; those that are over have landed. */
void pk_flights_turn(struct pk_flights *f, bool wait);
/* Ends them all as cancelled, for whoever catches an error. Does not throw. */
void pk_flights_abandon(struct pk_flights *f);

#endif
