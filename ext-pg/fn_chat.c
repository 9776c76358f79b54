/* fn_chat.c - pk_chat, pk_ask, pk_try_chat, pk_embed, pk_moderate, pk_prompt and pk_replay: one call a row.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each has an overload for a config that is jsonb. What a call needs lives in a memory context of its own,
 * which goes before the function returns.
 */
#include "pk_pg.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

enum { DETAIL_BYTES_MAX = 2000, OWN_ROW_WAIT_MS = 2000 };

/* Builds the request from the arguments. */
typedef bool build_fn(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err);
/* The rest of it, from the store; *config may change. */
typedef bool load_fn(struct pk_run *run, pk_str *config, struct pk_error *err);
/* Turns what came of the call into text, or the floats of a vector; false with *err, or with *is_null for NULL. */
typedef bool give_fn(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err);

struct verb {
    build_fn *build;
    load_fn *load; /* NULL: nothing is in the store */
    give_fn *give;
    int config;                                          /* which argument that is */
    int required;                                        /* NULL when one of so many is */
    enum { GIVES_JSON, GIVES_TEXT, GIVES_VECTOR } gives; /* jsonb, text, real[] */
};

/* --- the request ------------------------------------------------------------------------- */

static bool build_chat(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_chat(run->arena, pk_arg_json(fcinfo, 1, false), pk_arg_json(fcinfo, 2, false),
                           false, &run->request, err);
}

static bool build_ask(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_ask(run->arena, pk_arg_text(fcinfo, 1), pk_arg_text(fcinfo, 2),
                          pk_arg_json(fcinfo, 3, false), &run->request, err);
}

static bool build_embed(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    int64_t dimensions = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2);

    if (!PG_ARGISNULL(2) && dimensions == 0)
        dimensions = -1; /* which no model makes */
    return pk_request_embed(run->arena, pk_arg_text(fcinfo, 1), dimensions,
                            pk_arg_json(fcinfo, 3, false), &run->request, err);
}

static bool build_moderate(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    return pk_request_moderate(run->arena, pk_arg_text(fcinfo, 1), pk_arg_json(fcinfo, 2, false),
                               &run->request, err);
}

static bool build_prompt(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    run->use = (struct pk_prompt_use){.reference = pk_arg_text(fcinfo, 0),
                                      .vars = pk_arg_json(fcinfo, 1, false),
                                      .params = pk_arg_json(fcinfo, 3, false)};
    pk_secret_random(&run->use.seed, sizeof run->use.seed);
    return pk_request_options(run->arena, run->use.params, &run->request, err);
}

/* The rest of build_prompt(), from the store. */
static bool use_prompt(struct pk_run *run, pk_str *config, struct pk_error *err)
{
    run->use.config = *config;
    bool ok = pk_store_prompt_request(run->store, run->arena, &run->use, &run->request, err);
    pk_store_spi_check(run->store);
    *config = run->use.config;
    return ok;
}

static bool build_replay(FunctionCallInfo fcinfo, struct pk_run *run, struct pk_error *err)
{
    memcpy(run->replay.id, PG_GETARG_UUID_P(0)->data, PK_UUID_BYTES);
    return true;
}

/* The rest of build_replay(), from the store. */
static bool use_log(struct pk_run *run, pk_str *config, struct pk_error *err)
{
    run->replay.config = *config;
    if (pk_ring_open())
        (void)pk_ring_flush(OWN_ROW_WAIT_MS); /* it may be this session's last call */
    bool ok = pk_store_replay_request(run->store, run->arena, &run->replay, &run->request, err);
    pk_store_spi_check(run->store);
    *config = run->replay.config;
    return ok;
}

static int64_t capped_timeout(int64_t timeout_ms)
{
    int64_t max = pk_settings.max_timeout_ms;

    if (timeout_ms == 0)
        timeout_ms = pk_settings.timeout_ms;
    return max > 0 && (timeout_ms == 0 || timeout_ms > max) ? max : timeout_ms;
}

/* The session's metadata under the call's own. */
static bool add_metadata(struct pk_run *run, struct pk_error *err)
{
    struct pk_request *req = &run->request;
    pk_str metadata = pk_str_of(pk_settings.metadata);

    if (metadata.len == 0)
        return true;
    if (req->metadata.len == 0) {
        req->metadata = pk_copy(run->arena, metadata);
        return true;
    }
    return pk_json_merge(run->arena, metadata, req->metadata, "metadata", &req->metadata, err) &&
           pk_request_metadata(run->arena, req->metadata, err);
}

static struct pk_privacy session_privacy(void)
{
    struct pk_privacy p = {.payloads = (enum pk_payloads)pk_settings.log_payloads};

    return pk_redact_parse(pk_str_of(pk_settings.log_redact), &p.redact)
               ? p
               : (struct pk_privacy){PK_PAYLOADS_NONE,
                                     PK_PII_ALL}; /* was checked when it was set */
}

/* What the settings and the session say. */
bool pk_run_complete(struct pk_run *run, struct pk_error *err)
{
    struct pk_request *req = &run->request;

    req->source = PK_SOURCE_POSTGRES;
    req->role = pk_str_of(GetUserNameFromId(GetUserId(), false));
    req->output_assumed = pk_settings.output_assumed;
    req->account = pk_statement_account();
    req->timeout_ms = capped_timeout(req->timeout_ms);
    req->privacy = pk_privacy_join(req->privacy, session_privacy());
    if (req->privacy.payloads != PK_PAYLOADS_FULL)
        pk_hide_statement();
    req->query_id = pk_copyf(run->arena, "%x.%llx", (unsigned)MyProcPid,
                             (unsigned long long)GetCurrentStatementStartTimestamp());
    return add_metadata(run, err);
}

/* --- the answer -------------------------------------------------------------------------- */

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
    if (e->code == PK_RATE || e->code == PK_BUDGET)
        return "pk_limits shows what is left, and when there is more; pk_limit_put() changes a "
               "limit.";
    if (e->code == PK_UPSTREAM)
        return hint_for_status(e->status);
    if (e->code == PK_BAD_ANSWER)
        return "Try again, or give the config a fallback.";
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

static bool give_failure(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    const struct pk_error *e = pk_call_error(run->task.call);

    switch ((enum pk_on_error)pk_settings.on_error) {
    case PK_ON_ERROR_RAISE: pk_throw(e, detail_of(run), hint_for(run, e));
    case PK_ON_ERROR_NULL: *is_null = true; return true;
    case PK_ON_ERROR_JSON: break;
    }
    return pk_reply_try(run->arena, pk_call_record(run->task.call), e, pk_buf_str(&run->body), out,
                        err);
}

static bool failed(const struct pk_run *run)
{
    return pk_call_error(run->task.call)->code != PK_OK;
}

static bool give_chat(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    if (failed(run))
        return give_failure(run, out, is_null, err);
    return pk_reply_chat(run->arena, pk_call_record(run->task.call), pk_buf_str(&run->body), out,
                         err);
}

static bool give_text(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    if (failed(run))
        return give_failure(run, out, is_null, err);
    return pk_reply_text(run->arena, pk_buf_str(&run->body), out, is_null, err);
}

static bool give_vector(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    const struct pk_error *e = pk_call_error(run->task.call);
    float *at;
    int dims;

    if (failed(run) &&
        pk_settings.on_error == PK_ON_ERROR_JSON) /* for which a vector has no place */
        pk_throw(e, detail_of(run), hint_for(run, e));
    if (failed(run))
        return give_failure(run, out, is_null, err);
    if (!pk_reply_vector(run->arena, run->request.body, pk_buf_str(&run->body), &at, &dims, err)) {
        *is_null = pk_settings.on_error == PK_ON_ERROR_NULL && err->code == PK_BAD_ANSWER;
        return *is_null;
    }
    *out = (pk_str){(const char *)at, (size_t)dims * sizeof *at};
    return true;
}

static bool give_verdict(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    if (failed(run))
        return give_failure(run, out, is_null, err);
    return pk_reply_verdict(run->arena, pk_buf_str(&run->body), out, err);
}

static bool give_try(struct pk_run *run, pk_str *out, bool *is_null, struct pk_error *err)
{
    return pk_reply_try(run->arena, pk_call_record(run->task.call), pk_call_error(run->task.call),
                        pk_buf_str(&run->body), out, err);
}

/* --- the functions ----------------------------------------------------------------------- */

static const struct verb chat = {build_chat, NULL, give_chat, 0, 2, GIVES_JSON};
static const struct verb ask = {build_ask, NULL, give_text, 0, 2, GIVES_TEXT};
static const struct verb try_chat = {build_chat, NULL, give_try, 0, 2, GIVES_JSON};
static const struct verb embed = {build_embed, NULL, give_vector, 0, 2, GIVES_VECTOR};
static const struct verb moderate = {build_moderate, NULL, give_verdict, 0, 2, GIVES_JSON};
static const struct verb prompt = {build_prompt, use_prompt, give_chat, 2, 2, GIVES_JSON};
static const struct verb replay = {build_replay, use_log, give_chat, 1, 1, GIVES_JSON};

static bool perform(FunctionCallInfo fcinfo, const struct verb *verb, pk_str config, pk_str *out,
                    bool *is_null, struct pk_error *err)
{
    struct pk_run *run = palloc0(sizeof *run);

    run->arena = pk_arena_here();
    if (!verb->build(fcinfo, run, err) || !pk_run_complete(run, err))
        return false;
    run->store = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    if (verb->load && !verb->load(run, &config, err))
        return false;
    pk_drive(run, config);
    if (run->body.failed)
        return pk_fail(err, PK_NO_MEMORY, "the answer is too large for the call's memory");
    return verb->give(run, out, is_null, err);
}

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

static Datum datum_of(const struct verb *verb, pk_str out)
{
    switch (verb->gives) {
    case GIVES_JSON: return pk_jsonb_datum(out);
    case GIVES_TEXT: return pk_text_datum(out);
    case GIVES_VECTOR: return vector_datum(out);
    }
    return (Datum)0;
}

static Datum answer(FunctionCallInfo fcinfo, const struct verb *verb, bool json_config)
{
    MemoryContext outer = CurrentMemoryContext;
    struct pk_error err;
    bool is_null = false;
    pk_str out;

    if (pk_args_null(fcinfo, verb->required))
        PG_RETURN_NULL();
    MemoryContext inner = AllocSetContextCreate(outer, "pk call", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    pk_str config =
        json_config ? pk_arg_json(fcinfo, verb->config, true) : pk_arg_text(fcinfo, verb->config);
    if (!perform(fcinfo, verb, config, &out, &is_null, &err))
        pk_throw(&err, PK_NONE, NULL);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    Datum result = (Datum)0;
    if (!is_null)
        result = datum_of(verb, out);
    MemoryContextDelete(inner);
    fcinfo->isnull = is_null;
    return result;
}

PK_FUNCTION(pk_sql_chat);
Datum pk_sql_chat(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &chat, false);
}

PK_FUNCTION(pk_sql_chat_json);
Datum pk_sql_chat_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &chat, true);
}

PK_FUNCTION(pk_sql_ask);
Datum pk_sql_ask(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &ask, false);
}

PK_FUNCTION(pk_sql_ask_json);
Datum pk_sql_ask_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &ask, true);
}

PK_FUNCTION(pk_sql_try_chat);
Datum pk_sql_try_chat(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &try_chat, false);
}

PK_FUNCTION(pk_sql_try_chat_json);
Datum pk_sql_try_chat_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &try_chat, true);
}

PK_FUNCTION(pk_sql_embed);
Datum pk_sql_embed(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &embed, false);
}

PK_FUNCTION(pk_sql_embed_json);
Datum pk_sql_embed_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &embed, true);
}

PK_FUNCTION(pk_sql_moderate);
Datum pk_sql_moderate(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &moderate, false);
}

PK_FUNCTION(pk_sql_moderate_json);
Datum pk_sql_moderate_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &moderate, true);
}

PK_FUNCTION(pk_sql_prompt);
Datum pk_sql_prompt(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &prompt, false);
}

PK_FUNCTION(pk_sql_prompt_json);
Datum pk_sql_prompt_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &prompt, true);
}

PK_FUNCTION(pk_sql_replay);
Datum pk_sql_replay(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &replay, false);
}

PK_FUNCTION(pk_sql_replay_json);
Datum pk_sql_replay_json(PG_FUNCTION_ARGS)
{
    return answer(fcinfo, &replay, true);
}
