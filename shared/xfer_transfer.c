/* xfer_transfer.c - transfers: one exchange each, from its start to its last event, and the pool of those that are done.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A transfer keeps its easy handle and its buffers when it is pooled; most requests change nothing but the URL, the header
 * text and the body.
 *
 *   start --> under way ------------> ended (bytes may still wait) --> free
 *                |    ^
 *       too much waits unread: paused until it is taken
 */
#include "xfer.h"

#include "xfer_inner.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEPT_BYTES_MAX = 64 << 10, /* a larger buffer is not pooled */
    IDLE_MAX = 256,            /* pooled transfers */
    CONNECTS_MAX = 3,          /* that a pooled handle has made, see pk_transfer_free() */
};

/* --- lists ----------------------------------------------------------------------------------- */

void pk_transfer_mark_ready(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->ready || t->fetches)
        return;
    t->ready = true;
    t->ready_next = NULL;
    t->ready_prev = x->ready_last;
    if (x->ready_last)
        x->ready_last->ready_next = t;
    else
        x->ready = t;
    x->ready_last = t;
}

static void unmark_ready(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (!t->ready)
        return;
    t->ready = false;
    if (t->ready_prev)
        t->ready_prev->ready_next = t->ready_next;
    else
        x->ready = t->ready_next;
    if (t->ready_next)
        t->ready_next->ready_prev = t->ready_prev;
    else
        x->ready_last = t->ready_prev;
}

void *pk_xfer_next_ready(struct pk_xfer *x)
{
    struct pk_transfer *t = x->ready;

    if (!t)
        return NULL;
    unmark_ready(t);
    return t->owner;
}

static void activate(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    t->prev = NULL;
    t->next = x->active;
    if (x->active)
        x->active->prev = t;
    x->active = t;
    x->active_count++;
}

static void deactivate(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->prev)
        t->prev->next = t->next;
    else
        x->active = t->next;
    if (t->next)
        t->next->prev = t->prev;
    x->active_count--;
}

/* --- the answer ------------------------------------------------------------------------------ */

enum pk_address pk_transfer_refuses(const struct pk_transfer *t, const struct sockaddr *a)
{
    enum pk_address kind = pk_xfer_address(a);
    bool may = t->to->listed || (kind == PK_ADDRESS_LOOPBACK && t->to->loopback);

    return may ? PK_ADDRESS_PUBLIC : kind;
}

void pk_transfer_take_head(struct pk_transfer *t)
{
    pk_transfer_hide_key(t, &t->head, 0);
    if (t->by_token)
        pk_token_refused(t);
    pk_transfer_mark_ready(t);
}

bool pk_transfer_take_body(struct pk_transfer *t, pk_str bytes)
{
    size_t before = t->fill.len;
    size_t most = t->fetches   ? PK_TOKEN_ANSWER_BYTES_MAX
                  : t->endless ? SIZE_MAX
                               : PK_STREAM_BYTES_MAX;

    t->too_large = bytes.len > most - t->body_bytes;
    if (t->too_large || !pk_bytes_add(&t->fill, bytes.at, bytes.len))
        return false;
    pk_transfer_hide_key(t, &t->fill, before);
    t->body_bytes += bytes.len;
    pk_transfer_mark_ready(t);
    return true;
}

/* --- the pool -------------------------------------------------------------------------------- */

static struct pk_transfer *new_transfer(struct pk_xfer *x)
{
    struct pk_transfer *t = calloc(1, sizeof *t);

    if (t)
        t->x = x;
    return t;
}

static void destroy(struct pk_transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    pk_transfer_drop_text(t);
    free(t->head.at);
    free(t->fill.at);
    free(t->lent.at);
    free(t->wire);
    free(t);
}

static struct pk_transfer *take_idle(struct pk_xfer *x)
{
    struct pk_transfer *t = x->idle;

    if (!t)
        return new_transfer(x);
    x->idle = t->next;
    x->idle_count--;
    return t;
}

static void shrink(struct pk_bytes *b)
{
    b->len = 0;
    if (b->cap <= KEPT_BYTES_MAX)
        return;
    free(b->at);
    b->at = NULL;
    b->cap = 0;
}

/* Back to the pool, as if new. */
static void put_idle(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->text.cap > PK_VAULT_SLOT_BYTES)
        pk_transfer_drop_text(t);
    shrink(&t->head);
    shrink(&t->fill);
    shrink(&t->lent);
    t->part = PART_STATUS;
    t->status = 0;
    t->head_bytes = t->body_bytes = 0;
    t->goes = 0;
    t->by_token = t->fetches = t->wired = false;
    t->told_head = t->told_end = t->paused = t->ended = t->too_large = false;
    t->refused = PK_ADDRESS_PUBLIC;
    t->error.code = PK_OK;
    t->detail[0] = 0;
    t->next = x->idle;
    x->idle = t;
    x->idle_count++;
}

void pk_transfers_free_idle(struct pk_xfer *x)
{
    while (x->idle) {
        struct pk_transfer *t = x->idle;

        x->idle = t->next;
        x->idle_count--;
        destroy(t);
    }
}

/* --- starting -------------------------------------------------------------------------------- */

static void unprepare(struct pk_transfer *t)
{
    pk_tunnel_free(t);
    pk_transfer_exchanges(t);
    pk_transfer_wipe(t);
    if (t->to)
        pk_upstream_release(t->x, t->to);
    t->to = NULL;
    put_idle(t);
}

/* What is to be sent has been put together. */
static bool launch(struct pk_transfer *t, struct pk_error *err)
{
    return t->wired ? pk_wire_start(t, err) : pk_transfer_add(t, err);
}

struct pk_transfer *pk_transfer_fetch(struct pk_xfer *x, const struct pk_exchange *ex,
                                      const struct pk_grant *g, struct pk_error *err)
{
    struct pk_transfer *t = take_idle(x);

    if (!t) {
        (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
        return NULL;
    }
    /* The answer has a secret in it: it is not to be copied while it grows. */
    if (!pk_bytes_size(&t->fill, PK_TOKEN_ANSWER_BYTES_MAX) || !pk_transfer_aim(t, ex, err) ||
        !pk_transfer_fill(t, ex, g, err) || !launch(t, err)) {
        unprepare(t);
        return NULL;
    }
    t->fetches = true;
    activate(t);
    return t;
}

void pk_transfer_go_on(struct pk_transfer *t, const struct pk_grant *g, const struct pk_error *why)
{
    const struct pk_exchange *ex = t->waits;

    t->waits = NULL;
    if (why)
        t->error = *why;
    else if (pk_transfer_fill(t, ex, g, &t->error) && launch(t, &t->error))
        return;
    t->ended = true;
    pk_transfer_mark_ready(t);
}

struct pk_transfer *pk_xfer_start(struct pk_xfer *x, const struct pk_exchange *ex, void *owner,
                                  struct pk_error *err)
{
    struct pk_transfer *t = pk_xfer_usable(x, err) ? take_idle(x) : NULL;

    if (!t) {
        if (!pk_xfer_inherited(x))
            (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
        return NULL;
    }
    if (!pk_transfer_aim(t, ex, err) || !pk_transfer_authorize(t, ex, err)) {
        unprepare(t);
        return NULL;
    }
    if (!t->waits && !launch(t, err)) {
        unprepare(t);
        return NULL;
    }
    t->owner = owner;
    activate(t);
    return t;
}

/* --- events ---------------------------------------------------------------------------------- */

/* The bytes that were shown last are done with: curl may go on. */
static void resume(struct pk_transfer *t)
{
    t->lent.len = 0;
    if (!t->paused || t->fill.len > XFER_HELD_BYTES_MAX / 2 || pk_xfer_inherited(t->x))
        return;
    struct pk_hush h = pk_xfer_hush(t->x);
    if (t->tunnel) {
        pk_tunnel_resume(t);
    } else if (t->wired) {
        pk_wire_resume(t);
    } else {
        t->paused = false;
        (void)curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
    pk_xfer_unhush(&h);
}

static bool report_end(struct pk_transfer *t, struct pk_event *ev)
{
    t->told_end = true;
    ev->kind = t->error.code == PK_OK ? PK_EV_END : PK_EV_FAIL;
    if (ev->kind == PK_EV_FAIL)
        ev->error = t->error;
    return true;
}

/* Moves what has come to where the host may see it; the beginning of a key waits for the rest. False:
 * nothing but that is there. */
static bool lend(struct pk_transfer *t)
{
    struct pk_bytes empty = t->lent;
    size_t held = pk_transfer_held_back(t);

    if (held == t->fill.len)
        return false;
    t->lent = t->fill;
    t->fill = empty;
    t->lent.len -= held;
    if (held && !pk_bytes_add(&t->fill, t->lent.at + t->lent.len, held))
        t->lent.len += held; /* no memory to wait with */
    return true;
}

bool pk_transfer_event(struct pk_transfer *t, struct pk_event *ev)
{
    PK_ASSERT(!t->told_end);
    resume(t);
    memset(ev, 0, offsetof(struct pk_event, error));
    ev->error.code = PK_OK;
    if (t->part == PART_BODY && !t->told_head) {
        t->told_head = true;
        ev->kind = PK_EV_HEAD;
        ev->status = t->status;
        ev->headers = (pk_str){t->head.at, t->head.len};
        return true;
    }
    if (t->fill.len && lend(t)) {
        ev->kind = PK_EV_BODY;
        ev->bytes = (pk_str){t->lent.at, t->lent.len};
        return true;
    }
    return t->ended && report_end(t, ev);
}

/* --- the end --------------------------------------------------------------------------------- */

/* Taking an unfinished one out of the multi handle closes its connection; one of HTTP/2 that others use stays, and they
 * see to it that the provider hears of the end. A libcurl of 7.88 to 8.14 would keep one that nobody uses, and tell
 * nothing until somebody does: the provider would go on, and be paid. */
static void cut_off(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (pk_xfer_inherited(x)) {
        t->easy = NULL; /* see fail_all() */
        pk_wire_forget(t);
        return;
    }
    pk_wire_cut(t);
    if (!t->easy)
        return;
    struct pk_hush h = pk_xfer_hush(x);
    (void)curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_multi_remove_handle(x->multi, t->easy);
    pk_xfer_unhush(&h);
}

/* A handle that has made several connections, or sent a request again, is not kept: curl tries again when an idle
 * connection turns out to be dead, or one of HTTP/2 takes no more streams, but counts that over the handle's whole life and
 * gives up at five. */
void pk_transfer_free(struct pk_transfer *t)
{
    if (!t)
        return;
    struct pk_xfer *x = t->x;
    bool good = t->ended && t->error.code == PK_OK && t->connects < CONNECTS_MAX && !t->tunnel &&
                !pk_transfer_went_again(t);

    if (t->waits)
        pk_token_leave(t);
    else if (!t->ended)
        cut_off(t);
    unmark_ready(t);
    deactivate(t);
    pk_tunnel_free(t);
    pk_transfer_wipe(t);
    pk_upstream_release(x, t->to);
    t->to = NULL;
    if (good && x->idle_count < IDLE_MAX)
        put_idle(t);
    else
        destroy(t);
}
