/* fn_prompt.c - prompts: put, published, read and rendered. pk_prompt() itself is in fn_chat.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

PK_FUNCTION(pk_sql_prompt_put);
Datum pk_sql_prompt_put(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    int64_t version = 0;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_prompt_draft draft = {.slug = pk_arg_text(fcinfo, 0),
                                    .text = pk_arg_json(fcinfo, 1, false),
                                    .at_us = pk_clock_us()};
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_prompt_put(s, pk_arena_here(), &draft, &version, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_INT64(version);
}

PK_FUNCTION(pk_sql_prompt_publish);
Datum pk_sql_prompt_publish(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_publication what = {.slug = pk_arg_text(fcinfo, 0),
                                  .version = PG_GETARG_INT64(1),
                                  .label = pk_arg_text(fcinfo, 2),
                                  .weight = PK_WEIGHT_ALONE,
                                  .at_us = pk_clock_us()};
    if (!PG_ARGISNULL(3))
        what.weight = PG_GETARG_INT32(3);
    if (!PG_ARGISNULL(3) && what.weight < 0) {
        (void)pk_fail(&err, PK_BAD_REQUEST, "weight: must be 0..%d", PK_ARM_WEIGHT_MAX);
        pk_throw(&err, PK_NONE, NULL);
    }
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_prompt_publish(s, pk_arena_here(), &what, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_INT64(what.version);
}

PK_FUNCTION(pk_sql_prompt_get);
Datum pk_sql_prompt_get(PG_FUNCTION_ARGS)
{
    struct pk_error err = {0};
    struct pk_prompt p;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_arena *arena = pk_arena_here();
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    pk_str reference = pk_arg_text(fcinfo, 0);
    bool ok =
        pk_store_prompt_get(s, arena, reference, (struct pk_draw){.key = reference}, &p, &err);
    pk_store_check(s, ok || err.code == PK_NOT_FOUND, &err);
    if (!ok)
        PG_RETURN_NULL();
    pk_prompt_print(&p, &out);
    if (out.failed) {
        (void)pk_fail(&err, PK_NO_MEMORY, "prompt: out of memory");
        pk_throw(&err, PK_NONE, NULL);
    }
    return pk_jsonb_datum(pk_buf_str(&out));
}

PK_FUNCTION(pk_sql_prompt_delete);
Datum pk_sql_prompt_delete(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_prompt_delete(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}

PK_FUNCTION(pk_sql_render);
Datum pk_sql_render(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    struct pk_prompt p;
    pk_str messages;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_arena *arena = pk_arena_here();
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    pk_str vars = pk_arg_json(fcinfo, 1, false);
    bool ok = pk_store_prompt_load(s, arena, pk_arg_text(fcinfo, 0), (struct pk_draw){.key = vars},
                                   &p, &err);
    pk_store_check(s, ok, &err);
    pk_store_check(s, pk_prompt_render(arena, &p, vars, &messages, &err), &err);
    return pk_jsonb_datum(messages);
}
