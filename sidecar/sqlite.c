/* sqlite.c - see sqlite.h. SQLite gives its table to extensions only, so we are one for a moment.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sqlite.h"

#include <sqlite3.h>

static const struct sqlite3_api_routines *routines;

static int catch_routines(sqlite3 *db, char **why, const struct sqlite3_api_routines *api)
{
    (void)db;
    (void)why;
    routines = api;
    return SQLITE_OK;
}

const struct sqlite3_api_routines *pkd_sqlite_api(struct pk_error *err)
{
    sqlite3 *db = NULL;
    union {
        int (*typed)(sqlite3 *, char **, const struct sqlite3_api_routines *);
        void (*plain)(void); /* what sqlite3_auto_extension() takes */
    } entry = {.typed = catch_routines};

    /* Statistics of SQLite's memory, which nobody reads, would cost a lock for each allocation. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (sqlite3_auto_extension(entry.plain) == SQLITE_OK)
        (void)sqlite3_open(":memory:", &db);
    (void)sqlite3_cancel_auto_extension(entry.plain);
    (void)sqlite3_close(db);
    if (!routines)
        (void)pk_fail(err, PK_STORE, "SQLite %s does not start", sqlite3_libversion());
    return routines;
}
