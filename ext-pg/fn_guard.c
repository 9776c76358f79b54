/* fn_guard.c - stored guardrails: put, read and deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Predicates of SQL run with the rights of the role that puts them (predicate.c).
 */
#include "pk_pg.h"

#include "store_guard.h"

PK_FUNCTION(pk_sql_guardrail_put);
Datum pk_sql_guardrail_put(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    int64_t version = 0;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    const struct pk_guardrail_draft draft = {
        .slug = pk_arg_text(fcinfo, 0),
        .body = pk_arg_json(fcinfo, 1, false),
        .owner = pk_str_of(GetUserNameFromId(GetUserId(), false)),
        .at_us = pk_clock_us(),
    };
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_guardrail_put(s, pk_arena_here(), &draft, &version, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_INT64(version);
}

PK_FUNCTION(pk_sql_guardrail_get);
Datum pk_sql_guardrail_get(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    pk_str body;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    bool ok = pk_store_guardrail_get(s, pk_arena_here(), pk_arg_text(fcinfo, 0), &body, &err);
    pk_store_check(s, ok, &err);
    if (body.len == 0)
        PG_RETURN_NULL();
    return pk_jsonb_datum(body);
}

PK_FUNCTION(pk_sql_guardrail_delete);
Datum pk_sql_guardrail_delete(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_guardrail_delete(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}
