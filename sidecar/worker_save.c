/* worker_save.c - what came of calls goes to the store; see worker.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An item and the row of its call in the log are one transaction, with those of all calls that ended in the same turn. So
 * whatever dies, what a job says was paid is in the log.
 *
 * A call that failed and may succeed later is asked again, after a while that doubles, until it was tried as often as its
 * job says. A provider that has no room (429) slows the worker, and its items may be asked oftener.
 */
#include "log.h"
#include "store_group.h"
#include "worker_inner.h"

#include <string.h>

enum {
    FINISH_MS = 50,   /* between two looks at jobs that may be through */
    BACKOFF_MS = 500, /* before the second try; doubles */
    BACKOFF_MAX_MS = 300000,
    BUSY_TRIES = 8, /* more, for a provider that has no room */
    TURN_MS = 1000, /* for the process's other writer to let go of the file */
    TOO_MANY = 429,
};

static const int64_t second_us = 1000000;

/* --- one item ------------------------------------------------------------------------------ */

static int64_t backoff_ms(struct pkd_worker *w, const struct pkd_item *item, int tries)
{
    int64_t ms = BACKOFF_MS;

    for (int i = 1; i < tries && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    ms += (int64_t)(pk_random_next(&w->random) % (uint64_t)ms) / 2;
    return item->retry_after_ms > ms ? item->retry_after_ms : ms;
}

static bool cut_short(const struct pkd_worker *w, const struct pkd_item *item)
{
    const char *code = item->result.error_code;

    return w->stop_at_ms != INT64_MAX && code && strcmp(code, pk_code_name(PK_CANCELLED)) == 0;
}

/* Items of a batch come back together, for another one. */
static int64_t again_us(struct pkd_worker *w, const struct pkd_item *item, int tries)
{
    int64_t at_us = pk_clock_us() + backoff_ms(w, item, tries) * 1000;

    return item->batched ? at_us + second_us - at_us % second_us : at_us;
}

static bool put_item(struct pkd_worker *w, const struct pkd_item *item, struct pk_error *err)
{
    const struct pk_result *r = &item->result;
    const uint8_t *holder = item->batch ? item->batch : w->id;
    int tries = item->claim.tries + !r->ok;
    int most = item->work->job.tries_max + (r->http_status == TOO_MANY ? BUSY_TRIES : 0);
    int64_t now_us = pk_clock_us();

    if (item->dropped && !r->ok)
        return true;
    if (item->waits || cut_short(w, item))
        return pk_store_job_again(w->store, &item->claim, holder, item->claim.tries,
                                  now_us + (item->waits ? PKD_LATER_MS * 1000 : 0), r, err);
    if (r->ok || !r->retryable || tries >= most)
        return pk_store_job_end(w->store, &item->claim, tries, r, err);
    return pk_store_job_again(w->store, &item->claim, holder, tries, again_us(w, item, tries), r,
                              err);
}

static bool put(struct pkd_worker *w, const struct pkd_item *item, struct pk_error *err)
{
    return put_item(w, item, err) &&
           (!item->called || item->logged ||
            pk_store_record_add(w->store, pk_call_logged(item->task.call), err));
}

/* --- a transaction ------------------------------------------------------------------------- */

/* Two writers of one process take turns at a file, rather than wait for each other in it. */
static bool take_turn(struct pkd_worker *w)
{
    return !w->store->remote && pk_writer_hold(w->app->writer, TURN_MS);
}

/* Those up to `behind`, in one; NULL: all. */
static bool put_all(struct pkd_worker *w, const struct pkd_item *first,
                    const struct pkd_item *behind, struct pk_error *err)
{
    bool turn = take_turn(w), ok = pk_store_group_begin(w->store, w->kept, err);

    if (ok) {
        w->store->unseen = w->kept;
        for (const struct pkd_item *item = first; ok && item != behind; item = item->next)
            ok = put(w, item, err);
        ok = ok && pk_store_group_settle(w->store, err);
        w->kept = pk_store_group_end(w->store, ok, err);
        w->store->unseen = false;
        ok = w->kept;
    }
    if (turn)
        pk_writer_let_go(w->app->writer);
    return ok;
}

/* One that the store does not take takes no other with it: its row goes where such rows are kept, and it ends with what
 * the store says. */
static bool put_alone(struct pkd_worker *w, struct pkd_item *item, struct pk_error *err)
{
    struct pk_error why;

    if (put_all(w, item, item->next, err))
        return true;
    if (err->retryable)
        return false;
    if (item->called && !item->logged)
        pkd_item_hand_over(w, item);
    if (put_all(w, item, item->next, err))
        return true;
    if (err->retryable)
        return false;
    why = *err;
    pk_result_of_error(&item->arena, &why, &item->result);
    return put_all(w, item, item->next, err);
}

/* --- all that ended ------------------------------------------------------------------------ */

/* A provider that has no room gets half as much, and not before it wants; each success lets a little more in. */
static void note_room(struct pkd_worker *w, const struct pkd_item *item)
{
    int64_t until_ms = pk_clock_ms() + item->retry_after_ms;

    if (item->result.ok && w->window < w->most)
        w->window++;
    if (item->result.http_status != TOO_MANY)
        return;
    w->window = w->window > 1 ? w->window / 2 : 1;
    if (item->retry_after_ms <= PK_BACKOFF_MS_MAX && until_ms > w->hold_ms)
        w->hold_ms = until_ms;
}

static void let_go(struct pkd_worker *w)
{
    struct pkd_item *item = pkd_items_take(&w->over);

    if (item->called)
        pkd_item_tell(w, item);
    note_room(w, item);
    pkd_item_free(w, item);
}

static bool save_each(struct pkd_worker *w, struct pk_error *err)
{
    while (w->over.first) {
        if (!put_alone(w, w->over.first, err))
            return false;
        let_go(w);
    }
    return true;
}

static bool save(struct pkd_worker *w, struct pk_error *err)
{
    if (!put_all(w, w->over.first, NULL, err))
        return !err->retryable && save_each(w, err);
    while (w->over.first)
        let_go(w);
    return true;
}

/* What cannot be saved stays. */
void pkd_worker_save(struct pkd_worker *w)
{
    struct pk_error err = {0};

    if (!w->over.first)
        return;
    if (!save(w, &err)) {
        pkd_worker_trouble(w, "save", &err);
        return;
    }
    if (w->finish_ms == INT64_MAX)
        w->finish_ms = pk_clock_ms() + (pkd_worker_holds(w) == 0 && !w->more ? 0 : FINISH_MS);
}

void pkd_worker_keep_log(struct pkd_worker *w)
{
    for (struct pkd_item *item = w->over.first; item; item = item->next)
        if (item->called && !item->logged)
            pkd_item_hand_over(w, item);
}
