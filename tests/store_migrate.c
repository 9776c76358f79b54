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

/* The store of the first version. */
static const char *const first[] = {
#define SCHEMA(kind, number, sql) sql,
#include "first.inc"
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

static void make_first(const char *name)
{
    sqlite3 *db = NULL;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    EXPECT(sqlite3_open(path, &db) == SQLITE_OK);
    EXPECT(sqlite3_exec(db, "pragma application_id = 1886086242", NULL, NULL, NULL) == SQLITE_OK);
    for (size_t i = 0; i < PK_COUNT(first); i++)
        EXPECT(sqlite3_exec(db, first[i], NULL, NULL, NULL) == SQLITE_OK);
    EXPECT(sqlite3_exec(db,
                        "insert into pk_payload (id, hash, created_us, encoding, bytes) values "
                        "(7, x'07', 1, 0, 'kept');"
                        "insert into pk_cache_entry (key, created_us, expires_us, usage_source, "
                        "encoding, body) values (x'aa', 1, 9, 'none', 0, 'four');"
                        "insert into pk_virtual_key (slug, provider, origin, kind, secret, "
                        "created_us, updated_us) values ('k', 'openai', 'o', 'env', 'V', 1, 1)",
                        NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
}

/* Tables with their columns, and indexes with theirs, in whatever order they were made; not what 0099 adds,
 * for a new store is made by the schema alone. */
static const char shape[] =
    "select group_concat(line, char(10)) from (select m.name || '.' || p.name || ' ' || p.type || "
    "' ' || p.\"notnull\" || coalesce(p.dflt_value, '-') || p.pk as line from sqlite_master m join "
    "pragma_table_info(m.name) p where m.type = 'table' and m.name <> 'pk_test' and p.name <> "
    "'reviewed' union all select m.name || ' on ' || "
    "m.tbl_name || ' ' || x.seqno || coalesce(x.name, '-') from sqlite_master m join "
    "pragma_index_info(m.name) x where m.type = 'index' and m.name not like '%autoindex%' order by "
    "1)";

static void a_store_of_the_first_version_becomes_one_of_today(void)
{
    make_first("first.pkdb");
    struct pk_store *s = test_store(path), *fresh = test_store(":memory:");
    static char wanted[64 << 10];

    (void)snprintf(wanted, sizeof wanted, "%s", test_ask(fresh, shape));
    EXPECT(strstr(wanted, "pk_limit.amount bigint") && test_says(s, shape, wanted));
    EXPECT(test_says(s, "select bytes from pk_payload where id = 7", "kept"));
    EXPECT(test_says(s, "select entries || ' ' || bytes from pk_cache_size", "1 260"));
    EXPECT(test_says(s, "select slug || status from pk_virtual_keys", "kactive"));
    EXPECT(test_says(s, "select count(*) from pk_cache", "1"));
    pk_store_close(fresh);
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
    EXPECT(sqlite3_step(st) == SQLITE_ROW && sqlite3_column_int(st, 0) == 16 &&
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
    RUN(a_store_of_the_first_version_becomes_one_of_today);
    RUN(a_new_store_starts_at_the_newest_version);
    RUN(a_migration_that_fails_leaves_the_store_as_it_was);
    RUN(several_processes_migrate_it_once);
    (void)snprintf(remove, sizeof remove, "rm -rf '%s'", folder);
    return system(remove) != 0 || test_end();
}
