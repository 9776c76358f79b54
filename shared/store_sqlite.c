/* store_sqlite.c - the store in one SQLite file (store.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The connection is the store's own, used by one thread at a time, and it does not survive fork():
 * SQLite's locks belong to the process that took them.
 *
 * SQLite's header turns sqlite3_step(x) into sqlite3_api->step(x), so every function that calls SQLite
 * has a local of that name. The SQL here is about the file; that about relations is in sql/.
 */
#include "store_audit.h"
#include "store_query.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3ext.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MEMORY ":memory:"

enum {
    PARAMETERS_MAX = 192, /* of a statement */
    BITS = 64,
    BUSY_MS = 5000,
    BUSY_STEP_MS = 5,
    APPLICATION_ID = 0x706b6462, /* "pkdb", in the file's header */
    PATH_SHOWN = 150,            /* bytes of the path in a message */
    SPARE_PAGES_MIN = 256,
};

static const char *const texts[] = {
#define STATEMENT(name, types, sqlite_text, postgres_text) [PK_SQL_##name] = (sqlite_text),
#include "statements.def"
#undef STATEMENT
};

static const uint8_t arity[] = {
#define STATEMENT(name, types, sqlite_text, postgres_text) [PK_SQL_##name] = sizeof(types) - 1,
#include "statements.def"
#undef STATEMENT
};

/* The schema, in the order in which a new store executes it. */
static const struct step {
    enum { TABLE, VIEW, MIGRATION, PRICES } kind;
    int number; /* MIGRATION: the version that it leads to; PRICES: YYYYMMDD */
    const char *sql;
} steps[] = {
#define SCHEMA(kind, number, sql) {kind, number, sql},
#include "schema.inc"
#undef SCHEMA
};

/* So that old rows give their pages back. It writes to a store that is so already. */
static const char of_new_file[] = "pragma auto_vacuum = incremental";
static const char *const after_wal[] = {
    "pragma foreign_keys = off",
    "pragma synchronous = normal",
    "pragma cache_size = -2000",            /* KB */
    "pragma wal_autocheckpoint = 6000",     /* pages; if nobody has come before (keep_log) */
    "pragma journal_size_limit = 33554432", /* what a long read has made of the log is cut off later */
};

struct sqlite_store {
    struct pk_store head;
    const sqlite3_api_routines *api;
    sqlite3 *db;
    sqlite3_stmt *stmts[PK_STMT_COUNT];
    sqlite3_stmt *begin, *commit;
    /* parameters that are not null, a bit each */
    uint64_t bound[PK_STMT_COUNT][(PARAMETERS_MAX + BITS - 1) / BITS];
    pid_t owner; /* the process that opened it */
    int depth;   /* of nested transactions */
    bool undo;   /* an inner one failed: the outer one cannot be kept */
    char *path;
};

/* --- errors ---------------------------------------------------------------------------- */

static bool fail_file(struct pk_error *err, const char *path, const char *why)
{
    return pk_fail(err, PK_STORE, "store %.*s: %s", PATH_SHOWN, path, why);
}

/* Whether what was to be stored is at fault. */
static bool is_argument(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_RANGE: return true;
    default: return false;
    }
}

static bool fail_sqlite(const struct sqlite_store *s, int rc, struct pk_error *err)
{
    const sqlite3_api_routines *sqlite3_api = s->api;

    switch (rc & 0xff) {
    case SQLITE_NOTADB: return fail_file(err, s->path, "is not a pk store");
    case SQLITE_CORRUPT: return fail_file(err, s->path, "is damaged; restore it from a backup");
    case SQLITE_READONLY: return fail_file(err, s->path, "may not be written");
    case SQLITE_CANTOPEN: return fail_file(err, s->path, "cannot be opened");
    case SQLITE_BUSY: return fail_file(err, s->path, "is locked by another process");
    case SQLITE_FULL: return fail_file(err, s->path, "the disk is full");
    case SQLITE_NOMEM: return pk_fail(err, PK_NO_MEMORY, "store: out of memory");
    case SQLITE_INTERRUPT: return pk_fail(err, PK_CANCELLED, "store: cancelled");
    default:
        (void)fail_file(err, s->path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
        err->retryable = !is_argument(rc);
        return false;
    }
}

static bool same_process(const struct sqlite_store *s, struct pk_error *err)
{
    if (s->owner == getpid())
        return true;
    return fail_file(err, s->path, "was opened before fork(); open it in this process");
}

/* --- statements ------------------------------------------------------------------------ */

static sqlite3_stmt *prepared(struct sqlite_store *s, enum pk_stmt stmt, struct pk_error *err)
{
    const sqlite3_api_routines *sqlite3_api = s->api;
    sqlite3_stmt **place = &s->stmts[stmt];

    if (!*place) {
        int rc = sqlite3_prepare_v3(s->db, texts[stmt], -1, SQLITE_PREPARE_PERSISTENT, place, NULL);

        if (rc != SQLITE_OK) {
            fail_sqlite(s, rc, err);
            return NULL;
        }
    }
    PK_ASSERT(!sqlite3_stmt_busy(*place)); /* a row function does not run its own statement */
    return *place;
}

static int bind(const sqlite3_api_routines *sqlite3_api, sqlite3_stmt *st, int i,
                const struct pk_value *v)
{
    const char *at = v->s.at ? v->s.at : "";

    switch (v->type) {
    case PK_V_NULL: return sqlite3_bind_null(st, i);
    case PK_V_INT: return sqlite3_bind_int64(st, i, v->i);
    case PK_V_REAL: return sqlite3_bind_double(st, i, v->r);
    case PK_V_TEXT: return sqlite3_bind_text64(st, i, at, v->s.len, SQLITE_STATIC, SQLITE_UTF8);
    case PK_V_BLOB: return sqlite3_bind_blob64(st, i, at, v->s.len, SQLITE_STATIC);
    }
    return SQLITE_MISUSE;
}

/* What an earlier exec() bound stays, and points to what is no longer there: every one binds all that it does not
 * leave null. */
static int bind_all(struct sqlite_store *s, enum pk_stmt stmt, const struct pk_value *args,
                    int count)
{
    uint64_t *bound = s->bound[stmt];
    sqlite3_stmt *st = s->stmts[stmt];
    int rc = SQLITE_OK;

    for (int i = 0; i < count && rc == SQLITE_OK; i++) {
        uint64_t bit = (uint64_t)1 << i % BITS;

        if (args[i].type == PK_V_NULL && !(bound[i / BITS] & bit))
            continue;
        rc = bind(s->api, st, i + 1, &args[i]);
        bound[i / BITS] =
            args[i].type == PK_V_NULL ? bound[i / BITS] & ~bit : bound[i / BITS] | bit;
    }
    return rc;
}

static struct pk_value column(const sqlite3_api_routines *sqlite3_api, sqlite3_stmt *st, int i)
{
    struct pk_value v = {.type = PK_V_NULL};

    switch (sqlite3_column_type(st, i)) {
    case SQLITE_INTEGER:
        v = (struct pk_value){.type = PK_V_INT, .i = sqlite3_column_int64(st, i)};
        break;
    case SQLITE_FLOAT:
        v = (struct pk_value){.type = PK_V_REAL, .r = sqlite3_column_double(st, i)};
        break;
    case SQLITE_TEXT:
        v.type = PK_V_TEXT;
        v.s.at = (const char *)sqlite3_column_text(st, i);
        v.s.len = (size_t)sqlite3_column_bytes(st, i);
        break;
    case SQLITE_BLOB:
        v.type = PK_V_BLOB;
        v.s.at = sqlite3_column_blob(st, i);
        v.s.len = (size_t)sqlite3_column_bytes(st, i);
        break;
    default: break;
    }
    return v;
}

enum {
    COLUMNS_MAX = 64,
    STOP_STEPS =
        20000, /* of SQLite's machine, a millisecond or so: then it asks whether to go on */
};

/* Steps to the end, or until on_row has enough. */
static int run(const sqlite3_api_routines *sqlite3_api, sqlite3_stmt *st, pk_row_fn *on_row,
               void *ctx)
{
    struct pk_value columns[COLUMNS_MAX];
    int count = sqlite3_column_count(st);

    PK_ASSERT(count <= COLUMNS_MAX);
    for (;;) {
        int rc = sqlite3_step(st);

        if (rc != SQLITE_ROW)
            return rc;
        for (int i = 0; on_row && i < count; i++)
            columns[i] = column(sqlite3_api, st, i);
        if (on_row && !on_row(ctx, columns, count))
            return SQLITE_DONE;
    }
}

static int stop(void *ctx)
{
    const struct sqlite_store *s = ctx;

    return s->head.stop(s->head.stop_ctx);
}

/* To its end, or until it is not wanted any more. */
static int run_while_wanted(struct sqlite_store *s, sqlite3_stmt *st, pk_row_fn *on_row, void *ctx)
{
    const sqlite3_api_routines *sqlite3_api = s->api;

    if (!s->head.stop)
        return run(sqlite3_api, st, on_row, ctx);
    sqlite3_progress_handler(s->db, STOP_STEPS, stop, s);
    int rc = run(sqlite3_api, st, on_row, ctx);
    sqlite3_progress_handler(s->db, 0, NULL, NULL);
    return rc;
}

static bool exec(struct pk_store *store, enum pk_stmt stmt, const struct pk_value *args, int count,
                 pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;

    PK_ASSERT(count == arity[stmt] && count <= PARAMETERS_MAX);
    if (s->depth == 0 && !same_process(s, err)) /* begin() has looked */
        return false;
    sqlite3_stmt *st = prepared(s, stmt, err);
    if (!st)
        return false;
    int rc = bind_all(s, stmt, args, count);
    if (rc == SQLITE_OK)
        rc = run_while_wanted(s, st, on_row, ctx);
    bool ok = rc == SQLITE_DONE || fail_sqlite(s, rc, err);
    (void)sqlite3_reset(st);
    return ok;
}

/* One statement that is not in sql/statements.sql; *value, when wanted, is its first column. */
static bool pragma(struct sqlite_store *s, const char *sql, int64_t *value, struct pk_error *err)
{
    const sqlite3_api_routines *sqlite3_api = s->api;
    sqlite3_stmt *st = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW && value)
        *value = sqlite3_column_int64(st, 0);
    (void)sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE || fail_sqlite(s, rc, err);
}

/* --- transactions ---------------------------------------------------------------------- */

/* One that comes often. */
static bool run_kept(struct sqlite_store *s, sqlite3_stmt **kept, const char *sql,
                     struct pk_error *err)
{
    const sqlite3_api_routines *sqlite3_api = s->api;
    int rc = SQLITE_OK;

    if (!*kept)
        rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(*kept);
    bool ok = rc == SQLITE_DONE || fail_sqlite(s, rc, err);
    (void)sqlite3_reset(*kept);
    return ok;
}

/* SQLite itself rolls back on some failures (a full disk): then there is nothing left to end. */
static void undo(struct sqlite_store *s)
{
    const sqlite3_api_routines *sqlite3_api = s->api;
    struct pk_error ignored;

    if (!sqlite3_get_autocommit(s->db))
        (void)pragma(s, "rollback", NULL, &ignored);
}

static bool begin(struct pk_store *store, struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;

    if (s->depth == 0) {
        if (!same_process(s, err))
            return false;
        undo(s); /* what could not be undone when it ended: there was no memory for that */
        if (!run_kept(s, &s->begin, "begin immediate", err))
            return false;
        s->undo = false;
    }
    s->depth++;
    return true;
}

static bool end(struct pk_store *store, bool commit, struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;

    PK_ASSERT(s->depth > 0);
    if (s->depth == 1 && !same_process(s, err)) /* begin() has looked */
        return false;
    s->undo = s->undo || !commit;
    if (--s->depth > 0)
        return true;
    if (s->undo || sqlite3_get_autocommit(s->db)) {
        undo(s);
        return !commit || fail_file(err, s->path, "the transaction was undone by an earlier error");
    }
    if (run_kept(s, &s->commit, "commit", err))
        return true;
    undo(s);
    return false;
}

static void close_store(struct pk_store *store)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;

    /* In a child made by fork() too: while a connection of the parent's is open there, SQLite believes
     * that the child holds the locks that it had, and takes no others. Closing it leaves the parent's
     * alone. */
    for (int i = 0; i < PK_STMT_COUNT; i++)
        (void)sqlite3_finalize(s->stmts[i]);
    (void)sqlite3_finalize(s->begin);
    (void)sqlite3_finalize(s->commit);
    (void)sqlite3_close_v2(s->db);
    free(s->path);
    free(s);
}

/* Steps to the end: each step of the pragma moves one page. */
static int vacuum(const sqlite3_api_routines *sqlite3_api, sqlite3 *db, int64_t pages)
{
    char sql[64];
    sqlite3_stmt *st = NULL;

    (void)snprintf(sql, sizeof sql, "pragma incremental_vacuum(%lld)", (long long)pages);
    int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    while (rc == SQLITE_OK || rc == SQLITE_ROW)
        rc = sqlite3_step(st);
    (void)sqlite3_finalize(st);
    return rc;
}

/* A twentieth of the file, or a megabyte, stays free for the rows to come. */
static bool shrink(struct pk_store *store, int max, int64_t *pages, struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    int64_t all = 0, unused = 0, spare, left = 0;

    *pages = 0;
    if (!same_process(s, err) || !pragma(s, "pragma page_count", &all, err) ||
        !pragma(s, "pragma freelist_count", &unused, err))
        return false;
    spare = all / 20 > SPARE_PAGES_MIN ? all / 20 : SPARE_PAGES_MIN;
    if (unused <= spare)
        return true;
    int rc = vacuum(s->api, s->db, unused - spare < max ? unused - spare : max);
    if (rc != SQLITE_DONE)
        return fail_sqlite(s, rc, err);
    if (!pragma(s, "pragma freelist_count", &left, err))
        return false;
    *pages = unused - left;
    return true;
}

/* What a reader still needs stays where it is. The file becomes smaller with this, not before. */
static bool settle(struct pk_store *store, int64_t *behind, struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;
    int all = 0, copied = 0;

    *behind = 0;
    if (!same_process(s, err))
        return false;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &all, &copied);
    *behind = all - copied;
    return rc == SQLITE_OK || rc == SQLITE_BUSY || fail_sqlite(s, rc, err);
}

static int on_commit(void *ctx, sqlite3 *db, const char *name, int pages)
{
    struct sqlite_store *s = ctx;

    (void)db;
    (void)name;
    s->head.logged = pages;
    return SQLITE_OK;
}

static void keep_log(struct pk_store *store)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;

    (void)sqlite3_wal_hook(s->db, on_commit, s);
}

static bool predicate(struct pk_store *store, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err)
{
    struct sqlite_store *s = (struct sqlite_store *)store;

    return same_process(s, err) && pk_sqlite_predicate(s->api, s->db, q, truth, err);
}

static void patience(struct pk_store *store, int wait_ms)
{
    struct sqlite_store *s = (struct sqlite_store *)store;
    const sqlite3_api_routines *sqlite3_api = s->api;

    (void)sqlite3_busy_timeout(s->db, wait_ms);
}

static bool durable(struct pk_store *store, struct pk_error *err)
{
    return pragma((struct sqlite_store *)store, "pragma synchronous = full", NULL, err);
}

static const struct pk_store_ops ops = {exec,   begin,  end,      close_store, predicate,
                                        shrink, settle, keep_log, patience,    durable};

/* --- schema ---------------------------------------------------------------------------- */

static int schema_version(void)
{
    int newest = 1;

    for (size_t i = 0; i < PK_COUNT(steps); i++)
        if (steps[i].kind == MIGRATION && steps[i].number > newest)
            newest = steps[i].number;
    return newest;
}

int pk_store_prices_as_of(void)
{
    int newest = 0;

    for (size_t i = 0; i < PK_COUNT(steps); i++)
        if (steps[i].kind == PRICES && steps[i].number > newest)
            newest = steps[i].number;
    return newest;
}

static bool run_steps(struct sqlite_store *s, int kind, int above, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(steps); i++)
        if ((int)steps[i].kind == kind && steps[i].number >= above &&
            !pragma(s, steps[i].sql, NULL, err))
            return false;
    return true;
}

/* Removes the views, which are then made anew: they may say what an older program meant. */
static bool drop_views(struct sqlite_store *s, struct pk_error *err)
{
    static const char create[] = "create view ";
    char sql[64];

    for (size_t i = 0; i < PK_COUNT(steps); i++) {
        if (steps[i].kind != VIEW)
            continue;
        const char *name = steps[i].sql + sizeof create - 1;
        (void)snprintf(sql, sizeof sql, "drop view if exists %.*s", (int)strcspn(name, " "), name);
        if (!pragma(s, sql, NULL, err))
            return false;
    }
    return true;
}

struct state {
    int64_t tables, application_id, version, prices;
};

/* What is in the file; version 0: nothing yet. */
static bool look(struct sqlite_store *s, struct state *now, struct pk_error *err)
{
    *now = (struct state){0};
    /* In this order: another process may make both, at once, between the two. */
    if (!pragma(s, "select count(*) from sqlite_master", &now->tables, err) ||
        !pragma(s, "pragma application_id", &now->application_id, err))
        return false;
    if (now->tables && now->application_id != APPLICATION_ID)
        return fail_file(err, s->path, "is an SQLite database, but not a pk store");
    if (now->tables == 0)
        return true;
    return pragma(s, "select value from pk_meta where name = 'schema_version'", &now->version,
                  err) &&
           pragma(s, "select value from pk_meta where name = 'prices_as_of'", &now->prices, err);
}

static bool create(struct sqlite_store *s, struct pk_error *err)
{
    char sql[48];

    (void)snprintf(sql, sizeof sql, "pragma application_id = %d", APPLICATION_ID);
    return pragma(s, sql, NULL, err) && run_steps(s, TABLE, 0, err);
}

static bool bring_up(struct sqlite_store *s, const struct state *now, struct pk_error *err)
{
    char sql[80];

    if (now->version == 0 && !create(s, err))
        return false;
    /* Views first: a table that a view stands on cannot be renamed. */
    if (now->version && now->version < schema_version() &&
        (!drop_views(s, err) || !run_steps(s, MIGRATION, (int)now->version + 1, err)))
        return false;
    if (now->version < schema_version() && !run_steps(s, VIEW, 0, err))
        return false;
    (void)snprintf(sql, sizeof sql, "update pk_meta set value = %d where name = 'schema_version'",
                   schema_version());
    if (now->version < schema_version() && !pragma(s, sql, NULL, err))
        return false;
    if (now->prices >= pk_store_prices_as_of())
        return true;
    return run_steps(s, PRICES, 0, err) &&
           exec(&s->head, PK_SQL_epoch_bump, &(struct pk_value){.type = PK_V_INT, .i = 0}, 1, NULL,
                NULL, err);
}

static bool migrate(struct sqlite_store *s, struct pk_error *err)
{
    struct state now;
    struct pk_error ignored;

    if (!look(s, &now, err))
        return false;
    if (now.version > schema_version())
        return pk_fail(err, PK_STORE,
                       "store %.*s: its schema is version %lld, this program knows up to %d; "
                       "update pk",
                       PATH_SHOWN, s->path, (long long)now.version, schema_version());
    if (now.version == schema_version() && now.prices >= pk_store_prices_as_of())
        return true;
    if (!begin(&s->head, err))
        return false;
    if (look(s, &now, err) && bring_up(s, &now, err)) /* another process may have been faster */
        return end(&s->head, true, err);
    (void)end(&s->head, false, &ignored);
    return false;
}

/* --- the file -------------------------------------------------------------------------- */

/* Makes the folders above `path` that are missing, for their owner alone. */
static bool make_folders(const char *path, struct pk_error *err)
{
    char *copy = strdup(path);

    if (!copy)
        return pk_fail(err, PK_NO_MEMORY, "store: out of memory");
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool made = mkdir(copy, 0700) == 0 || errno == EEXIST || access(copy, F_OK) == 0;
        *slash = '/';
        if (!made) {
            free(copy);
            return fail_file(err, path, strerror(errno));
        }
    }
    free(copy);
    return true;
}

/* A regular file of ours, made with mode 0600 when there is none; SQLite gives its companions (-wal,
 * -shm) the same mode. */
static bool make_file(const char *path, struct pk_error *err)
{
    struct stat st;

    if (strncmp(path, "file:", 5) == 0) /* some builds of SQLite would read it as a URI */
        return fail_file(err, path, "is a URI; name the file itself");
    if (strstr(path, "://")) /* which may hold a password */
        return pk_fail(
            err, PK_STORE,
            "store: a URL, where a file is wanted; a database is pkd's store, and in Postgres the "
            "extension pk has one of its own");
    if (lstat(path, &st) == 0) {
        if (S_ISLNK(st.st_mode))
            return fail_file(err, path, "is a symbolic link; name the file itself");
        if (S_ISDIR(st.st_mode))
            return fail_file(err, path, "is a directory");
        return S_ISREG(st.st_mode) || fail_file(err, path, "is not a regular file");
    }
    if (!make_folders(path, err))
        return false;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST || fail_file(err, path, strerror(errno));
    return close(fd) == 0 || fail_file(err, path, strerror(errno));
}

/* Changing a new file to WAL does not wait for others who do the same, so we do. */
static bool use_wal(struct sqlite_store *s, struct pk_error *err)
{
    const struct timespec pause = {0, BUSY_STEP_MS * 1000000};
    const sqlite3_api_routines *sqlite3_api = s->api;

    for (int waited_ms = 0;; waited_ms += BUSY_STEP_MS) {
        if (pragma(s, "pragma journal_mode = wal", NULL, err))
            return true;
        if (sqlite3_errcode(s->db) != SQLITE_BUSY || waited_ms > BUSY_MS)
            return false;
        (void)nanosleep(&pause, NULL);
    }
}

static bool set_up(struct sqlite_store *s, const char *const *pragmas, size_t count,
                   struct pk_error *err)
{
    for (size_t i = 0; i < count; i++)
        if (!pragma(s, pragmas[i], NULL, err))
            return false;
    return true;
}

static bool connect_file(struct sqlite_store *s, struct pk_error *err)
{
    const sqlite3_api_routines *sqlite3_api = s->api;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int rc = sqlite3_open_v2(s->path, &s->db, flags, NULL);

    if (rc != SQLITE_OK)
        return fail_sqlite(s, rc, err);
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return fail_sqlite(s, SQLITE_READONLY, err);
    if (!pk_sqlite_query_init(s->api, s->db))
        return pk_fail(err, PK_NO_MEMORY, "store: out of memory");
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    return true;
}

static bool open_file(struct sqlite_store *s, struct pk_error *err)
{
    struct state now;

    return connect_file(s, err) &&
           look(s, &now, err) && /* before anything is written to what may not be ours */
           (now.tables || pragma(s, of_new_file, NULL, err)) && use_wal(s, err) &&
           set_up(s, after_wal, PK_COUNT(after_wal), err) && migrate(s, err);
}

static struct sqlite_store *new_store(const sqlite3_api_routines *api, const char *path)
{
    struct sqlite_store *s = calloc(1, sizeof *s);
    char *copy = strdup(path);

    if (!s || !copy) {
        free(copy);
        free(s);
        return NULL;
    }
    *s = (struct sqlite_store){.head = {.ops = &ops}, .api = api, .owner = getpid(), .path = copy};
    return s;
}

struct pk_store *pk_store_sqlite(const struct sqlite3_api_routines *api, const char *path,
                                 struct pk_error *err)
{
    if (strcmp(path, MEMORY) != 0 && !make_file(path, err))
        return NULL;
    struct sqlite_store *s = new_store(api, path);
    if (!s) {
        pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    pk_store_act_as_user(&s->head);
    if (open_file(s, err))
        return &s->head;
    pk_store_close(&s->head);
    return NULL;
}

bool pk_store_sqlite_look(const struct sqlite3_api_routines *api, const char *path,
                          struct pk_schema_versions *v, struct pk_error *err)
{
    struct state now = {0};
    struct sqlite_store *s = new_store(api, path);
    bool ok = s ? connect_file(s, err) && look(s, &now, err)
                : pk_fail(err, PK_NO_MEMORY, "store: out of memory");

    *v = (struct pk_schema_versions){now.version, schema_version()};
    if (s)
        pk_store_close(&s->head);
    return ok;
}

struct sqlite3 *pk_store_sqlite_db(struct pk_store *s)
{
    PK_ASSERT(s->ops == &ops);
    return ((struct sqlite_store *)s)->db;
}

static bool fits(int len, size_t size, struct pk_error *err)
{
    if (len > 0 && (size_t)len < size)
        return true;
    return pk_fail(err, PK_STORE, "store: the path is longer than %zu bytes", size - 1);
}

bool pk_store_default_path(char *out, size_t size, struct pk_error *err)
{
    const char *named = getenv("PK_STORE"), *folder = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");

    if (named && *named)
        return fits(snprintf(out, size, "%s", named), size, err);
    if (folder && folder[0] == '/')
        return fits(snprintf(out, size, "%s/pk/default.pkdb", folder), size, err);
    if (home && *home)
        return fits(snprintf(out, size, "%s/.local/share/pk/default.pkdb", home), size, err);
    return pk_fail(err, PK_STORE,
                   "store: set PK_STORE, since neither XDG_DATA_HOME nor HOME is set");
}
