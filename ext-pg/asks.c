/* asks.c - questions from backends to the worker, each with an answer: may this call be made?
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What a call sets aside of its limits must be committed before the call is sent, whatever becomes of the
 * caller's transaction, and no lock on a limit may be held across the network. So the worker does it, in
 * transactions of its own, and the backend waits for its latch, for a bounded time.
 *
 *   FREE -> ASKED -> TAKEN -> ANSWERED -> FREE
 *             |        |          |
 *             |        `- DROPPED +-> RETURNED -> FREE    the backend has gone: what was granted is given back
 *             `-> FREE
 *
 * What the worker sets aside ahead of calls (lease.h) backends take without asking.
 *
 * Slots and leases are part of the ring's segment (ring.c).
 */
#include "pk_pg.h"

#include "asks.h"
#include "pass.h"
#include "store_hold.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

enum { POLL_MS = 100 };

static struct pk_asks *asks; /* of this database; NULL: not attached */
static int mine = -1;        /* the slot that this backend waits for */

void pk_asks_init(struct pk_asks *a, int tranche)
{
    memset(a, 0, sizeof *a);
    LWLockInitialize(&a->lock, tranche);
    ConditionVariableInit(&a->room);
}

void pk_asks_attach(struct pk_asks *a)
{
    asks = a;
}

/* --- a backend asks ---------------------------------------------------------------------- */

/* A slot with the question in it; -1: all are in use. */
static int put(pk_str question)
{
    int i = 0;

    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    while (i < PK_ASKS_MAX && asks->slots[i].state != PK_ASK_FREE)
        i++;
    if (i < PK_ASKS_MAX) {
        struct pk_ask *slot = &asks->slots[i];

        memcpy(slot->bytes, question.at, question.len);
        slot->len = (uint32)question.len;
        slot->proc = pk_proc_number(MyProc);
        slot->state = PK_ASK_ASKED;
    }
    LWLockRelease(&asks->lock);
    return i < PK_ASKS_MAX ? i : -1;
}

/* Until there is a slot for the question. */
static bool find_slot(pk_str question, TimestampTz until)
{
    ConditionVariablePrepareToSleep(&asks->room);
    while ((mine = put(question)) < 0 && GetCurrentTimestamp() < until)
        (void)ConditionVariableTimedSleep(&asks->room, POLL_MS, PG_WAIT_EXTENSION);
    ConditionVariableCancelSleep();
    return mine >= 0;
}

static void free_slot(struct pk_ask *slot)
{
    slot->state = PK_ASK_FREE;
    ConditionVariableSignal(&asks->room);
}

/* Whether the answer is there; its bytes are copied. */
static bool get(char **bytes, size_t *len)
{
    struct pk_ask *slot = &asks->slots[mine];
    char *copy = palloc(PK_ASK_BYTES);

    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    bool answered = slot->state == PK_ASK_ANSWERED;
    if (answered) {
        *len = slot->len;
        memcpy(copy, slot->bytes, slot->len);
        free_slot(slot);
        mine = -1;
    }
    LWLockRelease(&asks->lock);
    *bytes = copy;
    if (!answered)
        pfree(copy);
    return answered;
}

void pk_asks_drop(void)
{
    bool give_back = false;

    if (mine < 0)
        return;
    struct pk_ask *slot = &asks->slots[mine];
    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    if (slot->state == PK_ASK_ASKED) {
        free_slot(slot);
    } else if (slot->state == PK_ASK_TAKEN) {
        slot->state = PK_ASK_DROPPED;
    } else if (slot->state == PK_ASK_ANSWERED) {
        slot->state = PK_ASK_RETURNED;
        give_back = true;
    }
    LWLockRelease(&asks->lock);
    mine = -1;
    if (give_back)
        pk_ring_hurry();
}

static bool wait_for_answer(struct pk_reserve *r, TimestampTz until)
{
    char *bytes;
    size_t len = 0;

    while (!get(&bytes, &len)) {
        if (GetCurrentTimestamp() >= until)
            return false;
        pk_ring_hurry();
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS,
                        PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
    }
    return pk_reserve_decode((pk_str){bytes, len}, r, palloc(PK_HOLDS_MAX * sizeof *r->holds.rows));
}

static bool take(struct pk_reserve *r)
{
    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    bool taken = pk_lease_take(&asks->leases, r, pk_clock_us());
    LWLockRelease(&asks->lock);
    return taken;
}

void pk_asks_reserve(const struct pk_reserve *question, struct pk_arena *arena, int max_ms,
                     struct pk_reserve *r)
{
    struct pk_buf bytes = pk_buf_in(arena, PK_ASK_BYTES);
    TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), max_ms);

    *r = *question;
    r->granted = false;
    r->refused = -1;
    if (!RecoveryInProgress() && pk_ring_open() && take(r))
        return;
    pk_reserve_encode(question, &bytes);
    if (bytes.failed) {
        (void)pk_fail(&r->error, PK_TOO_LARGE, "limits: too many apply to this call");
        return;
    }
    bool answered = !RecoveryInProgress() && pk_ring_open() &&
                    find_slot(pk_buf_str(&bytes), until) && wait_for_answer(r, until);
    if (answered)
        return;
    pk_asks_drop();
    *r = *question;
    (void)pk_fail(&r->error, PK_STORE, "limits: the background worker that keeps them %s",
                  RecoveryInProgress() ? "does not run on a standby" : "did not answer");
}

/* --- the worker answers ------------------------------------------------------------------ */

struct taken {
    int slot;
    bool give_back;
    struct pk_reserve reserve;
    struct pk_hold rows[PK_HOLDS_MAX];
};

bool pk_asks_waiting(void)
{
    bool waiting = false;

    LWLockAcquire(&asks->lock, LW_SHARED);
    for (int i = 0; i < PK_ASKS_MAX && !waiting; i++)
        waiting = asks->slots[i].state == PK_ASK_ASKED || asks->slots[i].state == PK_ASK_RETURNED;
    LWLockRelease(&asks->lock);
    return waiting;
}

/* What was asked before a worker died is not known to be done or not: the backend is told so. */
void pk_asks_adopt(void)
{
    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    for (int i = 0; i < PK_ASKS_MAX; i++) {
        struct pk_ask *slot = &asks->slots[i];

        if (slot->state == PK_ASK_DROPPED)
            free_slot(slot);
        if (slot->state != PK_ASK_TAKEN)
            continue;
        slot->len = 0;
        slot->state = PK_ASK_ANSWERED;
    }
    LWLockRelease(&asks->lock);
}

/* The strings of a question point into its copy, in the current context. */
static void read_question(struct taken *t, const struct pk_ask *slot)
{
    char *copy = memcpy(palloc(slot->len + 1), slot->bytes, slot->len);
    bool good = pk_reserve_decode((pk_str){copy, slot->len}, &t->reserve, t->rows);

    PK_ASSERT(good);
    t->reserve.granted = false;
    for (int i = 0; t->give_back && i < t->reserve.holds.count; i++)
        t->reserve.holds.rows[i].want = 0;
}

static int take_all(struct taken *taken)
{
    int count = 0;

    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    for (int i = 0; i < PK_ASKS_MAX; i++) {
        struct pk_ask *slot = &asks->slots[i];

        if (slot->state != PK_ASK_ASKED && slot->state != PK_ASK_RETURNED)
            continue;
        taken[count] = (struct taken){.slot = i, .give_back = slot->state == PK_ASK_RETURNED};
        read_question(&taken[count++], slot);
        slot->state = slot->state == PK_ASK_ASKED ? PK_ASK_TAKEN : PK_ASK_DROPPED;
    }
    LWLockRelease(&asks->lock);
    return count;
}

struct asked {
    struct pk_reserve *const *at;
    int count;
    int64_t now_us;
};

static bool ask_store(void *ctx, struct pk_store *store, struct pk_error *err)
{
    const struct asked *a = ctx;

    pk_store_reserve(store, a->at, a->count, a->now_us);
    return pk_store_spi_sqlstate(store) == 0 && a->at[0]->error.code != PK_STORE;
}

/* In one transaction; then what was set aside ahead is for everybody. */
static void reserve(struct pk_reserve *const *asked, int count)
{
    int64_t now_us = pk_clock_us();
    struct asked all = {asked, count, now_us};
    struct pk_error err;

    if (pk_transact(PK_WRITE, ask_store, &all, &err)) {
        LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
        for (int i = 0; i < count; i++)
            pk_lease_keep(&asks->leases, asked[i], now_us);
        LWLockRelease(&asks->lock);
        return;
    }
    for (int i = 0; i < count; i++) {
        asked[i]->granted = false;
        asked[i]->refused = -1;
        if (asked[i]->error.code != PK_STORE)
            (void)pk_fail(&asked[i]->error, PK_STORE, "limits: the extension is not there yet");
    }
}

/* Those that leases do not answer. */
static void reserve_taken(struct taken *taken, int count)
{
    struct pk_reserve *asked[PK_ASKS_MAX];
    int64_t now_us = pk_clock_us();
    int left = 0;

    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    for (int i = 0; i < count; i++) {
        struct pk_reserve *r = &taken[i].reserve;

        if (!taken[i].give_back && pk_lease_take(&asks->leases, r, now_us))
            continue;
        if (!taken[i].give_back)
            pk_lease_plan(&asks->leases, r, now_us);
        r->tentative = true;
        asked[left++] = r;
    }
    LWLockRelease(&asks->lock);
    if (left > 0)
        reserve(asked, left);
}

/* Those that only calls in progress are in the way of: some of these may be over, and in the ring. */
static void ask_again(struct taken *taken, int count, void (*settle)(void))
{
    struct pk_reserve *again[PK_ASKS_MAX];
    int n = 0;

    for (int i = 0; i < count; i++)
        if (!taken[i].reserve.granted && taken[i].reserve.in_use)
            again[n++] = &taken[i].reserve;
    if (n == 0)
        return;
    settle();
    pk_asks_end_leases(true);
    for (int i = 0; i < n; i++) {
        again[i]->tentative = false;
        again[i]->error = (struct pk_error){0};
        for (int k = 0; k < again[i]->holds.count; k++)
            again[i]->holds.rows[k].ahead = 0;
    }
    reserve(again, n);
}

static void answer(const struct taken *t)
{
    struct pk_ask *slot = &asks->slots[t->slot];
    struct pk_arena *arena = pk_arena_here();
    struct pk_buf bytes = pk_buf_in(arena, PK_ASK_BYTES);

    pk_reserve_encode(&t->reserve, &bytes);
    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    bool dropped = slot->state == PK_ASK_DROPPED;
    slot->len = bytes.failed ? 0 : (uint32)bytes.len;
    memcpy(slot->bytes, bytes.at ? bytes.at : "", slot->len);
    if (dropped && t->reserve.granted && !t->give_back && slot->len)
        slot->state = PK_ASK_RETURNED;
    else if (dropped)
        free_slot(slot);
    else
        slot->state = PK_ASK_ANSWERED;
    if (!dropped)
        SetLatch(&ProcGlobal->allProcs[slot->proc].procLatch);
    LWLockRelease(&asks->lock);
}

bool pk_asks_serve(void (*settle)(void))
{
    if (!pk_asks_waiting())
        return false;
    MemoryContext before = CurrentMemoryContext;
    MemoryContext context =
        AllocSetContextCreate(TopMemoryContext, "pk limits", ALLOCSET_DEFAULT_SIZES);
    MemoryContextSwitchTo(context);
    struct taken *taken = palloc(sizeof *taken * PK_ASKS_MAX);
    int count = take_all(taken);
    reserve_taken(taken, count);
    MemoryContextSwitchTo(context);
    ask_again(taken, count, settle);
    MemoryContextSwitchTo(context);
    for (int i = 0; i < count; i++)
        answer(&taken[i]);
    MemoryContextSwitchTo(before);
    MemoryContextDelete(context);
    return true;
}

/* --- leases ------------------------------------------------------------------------------ */

bool pk_asks_leased(void)
{
    LWLockAcquire(&asks->lock, LW_SHARED);
    bool leased = pk_lease_any(&asks->leases);
    LWLockRelease(&asks->lock);
    return leased;
}

struct ended {
    struct pk_leases *leases;
    int64_t now_us;
};

static bool give_back(void *ctx, struct pk_store *store, struct pk_error *err)
{
    struct ended *e = ctx;

    return pk_store_leases_end(store, e->leases, e->now_us, err);
}

void pk_asks_end_leases(bool every)
{
    static struct pk_leases ended;
    int64_t now_us = pk_clock_us();
    struct ended e = {&ended, now_us};
    struct pk_error err;

    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    pk_lease_end(&asks->leases, now_us, every, &ended);
    LWLockRelease(&asks->lock);
    if (ended.count == 0 || pk_transact(PK_WRITE, give_back, &e, &err))
        return;
    LWLockAcquire(&asks->lock, LW_EXCLUSIVE);
    pk_lease_restore(&asks->leases, &ended);
    LWLockRelease(&asks->lock);
}
