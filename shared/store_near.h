/* store_near.h - the vectors of cached questions in the store, and the search for one that is near.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The search is done in memory (near.h), which follows the store: each look-up first takes the rows that came
 * since, and some of the older ones until all are there. What is found there is measured again with the
 * stored vector. Rows that were deleted are noticed when they are found.
 */
#ifndef PK_STORE_NEAR_H
#define PK_STORE_NEAR_H

#include "near.h"
#include "store.h"

enum { PK_NEAR_ROWS_MAX = 4096 }; /* that one refresh reads, of either end */

/* Stores the vector of the entry under `key`, if that is there. */
bool pk_store_near_put(struct pk_store *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                       const struct pk_cache_vector *v, struct pk_error *err) PK_MUST_CHECK;

/* Takes over what is new in the store for the gate of `v`. */
bool pk_store_near_refresh(struct pk_store *s, struct pk_near *n, const struct pk_cache_vector *v,
                           struct pk_error *err) PK_MUST_CHECK;

/* Searches, without reading the store. */
void pk_store_near_search(const struct pk_near *n, const struct pk_cache_vector *v,
                          double threshold, struct pk_near_matches *m);

/* Measures matches exactly, leaves out what is under the threshold and sorts the rest. What has no row any more
 * comes last, with PK_NEAR_GONE for its similarity. */
#define PK_NEAR_GONE (-2.0F)
bool pk_store_near_measure(struct pk_store *s, const struct pk_cache_vector *v, double threshold,
                           struct pk_near_matches *m, struct pk_error *err) PK_MUST_CHECK;

struct pk_near_question {
    const struct pk_cache_vector *vector;
    double threshold;
    /* Fetches an entry by its key; false: it is not there, or too old. */
    bool (*fetch)(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry);
    void *ctx;
};

/* The entry of the first match that has one, with its similarity; false: none has. */
bool pk_store_near_fetch(const struct pk_near_question *q, const struct pk_near_matches *m,
                         struct pk_cache_entry *entry);

/* The nearest entry there is. False also when memory or the store failed: a cache never fails a
 * call. For hosts in which one thread at a time uses `n`. */
bool pk_store_near_find(struct pk_store *s, struct pk_near *n, const struct pk_near_question *q,
                        struct pk_cache_entry *entry);

#endif
