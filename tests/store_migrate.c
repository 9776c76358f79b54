/* store_migrate.c - an engine that knows one migration more opens a store of today.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The Makefile links this with a store_sqlite.c whose schema has tests/migrate/0099_test.sql.
 * Today's store is made here from the schema itself, so both ends are real.
 */
#include "test_store.h"

#include <sys/wait.h>
#include <unistd.h>

enum { OTHER, TABLE, VIEW, MIGRATION, PRICES };

static const struct {
    int kind;
    const char *sql;
} today[] = {
#define SCHEMA(kind, number, sql) {kind, sql},
#include "schema.inc"
#undef SCHEMA
};

static char folder[] = "/tmp/pk-migrate-XXXXXX", path[64];
static struct pk_error err;

/* A store as the engine of today leaves it, with one row, and a view that means something old. */
static void make_old(const char *name)
{
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    EXPECT(sqlite3_open(path, &db) == SQLITE_OK);
    EXPECT(sqlite3_exec(db, "pragma application_id = 1886086242", NULL, NULL, NULL) == SQLITE_OK);
    for (size_t i = 0; i < PK_COUNT(today); i++)
        if (today[i].kind == TABLE || today[i].kind == VIEW)
            EXPECT(sqlite3_exec(db, today[i].sql, NULL, NULL, NULL) == SQLITE_OK);
    EXPECT(sqlite3_exec(db,
                        "insert into pk_feedback_item (id, created_us, trace_id, value, weight) "
                        "values (x'01', 1, 't', 5, 1);"
                        "drop view pk_feedback; create view pk_feedback as select 'old' as id",
                        NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
}

static void an_old_store_is_brought_up_and_keeps_its_rows(void)
{
    make_old("old.pkdb");
    struct pk_store *s = test_store(path);
    EXPECT(test_says(s, "select value from pk_meta where name = 'schema_version'", "99"));
    EXPECT(test_says(s, "select note from pk_test", "migrated 0 rows"));
    EXPECT(test_says(s, "select value || reviewed from pk_feedback_item", "50"));
    EXPECT(test_says(s, "select value from pk_feedback", "5")); /* the view is today's again */
    EXPECT(test_says(s, "select count(*) > 100 from pk_prices", "1"));
    pk_store_close(s);
    s = test_store(path);
    EXPECT(test_says(s, "select count(*) from pk_test", "1"));
    pk_store_close(s);
}

static void a_new_store_starts_at_the_newest_version(void)
{
    struct pk_store *s = test_store(":memory:");

    EXPECT(test_says(s, "select value from pk_meta where name = 'schema_version'", "99"));
    pk_store_close(s);
}

static void a_migration_that_fails_leaves_the_store_as_it_was(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;

    make_old("broken.pkdb");
    EXPECT(sqlite3_open(path, &db) == SQLITE_OK);
    EXPECT(sqlite3_exec(db, "create table pk_test (x)", NULL, NULL, NULL) == SQLITE_OK);
    EXPECT(!pk_store_sqlite(test_api(), path, &err) && strstr(err.msg, path));
    EXPECT(sqlite3_prepare_v2(db,
                              "select value, (select count(*) from "
                              "pragma_table_info('pk_feedback_item') where name = 'reviewed') "
                              "from pk_meta where name = 'schema_version'",
                              -1, &st, NULL) == SQLITE_OK);
    EXPECT(sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int(st, 0) == 1 &&
           sqlite3_column_int(st, 1) == 0);
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
}

static void several_processes_migrate_it_once(void)
{
    pid_t children[4];

    make_old("race.pkdb");
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            pk_store_close(test_store(path));
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;

        EXPECT(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
    struct pk_store *s = test_store(path);
    EXPECT(test_says(s, "select count(*) from pk_test", "1"));
    pk_store_close(s);
}

int main(void)
{
    char remove[64];

    if (!mkdtemp(folder))
        return 1;
    RUN(an_old_store_is_brought_up_and_keeps_its_rows);
    RUN(a_new_store_starts_at_the_newest_version);
    RUN(a_migration_that_fails_leaves_the_store_as_it_was);
    RUN(several_processes_migrate_it_once);
    (void)snprintf(remove, sizeof remove, "rm -rf '%s'", folder);
    return system(remove) != 0 || test_end();
}
