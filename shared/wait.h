/* wait.h - waits for events of an epoll, without sleep where they are near.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A thread that sleeps has to be woken, which costs it and the one that wakes it: on a virtual machine more than all
 * that pkd adds to a call. One whose waits are short looks again and again for a moment instead (busy polling), and
 * sleeps when nothing has come. That has to pay: after a look in vain it sleeps through twice as many short waits as
 * the last time before it looks again, after one that was worth it through half as many. Who waits for a model thus
 * sleeps, as ever; who waits for the next of a row of cache hits does not.
 */
#ifndef PK_WAIT_H
#define PK_WAIT_H

#include "base.h"

struct epoll_event;

struct pk_wait {
    int poll_us; /* how long it looks before it sleeps; 0: it sleeps at once */
    int slept;   /* short waits since the last look in vain */
    int wanted;  /* as many, and it looks again */
};

/* `poll_us` is taken as 0 where there is but one cpu: what is waited for could not happen meanwhile. */
void pk_wait_init(struct pk_wait *w, int poll_us);

/* epoll_wait(2). */
int pk_wait_epoll(struct pk_wait *w, int epoll, struct epoll_event *events, int max,
                  int timeout_ms);

/* What the former goes by: whether the next wait begins with a look, and how a wait of `us` was that did, or did not. */
bool pk_wait_looks(const struct pk_wait *w);
void pk_wait_learn(struct pk_wait *w, bool looked, int64_t us);

#endif
