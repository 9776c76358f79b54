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

#include "memo.h"
#include "value.h"

struct pk_statement;

/* What lasts as long as the running statement that `ctx` is of. NULL: no memory. */
struct pk_statement *pk_statement_of(sqlite3_context *ctx, struct pk_conn *c);

/* Equal questions of one statement are one call. `what` and `args` are the question, whose text is in `arena`. True
 * when the statement has its answer, and `ctx` has it now. NULL for s is fine. */
bool pk_statement_recall(struct pk_statement *s, struct pk_arena *arena, const void *what,
                         struct pk_args args, sqlite3_context *ctx, pk_str *question);
/* Between the two, what the functions of value.h give is listened to; `keep`: it is the answer from now on. */
void pk_statement_listen(struct pk_statement *s, struct pk_arena *arena);
void pk_statement_keep(struct pk_statement *s, pk_str question, bool keep);

/* What a config of its own key was resolved to stays for the next row, which most often has the same. */
void pk_statement_resolved(struct pk_statement *s, const struct pk_snapshot *snapshot);

/* A call was made for one row, and nothing else meanwhile. After many the user is told, once, what is faster. */
void pk_statement_called(struct pk_statement *s);
/* Tells SQLite's log, and whoever waits at a shell. */
void pk_statement_note(const char *text);

/* A scan begins, or ends. */
void pk_statement_join(struct pk_conn *c);
void pk_statement_leave(struct pk_conn *c);

#endif
