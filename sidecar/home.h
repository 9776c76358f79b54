/* home.h - where what pkd keeps is: a SQLite file, or a Postgres database with the extension pk.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_HOME_H
#define PKD_HOME_H

#include "options.h"
#include "store.h"
#include "store_pq.h"

enum {
    PKD_HOME_BYTES_MAX = 4096,
    PKD_PATIENT_MS = 60 * 1000, /* for statements that nobody's call waits for */
    /* For a database to answer, where --store-timeout does not say. */
    PKD_SERVE_MS = 1000,
    PKD_COMMAND_MS = 10 * 1000, /* somebody at a terminal would only start it again */
};

struct sqlite3_api_routines;

/* Zeroed at first. Where it lies must not change once it is open. */
struct pkd_home {
    const struct sqlite3_api_routines *sqlite;
    struct pk_pq *pq; /* NULL: it is a file */
    const char *name; /* for people; has no password */
    int64_t timeout_ms;
    char path[PKD_HOME_BYTES_MAX];
};

/* Finds it as the options say, which may say timeout_ms as well: how long a database may take to connect, and
 * h->timeout_ms from then on. Opens nothing. */
bool pkd_home_find(struct pkd_home *h, const struct pkd_options *o, int64_t timeout_ms,
                   struct pk_error *err) PK_MUST_CHECK;
/* The stores of it are closed. */
void pkd_home_free(struct pkd_home *h);

/* A store there, for one thread. A database is given patience_ms for each statement; a file has its own. NULL with
 * *err filled. */
struct pk_store *pkd_home_open(const struct pkd_home *h, int64_t patience_ms,
                               struct pk_error *err) PK_MUST_CHECK;

/* The same, opened when it is first used. */
struct pk_store *pkd_home_open_later(const struct pkd_home *h, int64_t patience_ms,
                                     struct pk_error *err) PK_MUST_CHECK;

/* Where the master key is: as the options say; else beside a file, and for a database where the file would be. */
bool pkd_home_key_path(const struct pkd_home *h, const struct pkd_options *o, char *out,
                       size_t size, struct pk_error *err) PK_MUST_CHECK;

/* Where log rows wait that the store does not take: as the options say; else beside a file, and for a database in
 * the folder of the master key, which is made, or where that cannot be written to in the data folder, under the
 * database's name. */
bool pkd_home_spool_path(const struct pkd_home *h, const struct pkd_options *o, char *out,
                         size_t size, struct pk_error *err) PK_MUST_CHECK;

/* Whether `secrets` (NULL: there are none) open the sealed keys of the store; tries one. The error names
 * `path`. */
bool pkd_home_check_key(struct pk_store *store, const struct pk_secrets *secrets, const char *path,
                        struct pk_error *err) PK_MUST_CHECK;

#endif
