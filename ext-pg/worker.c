/* worker.c - the one process of a database that writes what the ring holds.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Started by the first put, gone after two idle seconds, so that DROP DATABASE, which waits five, works.
 * It connects as the bootstrap superuser and executes each statement as the owner of the extension
 * (store_spi.c). Entries are applied in batches, each in a transaction of its own that does not wait
 * for the disk; only then are they taken off the ring, so that none is lost with the worker, and
 * applying one twice is harmless. The disk is waited for afterwards, once for many batches, so that a
 * crash takes no more than the last SYNC_MS.
 *
 * A batch that fails is tried entry by entry. An entry that can never be applied is dropped and
 * reported; anything else (no extension yet, a lock, a full disk) is tried again later.
 *
 * It also answers backends that ask what a call may use (asks.c), before everything else.
 * Between two rounds it deletes old rows (retention.c), which does not count as being busy.
 *
 * At shutdown it drains what is there, and tells the ring that nobody will come.
 */
#include "pk_pg.h"

#include "asks.h"
#include "pass.h"
#include "store_group.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "libpq/pqsignal.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

enum {
    IDLE_MS = 2000,
    LINGER_MS = 10, /* rows that come together are committed together */
    RETRY_MS = 200,
    RETRIES_MAX = 10, /* then it ends, and the next put starts another */
    SYNC_MS = 50,
    BATCH_BYTES = 1 << 20,
};

/* How a batch, or a single entry, ended. */
enum outcome { APPLIED, LATER, NEVER };

static struct pk_store group; /* what the store of each batch gathers in */
static bool kept;             /* the last batch was committed */

PGDLLEXPORT void pk_worker_main(Datum database);

bool pk_worker_start(void)
{
    BackgroundWorker w = {
        .bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
        .bgw_start_time = BgWorkerStart_RecoveryFinished,
        .bgw_restart_time = BGW_NEVER_RESTART,
        .bgw_main_arg = ObjectIdGetDatum(MyDatabaseId),
    };

    (void)snprintf(w.bgw_name, sizeof w.bgw_name, "pk writer for database %u", MyDatabaseId);
    (void)snprintf(w.bgw_type, sizeof w.bgw_type, "pk writer");
    (void)snprintf(w.bgw_library_name, sizeof w.bgw_library_name, PK_LIBRARY);
    (void)snprintf(w.bgw_function_name, sizeof w.bgw_function_name, "pk_worker_main");
    return RegisterDynamicBackgroundWorker(&w, NULL);
}

/* Errors that go away: class 40 (deadlock), 53 (resources), 55 (locks), 57 (intervention), 58 (system),
 * 42P01 and 3F000 (the relations are not there at the moment), 25 (read-only). */
static enum outcome judge(int sqlstate)
{
    static const char classes[][3] = {"25", "40", "53", "55", "57", "58", "3F"};
    const char *text = unpack_sql_state(sqlstate);

    for (size_t i = 0; i < lengthof(classes); i++)
        if (strncmp(text, classes[i], 2) == 0)
            return LATER;
    return sqlstate == MAKE_SQLSTATE('4', '2', 'P', '0', '1') ? LATER : NEVER;
}

/* Why an entry was not written. */
static enum outcome tell(struct pk_store *store, const struct pk_error *err)
{
    enum outcome outcome = judge(pk_store_spi_sqlstate(store));

    ereport(LOG, (errmsg("pk: a log row or cache entry %s: %s",
                         outcome == LATER ? "has to wait" : "cannot be written", err->msg)));
    return outcome;
}

struct batch {
    pk_str bytes;
    uint64 count; /* that were applied */
    enum outcome outcome;
};

static enum outcome apply_entries(struct pk_store *store, struct batch *b, struct pk_error *err)
{
    pk_str entry;

    store->cache_max = (struct pk_cache_max){.bytes = (int64_t)pk_settings.cache_max_mb << 20,
                                             .entries = pk_settings.cache_max_entries};
    store->settling = group.settling;
    store->packing = group.packing;
    store->rows = group.rows;
    if (!pk_store_group_begin(store, kept, err))
        return tell(store, err);
    kept = false;
    while (pk_entry_next(&b->bytes, &entry)) {
        CHECK_FOR_INTERRUPTS();
        if (!pk_journal_apply(store, entry, err))
            return tell(store, err);
        b->count++;
    }
    return pk_store_group_settle(store, err) ? APPLIED : tell(store, err);
}

static bool apply_all(void *ctx, struct pk_store *store, struct pk_error *err)
{
    struct batch *b = ctx;

    b->outcome = apply_entries(store, b, err);
    return b->outcome == APPLIED;
}

/* One transaction: all of it, or nothing. */
static enum outcome apply_batch(pk_str bytes, uint64 *count)
{
    struct batch b = {.bytes = bytes, .outcome = LATER}; /* when there is no extension yet */
    struct pk_error err;

    kept = pk_transact(PK_APPLY, apply_all, &b, &err) || kept;
    *count = b.count;
    return b.outcome;
}

/* Entry by entry, after the batch as a whole did not do. */
static enum outcome apply_singly(pk_str bytes, uint64 *applied, uint64 *dropped)
{
    pk_str rest = bytes, entry;
    uint64 count;

    while (pk_entry_next(&rest, &entry)) {
        pk_str one = pk_str_sub(bytes, 0, bytes.len - rest.len);
        enum outcome outcome = apply_batch(one, &count);
        if (outcome == LATER)
            return LATER;
        if (outcome == NEVER && pk_entry_next(&one, &entry))
            (void)pk_backlog_park(MyDatabaseId, entry);
        *applied += outcome == APPLIED;
        *dropped += outcome == NEVER;
        bytes = rest;
    }
    return APPLIED;
}

static bool apply(pk_str bytes, uint64 *applied, uint64 *dropped)
{
    enum outcome outcome = apply_batch(bytes, applied);

    *dropped = 0;
    if (outcome == NEVER) {
        *applied = 0;
        outcome = apply_singly(bytes, applied, dropped);
    }
    return outcome == APPLIED;
}

/* What was committed is on disk after this. */
static void reach_disk(bool at_once)
{
    static XLogRecPtr synced;
    static TimestampTz last;

    if (XactLastCommitEnd == synced ||
        (!at_once && !TimestampDifferenceExceeds(last, GetCurrentTimestamp(), SYNC_MS)))
        return;
    XLogFlush(XactLastCommitEnd);
    synced = XactLastCommitEnd;
    last = GetCurrentTimestamp();
}

/* Whether there was something, or it failed. */
enum drained { NOTHING, SOME, FAILED };

static enum drained drain_batch(void)
{
    uint64 upto, applied, dropped;
    char *bytes;
    size_t len;

    if (!pk_ring_read(BATCH_BYTES, &bytes, &len, &upto))
        return NOTHING;
    if (!apply((pk_str){bytes, len}, &applied, &dropped))
        return FAILED;
    pk_ring_done(upto, applied, dropped);
    pfree(bytes);
    return SOME;
}

/* What calls that are over have to settle. */
static void settle_calls(void)
{
    (void)drain_batch();
}

static bool answer_asks(void)
{
    return pk_asks_serve(settle_calls);
}

static bool drain_spool(void)
{
    uint64 applied, dropped;
    char *bytes;
    size_t len;

    if (!pk_backlog_exists(MyDatabaseId))
        return true;
    for (;;) {
        if (!pk_backlog_read(MyDatabaseId, BATCH_BYTES, &bytes, &len))
            return false;
        if (len == 0)
            break;
        if (!apply((pk_str){bytes, len}, &applied, &dropped)) {
            pk_backlog_done(false);
            return false;
        }
        pfree(bytes);
        pk_ring_done(0, applied, dropped);
        reach_disk(false);
        (void)answer_asks();
    }
    pk_backlog_done(true);
    pk_ring_done(0, 0, 0); /* whoever waits for the spool */
    return true;
}

/* Whoever waits for an answer does not wait for more than one batch. */
static bool drain_ring(void)
{
    enum drained drained;

    while ((drained = drain_batch()) == SOME) {
        reach_disk(false);
        (void)answer_asks();
    }
    return drained == NOTHING;
}

static bool write_hits(void *ctx, struct pk_store *store, struct pk_error *err)
{
    return pk_hits_write(store, err);
}

static void settle_hits(bool now)
{
    bool flushing = pk_ring_flushing();

    struct pk_error err;

    if (pk_hits_due(now || flushing)) /* a failure loses the counts and nothing else */
        (void)pk_transact(PK_WRITE, write_hits, NULL, &err);
    pk_asks_end_leases(now || flushing);
    if (!pk_hits_due(true))
        pk_ring_flushed();
}

static bool drain(MemoryContext context)
{
    MemoryContextReset(context);
    MemoryContextSwitchTo(context);
    pgstat_report_activity(STATE_RUNNING, "pk: writing log rows and cache entries");
    bool done = drain_ring() && drain_spool();
    pgstat_report_activity(STATE_IDLE, NULL);
    MemoryContextSwitchTo(TopMemoryContext);
    return done;
}

static void nap(long ms)
{
    (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
                    PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

/* Whether it is time to go, with nothing left to do. */
static bool may_leave(TimestampTz busy)
{
    bool idle = TimestampDifferenceExceeds(busy, GetCurrentTimestamp(), IDLE_MS);

    settle_hits(idle || ShutdownRequestPending);
    reach_disk(true);
    return (idle || ShutdownRequestPending) && !pk_asks_waiting() &&
           pk_ring_retire(ShutdownRequestPending);
}

/* Rows that come soon after the first are written with it; questions are answered at once. */
static void linger(void)
{
    TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), LINGER_MS);

    for (TimestampTz now = GetCurrentTimestamp(); now < until && !ShutdownRequestPending;
         now = GetCurrentTimestamp()) {
        nap((long)((until - now) / 1000) + 1);
        (void)answer_asks();
    }
}

static void follow_settings(void)
{
    if (!ConfigReloadPending)
        return;
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
}

static void work(MemoryContext context)
{
    TimestampTz busy = GetCurrentTimestamp();
    int failures = 0;

    while (failures < RETRIES_MAX && !(failures > 0 && ShutdownRequestPending)) {
        CHECK_FOR_INTERRUPTS();
        follow_settings();
        if (answer_asks())
            busy = GetCurrentTimestamp();
        uint64 before = pk_ring_head();
        failures = drain(context) ? 0 : failures + 1;
        if (failures > 0) {
            nap(RETRY_MS);
            continue;
        }
        long pause_ms = pk_retention_turn();
        if (may_leave(busy))
            return;
        bool soon = pause_ms < IDLE_MS / 2;
        pk_ring_sleep(soon                                      ? pause_ms
                      : (pk_hits_due(true) || pk_asks_leased()) ? IDLE_MS / 2
                                                                : IDLE_MS);
        if (pk_ring_head() == before)
            continue;
        busy = GetCurrentTimestamp();
        linger();
    }
}

void pk_worker_prepare(Oid database)
{
    pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
    pqsignal(SIGHUP, SignalHandlerForConfigReload);
    BackgroundWorkerUnblockSignals();
    BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
    SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("synchronous_commit", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("lock_timeout", "1s", PGC_SUSET, PGC_S_OVERRIDE);
    /* Of two that wait for each other the worker, which tries again, gives way: a session looks after a second. */
    SetConfigOption("deadlock_timeout", "100ms", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_read_only", "off", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("default_transaction_isolation", "read committed", PGC_SUSET, PGC_S_OVERRIDE);
    SetConfigOption("session_replication_role", "origin", PGC_SUSET, PGC_S_OVERRIDE);
    /* Every statement finds its rows by an index, in its order; a planner without statistics may think
     * that a whole table is cheaper. */
    SetConfigOption("enable_seqscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
    SetConfigOption("enable_bitmapscan", "off", PGC_USERSET, PGC_S_OVERRIDE);
    SetConfigOption("enable_sort", "off", PGC_USERSET, PGC_S_OVERRIDE);
    /* These put statements beyond the price at which they are compiled, which takes longer than they do. */
    SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
}

void pk_worker_main(Datum database)
{
    pk_worker_prepare(DatumGetObjectId(database));
    if (!pk_ring_open() || !pk_ring_adopt())
        proc_exit(0);
    pk_store_group_init(&group);
    work(AllocSetContextCreate(TopMemoryContext, "pk writer", ALLOCSET_DEFAULT_SIZES));
    pk_ring_leave();
    proc_exit(0);
}
