/* fn_map.c - pk_map, pk_batch and pk_prefetch: a call for each row of a query or item of an array, many in flight.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The batch (batch.h) says what to do; this file reads rows through a cursor, as calls have room, makes the calls, and
 * puts what became of them into a tuplestore. The query runs as the caller, and may only read.
 *
 * All of it hangs on one memory context, but for what the transaction cleans up. An error first ends the calls that are
 * in flight: they are logged as cancelled.
 */
#include "flight.h"
#include "map.h"
#include "rows.h"
#include "verb.h"
#include "watch.h"

#include "forecast.h"
#include "prefetch.h"
#include "result.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

enum { SETTLE_WAIT_MS = 60000 };

struct map {
    MemoryContext context;
    struct pk_run base; /* the config, for all calls */
    struct pk_batch *batch;
    pk_str config, params, prompt;
    struct pk_flights flights;
    struct pk_given refused; /* by the statement's account: it ends when nothing is in flight */
    struct pk_out out;       /* empty: only the cache gets the answers */

    struct pk_rows rows; /* of the query; its portal is NULL: an array */

    enum pk_ask_kind kind;
    struct pk_forecast forecast;
    bool estimates, batched; /* the forecast's; no call is made */

    Datum *inputs;
    bool *nulls;
    int input, input_count;

    const struct pk_map_list *list; /* in the place of both */

    struct pk_watch *watch;
};

/* --- where rows come from ------------------------------------------------------------------ */

static bool next_input(struct map *m, struct pk_ask_row *row)
{
    int i = m->input++;

    if (i >= m->input_count)
        return false;
    row->kind = m->kind;
    row->has_text = !m->nulls[i];
    if (!row->has_text)
        return true;
    if (m->kind == PK_ASK_PROMPT) {
        row->text = pk_str_of(TextDatumGetCString(m->inputs[i]));
        return true;
    }
    const char *json = DatumGetCString(DirectFunctionCall1(jsonb_out, m->inputs[i]));
    row->text = pk_str_of(json);
    if (*json == '{')
        row->kind = PK_ASK_VARS;
    return true;
}

static bool next_of_list(struct map *m, struct pk_ask_row *row)
{
    if (m->input >= m->list->count)
        return false;
    row->kind = PK_ASK_MESSAGES;
    row->has_text = true;
    row->text = m->list->messages(m->list->ctx, m->input++);
    return true;
}

/* --- the request of a row ------------------------------------------------------------------ */

static bool use_prompt(struct map *m, struct pk_run *run, pk_str vars, struct pk_error *err)
{
    struct pk_prompt_use use = {
        .reference = m->prompt, .vars = vars, .params = m->params, .config = m->config};

    if (m->prompt.len == 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.pk.prompt: needed, as rows have variables of a prompt");
    pk_secret_random(&use.seed, sizeof use.seed);
    if (!pk_request_options(run->arena, m->params, &run->request, err))
        return false;
    bool ok = pk_store_prompt_request(m->base.store, run->arena, &use, &run->request, err);
    pk_store_spi_check(m->base.store);
    return ok;
}

/* The request is built in the item's arena. */
static bool build(struct map *m, struct pk_item *item, const struct pk_ask_row *row,
                  struct pk_error *err)
{
    struct pk_run run = {.arena = &item->arena};
    pk_str text = pk_copy(&item->arena, row->text);
    bool ok = false;

    switch (row->kind) {
    case PK_ASK_PROMPT:
        ok = pk_request_ask(run.arena, text, PK_NONE, m->params, &run.request, err);
        break;
    case PK_ASK_MESSAGES:
        ok = pk_request_chat(run.arena, text, m->params, false, &run.request, err);
        break;
    case PK_ASK_VARS: ok = use_prompt(m, &run, text, err); break;
    }
    ok = ok && pk_run_complete(&run, err);
    item->req = run.request;
    return ok;
}

static bool next_row(struct map *m, struct pk_ask_row *row)
{
    if (m->list)
        return next_of_list(m, row);
    return m->rows.portal ? pk_rows_next(&m->rows, row) : next_input(m, row);
}

static void read_row(struct map *m)
{
    struct pk_error err = {0};
    struct pk_ask_row row = {0};

    if (!next_row(m, &row)) {
        pk_batch_eof(m->batch);
        return;
    }
    struct pk_item *item = pk_batch_add(m->batch);
    if (!item)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for another row")));
    item->has_key = row.has_key;
    item->key = pk_copy(&item->arena, row.key);
    bool asks = row.has_text && build(m, item, &row, &err);
    if (row.has_text && !asks)
        pk_result_of_error(&item->arena, &err, &item->result);
    else if (!asks)
        item->result = (struct pk_result){.ok = true, .cost_known = true};
    if (!pk_batch_ready(m->batch, item, !asks, &err))
        pk_throw(&err, PK_NONE, NULL);
}

/* --- calls --------------------------------------------------------------------------------- */

/* For the flight. */
static void load(void *owner, struct pk_item *item, struct pk_run *run)
{
    const struct map *m = owner;

    run->store = m->base.store;
    run->snapshot = m->base.snapshot;
    run->request = item->req;
}

/* The statement's account has had enough: no other call begins. */
static void stop(struct map *m, struct pk_run *run)
{
    pk_verb_explain(run, pk_call_error(run->task.call), &m->refused);
    m->refused.detail = PK_NONE; /* is the call's */
    pk_batch_stop(m->batch, pk_code_name(PK_QUERY_LIMIT), m->refused.error.msg);
}

/* For a list's answer, which may throw: a row has no place for it. */
static void explain(struct pk_item *item, struct pk_run *run)
{
    struct pk_given *why = pk_alloc(&item->arena, sizeof *why);

    if (!why)
        return;
    pk_verb_explain(run, pk_call_error(run->task.call), why);
    why->detail = pk_copy(&item->arena, why->detail);
    item->host = why;
}

static void land(void *owner, struct pk_item *item, struct pk_run *run, const struct pk_error *err)
{
    struct map *m = owner;
    struct pk_error too_large;

    if (err) {
        pk_result_of_error(&item->arena, err, &item->result);
        return;
    }
    if (run->body.failed) {
        (void)pk_fail(&too_large, PK_NO_MEMORY, "the answer is too large for the call's memory");
        pk_result_of_error(&item->arena, &too_large, &item->result);
    } else {
        pk_result_of_call(&item->arena, run->task.call, pk_buf_str(&run->body), &item->result);
    }
    if (m->list && pk_call_error(run->task.call)->code != PK_OK)
        explain(item, run);
    if (pk_call_error(run->task.call)->code == PK_QUERY_LIMIT)
        stop(m, run);
}

/* --- rows go out --------------------------------------------------------------------------- */

static void give(struct map *m, struct pk_item *item)
{
    const struct pk_out_row row = {item->ord, item->has_key, item->key, &item->result};

    if (m->out.store)
        pk_out_put(&m->out, &row);
    else if (m->list)
        m->list->answer(m->list->ctx, (int)item->ord - 1, &item->result, item->host);
    pk_batch_drop(m->batch, item);
}

static void give_all(struct map *m)
{
    for (struct pk_item *item; (item = pk_batch_take(m->batch));)
        give(m, item);
}

/* Rows that are over go out before anything is waited for: a start that ends the batch is no call that wakes. */
static void work(struct map *m)
{
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        if (pk_batch_wants(m->batch))
            read_row(m);
        pk_flights_start(&m->flights);
        if (m->refused.error.code && m->flights.running == 0)
            pk_given_throw(&m->refused);
        give_all(m);
        if (pk_batch_over(m->batch))
            break;
        pk_watch_turn(m->watch, m->base.snapshot->config.slug, m->batch);
        m->flights.look_ms = pk_watch_due_ms(m->watch);
        pk_flights_turn(&m->flights, !pk_batch_wants(m->batch));
    }
    pk_watch_part(m->watch, m->batch);
    if (m->refused.error.code)
        pk_given_throw(&m->refused);
}

/* --- the functions ----------------------------------------------------------------------- */

static void forget(void *object)
{
    struct map *m = object;

    pk_batch_free(m->batch);
}

/* As many calls as files may be open. */
static void open_flights(struct map *m, struct pk_batch_options *o)
{
    m->flights = (struct pk_flights){.context = m->context,
                                     .backend = m->base.backend,
                                     .concurrency = o->concurrency,
                                     .load = load,
                                     .land = land,
                                     .owner = m};
    pk_flights_init(&m->flights);
    pk_flights_take_files(&m->flights);
    o->concurrency = m->flights.concurrency;
}

static void open_batch(struct map *m, struct pk_home home, pk_str config, pk_str params)
{
    struct pk_batch_options o = {.concurrency = PK_BATCH_CONCURRENCY,
                                 .dedup = true,
                                 .max_error_ratio = 0.5,
                                 .estimates = m->estimates};
    struct pk_request unused = {0};
    struct pk_error err;
    MemoryContextCallback *going = palloc(sizeof *going);

    m->context = CurrentMemoryContext;
    m->config = config;
    m->base.arena = pk_arena_here();
    m->base.store = pk_store_spi(home, PK_READ);
    pk_run_hang(&m->base);
    *going = (MemoryContextCallback){.func = forget, .arg = m};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, going);
    if (!pk_batch_options_read(m->base.arena, params, &o, &m->params, &err) ||
        !pk_request_options(m->base.arena, m->params, &unused, &err) ||
        (o.prompt.len && !pk_store_prompt_check(m->base.store, m->base.arena, o.prompt, &err)))
        pk_throw(&err, PK_NONE, NULL);
    m->prompt = o.prompt;
    m->batched = o.batched;
    pk_run_resolve(&m->base, m->config);
    m->base.backend = pk_backend(pk_backend_needs_secrets(&m->base.snapshot->config));
    open_flights(m, &o);
    m->batch = pk_batch_new(pk_allocator_in(m->context), &o);
    if (!m->batch)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for a batch")));
    m->flights.batch = m->batch;
}

static void open_call(struct map *m, FunctionCallInfo fcinfo, bool json_config)
{
    open_batch(m, pk_home_of(fcinfo),
               json_config ? pk_arg_json(fcinfo, 0, true) : pk_arg_text(fcinfo, 0),
               pk_arg_json(fcinfo, 2, false));
}

static void open_array(struct map *m, ArrayType *array)
{
    Oid type = ARR_ELEMTYPE(array);
    int16 len;
    bool by_value;
    char align;

    m->kind = type == JSONBOID ? PK_ASK_MESSAGES : PK_ASK_PROMPT;
    get_typlenbyvalalign(type, &len, &by_value, &align);
    deconstruct_array(array, type, len, by_value, align, &m->inputs, &m->nulls, &m->input_count);
}

static void open_json(struct map *m, Jsonb *list)
{
    JsonbIterator *it = JsonbIteratorInit(&list->root);
    JsonbValue v;

    if (!JB_ROOT_IS_ARRAY(list) || JB_ROOT_IS_SCALAR(list))
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("inputs: must be a JSON array")));
    m->kind = PK_ASK_MESSAGES;
    m->inputs = MemoryContextAllocHuge(m->context, (JB_ROOT_COUNT(list) + 1) * sizeof *m->inputs);
    m->nulls = palloc((JB_ROOT_COUNT(list) + 1) * sizeof *m->nulls);
    (void)JsonbIteratorNext(&it, &v, true);
    while (JsonbIteratorNext(&it, &v, true) == WJB_ELEM) {
        m->nulls[m->input_count] = v.type == jbvNull;
        m->inputs[m->input_count++] = JsonbPGetDatum(JsonbValueToJsonb(&v));
    }
}

/* Inputs are text[], jsonb[], jsonb, or text, which a bare literal is: a JSON array, or an array as Postgres writes it. */
static void open_inputs(struct map *m, FunctionCallInfo fcinfo)
{
    Oid *types;
    int count;

    (void)get_func_signature(fcinfo->flinfo->fn_oid, &types, &count);
    if (types[1] == JSONBOID) {
        open_json(m, PG_GETARG_JSONB_P(1));
    } else if (types[1] == TEXTOID) {
        char *list = text_to_cstring(PG_GETARG_TEXT_PP(1));
        if (list[strspn(list, " \t\r\n")] == '{')
            open_array(m, DatumGetArrayTypeP(OidInputFunctionCall(F_ARRAY_IN, list, TEXTOID, -1)));
        else
            open_json(m, DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(list))));
    } else {
        open_array(m, PG_GETARG_ARRAYTYPE_P(1));
    }
}

static void run(struct map *m)
{
    PG_TRY();
    {
        work(m);
    }
    PG_CATCH();
    {
        pk_flights_abandon(&m->flights);
        PG_RE_THROW();
    }
    PG_END_TRY();
}

static void run_query(struct map *m, FunctionCallInfo fcinfo, void (*with_rows)(struct map *m))
{
    char *query = text_to_cstring(PG_GETARG_TEXT_PP(1));

    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "pk: SPI_connect failed");
    pk_rows_open(&m->rows, query);
    MemoryContextSwitchTo(m->context);
    with_rows(m);
    SPI_cursor_close(m->rows.portal);
    (void)SPI_finish();
}

static void tell(const struct map *m)
{
    struct pk_batch_progress p = pk_batch_progress(m->batch);

    pk_notice(&p);
}

static Datum map(FunctionCallInfo fcinfo, bool json_config, bool of_query)
{
    MemoryContext outer = CurrentMemoryContext;
    MemoryContext inner = AllocSetContextCreate(outer, "pk batch", ALLOCSET_DEFAULT_SIZES);
    struct map *m;

    m = MemoryContextAllocZero(inner, sizeof *m);
    pk_out_open(&m->out, fcinfo);
    if (pk_args_null(fcinfo, 2))
        return (Datum)0;
    pk_run_check();
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    open_call(m, fcinfo, json_config);
    if (of_query) {
        m->watch = pk_watch_new_map(-1);
        run_query(m, fcinfo, run);
    } else {
        open_inputs(m, fcinfo);
        m->watch = pk_watch_new("pk_batch", m->input_count);
        run(m);
    }
    tell(m);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(inner);
    return (Datum)0;
}

static Datum prefetch(FunctionCallInfo fcinfo, bool json_config)
{
    MemoryContext outer = CurrentMemoryContext;
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    pk_run_check();
    MemoryContext inner = AllocSetContextCreate(outer, "pk batch", ALLOCSET_DEFAULT_SIZES);
    struct map *m = MemoryContextAllocZero(inner, sizeof *m);
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    open_call(m, fcinfo, json_config);
    if (!pk_prefetch_check(m->base.arena, &m->base.snapshot->config, m->params, &err))
        pk_throw(&err, PK_NONE, NULL);
    m->watch = pk_watch_new("pk_prefetch", -1);
    run_query(m, fcinfo, run);
    if (!pk_ring_flush(SETTLE_WAIT_MS)) /* the next statement is to find them */
        ereport(WARNING, (errmsg("pk: answers are still on their way to the cache"),
                          errhint("pk_flush() waits for them.")));
    tell(m);
    struct pk_batch_progress p = pk_batch_progress(m->batch);
    struct pk_buf counts = pk_buf_in(m->base.arena, PK_BODY_BYTES_MAX);
    pk_prefetch_print(&counts, &p);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    Datum result = pk_jsonb_datum(pk_buf_str(&counts));
    MemoryContextDelete(inner);
    return result;
}

void pk_map_list(struct pk_home home, pk_str config, pk_str params, const struct pk_map_list *list)
{
    MemoryContext outer = CurrentMemoryContext;
    MemoryContext inner = AllocSetContextCreate(outer, "pk batch", ALLOCSET_DEFAULT_SIZES);
    struct map *m = MemoryContextAllocZero(inner, sizeof *m);

    pk_run_check();
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    m->list = list;
    open_batch(m, home, config, params);
    m->watch = pk_watch_new("pk_reduce", list->count);
    run(m);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(inner);
}

/* --- what it would cost -------------------------------------------------------------------- */

static bool cache_has(void *ctx, struct pk_call *call, struct pk_arena *arena)
{
    struct map *m = ctx;
    struct pk_cache_entry entry;
    struct pk_error unused;
    bool found = false;

    return pk_store_cache_get(m->base.store, arena, pk_call_cache_key(call), pk_clock_us(),
                              pk_call_max_age_s(call), &entry, &found, &unused) &&
           found;
}

static void foresee_row(struct map *m, const struct pk_ask_row *row)
{
    struct pk_forecast_cache cache = {cache_has, m};
    const struct pk_snapshot *s = m->base.snapshot;
    struct pk_item *item = palloc0(sizeof *item);
    struct pk_error err = {0};

    pk_arena_init(&item->arena, pk_allocator_in(CurrentMemoryContext), PK_CALL_BYTES_MAX);
    if (!row->has_text || !build(m, item, row, &err)) {
        pk_forecast_no_call(&m->forecast);
        return;
    }
    bool ok = pk_forecast_add(&m->forecast, &item->arena, &s->config, s->facts, &item->req,
                              pk_clock_us(), cache, &err);
    pk_store_check(m->base.store, ok, &err);
}

static void foresee(struct map *m)
{
    MemoryContext outer = CurrentMemoryContext;
    MemoryContext context = AllocSetContextCreate(m->context, "pk row", ALLOCSET_DEFAULT_SIZES);
    struct pk_ask_row row = {0};

    pk_forecast_init(&m->forecast, pk_allocator_in(m->context));
    m->forecast.batched = m->batched;
    for (;;) {
        CHECK_FOR_INTERRUPTS();
        MemoryContextSwitchTo(context);
        row = (struct pk_ask_row){0};
        if (!next_row(m, &row))
            break;
        foresee_row(m, &row);
        MemoryContextReset(context);
    }
    MemoryContextSwitchTo(outer);
}

static void put_forecast(struct map *m)
{
    const struct pk_forecast *f = &m->forecast;
    const int64_t counts[] = {f->rows, f->distinct, f->cached_rows, f->input_tokens,
                              f->max_output_tokens};
    Datum values[PK_COUNT(counts) + 2];
    bool nulls[PK_COUNT(counts) + 2];
    int i = 0;

    for (; i < (int)PK_COUNT(counts); i++) {
        nulls[i] = false;
        values[i] = Int64GetDatum(counts[i]);
    }
    nulls[i] = f->min_unknown;
    values[i++] = pk_usd_datum(f->min_pusd);
    nulls[i] = f->max_unknown;
    values[i++] = pk_usd_datum(f->max_pusd);
    tuplestore_putvalues(m->out.store, m->out.desc, values, nulls);
}

static Datum estimate(FunctionCallInfo fcinfo, bool json_config)
{
    MemoryContext outer = CurrentMemoryContext;
    MemoryContext inner = AllocSetContextCreate(outer, "pk batch", ALLOCSET_DEFAULT_SIZES);
    struct map *m = MemoryContextAllocZero(inner, sizeof *m);

    pk_out_open(&m->out, fcinfo);
    if (pk_args_null(fcinfo, 2))
        return (Datum)0;
    pk_run_check();
    if (pk_ring_open())
        (void)pk_ring_flush(SETTLE_WAIT_MS); /* the cache is as the last statement left it */
    MemoryContextSwitchTo(inner);
    int level = NewGUCNestLevel();
    m->estimates = true;
    open_call(m, fcinfo, json_config);
    run_query(m, fcinfo, foresee);
    put_forecast(m);
    AtEOXact_GUC(true, level);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(inner);
    return (Datum)0;
}

PK_FUNCTION(pk_sql_estimate);
Datum pk_sql_estimate(PG_FUNCTION_ARGS)
{
    return estimate(fcinfo, false);
}

PK_FUNCTION(pk_sql_estimate_json);
Datum pk_sql_estimate_json(PG_FUNCTION_ARGS)
{
    return estimate(fcinfo, true);
}

PK_FUNCTION(pk_sql_map);
Datum pk_sql_map(PG_FUNCTION_ARGS)
{
    return map(fcinfo, false, true);
}

PK_FUNCTION(pk_sql_map_json);
Datum pk_sql_map_json(PG_FUNCTION_ARGS)
{
    return map(fcinfo, true, true);
}

PK_FUNCTION(pk_sql_batch);
Datum pk_sql_batch(PG_FUNCTION_ARGS)
{
    return map(fcinfo, false, false);
}

PK_FUNCTION(pk_sql_batch_json);
Datum pk_sql_batch_json(PG_FUNCTION_ARGS)
{
    return map(fcinfo, true, false);
}

PK_FUNCTION(pk_sql_prefetch);
Datum pk_sql_prefetch(PG_FUNCTION_ARGS)
{
    return prefetch(fcinfo, false);
}

PK_FUNCTION(pk_sql_prefetch_json);
Datum pk_sql_prefetch_json(PG_FUNCTION_ARGS)
{
    return prefetch(fcinfo, true);
}
