/* store_hits.h - how often entries of the cache answered, added up over the records of a transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_HITS_H
#define PK_STORE_HITS_H

#include "store.h"

/* store->hits: forgotten at the begin of a transaction, written before its end. */
struct pk_hits;
struct pk_hits *pk_hits_new(void); /* NULL: no memory */
void pk_hits_free(struct pk_hits *all);
void pk_hits_forget(struct pk_hits *all); /* NULL is fine, here and below */

/* One more of the entry `key`, at once in a store that does not add up. */
bool pk_store_hit(struct pk_store *s, pk_str key, int64_t at_us,
                  struct pk_error *err) PK_MUST_CHECK;
bool pk_store_hits_end(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;

#endif
