/* pass.c - see pass.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

#include "pass.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqsignal.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

/* --- a transaction ------------------------------------------------------------------------- */

static bool with_store(enum pk_access access, pk_transact_fn *work, void *ctx, struct pk_error *err)
{
    struct pk_home home;

    if (!pk_home_find(&home))
        return pk_fail(err, PK_NOT_FOUND, "the extension is not there");
    struct pk_store *store = pk_store_spi(home, access);
    bool ok = work(ctx, store, err);
    (void)pk_store_spi_sqlstate(store); /* forgets what was thrown: the transaction is undone */
    return ok;
}

bool pk_transact(enum pk_access access, pk_transact_fn *work, void *ctx, struct pk_error *err)
{
    MemoryContext before = CurrentMemoryContext;

    SetCurrentStatementStartTimestamp();
    StartTransactionCommand();
    PushActiveSnapshot(GetTransactionSnapshot());
    bool ok = with_store(access, work, ctx, err);
    if (ok) {
        PopActiveSnapshot();
        CommitTransactionCommand();
    } else {
        AbortCurrentTransaction();
    }
    MemoryContextSwitchTo(before);
    pk_report_stat();
    return ok;
}

/* --- who asks ------------------------------------------------------------------------------ */

dsm_segment *pk_pass_new(size_t size)
{
    if (RecoveryInProgress())
        ereport(ERROR, (errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
                        errmsg("a standby deletes nothing of its own")));
    dsm_segment *segment = dsm_create(size, 0);
    memset(dsm_segment_address(segment), 0, size);
    return segment;
}

static void start(dsm_segment *segment, const char *what, const char *function,
                  BackgroundWorkerHandle **worker)
{
    BackgroundWorker w = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
        .bgw_start_time = BgWorkerStart_RecoveryFinished,
        .bgw_restart_time = BGW_NEVER_RESTART,
        .bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment)),
        .bgw_notify_pid = MyProcPid,
    };

    (void)snprintf(w.bgw_name, sizeof w.bgw_name, "pk %s for database %u", what, MyDatabaseId);
    (void)snprintf(w.bgw_type, sizeof w.bgw_type, "pk %s", what);
    (void)snprintf(w.bgw_library_name, sizeof w.bgw_library_name, PK_LIBRARY);
    (void)snprintf(w.bgw_function_name, sizeof w.bgw_function_name, "%s", function);
    memcpy(w.bgw_extra, &MyDatabaseId, sizeof MyDatabaseId);
    if (!RegisterDynamicBackgroundWorker(&w, worker))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                        errmsg("no background worker is free to delete rows"),
                        errhint("Raise max_worker_processes, or try again later.")));
}

static void wait_for(BackgroundWorkerHandle *worker)
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

void pk_pass_make(dsm_segment *segment, const char *what, const char *function, const char *failed)
{
    const struct pk_pass *pass = dsm_segment_address(segment);
    BackgroundWorkerHandle *worker;

    start(segment, what, function, &worker);
    wait_for(worker);
    if (!pass->done)
        ereport(ERROR,
                (errcode(ERRCODE_SYSTEM_ERROR),
                 errmsg("%s: %s", failed, pass->why[0] ? pass->why : "the worker was stopped")));
}

/* --- who works ----------------------------------------------------------------------------- */

void pk_pass_main(Datum handle, const char *activity, void (*run)(struct pk_pass *pass))
{
    Oid database;

    memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof database);
    pk_worker_prepare(database);
    pqsignal(SIGTERM, die); /* at once, whatever it waits for: a step can be undone */
    CurrentResourceOwner = ResourceOwnerCreate(NULL, "pk pass");
    dsm_segment *segment = dsm_attach(DatumGetUInt32(handle));
    if (!segment)
        proc_exit(0); /* who asked has gone */
    pgstat_report_activity(STATE_RUNNING, activity);
    ResourceOwner owner = CurrentResourceOwner;
    MemoryContextSwitchTo(TopMemoryContext);
    run(dsm_segment_address(segment));
    CurrentResourceOwner = owner;
    dsm_detach(segment);
    proc_exit(0);
}
