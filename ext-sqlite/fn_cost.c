/* fn_cost.c - pk_prefetch: calls whose answers only the cache gets.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "rows.h"

/* pk_prefetch(config, query [, params]): how many rows, calls and so on, as JSON. */
static bool prefetch(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                     sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_rows rows = {.db = c->db};
    pk_str config, query, params, counts = PK_NONE;

    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &config, err) ||
        !pk_arg_text(args, 1, "query", PK_BODY_BYTES_MAX, &query, err) ||
        !pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err))
        return false;
    struct pk_many *m = NULL;
    if (pk_rows_open(&rows, query, err))
        m = pk_many_new(c, config, params, pk_rows_source(&rows), err);
    bool ok = m && pk_many_prefetch(m, arena, &counts, err);
    pk_many_free(m);
    pk_rows_close(&rows);
    if (ok)
        pk_result_json(ctx, counts);
    return ok;
}

void pk_fn_prefetch(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_with_conn(ctx, (struct pk_args){values, count}, 2, prefetch);
}
