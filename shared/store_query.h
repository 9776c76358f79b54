/* store_query.h - predicates of stored guardrails, on SQLite.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_QUERY_H
#define PK_STORE_QUERY_H

#include "store.h"

struct sqlite3_api_routines;
struct sqlite3;

/* Once for a connection, before the host gives it the functions that the views need. */
bool pk_sqlite_query_init(const struct sqlite3_api_routines *api, struct sqlite3 *db) PK_MUST_CHECK;

/* pk_store_ops.predicate on the connection `db`, which nothing else may be using. */
bool pk_sqlite_predicate(const struct sqlite3_api_routines *api, struct sqlite3 *db,
                         const struct pk_guard_query *q, int *truth,
                         struct pk_error *err) PK_MUST_CHECK;

#endif
