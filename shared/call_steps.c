/* call_steps.c - the states around the attempts: judge, answer, finish.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "call_inner.h"

#include "http.h"

enum { BACKOFF_MS_FIRST = 500 };

/* An answer as a client of this kind reads it, in c->next.out; false when it cannot be a stream. */
bool pk_call_print_answer(struct pk_call *c)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    pk_buf_reset(&c->out);
    if (!pk_call_tells_stream(c)) {
        c->next.out = pk_call_with_hooks(c, c->answer.body);
        return true;
    }
    c->reply.content_type = PK_NONE; /* that was the whole's */
    pk_call_hook_event(c, true, &c->out);
    pk_call_hook_event(c, false, &c->out);
    bool (*replay)(const struct pk_json *, bool, struct pk_buf *) =
        c->operation == &pk_operation_completions ? pk_text_replay : c->front->replay;
    if (!pk_json_parse(c->arena, c->answer.body, "answer", &doc, &unused) ||
        !replay(&doc, c->with_usage, &c->out))
        return false;
    c->next.out = pk_buf_str(&c->out);
    return true;
}

/* --- judge ----------------------------------------------------------------------------------- */

/* Whether another try at the same target may help. An answer stands unless its guardrails warned and the
 * config wants another then. */
static bool may_retry(const struct pk_call *c, const struct pk_retry *retry)
{
    static const int usual[] = {429, 500, 502, 503, 504, 529};
    int attempts = c->guards.again && retry->attempts == 0 ? 1 : retry->attempts;

    if (c->tries == 0 || c->tries > attempts || c->guards.denied || c->error.code == PK_BUDGET ||
        c->error.code == PK_RATE || c->error.code == PK_UNFIT)
        return false;
    if (c->guards.again)
        return true;
    if (c->answered && c->guards.out != PK_GUARD_WARNED)
        return false;
    if (c->answered || retry->on_statuses.given)
        return pk_statuses_have(&retry->on_statuses,
                                c->answered ? pk_call_status(c) : c->error.status);
    if (c->error.code == PK_NETWORK)
        return true;
    for (size_t i = 0; i < PK_COUNT(usual); i++)
        if (c->error.status == usual[i])
            return c->error.code == PK_UPSTREAM || c->error.code == PK_BAD_ANSWER;
    return false;
}

/* How long to wait before asking the same target again: what it asked for, or half a second
 * doubling per try, of which up to half is random, so that callers refused together do not return together. */
static int64_t backoff_ms(struct pk_call *c, const struct pk_retry *retry)
{
    if (c->retry_after_ms > 0 && retry->use_retry_after)
        return c->retry_after_ms;
    int64_t wait = (int64_t)BACKOFF_MS_FIRST << (c->tries - 1);
    return wait / 2 + (int64_t)(pk_random_next(&c->random) % (uint64_t)(wait / 2));
}

static int try_again(struct pk_call *c, int64_t wait_ms)
{
    c->answered = false;
    if (wait_ms == 0)
        return pk_call_go(c, ST_send);
    c->record.spans[c->span].wait_ms = wait_ms;
    c->next.until_ms = c->now_ms + wait_ms;
    return pk_call_wait(c, ST_send, PK_OP_SLEEP);
}

static bool out_of_attempts(const struct pk_call *c)
{
    return c->req->batched || c->record.attempts == PK_ATTEMPTS_MAX ||
           c->now_ms >= c->deadline_ms || c->error.code == PK_NO_MEMORY;
}

/* The only place that decides between same target, next target, and letting the outcome stand. */
int pk_step_judge(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_retry *retry = &pk_call_target(c)->retry;
    int outcome = c->answered ? pk_call_status(c) : c->error.status;

    (void)ev;
    PK_ASSERT(!c->committed);
    PK_ASSERT(c->answered == (c->error.code == PK_OK));
    pk_call_span_end(c);
    if (!out_of_attempts(c) && pk_call_asks_differently(c))
        return try_again(c, 0);
    if (!out_of_attempts(c) && may_retry(c, retry)) {
        /* No pause will change a guardrail's mind. */
        bool denied = c->answered || c->error.code == PK_DENIED;
        int64_t wait_ms = denied ? 0 : backoff_ms(c, retry);

        if (wait_ms <= PK_BACKOFF_MS_MAX && c->now_ms + wait_ms < c->deadline_ms)
            return try_again(c, wait_ms);
    }
    int node =
        out_of_attempts(c) ? -1 : pk_route_next(&c->config->route, c->steer, c->node, outcome);
    if (c->steer->undecided >= 0)
        return pk_call_undecided(c);
    if (node < 0)
        return pk_call_go(c, c->answered ? ST_answer : ST_finish);
    pk_call_ask_as_before(c);
    c->node = node;
    c->tries = 0;
    c->answered = false;
    c->record.request_model = PK_NONE;
    return pk_call_go(c, ST_guard_in);
}

/* --- the end --------------------------------------------------------------------------------- */

/* A stream that was held back, with what guardrails have to say before its end. */
static void release_stream(struct pk_call *c)
{
    struct pk_buf out = pk_buf_in(c->arena, PK_STREAM_BYTES_MAX);
    pk_str held = pk_buf_str(&c->out);
    size_t end = c->streaming->end_at;

    c->record.first_token_us = pk_call_now_us(c);
    pk_call_hook_event(c, true, &out);
    pk_buf_add(&out, pk_str_sub(held, 0, end));
    pk_call_hook_event(c, false, &out);
    pk_buf_add(&out, pk_str_sub(held, end, held.len));
    c->out = out;
    c->next.out = pk_buf_str(&c->out);
}

/* Gives a whole answer to the client; a stream may have gone out already. */
static void give_answer(struct pk_call *c)
{
    if (c->committed)
        return;
    pk_call_note_target(c);
    pk_call_reply_as(c, pk_call_status(c), pk_call_tells_stream(c));
    c->committed = true;
    if (c->streaming && !c->guards.rewritten)
        release_stream(c);
    else if (!pk_call_print_answer(c))
        c->next.out = c->answer.body;
}

int pk_step_answer(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_SAVED)
        return pk_call_go(c, ST_finish);
    if (c->guards.in == PK_GUARD_REPLACED)
        pk_call_note_own(c);
    else
        pk_call_note_answer(c);
    give_answer(c);
    return pk_call_keep(c) ? pk_call_wait(c, ST_answer, PK_OP_SAVE) : pk_call_go(c, ST_finish);
}

/* An error that stands is told in the front's shape; to one who left, nothing. */
static void give_error(struct pk_call *c)
{
    struct pk_fault f = pk_call_told(c);

    pk_call_reply_as(c, c->error.status, false);
    if (c->error.code == PK_RATE && c->retry_after_ms > 0)
        c->reply.headers = pk_copyf(c->arena, "retry-after: %lld\n",
                                    (long long)((c->retry_after_ms + 999) / 1000));
    if (pk_call_relays_error(c)) {
        c->next.out = pk_buf_str(&c->collected);
        return;
    }
    c->reply.content_type = PK_NONE;
    pk_buf_reset(&c->out);
    c->front->print_error(&f, c->node < 0 ? PK_NONE : pk_call_provider(c), &c->out);
    c->next.out = pk_call_with_hooks(c, pk_buf_str(&c->out));
}

int pk_step_finish(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    if (c->error.code != PK_OK && c->error.code != PK_CANCELLED && !c->committed && !c->told)
        give_error(c);
    c->told = true;
    if (pk_call_goes_on_after(c)) {
        c->next.last = true;
        return pk_call_go(c, ST_guard_after);
    }
    pk_call_close(c);
    return pk_call_wait(c, ST_finish, PK_OP_DONE);
}
