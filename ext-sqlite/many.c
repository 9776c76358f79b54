/* many.c - see many.h. The batch (batch.h) says what to do, this file does it: it reads rows, builds their requests,
 * starts their calls, and turns the connection's loop until a row is due.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "many.h"

#include "drive.h"
#include "interrupt.h"
#include "prefetch.h"
#include "result.h"
#include "statement.h"
#include "store_audit.h"
#include "store_cache.h"
#include "store_prompt.h"
#include "tell.h"

#include <stdlib.h>

/* A row's call. Recycled with its struct only: the memory of a call goes when it is over. */
struct flight {
    struct pk_ride ride; /* first: the loop returns its address */
    struct pk_arena arena;
    struct pk_item *item;
    struct flight *next, *prev;
};

struct pk_many {
    struct pk_conn *conn;
    struct pk_arena arena;
    struct pk_batch *batch;
    struct pk_many_source source;
    struct pk_interrupt interrupt;
    const struct pk_snapshot *snapshot;
    pk_str config, params; /* params without the batch's own options */
    pk_str prompt;         /* whose variables rows have; empty: none */
    char query_id[PK_UUID_TEXT + 1];
    struct flight *flights, *spares;
    struct pk_ride *ended; /* of the flights: they can land */
    struct pk_item *given; /* what the caller looks at */
    struct pk_tell tell;
    bool cancelled, batched;
    struct pk_error refused; /* by the statement's account: it ends when nothing is in flight */
};

/* --- the request of a row ------------------------------------------------------------------ */

static bool use_prompt(struct pk_many *m, struct pk_item *item, pk_str vars, struct pk_error *err)
{
    struct pk_prompt_use use = {.reference = m->prompt,
                                .vars = vars,
                                .params = m->params,
                                .config = m->config,
                                .seed = pk_random_next(&m->conn->random)};

    if (m->prompt.len == 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.pk.prompt: needed, as rows have variables of a prompt");
    return pk_request_options(&item->arena, m->params, &item->req, err) &&
           pk_store_prompt_request(m->conn->store, &item->arena, &use, &item->req, err);
}

static bool build(struct pk_many *m, struct pk_item *item, const struct pk_many_row *row,
                  struct pk_error *err)
{
    pk_str text = pk_copy(&item->arena, row->text);

    switch (row->kind) {
    case PK_ASK_PROMPT:
        if (!pk_request_ask(&item->arena, text, PK_NONE, m->params, &item->req, err))
            return false;
        break;
    case PK_ASK_MESSAGES:
        if (!pk_request_chat(&item->arena, text, m->params, true, &item->req, err))
            return false;
        break;
    case PK_ASK_VARS:
        if (!use_prompt(m, item, text, err))
            return false;
        break;
    }
    item->req.query_id = pk_str_of(m->query_id);
    item->req.role = pk_store_actor_name(m->conn->store);
    return pk_settings_request(&m->conn->settings, &item->arena, &item->req, err);
}

/* Reads one row and says what it asks. */
static bool read_row(struct pk_many *m, struct pk_error *err)
{
    struct pk_error row_error = {0};
    struct pk_many_row row = {0};
    bool more = false;

    if (!m->source.next(m->source.ctx, &row, &more, &row_error, err))
        return false;
    if (!more) {
        pk_batch_eof(m->batch);
        return true;
    }
    struct pk_item *item = pk_batch_add(m->batch);
    if (!item)
        return pk_fail(err, PK_NO_MEMORY, "no memory for another row");
    item->has_key = row.has_key;
    item->key_is_int = row.key_is_int;
    item->key = pk_copy(&item->arena, row.key);
    bool asks = row_error.code == PK_OK && row.has_text;
    if (asks && !build(m, item, &row, &row_error))
        asks = false;
    if (row_error.code != PK_OK)
        pk_result_of_error(&item->arena, &row_error, &item->result);
    else if (!asks)
        item->result = (struct pk_result){.ok = true, .cost_known = true};
    return pk_batch_ready(m->batch, item, !asks, err);
}

/* --- calls --------------------------------------------------------------------------------- */

static struct flight *new_flight(struct pk_many *m, struct pk_item *item)
{
    struct flight *f = m->spares;

    if (f)
        m->spares = f->next;
    else
        f = malloc(sizeof *f);
    if (!f)
        return NULL;
    *f = (struct flight){.item = item, .next = m->flights};
    pk_arena_init(&f->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (m->flights)
        m->flights->prev = f;
    m->flights = f;
    return f;
}

static void end_flight(struct pk_many *m, struct flight *f)
{
    *(f->prev ? &f->prev->next : &m->flights) = f->next;
    if (f->next)
        f->next->prev = f->prev;
    pk_arena_free(&f->arena);
    f->next = m->spares;
    m->spares = f;
}

static void start(struct pk_many *m, struct pk_item *item)
{
    struct pk_conn *c = m->conn;
    struct flight *f = new_flight(m, item);
    struct pk_error err = {0};
    struct pk_call *call = NULL;

    if (f)
        call = pk_call_new(&f->arena, &m->snapshot->config, m->snapshot->facts, &item->req,
                           pk_clock_us(), pk_random_next(&c->random), &err);
    else
        (void)pk_fail(&err, PK_NO_MEMORY, "no memory for another call");
    if (call) {
        pk_ride_start(c, &f->ride, call, &f->arena, &m->ended);
        return;
    }
    pk_result_of_error(&item->arena, &err, &item->result);
    if (f)
        end_flight(m, f);
    pk_batch_end(m->batch, item, pk_clock_ms(), 0);
}

static void land(struct pk_many *m, struct flight *f)
{
    struct pk_item *item = f->item;
    struct pk_error err = {0};

    if (f->ride.out.failed) {
        (void)pk_fail(&err, PK_NO_MEMORY, "the answer is too large for the call's memory");
        pk_result_of_error(&item->arena, &err, &item->result);
    } else {
        pk_result_of_call(&item->arena, f->ride.task.call, pk_buf_str(&f->ride.out), &item->result);
    }
    int64_t retry_after_ms = pk_call_retry_after_ms(f->ride.task.call);
    if (pk_call_error(f->ride.task.call)->code == PK_QUERY_LIMIT) {
        m->refused = *pk_call_error(f->ride.task.call);
        pk_batch_stop(m->batch, pk_code_name(PK_QUERY_LIMIT), m->refused.msg);
    }
    end_flight(m, f);
    pk_batch_end(m->batch, item, pk_clock_ms(), retry_after_ms);
}

/* Those that ended, perhaps while another call of the connection was waited for. */
static void land_all(struct pk_many *m)
{
    while (m->ended) {
        struct flight *f = (struct flight *)(void *)m->ended;

        m->ended = f->ride.ended_next;
        land(m, f);
    }
}

static void start_all(struct pk_many *m)
{
    int64_t now_ms = pk_clock_ms();

    for (struct pk_item *item; (item = pk_batch_start(m->batch, now_ms));)
        start(m, item);
}

static void cancel(struct pk_many *m)
{
    m->cancelled = true;
    pk_batch_stop(m->batch, pk_code_name(PK_CANCELLED), "the statement was interrupted");
    for (struct flight *f = m->flights; f; f = f->next)
        pk_ride_cancel(m->conn, &f->ride);
    while (m->flights) {
        pk_ride_turn(m->conn, 0);
        land_all(m);
    }
}

/* --- rows go out --------------------------------------------------------------------------- */

/* No further call may be made, and none is in flight whose answer would be lost. */
static bool is_refused(const struct pk_many *m)
{
    return m->refused.code != PK_OK && !m->flights;
}

static bool turn(struct pk_many *m, struct pk_error *err)
{
    int64_t until_ms = pk_batch_wake_ms(m->batch);

    if (pk_batch_wants(m->batch)) {
        if (!read_row(m, err))
            return false;
        until_ms = 0; /* rows first, as long as there is room for them */
    }
    start_all(m);
    pk_ride_turn(m->conn, until_ms);
    land_all(m);
    pk_tell_turn(&m->tell, m->conn, m->snapshot->config.slug, m->batch);
    if (!pk_ride_interrupted(m->conn, &m->interrupt))
        return true;
    cancel(m);
    return pk_fail(err, PK_CANCELLED, "interrupted");
}

bool pk_many_next(struct pk_many *m, const struct pk_item **item, struct pk_error *err)
{
    bool ok = !m->cancelled || pk_fail(err, PK_CANCELLED, "interrupted");

    if (m->given)
        pk_batch_drop(m->batch, m->given);
    m->given = NULL;
    if (ok)
        ok = pk_ride_free_to_go(m->conn, err);
    if (ok)
        land_all(m);
    while (ok && !m->given && !pk_batch_over(m->batch)) {
        m->given = m->refused.code ? NULL : pk_batch_take(m->batch);
        if (is_refused(m)) {
            *err = m->refused;
            ok = false;
            break;
        }
        if (!m->given)
            ok = turn(m, err);
    }
    pk_interrupt_end(&m->interrupt);
    if (m->given)
        pk_tell_row(&m->tell);
    *item = m->given;
    return ok;
}

bool pk_many_prefetch(struct pk_many *m, struct pk_arena *arena, pk_str *counts,
                      struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    const struct pk_item *item = NULL;

    if (!pk_prefetch_check(&m->arena, &m->snapshot->config, m->params, err))
        return false;
    do
        if (!pk_many_next(m, &item, err))
            return false;
    while (item);
    if (!pk_conn_flush(m->conn, err)) /* the next statement is to find them */
        return false;
    struct pk_batch_progress p = pk_batch_progress(m->batch);
    pk_prefetch_print(&out, &p);
    *counts = pk_buf_str(&out);
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "no memory for the counts");
}

/* --- what it would cost -------------------------------------------------------------------- */

static bool has(void *ctx, struct pk_call *call, struct pk_arena *arena)
{
    struct pk_conn *c = ctx;
    struct pk_cache_entry entry;
    struct pk_error unused;
    bool found = false;

    return pk_store_cache_get(c->store, arena, pk_call_cache_key(call), pk_clock_us(),
                              pk_call_max_age_s(call), &entry, &found, &unused) &&
           found;
}

static bool foresee(struct pk_many *m, const struct pk_many_row *row, struct pk_forecast *f,
                    struct pk_error *err)
{
    struct pk_forecast_cache cache = {has, m->conn};
    struct pk_error row_error = {0};
    struct pk_item item = {0};
    bool ok = true;

    pk_arena_init(&item.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (row->has_text && build(m, &item, row, &row_error))
        ok = pk_forecast_add(f, &item.arena, &m->snapshot->config, m->snapshot->facts, &item.req,
                             pk_clock_us(), cache, err);
    else
        pk_forecast_no_call(f);
    pk_arena_free(&item.arena);
    return ok;
}

bool pk_many_forecast(struct pk_many *m, struct pk_forecast *f, struct pk_error *err)
{
    struct pk_error row_error = {0};
    bool more = true;

    f->batched = m->batched;
    if (!pk_conn_flush(m->conn, err)) /* the cache is as the last statement left it */
        return false;
    while (more) {
        struct pk_many_row row = {0};

        if (!m->source.next(m->source.ctx, &row, &more, &row_error, err) ||
            (more && !foresee(m, &row, f, err)))
            return false;
        if (pk_ride_interrupted(m->conn, &m->interrupt))
            return pk_fail(err, PK_CANCELLED, "interrupted");
    }
    return true;
}

/* --- birth and death ----------------------------------------------------------------------- */

/* The options of the batch, and pk.prompt; what is left is every row's. */
static bool read_params(struct pk_many *m, pk_str params, struct pk_batch_options *o,
                        struct pk_error *err)
{
    struct pk_request unused = {0};

    return pk_batch_options_read(&m->arena, pk_copy(&m->arena, params), o, &m->params, err) &&
           pk_request_options(&m->arena, m->params, &unused, err);
}

static bool open_batch(struct pk_many *m, pk_str params, struct pk_error *err)
{
    struct pk_batch_options o = {.concurrency = PK_BATCH_CONCURRENCY,
                                 .dedup = true,
                                 .max_error_ratio = 0.5,
                                 .estimates = m->source.estimates};
    struct pk_conn *c = m->conn;

    if (!read_params(m, params, &o, err) || !pk_conn_ready(c, err) ||
        (o.prompt.len && !pk_store_prompt_check(c->store, &m->arena, o.prompt, err)))
        return false;
    m->snapshot = pk_resolve(c->resolver, c->store, m->config, pk_clock_us(), err);
    if (!m->snapshot || !pk_conn_online(c, err))
        return false;
    m->prompt = o.prompt;
    m->batched = o.batched;
    m->batch = pk_batch_new(pk_allocator_malloc(), &o);
    if (!m->batch)
        return pk_fail(err, PK_NO_MEMORY, "no memory for a batch");
    pk_tell_begin(&m->tell, c, m->source.name, m->query_id, m->source.count);
    return true;
}

struct pk_many *pk_many_new(struct pk_conn *c, pk_str config, pk_str params,
                            struct pk_many_source source, struct pk_error *err)
{
    struct pk_many *m = calloc(1, sizeof *m);
    uint64_t random = pk_random_next(&c->random);
    uint8_t id[PK_UUID_BYTES];

    if (!m) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for a batch");
        return NULL;
    }
    pk_uuid7(pk_clock_us(), random, id);
    pk_uuid_print(id, m->query_id);
    pk_arena_init(&m->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    m->conn = c;
    m->source = source;
    m->config = pk_copy(&m->arena, config);
    m->interrupt = (struct pk_interrupt){.db = c->db};
    c->cursors++;
    pk_statement_join(c);
    if (open_batch(m, params, err))
        return m;
    pk_many_free(m);
    return NULL;
}

void pk_many_free(struct pk_many *m)
{
    if (!m)
        return;
    if (m->flights)
        cancel(m);
    pk_interrupt_end(&m->interrupt);
    if (m->batch)
        pk_tell_end(&m->tell, m->conn, m->batch);
    pk_batch_free(m->batch);
    if (m->snapshot)
        pk_snapshot_release(m->conn->resolver, m->snapshot);
    for (struct flight *f = m->spares, *next; f; f = next) {
        next = f->next;
        free(f);
    }
    m->conn->cursors--;
    pk_statement_leave(m->conn);
    pk_arena_free(&m->arena);
    free(m);
}
