/* fn_admin.c - configs, keys, feedback, the cache, settings and health.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each function is a body that fills *err, run by pk_with_conn() with an arena and an open store.
 */
#include "functions.h"

#include "hub.h"
#include "provider.h"
#include "statement.h"
#include "store_cache.h"
#include "store_users.h"
#include "value.h"

void pk_with_conn(sqlite3_context *ctx, struct pk_args args, int required, pk_body *body)
{
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_arena arena;
    struct pk_error err;

    if (pk_args_null(args, required))
        return;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    c->busy++;
    if (!pk_conn_ready(c, &err) || !body(c, &arena, args, ctx, &err))
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
    pk_arena_free(&arena);
}

static bool slug_arg(struct pk_args args, pk_str *slug, struct pk_error *err)
{
    return pk_arg_text(args, 0, "slug", PK_SLUG_BYTES_MAX, slug, err);
}

/* --- configs ------------------------------------------------------------------------------- */

/* pk_config_put(slug, config): the version. */
static bool config_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, body;
    int64_t version;

    if (!slug_arg(args, &slug, err) ||
        !pk_arg_text(args, 1, "config", PK_CONFIG_BYTES_MAX, &body, err) ||
        !pk_store_config_put(c->store, arena, slug, body, pk_clock_us(), &version, err))
        return false;
    sqlite3_result_int64(ctx, version);
    return true;
}

/* pk_config_get(slug): the config; NULL when there is none. */
static bool config_get(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, body;
    int64_t version;

    if (!slug_arg(args, &slug, err) ||
        !pk_store_config_get(c->store, arena, slug, &body, &version, err))
        return false;
    if (body.len)
        pk_result_json(ctx, body);
    return true;
}

/* pk_config_delete(slug): whether there was one. */
static bool config_delete(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                          sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug;
    bool existed;

    (void)arena;
    if (!slug_arg(args, &slug, err) ||
        !pk_store_config_delete(c->store, slug, pk_clock_us(), &existed, err))
        return false;
    sqlite3_result_int(ctx, existed);
    return true;
}

/* --- keys ---------------------------------------------------------------------------------- */

static bool is_reference(pk_str secret)
{
    return pk_str_starts(secret, "env:") || pk_str_starts(secret, "file:");
}

/* A key that is sealed needs the master key, which its first use makes. */
static bool secret_arg(struct pk_conn *c, struct pk_args args, int i, pk_str *secret,
                       struct pk_error *err)
{
    return pk_arg_text(args, i, "secret", PK_SECRET_BYTES_MAX, secret, err) &&
           (is_reference(*secret) || pk_conn_secrets(c, true, err));
}

/* pk_key_put(slug, provider, secret [, options]): the slug. */
static bool key_put(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                    sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, provider, secret, options;

    if (!slug_arg(args, &slug, err) ||
        !pk_arg_text(args, 1, "provider", PK_SLUG_BYTES_MAX, &provider, err) ||
        !pk_arg_text(args, 3, "options", PK_CONFIG_BYTES_MAX, &options, err) ||
        !secret_arg(c, args, 2, &secret, err) ||
        !pk_store_key_put(c->store, arena, c->secrets, slug, provider, secret, options,
                          pk_clock_us(), err))
        return false;
    pk_result_text(ctx, slug);
    return true;
}

/* pk_key_rotate(slug, secret): the slug. */
static bool key_rotate(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    pk_str slug, secret;

    if (!slug_arg(args, &slug, err) || !secret_arg(c, args, 1, &secret, err) ||
        !pk_store_key_rotate(c->store, arena, c->secrets, slug, secret, pk_clock_us(), err))
        return false;
    pk_result_text(ctx, slug);
    return true;
}

/* pk_key_revoke(slug): whether there was one. It goes whoever names it; a note says who does. */
static bool key_revoke(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_users users;
    pk_str slug;
    bool existed;

    if (!slug_arg(args, &slug, err) ||
        !pk_store_users(c->store, arena, PK_USED_VIRTUAL_KEY, slug, &users, err) ||
        !pk_store_key_revoke(c->store, slug, pk_clock_us(), &existed, err))
        return false;
    if (existed && users.count)
        pk_statement_note(pk_users_told(arena, PK_USED_VIRTUAL_KEY, slug, &users));
    sqlite3_result_int(ctx, existed);
    return true;
}

/* --- feedback, cache, settings --------------------------------------------------------------- */

/* pk_feedback(trace_id, value [, weight [, metadata]]): the feedback's id. */
static bool feedback(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                     sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_feedback f = {.at_us = pk_clock_us(), .weight = 1};
    uint64_t random = pk_random_next(&c->random);
    struct pk_buf entry = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    char id[PK_UUID_TEXT + 1];
    bool given;

    if (!pk_arg_text(args, 0, "trace_id", PK_SLUG_BYTES_MAX, &f.trace_id, err) ||
        !pk_arg_int(args, 1, "value", &f.value, &given, err) ||
        !pk_arg_real(args, 2, "weight", &f.weight, err) ||
        !pk_arg_text(args, 3, "metadata", PK_METADATA_BYTES_MAX, &f.metadata, err) ||
        !pk_feedback_check(arena, &f, err))
        return false;
    pk_uuid7(f.at_us, random, f.id);
    pk_journal_feedback(&entry, &f);
    if (!pk_conn_journal(c, &entry, 0, err))
        return false;
    pk_uuid_print(f.id, id);
    pk_result_text(ctx, pk_str_of(id));
    return true;
}

/* pk_cache_purge([all | filter]): how many entries went; without an argument, or with 0, those that have
 * expired; with a filter (JSON) those that it says. */
static bool cache_purge(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                        sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_cache_filter filter = {0};
    int64_t count, all;
    pk_str text;
    bool given;

    if (args.count > 0 && sqlite3_value_type(args.at[0]) == SQLITE_NULL)
        return true;
    if (args.count > 0 && sqlite3_value_type(args.at[0]) == SQLITE_TEXT) {
        if (!pk_arg_text(args, 0, "filter", PK_CONFIG_BYTES_MAX, &text, err) ||
            !pk_cache_filter_read(arena, text, pk_clock_us(), &filter, err))
            return false;
    } else {
        if (!pk_arg_int(args, 0, "all", &all, &given, err))
            return false;
        filter.all = all != 0;
    }
    if (!pk_conn_flush(c, err) ||
        !pk_store_cache_purge(c->store, &filter, pk_clock_us(), &count, err))
        return false;
    sqlite3_result_int64(ctx, count);
    return true;
}

/* pk_flush(): 1, once every row so far is in the store. */
static bool flush(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                  sqlite3_context *ctx, struct pk_error *err)
{
    (void)arena;
    (void)args;
    if (!pk_conn_flush(c, err))
        return false;
    sqlite3_result_int(ctx, 1);
    return true;
}

/* --- health -------------------------------------------------------------------------------- */

static const char health_sql[] = "select (select count(*) from pk_logs), "
                                 "(select value from pk_meta where name = 'schema_version')";

static bool read_counts(sqlite3 *db, int64_t *rows, int64_t *schema_version, struct pk_error *err)
{
    sqlite3_stmt *stmt = NULL;
    bool ok = false;

    if (sqlite3_prepare_v2(db, health_sql, -1, &stmt, NULL) == SQLITE_OK &&
        sqlite3_step(stmt) == SQLITE_ROW) {
        *rows = sqlite3_column_int64(stmt, 0);
        *schema_version = sqlite3_column_int64(stmt, 1);
        ok = true;
    }
    (void)sqlite3_finalize(stmt);
    return ok || pk_fail(err, PK_STORE, "store: %s", sqlite3_errmsg(db));
}

/* pk_health(): JSON {ok, version, sqlite, store, schema_version, rows, pending, written, dropped, spooled,
 * cache_entries, cache_bytes, last_error, hint, connections, providers}. `written` and `dropped` are entries of this process. */
static bool health(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                   sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_writer_stats s = {0};
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    int64_t rows = 0, schema_version = 0, entries, bytes;
    struct pk_error late;

    (void)args;
    bool written = pk_conn_flush(c, &late);
    sqlite3 *db = pk_conn_views_as_they_are(c, err);
    if (c->writer)
        s = pk_writer_stats(c->writer);
    if (!db || !read_counts(db, &rows, &schema_version, err) ||
        !pk_store_cache_size(c->store, &entries, &bytes, err))
        return false;
    pk_buf_addf(&out, "{\"ok\":%s,\"version\":\"" PK_VERSION "\",\"sqlite\":\"%s\",\"store\":",
                written && s.dropped == 0 ? "true" : "false", sqlite3_libversion());
    pk_json_quote(&out, pk_str_of(c->settings.store));
    pk_buf_addf(&out, ",\"schema_version\":%lld,\"rows\":%lld", (long long)schema_version,
                (long long)rows);
    pk_buf_addf(&out, ",\"pending\":%lld,\"pending_bytes\":%lld,\"written\":%lld,\"dropped\":%lld",
                (long long)s.pending, (long long)s.pending_bytes, (long long)s.written,
                (long long)s.dropped);
    pk_buf_addf(&out, ",\"spooled\":%lld,\"spool_bytes\":%lld", (long long)s.spooled,
                (long long)s.spool_bytes);
    pk_buf_addf(&out, ",\"cache_entries\":%lld,\"cache_bytes\":%lld", (long long)entries,
                (long long)bytes);
    pk_buf_adds(&out, ",\"last_error\":");
    if (s.last_error[0])
        pk_json_quote(&out, pk_str_of(s.last_error));
    else
        pk_buf_adds(&out, "null");
    pk_buf_adds(&out, ",\"hint\":");
    if (c->hint)
        pk_json_quote(&out, pk_str_of(c->hint));
    else
        pk_buf_adds(&out, "null");
    pk_buf_addf(&out, ",\"connections\":%d,\"providers\":", pk_hub_connections());
    pk_provider_names(&out);
    pk_buf_addc(&out, '}');
    if (out.failed)
        return pk_fail(err, PK_NO_MEMORY, "health: out of memory");
    pk_result_json(ctx, pk_buf_str(&out));
    return true;
}

/* --- the functions --------------------------------------------------------------------------- */

PK_WITH_CONN(config_put, 2)
PK_WITH_CONN(config_get, 1)
PK_WITH_CONN(config_delete, 1)
PK_WITH_CONN(key_put, 3)
PK_WITH_CONN(key_rotate, 2)
PK_WITH_CONN(key_revoke, 1)
PK_WITH_CONN(feedback, 2)
PK_WITH_CONN(cache_purge, 0)
PK_WITH_CONN(flush, 0)
PK_WITH_CONN(health, 0)

static void give_setting(struct pk_conn *c, pk_str name, sqlite3_context *ctx)
{
    struct pk_error err;
    pk_str value;

    if (!pk_setting_get(c, name, &value, &err))
        pk_result_error(ctx, &err, PK_NONE);
    else if (value.at)
        pk_result_text(ctx, value);
}

/* A value may be given as a number too: pk_set('timeout', 30). */
static bool setting_value(struct pk_args args, pk_str *value, struct pk_error *err)
{
    int type = sqlite3_value_type(args.at[1]);

    if (type != SQLITE_INTEGER)
        return pk_arg_text(args, 1, "value", PK_CONFIG_BYTES_MAX, value, err);
    const void *text = sqlite3_value_text(args.at[1]);
    *value = (pk_str){text, (size_t)sqlite3_value_bytes(args.at[1])};
    return text || pk_fail(err, PK_NO_MEMORY, "value: out of memory");
}

/* pk_set(name, value): the value; NULL puts back what it was at first. */
void pk_fn_set(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_args args = {values, count};
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_error err;
    pk_str name, value;

    if (pk_args_null(args, 1))
        return;
    c->busy++;
    if (pk_arg_text(args, 0, "name", PK_SLUG_BYTES_MAX, &name, &err) &&
        setting_value(args, &value, &err) && pk_setting_set(c, name, value, &err))
        give_setting(c, name, ctx);
    else
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
}

/* pk_get(name): NULL when it is not set. */
void pk_fn_get(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_args args = {values, count};
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_error err;
    pk_str name;

    if (pk_args_null(args, 1))
        return;
    c->busy++;
    if (pk_arg_text(args, 0, "name", PK_SLUG_BYTES_MAX, &name, &err))
        give_setting(c, name, ctx);
    else
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
}
