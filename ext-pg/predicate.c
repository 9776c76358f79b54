/* predicate.c - predicates of stored guardrails, run by SPI.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The statement runs with the rights of the role that stored it, as a security-restricted operation, in a
 * subtransaction that is read only, with a search_path of pg_catalog and the extension's schema, and for at
 * most its time. What goes wrong in it is an error of the check, not of the caller's statement; but in the
 * leader of a parallel query, where there can be no subtransaction, it is one of the statement.
 */
#include "pk_pg.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/resowner.h"
#include "utils/timeout.h"

enum { PARAMETERS = 3 };

static TimeoutId timer;
static bool has_timer;
static volatile sig_atomic_t overdue;

/* In a signal handler: like a cancelled statement, but known to be ours. */
static void on_timeout(void)
{
    overdue = true;
    QueryCancelPending = true;
    InterruptPending = true;
    SetLatch(MyLatch);
}

static void start_timer(int64_t ms)
{
    if (!has_timer)
        timer = RegisterTimeout(USER_TIMEOUT, on_timeout);
    has_timer = true;
    overdue = false;
    if (ms > 0)
        enable_timeout_after(timer, (int)ms);
}

static void stop_timer(void)
{
    disable_timeout(timer, false);
    if (overdue)
        QueryCancelPending = false;
}

/* Whether it reads, and does nothing else that one can see. */
static bool is_select(const CachedPlanSource *source)
{
    const Query *query;

    if (list_length(source->query_list) != 1)
        return false;
    query = linitial(source->query_list);
    return query->commandType == CMD_SELECT && !query->hasModifyingCTE && !query->rowMarks;
}

static SPIPlanPtr prepare(const struct pk_guard_query *q)
{
    Oid types[PARAMETERS] = {TEXTOID, JSONBOID, JSONBOID};
    SPIPlanPtr plan = SPI_prepare(q->sql.at, PARAMETERS, types);

    if (!plan)
        elog(ERROR, "pk: could not prepare a predicate: %s", SPI_result_code_string(SPI_result));
    List *sources = SPI_plan_get_plan_sources(plan);
    if (list_length(sources) != 1 || !is_select(linitial(sources)))
        ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR), errmsg("must be one SELECT")));
    CachedPlanSource *source = linitial(sources);
    if (source->resultDesc->natts != 1 || TupleDescAttr(source->resultDesc, 0)->atttypid != BOOLOID)
        ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("must be of type boolean")));
    return plan;
}

static void execute(SPIPlanPtr plan, const struct pk_guard_query *q, int *truth)
{
    Datum values[PARAMETERS] = {pk_text_datum(q->text), pk_jsonb_datum(q->metadata),
                                pk_jsonb_datum(q->document)};
    bool is_null;
    int done = SPI_execute_plan(plan, values, NULL, true, 1);

    if (done < 0)
        elog(ERROR, "pk: a predicate failed: %s", SPI_result_code_string(done));
    *truth = -1;
    if (SPI_processed == 0)
        return;
    Datum d = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (!is_null)
        *truth = DatumGetBool(d);
}

/* Throws. */
static void run(const char *path, Oid role, const struct pk_guard_query *q, int *truth)
{
    bool was_read_only = XactReadOnly;
    int level = NewGUCNestLevel();
    Oid user;
    int security;

    (void)set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
                            0, false);
    GetUserIdAndSecContext(&user, &security);
    SetUserIdAndSecContext(role,
                           security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
    XactReadOnly = true;
    SPI_connect();
    SPIPlanPtr plan = prepare(q);
    if (truth)
        execute(plan, q, truth);
    SPI_finish();
    XactReadOnly = was_read_only;
    SetUserIdAndSecContext(user, security);
    AtEOXact_GUC(true, level);
}

/* What the error means for the check, or for the statement when it is the user who cancels. */
static bool told(const ErrorData *e, const struct pk_guard_query *q, struct pk_error *err)
{
    if (e->sqlerrcode == ERRCODE_QUERY_CANCELED && !overdue)
        return pk_fail(err, PK_CANCELLED, "cancelled");
    if (e->sqlerrcode == ERRCODE_QUERY_CANCELED)
        return pk_fail(err, PK_TIMEOUT, "predicate: not done within %lld ms",
                       (long long)q->timeout_ms);
    return pk_fail(err, PK_BAD_CONFIG, "predicate: %s", e->message);
}

static bool run_apart(const char *path, Oid role, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err)
{
    MemoryContext context = CurrentMemoryContext;
    ResourceOwner owner = CurrentResourceOwner;
    volatile bool ok = true;

    BeginInternalSubTransaction(NULL);
    MemoryContextSwitchTo(context);
    PG_TRY();
    {
        run(path, role, q, truth);
        ReleaseCurrentSubTransaction();
    }
    PG_CATCH();
    {
        MemoryContextSwitchTo(context);
        ErrorData *e = CopyErrorData();
        FlushErrorState();
        RollbackAndReleaseCurrentSubTransaction();
        ok = told(e, q, err);
        FreeErrorData(e);
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    return ok;
}

bool pk_spi_predicate(struct pk_store *s, const struct pk_guard_query *q, int *truth,
                      struct pk_error *err)
{
    Oid role = q->owner.len ? get_role_oid(q->owner.at, true) : InvalidOid;
    bool ok = true;

    if (!OidIsValid(role))
        return pk_fail(err, PK_BAD_CONFIG, "predicate: its owner \"%.*s\" is no role any more",
                       PK_FMT(q->owner));
    start_timer(q->timeout_ms);
    if (IsInParallelMode())
        run(pk_store_spi_path(s), role, q, truth);
    else
        ok = run_apart(pk_store_spi_path(s), role, q, truth, err);
    stop_timer();
    return ok;
}
