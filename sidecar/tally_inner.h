/* tally_inner.h - what a tally is made of, between tally.c, which adds, and tally_rows.c, which tells.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_TALLY_INNER_H
#define PKD_TALLY_INNER_H

#include "tally.h"

enum { PKD_KEY_BITS = 32 }; /* of what is counted by point: the point is above them */

enum pkd_hit { PKD_HIT_SIMPLE, PKD_HIT_SEMANTIC, PKD_HITS };

struct pkd_point {
    int64_t at_us;
    int64_t calls, errors;
    int64_t cost, priced; /* of so many whose cost is known */
    int64_t inputs, outputs;
    int64_t units, unit_calls; /* both together */
    int64_t retried, fallen;   /* rescued so */
    int64_t users, user_calls; /* different ones; calls that have one */
    int64_t us;                /* that calls took */
    int64_t hits[PKD_HITS], saved[PKD_HITS], asked, hit_us, misses, miss_us;
    int64_t first_us, end_us;
    int64_t *spread; /* how long each took */
    int spread_count;
};

struct pkd_group {
    int64_t calls, cost, priced;
    int64_t units, unit_calls, last_us, opinions; /* by member only */
    double opinion;
};

struct pkd_tally {
    struct pk_arena *arena;
    unsigned counting;
    int64_t bucket_us;
    struct pkd_point *points;
    int point_count;
    int32_t *slots; /* of points, by their time; -1: none */
    uint32_t slot_count;
    uint64_t seed;            /* of these: who inserts calls says when they began */
    int32_t *point_of;        /* of each picked call of the block that is added */
    struct pkd_names names;   /* users, or what groups are called */
    struct pkd_counts seen;   /* users of a point */
    struct pkd_counts codes;  /* HTTP statuses of a point, or retries */
    struct pkd_group *groups; /* as many as names */
    int group_count;
};

/* What no number can hold is as much as one can: whoever inserts calls says what they took. */
int64_t pkd_plus(int64_t a, int64_t b);

#endif
