/* wait.c - waits for the transport and for the backend's latch together.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The transport's epoll fd is itself pollable, so that one WaitEventSet with three events serves for
 * the life of the backend. This is the only place that may throw while a request is in flight.
 */
#include "pk_pg.h"

enum { EVENTS = 3 };

void pk_wait(struct pk_backend *b, int64_t deadline_ms)
{
    WaitEvent ready[EVENTS];
    long timeout = -1;

    if (deadline_ms != INT64_MAX)
        timeout = (long)Min(Max(deadline_ms - pk_clock_ms(), 0), INT_MAX);
    int count = WaitEventSetWait(b->waits, timeout, ready, EVENTS, PG_WAIT_EXTENSION);
    for (int i = 0; i < count; i++)
        if (ready[i].events & WL_LATCH_SET)
            ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
}
