/* turn.c - see turn.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "turn.h"

#include <time.h>

void pk_turn_init(struct pk_turn *t)
{
    pthread_condattr_t attr;

    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&t->free, &attr);
    (void)pthread_condattr_destroy(&attr);
    t->taken = false;
}

void pk_turn_free(struct pk_turn *t)
{
    PK_ASSERT(!t->taken);
    (void)pthread_cond_destroy(&t->free);
    (void)pthread_mutex_destroy(&t->lock);
}

void pk_turn_take(struct pk_turn *t)
{
    (void)pthread_mutex_lock(&t->lock);
    while (t->taken)
        (void)pthread_cond_wait(&t->free, &t->lock);
    t->taken = true;
    (void)pthread_mutex_unlock(&t->lock);
}

bool pk_turn_take_until(struct pk_turn *t, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};

    (void)pthread_mutex_lock(&t->lock);
    while (t->taken)
        if (pthread_cond_timedwait(&t->free, &t->lock, &until) != 0)
            break;
    bool had = !t->taken;
    t->taken = true;
    (void)pthread_mutex_unlock(&t->lock);
    return had;
}

void pk_turn_give(struct pk_turn *t)
{
    (void)pthread_mutex_lock(&t->lock);
    PK_ASSERT(t->taken);
    t->taken = false;
    (void)pthread_cond_signal(&t->free);
    (void)pthread_mutex_unlock(&t->lock);
}
