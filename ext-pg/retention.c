/* retention.c - rows that are older than they may be go; settings of the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The writer (worker.c) sweeps when it has nothing to write, a step a transaction. What is too old while nobody
 * calls, when there is no writer, waits for the next call or for pk_retention_run(), which has a worker of
 * its own make a whole pass: a function cannot commit between two steps.
 *
 * A retention that the server's files give (pk.retention_logs) is written to the store, where all find it.
 */
#include "pk_pg.h"

#include "store_audit.h"
#include "store_sweep.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqsignal.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* What a pass leaves for who asked for it. */
struct pass {
    bool done;
    struct pk_swept swept;
    char why[256]; /* it is not done */
};

PGDLLEXPORT void pk_retention_main(Datum segment);

/* --- a step ------------------------------------------------------------------------------ */

static bool adopt_settings(struct pk_store *store, struct pk_error *err)
{
    struct pk_arena *arena = pk_arena_here();

    pk_store_act_as(store, "server", PK_STR("postgresql.conf"));
    for (int i = 0; i < PK_KEPT_COUNT; i++) {
        pk_str value = pk_str_of(pk_settings.retention[i]);

        if (value.len && !pk_store_setting_put(store, arena, pk_str_of(pk_kept_setting(i)), value,
                                               pk_clock_us(), err))
            return false;
    }
    return true;
}

static bool sweep(struct pk_sweep *w, enum pk_sweep_then *then, struct pk_error *err)
{
    struct pk_home home;

    if (!pk_home_find(&home))
        return pk_fail(err, PK_NOT_FOUND, "the extension is not there");
    struct pk_store *store = pk_store_spi(home, PK_WRITE);
    bool ok = (w->stage > 0 || w->steps > 0 || adopt_settings(store, err)) &&
              pk_store_sweep(store, w, pk_clock_us(), then, err);
    (void)pk_store_spi_sqlstate(store); /* forgets what was thrown: the transaction is undone */
    return ok;
}

/* In a transaction of its own. */
static bool step(struct pk_sweep *w, enum pk_sweep_then *then, struct pk_error *err)
{
    int64_t from_us = pk_clock_mono_us();

    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    bool ok = sweep(w, then, err);
    if (ok) {
        PopActiveSnapshot();
        CommitTransactionCommand();
    } else {
        AbortCurrentTransaction();
    }
    pk_report_stat();
    pk_sweep_took(w, pk_clock_mono_us() - from_us);
    return ok;
}

/* --- in the writer -------------------------------------------------------------------------- */

long pk_retention_turn(void)
{
    static struct pk_sweep w;
    static int64_t next_ms;
    struct pk_error err;
    enum pk_sweep_then then = PK_SWEEP_OVER;

    if (pk_clock_ms() < next_ms)
        return (long)(next_ms - pk_clock_ms());
    pgstat_report_activity(STATE_RUNNING, "pk: deleting rows by their retention");
    bool ok = step(&w, &then, &err);
    if (!ok)
        ereport(LOG, (errmsg("pk: old rows cannot be deleted: %s", err.msg)));
    pgstat_report_activity(STATE_IDLE, NULL);
    long pause_ms = (long)pk_sweep_pause_ms(ok, then);
    next_ms = pk_clock_ms() + pause_ms;
    return pause_ms;
}

/* --- a whole pass ---------------------------------------------------------------------------- */

static void run_pass(struct pass *p)
{
    struct pk_sweep w = {0};
    enum pk_sweep_then then = PK_SWEEP_ON;
    struct pk_error err;

    while (then != PK_SWEEP_OVER) {
        CHECK_FOR_INTERRUPTS();
        if (!step(&w, &then, &err)) {
            strlcpy(p->why, err.msg, sizeof p->why);
            return;
        }
    }
    p->swept = w.swept;
    p->done = true;
}

void pk_retention_main(Datum handle)
{
    Oid database;

    memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof database);
    pk_worker_prepare(database);
    pqsignal(SIGTERM, die); /* at once, whatever it waits for: a step can be undone */
    CurrentResourceOwner = ResourceOwnerCreate(NULL, "pk retention");
    dsm_segment *segment = dsm_attach(DatumGetUInt32(handle));
    if (!segment)
        proc_exit(0); /* who asked has gone */
    pgstat_report_activity(STATE_RUNNING, "pk: deleting rows by their retention");
    ResourceOwner owner = CurrentResourceOwner;
    run_pass(dsm_segment_address(segment));
    CurrentResourceOwner = owner;
    dsm_detach(segment);
    proc_exit(0);
}

static void start_pass(dsm_segment *segment, BackgroundWorkerHandle **worker)
{
    BackgroundWorker w = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
        .bgw_start_time = BgWorkerStart_RecoveryFinished,
        .bgw_restart_time = BGW_NEVER_RESTART,
        .bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment)),
        .bgw_notify_pid = MyProcPid,
    };

    (void)snprintf(w.bgw_name, sizeof w.bgw_name, "pk retention for database %u", MyDatabaseId);
    (void)snprintf(w.bgw_type, sizeof w.bgw_type, "pk retention");
    (void)snprintf(w.bgw_library_name, sizeof w.bgw_library_name, PK_LIBRARY);
    (void)snprintf(w.bgw_function_name, sizeof w.bgw_function_name, "pk_retention_main");
    memcpy(w.bgw_extra, &MyDatabaseId, sizeof MyDatabaseId);
    if (!RegisterDynamicBackgroundWorker(&w, worker))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                        errmsg("no background worker is free to delete old rows"),
                        errhint("Raise max_worker_processes, or try again later.")));
}

static void wait_for_pass(BackgroundWorkerHandle *worker)
{
    PG_TRY();
    {
        if (WaitForBackgroundWorkerShutdown(worker) == BGWH_POSTMASTER_DIED)
            ereport(FATAL, (errcode(ERRCODE_ADMIN_SHUTDOWN), errmsg("the server has gone")));
    }
    PG_CATCH();
    {
        TerminateBackgroundWorker(worker); /* between two steps */
        PG_RE_THROW();
    }
    PG_END_TRY();
}

PK_FUNCTION(pk_sql_retention_run);
Datum pk_sql_retention_run(PG_FUNCTION_ARGS)
{
    struct pk_buf out = pk_buf_in(pk_arena_here(), PK_CONFIG_BYTES_MAX);
    BackgroundWorkerHandle *worker;

    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("a standby deletes nothing of its own")));
    dsm_segment *segment = dsm_create(sizeof(struct pass), 0);
    struct pass *pass = dsm_segment_address(segment);
    memset(pass, 0, sizeof *pass);
    start_pass(segment, &worker);
    wait_for_pass(worker);
    if (!pass->done)
        ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
                        errmsg("old rows could not all be deleted: %s",
                               pass->why[0] ? pass->why : "the worker was stopped")));
    pk_swept_print(&pass->swept, &out);
    dsm_detach(segment);
    return pk_jsonb_datum(pk_buf_str(&out));
}

/* --- settings of the store ---------------------------------------------------------------------- */

static void check(struct pk_store *s, bool ok, const struct pk_error *err)
{
    pk_store_spi_check(s);
    if (!ok)
        pk_throw(err, PK_NONE,
                 err->code == PK_NOT_FOUND
                     ? "Other settings of pk are those of the server: SET pk.name = value."
                     : NULL);
}

PK_FUNCTION(pk_sql_set);
Datum pk_sql_set(PG_FUNCTION_ARGS)
{
    struct pk_error err;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_WRITE);
    pk_store_act_as(s, "role", pk_str_of(GetUserNameFromId(GetUserId(), false)));
    bool ok = pk_store_setting_put(s, pk_arena_here(), pk_arg_text(fcinfo, 0),
                                   pk_arg_text(fcinfo, 1), pk_clock_us(), &err);
    check(s, ok, &err);
    if (PG_ARGISNULL(1))
        PG_RETURN_NULL();
    return PG_GETARG_DATUM(1);
}

PK_FUNCTION(pk_sql_get);
Datum pk_sql_get(PG_FUNCTION_ARGS)
{
    struct pk_error err;
    pk_str value = PK_NONE;

    if (PG_ARGISNULL(0))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    bool ok = pk_store_setting_known(pk_arg_text(fcinfo, 0))
                  ? pk_store_setting_get(s, pk_arena_here(), pk_arg_text(fcinfo, 0), &value, &err)
                  : pk_fail(&err, PK_NOT_FOUND, "no setting of the store is named \"%.*s\"",
                            PK_FMT(pk_str_sub(pk_arg_text(fcinfo, 0), 0, 64)));
    check(s, ok, &err);
    if (value.len == 0)
        PG_RETURN_NULL();
    return pk_text_datum(value);
}
