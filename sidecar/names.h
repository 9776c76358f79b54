/* names.h - numbers for texts, and counts by number: what groups and dictionaries are made of.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_NAMES_H
#define PKD_NAMES_H

#include "secret.h"

/* Texts in the order in which they came, numbered from 0. Starts zeroed but for `arena`. Clients choose the texts: where
 * they are in the table is up to a key that nobody knows. */
struct pkd_names {
    struct pk_arena *arena;
    pk_str *at;
    uint32_t *hashes;
    int count;
    uint8_t key[PK_SECRET_HASH_BYTES]; /* made with the first slots */
    int32_t *slots;                    /* numbers, or -1 */
    uint32_t slot_count;
};

/* The number of `text`, which is copied when it is new; -1: no memory. */
int pkd_names_number(struct pkd_names *n, pk_str text);

/* The same of one that is there; -1: it is not. */
int pkd_names_find(const struct pkd_names *n, pk_str text);

/* Counts by a key, from 0. Starts zeroed but for `arena`. */
struct pkd_counts {
    struct pk_arena *arena;
    struct pkd_count {
        uint64_t key;
        int64_t count; /* 0: the slot is free */
    } * slots;
    uint32_t slot_count, used;
    uint64_t seed; /* made with the first slots */
};

/* One more of `key`: how many there are now; -1: no memory. */
int64_t pkd_counts_add(struct pkd_counts *c, uint64_t key);

#endif
