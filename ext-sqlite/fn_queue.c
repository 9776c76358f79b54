/* fn_queue.c - the durable queue: enqueueing, waiting, cancelling; vtab_job.c has what came of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The store is a file of its own: what is enqueued is durable when the function returns, whatever becomes of the
 * caller's transaction. pkd works it off.
 */
#include "functions.h"

#include "interrupt.h"
#include "rows.h"
#include "store_job.h"

#include <poll.h>

enum { LOOK_MS = 10, LOOK_MAX_MS = 100 }; /* while it waits for a job: from, up to */

static void make_id(struct pk_conn *c, struct pk_job *job)
{
    uint64_t random = pk_random_next(&c->random);

    pk_uuid7(pk_clock_us(), random, job->id);
}

static void give_id(sqlite3_context *ctx, const struct pk_job *job)
{
    char text[PK_UUID_TEXT + 1];

    pk_uuid_print(job->id, text);
    pk_result_text(ctx, pk_str_of(text));
}

static bool read_args(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                      const char *second, pk_str *what, struct pk_job *job, struct pk_error *err)
{
    struct pk_request asked = {0};
    pk_str config, params;

    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &config, err) ||
        !pk_arg_text(args, 1, second, PK_BODY_BYTES_MAX, what, err) ||
        !pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err) ||
        !pk_store_job_check(c->store, arena, config, params, pk_clock_us(), job, err) ||
        !pk_request_options(arena, job->params, &asked, err) ||
        !pk_settings_request(&c->settings, arena, &asked, err) ||
        !pk_job_session(arena, &asked, job, err))
        return false;
    make_id(c, job);
    return true;
}

/* --- enqueueing ---------------------------------------------------------------------------- */

/* pk_enqueue(config, messages [, params]): the job's id. */
static bool enqueue(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                    sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_job_input in = {.ord = 1, .has_text = true, .kind = PK_JOB_MESSAGES};
    struct pk_request unused = {0};
    struct pk_job job;
    int64_t now_us = pk_clock_us();

    if (!read_args(c, arena, args, "messages", &in.text, &job, err) ||
        !pk_request_chat(arena, in.text, job.params, true, &unused, err) ||
        !pk_job_messages_check(arena, in.text, err) ||
        !pk_store_job_put(c->store, &job, now_us, err))
        return false;
    bool ok = pk_store_job_add(c->store, &job, &in, now_us, err);
    if (!pk_store_job_enqueued(c->store, &job, ok, 1, 1, now_us, err))
        return false;
    give_id(ctx, &job);
    return true;
}

static enum pk_job_kind kind_of(enum pk_ask_kind kind)
{
    switch (kind) {
    case PK_ASK_MESSAGES: return PK_JOB_MESSAGES;
    case PK_ASK_VARS: return PK_JOB_VARS;
    case PK_ASK_PROMPT: break;
    }
    return PK_JOB_PROMPT;
}

/* Rows go into the store as they are read: they were read beforehand. */
static bool add_rows(struct pk_conn *c, const struct pk_job *job, struct pk_rows *rows,
                     int64_t *total, int64_t *calls, struct pk_error *err)
{
    struct pk_many_source source = pk_rows_source(rows, "pk_enqueue_query");
    int64_t now_us = pk_clock_us();
    struct pk_error row_error;
    bool more = true;

    while (more) {
        struct pk_many_row row = {0};

        if (!source.next(source.ctx, &row, &more, &row_error, err))
            return false;
        const struct pk_job_input in = {*total + 1, row.has_key, row.key_is_int,   row.has_text,
                                        row.key,    row.text,    kind_of(row.kind)};
        if (more && !pk_store_job_add(c->store, job, &in, now_us, err))
            return false;
        *total += more;
        *calls += more && row.has_text;
    }
    return true;
}

/* pk_enqueue_query(config, query [, params]): the job's id. */
static bool enqueue_query(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                          sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_rows rows = {.db = c->db, .at_once = true};
    int64_t total = 0, calls = 0;
    struct pk_job job;
    pk_str query;

    bool ok = read_args(c, arena, args, "query", &query, &job, err) &&
              pk_rows_open(&rows, query, err) &&
              pk_store_job_put(c->store, &job, pk_clock_us(), err);
    if (ok) {
        ok = add_rows(c, &job, &rows, &total, &calls, err);
        ok = pk_store_job_enqueued(c->store, &job, ok, total, calls, pk_clock_us(), err);
    }
    pk_rows_close(&rows);
    if (ok)
        give_id(ctx, &job);
    return ok;
}

/* --- afterwards ---------------------------------------------------------------------------- */

static bool id_arg(struct pk_args args, uint8_t id[PK_UUID_BYTES], struct pk_error *err)
{
    pk_str text;

    return pk_arg_text(args, 0, "id", PK_SLUG_BYTES_MAX, &text, err) &&
           pk_job_id_parse(text, id, err);
}

/* pk_job(id): what has become of it, as JSON; NULL when there is none. */
static bool job_status(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                       sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    uint8_t id[PK_UUID_BYTES];
    bool found = false;

    if (!id_arg(args, id, err) || !pk_store_job_status(c->store, id, PK_NONE, &out, &found, err))
        return false;
    if (found)
        pk_result_json(ctx, pk_buf_str(&out));
    return true;
}

/* pk_cancel(id): whether it was not over. */
static bool cancel(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                   sqlite3_context *ctx, struct pk_error *err)
{
    uint8_t id[PK_UUID_BYTES];
    bool cancelled;

    (void)arena;
    if (!id_arg(args, id, err) ||
        !pk_store_job_cancel(c->store, id, PK_NONE, pk_clock_us(), &cancelled, err))
        return false;
    sqlite3_result_int(ctx, cancelled);
    return true;
}

/* pk_retry(id): how many items are asked again. */
static bool retry(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                  sqlite3_context *ctx, struct pk_error *err)
{
    uint8_t id[PK_UUID_BYTES];
    int64_t count;

    (void)arena;
    if (!id_arg(args, id, err) ||
        !pk_store_job_retry(c->store, id, PK_NONE, pk_clock_us(), &count, err))
        return false;
    sqlite3_result_int64(ctx, count);
    return true;
}

static bool until_over(struct pk_conn *c, const uint8_t *id, int64_t until_ms, bool *over,
                       struct pk_error *err)
{
    struct pk_interrupt interrupt = {.db = c->db, .last_ms = pk_clock_ms()};
    int64_t pause_ms = LOOK_MS, look_ms = 0;
    bool ok = true;

    for (*over = false; ok && !*over;) {
        int64_t now_ms = pk_clock_ms();

        if (now_ms >= look_ms) {
            ok = pk_store_job_over(c->store, id, PK_NONE, over, err);
            look_ms = now_ms + pause_ms;
            pause_ms = pause_ms * 2 < LOOK_MAX_MS ? pause_ms * 2 : LOOK_MAX_MS;
        }
        if (!ok || *over || now_ms >= until_ms)
            break;
        (void)poll(NULL, 0, LOOK_MS);
        ok = !pk_interrupted(&interrupt, LOOK_MS / 2) || pk_fail(err, PK_CANCELLED, "interrupted");
    }
    pk_interrupt_end(&interrupt);
    return ok;
}

/* pk_wait(id, timeout): whether it was over within so many seconds. */
static bool wait(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                 sqlite3_context *ctx, struct pk_error *err)
{
    uint8_t id[PK_UUID_BYTES];
    double seconds = 0;
    bool over;

    (void)arena;
    if (!id_arg(args, id, err) || !pk_arg_real(args, 1, "timeout", &seconds, err))
        return false;
    if (!(seconds >= 0 && seconds <= PK_TIMEOUT_MS_MAX / 1e3))
        return pk_fail(err, PK_BAD_REQUEST, "timeout: must be 0..%d seconds",
                       PK_TIMEOUT_MS_MAX / 1000);
    if (!until_over(c, id, pk_clock_ms() + (int64_t)(seconds * 1e3), &over, err))
        return false;
    sqlite3_result_int(ctx, over);
    return true;
}

PK_WITH_CONN(enqueue, 2)
PK_WITH_CONN(enqueue_query, 2)
PK_WITH_CONN(job_status, 1)
PK_WITH_CONN(cancel, 1)
PK_WITH_CONN(retry, 1)
PK_WITH_CONN(wait, 2)
