/* worker_call.c - the calls of items: their requests, what they ask of the store, who hears of them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The thread is the worker's own, so it asks the store where it stands.
 */
#include "log.h"
#include "store_audit.h"
#include "store_cache.h"
#include "store_guard.h"
#include "worker_inner.h"

#include <string.h>

enum { LOG_WAIT_MS = 1000, SETTLE_WAIT_MS = 50 };

/* --- the cache ----------------------------------------------------------------------------- */

/* What the writer knows the entry under `key` by. */
static uint64_t tag_of(const uint8_t *key)
{
    uint64_t tag;

    memcpy(&tag, key, sizeof tag);
    return tag;
}

static void hand_to_writer(struct pkd_worker *w, const struct pk_buf *entry, uint64_t tag)
{
    if (entry->failed)
        pk_writer_lose(w->app->writer);
    if (entry->failed || pk_writer_put(w->app->writer, pk_buf_str(entry), tag, LOG_WAIT_MS) < 0)
        pkd_warn("entry_dropped why=%s", entry->failed ? "out of memory" : "the writer is full");
}

struct fetching {
    struct pkd_worker *worker;
    struct pkd_item *item;
};

/* A cache never fails a call. */
static bool fetch(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry)
{
    struct fetching *f = ctx;
    struct pk_arena *arena = &f->item->arena;
    struct pk_error unused;
    bool found = false;

    return pkd_flight_recent(f->worker->app->flights, key, arena, entry) ||
           (pk_store_cache_get(f->worker->store, arena, key, pk_clock_us(),
                               pk_call_max_age_s(f->item->task.call), entry, &found, &unused) &&
            found);
}

static void look_up(struct pkd_worker *w, struct pkd_item *item)
{
    struct fetching f = {w, item};
    struct pk_cache_entry entry = {0};
    struct pk_event ev = {.kind = PK_EV_MISS};

    if (fetch(&f, pk_call_cache_key(item->task.call), &entry))
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_loop_answer(w->loop, &item->task, &ev);
}

static void look_near(struct pkd_worker *w, struct pkd_item *item)
{
    struct fetching f = {w, item};
    struct pk_near_question near = {pk_call_vector(item->task.call),
                                    pk_call_threshold(item->task.call), fetch, &f};
    struct pk_cache_entry entry = {0};
    struct pk_event ev = {.kind = PK_EV_MISS};

    if (pkd_similar_find(w->app->similar, w->store, &near, &entry))
        ev = (struct pk_event){.kind = PK_EV_HIT, .entry = &entry};
    pk_loop_answer(w->loop, &item->task, &ev);
}

static void save_vector(struct pkd_worker *w, struct pkd_item *item)
{
    const uint8_t *key = pk_call_cache_key(item->task.call);
    const struct pk_cache_vector *v = pk_call_vector(item->task.call);
    struct pk_buf bytes = pk_buf_in(&item->arena, PK_CALL_BYTES_MAX);

    if (!v)
        return;
    pk_journal_vector(&bytes, key, v);
    hand_to_writer(w, &bytes, 0);
    pkd_similar_save(w->app->similar, key, v);
}

static void save(struct pkd_worker *w, struct pkd_item *item)
{
    const struct pk_call *call = item->task.call;
    const struct pk_cache_entry *entry = pk_call_save(call);
    const uint8_t *key = pk_call_cache_key(call);
    struct pk_buf bytes = pk_buf_in(&item->arena, PK_CALL_BYTES_MAX);
    struct pk_event ev = {.kind = PK_EV_SAVED};

    pk_journal_cache(&bytes, key, entry, pk_clock_us(), pk_call_max_age_s(call));
    hand_to_writer(w, &bytes, tag_of(key));
    pkd_flight_save(w->app->flights, key, tag_of(key), entry);
    save_vector(w, item);
    pk_loop_answer(w->loop, &item->task, &ev);
}

/* --- limits and predicates ----------------------------------------------------------------- */

static void reserve(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_reserve *const asked[] = {pk_call_reserve(item->task.call)};

    pk_writer_reserve(w->app->writer, w->store, asked, 1, SETTLE_WAIT_MS);
    struct pk_event ev = pk_reserve_event(asked[0], strcmp(w->app->options->limits, "allow") == 0);
    pk_loop_answer(w->loop, &item->task, &ev);
}

static void query(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_event ev = pk_store_row(w->store, pk_call_query(item->task.call));

    pk_loop_answer(w->loop, &item->task, &ev);
}

/* --- requests ------------------------------------------------------------------------------ */

/* "alice" of "role:alice". */
static pk_str name_of(pk_str actor)
{
    for (size_t i = 0; i < actor.len; i++)
        if (actor.at[i] == ':')
            return pk_str_sub(actor, i + 1, actor.len);
    return actor;
}

/* The log says of a batch's calls what they are. */
static bool note_executor(struct pkd_item *item, struct pk_error *err)
{
    struct pk_request *req = &item->req;

    return pk_json_merge(&item->arena, req->metadata.len ? req->metadata : PK_STR("{}"),
                         PK_STR("{\"_executor\":\"batch\"}"), "metadata", &req->metadata, err);
}

static bool build(struct pkd_worker *w, struct pkd_item *item, struct pk_error *err)
{
    const struct pk_job *job = &item->work->job;
    struct pk_request *req = &item->req;

    if (!pk_store_job_request(w->store, &item->arena, job, item->claim.kind, item->claim.text,
                              item->batched ? item->draw : pk_random_next(&w->random), req, err))
        return false;
    req->batched = item->batched;
    if (item->batched && !note_executor(item, err))
        return false;
    req->source = w->app->home.pq ? PK_SOURCE_POSTGRES : PK_SOURCE_SQLITE;
    req->role = name_of(job->actor);
    req->query_id = pk_str_of(item->work->id_text);
    req->output_assumed = w->app->options->output;
    req->privacy = pk_privacy_join(req->privacy, w->app->privacy);
    item->snapshot = pk_resolve(w->resolver, w->store, job->config, pk_clock_us(), err);
    return item->snapshot != NULL;
}

bool pkd_item_call(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_error err = {0};

    item->out = pk_buf_in(&item->arena, PK_STREAM_BYTES_MAX);
    if (build(w, item, &err))
        item->task.call =
            pk_call_new(&item->arena, &item->snapshot->config, item->snapshot->facts, &item->req,
                        item->batched ? item->began_us : pk_clock_us(),
                        item->batched ? item->seed : pk_random_next(&w->random), &err);
    if (!item->task.call) {
        pk_result_of_error(&item->arena, &err, &item->result);
        return false;
    }
    item->called = true;
    pk_loop_start(w->loop, &item->task);
    return true;
}

/* --- the loop ------------------------------------------------------------------------------ */

static void finish(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_error err = {0};

    if (item->out.failed) {
        (void)pk_fail(&err, PK_NO_MEMORY, "the answer is too large for the call's memory");
        pk_result_of_error(&item->arena, &err, &item->result);
    } else {
        pk_result_of_call(&item->arena, item->task.call, pk_buf_str(&item->out), &item->result);
    }
    item->retry_after_ms = pk_call_retry_after_ms(item->task.call);
    pkd_items_remove(&w->running, item);
    pkd_items_add(&w->over, item);
}

void pkd_item_perform(struct pkd_worker *w, struct pkd_item *item)
{
    pk_buf_add(&item->out, item->task.next.out);
    switch (item->task.next.op) {
    case PK_OP_LOOKUP: look_up(w, item); break;
    case PK_OP_NEAR: look_near(w, item); break;
    case PK_OP_RESERVE: reserve(w, item); break;
    case PK_OP_QUERY: query(w, item); break;
    case PK_OP_SAVE: save(w, item); break;
    case PK_OP_DONE: finish(w, item); break;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP: pk_loop_resume(w->loop, &item->task); break;
    }
}

void pkd_worker_turn(struct pkd_worker *w)
{
    for (struct pk_task *task; (task = pk_loop_next(w->loop));)
        pkd_item_perform(w, (struct pkd_item *)(void *)task);
}

void pkd_item_tell(struct pkd_worker *w, struct pkd_item *item)
{
    pkd_otlp_add(w->app->otlp, &item->arena, pk_call_logged(item->task.call));
    pkd_meter_call(w->meter, item->req.operation, pk_call_record(item->task.call));
}

void pkd_item_hand_over(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_buf entry = pk_buf_in(&item->arena, PK_CALL_BYTES_MAX);

    pk_journal_record(&entry, pk_call_logged(item->task.call));
    hand_to_writer(w, &entry, 0);
    item->logged = true;
}
