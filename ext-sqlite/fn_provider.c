/* fn_provider.c - providers of one's own: put, read and deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "store_provider.h"

static bool name_arg(struct pk_args args, pk_str *name, struct pk_error *err)
{
    return pk_arg_text(args, 0, "name", PK_SLUG_BYTES_MAX, name, err);
}

/* pk_provider_put(name, options): the name. */
static bool provider_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                         sqlite3_context *ctx, struct pk_error *err)
{
    pk_str name, options;

    if (!name_arg(args, &name, err) ||
        !pk_arg_text(args, 1, "options", PK_CONFIG_BYTES_MAX, &options, err) ||
        !pk_store_provider_put(c->store, arena, name, options, pk_clock_us(), err))
        return false;
    pk_result_text(ctx, name);
    return true;
}

/* pk_provider_get(name): its options; NULL when there is none. */
static bool provider_get(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                         sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    const struct pk_provider *p;
    pk_str name;

    if (!name_arg(args, &name, err) || !pk_store_provider_find(c->store, arena, name, &p, err))
        return false;
    if (!p)
        return true;
    pk_provider_print(&out, p);
    if (out.failed)
        return pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    pk_result_json(ctx, pk_buf_str(&out));
    return true;
}

/* pk_provider_delete(name): whether there was one. */
static bool provider_delete(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                            sqlite3_context *ctx, struct pk_error *err)
{
    pk_str name;
    bool existed;

    (void)arena;
    if (!name_arg(args, &name, err) ||
        !pk_store_provider_delete(c->store, name, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

PK_WITH_CONN(provider_put, 2)
PK_WITH_CONN(provider_get, 1)
PK_WITH_CONN(provider_delete, 1)

/* pk_provider_table(): pk's own, by name; the store's view is written with it. */
void pk_fn_provider_table(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_arena arena;

    (void)count;
    (void)values;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);
    pk_provider_table(&out);
    if (out.failed)
        sqlite3_result_error_nomem(ctx);
    else
        pk_result_json(ctx, pk_buf_str(&out));
    pk_arena_free(&arena);
}
