/* fn_cost.c - pk_content_hash: what a row's call would be, without making it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

#include "store_content.h"

#include "utils/memutils.h"

static Datum content_hash(FunctionCallInfo fcinfo, bool json_config)
{
    MemoryContext outer = CurrentMemoryContext;
    char hex[PK_CONTENT_HASH_TEXT + 1];
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    MemoryContext inner = AllocSetContextCreate(outer, "pk hash", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(inner);
    struct pk_content content = {
        .config = json_config ? pk_arg_json(fcinfo, 0, true) : pk_arg_text(fcinfo, 0),
        .input = pk_arg_text(fcinfo, 1),
        .params = pk_arg_json(fcinfo, 2, false),
    };
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    bool ok = pk_store_content_hash(s, pk_backend_resolver(), pk_arena_here(), &content, hex, &err);
    pk_store_check(s, ok, &err);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(inner);
    return pk_text_datum(pk_str_of(hex));
}

PK_FUNCTION(pk_sql_content_hash);
Datum pk_sql_content_hash(PG_FUNCTION_ARGS)
{
    return content_hash(fcinfo, false);
}

PK_FUNCTION(pk_sql_content_hash_json);
Datum pk_sql_content_hash_json(PG_FUNCTION_ARGS)
{
    return content_hash(fcinfo, true);
}
