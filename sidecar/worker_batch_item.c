/* worker_batch_item.c - the calls of a batch's items: up to their requests, and from their answers on.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nothing of a call is kept while its batch is out. Its time, its seed, and so its id and its request, follow from the
 * item and the batch, so that it can be made again and be the same: then it is not looked up in the cache, and what limits
 * have set aside for it is its own. Should its request differ all the same, because a prompt or the config was
 * changed, the answer is not put into the cache under it.
 */
#include "store_hold.h"
#include "worker_batch_inner.h"

#include <stdlib.h>
#include <string.h>

/* --- what makes it the same ---------------------------------------------------------------- */

static uint64_t seed_of(const uint8_t id[PK_UUID_BYTES], int64_t ord)
{
    uint64_t halves[2];

    memcpy(halves, id, sizeof halves);
    uint64_t state = halves[1] ^ (uint64_t)ord;
    return pk_random_next(&state) ^ halves[0];
}

static uint32_t sum_of(pk_str body)
{
    uint32_t sum = pk_str_fnv(body);

    return sum ? sum : 1;
}

/* --- what the loop stops for --------------------------------------------------------------- */

/* What was asked for when the call was made to be sent, under the same id and at the same time. */
static struct pk_event granted_before(const struct pkd_batcher *b, struct pk_reserve *r)
{
    r->granted = true;
    r->refused = -1;
    for (int i = 0; i < r->holds.count; i++) {
        struct pk_hold *h = &r->holds.rows[i];

        if (h->want == h->amount)
            continue;
        h->amount = h->want;
        h->leased = false;
        h->slot = pk_limit_slot(h->window, h->rolling, b->batch.created_us);
    }
    return pk_reserve_event(r, false);
}

static void reserve(struct pkd_batcher *b, struct pkd_item *item)
{
    struct pk_reserve *r = pk_call_reserve(item->task.call);
    struct pk_reserve *const asked[] = {r};
    bool lenient = strcmp(b->w.app->options->limits, "allow") == 0;

    if (b->outcome || b->stored) {
        struct pk_event ev = granted_before(b, r);
        pk_loop_answer(b->w.loop, &item->task, &ev);
        return;
    }
    pk_store_reserve(b->w.store, asked, 1, b->batch.created_us);
    item->waits = !r->granted && (r->in_use || r->error.code == PK_RATE);
    b->limited = b->limited || item->waits;
    b->full = b->full || b->limited;
    struct pk_event ev = pk_reserve_event(r, lenient);
    pk_loop_answer(b->w.loop, &item->task, &ev);
}

static bool is_changed(const struct pkd_batcher *b, const struct pkd_item *item)
{
    const struct pk_exchange *ex = pk_call_exchange(item->task.call);

    return !pk_str_eq(b->batch.provider, pk_str_of(ex->target->provider->name));
}

static struct pk_event first_answer(const struct pkd_batcher *b, const struct pkd_item *item)
{
    struct pk_event ev = {.kind = PK_EV_HEAD,
                          .status = b->outcome->status,
                          .headers = PK_STR("content-type: application/json\n"),
                          .away_us = pk_clock_us() - b->batch.created_us};

    if (ev.away_us < 0)
        ev.away_us = 0;
    if (is_changed(b, item)) {
        ev.kind = PK_EV_FAIL;
        (void)pk_fail(&ev.error, PK_BAD_CONFIG,
                      "%.*s: the config leads elsewhere than when the batch was sent",
                      PK_FMT(b->batch.provider));
    } else if (b->outcome->status == 0) {
        ev.kind = PK_EV_FAIL;
        ev.error = b->outcome->error;
    }
    return ev;
}

/* The call waits for its batch. */
static void answer(struct pkd_batcher *b, struct pkd_item *item)
{
    struct pk_event ev = {.kind = PK_EV_BODY, .bytes = b->outcome->body};

    if (item->task.next.op == PK_OP_SEND) {
        uint32_t sum = sum_of(pk_call_exchange(item->task.call)->body);
        item->req.cache_off = b->outcome->sum != 0 && b->outcome->sum != sum;
        ev = first_answer(b, item);
    } else if (b->told) {
        ev = (struct pk_event){.kind = PK_EV_END};
    } else {
        b->told = true;
    }
    pk_loop_answer(b->w.loop, &item->task, &ev);
}

static void miss(struct pkd_batcher *b, struct pkd_item *item)
{
    const struct pk_event ev = {.kind = PK_EV_MISS};

    pk_loop_answer(b->w.loop, &item->task, &ev);
}

/* Of a request that is not the one that was sent. */
static void do_not_save(struct pkd_batcher *b, struct pkd_item *item)
{
    const struct pk_event ev = {.kind = PK_EV_SAVED};

    pk_buf_add(&item->out, item->task.next.out);
    pk_loop_answer(b->w.loop, &item->task, &ev);
}

static void perform(struct pkd_batcher *b, struct pkd_item *item)
{
    enum pk_op op = item->task.next.op;

    b->settled = op == PK_OP_DONE;
    if (pk_call_parked(item->task.call)) {
        pk_buf_add(&item->out, item->task.next.out);
        if (b->outcome)
            answer(b, item);
        else
            b->settled = b->parked = true;
    } else if (op == PK_OP_RESERVE) {
        reserve(b, item);
    } else if (op == PK_OP_LOOKUP && (b->outcome || b->stored)) {
        miss(b, item);
    } else if (op == PK_OP_SAVE && item->req.cache_off) {
        do_not_save(b, item);
    } else {
        pkd_item_perform(&b->w, item);
    }
}

void pkd_batch_turn(struct pkd_batcher *b)
{
    struct pk_task *task = pk_loop_next(b->w.loop);

    if (!task)
        pkd_batch_wait(b);
    else if (task == b->asking)
        pkd_batch_asked(b);
    else
        perform(b, (struct pkd_item *)(void *)task);
}

enum sent {
    SENT_IN,   /* its request is among the lines */
    SENT_OUT,  /* it belongs into another batch */
    SENT_OVER, /* it needs no answer, and is in w.over */
};

/* --- a call -------------------------------------------------------------------------------- */

/* Until it waits for its batch, or is over. */
static void drive(struct pkd_batcher *b, struct pkd_item *item)
{
    item->work = &b->work;
    b->work.items++;
    item->batched = true;
    item->dropped = b->dropping;
    item->batch = b->stored ? b->batch.id : NULL;
    item->began_us = b->batch.created_us;
    item->seed = seed_of(b->batch.id, item->claim.ord);
    item->draw = seed_of(b->batch.job, item->claim.ord);
    b->parked = b->settled = b->told = false;
    pkd_items_add(&b->w.running, item);
    if (!pkd_item_call(&b->w, item)) {
        pkd_items_remove(&b->w.running, item);
        pkd_items_add(&b->w.over, item);
        return;
    }
    while (!b->settled)
        pkd_batch_turn(b);
}

/* All requests of a batch are for one target and one model. */
static bool belongs(struct pkd_batcher *b, const struct pkd_item *item)
{
    const struct pk_target *t = pk_call_exchange(item->task.call)->target;
    pk_str model = pk_call_record(item->task.call)->request_model;
    struct pk_job_batch *batch = &b->batch;

    if (batch->provider.len == 0) {
        batch->provider = pk_copy(&b->arena, pk_str_of(t->provider->name));
        batch->target_path = pk_copy(&b->arena, t->path);
        batch->model = pk_copy(&b->arena, model);
    }
    return pk_str_eq(batch->provider, pk_str_of(t->provider->name)) &&
           pk_str_eq(batch->target_path, t->path) && pk_str_eq(batch->model, model);
}

/* Makes the claimed item's call, up to its request. */
static enum sent send_item(struct pkd_batcher *b, struct pkd_item *item)
{
    char id[PKD_CUSTOM_ID_BYTES];

    b->outcome = NULL;
    drive(b, item);
    if (!b->parked)
        return SENT_OVER;
    pk_str body = pk_call_exchange(item->task.call)->body;
    pkd_batch_custom_id(b, item->claim.ord, sum_of(body), id);
    bool in = belongs(b, item) && pkd_batch_add_line(b, id, body);
    pkd_items_remove(&b->w.running, item);
    pk_loop_drop(b->w.loop, &item->task);
    return in ? SENT_IN : SENT_OUT;
}

/* --- what is claimed ---------------------------------------------------------------------------- */

bool pkd_batch_take(void *ctx, const struct pk_job_claim *claim)
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
    int64_t due_us = pk_clock_us() + (b->limited ? PKD_LATER_MS * 1000 : 0);

    return pk_store_job_again(b->w.store, &item->claim, b->stored ? b->batch.id : b->w.id,
                              item->claim.tries, due_us, &nothing, err);
}

/* The claimed item gets into the lines, or is over, or is given back. */
static bool add_item(struct pkd_batcher *b, struct pkd_item *item, struct pk_error *err)
{
    enum sent sent = SENT_OUT;

    if (!b->full && pkd_batch_keep(b))
        sent = send_item(b, item);
    if (sent == SENT_OVER)
        return true;
    bool ok = sent == SENT_IN || release(b, item, err);
    pkd_item_free(&b->w, item);
    return ok;
}

/* What is left after a failure is found by its lease. */
bool pkd_batch_add_claimed(struct pkd_batcher *b, struct pk_error *err)
{
    bool ok = true;

    for (struct pkd_item *item; ok && (item = pkd_items_take(&b->w.claimed));)
        ok = add_item(b, item, err) &&
             (b->w.over.count < PKD_BATCH_SAVED || pkd_batch_save_items(b, err));
    return ok && pkd_batch_save_items(b, err);
}

/* --- the end ------------------------------------------------------------------------------- */

void pkd_batch_end_item(struct pkd_batcher *b, struct pkd_batch_open *open,
                        const struct pkd_outcome *outcome)
{
    struct pkd_item *item = calloc(1, sizeof *item);

    if (!item)
        return; /* it stays open, and is looked at again */
    pk_arena_init(&item->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    item->claim = open->claim;
    open->answered = true;
    b->outcome = outcome;
    drive(b, item);
    b->outcome = NULL;
    if (b->w.stop_at_ms == INT64_MAX || item->result.ok)
        return;
    /* It was cut short: the next worker reads the answer. */
    pkd_items_remove(&b->w.over, item);
    pkd_item_free(&b->w, item);
    open->answered = false;
}

bool pkd_batch_save_items(struct pkd_batcher *b, struct pk_error *err)
{
    pkd_worker_save(&b->w);
    return !b->w.over.first || pk_fail(err, PK_STORE, "items could not be saved");
}
