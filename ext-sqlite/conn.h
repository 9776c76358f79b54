/* conn.h - what pk knows about one database connection, and the process that it is in.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * SQLite serialises what happens on one connection, so nothing here needs a lock. Everything that costs
 * something is made at its first use. After fork() the child's connections give up what they
 * inherited, because sockets, file locks and threads are the parent's, and begin anew.
 */
#ifndef PK_CONN_H
#define PK_CONN_H

#include <sqlite3ext.h>

#include "near.h"
#include "resolve.h"
#include "settings.h"
#include "writer.h"
#include "xfer.h"

SQLITE_EXTENSION_INIT3

struct pk_loop;

struct pk_conn {
    sqlite3 *db;
    int refs; /* functions and modules that point here */
    struct pk_settings settings;

    struct pk_store *store;   /* for the verbs */
    struct pk_store *views;   /* for reading relations; `store` itself when that is private */
    struct pk_packer *packer; /* reads the payloads of relations */
    struct pk_writer
        *writer; /* shared by the process; NULL: the store is private to this connection */
    struct pk_resolver *resolver;
    const struct pk_snapshot *literal; /* the last that holds a key, while statements run */
    struct pk_near *near; /* vectors of cached questions; NULL until one is looked for */
    struct pk_secrets *secrets;
    struct pk_xfer *xfer;
    struct pk_loop *loop;
    uint64_t random;
    int cursors; /* open on relations: the store may not change under them */
    int busy;    /* functions and scans that are at work: what they use was not idle at a fork */
    unsigned raised;  /* errors of its functions: the statement that had one is over */
    int rides;        /* calls that run */
    int statements;   /* that run, as far as they are known: statement.h */
    const char *hint; /* for pk_health(); NULL: none */
    bool driving;     /* a turn of one is under way */
};

/* The connection's state, with one reference; NULL when memory runs out. */
struct pk_conn *pk_conn_new(sqlite3 *db);
void pk_conn_release(void *conn); /* the last one writes what is left and frees it */

/* The store is open, in this process. Every function that needs it begins with this. */
bool pk_conn_ready(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;
/* Opens the store at `path` (NULL: where the settings or the environment say) in place of the one that
 * is open. On failure that one stays. */
bool pk_conn_open(struct pk_conn *c, const char *path, struct pk_error *err) PK_MUST_CHECK;
/* The transport and its loop exist. */
bool pk_conn_online(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;
/* The memory for vectors; NULL when there is none. */
struct pk_near *pk_conn_near(struct pk_conn *c);
/* Tells whoever writes how large the cache may become. */
void pk_conn_cache_max(struct pk_conn *c);
/* The master key is open. It is made when there is none and `create`. */
bool pk_conn_secrets(struct pk_conn *c, bool create, struct pk_error *err) PK_MUST_CHECK;
/* The connection for relations, with every row so far in it. */
sqlite3 *pk_conn_views(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;
/* The same without waiting for rows that are on their way. */
sqlite3 *pk_conn_views_as_they_are(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;

/* Hands an entry of journal.h to the writer, or writes it. `tag` as in writer.h. */
bool pk_conn_journal(struct pk_conn *c, const struct pk_buf *entry, uint64_t tag,
                     struct pk_error *err);
bool pk_conn_flush(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;

#endif
