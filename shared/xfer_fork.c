/* xfer_fork.c - whether this process is a child of the one that opened something, without a system call.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "xfer_inner.h"

#include <pthread.h>

static unsigned forks;

static void count_one(void)
{
    forks++; /* the child has no other thread yet */
}

static void begin_to_count(void)
{
    (void)pthread_atfork(NULL, NULL, count_one);
}

unsigned pk_xfer_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    (void)pthread_once(&once, begin_to_count);
    return forks;
}
