/* conn.c - see conn.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   conn --- store   the verbs: configs, keys, prices, cache lookups
 *         |- views   a second connection, so that a relation being read does not hold back what the
 *         |          verbs see
 *         `- writer  log rows and cache entries, one thread a store and process
 *
 * A store in memory, or under an SQLite built without threads, is private: it has one connection, and
 * entries are written to it at once.
 */
#include "conn.h"

#include "functions.h"
#include "hub.h"
#include "loop.h"
#include "payload.h"

#include <stdlib.h>
#include <string.h>

enum {
    PATH_MAX_BYTES = 4096,
    ADD_WAIT_MS = 1000,    /* for room in the writer's queue */
    FLUSH_WAIT_MS = 10000, /* two busy timeouts of the store */
    CONNECTIONS = 1024,
    NEAR_BYTES_MAX = 64 << 20,
};

struct pk_conn *pk_conn_new(sqlite3 *db)
{
    struct pk_conn *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->db = db;
    c->refs = 1;
    pk_settings_init(&c->settings);
    if (!pk_hub_add(c)) {
        free(c);
        return NULL;
    }
    return c;
}

static void close_store(struct pk_conn *c)
{
    pk_snapshot_hold(c->resolver, &c->literal, NULL);
    pk_resolver_free(c->resolver);
    pk_near_free(c->near);
    if (c->views != c->store)
        pk_store_close(c->views);
    pk_store_close(c->store);
    pk_packer_free(c->packer);
    pk_hub_writer_release(c->writer);
    pk_secrets_free(c->secrets);
}

static void close_transport(struct pk_conn *c)
{
    PK_ASSERT(!c->driving && c->rides == 0);
    if (c->loop)
        pk_loop_free(c->loop);
    pk_xfer_free(c->xfer);
    c->loop = NULL;
    c->xfer = NULL;
}

/* Leaves it open for good, memory and all. */
static void forget(struct pk_conn *c)
{
    c->resolver = NULL;
    c->literal = NULL;
    c->near = NULL;
    c->store = c->views = NULL;
    c->packer = NULL;
    c->writer = NULL;
    c->secrets = NULL;
    c->xfer = NULL;
    c->loop = NULL;
}

/* What was opened before fork(): stores that were idle are closed; the transport is forgotten, since closing
 * it would tell the parent's peers goodbye. */
static void drop_inherited(struct pk_conn *c, bool idle)
{
    c->writer = NULL;
    if (idle)
        close_store(c);
    forget(c);
}

void pk_conn_release(void *conn)
{
    struct pk_conn *c = conn;
    struct pk_error unused;

    PK_ASSERT(c->refs > 0);
    if (--c->refs > 0)
        return;
    if (!pk_hub_renew(drop_inherited, &unused))
        forget(c);
    pk_hub_remove(c);
    close_transport(c);
    close_store(c);
    pk_settings_free(&c->settings);
    free(c);
}

/* What pk_conn_open() opens before it closes what was open. */
struct opened {
    struct pk_store *store;
    struct pk_writer *writer;
    struct pk_resolver *resolver;
    char *path;
};

static bool is_private(const char *path)
{
    return strcmp(path, ":memory:") == 0 || sqlite3_threadsafe() == 0;
}

static bool open_all(struct opened *o, const char *path, struct pk_error *err)
{
    o->path = strdup(path);
    o->resolver = pk_resolver_new(pk_allocator_malloc());
    if (!o->path || !o->resolver)
        return pk_fail(err, PK_NO_MEMORY, "store: out of memory");
    o->store = pk_store_sqlite(sqlite3_api, path, err);
    if (!o->store)
        return false;
    if (!is_private(path))
        o->writer = pk_hub_writer(path, err);
    return o->writer || is_private(path);
}

bool pk_conn_open(struct pk_conn *c, const char *path, struct pk_error *err)
{
    struct opened o = {0};
    char otherwise[PATH_MAX_BYTES];

    if (!pk_hub_renew(drop_inherited, err) ||
        (!path && !pk_store_default_path(otherwise, sizeof otherwise, err)))
        return false;
    if (!open_all(&o, path ? path : otherwise, err)) {
        pk_resolver_free(o.resolver);
        pk_store_close(o.store);
        free(o.path);
        return false;
    }
    /* The transport borrows the secrets, which belong to the store's folder. */
    close_transport(c);
    close_store(c);
    forget(c);
    free(c->settings.store);
    c->settings.store = o.path;
    c->store = o.store;
    c->writer = o.writer;
    c->resolver = o.resolver;
    pk_secret_random(&c->random, sizeof c->random);
    return pk_settings_opened(c, err);
}

bool pk_conn_ready(struct pk_conn *c, struct pk_error *err)
{
    return pk_hub_renew(drop_inherited, err) &&
           (c->store || pk_conn_open(c, pk_setting_store(&c->settings), err));
}

struct pk_near *pk_conn_near(struct pk_conn *c)
{
    if (!c->near)
        c->near = pk_near_new(pk_allocator_malloc(), NEAR_BYTES_MAX);
    return c->near;
}

void pk_conn_cache_max(struct pk_conn *c)
{
    if (c->writer)
        pk_writer_cache_max(c->writer, c->settings.cache_max);
    else if (c->store)
        c->store->cache_max = c->settings.cache_max;
}

bool pk_conn_secrets(struct pk_conn *c, bool create, struct pk_error *err)
{
    char path[PATH_MAX_BYTES], store[PATH_MAX_BYTES];
    const char *beside = c->settings.store;

    if (c->secrets)
        return true;
    if (strcmp(beside, ":memory:") == 0) {
        if (!pk_store_default_path(store, sizeof store, err))
            return false;
        beside = store;
    }
    if (!pk_secrets_path(beside, path, sizeof path, err))
        return false;
    c->secrets = pk_secrets_open(path, create, err);
    if (!c->secrets)
        return false;
    if (c->rides == 0)
        close_transport(c); /* it would go on without them */
    return true;
}

bool pk_conn_online(struct pk_conn *c, struct pk_error *err)
{
    struct pk_error unused;

    if (c->loop)
        return true;
    /* Without a master key the keys that are not sealed still work. */
    if (!pk_conn_secrets(c, false, &unused))
        c->secrets = NULL;
    struct pk_xfer_options o = {.allowed_hosts = pk_setting_allowed_hosts(&c->settings),
                                .connections_max = CONNECTIONS,
                                .secrets = c->secrets};
    c->xfer = pk_xfer_new(&o, err);
    if (!c->xfer)
        return false;
    c->loop = pk_loop_new(c->xfer);
    if (c->loop)
        return true;
    pk_xfer_free(c->xfer);
    c->xfer = NULL;
    return pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
}

/* pk_payload_text(encoding, bytes [, place]), which the store's views are written with. */
void pk_fn_payload_text(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_arena arena;
    struct pk_error err;
    pk_str text;

    if (count < 2 || sqlite3_value_type(values[1]) == SQLITE_NULL)
        return;
    const struct pk_stored stored = {
        sqlite3_value_int64(values[0]),
        count > 2 ? sqlite3_value_int64(values[2]) : 0,
        {sqlite3_value_blob(values[1]), (size_t)sqlite3_value_bytes(values[1])}};
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_buf out = pk_buf_in(&arena, PK_STREAM_BYTES_MAX);
    if (!pk_payload_unpack(&c->packer, &stored, &out, &text, &err))
        sqlite3_result_error(ctx, err.msg, -1);
    else if (text.len) /* it may have been erased from a pack */
        sqlite3_result_text64(ctx, text.at, text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
    pk_arena_free(&arena);
}

static bool open_views(struct pk_conn *c, struct pk_error *err)
{
    struct pk_store *views =
        c->writer ? pk_store_sqlite(sqlite3_api, c->settings.store, err) : c->store;

    if (!views)
        return false;
    c->views = views;
    sqlite3 *db = pk_store_sqlite_db(views);
    return (sqlite3_create_function(db, "pk_payload_text", -1, SQLITE_UTF8, c, pk_fn_payload_text,
                                    NULL, NULL) == SQLITE_OK &&
            sqlite3_create_function(db, "pk_provider_table", 0, SQLITE_UTF8, NULL,
                                    pk_fn_provider_table, NULL, NULL) == SQLITE_OK) ||
           pk_fail(err, PK_NO_MEMORY, "store: out of memory");
}

sqlite3 *pk_conn_views_as_they_are(struct pk_conn *c, struct pk_error *err)
{
    if (!pk_conn_ready(c, err))
        return NULL;
    return c->views || open_views(c, err) ? pk_store_sqlite_db(c->views) : NULL;
}

sqlite3 *pk_conn_views(struct pk_conn *c, struct pk_error *err)
{
    return pk_conn_ready(c, err) && pk_conn_flush(c, err) ? pk_conn_views_as_they_are(c, err)
                                                          : NULL;
}

bool pk_conn_journal(struct pk_conn *c, const struct pk_buf *entry, uint64_t tag,
                     struct pk_error *err)
{
    if (entry->failed) {
        if (c->writer)
            pk_writer_lose(c->writer);
        return pk_fail(err, PK_NO_MEMORY, "log: out of memory");
    }
    if (!c->writer)
        return pk_journal_apply(c->store, pk_buf_str(entry), err);
    return pk_writer_add(c->writer, pk_buf_str(entry), tag, ADD_WAIT_MS) ||
           pk_fail(err, PK_STORE, "log: the store does not take any more rows");
}

bool pk_conn_flush(struct pk_conn *c, struct pk_error *err)
{
    if (!c->writer || pk_writer_flush(c->writer, FLUSH_WAIT_MS))
        return true;
    struct pk_writer_stats s = pk_writer_stats(c->writer);
    return pk_fail(err, PK_STORE, "store: rows are still waiting to be written%s%s",
                   s.last_error[0] ? ": " : "", s.last_error);
}
