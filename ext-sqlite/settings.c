/* settings.c - see settings.h. One row a setting.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "settings.h"

#include "conn.h"
#include "privacy.h"
#include "request.h"
#include "store_cache.h"
#include "store_setting.h"
#include "url.h"

#include <stdlib.h>
#include <string.h>

enum name {
    STORE,
    ALLOWED_HOSTS,
    TIMEOUT,
    ON_ERROR,
    LOG_PAYLOADS,
    LOG_REDACT,
    EMBEDDER,
    CACHE_MAX_SIZE,
    CACHE_MAX_ENTRIES,
    METADATA,
    LIMITS,
    OUTPUT,
    MAX_CALLS,
    MAX_COST,
    PROGRESS,
};

struct setting {
    const char *name;
    const char *otherwise; /* its value when it is not set */
    const char *env;       /* unless this variable has one */
    /* Checks the value and makes it work; text.at NULL: it is not set any more. */
    bool (*apply)(struct pk_conn *c, pk_str text, struct pk_error *err);
};

static bool apply_store(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    if (c->cursors > 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "store: a statement is still reading the one that is open");
    if (c->driving || c->rides > 0)
        return pk_fail(err, PK_BAD_REQUEST, "store: a call is still running");
    return pk_conn_open(c, text.at, err);
}

static bool apply_allowed_hosts(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    pk_str wrong = pk_url_host_wrong(text);

    if (wrong.len)
        return pk_fail(err, PK_BAD_REQUEST,
                       "allowed_hosts: must be names, addresses or like \"*.example.com\", with a "
                       "port or without, not \"%.*s\"",
                       PK_FMT(pk_name_shown(wrong)));
    if (c->xfer)
        pk_xfer_allow(c->xfer, text.at ? text.at : "");
    return true;
}

/* A number under 1000 is seconds, others milliseconds; "30s" and "250ms" say it outright. */
static bool read_duration(struct pk_arena *arena, pk_str text, int64_t *ms)
{
    struct pk_buf quoted = pk_buf_in(arena, PK_SLUG_BYTES_MAX);
    struct pk_json doc;
    struct pk_error unused;
    int64_t number;

    if (text.len > PK_SLUG_BYTES_MAX / 2)
        return false;
    if (pk_str_int(text, &number))
        pk_buf_add(&quoted, text);
    else
        pk_json_quote(&quoted, text);
    return pk_json_parse(arena, pk_buf_str(&quoted), "timeout", &doc, &unused) &&
           pk_config_duration_ms(&doc, 0, ms);
}

static bool apply_timeout(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    struct pk_arena arena;
    int64_t ms = 0;
    bool ok = true;

    if (text.len && !pk_str_is(text, "0")) {
        pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
        ok = read_duration(&arena, text, &ms);
        pk_arena_free(&arena);
    }
    if (!ok)
        return pk_fail(err, PK_BAD_REQUEST,
                       "timeout: must be milliseconds (under 1000: seconds), \"250ms\" or \"30s\"");
    c->settings.timeout_ms = ms;
    return true;
}

static bool apply_on_error(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    static const char *const names[] = {"raise", "null", "json"};

    for (size_t i = 0; i < PK_COUNT(names); i++) {
        if (!pk_str_is(text, names[i]))
            continue;
        c->settings.on_error = (enum pk_on_error)i;
        return true;
    }
    return pk_fail(err, PK_BAD_REQUEST, "on_error: must be raise, null or json");
}

static bool apply_log_payloads(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    return pk_payloads_parse(text, &c->settings.privacy.payloads) ||
           pk_fail(err, PK_BAD_REQUEST, "log_payloads: must be full, hash or none");
}

static bool apply_log_redact(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    unsigned categories;

    if (!pk_redact_parse(text, &categories))
        return pk_fail(err, PK_BAD_REQUEST,
                       "log_redact: must be on, off or categories like EMAIL_ADDRESS,CREDIT_CARD");
    c->settings.privacy.redact = categories;
    return true;
}

static bool apply_embedder(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    return !c->resolver || pk_resolver_embedder(c->resolver, text, err);
}

static bool apply_cache_max_size(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    if (!pk_cache_size_parse(text, &c->settings.cache_max.bytes))
        return pk_fail(err, PK_BAD_REQUEST,
                       "cache_max_size: must be megabytes, or a number with kB, MB, GB or TB");
    pk_conn_cache_max(c);
    return true;
}

static bool apply_cache_max_entries(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    int64_t *entries = &c->settings.cache_max.entries;

    if (!pk_str_int(text, entries) || *entries < 1)
        return pk_fail(err, PK_BAD_REQUEST, "cache_max_entries: must be 1 or more");
    pk_conn_cache_max(c);
    return true;
}

static bool apply_metadata(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    struct pk_arena arena;

    (void)c;
    if (!text.len)
        return true;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_request_metadata(&arena, text, err);
    pk_arena_free(&arena);
    return ok;
}

static bool apply_limits(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    bool lenient = pk_str_is(text, "allow");

    if (!lenient && !pk_str_is(text, "deny"))
        return pk_fail(err, PK_BAD_REQUEST, "limits_unavailable: must be deny or allow");
    c->settings.lenient = lenient;
    return true;
}

static bool apply_output(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    int64_t tokens = 0;

    if (!pk_str_int(text, &tokens) || tokens < 1 || tokens > INT32_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "output_tokens_assumed: must be 1 or more");
    c->settings.output_assumed = tokens;
    return true;
}

static bool apply_max_calls(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    int64_t calls;

    if (!pk_str_int(text, &calls) || calls < 0)
        return pk_fail(err, PK_BAD_REQUEST, "max_calls_per_query: must be 0 (any) or more");
    c->settings.account.max_calls = calls;
    return true;
}

static bool apply_max_cost(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    int64_t pusd;

    if (!pk_usd_parse(text, &pusd))
        return pk_fail(err, PK_BAD_REQUEST,
                       "max_cost_per_query: must be dollars, 0 (any) or more, like 2.50");
    c->settings.account.max_cost_pusd = pusd;
    return true;
}

static bool read_progress(pk_str text, enum pk_progress_shown *shown)
{
    static const char *const names[] = {"auto", "on", "off"};

    for (size_t i = 0; i < PK_COUNT(names); i++) {
        if (!pk_str_is(text, names[i]))
            continue;
        *shown = (enum pk_progress_shown)i;
        return true;
    }
    return false;
}

static bool apply_progress(struct pk_conn *c, pk_str text, struct pk_error *err)
{
    return read_progress(text, &c->settings.progress) ||
           pk_fail(err, PK_BAD_REQUEST, "progress: must be auto, on or off");
}

/* clang-format off */
static const struct setting settings[] = {
    [STORE]         = {"store",         NULL,    NULL,               apply_store},
    [ALLOWED_HOSTS] = {"allowed_hosts", NULL,    "PK_ALLOWED_HOSTS", apply_allowed_hosts},
    [TIMEOUT]       = {"timeout",       NULL,    NULL,               apply_timeout},
    [ON_ERROR]      = {"on_error",      "raise", NULL,               apply_on_error},
    [LOG_PAYLOADS]  = {"log_payloads",  "full",  "PK_LOG_PAYLOADS",  apply_log_payloads},
    [LOG_REDACT]    = {"log_redact",    "off",   "PK_LOG_REDACT",    apply_log_redact},
    [EMBEDDER]      = {"embedder",      NULL,    "PK_EMBEDDER",      apply_embedder},
    [CACHE_MAX_SIZE]    = {"cache_max_size",    "1GB",     "PK_CACHE_MAX_SIZE",    apply_cache_max_size},
    [CACHE_MAX_ENTRIES] = {"cache_max_entries", "1000000", "PK_CACHE_MAX_ENTRIES", apply_cache_max_entries},
    [METADATA]      = {"metadata",      NULL,    NULL,               apply_metadata},
    [LIMITS]        = {"limits_unavailable",    "deny", NULL,        apply_limits},
    [OUTPUT]        = {"output_tokens_assumed", "4096", NULL,        apply_output},
    [MAX_CALLS]     = {"max_calls_per_query",   "0",    NULL,        apply_max_calls},
    [MAX_COST]      = {"max_cost_per_query",    "0",    NULL,        apply_max_cost},
    [PROGRESS]      = {"progress",      "auto",  "PK_PROGRESS",      apply_progress},
};
/* clang-format on */

_Static_assert(PK_COUNT(settings) <= PK_SETTINGS_MAX, "pk_settings has a place for each");

static int find(pk_str name, struct pk_error *err)
{
    for (size_t i = 0; i < PK_COUNT(settings); i++)
        if (pk_str_is(name, settings[i].name))
            return (int)i;
    (void)pk_fail(err, PK_NOT_FOUND,
                  "no setting named \"%.*s\"; there are store, allowed_hosts, timeout, on_error, "
                  "log_payloads, log_redact, embedder, cache_max_size, cache_max_entries, "
                  "metadata, limits_unavailable, output_tokens_assumed, max_calls_per_query, "
                  "max_cost_per_query and progress, and those of retention",
                  PK_FMT(pk_str_sub(name, 0, 64)));
    return -1;
}

/* The value as set, or what holds without. */
static const char *effective(const struct pk_settings *s, enum name i)
{
    const char *env = settings[i].env ? getenv(settings[i].env) : NULL;

    if (s->text[i])
        return s->text[i];
    return env && env[0] ? env : settings[i].otherwise;
}

void pk_settings_init(struct pk_settings *s)
{
    *s = (struct pk_settings){.on_error = PK_RAISE};
    /* What the environment asks for and cannot be read must not mean less privacy. */
    if (!pk_payloads_parse(pk_str_of(effective(s, LOG_PAYLOADS)), &s->privacy.payloads))
        s->privacy.payloads = PK_PAYLOADS_NONE;
    if (!pk_redact_parse(pk_str_of(effective(s, LOG_REDACT)), &s->privacy.redact))
        s->privacy.redact = PK_PII_ALL;
    if (!read_progress(pk_str_of(effective(s, PROGRESS)), &s->progress))
        s->progress = PK_PROGRESS_OFF;
}

void pk_settings_free(struct pk_settings *s)
{
    for (size_t i = 0; i < PK_SETTINGS_MAX; i++)
        free(s->text[i]);
    free(s->store);
    free(s->stored);
}

static bool set_stored(struct pk_conn *c, pk_str name, pk_str value, struct pk_error *err)
{
    struct pk_arena arena;

    if (!pk_conn_ready(c, err))
        return false;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_store_setting_put(c->store, &arena, name, value, pk_clock_us(), err);
    pk_arena_free(&arena);
    if (ok && c->writer)
        pk_writer_sweep(c->writer);
    return ok;
}

static bool get_stored(struct pk_conn *c, pk_str name, pk_str *value, struct pk_error *err)
{
    struct pk_arena arena;
    pk_str found = PK_NONE;

    if (!pk_conn_ready(c, err))
        return false;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_store_setting_get(c->store, &arena, name, &found, err);
    free(c->settings.stored);
    c->settings.stored = found.len ? strndup(found.at, found.len) : NULL;
    if (found.len && !c->settings.stored)
        ok = pk_fail(err, PK_NO_MEMORY, "settings: out of memory");
    pk_arena_free(&arena);
    *value = pk_str_of(c->settings.stored);
    return ok;
}

bool pk_settings_opened(struct pk_conn *c, struct pk_error *err)
{
    static const enum name told[] = {EMBEDDER, CACHE_MAX_SIZE, CACHE_MAX_ENTRIES};

    for (size_t i = 0; i < PK_COUNT(told); i++)
        if (!settings[told[i]].apply(c, pk_str_of(effective(&c->settings, told[i])), err))
            return false;
    return true;
}

bool pk_setting_set(struct pk_conn *c, pk_str name, pk_str value, struct pk_error *err)
{
    if (pk_store_setting_known(name))
        return set_stored(c, name, value, err);
    int i = find(name, err);
    char *copy = NULL, *old;

    if (i < 0)
        return false;
    if (value.at) {
        copy = strndup(value.at, value.len);
        if (!copy)
            return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", settings[i].name);
    }
    old = c->settings.text[i];
    c->settings.text[i] = copy;
    if (settings[i].apply(c, pk_str_of(effective(&c->settings, (enum name)i)), err)) {
        free(old);
        return true;
    }
    c->settings.text[i] = old;
    free(copy);
    return false;
}

bool pk_setting_get(struct pk_conn *c, pk_str name, pk_str *value, struct pk_error *err)
{
    if (pk_store_setting_known(name))
        return get_stored(c, name, value, err);
    int i = find(name, err);

    if (i < 0)
        return false;
    if (i == STORE && !pk_conn_ready(c, err))
        return false;
    *value = pk_str_of(i == STORE ? c->settings.store : effective(&c->settings, (enum name)i));
    return true;
}

const char *pk_setting_store(const struct pk_settings *s)
{
    return s->text[STORE];
}

const char *pk_setting_allowed_hosts(const struct pk_settings *s)
{
    const char *hosts = effective(s, ALLOWED_HOSTS);

    return hosts ? hosts : "";
}

static pk_str metadata_of(const struct pk_settings *s)
{
    return pk_str_of(effective(s, METADATA));
}

bool pk_settings_request(struct pk_settings *s, struct pk_arena *arena, struct pk_request *req,
                         struct pk_error *err)
{
    pk_str metadata = metadata_of(s);

    req->source = PK_SOURCE_SQLITE;
    req->output_assumed = s->output_assumed;
    if (s->account.max_calls > 0 || s->account.max_cost_pusd > 0)
        req->account = &s->account;
    if (req->timeout_ms == 0)
        req->timeout_ms = s->timeout_ms;
    req->privacy = pk_privacy_join(req->privacy, s->privacy);
    if (metadata.len == 0)
        return true;
    if (req->metadata.len == 0) {
        req->metadata = metadata;
        return true;
    }
    return pk_json_merge(arena, metadata, req->metadata, "metadata", &req->metadata, err) &&
           pk_request_metadata(arena, req->metadata, err);
}
