/* vtab_estimate.c - pk_estimate(config, query, params): one row that says what pk_map with the same arguments would use
 * and cost.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "rows.h"
#include "table.h"

#include <string.h>

enum column {
    C_ROWS,
    C_DISTINCT,
    C_CACHED,
    C_INPUT,
    C_OUTPUT,
    C_MIN,
    C_MAX,
    C_CONFIG, /* the hidden ones: arguments */
    C_QUERY,
    C_PARAMS,
};

static const char columns[] =
    "create table x(rows integer, distinct_prompts integer, cached_rows integer, "
    "input_tokens integer, max_output_tokens integer, cost_min_usd real, cost_max_usd real, "
    "config hidden, query hidden, params hidden)";

struct cursor {
    sqlite3_vtab_cursor base;
    struct pk_forecast forecast;
    bool there; /* the row is */
};

static struct cursor *cursor_of(sqlite3_vtab_cursor *base)
{
    return (struct cursor *)(void *)base;
}

/* --- scan ---------------------------------------------------------------------------------- */

static bool estimate(struct cursor *cur, struct pk_args args, bool *known, struct pk_error *err)
{
    struct pk_conn *c = pk_table_conn(&cur->base);
    struct pk_rows rows = {.db = c->db};
    pk_str config, query, params;

    *known = false;
    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &config, err) ||
        !pk_arg_text(args, 1, "query", PK_BODY_BYTES_MAX, &query, err) ||
        !pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err))
        return false;
    if (!config.at || !query.at)
        return true; /* NULL in: no row */
    struct pk_many *m = NULL;
    if (pk_rows_open(&rows, query, err)) {
        struct pk_many_source source = pk_rows_source(&rows, "pk_estimate");

        source.estimates = true;
        m = pk_many_new(c, config, params, source, err);
    }
    *known = m && pk_many_forecast(m, &cur->forecast, err);
    pk_many_free(m);
    pk_rows_close(&rows);
    return *known;
}

/* The plan says where each argument is. */
static int filter(sqlite3_vtab_cursor *base, int number, const char *plan, int count,
                  sqlite3_value **values)
{
    struct cursor *cur = cursor_of(base);
    struct pk_conn *c = pk_table_conn(base);
    sqlite3_value *ordered[3] = {NULL, NULL, NULL};
    struct pk_error err = {0};

    (void)number;
    for (int i = 0; i < count; i++)
        ordered[plan[i] - '0'] = values[i];
    pk_forecast_free(&cur->forecast);
    pk_forecast_init(&cur->forecast, pk_allocator_malloc());
    c->busy++;
    bool ok = estimate(cur, (struct pk_args){ordered, ordered[2] ? 3 : 2}, &cur->there, &err);
    c->busy--;
    return ok ? SQLITE_OK : pk_table_fail(base->pVtab, &err);
}

static int next(sqlite3_vtab_cursor *base)
{
    cursor_of(base)->there = false;
    return SQLITE_OK;
}

static int eof(sqlite3_vtab_cursor *base)
{
    return !cursor_of(base)->there;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *id)
{
    (void)base;
    *id = 1;
    return SQLITE_OK;
}

static void give_usd(sqlite3_context *ctx, bool unknown, int64_t pusd)
{
    if (!unknown)
        sqlite3_result_double(ctx, (double)pusd / 1e12);
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int i)
{
    const struct pk_forecast *f = &cursor_of(base)->forecast;

    switch ((enum column)i) {
    case C_ROWS: sqlite3_result_int64(ctx, f->rows); break;
    case C_DISTINCT: sqlite3_result_int64(ctx, f->distinct); break;
    case C_CACHED: sqlite3_result_int64(ctx, f->cached_rows); break;
    case C_INPUT: sqlite3_result_int64(ctx, f->input_tokens); break;
    case C_OUTPUT: sqlite3_result_int64(ctx, f->max_output_tokens); break;
    case C_MIN: give_usd(ctx, f->min_unknown, f->min_pusd); break;
    case C_MAX: give_usd(ctx, f->max_unknown, f->max_pusd); break;
    case C_CONFIG:
    case C_QUERY:
    case C_PARAMS: break; /* SQLite knows what it was asked with */
    }
    return SQLITE_OK;
}

/* --- plan ---------------------------------------------------------------------------------- */

static int best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    char plan[4] = "";
    int count = 0;

    for (int i = 0; i < info->nConstraint; i++) {
        int argument = info->aConstraint[i].iColumn - C_CONFIG;
        char letter = (char)('0' + argument);

        if (argument < 0 || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ ||
            strchr(plan, letter))
            continue;
        if (!info->aConstraint[i].usable)
            return SQLITE_CONSTRAINT; /* without it, it would be another question */
        plan[count++] = letter;
        info->aConstraintUsage[i].argvIndex = count;
        info->aConstraintUsage[i].omit = 1;
    }
    if (!strchr(plan, '0') || !strchr(plan, '1'))
        return pk_table_refuse(base, "pk_estimate needs a config and a query");
    info->estimatedRows = 1;
    info->estimatedCost = 1e6;
    info->idxStr = sqlite3_mprintf("%s", plan);
    info->needToFreeIdxStr = 1;
    return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

/* --- birth and death ----------------------------------------------------------------------- */

static int connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                   char **message)
{
    (void)argc;
    (void)argv;
    (void)message;
    return pk_table_connect(db, aux, sizeof(struct pk_table), columns, out);
}

static int open_cursor(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct cursor *cur = sqlite3_malloc(sizeof *cur);

    (void)base;
    if (!cur)
        return SQLITE_NOMEM;
    *cur = (struct cursor){.there = false};
    *out = &cur->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    struct cursor *cur = cursor_of(base);

    pk_forecast_free(&cur->forecast);
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

int pk_vtab_estimate_register(struct pk_conn *c)
{
    return pk_table_register(c, "pk_estimate", &module);
}
