/* similar.h - the vectors of cached questions, shared by the threads of a process.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A lock guards them: searches share it, what changes them has it alone. What this process saves is found at
 * once; what others wrote into the store, PKD_SIMILAR_MS later.
 */
#ifndef PKD_SIMILAR_H
#define PKD_SIMILAR_H

#include "store_near.h"

enum { PKD_SIMILAR_MS = 50 };

struct pkd_similar;

struct pkd_similar *pkd_similar_new(void); /* NULL: no memory */
void pkd_similar_free(struct pkd_similar *s);

/* As pk_store_near_find(), over the calling thread's store. */
bool pkd_similar_find(struct pkd_similar *s, struct pk_store *store,
                      const struct pk_near_question *q, struct pk_cache_entry *entry);

/* Keeps the vector of an entry that is on its way to the store. */
void pkd_similar_save(struct pkd_similar *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                      const struct pk_cache_vector *v);

#endif
