/* rows.h - what a query of the user asks: one call a row, for whoever takes a query as an argument.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The query runs on the user's own connection and may only read. It is read a row at a time; while that connection
 * writes, all of it beforehand, since a statement would see its own rows.
 */
#ifndef PK_ROWS_H
#define PK_ROWS_H

#include "many.h"

/* A value that was read beforehand, or that stands in an `in` list. */
struct pk_kept {
    sqlite3_value *key, *text;
};

/* Zeroed but for db, then pk_rows_open() or pk_rows_keep(). */
struct pk_rows {
    sqlite3 *db;
    sqlite3_stmt *query; /* NULL: there is none */
    int key_column, text_column;
    enum pk_ask_kind kind;
    bool at_once;         /* set before: read all of it beforehand in any case */
    bool beforehand;      /* all of it was */
    struct pk_kept *kept; /* or these */
    int64_t kept_count, kept_at, kept_cap;
};

/* One select with the columns key (or not) and prompt, messages or vars. */
bool pk_rows_open(struct pk_rows *r, pk_str query, struct pk_error *err) PK_MUST_CHECK;
/* Adds a row without a query: copies both; key may be NULL. */
bool pk_rows_keep(struct pk_rows *r, sqlite3_value *key, sqlite3_value *text,
                  struct pk_error *err) PK_MUST_CHECK;
/* Rows of either, for pk_many_new(), on behalf of the function `name`; *r must stay where it is. */
struct pk_many_source pk_rows_source(struct pk_rows *r, const char *name);
void pk_rows_close(struct pk_rows *r);

#endif
