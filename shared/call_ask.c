/* call_ask.c - a question to another service on a call's way: a webhook, an embedder, a key set.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * It travels by the same ops as an attempt, so that no host knows the difference, but it is no attempt: it
 * has no retry, no span of its own, and its outcome is the asker's to judge.
 */
#include "call_inner.h"

enum { ASKED_BYTES_MAX = 4 << 20 };

static int wait(struct pk_call *c, enum pk_op op)
{
    c->next.until_ms = c->asked.deadline_ms;
    return pk_call_wait(c, ST_ask, op);
}

int pk_call_ask(struct pk_call *c, const struct pk_exchange *ex, int64_t timeout_ms,
                enum pk_call_state then)
{
    int64_t until_ms = c->now_ms + timeout_ms;

    c->asked = (struct pk_asked){
        .exchange = *ex,
        .then = then,
        .deadline_ms = until_ms < c->deadline_ms ? until_ms : c->deadline_ms,
        .body = pk_buf_in(c->arena, ASKED_BYTES_MAX),
    };
    return wait(c, PK_OP_SEND);
}

static int read_on(struct pk_call *c, const struct pk_event *ev)
{
    struct pk_asked *a = &c->asked;

    if (ev->kind == PK_EV_HEAD)
        a->status = ev->status;
    if (ev->kind == PK_EV_BODY)
        pk_buf_add(&a->body, ev->bytes);
    if (!a->body.failed)
        return wait(c, PK_OP_READ);
    (void)pk_fail(&a->error, c->arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE,
                  "%.*s: the answer is larger than %d MiB", PK_FMT(a->exchange.url),
                  ASKED_BYTES_MAX >> 20);
    return pk_call_go(c, a->then);
}

int pk_step_ask(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_HEAD || ev->kind == PK_EV_BODY)
        return read_on(c, ev);
    if (ev->kind == PK_EV_FAIL)
        c->asked.error = ev->error;
    return pk_call_go(c, c->asked.then);
}
