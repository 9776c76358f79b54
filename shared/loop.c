/* loop.c - see loop.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A task is in one of three places: held by the host, in the queue of those that need the host, or
 * waiting for its transfer, its deadline, or both. Deadlines are a binary heap.
 */
#include "loop.h"

#include <stdlib.h>
#include <string.h>

enum { HEAP_MIN = 64 };

/* A deadline and whose it is; next to each other, so that sifting does not visit the tasks. */
struct due {
    int64_t at_ms;
    struct pk_task *task;
};

struct pk_loop {
    struct pk_xfer *x;
    struct due *heap; /* the earliest first */
    int count, cap;
    struct pk_task *queue, *queue_last;
};

/* --- the heap of deadlines ---------------------------------------------------------------- */

static void place(struct pk_loop *l, int i, struct due d)
{
    l->heap[i] = d;
    d.task->heap_at = i;
}

static void sift_up(struct pk_loop *l, int i, struct due d)
{
    for (; i > 0 && l->heap[(i - 1) / 2].at_ms > d.at_ms; i = (i - 1) / 2)
        place(l, i, l->heap[(i - 1) / 2]);
    place(l, i, d);
}

static void sift_down(struct pk_loop *l, int i, struct due d)
{
    for (int child; (child = 2 * i + 1) < l->count; i = child) {
        if (child + 1 < l->count && l->heap[child + 1].at_ms < l->heap[child].at_ms)
            child++;
        if (l->heap[child].at_ms >= d.at_ms)
            break;
        place(l, i, l->heap[child]);
    }
    place(l, i, d);
}

/* To its place, up or down from the hole at `i`. */
static void settle(struct pk_loop *l, int i, struct due d)
{
    if (i > 0 && l->heap[(i - 1) / 2].at_ms > d.at_ms)
        sift_up(l, i, d);
    else
        sift_down(l, i, d);
}

static void clear_deadline(struct pk_loop *l, struct pk_task *t)
{
    int i = t->heap_at;

    if (i < 0)
        return;
    PK_ASSERT(l->heap[i].task == t);
    t->heap_at = -1;
    struct due last = l->heap[--l->count];
    if (i < l->count)
        settle(l, i, last);
}

static bool make_room(struct pk_loop *l)
{
    int cap = l->cap ? l->cap * 2 : HEAP_MIN;
    struct due *more;

    if (l->count < l->cap)
        return true;
    more = realloc(l->heap, (size_t)cap * sizeof *more);
    if (!more)
        return false;
    l->heap = more;
    l->cap = cap;
    return true;
}

/* False when memory runs out. */
static bool set_deadline(struct pk_loop *l, struct pk_task *t, int64_t at_ms)
{
    if (t->heap_at >= 0) {
        if (l->heap[t->heap_at].at_ms != at_ms)
            settle(l, t->heap_at, (struct due){at_ms, t});
        return true;
    }
    if (!make_room(l))
        return false;
    l->count++;
    sift_up(l, l->count - 1, (struct due){at_ms, t});
    return true;
}

/* --- the queue for the host ---------------------------------------------------------------- */

static void enqueue(struct pk_loop *l, struct pk_task *t)
{
    clear_deadline(l, t);
    if (t->queued)
        return;
    t->queued = true;
    t->queue_next = NULL;
    t->queue_prev = l->queue_last;
    if (l->queue_last)
        l->queue_last->queue_next = t;
    else
        l->queue = t;
    l->queue_last = t;
}

static void unqueue(struct pk_loop *l, struct pk_task *t)
{
    if (!t->queued)
        return;
    t->queued = false;
    if (t->queue_prev)
        t->queue_prev->queue_next = t->queue_next;
    else
        l->queue = t->queue_next;
    if (t->queue_next)
        t->queue_next->queue_prev = t->queue_prev;
    else
        l->queue_last = t->queue_prev;
}

/* --- one task ------------------------------------------------------------------------------ */

static void close_transfer(struct pk_task *t)
{
    pk_transfer_free(t->transfer);
    t->transfer = NULL;
}

/* What follows READ goes on with the same transfer, and so does a session; everything else is done with it. */
static void step(struct pk_task *t, struct pk_event *ev)
{
    int64_t now_us = pk_clock_mono_us();

    ev->waited_us = t->waiting_us ? now_us - t->waiting_us : 0;
    t->waiting_us = 0;
    t->moved_ms = now_us / 1000;
    (void)pk_call_step(t->call, now_us, ev, &t->next);
    if (t->next.op != PK_OP_READ && t->next.idle_ms == 0)
        close_transfer(t);
}

static bool needs_host(const struct pk_task *t)
{
    switch (t->next.op) {
    case PK_OP_LOOKUP:
    case PK_OP_NEAR:
    case PK_OP_RESERVE:
    case PK_OP_QUERY:
    case PK_OP_SAVE:
    case PK_OP_DONE: return true;
    case PK_OP_SEND:
    case PK_OP_READ:
    case PK_OP_SLEEP:
        return t->next.out.len > 0 || t->next.open || t->next.last || pk_call_parked(t->call);
    }
    return true;
}

/* When to give up: a session also when it has been idle for too long. */
static int64_t give_up_ms(const struct pk_task *t)
{
    int64_t idle_ms = t->next.idle_ms ? t->moved_ms + t->next.idle_ms : INT64_MAX;

    return idle_ms < t->next.until_ms ? idle_ms : t->next.until_ms;
}

/* The next event of an exchange, which SEND starts; false: none yet. */
static bool exchange(struct pk_loop *l, struct pk_task *t, struct pk_event *ev)
{
    if (!t->transfer) {
        struct pk_error err;

        PK_ASSERT(t->next.op == PK_OP_SEND);
        err.code = PK_OK;
        t->transfer = pk_xfer_start(l->x, pk_call_exchange(t->call), t, &err);
        if (!t->transfer) {
            *ev = (struct pk_event){.kind = PK_EV_FAIL, .error = err};
            return true;
        }
    }
    return pk_transfer_event(t->transfer, ev);
}

/* Goes on until the task needs the host, or has to wait. */
static void drive(struct pk_loop *l, struct pk_task *t)
{
    struct pk_event ev;

    while (!needs_host(t)) {
        if (t->next.op == PK_OP_SLEEP || !exchange(l, t, &ev)) {
            t->waiting_us = t->waiting_us ? t->waiting_us : pk_clock_mono_us();
            if (set_deadline(l, t, give_up_ms(t)))
                return;
            ev = (struct pk_event){.kind = t->next.op == PK_OP_SLEEP ? PK_EV_STOP : PK_EV_FAIL};
            (void)pk_fail(&ev.error, PK_NO_MEMORY, "loop: out of memory");
        }
        step(t, &ev);
    }
    enqueue(l, t);
}

static void give_up_waiting(struct pk_loop *l, struct pk_task *t)
{
    struct pk_event ev = {.kind = PK_EV_WAKE};

    clear_deadline(l, t);
    if (t->next.op != PK_OP_SLEEP) {
        ev.kind = PK_EV_FAIL;
        (void)pk_fail(&ev.error, PK_TIMEOUT, "no answer in time");
        close_transfer(t);
    }
    step(t, &ev);
    drive(l, t);
}

/* What has arrived in time counts, even when the host comes late: deadlines are looked at last. */
static void turn(struct pk_loop *l)
{
    struct pk_task *t;
    int64_t now_ms;

    pk_xfer_pump(l->x);
    while ((t = pk_xfer_next_ready(l->x)) != NULL)
        if (!t->held && !t->queued)
            drive(l, t);
    now_ms = pk_clock_ms();
    while (l->count && l->heap[0].at_ms <= now_ms)
        give_up_waiting(l, l->heap[0].task);
}

/* --- for hosts ------------------------------------------------------------------------------ */

struct pk_loop *pk_loop_new(struct pk_xfer *x)
{
    struct pk_loop *l = calloc(1, sizeof *l);

    if (l)
        l->x = x;
    return l;
}

void pk_loop_free(struct pk_loop *l)
{
    if (!l)
        return;
    PK_ASSERT(l->count == 0);
    free(l->heap);
    free(l);
}

void pk_loop_start(struct pk_loop *l, struct pk_task *t)
{
    struct pk_event ev = {.kind = PK_EV_START};

    *t = (struct pk_task){.call = t->call, .heap_at = -1};
    step(t, &ev);
    drive(l, t);
}

struct pk_task *pk_loop_queued(struct pk_loop *l)
{
    struct pk_task *t = l->queue;

    if (!t)
        return NULL;
    unqueue(l, t);
    t->held = true;
    return t;
}

struct pk_task *pk_loop_next(struct pk_loop *l)
{
    if (!l->queue)
        turn(l);
    return pk_loop_queued(l);
}

int64_t pk_loop_deadline_ms(const struct pk_loop *l)
{
    int64_t at_ms = pk_xfer_deadline_ms(l->x);

    if (l->queue)
        return 0;
    return l->count && l->heap[0].at_ms < at_ms ? l->heap[0].at_ms : at_ms;
}

void pk_loop_answer(struct pk_loop *l, struct pk_task *t, const struct pk_event *ev)
{
    struct pk_event happened = *ev;

    PK_ASSERT(t->held);
    t->held = false;
    step(t, &happened);
    drive(l, t);
}

void pk_loop_resume(struct pk_loop *l, struct pk_task *t)
{
    PK_ASSERT(t->held);
    PK_ASSERT(t->next.op == PK_OP_SEND || t->next.op == PK_OP_READ || t->next.op == PK_OP_SLEEP);
    t->held = false;
    t->next.out = PK_NONE; /* the host has it */
    t->next.open = t->next.last = false;
    drive(l, t);
}

size_t pk_loop_send(struct pk_loop *l, struct pk_task *t, pk_str bytes)
{
    if (!t->transfer)
        return bytes.len;
    size_t taken = pk_transfer_write(t->transfer, bytes);

    t->moved_ms = pk_clock_ms();
    if (t->heap_at >= 0)
        (void)set_deadline(l, t, give_up_ms(t)); /* it has a place in the heap already */
    return taken;
}

bool pk_loop_can_send(const struct pk_task *t)
{
    return !t->transfer || pk_transfer_writable(t->transfer);
}

static void end_early(struct pk_loop *l, struct pk_task *t, struct pk_event *ev)
{
    if (t->next.op == PK_OP_DONE)
        return;
    clear_deadline(l, t);
    t->held = false;
    step(t, ev);
    drive(l, t);
}

void pk_loop_cancel(struct pk_loop *l, struct pk_task *t)
{
    end_early(l, t, &(struct pk_event){.kind = PK_EV_CANCEL});
}

void pk_loop_stop(struct pk_loop *l, struct pk_task *t, const struct pk_error *why)
{
    end_early(l, t, &(struct pk_event){.kind = PK_EV_STOP, .error = *why});
}

void pk_loop_drop(struct pk_loop *l, struct pk_task *t)
{
    clear_deadline(l, t);
    unqueue(l, t);
    close_transfer(t);
    t->held = false;
}
