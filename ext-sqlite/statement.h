/* statement.h - what pk knows of the statements that are running on a connection.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * SQLite does not tell a function which statement calls it, but keeps things for a statement until it ends, and they
 * are the same for all its functions. A scan of pk_map ends with its cursor. The account (account.h) is the connection's:
 * it begins with the first of them and ends with the last, so statements that run at the same time share it.
 */
#ifndef PK_STATEMENT_H
#define PK_STATEMENT_H

#include "conn.h"

/* What lasts as long as the running statement that `ctx` is of. NULL: no memory. */
struct pk_statement *pk_statement_of(sqlite3_context *ctx, struct pk_conn *c);

/* A scan begins, or ends. */
void pk_statement_join(struct pk_conn *c);
void pk_statement_leave(struct pk_conn *c);

#endif
