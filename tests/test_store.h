/* test_store.h - for tests that need a store: SQLite's routines as a program that links it gets them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_TEST_STORE_H
#define PK_TEST_STORE_H

#include "store.h"
#include "test.h"

#include <sqlite3.h>
#include <string.h>

static const struct sqlite3_api_routines *test_routines;

static int test_keep_routines(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)db;
    (void)message;
    test_routines = api;
    return SQLITE_OK;
}

static inline const struct sqlite3_api_routines *test_api(void)
{
    sqlite3 *db = NULL;

    if (!test_routines) {
        (void)sqlite3_auto_extension((void (*)(void))test_keep_routines);
        (void)sqlite3_open(":memory:", &db);
        (void)sqlite3_close(db);
        (void)sqlite3_cancel_auto_extension((void (*)(void))test_keep_routines);
    }
    return test_routines;
}

/* What every host that reads the views has. */
static void test_payload_text(sqlite3_context *ctx, int count, sqlite3_value **args)
{
    struct pk_arena arena;
    struct pk_error err;
    const struct pk_stored stored = {
        sqlite3_value_int64(args[0]),
        count > 2 ? sqlite3_value_int64(args[2]) : 0,
        {sqlite3_value_blob(args[1]), (size_t)sqlite3_value_bytes(args[1])}};
    pk_str text;

    if (sqlite3_value_type(args[1]) == SQLITE_NULL)
        return;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_STREAM_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    if (pk_payload_unpack(NULL, &stored, &out, &text, &err))
        sqlite3_result_text64(ctx, text.at, text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    else
        sqlite3_result_error(ctx, err.msg, -1);
    pk_arena_free(&arena);
}

static void test_provider_table(sqlite3_context *ctx, int count, sqlite3_value **args)
{
    struct pk_arena arena;

    (void)count;
    (void)args;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_STREAM_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    pk_provider_table(&out);
    sqlite3_result_text64(ctx, out.at, out.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    pk_arena_free(&arena);
}

/* Aborts when the store does not open: no case could go on. */
static inline struct pk_store *test_store(const char *path)
{
    struct pk_error err = {.code = PK_OK};
    struct pk_store *s = pk_store_sqlite(test_api(), path, &err);

    if (!s) {
        printf("not ok the store opens\n# %s\n", err.msg);
        exit(1);
    }
    (void)sqlite3_create_function(pk_store_sqlite_db(s), "pk_payload_text", -1, SQLITE_UTF8, NULL,
                                  test_payload_text, NULL, NULL);
    (void)sqlite3_create_function(pk_store_sqlite_db(s), "pk_provider_table", 0, SQLITE_UTF8, NULL,
                                  test_provider_table, NULL, NULL);
    return s;
}

/* The first column of the first row, as text in a buffer that the next call reuses; "" for NULL. */
static inline const char *test_ask(struct pk_store *s, const char *sql)
{
    static char answer[65536];
    sqlite3_stmt *st = NULL;
    sqlite3 *db = pk_store_sqlite_db(s);

    answer[0] = 0;
    if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
        (void)snprintf(answer, sizeof answer, "%s", sqlite3_errmsg(db));
    else if (sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0))
        (void)snprintf(answer, sizeof answer, "%s", (const char *)sqlite3_column_text(st, 0));
    (void)sqlite3_finalize(st);
    return answer;
}

static inline bool test_says(struct pk_store *s, const char *sql, const char *expected)
{
    const char *answer = test_ask(s, sql);
    bool same = strcmp(answer, expected) == 0;

    if (!same)
        printf("# %s\n#   gives '%s', not '%s'\n", sql, answer, expected);
    return same;
}

#endif
