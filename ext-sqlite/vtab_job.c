/* vtab_job.c - pk_collect(id): what came of the items of a job that are over.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The id is a hidden column. Some rows are read at a time, so that no statement on the store stays open.
 */
#include "functions.h"

#include "columns.h"
#include "store_job.h"
#include "table.h"

enum { C_ID = PK_COLUMNS };

static const char columns[] = "create table x(" PK_COLUMN_TYPES ", id hidden)";

struct cursor {
    sqlite3_vtab_cursor base;
    struct pk_arena arena; /* of the rows that were read */
    uint8_t id[PK_UUID_BYTES];
    struct pk_job_result rows[PK_JOB_RESULTS_MAX];
    int at, count;
    int64_t after; /* where to read on */
};

static struct cursor *cursor_of(sqlite3_vtab_cursor *base)
{
    return (struct cursor *)(void *)base;
}

static bool fetch(struct cursor *cur, struct pk_error *err)
{
    struct pk_conn *c = pk_table_conn(&cur->base);

    pk_arena_free(&cur->arena);
    cur->at = cur->count = 0;
    return pk_store_job_results(c->store, &cur->arena, cur->id, PK_NONE, &cur->after, cur->rows,
                                &cur->count, err);
}

/* One that is not there is an error: no rows would mean that nothing is over yet. */
static bool begin(struct cursor *cur, sqlite3_value *value, struct pk_error *err)
{
    struct pk_conn *c = pk_table_conn(&cur->base);
    struct pk_args args = {&value, 1};
    bool over;
    pk_str text;

    if (!pk_arg_text(args, 0, "id", PK_SLUG_BYTES_MAX, &text, err))
        return false;
    if (text.at == NULL)
        return true; /* NULL in: no rows */
    return pk_job_id_parse(text, cur->id, err) && pk_conn_ready(c, err) &&
           pk_store_job_over(c->store, cur->id, PK_NONE, &over, err) && fetch(cur, err);
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *plan, int count,
                  sqlite3_value **values)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);
    struct pk_error err = {0};

    (void)number;
    (void)plan;
    (void)count;
    cur->at = cur->count = 0;
    cur->after = 0;
    c->busy++;
    bool ok = begin(cur, values[0], &err);
    c->busy--;
    return ok ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);
    struct pk_error err = {0};

    cur->at++;
    if (cur->at < cur->count)
        return SQLITE_OK;
    c->busy++;
    bool ok = fetch(cur, &err);
    c->busy--;
    return ok ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int eof(sqlite3_vtab_cursor *base)
{
    return cursor_of(base)->at >= cursor_of(base)->count;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
    *id = cursor_of(base)->rows[cursor_of(base)->at].ord;
    return SQLITE_OK;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int i)
{
    const struct pk_job_result *r = &cursor_of(base)->rows[cursor_of(base)->at];
    const struct pk_row row = {r->ord, r->has_key, r->key_is_int, r->key, &r->result};

    if (i < PK_COLUMNS)
        pk_column_give(ctx, i, &row); /* SQLite knows the argument */
    return SQLITE_OK;
}

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    for (int i = 0; i < info->nConstraint; i++) {
        if (info->aConstraint[i].iColumn != C_ID ||
            info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ)
            continue;
        if (!info->aConstraint[i].usable)
            return SQLITE_CONSTRAINT;
        info->aConstraintUsage[i].argvIndex = 1;
        info->aConstraintUsage[i].omit = 1;
        info->estimatedRows = 1000;
        info->estimatedCost = 1e4;
        return SQLITE_OK;
    }
    return pk_table_refuse(base, "pk_collect needs the id of a job");
}

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                   char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return pk_table_connect(db, aux, sizeof(struct pk_table), columns, out);
}

/* The store may not change while it is open. */
static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct cursor *cur = sqlite3_malloc(sizeof *cur);

    if (!cur)
        return SQLITE_NOMEM;
    *cur = (struct cursor){0};
    pk_arena_init(&cur->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    ((struct pk_table *)(void *)base)->conn->cursors++;
    *out = &cur->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);

    pk_table_conn(base)->cursors--;
    pk_arena_free(&cur->arena);
    sqlite3_free(cur);
    return SQLITE_OK;
}

static const sqlite3_module module = {
    .iVersion = 0,
    .xConnect = connect,
    .xBestIndex = best_index,
    .xDisconnect = pk_table_disconnect,
    .xOpen = open_cursor,
    .xClose = close_cursor,
    .xFilter = filter,
    .xNext = next,
    .xEof = eof,
    .xColumn = column,
    .xRowid = row_id,
};

int pk_vtab_job_register(struct pk_conn *c)
{
    return pk_table_register(c, "pk_collect", &module);
}
