/* bench.h - what the programs here that measure one piece of the core share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef BENCH_H
#define BENCH_H

#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static inline double now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts the rounds. */
static inline double median(double *rounds, size_t count)
{
    qsort(rounds, count, sizeof *rounds, by_size);
    return rounds[count / 2];
}

#endif
