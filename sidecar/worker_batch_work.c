/* worker_batch_work.c - what is done with a batch that is written down.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whatever a request to a provider may have brought about is written down before it is sent (asks), and what it did
 * after it was answered (remote_id). Where only the first is there, the batch is looked for before it is sent again.
 */
#include "worker_batch_inner.h"

enum {
    LOOKS_LONGEST = 12, /* times as long as the first wait */
    ASKS_MAX = 8,       /* a provider that cannot now, for one batch */
};

/* --- later --------------------------------------------------------------------------------- */

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
        pkd_worker_trouble(&b->w, "save", &err);
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
        pkd_worker_trouble(&b->w, "items", &err);
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
        ok = pkd_batch_end_jobs(b, &err);
    } else if (ok) {
        look_later(b); /* what is left comes then */
    }
    if (!ok)
        pkd_worker_trouble(&b->w, "finish", &err);
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

    if (may_ask_again(&a->error)) { /* and it may be there */
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

void pkd_batch_send(struct pkd_batcher *b)
{
    struct pkd_batch_answer a = {0};

    if (!pkd_batch_upload(b, &a)) {
        b->batch.asks++;
        refused(b, &a);
        return;
    }
    b->batch.asks++;
    if (!pkd_batch_keep_saved(b)) /* from here on it may be there */
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

/* --- sending it ---------------------------------------------------------------------------- */

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

/* It is not there, and was not taken. */
static void give_up(struct pkd_batcher *b)
{
    struct pkd_outcome o = {0};

    pkd_batch_unanswered(b, "it has taken no batch", &o);
    end_all(b, &o);
}

static void send_again(struct pkd_batcher *b)
{
    struct pk_error err = {0};

    if (!pk_store_job_batch_items(b->w.store, &b->batch, pkd_batch_take, b, &err) ||
        !pkd_batch_add_claimed(b, &err)) {
        pkd_worker_trouble(&b->w, "items", &err);
        look_later(b);
    } else if (b->line_count == 0 && pkd_batch_keep(b)) {
        b->batch.state = PK_JB_OVER;
        finish(b);
    } else if (pkd_batch_keep(b)) {
        pkd_batch_send(b);
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
    } else if (wait && !is_old(b)) {
        look_later(b);
    } else if (stopped) {
        drop(b);
    } else if (wait || b->batch.asks >= ASKS_MAX) {
        give_up(b);
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

void pkd_batch_work_on(struct pkd_batcher *b)
{
    struct pk_error err = {0};
    bool gone = false, stopped = false;

    if (!pkd_batch_load(b, b->batch.job, &gone, &err) ||
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
