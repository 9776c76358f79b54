/* fn_limit.c - limits and API keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Changes are part of the caller's transaction. The worker, which reserves and settles, knows a limit from its
 * commit on.
 */
#include "pk_pg.h"

#include "store_apikey.h"
#include "store_limit.h"

PK_FUNCTION(pk_sql_limit_put);
Datum pk_sql_limit_put(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_limit_put(s, pk_arena_here(), pk_arg_text(fcinfo, 0),
                                 pk_arg_json(fcinfo, 1, false), pk_clock_us(), &err);
    pk_store_check(s, ok, &err);
    return PG_GETARG_DATUM(0);
}

PK_FUNCTION(pk_sql_limit_delete);
Datum pk_sql_limit_delete(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_limit_delete(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}

typedef bool key_verb(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                      int64_t now_us, pk_str *key, struct pk_error *err);

static Datum give_key(FunctionCallInfo fcinfo, key_verb *verb)
{
    struct pk_error err;
    pk_str key = PK_NONE;

    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = verb(s, pk_arena_here(), pk_arg_text(fcinfo, 0), pk_arg_json(fcinfo, 1, false),
                   pk_clock_us(), &key, &err);
    pk_store_check(s, ok, &err);
    return pk_text_datum(key);
}

PK_FUNCTION(pk_sql_api_key_create);
Datum pk_sql_api_key_create(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    return give_key(fcinfo, pk_store_api_key_create);
}

PK_FUNCTION(pk_sql_api_key_rotate);
Datum pk_sql_api_key_rotate(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    return give_key(fcinfo, pk_store_api_key_rotate);
}

PK_FUNCTION(pk_sql_api_key_revoke);
Datum pk_sql_api_key_revoke(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_api_key_revoke(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}
