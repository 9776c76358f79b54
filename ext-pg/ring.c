/* ring.c - a queue of journal entries from all backends of a database to its one worker.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The ring is a dynamic shared memory segment, pinned so that it outlives its makers. A directory in
 * the server's main shared memory says which database has which segment; ShmemInitStruct() makes it at
 * run time, from the slack that the server keeps for that, so the library need not be preloaded. The
 * directory's name has a version: a server that runs while the library is replaced keeps both
 * apart.
 *
 *     backends: put at head, under the lock            worker: copies from tail, commits,
 *                                                       then moves tail (at least once)
 *
 * Positions grow for ever and are taken modulo the size. An entry is its length in four bytes and its
 * bytes. The worker starts at the first put and ends when idle (worker.c). Rows that are queued when
 * the server crashes are lost, since shared memory is; a clean shutdown loses none: the worker drains,
 * and whatever finds no worker goes to the spool (spool.c), at the latest when its backend exits. What the spool has no
 * room for either its backend holds (held.c).
 */
#include "pk_pg.h"

#include "asks.h"
#include "held.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "postmaster/interrupt.h"
#include "storage/condition_variable.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define DIRECTORY_NAME "pk rings 4"

enum {
    DATABASES_MAX = 64,
    RING_BYTES = 4 << 20,
    ENTRY_BYTES_MAX = RING_BYTES / 4, /* larger ones go to the spool */
    URGENT_BYTES = RING_BYTES / 2,    /* the worker is woken when this much waits */
    FULL_WAIT_MS = 1000,              /* how long a put waits for room */
    STUCK_MS = 10 * 1000,             /* after such a wait in vain, nobody waits for so long */
    START_RETRY_MS = 1000,            /* between two attempts to start a worker */
};

struct directory {
    int tranche;
    struct {
        Oid database;
        dsm_handle segment;
    } slots[DATABASES_MAX];
};

struct ring {
    LWLock lock; /* guards all that follows but the condition variables */
    ConditionVariable room, drained;
    pid_t worker_pid; /* 0: none */
    int worker_proc;
    bool sleeping;  /* the worker waits for its latch */
    bool closing;   /* the worker left at shutdown: nobody will come */
    bool held_back; /* the worker has something in memory that is not in the ring any more */
    bool leased;    /* leases (asks.h) are to be given back */
    bool flushing;  /* someone waits for either */
    TimestampTz start_at, wait_at; /* not before: start a worker, wait for room */
    uint64 head, tail;
    uint64 put, applied, spooled, dropped, starts, failed_starts;
    uint64 held; /* entries that backends have in their own memory */
    struct pk_asks asks;
    char bytes[RING_BYTES];
};

static struct directory *directory;
static struct ring *ring;

/* --- finding it --------------------------------------------------------------------------- */

static void open_directory(void)
{
    bool found;

    directory = ShmemInitStruct(DIRECTORY_NAME, sizeof *directory, &found);
    if (!found) {
        memset(directory, 0, sizeof *directory);
        directory->tranche = LWLockNewTrancheId();
    }
    LWLockRegisterTranche(directory->tranche, "pk");
}

/* The slot of this database, or one to use for it; a dropped database's is taken when none is free. */
static int find_slot(void)
{
    int free_slot = -1;

    for (int i = 0; i < DATABASES_MAX; i++) {
        if (directory->slots[i].database == MyDatabaseId)
            return i;
        if (directory->slots[i].database == InvalidOid && free_slot < 0)
            free_slot = i;
    }
    for (int i = 0; i < DATABASES_MAX && free_slot < 0 && IsTransactionState(); i++) {
        Oid database = directory->slots[i].database;
        if (SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database)))
            continue;
        dsm_unpin_segment(directory->slots[i].segment);
        directory->slots[i].database = InvalidOid;
        free_slot = i;
    }
    return free_slot;
}

static dsm_segment *make_ring(int slot)
{
    dsm_segment *segment = dsm_create(sizeof(struct ring), DSM_CREATE_NULL_IF_MAXSEGMENTS);

    if (!segment)
        return NULL;
    struct ring *r = dsm_segment_address(segment);
    memset(r, 0, offsetof(struct ring, asks));
    pk_asks_init(&r->asks, directory->tranche);
    LWLockInitialize(&r->lock, directory->tranche);
    ConditionVariableInit(&r->room);
    ConditionVariableInit(&r->drained);
    dsm_pin_segment(segment);
    directory->slots[slot].segment = dsm_segment_handle(segment);
    directory->slots[slot].database = MyDatabaseId;
    return segment;
}

static dsm_segment *attach(int slot)
{
    dsm_segment *segment;

    if (directory->slots[slot].database != MyDatabaseId)
        return make_ring(slot);
    segment = dsm_find_mapping(directory->slots[slot].segment);
    return segment ? segment : dsm_attach(directory->slots[slot].segment);
}

static void at_exit(int code, Datum unused);

/* Holds AddinShmemInitLock. */
static void find_ring(void)
{
    if (!directory)
        open_directory();
    int slot = find_slot();
    dsm_segment *segment = slot < 0 ? NULL : attach(slot);
    if (!segment)
        return;
    dsm_pin_mapping(segment);
    ring = dsm_segment_address(segment);
    pk_asks_attach(&ring->asks);
    before_shmem_exit(at_exit, (Datum)0);
}

bool pk_ring_open(void)
{
    MemoryContext context = CurrentMemoryContext;
    volatile uint32 held;

    if (ring)
        return true;
    LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
    held = InterruptHoldoffCount;
    PG_TRY();
    {
        MemoryContextSwitchTo(TopMemoryContext);
        find_ring();
    }
    PG_CATCH(); /* no shared memory left: the spool takes the entries */
    {
        EmitErrorReport();
        FlushErrorState();
        InterruptHoldoffCount = held; /* the error reset it, but we still hold the lock */
    }
    PG_END_TRY();
    MemoryContextSwitchTo(context);
    LWLockRelease(AddinShmemInitLock);
    return ring != NULL;
}

/* --- bytes in the ring -------------------------------------------------------------------- */

static void copy_in(const void *from, size_t len)
{
    size_t at = ring->head % RING_BYTES;
    size_t first = Min(len, RING_BYTES - at);

    memcpy(ring->bytes + at, from, first);
    memcpy(ring->bytes, (const char *)from + first, len - first);
    ring->head += len;
}

static void copy_out(uint64 position, void *to, size_t len)
{
    size_t at = position % RING_BYTES;
    size_t first = Min(len, RING_BYTES - at);

    memcpy(to, ring->bytes + at, first);
    memcpy((char *)to + first, ring->bytes, len - first);
}

/* Where the whole entries from tail on end that make up about `max` bytes. */
static uint64 end_of_batch(size_t max)
{
    uint64 upto = ring->tail;
    uint32 len;

    while (upto < ring->head && upto - ring->tail < max) {
        copy_out(upto, &len, sizeof len);
        upto += sizeof len + len;
    }
    return upto;
}

bool pk_entry_next(pk_str *bytes, pk_str *entry)
{
    uint32 len;

    if (bytes->len < sizeof len)
        return false;
    memcpy(&len, bytes->at, sizeof len);
    if (len > bytes->len - sizeof len)
        return false;
    *entry = pk_str_sub(*bytes, sizeof len, len);
    *bytes = pk_str_sub(*bytes, sizeof len + len, bytes->len);
    return true;
}

/* --- starting the worker ------------------------------------------------------------------ */

static TimestampTz later(int ms)
{
    return TimestampTzPlusMilliseconds(GetCurrentTimestamp(), ms);
}

/* Whether it is this backend's turn to start one. Holds the lock. */
static bool should_start(void)
{
    if (ring->worker_pid != 0 || GetCurrentTimestamp() < ring->start_at)
        return false;
    ring->start_at = later(START_RETRY_MS);
    return true;
}

static void start_worker(void)
{
    bool started = !RecoveryInProgress() && pk_worker_start();

    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    ring->starts += started;
    ring->failed_starts += !started;
    LWLockRelease(&ring->lock);
}

/* Sees to it that someone will apply what is queued. */
static void ensure_worker(void)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool start = should_start();
    LWLockRelease(&ring->lock);
    if (start)
        start_worker();
}

/* Holds the lock. */
static void wake_worker(void)
{
    if (ring->worker_pid != 0)
        SetLatch(&ProcGlobal->allProcs[ring->worker_proc].procLatch);
}

void pk_ring_hurry(void)
{
    ensure_worker();
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    wake_worker();
    LWLockRelease(&ring->lock);
}

/* --- putting ------------------------------------------------------------------------------ */

/* The position behind the entry; 0: there is no room, or nobody will read. */
static uint64 try_put(pk_str entry, bool *start)
{
    uint32 len = (uint32)entry.len;
    uint64 position = 0;

    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    if (!ring->closing && RING_BYTES - (ring->head - ring->tail) >= sizeof len + len) {
        copy_in(&len, sizeof len);
        copy_in(entry.at, len);
        ring->put++;
        position = ring->head;
        if (ring->sleeping || ring->head - ring->tail > URGENT_BYTES)
            wake_worker();
        ring->sleeping = false;
    }
    *start = should_start();
    LWLockRelease(&ring->lock);
    return position;
}

/* Whether room came while waiting is worth it: not when interrupted, not for long. */
static bool wait_for_room(pk_str entry, uint64 *position)
{
    TimestampTz until = later(FULL_WAIT_MS);
    bool start;

    ConditionVariablePrepareToSleep(&ring->room);
    while (*position == 0 && !InterruptPending && !ring->closing && GetCurrentTimestamp() < until) {
        (void)ConditionVariableTimedSleep(&ring->room, 50, PG_WAIT_EXTENSION);
        *position = try_put(entry, &start);
        if (start)
            start_worker();
    }
    ConditionVariableCancelSleep();
    return *position != 0;
}

static void count(uint64 *counter, int64 change)
{
    if (!ring)
        return;
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    *counter += (uint64)change;
    LWLockRelease(&ring->lock);
}

bool pk_ring_spool(pk_str entry)
{
    if (!pk_backlog_put(MyDatabaseId, entry))
        return false;
    if (ring) {
        count(&ring->spooled, 1);
        pk_ring_hurry();
    }
    return true;
}

void pk_ring_lose(const char *why)
{
    if (ring)
        count(&ring->dropped, 1);
    ereport(LOG, (errmsg("pk: a log row or cache entry was lost: %s", why)));
}

void pk_ring_count_held(int64 change)
{
    if (ring)
        count(&ring->held, change);
}

bool pk_ring_put_at_once(pk_str entry)
{
    bool start = false;
    bool put = ring && entry.len <= ENTRY_BYTES_MAX && try_put(entry, &start) != 0;

    if (start)
        start_worker();
    return put || pk_ring_spool(entry);
}

static bool may_wait(void)
{
    return GetCurrentTimestamp() >= ring->wait_at && !RecoveryInProgress();
}

uint64 pk_ring_put(pk_str entry)
{
    uint64 position = 0;
    bool start = false;

    HOLD_INTERRUPTS();
    (void)pk_ring_open();
    pk_held_pass_on(false);
    if (entry.len <= ENTRY_BYTES_MAX && ring && !pk_held_any())
        position = try_put(entry, &start);
    if (start)
        start_worker();
    if (position == 0 && ring && entry.len <= ENTRY_BYTES_MAX && !pk_held_any() && may_wait() &&
        !wait_for_room(entry, &position))
        ring->wait_at = later(STUCK_MS);
    if (position == 0)
        pk_held_put(entry);
    RESUME_INTERRUPTS();
    return position;
}

void pk_ring_offer(pk_str entry)
{
    bool start = false;

    HOLD_INTERRUPTS();
    if (entry.len <= ENTRY_BYTES_MAX && !RecoveryInProgress() && pk_ring_open())
        (void)try_put(entry, &start);
    if (start)
        start_worker();
    RESUME_INTERRUPTS();
}

/* --- waiting ------------------------------------------------------------------------------ */

uint64 pk_ring_head(void)
{
    LWLockAcquire(&ring->lock, LW_SHARED);
    uint64 head = ring->head;
    LWLockRelease(&ring->lock);
    return head;
}

bool pk_ring_drained(uint64 position)
{
    LWLockAcquire(&ring->lock, LW_SHARED);
    bool drained = ring->tail >= position;
    LWLockRelease(&ring->lock);
    return drained;
}

/* `all`: in the spool, the worker's memory and ours too. */
static bool settled(uint64 *position, bool all)
{
    if (all && pk_held_any()) {
        pk_held_pass_on(false);
        *position = pk_ring_head();
    }
    if (!pk_ring_drained(*position))
        return false;
    if (!all)
        return true;
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool held_back = ring->held_back || ring->leased;
    ring->flushing = held_back;
    LWLockRelease(&ring->lock);
    return !held_back && !pk_held_any() && !pk_backlog_exists(MyDatabaseId);
}

static bool wait_settled(uint64 position, bool all, int max_ms)
{
    TimestampTz until = later(max_ms);

    ConditionVariablePrepareToSleep(&ring->drained);
    while (!settled(&position, all) && GetCurrentTimestamp() < until && !RecoveryInProgress()) {
        pk_ring_hurry();
        (void)ConditionVariableTimedSleep(&ring->drained, 20, PG_WAIT_EXTENSION);
    }
    ConditionVariableCancelSleep();
    return settled(&position, all);
}

bool pk_ring_wait(uint64 position, int max_ms)
{
    return wait_settled(position, false, max_ms);
}

bool pk_ring_flush(int max_ms)
{
    if (!pk_ring_open())
        return false;
    bool leased = pk_asks_leased();
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    ring->leased = ring->leased || leased;
    LWLockRelease(&ring->lock);
    return wait_settled(pk_ring_head(), true, max_ms);
}

void pk_ring_facts(struct pk_ring_facts *facts)
{
    *facts = (struct pk_ring_facts){.open = pk_ring_open()};
    if (!facts->open)
        return;
    LWLockAcquire(&ring->lock, LW_SHARED);
    *facts = (struct pk_ring_facts){
        .open = true,
        .worker_pid = ring->worker_pid,
        .queued_bytes = ring->head - ring->tail,
        .put = ring->put,
        .applied = ring->applied,
        .spooled = ring->spooled,
        .dropped = ring->dropped,
        .held = ring->held,
        .starts = ring->starts,
        .failed_starts = ring->failed_starts,
    };
    LWLockRelease(&ring->lock);
}

/* --- the worker's side -------------------------------------------------------------------- */

bool pk_ring_adopt(void)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool free_place = ring->worker_pid == 0;
    if (free_place) {
        ring->worker_pid = MyProcPid;
        ring->worker_proc = pk_proc_number(MyProc);
        ring->sleeping = ring->closing = false;
    }
    LWLockRelease(&ring->lock);
    if (free_place)
        pk_asks_adopt();
    return free_place;
}

/* Holds the lock. */
static void leave(void)
{
    if (ring->worker_pid != MyProcPid)
        return;
    ring->worker_pid = 0;
    ring->start_at = 0;
    ring->held_back = false;
}

void pk_ring_leave(void)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    leave();
    LWLockRelease(&ring->lock);
}

bool pk_ring_retire(bool closing)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool empty = ring->head == ring->tail;
    if (empty) {
        leave();
        ring->closing = closing;
    }
    LWLockRelease(&ring->lock);
    return empty;
}

bool pk_ring_read(size_t max, char **bytes, size_t *len, uint64 *upto)
{
    LWLockAcquire(&ring->lock, LW_SHARED);
    *upto = end_of_batch(max);
    LWLockRelease(&ring->lock);
    *len = *upto - ring->tail; /* only the worker moves tail, and this is the worker */
    if (*len == 0)
        return false;
    *bytes = palloc(*len);
    copy_out(ring->tail, *bytes, *len);
    return true;
}

void pk_ring_done(uint64 upto, uint64 applied, uint64 dropped)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    ring->tail = Max(upto, ring->tail);
    ring->applied += applied;
    ring->dropped += dropped;
    ring->held_back = pk_hits_due(true);
    LWLockRelease(&ring->lock);
    ConditionVariableBroadcast(&ring->room);
    ConditionVariableBroadcast(&ring->drained);
}

void pk_ring_sleep(long ms)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool empty = ring->head == ring->tail;
    ring->sleeping = empty;
    LWLockRelease(&ring->lock);
    if (empty && !pk_asks_waiting())
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms,
                        PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
}

bool pk_ring_flushing(void)
{
    LWLockAcquire(&ring->lock, LW_SHARED);
    bool flushing = ring->flushing;
    LWLockRelease(&ring->lock);
    return flushing;
}

void pk_ring_flushed(void)
{
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    ring->held_back = ring->leased = ring->flushing = false;
    LWLockRelease(&ring->lock);
    ConditionVariableBroadcast(&ring->drained);
}

/* --- the end of a backend ----------------------------------------------------------------- */

/* Nobody is there to read: what is queued goes to the spool, so that no shutdown can lose it; what that does not take
 * stays, for the next worker. Holds the lock, so that no worker takes over in between. */
static void spool_all(void)
{
    while (ring->tail < ring->head) {
        uint32 len;
        copy_out(ring->tail, &len, sizeof len);
        char *entry = malloc(len + 1);
        if (!entry)
            return;
        copy_out(ring->tail + sizeof len, entry, len);
        bool kept = pk_backlog_put(MyDatabaseId, (pk_str){entry, len});
        free(entry);
        if (!kept)
            return;
        ring->spooled++;
        ring->tail += sizeof len + len;
    }
}

static void at_exit(int code, Datum unused)
{
    pk_held_pass_on(true);
    LWLockAcquire(&ring->lock, LW_EXCLUSIVE);
    bool worker = ring->worker_pid == MyProcPid;
    if (worker)
        leave();
    if (ring->worker_pid == 0 && (!worker || ShutdownRequestPending))
        spool_all();
    LWLockRelease(&ring->lock);
    ConditionVariableBroadcast(&ring->room);
}
