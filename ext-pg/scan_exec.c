/* scan_exec.c - PkBatch at run time: reads rows ahead, and gives them away in their order.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows that were read wait in a list, each in a memory context of its own, until the calls of the first are over. How
 * many are read ahead is bounded by calls and bytes (batch.h), and by what the parent will want: exactly as many as a
 * limit says, and from few to many for a parent that may stop at any row.
 *
 * Not ExecScan(): for the recheck of a row that another session has changed it would not run the child.
 */
#include "scan.h"

#include "commands/explain.h"
#include "executor/executor.h"
#include "utils/memutils.h"

enum { WINDOW_START = 8, TURNS = 4 };

struct row {
    MemoryContext context; /* in which it is */
    MinimalTuple tuple;    /* as the child gave it */
    int pending;           /* calls without a value yet */
    Datum *values;         /* of the calls */
    bool *nulls;
    struct row *next;
};

/* Rows that were read for one limit, by all nodes below it (one for each partition). */
struct shared_limit {
    EState *estate;
    int number;
    int64 pulled;
    struct shared_limit *next;
};

static struct shared_limit *limits;

struct scan {
    CustomScanState css; /* first */
    int call_count, column_count;
    struct pk_scan_call *calls;
    enum pk_scan_reads reads;
    ExprState *limit_count, *limit_offset;
    struct shared_limit *shared;
    TupleTableSlot *read; /* a row as the child gave it */
    struct pk_watch *watch;
    struct pk_scan_tale *tale;

    /* From first row to last: */
    MemoryContext context; /* NULL: not begun */
    struct pk_scan_calls *work;
    struct row *first, *last, *given;
    int64 held, pulled, window;
    size_t held_bytes;
    int64 limit; /* rows that the parent will read, or -1 */
    bool eof;
    bool hides; /* the statement is not for the server's log */

    int64 rows, made, hits, asked; /* for explain; of scans before this one */
    int most;
};

/* --- how far ahead ------------------------------------------------------------------------- */

/* A limit's count or offset; `none` when there is none, or it is null. */
static int64 number(struct scan *s, ExprState *e, int64 none)
{
    bool is_null = true;
    Datum value = (Datum)0;

    if (e)
        value = ExecEvalExprSwitchContext(e, s->css.ss.ps.ps_ExprContext, &is_null);
    return is_null ? none : Max(DatumGetInt64(value), 0);
}

static int64 limit_of(struct scan *s)
{
    int64 count = number(s, s->limit_count, -1), offset = number(s, s->limit_offset, 0), sum;

    if (count < 0)
        return -1;
    return __builtin_add_overflow(count, offset, &sum) ? -1 : sum;
}

static void forget_limit(void *object)
{
    struct shared_limit **at = &limits;

    while (*at != object)
        at = &(*at)->next;
    *at = (*at)->next;
}

/* The one of this number in the running plan; lives as long as that. */
static struct shared_limit *share_limit(EState *estate, int number)
{
    struct shared_limit *l = limits;

    while (l && (l->estate != estate || l->number != number))
        l = l->next;
    if (l)
        return l;
    l = MemoryContextAllocZero(estate->es_query_cxt, sizeof *l);
    MemoryContextCallback *going = MemoryContextAlloc(estate->es_query_cxt, sizeof *going);
    *l = (struct shared_limit){.estate = estate, .number = number, .next = limits};
    limits = l;
    *going = (MemoryContextCallback){.func = forget_limit, .arg = l};
    MemoryContextRegisterResetCallback(estate->es_query_cxt, going);
    return l;
}

static int concurrency_of(const struct scan *s)
{
    int64 most = pk_settings.batch ? pk_settings.concurrency : 1;

    if (s->limit >= 0 && s->limit <= most)
        most = Max(Min(most, s->limit * s->call_count), 1);
    return (int)most;
}

/* Whether another row may be read although the first is not ready. */
static bool may_read(const struct scan *s)
{
    if (s->eof)
        return false;
    if (!s->first)
        return true;
    if (!pk_settings.batch || s->held >= s->window || s->held_bytes >= PK_BATCH_AHEAD_BYTES)
        return false;
    return (s->limit < 0 || s->shared->pulled < s->limit) && pk_batch_wants(s->work->batch);
}

/* After a row was given away: whoever has read so many reads on. */
static void widen(struct scan *s)
{
    if (s->reads == PK_READS_SOME && s->pulled - s->held >= s->window)
        s->window *= 2;
}

/* --- rows ---------------------------------------------------------------------------------- */

static struct row *new_row(struct scan *s, TupleTableSlot *slot)
{
    MemoryContext context = AllocSetContextCreate(s->context, "pk row", ALLOCSET_SMALL_SIZES);
    MemoryContext outer = MemoryContextSwitchTo(context);
    struct row *row = palloc0(sizeof *row);

    row->context = context;
    row->tuple = ExecCopySlotMinimalTuple(slot);
    row->values = palloc0((size_t)s->call_count * sizeof *row->values);
    row->nulls = palloc0((size_t)s->call_count * sizeof *row->nulls);
    row->pending = s->call_count;
    *(s->last ? &s->last->next : &s->first) = row;
    s->last = row;
    s->held++;
    s->pulled++;
    if (s->shared)
        s->shared->pulled++;
    s->held_bytes += row->tuple->t_len;
    MemoryContextSwitchTo(outer);
    return row;
}

static void drop_given(struct scan *s)
{
    ExecClearTuple(s->css.ss.ss_ScanTupleSlot);
    ExecClearTuple(s->read);
    if (s->given)
        MemoryContextDelete(s->given->context);
    s->given = NULL;
}

static void read_row(struct scan *s)
{
    TupleTableSlot *slot = ExecProcNode(linitial(s->css.custom_ps));

    if (TupIsNull(slot)) {
        s->eof = true;
        pk_batch_eof(s->work->batch);
        return;
    }
    struct row *row = new_row(s, slot);
    MemoryContext outer = MemoryContextSwitchTo(row->context);
    ExecStoreMinimalTuple(row->tuple, s->read, false);
    for (int i = 0; i < s->call_count; i++)
        pk_scan_calls_add(s->work, &s->calls[i], s->read, row, i);
    ExecClearTuple(s->read);
    MemoryContextSwitchTo(outer);
    s->asked += s->call_count;
}

/* Gives values to rows, up to the first call that is not over. */
static void take_values(struct scan *s)
{
    struct pk_item *item;

    while (s->first && s->first->pending > 0 && (item = pk_batch_take(s->work->batch))) {
        const struct pk_scan_ask *ask = item->host;
        struct row *row = ask->row;
        MemoryContext outer = MemoryContextSwitchTo(row->context);

        row->values[ask->at] = pk_scan_value(item, &row->nulls[ask->at]);
        MemoryContextSwitchTo(outer);
        row->pending--;
        pk_batch_drop(s->work->batch, item);
    }
}

static struct row *give_first(struct scan *s)
{
    struct row *row = s->first;

    s->first = row->next;
    if (!s->first)
        s->last = NULL;
    s->held--;
    s->held_bytes -= row->tuple->t_len;
    s->given = row;
    widen(s);
    return row;
}

/* Of all its rows, however often it is scanned. */
static void watch(struct scan *s)
{
    MemoryContext outer = MemoryContextSwitchTo(s->css.ss.ps.state->es_query_cxt);

    s->watch = pk_watch_new("PkBatch", -1);
    MemoryContextSwitchTo(outer);
}

static void begin(struct scan *s)
{
    s->limit = limit_of(s);
    s->context =
        AllocSetContextCreate(s->css.ss.ps.state->es_query_cxt, "PkBatch", ALLOCSET_DEFAULT_SIZES);
    s->work = pk_scan_calls_new(s->context, concurrency_of(s));
    if (!s->watch)
        watch(s);
    s->window = s->reads == PK_READS_SOME ? WINDOW_START : PG_INT64_MAX / 2;
}

/* The next row with the values of its calls; NULL behind the last. */
static struct row *next_row(struct scan *s)
{
    drop_given(s);
    if (!s->context)
        begin(s);
    for (;;) {
        bool reads = may_read(s);

        CHECK_FOR_INTERRUPTS();
        if (reads)
            read_row(s);
        pk_flights_start(&s->work->flights);
        for (int i = 0; i < TURNS; i++)
            pk_flights_turn(&s->work->flights, false);
        take_values(s);
        if (s->first && s->first->pending == 0)
            return give_first(s);
        if (s->eof && !s->first)
            return NULL;
        pk_watch_turn(s->watch, pk_scan_calls_config(s->work), s->work->batch);
        s->work->flights.look_ms = pk_watch_due_ms(s->watch);
        if (!may_read(s))
            pk_flights_turn(&s->work->flights, true);
    }
}

/* As one that calls a function does: what is secret is not in the server's log when it fails. */
static struct row *next_row_hiding(struct scan *s)
{
    int level = NewGUCNestLevel();

    if (s->hides)
        pk_hide_statement();
    (void)pk_hid_statement();
    struct row *row = next_row(s);
    s->hides = pk_hid_statement() || s->hides;
    AtEOXact_GUC(true, level);
    return row;
}

static TupleTableSlot *store(struct scan *s, const struct row *row)
{
    TupleTableSlot *out = s->css.ss.ss_ScanTupleSlot;

    ExecStoreMinimalTuple(row->tuple, s->read, false);
    slot_getallattrs(s->read);
    for (int i = 0; i < s->column_count; i++) {
        out->tts_values[i] = s->read->tts_values[i];
        out->tts_isnull[i] = s->read->tts_isnull[i];
    }
    for (int i = 0; i < s->call_count; i++) {
        out->tts_values[s->column_count + i] = row->values[i];
        out->tts_isnull[s->column_count + i] = row->nulls[i];
    }
    return ExecStoreVirtualTuple(out);
}

/* --- the node ------------------------------------------------------------------------------ */

static void stop(struct scan *s)
{
    drop_given(s);
    if (!s->context)
        return;
    s->made += s->work->made;
    s->hits += s->work->hits;
    s->most = Max(s->most, s->work->flights.most);
    pk_watch_part(s->watch, s->work->batch);
    MemoryContextDelete(s->context);
    s->context = NULL;
    s->work = NULL;
    s->first = s->last = NULL;
    if (s->shared)
        s->shared->pulled -= s->pulled;
    s->held = s->pulled = 0;
    s->held_bytes = 0;
    s->eof = false;
}

static void open_calls(struct scan *s, const CustomScan *plan)
{
    List *columns = list_nth(plan->custom_private, PK_SCAN_CALLS);
    List *nodes = list_nth(plan->custom_private, PK_SCAN_NODES);

    s->call_count = list_length(nodes);
    s->calls = palloc0((size_t)s->call_count * sizeof *s->calls);
    for (int i = 0; i < s->call_count; i++)
        pk_scan_call_open(&s->calls[i], list_nth(nodes, i), list_nth(columns, i));
}

static void begin_scan(CustomScanState *node, EState *estate, int eflags)
{
    struct scan *s = (struct scan *)node;
    CustomScan *plan = (CustomScan *)node->ss.ps.plan;
    PlanState *child = ExecInitNode(linitial(plan->custom_plans), estate, eflags);

    node->custom_ps = list_make1(child);
    open_calls(s, plan);
    s->tale = pk_scan_tale_join(estate);
    s->column_count = list_length(((Plan *)linitial(plan->custom_plans))->targetlist);
    s->reads = (enum pk_scan_reads)intVal(list_nth(plan->custom_private, PK_SCAN_READS));
    s->read = ExecInitExtraTupleSlot(estate, ExecGetResultType(child), &TTSOpsMinimalTuple);
    if (s->reads == PK_READS_LIMIT) {
        List *limit = list_nth(plan->custom_private, PK_SCAN_LIMIT);

        s->limit_count = ExecInitExpr(linitial(limit), &node->ss.ps);
        s->limit_offset = ExecInitExpr(lsecond(limit), &node->ss.ps);
        s->shared = share_limit(estate, (int)intVal(lthird(limit)));
    }
}

static TupleTableSlot *exec_scan(CustomScanState *node)
{
    struct scan *s = (struct scan *)node;
    ExprContext *context = node->ss.ps.ps_ExprContext;
    ProjectionInfo *projection = node->ss.ps.ps_ProjInfo;

    for (;;) {
        ResetExprContext(context);
        const struct row *row = next_row_hiding(s);
        if (!row)
            return projection ? ExecClearTuple(projection->pi_state.resultslot) : NULL;
        s->rows++;
        context->ecxt_scantuple = store(s, row);
        if (!node->ss.ps.qual || ExecQual(node->ss.ps.qual, context))
            return projection ? ExecProject(projection) : context->ecxt_scantuple;
        InstrCountFiltered1(&node->ss, 1);
    }
}

static void end_scan(CustomScanState *node)
{
    struct scan *s = (struct scan *)node;
    const struct pk_batch_progress none = {0};

    stop(s);
    ExecEndNode(linitial(node->custom_ps));
    pk_scan_tale_end(s->tale, s->watch ? &s->watch->before : &none);
}

static void rescan(CustomScanState *node)
{
    PlanState *child = linitial(node->custom_ps);

    stop((struct scan *)node);
    if (node->ss.ps.chgParam)
        UpdateChangedParamSet(child, node->ss.ps.chgParam);
    if (!child->chgParam)
        ExecReScan(child);
}

static void explain_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
    struct scan *s = (struct scan *)node;
    int64 made = s->made + (s->work ? s->work->made : 0);
    int64 hits = s->hits + (s->work ? s->work->hits : 0);
    List *names = NIL;

    for (int i = 0; i < s->call_count; i++)
        names = lappend(names, psprintf("%s(...)", s->calls[i].verb->name));
    ExplainPropertyList("Calls", names, es);
    ExplainPropertyInteger("Concurrency", NULL, pk_settings.batch ? pk_settings.concurrency : 1,
                           es);
    if (!es->analyze)
        return;
    ExplainPropertyInteger("Calls Made", NULL, made - hits, es);
    ExplainPropertyInteger("Cache Hits", NULL, hits, es);
    ExplainPropertyInteger("Equal Calls", NULL, Max(s->asked - made, 0), es);
    ExplainPropertyInteger("Most in Flight", NULL,
                           Max(s->most, s->work ? s->work->flights.most : 0), es);
}

const CustomExecMethods pk_scan_exec_methods = {
    .CustomName = "PkBatch",
    .BeginCustomScan = begin_scan,
    .ExecCustomScan = exec_scan,
    .EndCustomScan = end_scan,
    .ReScanCustomScan = rescan,
    .ExplainCustomScan = explain_scan,
};

Node *pk_scan_new_state(CustomScan *plan)
{
    struct scan *s = palloc0(sizeof *s);

    NodeSetTag(s, T_CustomScanState);
    s->css.methods = &pk_scan_exec_methods;
    return (Node *)s;
}
