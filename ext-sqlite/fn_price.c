/* fn_price.c - imports of price lists.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "store_catalog.h"

/* pk_price_import(format, prices [, options]): what it changed, as store_catalog.h has it. */
static bool price_import(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                         sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_catalog_source source = {.now_us = pk_clock_us()};
    pk_str options, diff;

    if (!pk_arg_text(args, 0, "format", PK_SLUG_BYTES_MAX, &source.format, err) ||
        !pk_arg_text(args, 1, "prices", PK_CATALOG_BYTES_MAX, &source.text, err) ||
        !pk_arg_text(args, 2, "options", PK_CONFIG_BYTES_MAX, &options, err) ||
        !pk_store_price_import(c->store, arena, &source, options, &diff, err))
        return false;
    pk_result_json(ctx, diff);
    return true;
}

void pk_fn_price_import(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_with_conn(ctx, (struct pk_args){values, count}, 2, price_import);
}
