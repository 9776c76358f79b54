/* store_provider.h - the verbs over providers that an administrator adds.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_PROVIDER_H
#define PK_STORE_PROVIDER_H

#include "store.h"

/* Stores what pk_provider_read() takes under a name that is none of pk's own, or replaces it. */
bool pk_store_provider_put(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                           int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

/* *p lives in `arena`; NULL when there is none. Those of pk's own table are not looked for. */
bool pk_store_provider_get(struct pk_store *s, struct pk_arena *arena, pk_str name,
                           const struct pk_provider **p, struct pk_error *err) PK_MUST_CHECK;

/* One of pk's own table, or as above; "@name" too. */
bool pk_store_provider_find(struct pk_store *s, struct pk_arena *arena, pk_str name,
                            const struct pk_provider **p, struct pk_error *err) PK_MUST_CHECK;

/* PK_IN_USE while others name it. */
bool pk_store_provider_delete(struct pk_store *s, pk_str name, int64_t now_us, bool *existed,
                              struct pk_error *err) PK_MUST_CHECK;

#endif
