/* store_group.h - many records in one transaction.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What adds up is written once, at its end: what calls settle of their limits (store_hold.h), hits of the cache
 * (store_hits.h), rows (store_rows.h), and texts (store_payload.h). A writer makes its store ready
 * for that once.
 */
#ifndef PK_STORE_GROUP_H
#define PK_STORE_GROUP_H

#include "store.h"

/* Once or more often; without memory for it records are written one by one, as ever. */
void pk_store_group_init(struct pk_store *s);
void pk_store_group_free(struct pk_store *s);

/* `kept`: the group before did not fail. */
bool pk_store_group_begin(struct pk_store *s, bool kept, struct pk_error *err) PK_MUST_CHECK;
/* Writes what has added up, after the last record. */
bool pk_store_group_settle(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;
/* Ends it; unless `ok`, or when it fails, all of it is undone. */
bool pk_store_group_end(struct pk_store *s, bool ok, struct pk_error *err) PK_MUST_CHECK;

#endif
