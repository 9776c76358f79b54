/* worker_batch.c - what is done with batches, and when; see worker_batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whatever a request to a provider may have brought about is written down before it is sent (asks), and what it did
 * after it was answered (remote_id). Where only the first is there, the batch is looked for before it is sent again.
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
    WAIT_MS = 100,      /* for the transport, at most */
    LOOKS_LONGEST = 12, /* times as long as the first wait */
    ASKS_MAX = 8,
};

bool pkd_batch_stopping(const struct pkd_batcher *b)
{
    return atomic_load(&b->w.app->stopping);
}

static int64_t lease_us(const struct pkd_batcher *b)
{
    return b->w.app->options->job_lease_ms * 1000;
}

static void trouble(struct pkd_batcher *b, const char *what, const struct pk_error *err)
{
    pkd_worker_trouble(&b->w, what, err);
}

/* --- the lease ----------------------------------------------------------------------------- */

/* What is known of the batch is in the store, and it stays with this worker. False: another has it. */
static bool keep_saved(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool had = false;

    b->batch.updated_us = pk_clock_us();
    b->batch.due_us = b->batch.updated_us + lease_us(b);
    if (!pk_store_job_batch_save(b->w.store, &b->batch, b->w.id, true, &had, &err)) {
        trouble(b, "save", &err);
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
        (void)keep_saved(b);
    else if (!pk_store_job_renew(b->w.store, b->w.id, pk_clock_us() + lease_us(b), &err))
        trouble(b, "renew", &err);
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
static bool end_jobs(struct pkd_batcher *b, struct pk_error *err)
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
    b->stored = b->lost = b->full = b->dropping = false;
    b->batch = (struct pk_job_batch){0};
    b->lines = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX);
    b->renew_ms = pk_clock_ms() + b->w.app->options->job_lease_ms / 3;
}

static void find_target(struct pkd_batcher *b)
{
    const struct pk_config *config = &b->snapshot->config;

    b->target = NULL;
    for (int i = 0; i < config->target_count; i++) {
        const struct pk_target *t = &config->targets[i];

        if (pk_str_is(b->batch.provider, t->provider->name) &&
            (!b->target || pk_str_eq(t->path, b->batch.target_path)))
            b->target = t;
    }
}

/* Its job and where that leads. *gone: there is no such job any more. */
static bool load(struct pkd_batcher *b, const uint8_t job[PK_UUID_BYTES], bool *gone,
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

static bool take(void *ctx, const struct pk_job_claim *claim)
{
    struct pkd_batcher *b = ctx;
    struct pkd_item *item = calloc(1, sizeof *item);

    if (!item)
        return false;
    pk_arena_init(&item->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    item->claim = *claim;
    item->claim.text = pk_copy(&item->arena, claim->text);
    pkd_items_add(&b->w.claimed, item);
    return true;
}

static bool release(struct pkd_batcher *b, const struct pkd_item *item, struct pk_error *err)
{
    const struct pk_result nothing = {.cost_known = true};

    return pk_store_job_again(b->w.store, &item->claim, b->stored ? b->batch.id : b->w.id,
                              item->claim.tries, pk_clock_us(), &nothing, err);
}

/* The claimed item gets into the lines, or is over, or is given back. */
static bool add_item(struct pkd_batcher *b, struct pkd_item *item, struct pk_error *err)
{
    enum pkd_sent sent = PKD_SENT_OUT;

    if (!b->full && pkd_batch_keep(b))
        sent = pkd_batch_send_item(b, item);
    if (sent == PKD_SENT_OVER)
        return true;
    bool ok = sent == PKD_SENT_IN || release(b, item, err);
    pkd_item_free(&b->w, item);
    return ok;
}

/* What is left after a failure is found by its lease. */
static bool add_claimed(struct pkd_batcher *b, struct pk_error *err)
{
    bool ok = true;

    for (struct pkd_item *item; ok && (item = pkd_items_take(&b->w.claimed));)
        ok = add_item(b, item, err) &&
             (b->w.over.count < PKD_BATCH_SAVED || pkd_batch_save_items(b, err));
    return ok && pkd_batch_save_items(b, err);
}

static bool claim_some(struct pkd_batcher *b, int *count, struct pk_error *err)
{
    int64_t now_us = pk_clock_us();
    const struct pk_job_batch_claim c = {b->w.id, b->batch.job, now_us, now_us + lease_us(b),
                                         CLAIM_MAX};

    bool ok = pk_store_job_batch_claim(b->w.store, &c, take, b, err);
    *count = b->w.claimed.count;
    return ok;
}

static bool compose(struct pkd_batcher *b, struct pk_error *err)
{
    int count = CLAIM_MAX;

    while (count == CLAIM_MAX && !b->full && !pkd_batch_stopping(b))
        if (!claim_some(b, &count, err) || !add_claimed(b, err))
            return false;
    return true;
}

/* --- sending it ---------------------------------------------------------------------------- */

static int64_t next_look_us(const struct pkd_batcher *b)
{
    int64_t first_ms = b->w.app->options->batch_poll_ms, ms = first_ms;

    for (int i = 1; i < b->batch.looks && ms < first_ms * LOOKS_LONGEST; i++)
        ms += ms / 2;
    return pk_clock_us() + (ms < first_ms * LOOKS_LONGEST ? ms : first_ms * LOOKS_LONGEST) * 1000;
}

/* It is somebody's again when it is due. */
static void put_away(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool had = false;

    b->batch.updated_us = pk_clock_us();
    if (!b->lost && !pk_store_job_batch_save(b->w.store, &b->batch, b->w.id, false, &had, &err))
        trouble(b, "save", &err);
}

static void look_later(struct pkd_batcher *b)
{
    b->batch.looks++;
    b->batch.due_us = next_look_us(b);
    put_away(b);
}

/* --- its items ----------------------------------------------------------------------------- */

static bool open_item(void *ctx, const struct pk_job_claim *claim)
{
    struct pkd_batcher *b = ctx;
    struct pkd_batch_open *rows = pk_alloc_row(&b->arena, b->open, b->open_count, sizeof *rows);

    if (!rows)
        return false;
    b->open = rows;
    b->open[b->open_count] = (struct pkd_batch_open){.claim = *claim};
    b->open[b->open_count++].claim.text = pk_copy(&b->arena, claim->text);
    return true;
}

static bool open_items(struct pkd_batcher *b, struct pk_error *err)
{
    b->open_count = 0;
    return pk_store_job_batch_items(b->w.store, &b->batch, open_item, b, err) &&
           (!b->arena.failed || pk_fail(err, PK_NO_MEMORY, "batch: out of memory"));
}

static bool all_answered(const struct pkd_batcher *b)
{
    for (int i = 0; i < b->open_count; i++)
        if (!b->open[i].answered)
            return false;
    return true;
}

/* Items that have no other answer get this one. */
static void end_rest(struct pkd_batcher *b, const struct pkd_outcome *outcome)
{
    struct pk_error err = {0};
    bool ok = b->open || open_items(b, &err);

    for (int i = 0; ok && i < b->open_count && pkd_batch_keep(b); i++) {
        if (b->open[i].answered)
            continue;
        pkd_batch_end_item(b, &b->open[i], outcome);
        ok = b->w.over.count < PKD_BATCH_SAVED || pkd_batch_save_items(b, &err);
    }
    ok = ok && pkd_batch_save_items(b, &err);
    if (!ok)
        trouble(b, "items", &err);
    else if (all_answered(b) && pkd_batch_keep(b))
        b->batch.state = PK_JB_OVER;
}

static void finish(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool ok = !b->dropping || b->batch.state != PK_JB_OVER ||
              pk_store_job_batch_drop(b->w.store, &b->batch, &err);

    if (ok && b->batch.state == PK_JB_OVER) {
        put_away(b);
        ok = end_jobs(b, &err);
    } else if (ok) {
        look_later(b); /* what is left comes then */
    }
    if (!ok)
        trouble(b, "finish", &err);
}

static void end_all(struct pkd_batcher *b, const struct pkd_outcome *outcome)
{
    end_rest(b, outcome);
    finish(b);
}

/* Whether asking again may help. */
static bool may_ask_again(const struct pk_error *e)
{
    return e->code == PK_NETWORK || e->code == PK_TIMEOUT || e->code == PK_CANCELLED ||
           e->code == PK_NO_MEMORY || e->code == PK_BAD_ANSWER || e->status == 408 ||
           e->status == 409 || e->status == 429 || e->status >= 500;
}

/* The provider does not take it, in words of its own; its items have the answer that it gave. */
static void refused(struct pkd_batcher *b, const struct pkd_batch_answer *a)
{
    struct pkd_outcome o = {.error = a->error};
    struct pk_buf body = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX);

    if (a->error.code == PK_CANCELLED || (may_ask_again(&a->error) && b->batch.asks < ASKS_MAX)) {
        pkd_warn("batch_not_sent provider=%.*s why=%s", PK_FMT(b->batch.provider), a->error.msg);
        look_later(b);
        return;
    }
    if (a->error.code == PK_UPSTREAM && a->body.len) {
        pk_buf_adds(&body, "{\"error\":{\"message\":");
        pk_json_quote(&body, a->body);
        pk_buf_adds(&body, "}}");
        o = (struct pkd_outcome){.status = a->error.status, .body = pk_buf_str(&body)};
    }
    end_all(b, &o);
}

static void send(struct pkd_batcher *b)
{
    struct pkd_batch_answer a = {0};

    if (!pkd_batch_upload(b, &a)) {
        b->batch.asks++;
        refused(b, &a);
        return;
    }
    b->batch.asks++;
    if (!keep_saved(b)) /* from here on it may be there */
        return;
    if (!pkd_batch_create(b, &a)) {
        b->batch.file_id = PK_NONE;
        refused(b, &a);
        return;
    }
    b->batch.state = PK_JB_SENT;
    b->batch.due_us = pk_clock_us() + b->w.app->options->batch_poll_ms * 1000;
    pkd_info("batch_sent provider=%.*s batch=%.*s items=%lld job=%s", PK_FMT(b->batch.provider),
             PK_FMT(b->batch.remote_id), (long long)b->batch.items, b->work.id_text);
    put_away(b);
}

/* --- what was written down ----------------------------------------------------------------- */

static bool is_old(const struct pkd_batcher *b)
{
    return pk_clock_us() - b->batch.created_us > (int64_t)PK_BATCHED_MS_MAX * 1000;
}

/* The provider could not be asked. */
static void failed(struct pkd_batcher *b, const struct pk_error *err)
{
    const struct pkd_outcome o = {.error = *err};

    pkd_warn("batch_trouble at=provider provider=%.*s why=%s", PK_FMT(b->batch.provider), err->msg);
    if (is_old(b))
        end_all(b, &o);
    else
        look_later(b);
}

static void drop(struct pkd_batcher *b)
{
    struct pkd_outcome o = {0};

    (void)pk_fail(&o.error, PK_CANCELLED, "the job was cancelled");
    b->dropping = true;
    end_all(b, &o);
}

static void send_again(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    if (!pk_store_job_batch_items(b->w.store, &b->batch, take, b, &err) || !add_claimed(b, &err)) {
        trouble(b, "items", &err);
        look_later(b);
    } else if (b->line_count == 0 && pkd_batch_keep(b)) {
        b->batch.state = PK_JB_OVER;
        finish(b);
    } else if (pkd_batch_keep(b)) {
        send(b);
    } else {
        put_away(b);
    }
}

/* Whether it was sent is not known. */
static void work_on_new(struct pkd_batcher *b, bool stopped)
{
    struct pk_error err = {0};
    bool found = false, wait = false;

    if (b->batch.asks > 0 && !pkd_batch_find(b, &found, &wait, &err)) {
        failed(b, &err);
    } else if (found) {
        b->batch.state = PK_JB_SENT;
        pkd_info("batch_found provider=%.*s batch=%.*s job=%s", PK_FMT(b->batch.provider),
                 PK_FMT(b->batch.remote_id), b->work.id_text);
        put_away(b);
    } else if (wait) {
        look_later(b);
    } else if (stopped) {
        drop(b);
    } else {
        send_again(b);
    }
}

static void read_answers(struct pkd_batcher *b, const struct pkd_batch_state *state, bool stopped)
{
    struct pkd_outcome rest = state->outcome;
    struct pk_error err = {0};

    b->dropping = stopped;
    if (stopped) {
        rest = (struct pkd_outcome){0};
        (void)pk_fail(&rest.error, PK_CANCELLED, "the job was cancelled");
    }
    if (!open_items(b, &err) || !pkd_batch_read(b, state, &err)) {
        failed(b, &err);
        return;
    }
    if (!pkd_batch_keep(b)) {
        put_away(b);
        return;
    }
    end_all(b, &rest);
    if (b->batch.state == PK_JB_OVER && !b->lost)
        pkd_batch_clean(b, state);
}

static void work_on_sent(struct pkd_batcher *b, bool stopped)
{
    struct pkd_batch_state state;
    struct pkd_batch_answer a = {0};
    struct pk_error err = {0};

    if (stopped && !b->batch.cancelled) {
        pkd_batch_cancel(b, &a);
        b->batch.cancelled = a.error.code == PK_OK || !may_ask_again(&a.error);
        b->batch.looks = 0;
    }
    if (!pkd_batch_look(b, &state, &err))
        failed(b, &err);
    else if (state.over)
        read_answers(b, &state, stopped);
    else
        look_later(b);
}

static void work_on(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool gone = false, stopped = false;

    if (!load(b, b->batch.job, &gone, &err) ||
        (!gone && !pk_store_job_batch_stopped(b->w.store, b->batch.job, &stopped, &err))) {
        failed(b, &err);
        return;
    }
    if (gone) {
        b->batch.state = PK_JB_OVER;
        put_away(b);
        return;
    }
    find_target(b);
    if (!b->target) {
        (void)pk_fail(&err, PK_BAD_CONFIG, "the config has no target at %.*s any more",
                      PK_FMT(b->batch.provider));
        failed(b, &err);
    } else if (b->batch.state == PK_JB_NEW) {
        work_on_new(b, stopped);
    } else {
        work_on_sent(b, stopped);
    }
}

/* --- what waits ---------------------------------------------------------------------------- */

static void give_back(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    if (!pk_store_job_give_back(b->w.store, b->w.id, pk_clock_us(), &err))
        trouble(b, "give_back", &err);
}

static void make_id(struct pkd_batcher *b)
{
    uint64_t random[2];

    b->batch.created_us = pk_clock_us();
    pk_secret_random(random, sizeof random);
    pk_uuid7(b->batch.created_us, random, b->batch.id);
}

/* A batch of what waits in the job at hand. */
static bool make(struct pkd_batcher *b, struct pk_error *err)
{
    bool gone = false;

    make_id(b);
    if (!load(b, b->batch.job, &gone, err))
        return false;
    if (gone)
        return true;
    choose_target(b);
    if (!b->target)
        return pk_fail(err, PK_BAD_CONFIG, "no provider of the config has a batch API");
    if (!compose(b, err))
        return false;
    if (b->line_count == 0 || !pkd_batch_keep(b))
        return end_jobs(b, err);
    b->batch.items = b->line_count;
    if (!pk_store_job_batch_put(b->w.store, &b->batch, b->w.id, pk_clock_us() + lease_us(b), err))
        return false;
    b->stored = true;
    send(b);
    return true;
}

static bool make_one(struct pkd_batcher *b, bool *did)
{
    struct pk_error err = {0};

    if (!pk_store_job_batch_next(b->w.store, pk_clock_us(), b->batch.job, did, &err)) {
        trouble(b, "look", &err);
        return false;
    }
    if (!*did)
        return true;
    bool ok = make(b, &err);
    if (!ok)
        trouble(b, "make", &err);
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
        trouble(b, "take", &err);
        return false;
    }
    b->stored = *did;
    if (*did)
        work_on(b);
    return true;
}

static void tidy(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    b->tidy_ms = pk_clock_ms() + TIDY_MS;
    if (!pk_store_job_batch_hurry(b->w.store, pk_clock_us(), &err))
        trouble(b, "tidy", &err);
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
            trouble(b, "open", &err);
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
