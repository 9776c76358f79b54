/* hub.h - what the connections of one process share.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The list of connections (so that loading the extension twice finds the first), and one log writer
 * for each store. A child made by fork() starts with neither.
 */
#ifndef PK_HUB_H
#define PK_HUB_H

#include "conn.h"

/* In a child made by fork(), the first time: closes what it inherited, the connections' part through
 * `drop`. When another thread was using some of it at the fork (a connection that is not idle), that
 * stays open, and from then on this fails: SQLite would work on locks that the process does not have. */
bool pk_hub_renew(void (*drop)(struct pk_conn *c, bool idle), struct pk_error *err) PK_MUST_CHECK;

/* The state of `db`, or NULL. */
struct pk_conn *pk_hub_find(const sqlite3 *db);
bool pk_hub_add(struct pk_conn *c) PK_MUST_CHECK;
void pk_hub_remove(const struct pk_conn *c);
int pk_hub_connections(void);

/* The writer for the store at `path`, which is the same for all who ask; give it back once. */
struct pk_writer *pk_hub_writer(const char *path, struct pk_error *err) PK_MUST_CHECK;
void pk_hub_writer_release(struct pk_writer *w); /* NULL is fine */

#endif
