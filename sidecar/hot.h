/* hot.h - entries of the cache that were read a moment ago, for questions that many ask at once.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A thread reads an entry from the store at most every PKD_HOT_MS, however often it is asked for. A purge, and
 * what another process writes, is seen that much later.
 */
#ifndef PKD_HOT_H
#define PKD_HOT_H

#include "../shared/call.h"

enum {
    PKD_HOT_MS = 2,
    PKD_HOT_ENTRIES = 64,
    PKD_HOT_BYTES_MAX = 16 << 10, /* of an entry that is kept */
};

struct pkd_hot {
    struct pkd_hot_entry {
        uint8_t key[PK_CACHE_KEY_BYTES];
        int64_t max_age_s; /* as which it was asked for */
        int64_t until_ms;  /* 0: there is none */
        struct pk_cache_entry entry;
        char *text; /* PKD_HOT_BYTES_MAX, that its strings are in */
    } entries[PKD_HOT_ENTRIES];
};

/* Zeroed at first. */
void pkd_hot_free(struct pkd_hot *h);
void pkd_hot_expire(struct pkd_hot *h); /* forgets all */

/* An entry that the store gave at most PKD_HOT_MS ago; its strings are in `arena`. */
bool pkd_hot_find(const struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  struct pk_arena *arena, struct pk_cache_entry *entry);
/* Keeps a copy of what the store gave just now. */
void pkd_hot_keep(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  const struct pk_cache_entry *entry);

#endif
