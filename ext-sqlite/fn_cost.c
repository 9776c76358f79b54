/* fn_cost.c - pk_prefetch: calls whose answers only the cache gets; pk_content_hash: what a call would be.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "rows.h"
#include "store_content.h"

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
        m = pk_many_new(c, config, params, pk_rows_source(&rows, "pk_prefetch"), err);
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

/* pk_content_hash(config, input [, params]) */
static bool content_hash(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                         sqlite3_context *ctx, struct pk_error *err)
{
    char hex[PK_CONTENT_HASH_TEXT + 1];
    struct pk_content content;

    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &content.config, err) ||
        !pk_arg_text(args, 1, "input", PK_BODY_BYTES_MAX, &content.input, err) ||
        !pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &content.params, err) ||
        !pk_store_content_hash(c->store, c->resolver, arena, &content, hex, err))
        return false;
    pk_result_text(ctx, pk_str_of(hex));
    return true;
}

void pk_fn_content_hash(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_with_conn(ctx, (struct pk_args){values, count}, 2, content_hash);
}
