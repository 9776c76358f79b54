/* watch.c - see watch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * pk_run() is many statements to Postgres, a pk_map() for each chunk, and one batch to whoever looks: its row lasts from
 * the first chunk to the last, or to the transaction that is aborted. It says with pk_run_progress() which pk_map() is
 * a chunk of it: the next.
 */
#include "pk_pg.h"

#include "watch.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/memutils.h"

#include <unistd.h>

static struct {
    struct pk_watch watch;
    bool on, next; /* it is under way; the next pk_map() is a chunk of it */
} run;

static pk_str host(void)
{
    static char name[65];

    if (!name[0])
        (void)gethostname(name, sizeof name - 1);
    return pk_str_of(name);
}

static void put_row(const struct pk_watch *w)
{
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_PROGRESS_ENTRY * 2);
    struct pk_buf entry = pk_buf_in(&arena, PK_PROGRESS_ENTRY);
    pk_journal_progress(&entry, &w->progress.row);
    if (!entry.failed)
        pk_ring_offer(pk_buf_str(&entry));
    pk_arena_free(&arena);
}

static void end(void *object)
{
    struct pk_watch *w = object;

    if (!pk_found_bug && pk_progress_end(&w->progress))
        put_row(w);
}

static void begin(struct pk_watch *w, const char *kind, int64 total)
{
    uint64_t random;

    *w = (struct pk_watch){.before = {0}};
    pk_secret_random(&random, sizeof random);
    (void)snprintf(w->actor, sizeof w->actor, "role:%s", GetUserNameFromId(GetUserId(), false));
    pk_query_id(w->query_id);
    w->progress.row = (struct pk_progress_row){.kind = pk_str_of(kind),
                                               .source = PK_STR("postgres"),
                                               .query_id = pk_str_of(w->query_id),
                                               .actor = pk_str_of(w->actor),
                                               .host = host(),
                                               .pid = MyProcPid};
    pk_progress_begin(&w->progress, total, pk_clock_us(), pk_clock_ms(), random);
}

struct pk_watch *pk_watch_new(const char *kind, int64 total)
{
    struct pk_watch *w = palloc(sizeof *w);
    MemoryContextCallback *going = palloc(sizeof *going);

    begin(w, kind, total);
    *going = (MemoryContextCallback){.func = end, .arg = w};
    MemoryContextRegisterResetCallback(CurrentMemoryContext, going);
    return w;
}

struct pk_watch *pk_watch_new_map(int64 total)
{
    if (!run.next)
        return pk_watch_new("pk_map", total);
    run.next = false;
    return &run.watch;
}

void pk_watch_turn(struct pk_watch *w, pk_str config, const struct pk_batch *b)
{
    if (pk_clock_ms() < w->progress.due_ms)
        return;
    struct pk_batch_progress counts = pk_batch_progress_add(w->before, pk_batch_progress(b));
    w->progress.row.config = config;
    if (pk_progress_next(&w->progress, &counts, pk_clock_us(), pk_clock_ms()))
        put_row(w);
}

int64_t pk_watch_due_ms(const struct pk_watch *w)
{
    return w->progress.due_ms;
}

void pk_watch_part(struct pk_watch *w, const struct pk_batch *b)
{
    w->before = pk_batch_progress_add(w->before, pk_batch_progress(b));
}

void pk_notice(const struct pk_batch_progress *p)
{
    char told[PK_BATCH_TOLD_BYTES];

    if (!pk_settings.notice || p->rows == 0)
        return;
    pk_batch_tell(p, told, sizeof told);
    ereport(NOTICE, (errmsg("pk: %s", told), errhidestmt(true), errhidecontext(true)));
}

/* --- pk_run() ------------------------------------------------------------------------------ */

static void end_run(void)
{
    if (run.on)
        end(&run.watch);
    run.on = run.next = false;
}

static void on_transaction(XactEvent event, void *unused)
{
    if (event == XACT_EVENT_ABORT)
        end_run();
}

/* Of `total` rows pk_run() has done so many, and asks for more; or, NULL, for none. */
/* COMMIT itself would say no more than "invalid transaction termination". */
static void check_that_it_may_commit(void)
{
    if (SPI_inside_nonatomic_context() && !IsSubTransaction())
        return;
    ereport(
        ERROR,
        (errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
         errmsg("pk_run: commits as it goes, which a transaction that was begun forbids"),
         errhint("Call it as a statement of its own: outside of a transaction block (BEGIN, or a "
                 "client "
                 "without autocommit), not together with other statements, not from a function or "
                 "under an exception handler. pk_enqueue_query() may be called there: pkd does the "
                 "work.")));
}

PK_FUNCTION(pk_sql_run_progress);
Datum pk_sql_run_progress(PG_FUNCTION_ARGS)
{
    static bool registered;

    if (!registered)
        RegisterXactCallback(on_transaction, NULL);
    registered = true;
    if (PG_ARGISNULL(0))
        check_that_it_may_commit();
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_GETARG_INT64(1) == 0)
        end_run();
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        PG_RETURN_VOID();
    if (!run.on)
        begin(&run.watch, "pk_run", PG_GETARG_INT64(0));
    run.on = run.next = true;
    PG_RETURN_VOID();
}
