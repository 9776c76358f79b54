/* sqlite.h - the SQLite that pkd is linked with, in the form that the store asks for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_SQLITE_H
#define PKD_SQLITE_H

#include "base.h"

struct sqlite3_api_routines;

/* The table of functions that SQLite hands to extensions. Call it once, before there are threads. */
const struct sqlite3_api_routines *pkd_sqlite_api(struct pk_error *err) PK_MUST_CHECK;

#endif
