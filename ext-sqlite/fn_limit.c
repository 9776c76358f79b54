/* fn_limit.c - limits and API keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "store_apikey.h"
#include "store_limit.h"

static bool name_arg(struct pk_args args, const char *what, pk_str *name, struct pk_error *err)
{
    return pk_arg_text(args, 0, what, PK_LIMIT_SLUG_BYTES, name, err);
}

/* pk_limit_put(slug, terms): the slug. */
static bool limit_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                      sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, terms;

    if (!name_arg(args, "slug", &slug, err) ||
        !pk_arg_text(args, 1, "limit", PK_CONFIG_BYTES_MAX, &terms, err) ||
        !pk_store_limit_put(c->store, arena, slug, terms, pk_clock_us(), err))
        return false;
    pk_result_text(ctx, slug);
    return true;
}

/* pk_limit_delete(slug): whether there was one. */
static bool limit_delete(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                         sqlite3_context *ctx, struct pk_error *err)
{
    bool existed;
    pk_str slug;

    (void)arena;
    if (!name_arg(args, "slug", &slug, err) ||
        !pk_store_limit_delete(c->store, slug, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

typedef bool key_verb(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                      int64_t now_us, pk_str *key, struct pk_error *err);

static bool give_key(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                     sqlite3_context *ctx, key_verb *verb, struct pk_error *err)
{
    pk_str name, options, key = PK_NONE;

    if (!name_arg(args, "name", &name, err) ||
        !pk_arg_text(args, 1, "options", PK_CONFIG_BYTES_MAX, &options, err) ||
        !verb(c->store, arena, name, options, pk_clock_us(), &key, err))
        return false;
    pk_result_text(ctx, key);
    return true;
}

/* pk_api_key_create(name [, options]): the key, which nobody can ask for again. */
static bool api_key_create(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                           sqlite3_context *ctx, struct pk_error *err)
{
    return give_key(c, arena, args, ctx, pk_store_api_key_create, err);
}

/* pk_api_key_rotate(name [, options]): the new key. */
static bool api_key_rotate(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                           sqlite3_context *ctx, struct pk_error *err)
{
    return give_key(c, arena, args, ctx, pk_store_api_key_rotate, err);
}

/* pk_api_key_revoke(name): whether there was one. */
static bool api_key_revoke(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                           sqlite3_context *ctx, struct pk_error *err)
{
    bool existed;
    pk_str name;

    (void)arena;
    if (!name_arg(args, "name", &name, err) ||
        !pk_store_api_key_revoke(c->store, name, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

PK_WITH_CONN(limit_put, 2)
PK_WITH_CONN(limit_delete, 1)
PK_WITH_CONN(api_key_create, 1)
PK_WITH_CONN(api_key_rotate, 1)
PK_WITH_CONN(api_key_revoke, 1)
