/* drive.c - one call: resolve, perform what the machine asks for, put the log row in the ring.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * All calls of a session are in one loop: while one is waited for, the others go on. Whoever waits does so inside
 * a PG_TRY. Whatever is thrown there (a cancelled statement, a timeout, a failed lookup) first ends his calls as
 * cancelled, which closes their connections, and logs them. A session that is terminated does not come by here; an
 * exit callback does the same for it. Whatever is thrown later finds the run's cleanup on its memory context.
 *
 * Own writes are read: an answer that this backend has put in the ring is in the cache once the worker
 * has committed it, so a lookup of the same key that misses waits for that, for a bounded time.
 */
#include "pk_pg.h"

#include "asks.h"
#include "held.h"
#include "verb.h"

#include "access/xact.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

enum { SAVED_MAX = 256, OWN_SAVE_WAIT_MS = 1000, RESERVE_WAIT_MS = 2000 };

/* Where the last answers of this backend are in the ring. */
static struct saved {
    uint8_t key[PK_CACHE_KEY_BYTES];
    uint64 position;
} saved[SAVED_MAX];
static int saved_next;

static struct pk_run *runs; /* that the loop knows */
static int due_count;       /* of them: most often none, or the one that is performed */
static bool performing;     /* what one of them needs */
static uint64_t seed;

/* --- cache ------------------------------------------------------------------------------- */

/* Called by the core: what Postgres throws is kept for pk_store_spi_check(). */
static bool fetch(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry)
{
    const struct pk_run *run = ctx;
    struct pk_error unused;
    bool found = false;

    return pk_store_cache_get(run->store, run->arena, key, pk_clock_us(),
                              pk_call_max_age_s(run->task.call), entry, &found, &unused) &&
           found;
}

/* The position of this backend's own answer that is still on its way to the cache, or 0. */
static uint64 own_save(const uint8_t *key)
{
    for (int i = 0; i < SAVED_MAX; i++)
        if (saved[i].position && memcmp(saved[i].key, key, PK_CACHE_KEY_BYTES) == 0)
            return pk_ring_drained(saved[i].position) ? 0 : saved[i].position;
    return 0;
}

static void await_own_save(const uint8_t *key)
{
    uint64 own = own_save(key);

    if (own)
        (void)pk_ring_wait(own, OWN_SAVE_WAIT_MS);
}

static void lookup(struct pk_backend *b, struct pk_run *run)
{
    struct pk_cache_entry entry;
    struct pk_event ev = {.kind = PK_EV_MISS};
    const uint8_t *key = pk_call_cache_key(run->task.call);

    await_own_save(key);
    if (fetch(run, key, &entry))
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_store_spi_check(run->store);
    pk_loop_answer(b->loop, &run->task, &ev);
}

static void look_near(struct pk_backend *b, struct pk_run *run)
{
    const struct pk_cache_vector *v = pk_call_vector(run->task.call);
    struct pk_near_question q = {v, pk_call_threshold(run->task.call), fetch, run};
    struct pk_near *near = pk_backend_near();
    struct pk_cache_entry entry;
    struct pk_event ev = {.kind = PK_EV_MISS};

    await_own_save(v->gate);
    if (near && pk_store_near_find(run->store, near, &q, &entry))
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_store_spi_check(run->store);
    pk_loop_answer(b->loop, &run->task, &ev);
}

static void remember(const uint8_t *key, uint64 position)
{
    int i = 0;

    while (i < SAVED_MAX &&
           (!saved[i].position || memcmp(saved[i].key, key, PK_CACHE_KEY_BYTES) != 0))
        i++;
    if (i == SAVED_MAX) {
        i = saved_next;
        saved_next = (saved_next + 1) % SAVED_MAX;
    }
    memcpy(saved[i].key, key, PK_CACHE_KEY_BYTES);
    saved[i].position = position;
}

/* Under its gate too: whoever looks for its like has to see it. */
static void save_vector(struct pk_run *run)
{
    const struct pk_cache_vector *v = pk_call_vector(run->task.call);
    struct pk_buf entry = pk_buf_in(run->arena, PK_CALL_BYTES_MAX);

    if (!v)
        return;
    pk_journal_vector(&entry, pk_call_cache_key(run->task.call), v);
    if (!entry.failed)
        remember(v->gate, pk_ring_put(pk_buf_str(&entry)));
}

static void save(struct pk_backend *b, struct pk_run *run)
{
    struct pk_buf entry = pk_buf_in(run->arena, PK_CALL_BYTES_MAX);
    struct pk_event ev = {.kind = PK_EV_SAVED};
    const uint8_t *key = pk_call_cache_key(run->task.call);

    pk_journal_cache(&entry, key, pk_call_save(run->task.call), pk_clock_us(),
                     pk_call_max_age_s(run->task.call));
    if (!entry.failed)
        remember(key, pk_ring_put(pk_buf_str(&entry)));
    save_vector(run);
    pk_loop_answer(b->loop, &run->task, &ev);
}

/* Not by way of the core, which may not be jumped over. */
static void query(struct pk_backend *b, struct pk_run *run)
{
    struct pk_event ev = {.kind = PK_EV_ROW};

    if (!pk_spi_predicate(run->store, pk_call_query(run->task.call), &ev.truth, &ev.error)) {
        if (ev.error.code == PK_CANCELLED)
            ereport(ERROR, (errcode(ERRCODE_QUERY_CANCELED),
                            errmsg("canceling statement due to user request")));
        ev.kind = PK_EV_FAIL;
    }
    pk_loop_answer(b->loop, &run->task, &ev);
}

/* --- limits ------------------------------------------------------------------------------- */

static void reserve(struct pk_backend *b, struct pk_run *run)
{
    bool lenient = pk_settings.limits_unavailable == PK_UNAVAILABLE_ALLOW;
    struct pk_reserve *r = palloc(sizeof *r);

    pk_asks_reserve(pk_call_reserve(run->task.call), run->arena, RESERVE_WAIT_MS, r);
    struct pk_event ev = pk_reserve_event(r, lenient);
    pk_loop_answer(b->loop, &run->task, &ev);
}

/* What the client sent at once is one statement, whatever it runs. */
struct pk_account *pk_statement_account(void)
{
    static struct pk_account account;
    static TimestampTz began;
    TimestampTz now = GetCurrentStatementStartTimestamp();
    int64_t max_cost_pusd = 0;

    (void)pk_usd_parse(pk_str_of(pk_settings.max_cost), &max_cost_pusd); /* was checked */
    if (now != began && !runs)
        account = (struct pk_account){0};
    began = now;
    account.max_calls = pk_settings.max_calls;
    account.max_cost_pusd = max_cost_pusd;
    return account.max_calls > 0 || max_cost_pusd > 0 ? &account : NULL;
}

/* --- the loop ---------------------------------------------------------------------------- */

static void log_call(struct pk_run *run)
{
    struct pk_buf entry = pk_buf_in(run->arena, PK_CALL_BYTES_MAX);

    pk_journal_record(&entry, pk_call_logged(run->task.call));
    if (entry.failed)
        pk_ring_lose("out of memory");
    else
        (void)pk_ring_put(pk_buf_str(&entry));
}

static void set_due(struct pk_run *run, bool due)
{
    due_count += due - run->due;
    run->due = due;
}

static void unlink_run(struct pk_run *run)
{
    set_due(run, false);
    *(run->prev ? &run->prev->next : &runs) = run->next;
    if (run->next)
        run->next->prev = run->prev;
    run->next = run->prev = NULL;
    run->live = false;
}

static void end(struct pk_run *run)
{
    unlink_run(run);
    run->over = true;
    if (run->ended) {
        run->ended_next = *run->ended;
        *run->ended = run;
    }
    log_call(run);
}

/* False at the end of the call. */
static bool perform(struct pk_backend *b, struct pk_run *run)
{
    pk_buf_add(&run->body, run->task.next.out);
    switch (run->task.next.op) {
    case PK_OP_LOOKUP: lookup(b, run); return true;
    case PK_OP_NEAR: look_near(b, run); return true;
    case PK_OP_RESERVE: reserve(b, run); return true;
    case PK_OP_QUERY: query(b, run); return true;
    case PK_OP_SAVE: save(b, run); return true;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP: pk_loop_resume(b->loop, &run->task); return true;
    case PK_OP_DONE: return false;
    }
    return false;
}

static struct pk_run *run_of(struct pk_task *t)
{
    return (struct pk_run *)((char *)t - offsetof(struct pk_run, task));
}

/* One that the loop has given back and that was not, or not to the end, seen to. */
static struct pk_run *left_over(void)
{
    struct pk_run *run = due_count > 0 ? runs : NULL;

    while (run && !run->due)
        run = run->next;
    return run;
}

void pk_run_enter(struct pk_run *run)
{
    run->next = runs;
    if (runs)
        runs->prev = run;
    runs = run;
    run->live = true;
    pk_loop_start(run->backend->loop, &run->task);
}

void pk_run_turn(struct pk_backend *b, int64_t until_ms)
{
    struct pk_run *run = left_over();
    struct pk_task *t = run ? &run->task : pk_loop_next(b->loop);

    if (!t) {
        if (until_ms > 0)
            pk_wait(b, Min(until_ms, pk_loop_deadline_ms(b->loop)));
        return;
    }
    run = run_of(t);
    performing = true;
    set_due(run, true); /* for whoever goes on after an error */
    bool goes_on = perform(b, run);
    performing = false;
    set_due(run, false);
    if (!goes_on)
        end(run);
}

void pk_run_abandon(struct pk_run *run)
{
    struct pk_backend *b = run->backend;
    struct pk_task *t;

    performing = false;
    if (!run->live)
        return;
    pk_asks_drop();
    if (run->due && run->task.next.op == PK_OP_DONE) { /* while another was abandoned */
        end(run);
        return;
    }
    set_due(run, false);
    pk_loop_cancel(b->loop, &run->task);
    while ((t = pk_loop_next(b->loop)) && !(t == &run->task && t->next.op == PK_OP_DONE))
        if (t != &run->task)
            set_due(run_of(t), true);
    PK_ASSERT(t == &run->task);
    end(run);
}

bool pk_run_any(void)
{
    return runs != NULL;
}

/* A session that is terminated in the middle of calls. */
static void at_exit(int code, Datum unused)
{
    while (runs && !pk_found_bug)
        pk_run_abandon(runs);
}

static void forget(void *object)
{
    struct pk_run *run = object;

    if (run->live) {
        unlink_run(run);
        pk_loop_drop(run->backend->loop, &run->task);
    }
    if (!run->shares)
        pk_backend_hold(&run->snapshot, NULL);
    if (run->fd_counted)
        ReleaseExternalFD();
}

/* --- before the loop --------------------------------------------------------------------- */

/* After pk_ring_open(), whose callback must come later than this one's. */
static void prepare_once(void)
{
    static bool prepared;

    (void)pk_ring_open();
    if (prepared)
        return;
    pk_secret_random(&seed, sizeof seed);
    before_shmem_exit(at_exit, (Datum)0);
    prepared = true;
}

void pk_run_hang(struct pk_run *run)
{
    MemoryContextCallback *going = palloc(sizeof *going);

    *going = (MemoryContextCallback){.func = forget, .arg = run};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, going);
}

/* Once a session, since whoever does it does it all the time. */
static void warn_of_literal_key(void)
{
    static bool warned;

    if (!warned)
        ereport(WARNING,
                (errmsg("pk: the config holds a provider key, which pg_stat_activity shows and the "
                        "server may log"),
                 errhint("Store the key with pk_key_put(), and name it by virtual_key."),
                 errhidestmt(true), errhidecontext(true)));
    warned = true;
}

static const struct pk_snapshot *literal; /* the last that holds a key, in this transaction */

static void at_end_of_transaction(XactEvent event, void *unused)
{
    if (!pk_found_bug)
        pk_backend_hold(&literal, NULL);
}

/* The next row most often has the same config, which the resolver keeps only for who has it. */
static void hold_literal(const struct pk_snapshot *snapshot)
{
    static bool registered;

    if (!registered)
        RegisterXactCallback(at_end_of_transaction, NULL);
    registered = true;
    pk_backend_hold(&literal, snapshot);
}

static void hide_what_config_says(const struct pk_config *config)
{
    pk_str unused;
    bool hide = pk_config_has_literal_key(config, &unused);

    for (int i = 0; i < config->target_count; i++)
        hide = hide || config->targets[i].privacy.payloads != PK_PAYLOADS_FULL;
    if (hide)
        pk_hide_statement();
}

bool pk_run_find(struct pk_run *run, pk_str config, struct pk_error *err)
{
    pk_str unused;

    if (memmem(config.at, config.len, "\"api", 4)) /* api_key, apiKey: in case it is refused */
        pk_hide_statement();
    run->snapshot = pk_resolve(pk_backend_resolver(), run->store, config, pk_clock_us(), err);
    pk_store_spi_check(run->store);
    if (!run->snapshot)
        return false;
    hide_what_config_says(&run->snapshot->config);
    if (pk_config_has_literal_key(&run->snapshot->config, &unused)) {
        hold_literal(run->snapshot);
        warn_of_literal_key();
    }
    return true;
}

void pk_run_resolve(struct pk_run *run, pk_str config)
{
    struct pk_error err;

    if (!pk_run_find(run, config, &err))
        pk_throw(&err, PK_NONE, NULL);
}

bool pk_run_prepare(struct pk_run *run, struct pk_error *err)
{
    run->task.call = pk_call_new(run->arena, &run->snapshot->config, run->snapshot->facts,
                                 &run->request, pk_clock_us(), pk_random_next(&seed), err);
    run->body = pk_buf_in(run->arena, PK_STREAM_BYTES_MAX);
    return run->task.call != NULL;
}

bool pk_run_count_fd(struct pk_run *run)
{
    run->fd_counted = AcquireExternalFD();
    return run->fd_counted;
}

void pk_throw_too_many_files(void)
{
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_RESOURCES),
                    errmsg("too many files are open in this session for another connection"),
                    errhint("Raise max_files_per_process.")));
    pg_unreachable();
}

void pk_run_check(void)
{
    if (performing)
        ereport(ERROR,
                (errcode(ERRCODE_OBJECT_IN_USE), errmsg("a call is in progress in this session")));
    prepare_once();
}

static void refuse(struct pk_run *run)
{
    struct pk_given why = {0};

    pk_verb_explain(run, pk_call_error(run->task.call), &why);
    pk_given_throw(&why);
}

void pk_drive(struct pk_run *run, pk_str config)
{
    struct pk_error err;

    pk_run_check();
    pk_run_hang(run);
    pk_run_resolve(run, config);
    if (!pk_run_prepare(run, &err))
        pk_throw(&err, PK_NONE, NULL);
    run->backend = pk_backend(pk_backend_needs_secrets(&run->snapshot->config));
    if (!pk_run_count_fd(run))
        pk_throw_too_many_files();
    pk_run_enter(run);
    PG_TRY();
    {
        while (!run->over)
            pk_run_turn(run->backend, INT64_MAX);
    }
    PG_CATCH();
    {
        pk_run_abandon(run);
        PG_RE_THROW();
    }
    PG_END_TRY();
    if (pk_call_error(run->task.call)->code == PK_QUERY_LIMIT) /* whatever pk.on_error wishes */
        refuse(run);
}
