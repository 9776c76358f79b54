/* store_query.c - see store_query.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An administrator wrote the statement, but what it reads may end in the verdict that a client sees. So it is
 * one SELECT; an authorizer lets it read everything but the secrets of keys and the payloads of the log, which
 * it sees as NULL; and a progress handler ends it when its time is over. Both are gone from the connection
 * afterwards.
 */
#include "store_query.h"

#include "xfer.h"

#include <sqlite3ext.h>
#include <string.h>

enum { STEPS_BETWEEN_LOOKS = 1000 }; /* of SQLite's machine; about 50 us */

/* What the views are written with. */
static const char payload_text[] = "pk_payload_text", provider_table[] = "pk_provider_table";

/* The columns that no view shows. Which view a read comes by says nothing: a common table expression has a
 * name as well. */
static bool is_secret(const char *table, const char *column)
{
    if (strcmp(table, "pk_virtual_key") == 0)
        return strcmp(column, "secret") == 0;
    return strcmp(table, "pk_api_key") == 0 &&
           (strcmp(column, "hash") == 0 || strcmp(column, "old_hash") == 0);
}

static int allow(void *ctx, int action, const char *first, const char *second, const char *database,
                 const char *view)
{
    (void)ctx;
    (void)database;
    (void)view;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_FUNCTION:
        if (strcmp(second, "load_extension") == 0)
            return SQLITE_DENY;
        return strcmp(second, payload_text) == 0 || strcmp(second, provider_table) == 0
                   ? SQLITE_IGNORE
                   : SQLITE_OK;
    case SQLITE_READ: return is_secret(first, second) ? SQLITE_DENY : SQLITE_OK;
    default: return SQLITE_DENY;
    }
}

/* For the parser; the authorizer puts NULL in its place. */
static void no_text(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    (void)ctx;
    (void)count;
    (void)values;
}

bool pk_sqlite_query_init(const struct sqlite3_api_routines *api, struct sqlite3 *db)
{
    const struct sqlite3_api_routines *sqlite3_api = api;

    return sqlite3_create_function(db, payload_text, -1, SQLITE_UTF8, NULL, no_text, NULL, NULL) ==
               SQLITE_OK &&
           sqlite3_create_function(db, provider_table, 0, SQLITE_UTF8, NULL, no_text, NULL, NULL) ==
               SQLITE_OK;
}

static int is_over(void *ctx)
{
    return pk_clock_ms() >= *(const int64_t *)ctx;
}

static bool fail(const struct sqlite3_api_routines *sqlite3_api, sqlite3 *db, int rc,
                 const struct pk_guard_query *q, struct pk_error *err)
{
    if (rc == SQLITE_INTERRUPT)
        return pk_fail(err, PK_TIMEOUT, "predicate: not done within %lld ms",
                       (long long)q->timeout_ms);
    if (rc == SQLITE_NOMEM)
        return pk_fail(err, PK_NO_MEMORY, "predicate: out of memory");
    return pk_fail(err, PK_BAD_CONFIG, "predicate: %s", sqlite3_errmsg(db));
}

static sqlite3_stmt *prepare(const struct sqlite3_api_routines *sqlite3_api, sqlite3 *db,
                             const struct pk_guard_query *q, struct pk_error *err)
{
    sqlite3_stmt *st = NULL;
    const char *rest = NULL;
    int rc = sqlite3_prepare_v2(db, q->sql.at, (int)q->sql.len, &st, &rest);
    pk_str behind = {rest, rest ? (size_t)(q->sql.at + q->sql.len - rest) : 0};

    if (rc != SQLITE_OK)
        (void)fail(sqlite3_api, db, rc, q, err);
    else if (!st || pk_str_trim(behind).len || !sqlite3_stmt_readonly(st) ||
             sqlite3_column_count(st) != 1)
        (void)pk_fail(err, PK_BAD_CONFIG, "predicate: must be one SELECT of one column");
    else
        return st;
    (void)sqlite3_finalize(st);
    return NULL;
}

/* $1, $2 and $3, whatever their order. */
static bool bind(const struct sqlite3_api_routines *sqlite3_api, sqlite3_stmt *st,
                 const struct pk_guard_query *q, struct pk_error *err)
{
    const pk_str values[] = {q->text, q->metadata, q->document};
    static const char *const names[] = {"$1", "$2", "$3"};
    int bound = 0;

    for (size_t i = 0; i < PK_COUNT(values); i++) {
        int at = sqlite3_bind_parameter_index(st, names[i]);

        bound += at > 0;
        if (at > 0 && sqlite3_bind_text64(st, at, values[i].at ? values[i].at : "", values[i].len,
                                          SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
            return pk_fail(err, PK_NO_MEMORY, "predicate: out of memory");
    }
    return bound == sqlite3_bind_parameter_count(st) ||
           pk_fail(err, PK_BAD_CONFIG, "predicate: its parameters are $1, $2 and $3");
}

/* The first column of the first row, as SQLite sees truth. */
static bool run(const struct sqlite3_api_routines *sqlite3_api, sqlite3_stmt *st,
                const struct pk_guard_query *q, int *truth, struct pk_error *err)
{
    int rc = sqlite3_step(st);

    *truth = -1;
    if (rc == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL) {
        double value = sqlite3_column_double(st, 0);

        *truth = value > 0 || value < 0;
    }
    return rc == SQLITE_ROW || rc == SQLITE_DONE ||
           fail(sqlite3_api, sqlite3_db_handle(st), rc, q, err);
}

bool pk_sqlite_predicate(const struct sqlite3_api_routines *api, struct sqlite3 *db,
                         const struct pk_guard_query *q, int *truth, struct pk_error *err)
{
    const struct sqlite3_api_routines *sqlite3_api = api;
    int64_t until_ms = pk_clock_ms() + (q->timeout_ms ? q->timeout_ms : INT32_MAX);
    bool ok = false;

    (void)sqlite3_set_authorizer(db, allow, NULL);
    sqlite3_progress_handler(db, STEPS_BETWEEN_LOOKS, is_over, &until_ms);
    sqlite3_stmt *st = prepare(sqlite3_api, db, q, err);
    if (st)
        ok = bind(sqlite3_api, st, q, err) && (!truth || run(sqlite3_api, st, q, truth, err));
    (void)sqlite3_finalize(st);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    (void)sqlite3_set_authorizer(db, NULL, NULL);
    return ok;
}
