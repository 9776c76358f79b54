/* verb.c - see verb.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What a call needs lives in a memory context of its own, which goes before the function returns.
 */
#include "verb.h"

#include "typed.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/memutils.h"

enum { DETAIL_BYTES_MAX = 2000 };

/* --- what the session says ----------------------------------------------------------------- */

static int64_t capped_timeout(int64_t timeout_ms)
{
    int64_t max = pk_settings.max_timeout_ms;

    if (timeout_ms == 0)
        timeout_ms = pk_settings.timeout_ms;
    return max > 0 && (timeout_ms == 0 || timeout_ms > max) ? max : timeout_ms;
}

/* The session's metadata under the call's own. */
static bool add_metadata(struct pk_arena *arena, struct pk_request *req, struct pk_error *err)
{
    pk_str metadata = pk_str_of(pk_settings.metadata);

    if (metadata.len == 0)
        return true;
    if (req->metadata.len == 0) {
        req->metadata = pk_copy(arena, metadata);
        return true;
    }
    return pk_json_merge(arena, metadata, req->metadata, "metadata", &req->metadata, err) &&
           pk_request_metadata(arena, req->metadata, err);
}

static struct pk_privacy session_privacy(void)
{
    struct pk_privacy p = {.payloads = (enum pk_payloads)pk_settings.log_payloads};

    return pk_redact_parse(pk_str_of(pk_settings.log_redact), &p.redact)
               ? p
               : (struct pk_privacy){PK_PAYLOADS_NONE,
                                     PK_PII_ALL}; /* was checked when it was set */
}

void pk_query_id(char out[PK_QUERY_ID_BYTES])
{
    (void)snprintf(out, PK_QUERY_ID_BYTES, "%x.%llx", (unsigned)MyProcPid,
                   (unsigned long long)GetCurrentStatementStartTimestamp());
}

bool pk_session_request(struct pk_arena *arena, struct pk_request *req, struct pk_error *err)
{
    req->timeout_ms = capped_timeout(req->timeout_ms);
    req->privacy = pk_privacy_join(req->privacy, session_privacy());
    return add_metadata(arena, req, err);
}

/* What the settings and the session say. */
bool pk_run_complete(struct pk_run *run, struct pk_error *err)
{
    struct pk_request *req = &run->request;
    char query_id[PK_QUERY_ID_BYTES];

    req->source = PK_SOURCE_POSTGRES;
    req->role = pk_str_of(GetUserNameFromId(GetUserId(), false));
    req->output_assumed = pk_settings.output_assumed;
    req->account = pk_statement_account();
    if (!pk_session_request(run->arena, req, err))
        return false;
    if (req->privacy.payloads != PK_PAYLOADS_FULL)
        pk_hide_statement();
    pk_query_id(query_id);
    req->query_id = pk_copy(run->arena, pk_str_of(query_id));
    return true;
}

bool pk_verb_null(const struct pk_verb *verb, FunctionCallInfo fcinfo)
{
    return pk_args_null(fcinfo, verb->required) ||
           (verb->gives == PK_GIVES_VECTOR &&
            pk_arg_text(fcinfo, 1).len == 0); /* which providers refuse to embed */
}

bool pk_verb_begin(const struct pk_verb *verb, bool json_config, FunctionCallInfo fcinfo,
                   struct pk_run *run, pk_str *config, struct pk_error *err)
{
    *config =
        json_config ? pk_arg_json(fcinfo, verb->config, true) : pk_arg_text(fcinfo, verb->config);
    if (!verb->build(fcinfo, run, err) || !pk_run_complete(run, err))
        return false;
    run->store = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    return verb->load(run, config, err);
}

/* --- when the provider fails --------------------------------------------------------------- */

static const char *hint_for_status(int status)
{
    if (status == 401 || status == 403)
        return "The provider refused the key: renew it with pk_key_rotate(), or check its rights.";
    if (status == 429)
        return "The provider limits the rate: try again later, or give the config retries or a "
               "fallback.";
    if (status >= 500)
        return "The provider has trouble: try again later, or give the config retries or a "
               "fallback.";
    return "The provider refused the request: check the model, the messages and params.";
}

static const char *hint_for(const struct pk_run *run, const struct pk_error *e)
{
    if ((e->code == PK_QUERY_LIMIT || e->code == PK_BUDGET) && pk_call_unpriced(run->task.call))
        return "pk_price_import() gives a model a price: a bound in dollars needs one.";
    if (e->code == PK_QUERY_LIMIT)
        return "What was answered is kept by a cache in the config: run again, it costs nothing.";
    if (e->code == PK_RATE || e->code == PK_BUDGET)
        return "pk_limits shows what is left, and when there is more; pk_limit_put() changes a "
               "limit.";
    if (e->code == PK_UPSTREAM)
        return hint_for_status(e->status);
    if (e->code == PK_BAD_ANSWER)
        return "Try again, or give the config a fallback.";
    if (e->code == PK_UNFIT)
        return "Try again, ask for less at once, or give the config a fallback to another model.";
    if (e->code == PK_NETWORK)
        return "Check the provider's address and the network, or give the config a fallback.";
    if (e->code == PK_TIMEOUT)
        return "Raise request_timeout in the config, or pk.timeout, or give the config a fallback.";
    if (e->code == PK_NO_KEY)
        return "Store the key with pk_key_put(), or put it in the environment of the server.";
    if (e->code == PK_HOST_DENIED)
        return "The setting pk.allowed_hosts, in the server's files, lists hosts that may be "
               "called.";
    return NULL;
}

/* The provider's own words, as far as they can be shown. */
static pk_str detail_of(struct pk_run *run)
{
    pk_str words = pk_call_fault(run->task.call);
    size_t bad;

    if (!pk_utf8_valid(words, &bad))
        words.len = bad;
    if (words.len > DETAIL_BYTES_MAX)
        words.len = (size_t)pg_mbcliplen(words.at, (int)words.len, DETAIL_BYTES_MAX);
    return words;
}

void pk_verb_explain(struct pk_run *run, const struct pk_error *e, struct pk_given *o)
{
    o->error = *e;
    o->detail = detail_of(run);
    o->hint = hint_for(run, e);
}

/* Whether an error's document may stand in the value's place: a label must not be mistaken for one. */
static bool has_place(const struct pk_verb *verb, const struct pk_typed *typed)
{
    return verb->gives == PK_GIVES_JSON || (verb->gives == PK_GIVES_TEXT && !typed);
}

static void end_as_failed(const struct pk_verb *verb, struct pk_run *run, const struct pk_error *e,
                          struct pk_given *o)
{
    const struct pk_typed *typed = run->request.typed;
    struct pk_error err = {0};

    if (typed && pk_typed_null(typed, e->code))
        o->is_null = true;
    else if (verb->fails == PK_FAILS_CLOSED)
        pk_verb_explain(run, e, o);
    else if (pk_settings.on_error == PK_ON_ERROR_NULL)
        o->is_null = true;
    else if (pk_settings.on_error == PK_ON_ERROR_RAISE || !has_place(verb, typed))
        pk_verb_explain(run, e, o);
    else if (!pk_reply_try(run->arena, pk_call_record(run->task.call), e, pk_buf_str(&run->body),
                           &o->out, &err))
        o->error = err;
}

/* Whether an answer that cannot be used counts as the provider's failure, for which NULL stands. */
static bool null_for(const struct pk_verb *verb, const struct pk_error *e)
{
    return e->code == PK_BAD_ANSWER && verb->fails == PK_FAILS_AS_SET &&
           pk_settings.on_error == PK_ON_ERROR_NULL;
}

void pk_verb_end(const struct pk_verb *verb, struct pk_run *run, struct pk_given *o)
{
    struct pk_error err = {0};

    *o = (struct pk_given){0};
    if (run->body.failed)
        (void)pk_fail(&o->error, PK_NO_MEMORY, "the answer is too large for the call's memory");
    else if (pk_call_error(run->task.call)->code == PK_QUERY_LIMIT) /* whatever is wished for */
        pk_verb_explain(run, pk_call_error(run->task.call), o);
    else if (verb->fails != PK_FAILS_OWN && pk_call_error(run->task.call)->code != PK_OK)
        end_as_failed(verb, run, pk_call_error(run->task.call), o);
    else if (verb->give(run, &o->out, &o->is_null, &err))
        return;
    else if (err.code == PK_UNFIT) /* a guardrail's words in the place of the answer */
        end_as_failed(verb, run, &err, o);
    else if (null_for(verb, &err))
        o->is_null = true;
    else
        o->error = err;
}

void pk_given_throw(const struct pk_given *o)
{
    pk_throw(&o->error, o->detail, o->hint);
}

/* --- values -------------------------------------------------------------------------------- */

static Datum vector_datum(pk_str floats)
{
    int count = (int)(floats.len / sizeof(float));
    Datum *numbers = palloc((size_t)count * sizeof *numbers);

    for (int i = 0; i < count; i++) {
        float4 number;

        memcpy(&number, floats.at + (size_t)i * sizeof number, sizeof number);
        numbers[i] = Float4GetDatum(number);
    }
    ArrayType *array =
        construct_array(numbers, count, FLOAT4OID, sizeof(float4), true, TYPALIGN_INT);
    pfree(numbers);
    return PointerGetDatum(array);
}

static bool bool_of(pk_str bytes)
{
    bool value;

    PK_ASSERT(bytes.len == sizeof value);
    memcpy(&value, bytes.at, sizeof value);
    return value;
}

static double number_of(pk_str bytes)
{
    double value;

    PK_ASSERT(bytes.len == sizeof value);
    memcpy(&value, bytes.at, sizeof value);
    return value;
}

Datum pk_verb_datum(const struct pk_verb *verb, pk_str out)
{
    switch (verb->gives) {
    case PK_GIVES_JSON: return pk_jsonb_datum(out);
    case PK_GIVES_TEXT: return pk_text_datum(out);
    case PK_GIVES_VECTOR: return vector_datum(out);
    case PK_GIVES_BOOL: return BoolGetDatum(bool_of(out));
    case PK_GIVES_FLOAT8: return Float8GetDatum(number_of(out));
    }
    return (Datum)0;
}

/* --- the functions ------------------------------------------------------------------------- */

static void call(const struct pk_verb *verb, bool json_config, FunctionCallInfo fcinfo,
                 struct pk_given *o)
{
    struct pk_run *run = palloc0(sizeof *run);
    pk_str config;

    run->arena = pk_arena_here();
    if (!pk_verb_begin(verb, json_config, fcinfo, run, &config, &o->error))
        return;
    pk_drive(run, config);
    pk_verb_end(verb, run, o);
}

static Datum answer(FunctionCallInfo fcinfo, const struct pk_verb *verb, bool json_config)
{
    MemoryContext outer = CurrentMemoryContext;
    struct pk_given o = {0};
    Datum result = (Datum)0;

    if (pk_verb_null(verb, fcinfo))
        PG_RETURN_NULL();
    MemoryContext inner = AllocSetContextCreate(outer, "pk call", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    call(verb, json_config, fcinfo, &o);
    if (o.error.code != PK_OK)
        pk_given_throw(&o);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    if (!o.is_null)
        result = pk_verb_datum(verb, o.out);
    MemoryContextDelete(inner);
    fcinfo->isnull = o.is_null;
    return result;
}

bool pk_load_none(struct pk_run *run, pk_str *config, struct pk_error *err)
{
    return true;
}

/* clang-format off */
static const struct pk_verb verbs[] = {
#define VERB(name, build, load, give, config, required, gives, fails)                              \
    {"pk_" #name, pk_build_##build, pk_load_##load, pk_give_##give, config, required,              \
     PK_GIVES_##gives, PK_FAILS_##fails, pk_sql_##name, pk_sql_##name##_json},
#include "verbs.def"
#undef VERB
};

enum {
#define VERB(name, ...) VERB_##name,
#include "verbs.def"
#undef VERB
};

#define VERB(name, ...)                                                                            \
    PG_FUNCTION_INFO_V1(pk_sql_##name);                                                            \
    Datum pk_sql_##name(PG_FUNCTION_ARGS)                                                          \
    {                                                                                              \
        return answer(fcinfo, &verbs[VERB_##name], false);                                         \
    }                                                                                              \
    PG_FUNCTION_INFO_V1(pk_sql_##name##_json);                                                     \
    Datum pk_sql_##name##_json(PG_FUNCTION_ARGS)                                                   \
    {                                                                                              \
        return answer(fcinfo, &verbs[VERB_##name], true);                                          \
    }
#include "verbs.def"
#undef VERB
/* clang-format on */

const struct pk_verb *pk_verb_of(Oid function, bool *json_config)
{
    FmgrInfo info;

    fmgr_info(function, &info);
    for (size_t i = 0; i < PK_COUNT(verbs); i++) {
        *json_config = info.fn_addr == verbs[i].json;
        if (*json_config || info.fn_addr == verbs[i].text)
            return &verbs[i];
    }
    return NULL;
}
