/* fn_admin.c - configs, keys, feedback, cache, queue and health.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Changes are part of the caller's transaction, as any SQL user expects.
 */
#include "pk_pg.h"

#include "store_audit.h"
#include "store_users.h"

#include "access/xlog.h"
#include "catalog/pg_authid.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/uuid.h"

enum { FLUSH_WAIT_MS = 60 * 1000, PURGE_WAIT_MS = 1000 };

bool pk_args_null(FunctionCallInfo fcinfo, int required)
{
    for (int i = 0; i < required; i++)
        if (PG_ARGISNULL(i))
            return true;
    return false;
}

struct pk_store *pk_store_of(FunctionCallInfo fcinfo, enum pk_access access)
{
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), access);

    pk_store_act_as(s, "role", pk_str_of(GetUserNameFromId(GetUserId(), false)));
    return s;
}

void pk_store_check(struct pk_store *s, bool ok, const struct pk_error *err)
{
    pk_store_spi_check(s);
    if (!ok)
        pk_throw(err, PK_NONE, NULL);
}

/* --- configs ----------------------------------------------------------------------------- */

PK_FUNCTION(pk_sql_config_put);
Datum pk_sql_config_put(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    int64_t version = 0;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_config_put(s, pk_arena_here(), pk_arg_text(fcinfo, 0),
                                  pk_arg_json(fcinfo, 1, false), pk_clock_us(), &version, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_INT64(version);
}

PK_FUNCTION(pk_sql_config_get);
Datum pk_sql_config_get(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    int64_t version;
    pk_str body;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    bool ok =
        pk_store_config_get(s, pk_arena_here(), pk_arg_text(fcinfo, 0), &body, &version, &err);
    pk_store_check(s, ok, &err);
    if (body.len == 0)
        PG_RETURN_NULL();
    return pk_jsonb_datum(body);
}

PK_FUNCTION(pk_sql_config_delete);
Datum pk_sql_config_delete(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_config_delete(s, pk_arg_text(fcinfo, 0), pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(existed);
}

/* --- keys -------------------------------------------------------------------------------- */

/* The server reads what a reference names, and sends it to a host that its author chose: that takes
 * the right to read it without pk. */
void pk_check_may_refer(const char *what)
{
    if (!has_privs_of_role(GetUserId(), PK_ROLE_READ_FILES))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("%s the role pg_read_server_files", what),
                        errhint("Give the key itself, which is sealed; the key in a provider's own "
                                "variable is used by naming the provider.")));
}

/* A key that is sealed needs the master key, which its first use makes. */
static const struct pk_secrets *secrets_for(pk_str secret)
{
    if (pk_str_starts(secret, "env:") || pk_str_starts(secret, "file:")) {
        pk_check_may_refer("secret: env: and file: need");
        return NULL;
    }
    return pk_backend_secrets(!RecoveryInProgress());
}

PK_FUNCTION(pk_sql_key_put);
Datum pk_sql_key_put(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (pk_args_null(fcinfo, 3))
        PG_RETURN_NULL();
    int level = NewGUCNestLevel();
    pk_hide_statement();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    pk_str secret = pk_arg_text(fcinfo, 2);
    bool ok = pk_store_key_put(s, pk_arena_here(), secrets_for(secret), pk_arg_text(fcinfo, 0),
                               pk_arg_text(fcinfo, 1), secret, pk_arg_json(fcinfo, 3, false),
                               pk_clock_us(), &err);
    pk_store_check(s, ok, &err);
    AtEOXact_GUC(true, level);
    return PG_GETARG_DATUM(0);
}

PK_FUNCTION(pk_sql_key_rotate);
Datum pk_sql_key_rotate(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    int level = NewGUCNestLevel();
    pk_hide_statement();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    pk_str secret = pk_arg_text(fcinfo, 1);
    bool ok = pk_store_key_rotate(s, pk_arena_here(), secrets_for(secret), pk_arg_text(fcinfo, 0),
                                  secret, pk_clock_us(), &err);
    pk_store_check(s, ok, &err);
    AtEOXact_GUC(true, level);
    return PG_GETARG_DATUM(0);
}

/* It goes whoever names it; a notice says who does. */
PK_FUNCTION(pk_sql_key_revoke);
Datum pk_sql_key_revoke(PG_FUNCTION_ARGS)
{
    struct pk_users users;
    struct pk_error err;
    bool existed = false;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    pk_str slug = pk_arg_text(fcinfo, 0);
    bool ok = pk_store_users(s, pk_arena_here(), PK_USED_VIRTUAL_KEY, slug, &users, &err) &&
              pk_store_key_revoke(s, slug, pk_clock_us(), &existed, &err);
    pk_store_check(s, ok, &err);
    if (existed && users.count)
        ereport(NOTICE, (errmsg("pk: %s", pk_users_told(pk_arena_here(), PK_USED_VIRTUAL_KEY, slug,
                                                        &users))));
    PG_RETURN_BOOL(existed);
}

/* --- feedback and cache ------------------------------------------------------------------- */

static Datum uuid_datum(const uint8_t id[PK_UUID_BYTES])
{
    return PointerGetDatum(memcpy(palloc(UUID_LEN), id, UUID_LEN));
}

PK_FUNCTION(pk_sql_feedback);
Datum pk_sql_feedback(PG_FUNCTION_ARGS)
{
    struct pk_feedback f = {.at_us = pk_clock_us(), .weight = 1};
    struct pk_arena *arena = pk_arena_here();
    struct pk_error err;
    uint64_t random;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    f.trace_id = pk_arg_text(fcinfo, 0);
    f.value = PG_GETARG_INT32(1);
    if (!PG_ARGISNULL(2))
        f.weight = PG_GETARG_FLOAT8(2);
    f.metadata = pk_arg_json(fcinfo, 3, false);
    if (!pk_feedback_check(arena, &f, &err))
        pk_throw(&err, PK_NONE, NULL);
    pk_secret_random(&random, sizeof random);
    pk_uuid7(f.at_us, random, f.id);
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_feedback_add(s, &f, &err);
    pk_store_check(s, ok, &err);
    return uuid_datum(f.id);
}

static int64_t purge(FunctionCallInfo fcinfo, const struct pk_cache_filter *filter)
{
    struct pk_error err;
    int64_t count = 0;

    (void)pk_ring_flush(PURGE_WAIT_MS); /* answers that are on their way are purged too */
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_cache_purge(s, filter, pk_clock_us(), &count, &err);
    pk_store_check(s, ok, &err);
    return count;
}

PK_FUNCTION(pk_sql_cache_purge);
Datum pk_sql_cache_purge(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_cache_filter filter = {.all = PG_GETARG_BOOL(0)};
    PG_RETURN_INT64(purge(fcinfo, &filter));
}

static Datum purge_filtered(FunctionCallInfo fcinfo, pk_str text)
{
    struct pk_cache_filter filter;
    struct pk_error err;

    if (!pk_cache_filter_read(pk_arena_here(), text, pk_clock_us(), &filter, &err))
        pk_throw(&err, PK_NONE, NULL);
    return Int64GetDatum(purge(fcinfo, &filter));
}

PK_FUNCTION(pk_sql_cache_purge_text);
Datum pk_sql_cache_purge_text(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    return purge_filtered(fcinfo, pk_arg_text(fcinfo, 0));
}

PK_FUNCTION(pk_sql_cache_purge_json);
Datum pk_sql_cache_purge_json(PG_FUNCTION_ARGS)
{
    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    return purge_filtered(fcinfo, pk_arg_json(fcinfo, 0, false));
}

PK_FUNCTION(pk_sql_flush);
Datum pk_sql_flush(PG_FUNCTION_ARGS)
{
    PG_RETURN_BOOL(pk_ring_flush(FLUSH_WAIT_MS));
}

/* --- health ------------------------------------------------------------------------------ */

static void add_counter(struct pk_buf *out, const char *name, uint64 value)
{
    pk_buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

PK_FUNCTION(pk_sql_health);
Datum pk_sql_health(PG_FUNCTION_ARGS)
{
    struct pk_arena *arena = pk_arena_here();
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    struct pk_ring_facts facts;
    int64_t entries, bytes;
    struct pk_error err;

    pk_store_check(s, pk_store_cache_size(s, &entries, &bytes, &err), &err);
    pk_ring_facts(&facts);
    pk_buf_addf(&out,
                "{\"ok\":%s,\"version\":\"" PK_VERSION "\",\"postgres\":\"%s\",\"transport\":",
                facts.open && facts.dropped == 0 ? "true" : "false", PG_VERSION);
    pk_json_quote(&out, pk_str_of(pk_xfer_about().version));
    pk_buf_addf(&out, ",\"standby\":%s,\"queue\":%s", RecoveryInProgress() ? "true" : "false",
                facts.open ? "true" : "false");
    pk_buf_addf(&out, ",\"worker_pid\":%d", facts.worker_pid);
    add_counter(&out, "pending_bytes", facts.queued_bytes);
    add_counter(&out, "put", facts.put);
    add_counter(&out, "written", facts.applied);
    add_counter(&out, "spooled", facts.spooled);
    add_counter(&out, "held", facts.held);
    add_counter(&out, "dropped", facts.dropped);
    add_counter(&out, "worker_starts", facts.starts);
    add_counter(&out, "worker_starts_failed", facts.failed_starts);
    add_counter(&out, "cache_entries", (uint64)entries);
    add_counter(&out, "cache_bytes", (uint64)bytes);
    pk_buf_addf(&out, ",\"spool_waiting\":%s,\"providers\":",
                pk_backlog_exists(MyDatabaseId) ? "true" : "false");
    pk_provider_names(&out);
    pk_buf_addc(&out, '}');
    return pk_jsonb_datum(pk_buf_str(&out));
}
