/* fn_queue.c - the durable queue: enqueueing, waiting, cancelling, and what came of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Enqueueing is part of the caller's transaction: workers (pkd) see the job when it commits, and never when it does
 * not. A role sees the jobs that it has enqueued; members of pk_admin see all.
 */
#include "pk_pg.h"

#include "rows.h"
#include "store_audit.h"
#include "store_job.h"

#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

enum { LOOK_MS = 10, LOOK_MAX_MS = 100 }; /* while it waits for a job: from, up to */

/* Whose jobs the caller may see: empty for everybody's. */
static pk_str sees(struct pk_store *s)
{
    Oid admin = get_role_oid("pk_admin", true);

    return OidIsValid(admin) && is_member_of_role(GetUserId(), admin) ? PK_NONE
                                                                      : pk_str_of(s->actor);
}

static Datum id_datum(const uint8_t id[PK_UUID_BYTES])
{
    pg_uuid_t *made = palloc(sizeof *made);

    memcpy(made->data, id, sizeof made->data);
    return UUIDPGetDatum(made);
}

static const uint8_t *arg_id(FunctionCallInfo fcinfo)
{
    return PG_GETARG_UUID_P(0)->data;
}

/* --- enqueueing ---------------------------------------------------------------------------- */

struct queueing {
    struct pk_arena *arena;
    struct pk_store *store;
    struct pk_job job;
    int64 total, calls;
};

static void check(struct queueing *q, FunctionCallInfo fcinfo, bool json_config)
{
    pk_str config = json_config ? pk_arg_json(fcinfo, 0, true) : pk_arg_text(fcinfo, 0);
    struct pk_request asked = {0};
    struct pk_error err;
    uint64_t random;

    q->arena = pk_arena_here();
    q->store = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_job_check(q->store, q->arena, config, pk_arg_json(fcinfo, 2, false),
                                 pk_clock_us(), &q->job, &err);
    pk_store_check(q->store, ok, &err);
    if (!pk_request_options(q->arena, q->job.params, &asked, &err) ||
        !pk_session_request(q->arena, &asked, &err) ||
        !pk_job_session(q->arena, &asked, &q->job, &err))
        pk_throw(&err, PK_NONE, NULL);
    pk_secret_random(&random, sizeof random);
    pk_uuid7(pk_clock_us(), random, q->job.id);
}

static void begin(struct queueing *q)
{
    struct pk_error err;
    bool ok = pk_store_job_put(q->store, &q->job, pk_clock_us(), &err);

    pk_store_check(q->store, ok, &err);
}

static void add(struct queueing *q, const struct pk_ask_row *row)
{
    static const enum pk_job_kind kinds[] = {[PK_ASK_PROMPT] = PK_JOB_PROMPT,
                                             [PK_ASK_MESSAGES] = PK_JOB_MESSAGES,
                                             [PK_ASK_VARS] = PK_JOB_VARS};
    struct pk_job_input in = {.ord = ++q->total,
                              .has_key = row->has_key,
                              .has_text = row->has_text,
                              .key = row->key,
                              .text = row->text,
                              .kind = kinds[row->kind]};
    struct pk_error err;

    q->calls += row->has_text;
    bool ok = pk_store_job_add(q->store, &q->job, &in, pk_clock_us(), &err);
    pk_store_check(q->store, ok, &err);
}

static Datum finish(struct queueing *q)
{
    struct pk_error err;
    bool ok =
        pk_store_job_enqueued(q->store, &q->job, true, q->total, q->calls, pk_clock_us(), &err);

    pk_store_check(q->store, ok, &err);
    return id_datum(q->job.id);
}

static Datum enqueue(FunctionCallInfo fcinfo, bool json_config)
{
    struct queueing q = {0};
    struct pk_request unused = {0};
    struct pk_error err;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    struct pk_ask_row row = {.has_text = true, .kind = PK_ASK_MESSAGES};
    check(&q, fcinfo, json_config);
    row.text = pk_arg_json(fcinfo, 1, false);
    if (!pk_request_chat(q.arena, row.text, q.job.params, false, &unused, &err) ||
        !pk_job_messages_check(q.arena, row.text, &err))
        pk_throw(&err, PK_NONE, NULL);
    begin(&q);
    add(&q, &row);
    return finish(&q);
}

PK_FUNCTION(pk_sql_enqueue);
Datum pk_sql_enqueue(PG_FUNCTION_ARGS)
{
    return enqueue(fcinfo, false);
}

PK_FUNCTION(pk_sql_enqueue_json);
Datum pk_sql_enqueue_json(PG_FUNCTION_ARGS)
{
    return enqueue(fcinfo, true);
}

/* Every row's memory goes with the row. */
static void add_rows(struct queueing *q, struct pk_rows *rows)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pk row", ALLOCSET_DEFAULT_SIZES);

    for (;;) {
        struct pk_ask_row row = {0};
        MemoryContext outer = MemoryContextSwitchTo(context);
        bool more = pk_rows_next(rows, &row);

        CHECK_FOR_INTERRUPTS();
        if (more)
            add(q, &row);
        MemoryContextSwitchTo(outer);
        if (!more)
            break;
        MemoryContextReset(context);
    }
    MemoryContextDelete(context);
}

static Datum enqueue_query(FunctionCallInfo fcinfo, bool json_config)
{
    struct queueing q = {0};
    struct pk_rows rows = {0};

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    check(&q, fcinfo, json_config);
    char *query = text_to_cstring(PG_GETARG_TEXT_PP(1));
    MemoryContext outer = CurrentMemoryContext;
    if (SPI_connect() != SPI_OK_CONNECT)
        elog(ERROR, "pk: SPI_connect failed");
    pk_rows_open(&rows, query);
    begin(&q);
    add_rows(&q, &rows);
    SPI_cursor_close(rows.portal);
    (void)SPI_finish();
    MemoryContextSwitchTo(outer);
    return finish(&q);
}

PK_FUNCTION(pk_sql_enqueue_query);
Datum pk_sql_enqueue_query(PG_FUNCTION_ARGS)
{
    return enqueue_query(fcinfo, false);
}

PK_FUNCTION(pk_sql_enqueue_query_json);
Datum pk_sql_enqueue_query_json(PG_FUNCTION_ARGS)
{
    return enqueue_query(fcinfo, true);
}

/* --- afterwards ---------------------------------------------------------------------------- */

PK_FUNCTION(pk_sql_job);
Datum pk_sql_job(PG_FUNCTION_ARGS)
{
    struct pk_buf out = pk_buf_in(pk_arena_here(), PK_CONFIG_BYTES_MAX);
    bool found = false;
    struct pk_error err;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_job_status(s, arg_id(fcinfo), sees(s), &out, &found, &err);
    pk_store_check(s, ok, &err);
    if (!found)
        PG_RETURN_NULL();
    return pk_jsonb_datum(pk_buf_str(&out));
}

PK_FUNCTION(pk_sql_cancel);
Datum pk_sql_cancel(PG_FUNCTION_ARGS)
{
    bool cancelled = false;
    struct pk_error err;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_job_cancel(s, arg_id(fcinfo), sees(s), pk_clock_us(), &cancelled, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_BOOL(cancelled);
}

PK_FUNCTION(pk_sql_retry);
Datum pk_sql_retry(PG_FUNCTION_ARGS)
{
    int64_t count = 0;
    struct pk_error err;

    if (pk_args_null(fcinfo, 1))
        PG_RETURN_NULL();
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    bool ok = pk_store_job_retry(s, arg_id(fcinfo), sees(s), pk_clock_us(), &count, &err);
    pk_store_check(s, ok, &err);
    PG_RETURN_INT64(count);
}

static bool is_over(FunctionCallInfo fcinfo)
{
    struct pk_store *s = pk_store_of(fcinfo, PK_READ);
    struct pk_error err;
    bool over = false;
    bool ok = pk_store_job_over(s, arg_id(fcinfo), sees(s), &over, &err);

    pk_store_check(s, ok, &err);
    return over;
}

/* Looks at what is committed, whatever the isolation of its transaction. */
PK_FUNCTION(pk_sql_wait);
Datum pk_sql_wait(PG_FUNCTION_ARGS)
{
    int64_t pause_ms = LOOK_MS;

    if (pk_args_null(fcinfo, 2))
        PG_RETURN_NULL();
    double seconds = PG_GETARG_FLOAT8(1);
    if (!(seconds >= 0 && seconds <= PK_TIMEOUT_MS_MAX / 1e3))
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("timeout: must be 0..%d seconds", PK_TIMEOUT_MS_MAX / 1000)));
    int64_t until_ms = pk_clock_ms() + (int64_t)(seconds * 1e3);
    for (;;) {
        if (is_over(fcinfo))
            PG_RETURN_BOOL(true);
        int64_t left_ms = until_ms - pk_clock_ms();
        if (left_ms <= 0)
            PG_RETURN_BOOL(false);
        (void)WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                        (long)Min(left_ms, pause_ms), PG_WAIT_EXTENSION);
        ResetLatch(MyLatch);
        CHECK_FOR_INTERRUPTS();
        pause_ms = Min(pause_ms * 2, LOOK_MAX_MS);
    }
}

/* False: there are no more. */
static bool collect_some(struct pk_out *out, FunctionCallInfo fcinfo, int64_t *after)
{
    struct pk_job_result *rows = palloc(PK_JOB_RESULTS_MAX * sizeof *rows);
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    struct pk_error err;
    int count = 0;
    bool ok = pk_store_job_results(s, pk_arena_here(), arg_id(fcinfo), sees(s), after, rows, &count,
                                   &err);

    pk_store_check(s, ok, &err);
    for (int i = 0; i < count; i++) {
        const struct pk_out_row row = {rows[i].ord, rows[i].has_key, rows[i].key, &rows[i].result};

        pk_out_put(out, &row);
    }
    return count > 0;
}

static void check_known(FunctionCallInfo fcinfo)
{
    struct pk_store *s = pk_store_of(fcinfo, PK_WRITE);
    struct pk_error err;
    bool found = false;
    struct pk_buf unused = pk_buf_in(pk_arena_here(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_store_job_status(s, arg_id(fcinfo), sees(s), &unused, &found, &err);

    pk_store_check(s, ok, &err);
    if (!found)
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("id: there is no such job")));
}

PK_FUNCTION(pk_sql_collect);
Datum pk_sql_collect(PG_FUNCTION_ARGS)
{
    MemoryContext context =
        AllocSetContextCreate(CurrentMemoryContext, "pk rows", ALLOCSET_DEFAULT_SIZES);
    struct pk_out out = {0};
    int64_t after = 0;
    bool more;

    pk_out_open(&out, fcinfo);
    if (pk_args_null(fcinfo, 1))
        return (Datum)0;
    MemoryContext outer = MemoryContextSwitchTo(context);
    check_known(fcinfo);
    do {
        MemoryContextReset(context);
        CHECK_FOR_INTERRUPTS();
        more = collect_some(&out, fcinfo, &after);
    } while (more);
    MemoryContextSwitchTo(outer);
    MemoryContextDelete(context);
    return (Datum)0;
}
