/* pk_pg.c - what happens when the library is loaded: the settings pk.* are defined.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nothing else does: threads, sockets and shared memory come with the first call (backend.c, ring.c),
 * so that preloading the library is possible and never needed.
 */
#include "pk_pg.h"

#include "batch.h"
#include "estimate.h"
#include "privacy.h"
#include "scan.h"
#include "url.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void); /* NOLINT(bugprone-reserved-identifier): the server's name */

struct pk_settings pk_settings;
bool pk_found_bug;

static const struct config_enum_entry on_error_words[] = {
    {"raise", PK_ON_ERROR_RAISE, false},
    {"null", PK_ON_ERROR_NULL, false},
    {"json", PK_ON_ERROR_JSON, false},
    {NULL, 0, false},
};

static const struct config_enum_entry payload_words[] = {
    {"full", PK_PAYLOADS_FULL, false}, {"hash", PK_PAYLOADS_HASH, false},
    {"none", PK_PAYLOADS_NONE, false}, {"on", PK_PAYLOADS_FULL, true},
    {"true", PK_PAYLOADS_FULL, true},  {"yes", PK_PAYLOADS_FULL, true},
    {"1", PK_PAYLOADS_FULL, true},     {"off", PK_PAYLOADS_NONE, true},
    {"false", PK_PAYLOADS_NONE, true}, {"no", PK_PAYLOADS_NONE, true},
    {"0", PK_PAYLOADS_NONE, true},     {NULL, 0, false},
};

static const struct config_enum_entry unavailable_words[] = {
    {"deny", PK_UNAVAILABLE_DENY, false},
    {"allow", PK_UNAVAILABLE_ALLOW, false},
    {NULL, 0, false},
};

enum kind {
    WORD,
    SWITCH,
    ANY_COUNT,
    CALLS,
    DOLLARS,
    MILLISECONDS,
    MEGABYTES,
    COUNT,
    TOKENS,
    STRING
};

struct setting {
    enum kind kind;
    const char *name, *text;
    void *value;
    GucContext context;
    int flags;
    GucStringCheckHook check;
    const struct config_enum_entry *words; /* of a WORD; the first holds when nobody sets it */
};

static bool check_metadata(char **value, void **extra, GucSource source)
{
    struct pk_arena arena;
    struct pk_error err;

    if (!(*value)[0])
        return true;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_request_metadata(&arena, pk_str_of(*value), &err);
    pk_arena_free(&arena);
    if (!ok)
        GUC_check_errdetail("%s", err.msg);
    return ok;
}

static bool check_redact(char **value, void **extra, GucSource source)
{
    unsigned unused;

    if (pk_redact_parse(pk_str_of(*value), &unused))
        return true;
    GUC_check_errdetail("It must be on, off or categories like EMAIL_ADDRESS,CREDIT_CARD.");
    return false;
}

static bool check_hosts(char **value, void **extra, GucSource source)
{
    pk_str wrong = pk_url_host_wrong(pk_str_of(*value));

    if (wrong.len)
        GUC_check_errdetail(
            "\"%.*s\" is no name, no address and not like *.example.com, with a port or without.",
            PK_FMT(pk_name_shown(wrong)));
    return wrong.len == 0;
}

static bool check_dollars(char **value, void **extra, GucSource source)
{
    int64_t unused;

    if (pk_usd_parse(pk_str_of(*value), &unused))
        return true;
    GUC_check_errdetail("It must be dollars, 0 (any) or more, like 2.50.");
    return false;
}

static bool check_keep(char **value, void **extra, GucSource source)
{
    int64_t unused;

    if (!(*value)[0] || pk_keep_parse(pk_str_of(*value), &unused))
        return true;
    GUC_check_errdetail("It must be off or a time like 30d or 12h.");
    return false;
}

/* clang-format off */
static const struct setting settings[] = {
    {WORD, "pk.on_error", "What a scalar call gives when the provider fails: raise, null or json.",
     &pk_settings.on_error, PGC_USERSET, 0, NULL, on_error_words},
    {MILLISECONDS, "pk.timeout", "The longest that a call may take, retries included; 0 is as configured.",
     &pk_settings.timeout_ms, PGC_USERSET, GUC_UNIT_MS, NULL, NULL},
    {MILLISECONDS, "pk.max_timeout", "The longest timeout that a session may ask for; 0 is no limit.",
     &pk_settings.max_timeout_ms, PGC_SUSET, GUC_UNIT_MS, NULL, NULL},
    {STRING, "pk.allowed_hosts", "Hosts that may be called besides the providers' own and loopback.",
     &pk_settings.allowed_hosts, PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_hosts, NULL},
    {WORD, "pk.log_payloads", "What pk_logs keeps of requests and responses: full, hash or none.",
     &pk_settings.log_payloads, PGC_SUSET, 0, NULL, payload_words},
    {STRING, "pk.log_redact", "Personal data to replace in pk_logs: on, off or categories.",
     &pk_settings.log_redact, PGC_SUSET, 0, check_redact, NULL},
    {STRING, "pk.embedder", "The embedder of semantic caches that name none: JSON, or a provider's or virtual "
     "key's slug; empty is PK_EMBEDDER of the server.",
     &pk_settings.embedder, PGC_SUSET, GUC_SUPERUSER_ONLY, NULL, NULL},
    {MEGABYTES, "pk.cache_max_size", "How large the cache may become.",
     &pk_settings.cache_max_mb, PGC_SIGHUP, GUC_UNIT_MB, NULL, NULL},
    {COUNT, "pk.cache_max_entries", "How many answers the cache may hold.",
     &pk_settings.cache_max_entries, PGC_SIGHUP, 0, NULL, NULL},
    {WORD, "pk.limits_unavailable", "When limits cannot be asked: deny calls, or allow them.",
     &pk_settings.limits_unavailable, PGC_SUSET, 0, NULL, unavailable_words},
    {TOKENS, "pk.output_tokens_assumed", "Output of a request that sets no limit, for limits.",
     &pk_settings.output_assumed, PGC_SUSET, 0, NULL, NULL},
    {STRING, "pk.retention_logs", "How long log rows are kept, like 30d; it is written to the store.",
     &pk_settings.retention[PK_KEPT_LOGS], PGC_SIGHUP, 0, check_keep, NULL},
    {STRING, "pk.retention_payloads", "How long requests and responses are kept after their last use.",
     &pk_settings.retention[PK_KEPT_PAYLOADS], PGC_SIGHUP, 0, check_keep, NULL},
    {STRING, "pk.retention_cache", "How long cached answers are kept, whatever their max_age.",
     &pk_settings.retention[PK_KEPT_CACHE], PGC_SIGHUP, 0, check_keep, NULL},
    {STRING, "pk.retention_feedback", "How long feedback is kept.",
     &pk_settings.retention[PK_KEPT_FEEDBACK], PGC_SIGHUP, 0, check_keep, NULL},
    {STRING, "pk.retention_audit", "How long rows of pk_audit are kept.",
     &pk_settings.retention[PK_KEPT_AUDIT], PGC_SIGHUP, 0, check_keep, NULL},
    {SWITCH, "pk.batch", "Makes scalar calls of many rows of a query at the same time.",
     &pk_settings.batch, PGC_USERSET, 0, NULL, NULL},
    {CALLS, "pk.concurrency", "How many scalar calls of one query are in flight.",
     &pk_settings.concurrency, PGC_USERSET, 0, NULL, NULL},
    {STRING, "pk.metadata", "A JSON object that is stamped on every call.",
     &pk_settings.metadata, PGC_USERSET, 0, check_metadata, NULL},
    {ANY_COUNT, "pk.max_calls_per_query", "How many calls a statement may make; 0 is any number.",
     &pk_settings.max_calls, PGC_USERSET, 0, NULL, NULL},
    {DOLLARS, "pk.max_cost_per_query", "How many dollars the calls of a statement may cost; 0 is any.",
     &pk_settings.max_cost, PGC_USERSET, 0, check_dollars, NULL},
    {SWITCH, "pk.notice", "Whether a NOTICE tells what became of a batch, and its cost.",
     &pk_settings.notice, PGC_USERSET, 0, NULL, NULL},
    {STRING, "pk.master_key_file", "The file of the key that seals provider keys; empty is pk_master.key "
     "in the data directory.",
     &pk_settings.master_key_file, PGC_SIGHUP, GUC_SUPERUSER_ONLY, NULL, NULL},
};
/* clang-format on */

static void define(const struct setting *s)
{
    switch (s->kind) {
    case WORD:
        DefineCustomEnumVariable(s->name, s->text, NULL, s->value, s->words[0].val, s->words,
                                 s->context, s->flags, NULL, NULL, NULL);
        break;
    case MILLISECONDS:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value, 0, 0, PK_TIMEOUT_MS_MAX,
                                s->context, s->flags, NULL, NULL, NULL);
        break;
    case MEGABYTES:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value,
                                (int)(PK_CACHE_BYTES_MAX_DEFAULT >> 20), 1, INT_MAX, s->context,
                                s->flags, NULL, NULL, NULL);
        break;
    case COUNT:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value, PK_CACHE_ENTRIES_MAX_DEFAULT, 1,
                                INT_MAX, s->context, s->flags, NULL, NULL, NULL);
        break;
    case TOKENS:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value, PK_OUTPUT_ASSUMED, 1, INT_MAX,
                                s->context, s->flags, NULL, NULL, NULL);
        break;
    case SWITCH:
        DefineCustomBoolVariable(s->name, s->text, NULL, s->value, true, s->context, s->flags, NULL,
                                 NULL, NULL);
        break;
    case ANY_COUNT:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value, 0, 0, INT_MAX, s->context,
                                s->flags, NULL, NULL, NULL);
        break;
    case DOLLARS:
        DefineCustomStringVariable(s->name, s->text, NULL, s->value, "0", s->context, s->flags,
                                   s->check, NULL, NULL);
        break;
    case CALLS:
        DefineCustomIntVariable(s->name, s->text, NULL, s->value, PK_BATCH_CONCURRENCY, 1,
                                PK_BATCH_CONCURRENCY_MAX, s->context, s->flags, NULL, NULL, NULL);
        break;
    case STRING:
        DefineCustomStringVariable(s->name, s->text, NULL, s->value, "", s->context, s->flags,
                                   s->check, NULL, NULL);
        break;
    }
}

void _PG_init(void)
{
    static size_t defined; /* a library that failed to start stays, and is started again */

    for (; defined < PK_COUNT(settings); defined++)
        define(&settings[defined]);
    pk_reserve_settings("pk");
    pk_scan_init();
}

/* Ends the session, not the server. */
void pk_bug(const char *file, int line, const char *what)
{
    pk_found_bug = true;
    ereport(FATAL,
            (errcode(ERRCODE_INTERNAL_ERROR), errmsg_internal("pk: %s:%d: %s", file, line, what)));
    abort();
}
