/* names.h - numbers for texts, and counts by number: what groups and dictionaries are made of.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_NAMES_H
#define PKD_NAMES_H

#include "arena.h"

/* Texts in the order in which they came, numbered from 0. Starts zeroed but for `arena`. */
struct pkd_names {
    struct pk_arena *arena;
    pk_str *at;
    uint32_t *hashes;
    int count;
    int32_t *slots; /* numbers, or -1 */
    uint32_t slot_count;
};

/* The number of `text`, which is copied when it is new; -1: no memory. */
int pkd_names_number(struct pkd_names *n, pk_str text);

/* Counts by a key, from 0. Starts zeroed but for `arena`. */
struct pkd_counts {
    struct pk_arena *arena;
    struct pkd_count {
        uint64_t key;
        int64_t count; /* 0: the slot is free */
    } * slots;
    uint32_t slot_count, used;
};

/* One more of `key`: how many there are now; -1: no memory. */
int64_t pkd_counts_add(struct pkd_counts *c, uint64_t key);

#endif
