/* fn_provider.c - providers of one's own: put, read and deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

#include "store_provider.h"

PK_FUNCTION(pk_sql_provider_put);
Datum pk_sql_provider_put(PG_FUNCTION_ARGS)
{
    struct pk_arena *arena = pk_arena_here();
    struct pk_provider p;
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    pk_str name = pk_arg_text(fcinfo, 0), options = pk_arg_json(fcinfo, 1, false);
    /* What is wrong with it, the store says. */
    if (pk_provider_read(arena, name, options, &p, &err) && *p.key_env)
        pk_check_may_refer("options.key_env: needs");
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_provider_put(s, arena, name, options, pk_clock_us(), &err);
    pk_store_check(s, ok, &err);
    return pk_text_datum(name);
}

static void no_memory(void)
{
    struct pk_error err;

    (void)pk_fail(&err, PK_NO_MEMORY, "provider: out of memory");
    pk_throw(&err, PK_NONE, NULL);
}

PK_FUNCTION(pk_sql_provider_get);
Datum pk_sql_provider_get(PG_FUNCTION_ARGS)
{
    struct pk_arena *arena = pk_arena_here();
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    const struct pk_provider *p = NULL;
    struct pk_error err;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    bool ok = pk_store_provider_find(s, arena, pk_arg_text(fcinfo, 0), &p, &err);
    pk_store_check(s, ok, &err);
    if (!p)
        PG_RETURN_NULL();
    pk_provider_print(&out, p);
    if (out.failed)
        no_memory();
    return pk_jsonb_datum(pk_buf_str(&out));
}

PK_FUNCTION(pk_sql_provider_delete);
Datum pk_sql_provider_delete(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_provider_delete(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}

/* pk's own, by name, for the view. */
PK_FUNCTION(pk_sql_provider_table);
Datum pk_sql_provider_table(PG_FUNCTION_ARGS)
{
    struct pk_buf out = pk_buf_in(pk_arena_here(), PK_CONFIG_BYTES_MAX);

    pk_provider_table(&out);
    if (out.failed)
        no_memory();
    return pk_text_datum(pk_buf_str(&out));
}
