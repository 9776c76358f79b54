/* scan_call.c - makes a call of a row's arguments, and a value of what became of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whatever is wrong with a call, a config that does not exist or a provider that fails, waits until its row's turn
 * has come: rows before it are given away first, as if calls were made one by one.
 */
#include "scan.h"

#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

enum { CONFIGS_MAX = 16 };

/* A config that was resolved, for all rows that name it. */
struct pk_scan_config {
    pk_str text;
    const struct pk_snapshot *snapshot;
};

static void check_may_execute(Oid function)
{
    AclResult right = pk_function_right(function);

    if (right != ACLCHECK_OK)
        aclcheck_error(right, OBJECT_FUNCTION, get_func_name(function));
    InvokeFunctionExecuteHook(function);
}

void pk_scan_call_open(struct pk_scan_call *c, FuncExpr *call, List *columns)
{
    ListCell *cell;
    int i = 0;

    check_may_execute(call->funcid);
    c->verb = pk_verb_of(call->funcid, &c->json_config);
    if (!c->verb)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("the function %s was replaced", get_func_name(call->funcid))));
    fmgr_info(call->funcid, &c->function);
    fmgr_info_set_expr((Node *)call, &c->function);
    c->arg_count = list_length(columns);
    c->columns = palloc(sizeof *c->columns * (size_t)Max(c->arg_count, 1));
    foreach (cell, columns)
        c->columns[i++] = lfirst_int(cell);
}

/* --- configs ------------------------------------------------------------------------------- */

static const struct pk_snapshot *known_config(const struct pk_scan_calls *s, pk_str text)
{
    for (int i = 0; i < s->config_count; i++)
        if (pk_str_eq(s->configs[i].text, text))
            return s->configs[i].snapshot;
    return NULL;
}

/* It is released when the current memory context goes. */
static const struct pk_snapshot *find_config(struct pk_store *store, pk_str text,
                                             struct pk_error *err)
{
    struct pk_run *run = palloc0(sizeof *run);

    run->store = store;
    pk_run_hang(run);
    if (!pk_run_find(run, text, err))
        return NULL;
    (void)pk_backend(pk_backend_needs_secrets(&run->snapshot->config));
    return run->snapshot;
}

/* Resolves it for rows to come too while there is room, else for this row alone. */
static bool resolve(struct pk_scan_calls *s, pk_str text, struct pk_run *run, struct pk_error *err)
{
    MemoryContext row = CurrentMemoryContext;

    run->snapshot = known_config(s, text);
    if (run->snapshot)
        return true;
    bool keep = s->config_count < CONFIGS_MAX;
    if (keep)
        MemoryContextSwitchTo(s->context);
    run->snapshot = find_config(run->store, text, err);
    if (keep && run->snapshot)
        s->configs[s->config_count++] = (struct pk_scan_config){
            {memcpy(palloc(text.len + 1), text.at, text.len), text.len}, run->snapshot};
    MemoryContextSwitchTo(row);
    return run->snapshot != NULL;
}

/* --- a row's call -------------------------------------------------------------------------- */

static void add_piece(struct pk_buf *out, const void *at, uint64 len)
{
    pk_buf_add(out, (pk_str){(const char *)&len, sizeof len});
    pk_buf_add(out, (pk_str){at, len});
}

static void add_arg(struct pk_buf *out, Oid type, NullableDatum arg)
{
    int16 len;
    bool by_value;

    add_piece(out, &type, sizeof type);
    add_piece(out, &arg.isnull, sizeof arg.isnull);
    if (arg.isnull)
        return;
    get_typlenbyval(type, &len, &by_value);
    if (by_value) {
        add_piece(out, &arg.value, sizeof arg.value);
    } else if (len > 0) {
        add_piece(out, DatumGetPointer(arg.value), (uint64)len);
    } else {
        struct varlena *v = PG_DETOAST_DATUM_PACKED(arg.value);

        add_piece(out, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
    }
}

/* What equal calls have in common: the function and its arguments. */
static pk_str same_of(const struct pk_scan_call *c, FunctionCallInfo fcinfo, struct pk_arena *arena)
{
    struct pk_buf out = pk_buf_in(arena, PK_CALL_BYTES_MAX);

    add_piece(&out, c->verb->name, strlen(c->verb->name));
    for (int i = 0; i < fcinfo->nargs; i++)
        add_arg(&out, get_fn_expr_argtype(fcinfo->flinfo, i), fcinfo->args[i]);
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

static void read_args(const struct pk_scan_call *c, TupleTableSlot *slot, FunctionCallInfo fcinfo)
{
    for (int i = 0; i < c->arg_count; i++)
        fcinfo->args[i].value = slot_getattr(slot, c->columns[i], &fcinfo->args[i].isnull);
}

static bool build(struct pk_scan_calls *s, const struct pk_scan_call *c, FunctionCallInfo fcinfo,
                  struct pk_item *item, struct pk_error *err)
{
    struct pk_scan_ask *ask = item->host;
    pk_str config;

    if (!pk_verb_begin(c->verb, c->json_config, fcinfo, &ask->run, &config, err) ||
        !resolve(s, config, &ask->run, err))
        return false;
    item->req = ask->run.request;
    item->same = same_of(c, fcinfo, &item->arena);
    item->req.alone = item->req.alone || item->same.len == 0;
    return true;
}

void pk_scan_calls_add(struct pk_scan_calls *s, struct pk_scan_call *c, TupleTableSlot *slot,
                       void *row, int at)
{
    LOCAL_FCINFO(fcinfo, FUNC_MAX_ARGS);
    struct pk_item *item = pk_batch_add(s->batch);
    struct pk_scan_ask *ask = item ? pk_alloc(&item->arena, sizeof *ask) : NULL;
    struct pk_error err = {0};

    if (!ask)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for another row")));
    *ask = (struct pk_scan_ask){.row = row, .at = at, .verb = c->verb};
    ask->run.arena = &item->arena;
    item->host = ask;
    InitFunctionCallInfoData(*fcinfo, &c->function, c->arg_count, InvalidOid, NULL, NULL);
    read_args(c, slot, fcinfo);
    bool asks = !pk_verb_null(c->verb, fcinfo) && build(s, c, fcinfo, item, &ask->given.error);
    item->result = (struct pk_result){.ok = true};
    if (!pk_batch_ready(s->batch, item, !asks, &err))
        pk_throw(&err, PK_NONE, NULL);
}

/* For the flight. */
static void load(void *owner, struct pk_item *item, struct pk_run *run)
{
    const struct pk_scan_ask *ask = item->host;

    *run = ask->run;
}

/* --- what became of it --------------------------------------------------------------------- */

static void keep_given(struct pk_item *item, const struct pk_given *g)
{
    struct pk_scan_ask *ask = item->host;

    ask->given.error = g->error;
    ask->given.detail = pk_copy(&item->arena, g->detail);
    ask->given.hint = g->hint;
    item->result.has_content = !g->is_null && g->error.code == PK_OK;
    if (item->result.has_content)
        item->result.content = pk_copy(&item->arena, g->out);
}

static void land(void *owner, struct pk_item *item, struct pk_run *run, const struct pk_error *err)
{
    struct pk_scan_calls *s = owner;
    struct pk_scan_ask *ask = item->host;
    struct pk_given given = {0};

    if (err) {
        ask->given.error = *err;
        return;
    }
    const struct pk_error *e = pk_call_error(run->task.call);
    const struct pk_record *r = pk_call_record(run->task.call);
    enum pk_cache_status cached = r->cache_status;
    pk_verb_end(ask->verb, run, &given);
    item->result = (struct pk_result){.ok = e->code == PK_OK,
                                      .retryable = e->retryable,
                                      .http_status = e->status,
                                      .cache_status = pk_str_of(pk_cache_status_name(cached)),
                                      .cost_known = r->cost_known,
                                      .cost_pusd = r->cost_pusd};
    keep_given(item, &given);
    s->made++;
    s->hits += cached == PK_CS_HIT || cached == PK_CS_SEMANTIC_HIT;
}

pk_str pk_scan_calls_config(const struct pk_scan_calls *s)
{
    return s->config_count == 1 ? s->configs[0].snapshot->config.slug : PK_NONE;
}

Datum pk_scan_value(const struct pk_item *item, bool *is_null)
{
    const struct pk_scan_ask *ask = item->host;

    if (item->arena.failed)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for an answer")));
    if (ask->given.error.code != PK_OK)
        pk_given_throw(&ask->given);
    *is_null = !item->result.has_content;
    return *is_null ? (Datum)0 : pk_verb_datum(ask->verb, item->result.content);
}

/* --- birth and death ----------------------------------------------------------------------- */

static void forget(void *object)
{
    struct pk_scan_calls *s = object;

    pk_batch_free(s->batch);
}

struct pk_scan_calls *pk_scan_calls_new(MemoryContext context, int concurrency)
{
    MemoryContext outer = MemoryContextSwitchTo(context);
    struct pk_scan_calls *s = palloc0(sizeof *s);
    MemoryContextCallback *going = palloc(sizeof *going);
    struct pk_batch_options o = {
        .concurrency = concurrency, .dedup = true, .as_they_came = true, .max_error_ratio = 1};

    pk_run_check();
    s->context = context;
    s->configs = palloc0(CONFIGS_MAX * sizeof *s->configs);
    *going = (MemoryContextCallback){.func = forget, .arg = s};
    MemoryContextRegisterResetCallback(context, going);
    s->batch = pk_batch_new(pk_allocator_in(context), &o);
    if (!s->batch)
        ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("no memory for a batch")));
    s->flights = (struct pk_flights){.context = context,
                                     .batch = s->batch,
                                     .backend = pk_backend(false),
                                     .concurrency = concurrency,
                                     .load = load,
                                     .land = land,
                                     .owner = s};
    pk_flights_init(&s->flights);
    MemoryContextSwitchTo(outer);
    return s;
}
