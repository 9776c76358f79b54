/* fn_guard.c - stored guardrails: put, read and deleted.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "store_guard.h"

static bool slug_arg(struct pk_args args, pk_str *slug, struct pk_error *err)
{
    return pk_arg_text(args, 0, "slug", PK_SLUG_BYTES_MAX, slug, err);
}

/* pk_guardrail_put(slug, guardrail): the version. */
static bool guardrail_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                          sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, body;
    int64_t version;

    if (!slug_arg(args, &slug, err) ||
        !pk_arg_text(args, 1, "guardrail", PK_CONFIG_BYTES_MAX, &body, err) ||
        !pk_store_guardrail_put(c->store, arena,
                                &(struct pk_guardrail_draft){slug, body, PK_NONE, pk_clock_us()},
                                &version, err))
        return false;
    sqlite3_result_int64(ctx, version);
    return true;
}

/* pk_guardrail_get(slug): the guardrail; NULL when there is none. */
static bool guardrail_get(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                          sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, body;

    if (!slug_arg(args, &slug, err) || !pk_store_guardrail_get(c->store, arena, slug, &body, err))
        return false;
    if (body.len)
        pk_result_json(ctx, body);
    return true;
}

/* pk_guardrail_delete(slug): whether there was one. */
static bool guardrail_delete(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                             sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug;
    bool existed;

    (void)arena;
    if (!slug_arg(args, &slug, err) ||
        !pk_store_guardrail_delete(c->store, slug, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

PK_WITH_CONN(guardrail_put, 2)
PK_WITH_CONN(guardrail_get, 1)
PK_WITH_CONN(guardrail_delete, 1)
