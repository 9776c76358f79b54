/* table.h - what the virtual tables have in common: how one comes to be, how it fails, and how it goes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each is eponymous: its module's argument is the connection, and it is there without "create virtual table".
 */
#ifndef PK_TABLE_H
#define PK_TABLE_H

#include "conn.h"

/* The beginning of every table. */
struct pk_table {
    sqlite3_vtab base;
    struct pk_conn *conn;
};

/* xConnect, but for its declaration: `bytes`, zeroed but for the beginning, that `columns` describe. A code of SQLite's. */
int pk_table_connect(sqlite3 *db, struct pk_conn *c, size_t bytes, const char *columns,
                     sqlite3_vtab **out);
int pk_table_disconnect(sqlite3_vtab *base); /* of a table that owns nothing */

struct pk_conn *pk_table_conn(const sqlite3_vtab_cursor *cursor);

/* Leaves the error's words with the table, and returns SQLite's code for it. */
int pk_table_fail(sqlite3_vtab *base, const struct pk_error *err);
/* The same for a question that cannot be asked like this. */
int pk_table_refuse(sqlite3_vtab *base, const char *why);

/* The module keeps a reference to the connection. A code of SQLite's. */
int pk_table_register(struct pk_conn *c, const char *name, const sqlite3_module *module);

#endif
