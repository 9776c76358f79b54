/* fn_price.c - imports of price lists.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

#include "store_catalog.h"

static Datum import_text(FunctionCallInfo fcinfo, pk_str text)
{
    struct pk_error err;
    pk_str diff = PK_NONE;
    const struct pk_catalog_source source = {
        .format = pk_arg_text(fcinfo, 0), .text = text, .now_us = pk_clock_us()};
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);

    bool ok = pk_store_price_import(s, pk_arena_here(), &source, pk_arg_json(fcinfo, 2, false),
                                    &diff, &err);
    pk_store_check(s, ok, &err);
    return pk_jsonb_datum(diff);
}

PK_FUNCTION(pk_sql_price_import);
Datum pk_sql_price_import(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    return import_text(fcinfo, pk_arg_text(fcinfo, 1));
}

PK_FUNCTION(pk_sql_price_import_json);
Datum pk_sql_price_import_json(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    return import_text(fcinfo, pk_arg_json(fcinfo, 1, false));
}
