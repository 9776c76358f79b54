/* flight.c - see flight.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "flight.h"

#include "storage/fd.h"
#include "utils/memutils.h"

struct pk_flight {
    struct pk_run run; /* first: the session returns its address */
    MemoryContext context;
    struct pk_item *item;
    struct pk_flight *next, *prev;
};

static void give_files_back(void *object)
{
    struct pk_flights *f = object;

    for (; f->fds > 0; f->fds--)
        ReleaseExternalFD();
}

static void hang(MemoryContextCallbackFunction function, void *object)
{
    MemoryContextCallback *going = palloc(sizeof *going);

    *going = (MemoryContextCallback){.func = function, .arg = object};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, going);
}

void pk_flights_init(struct pk_flights *f)
{
    MemoryContext outer = MemoryContextSwitchTo(f->context);

    hang(give_files_back, f);
    MemoryContextSwitchTo(outer);
}

/* Comes before what pk_run_hang() has asked for. */
static void abandon(void *object)
{
    pk_run_abandon(object);
}

static struct pk_flight *new_flight(struct pk_flights *f, struct pk_item *item)
{
    MemoryContext context = AllocSetContextCreate(f->context, "pk call", ALLOCSET_DEFAULT_SIZES);
    MemoryContext outer = MemoryContextSwitchTo(context);
    struct pk_flight *flight = palloc0(sizeof *flight);

    f->load(f->owner, item, &flight->run);
    flight->context = context;
    flight->item = item;
    flight->run.arena = pk_arena_here();
    flight->run.shares = true;
    flight->run.backend = f->backend;
    flight->run.ended = &f->ended;
    flight->next = f->first;
    if (f->first)
        f->first->prev = flight;
    f->first = flight;
    f->running++;
    f->most = Max(f->most, f->running);
    pk_run_hang(&flight->run);
    hang(abandon, &flight->run);
    MemoryContextSwitchTo(outer);
    return flight;
}

static void end_flight(struct pk_flights *f, struct pk_flight *flight)
{
    *(flight->prev ? &flight->prev->next : &f->first) = flight->next;
    if (flight->next)
        flight->next->prev = flight->prev;
    f->running--;
    MemoryContextDelete(flight->context);
}

static void start(struct pk_flights *f, struct pk_item *item)
{
    struct pk_error err = {0};
    struct pk_flight *flight = new_flight(f, item);

    if (pk_run_prepare(&flight->run, &err)) {
        pk_run_enter(&flight->run);
        return;
    }
    f->land(f->owner, item, &flight->run, &err);
    end_flight(f, flight);
    pk_batch_end(f->batch, item, pk_clock_ms(), 0);
}

static bool take_file(struct pk_flights *f)
{
    if (f->fds == f->concurrency || !AcquireExternalFD())
        return false;
    f->fds++;
    return true;
}

static void tell_of_files(struct pk_flights *f)
{
    if (f->fds == 0)
        pk_throw_too_many_files();
    if (f->fds < f->concurrency && !f->warned)
        ereport(NOTICE, (errmsg("pk: %d calls in flight instead of %d", f->fds, f->concurrency),
                         errhint("Raise max_files_per_process.")));
    f->warned = true;
}

void pk_flights_take_files(struct pk_flights *f)
{
    while (take_file(f))
        continue;
    tell_of_files(f);
    f->concurrency = f->fds;
}

/* Whether there is a file for one more call. */
static bool has_file(struct pk_flights *f)
{
    if (f->running < f->fds || take_file(f))
        return true;
    tell_of_files(f);
    return false;
}

void pk_flights_start(struct pk_flights *f)
{
    struct pk_item *item;

    while (pk_batch_wake_ms(f->batch) <= pk_clock_ms() && has_file(f) &&
           (item = pk_batch_start(f->batch, pk_clock_ms())))
        start(f, item);
}

static void land(struct pk_flights *f, struct pk_flight *flight)
{
    struct pk_item *item = flight->item;

    f->land(f->owner, item, &flight->run, NULL);
    int64_t retry_after_ms = pk_call_retry_after_ms(flight->run.task.call);
    end_flight(f, flight);
    pk_batch_end(f->batch, item, pk_clock_ms(), retry_after_ms);
}

/* Those that ended, perhaps while another call of the session was waited for. */
static void land_all(struct pk_flights *f)
{
    while (f->ended) {
        struct pk_flight *flight = (struct pk_flight *)f->ended;

        f->ended = flight->run.ended_next;
        land(f, flight);
    }
}

void pk_flights_turn(struct pk_flights *f, bool wait)
{
    int64_t until_ms = 0;

    if (wait)
        until_ms = f->running < f->fds ? pk_batch_wake_ms(f->batch) : INT64_MAX;
    if (wait && f->look_ms)
        until_ms = Min(until_ms, f->look_ms);
    if (!f->ended)
        pk_run_turn(f->backend, until_ms);
    land_all(f);
}

void pk_flights_abandon(struct pk_flights *f)
{
    for (struct pk_flight *flight = f->first; flight; flight = flight->next)
        pk_run_abandon(&flight->run);
}
