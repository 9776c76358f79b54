/* turn.h - one at a time, and a wait for it that ends.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A mutex that is waited for by the monotonic clock would do, but for tools that look for data races: they know
 * pthread_mutex_clocklock() not.
 */
#ifndef PK_TURN_H
#define PK_TURN_H

#include "base.h"

#include <pthread.h>

struct pk_turn {
    pthread_mutex_t lock;
    pthread_cond_t free;
    bool taken;
};

void pk_turn_init(struct pk_turn *t);
/* Of one that nobody has or waits for. */
void pk_turn_free(struct pk_turn *t);

/* Any thread may give it back. */
void pk_turn_take(struct pk_turn *t);
/* False when it was not to be had by then, by CLOCK_MONOTONIC. */
bool pk_turn_take_until(struct pk_turn *t, int64_t until_ms) PK_MUST_CHECK;
void pk_turn_give(struct pk_turn *t);

#endif
