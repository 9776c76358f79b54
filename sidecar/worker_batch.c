/* worker_batch.c - the thread of batches: its leases, and which batch is next; see worker_batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "worker_batch_inner.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CLAIM_MAX = 64, /* items a statement */
    LOOK_MS = 200,  /* between two looks at an empty queue, */
    TIDY_MS = 1000, /* and at what was cancelled */
    PATIENT_MS = 5000,
    WAIT_MS = 100, /* for the transport, at most */
};

bool pkd_batch_stopping(const struct pkd_batcher *b)
{
    return atomic_load(&b->w.app->stopping);
}

static int64_t lease_us(const struct pkd_batcher *b)
{
    return b->w.app->options->job_lease_ms * 1000;
}

/* --- the lease ----------------------------------------------------------------------------- */

/* What is known of the batch is in the store, and it stays with this worker. False: another has it. */
bool pkd_batch_keep_saved(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool had = false;

    b->batch.updated_us = pk_clock_us();
    b->batch.due_us = b->batch.updated_us + lease_us(b);
    if (!pk_store_job_batch_save(b->w.store, &b->batch, b->w.id, true, &had, &err)) {
        pkd_worker_trouble(&b->w, "save", &err);
        return false;
    }
    b->lost = b->lost || !had;
    return had;
}

static void renew(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    b->renew_ms = pk_clock_ms() + b->w.app->options->job_lease_ms / 3;
    if (b->stored)
        (void)pkd_batch_keep_saved(b);
    else if (!pk_store_job_renew(b->w.store, b->w.id, pk_clock_us() + lease_us(b), &err))
        pkd_worker_trouble(&b->w, "renew", &err);
}

bool pkd_batch_keep(struct pkd_batcher *b)
{
    if (!pkd_batch_stopping(b) && pk_clock_ms() >= b->renew_ms)
        renew(b);
    return !b->lost && !pkd_batch_stopping(b);
}

static void cut_short(struct pkd_batcher *b)
{
    struct pkd_item *item = b->w.running.first;

    if (item && !item->task.held)
        pk_loop_cancel(b->w.loop, &item->task);
    else if (b->asking && !b->asking->held)
        pk_loop_cancel(b->w.loop, b->asking);
}

void pkd_batch_wait(struct pkd_batcher *b)
{
    struct pollfd fd = {.fd = pk_xfer_fd(b->w.xfer), .events = POLLIN};
    int64_t now_ms = pk_clock_ms(), left_ms = pk_loop_deadline_ms(b->w.loop) - now_ms;

    (void)pkd_batch_keep(b);
    if (pkd_batch_stopping(b) && b->w.stop_at_ms == INT64_MAX)
        b->w.stop_at_ms = now_ms + b->w.app->options->grace_ms;
    if (now_ms >= b->w.stop_at_ms)
        cut_short(b);
    else if (left_ms > 0)
        (void)poll(&fd, 1, (int)(left_ms < WAIT_MS ? left_ms : WAIT_MS));
}

/* Jobs that are through are closed. */
bool pkd_batch_end_jobs(struct pkd_batcher *b, struct pk_error *err)
{
    bool more = true;

    while (more)
        if (!pk_store_job_share(b->w.store, &more, err))
            return false;
    return pk_store_job_finish(b->w.store, pk_clock_us(), err);
}

/* --- the batch at hand --------------------------------------------------------------------- */

static void forget(struct pkd_batcher *b)
{
    for (struct pkd_item *item; (item = pkd_items_take(&b->w.over));)
        pkd_item_free(&b->w, item);
    for (struct pkd_item *item; (item = pkd_items_take(&b->w.claimed));)
        pkd_item_free(&b->w, item);
    if (b->snapshot)
        pk_snapshot_release(b->w.resolver, b->snapshot);
    pk_arena_free(&b->arena);
    pk_arena_free(&b->work.arena);
    b->work.items = 1; /* the batch itself */
    b->snapshot = NULL;
    b->target = NULL;
    b->open = NULL;
    b->open_count = b->line_count = 0;
    b->stored = b->lost = b->full = b->limited = b->dropping = false;
    b->batch = (struct pk_job_batch){0};
    b->lines = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX);
    b->renew_ms = pk_clock_ms() + b->w.app->options->job_lease_ms / 3;
}

/* Its job and where that leads. *gone: there is no such job any more. */
bool pkd_batch_load(struct pkd_batcher *b, const uint8_t job[PK_UUID_BYTES], bool *gone,
                    struct pk_error *err)
{
    struct pkd_work *k = &b->work;
    bool found = false;

    *gone = false;
    if (!pk_store_job_get(b->w.store, &k->arena, job, &k->job, &found, err))
        return false;
    *gone = !found;
    pk_uuid_print(job, k->id_text);
    if (!found)
        return true;
    b->snapshot = pk_resolve(b->w.resolver, b->w.store, k->job.config, pk_clock_us(), err);
    return b->snapshot != NULL;
}

/* Where a new batch goes: to the first that takes one (shared/call_pick.c). */
static void choose_target(struct pkd_batcher *b)
{
    const struct pk_config *config = &b->snapshot->config;

    for (int i = config->target_count - 1; i >= 0; i--)
        if (config->targets[i].provider->batches)
            b->target = &config->targets[i];
}

/* --- making one ---------------------------------------------------------------------------- */

static bool claim_some(struct pkd_batcher *b, int *count, struct pk_error *err)
{
    int64_t now_us = pk_clock_us();
    const struct pk_job_batch_claim c = {b->w.id, b->batch.job, now_us, now_us + lease_us(b),
                                         CLAIM_MAX};

    bool ok = pk_store_job_batch_claim(b->w.store, &c, pkd_batch_take, b, err);
    *count = b->w.claimed.count;
    return ok;
}

static bool compose(struct pkd_batcher *b, struct pk_error *err)
{
    int count = CLAIM_MAX;

    while (count == CLAIM_MAX && !b->full && !pkd_batch_stopping(b))
        if (!claim_some(b, &count, err) || !pkd_batch_add_claimed(b, err))
            return false;
    return true;
}

/* --- what waits ---------------------------------------------------------------------------- */

static void give_back(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    if (!pk_store_job_give_back(b->w.store, b->w.id, pk_clock_us(), &err))
        pkd_worker_trouble(&b->w, "give_back", &err);
}

static void make_id(struct pkd_batcher *b)
{
    uint64_t random;

    b->batch.created_us = pk_clock_us();
    pk_secret_random(&random, sizeof random);
    pk_uuid7(b->batch.created_us, random, b->batch.id);
}

/* A batch of what waits in the job at hand. */
static bool make(struct pkd_batcher *b, struct pk_error *err)
{
    bool gone = false;

    make_id(b);
    if (!pkd_batch_load(b, b->batch.job, &gone, err))
        return false;
    if (gone)
        return true;
    choose_target(b);
    if (!b->target)
        return pk_fail(err, PK_BAD_CONFIG, "no provider of the config has a batch API");
    if (!compose(b, err))
        return false;
    if (b->line_count == 0 || !pkd_batch_keep(b))
        return pkd_batch_end_jobs(b, err);
    b->batch.items = b->line_count;
    if (!pk_store_job_batch_put(b->w.store, &b->batch, b->w.id, pk_clock_us() + lease_us(b), err))
        return false;
    b->stored = true;
    pkd_batch_send(b);
    return true;
}

static bool make_one(struct pkd_batcher *b, bool *did)
{
    struct pk_error err = {0};

    if (!pk_store_job_batch_next(b->w.store, pk_clock_us(), b->batch.job, did, &err)) {
        pkd_worker_trouble(&b->w, "look", &err);
        return false;
    }
    if (!*did)
        return true;
    bool ok = make(b, &err);
    if (!ok)
        pkd_worker_trouble(&b->w, "make", &err);
    if (!b->stored)
        give_back(b);
    return ok;
}

static bool work_one(struct pkd_batcher *b, bool *did)
{
    struct pk_error err = {0};
    int64_t now_us = pk_clock_us();

    if (!pk_store_job_batch_take(b->w.store, &b->arena, b->w.id, now_us, now_us + lease_us(b),
                                 &b->batch, did, &err)) {
        pkd_worker_trouble(&b->w, "take", &err);
        return false;
    }
    b->stored = *did;
    if (*did)
        pkd_batch_work_on(b);
    return true;
}

static void tidy(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    b->tidy_ms = pk_clock_ms() + TIDY_MS;
    if (!pk_store_job_batch_hurry(b->w.store, pk_clock_us(), &err))
        pkd_worker_trouble(&b->w, "tidy", &err);
}

/* --- the thread ---------------------------------------------------------------------------- */

static void rest(struct pkd_batcher *b)
{
    for (int64_t until_ms = pk_clock_ms() + LOOK_MS;
         !pkd_batch_stopping(b) && (pk_clock_ms() < until_ms || pk_clock_ms() < b->w.hold_ms);)
        (void)poll(NULL, 0, WAIT_MS);
}

static bool open_all(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    struct pkd_worker *w = &b->w;

    while (!w->store && !pkd_batch_stopping(b)) {
        if (w->xfer || pkd_worker_open(w, &err))
            w->store = pkd_home_open(&w->app->home, PATIENT_MS, &err);
        if (!w->store) {
            pkd_worker_trouble(&b->w, "open", &err);
            rest(b);
        }
    }
    return w->store != NULL;
}

static void *run(void *batcher)
{
    struct pkd_batcher *b = batcher;

    if (!open_all(b))
        return NULL;
    while (!pkd_batch_stopping(b)) {
        bool did = false;

        forget(b);
        if (pk_clock_ms() >= b->tidy_ms)
            tidy(b);
        bool ok = work_one(b, &did);
        if (ok && !did) {
            forget(b);
            ok = make_one(b, &did);
        }
        if (!ok || !did)
            rest(b);
    }
    forget(b);
    return NULL;
}

bool pkd_batcher_new(struct pkd_app *app, struct pkd_batcher **out, struct pk_error *err)
{
    struct pkd_batcher *b = calloc(1, sizeof *b);

    *out = b;
    if (!b)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    b->w.app = app;
    b->w.wake_fd = -1;
    b->w.stop_at_ms = INT64_MAX;
    pk_secret_random(&b->w.random, sizeof b->w.random);
    pk_secret_random(b->w.id, sizeof b->w.id);
    pk_arena_init(&b->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    pk_arena_init(&b->work.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    pk_arena_init(&b->w.scratch, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    b->w.meter = pkd_meter_new(app->meters);
    if (!b->w.meter)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    app->meters = b->w.meter;
    return true;
}

bool pkd_batcher_wake(struct pkd_batcher *b, struct pk_store *store, struct pk_error *err)
{
    bool wanted = false;

    if (b->running)
        return true;
    if (!pk_store_job_batch_wanted(store, &wanted, err))
        return false;
    b->running = wanted && pthread_create(&b->w.thread, NULL, run, b) == 0;
    return !wanted || b->running || pk_fail(err, PK_NO_MEMORY, "cannot start the batches' thread");
}

void pkd_batcher_free(struct pkd_batcher *b)
{
    if (!b)
        return;
    if (b->running)
        (void)pthread_join(b->w.thread, NULL);
    pk_arena_free(&b->w.scratch);
    if (b->w.loop)
        pk_loop_free(b->w.loop);
    pk_xfer_free(b->w.xfer);
    pk_resolver_free(b->w.resolver);
    pk_store_close(b->w.store);
    if (b->w.wake_fd >= 0)
        (void)close(b->w.wake_fd);
    free(b);
}
