/* fn_guard.c - stored guardrails: put, read and deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Predicates of SQL run with the rights of the role that puts them (predicate.c).
 */
#include "pk_pg.h"

#include "store_guard.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

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

/* The name of the role that a predicate is to run as: nobody whom the session is no member of. */
static char *owner_of(FunctionCallInfo fcinfo)
{
    Oid session = GetSessionUserId();
    char *self = GetUserNameFromId(session, false);
    char *owner = PG_ARGISNULL(0) ? self : text_to_cstring(PG_GETARG_TEXT_PP(0));
    Oid role = get_role_oid(owner, true);

    if (OidIsValid(role) && !is_member_of_role(session, role))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("predicate: it belongs to \"%s\"; run GRANT \"%s\" TO \"%s\"", owner,
                               owner, self)));
    return owner;
}

/* pkd's predicates (shared/store_pq.c): here they are restricted as everybody's are. */
PK_FUNCTION(pk_sql_predicate);
Datum pk_sql_predicate(PG_FUNCTION_ARGS)
{
    struct pk_error err = {0};
    int truth = -1;

    if (PG_ARGISNULL(1) || PG_ARGISNULL(5) || PG_ARGISNULL(6))
        PG_RETURN_NULL();
    const struct pk_guard_query q = {
        .sql = pk_str_of(text_to_cstring(PG_GETARG_TEXT_PP(1))),
        .owner = pk_str_of(owner_of(fcinfo)),
        .text = pk_arg_text(fcinfo, 2),
        .metadata = PG_ARGISNULL(3) ? PK_STR("{}") : pk_arg_json(fcinfo, 3, false),
        .document = PG_ARGISNULL(4) ? PK_STR("{}") : pk_arg_json(fcinfo, 4, false),
        .timeout_ms = PG_GETARG_INT64(5),
    };
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    bool ok = pk_spi_predicate(s, &q, PG_GETARG_BOOL(6) ? &truth : NULL, &err);
    pk_store_spi_check(s);
    if (!ok)
        ereport(ERROR, (errcode(ERRCODE_DATA_EXCEPTION), errmsg("%s", err.msg)));
    if (truth < 0)
        PG_RETURN_NULL();
    PG_RETURN_BOOL(truth);
}
