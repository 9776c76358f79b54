/* call_attempt.c - one try at one target: send, head, then drain, collect or relay.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every way through here ends in the state judge, but for a stream whose bytes have gone out: that one
 * is answered, or told that it broke.
 */
#include "call_inner.h"

#include "dialect_parts.h"
#include "http.h"

#include <string.h>

enum {
    ERROR_BODY_BYTES_MAX = 64 << 10,
    END_WAIT_MS = 500, /* for the end of a connection whose stream is complete */
};

int pk_step_send(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    PK_ASSERT(!c->committed);
    PK_ASSERT(c->record.attempts < PK_ATTEMPTS_MAX);
    c->record.attempts++;
    c->record.retries += c->tries > 0;
    c->tries++;
    c->status = 0;
    c->retry_after_ms = 0;
    c->answer = (struct pk_answer){0};
    c->streaming = NULL;
    c->tunnel = NULL;
    c->tap = NULL;
    c->passed_bytes = -1;
    c->impatient = c->error_cut = false;
    c->guards.again = c->guards.refused = c->guards.rewritten = c->guards.replaced = false;
    c->guards.out = PK_GUARD_PASSED;
    c->guards.after_results = PK_NONE;
    c->error = (struct pk_error){0};
    c->fault = (struct pk_fault){0};
    pk_buf_reset(&c->collected);
    pk_buf_reset(&c->out);
    if (!pk_call_build(c))
        return pk_call_go(c, ST_judge);
    if (pk_call_counts_itself(c)) {
        pk_call_count(c);
        return pk_call_go(c, c->answered ? ST_guard_out : ST_judge);
    }
    return pk_call_go(c, ST_afford);
}

/* The statement does not allow the attempt: nor another one. */
static int not_afforded(struct pk_call *c)
{
    c->error.code = PK_QUERY_LIMIT; /* also where no price is known */
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

/* Waits for calls of the same statement that hold what this one needs. */
static int afford_later(struct pk_call *c)
{
    if (c->now_ms >= c->deadline_ms) {
        (void)pk_fail(&c->error, PK_TIMEOUT, "max_cost_per_query: the call's timeout has passed");
        return pk_call_go(c, ST_judge);
    }
    c->next.until_ms = c->now_ms + PK_ACCOUNT_WAIT_MS;
    return pk_call_wait(c, ST_afford, PK_OP_SLEEP);
}

int pk_step_afford(struct pk_call *c, const struct pk_event *ev)
{
    struct pk_account *account = c->req->account;
    int64_t most_pusd = 0;
    bool ask;

    (void)ev;
    if (account && account->max_cost_pusd > 0 && !pk_call_most(c, &most_pusd))
        return not_afforded(c);
    if (account) {
        switch (pk_account_ask(account, &c->share, most_pusd, &c->error)) {
        case PK_ACCOUNT_YES: break;
        case PK_ACCOUNT_WAIT: return afford_later(c);
        case PK_ACCOUNT_NO: return not_afforded(c);
        }
    }
    if (!pk_call_limited(c, &ask))
        return pk_call_go(c, ST_judge);
    if (ask)
        return pk_call_wait(c, ST_reserve, PK_OP_RESERVE);
    return pk_call_wait_upstream(c, ST_head, PK_OP_SEND);
}

/* Whether the limit that passed is the client's own. */
static bool gave_up(const struct pk_call *c, const struct pk_error *err)
{
    if (err->code != PK_TIMEOUT)
        return false;
    return c->now_ms >= c->deadline_ms
               ? c->req->timeout_ms > 0
               : c->req->request_ms > 0 && strcmp(c->attempt_limit, "request_timeout") == 0;
}

void pk_call_note_failure(struct pk_call *c, const struct pk_event *ev)
{
    const char *provider = pk_call_target(c)->provider->name;

    c->error = ev->error;
    c->impatient = gave_up(c, &ev->error);
    if (ev->error.code == PK_TIMEOUT && c->now_ms >= c->deadline_ms)
        (void)pk_fail(&c->error, PK_TIMEOUT, "%s: the call's timeout has passed", provider);
    else if (ev->error.code == PK_TIMEOUT && c->now_ms >= c->attempt_deadline_ms)
        (void)pk_fail(&c->error, PK_TIMEOUT, "%s: no answer within %s", provider, c->attempt_limit);
    c->status = 0;
}

static int failed(struct pk_call *c, const struct pk_event *ev, enum pk_call_state then)
{
    pk_call_note_failure(c, ev);
    return pk_call_go(c, then);
}

static void keep_relayed_headers(struct pk_call *c, pk_str headers)
{
    struct pk_buf kept = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    bool raw = pk_operation_is_raw(c->operation) && !c->exchange.upgrade;
    pk_str name, value;

    while (pk_http_next_header(&headers, &name, &value))
        if (raw ? pk_http_passed(name) : pk_http_relayed(name))
            pk_buf_addf(&kept, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(value));
    c->reply.headers = kept.failed ? PK_NONE : pk_buf_str(&kept);
}

/* AWS: "ThrottlingException:http://internal.amazon.com/...". */
static void keep_error_type(struct pk_call *c, pk_str headers)
{
    const char *name = c->back->error_header;
    pk_str type = name ? pk_http_header(headers, name) : PK_NONE;
    int colon = pk_str_find(type, ':');

    c->error_type = pk_copy(c->arena, colon < 0 ? type : pk_str_sub(type, 0, (size_t)colon));
}

int pk_step_head(struct pk_call *c, const struct pk_event *ev)
{
    bool ok = ev->status >= 200 && ev->status < 300;

    if (ev->kind == PK_EV_FAIL)
        return failed(c, ev, ST_judge);
    c->status = ev->status;
    c->retry_after_ms = ok ? 0 : pk_http_retry_after_ms(ev->headers, pk_call_now_us(c));
    keep_relayed_headers(c, ev->headers);
    bool passes = pk_call_passes(c, ev->headers);
    if (c->exchange.upgrade && ev->status == 101)
        return pk_call_tunnel_open(c, ev->headers);
    if (!ok || c->exchange.upgrade) {
        keep_error_type(c, ev->headers);
        return pk_call_wait_upstream(c, ST_drain, PK_OP_READ);
    }
    if (passes)
        return pk_call_wait_upstream(c, ST_pass, PK_OP_READ);
    if (!c->stream || c->codec ||
        !pk_http_is_type(pk_http_header(ev->headers, "content-type"),
                         pk_framing_type(c->back->framing)))
        return pk_call_wait_upstream(c, ST_collect, PK_OP_READ);
    c->streaming =
        pk_stream_new(c->arena, c->front, c->back, c->with_usage, c->record.started_us / 1000000);
    if (!c->streaming) {
        (void)pk_fail(&c->error, PK_NO_MEMORY, "stream: out of memory");
        return pk_call_go(c, ST_judge);
    }
    c->streaming->asked = c->record.request_model;
    c->streaming->made_id = c->made_id;
    c->streaming->request = &c->body;
    if (pk_call_target(c)->timeouts.ttft_ms == 0)
        c->attempt_deadline_ms = INT64_MAX; /* request_timeout was for the head */
    return pk_call_wait_upstream(c, ST_relay, PK_OP_READ);
}

void pk_call_note_first_byte(struct pk_call *c)
{
    struct pk_span *s = &c->record.spans[c->span];

    if (s->first_byte_us == 0)
        s->first_byte_us = pk_call_now_us(c);
}

/* Others may not be passed on: 304, for one, has no body, so that ours would be read as the next
 * answer. */
static bool is_error_status(int status)
{
    return status >= 400 && status <= 599;
}

/* What strategies and the client see of an error that the provider told with `status`. */
static void note_status(struct pk_call *c, int status)
{
    c->error.status = is_error_status(status) ? status : 502;
    c->error.retryable = status == 408 || status == 409 || status == 429 || status >= 500;
}

/* Reads an unwanted answer to its end, so that the connection can be used again, and keeps what may
 * hold the provider's words. */
int pk_step_drain(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_provider *provider = pk_call_target(c)->provider;

    if (ev->kind == PK_EV_BODY) {
        pk_call_note_first_byte(c);
        c->error_cut = c->error_cut || c->collected.len + ev->bytes.len > ERROR_BODY_BYTES_MAX;
        if (!c->error_cut)
            pk_buf_add(&c->collected, ev->bytes);
        return pk_call_wait_upstream(c, ST_drain, PK_OP_READ);
    }
    c->error_cut = c->error_cut || ev->kind == PK_EV_FAIL;
    pk_dialect_fault(c->arena, c->back, c->status, pk_buf_str(&c->collected), &c->fault);
    if (c->fault.type.len == 0)
        c->fault.type = c->error_type;
    if (c->retry_after_ms <= 0)
        c->retry_after_ms = c->fault.retry_ms;
    (void)pk_fail(&c->error, PK_UPSTREAM, "%s answered %d", provider->name, c->status);
    note_status(c, c->status);
    return pk_call_go(c, ST_judge);
}

static int too_large(struct pk_call *c)
{
    (void)pk_fail(&c->error, c->arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE,
                  "%s: the answer is larger than %d MiB", pk_call_target(c)->provider->name,
                  PK_BODY_BYTES_MAX >> 20);
    c->error.status = 502;
    return pk_call_go(c, ST_judge);
}

/* What was asked for in the common shape: with what the target changes in it. NULL: it is no JSON. */
static const struct pk_json *asked_for(struct pk_call *c, struct pk_json *changed)
{
    const struct pk_overridden *o = c->overridden ? &c->overridden[c->node] : NULL;

    if (c->opaque)
        return NULL;
    if (!o || !o->made || o->body.at == c->body.text.at)
        return &c->body;
    return pk_json_parse(c->arena, o->body, "body", changed, &c->error) ? changed : NULL;
}

static bool read_answer(struct pk_call *c)
{
    pk_str body = pk_buf_str(&c->collected);
    struct pk_json changed;

    if (c->codec) {
        c->answer.request = asked_for(c, &changed);
        bool ok = pk_codec_answer(c->arena, c->codec, body, &c->answer, &c->error);
        c->answer.request = NULL;
        if (pk_operation_is_raw(c->operation) && !pk_operation_bills(c->operation, c->req->method))
            c->answer.usage = (struct pk_usage){0};
        return ok && pk_call_is_answer(c, body);
    }
    c->answer.request = &c->body;
    return pk_dialect_answer(c->arena, c->front, c->back, body, &c->answer, &c->error);
}

int pk_step_collect(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_FAIL)
        return failed(c, ev, ST_judge);
    if (ev->kind == PK_EV_BODY) {
        pk_call_note_first_byte(c);
        if (pk_operation_is_raw(c->operation) && !c->codec->answer &&
            c->collected.len + ev->bytes.len > PK_BODY_BYTES_MAX)
            return pk_call_pass_on(c, pk_buf_str(&c->collected), ev->bytes);
        pk_buf_add(&c->collected, ev->bytes);
        return c->collected.failed ? too_large(c)
                                   : pk_call_wait_upstream(c, ST_collect, PK_OP_READ);
    }
    c->answer.created_s = c->record.started_us / 1000000;
    c->answer.asked = c->record.request_model;
    c->answer.id = c->made_id;
    if (!read_answer(c)) {
        c->fault = c->answer.fault;
        return pk_call_go(c, ST_judge);
    }
    if (pk_call_seeks_output(c))
        return pk_call_find_output(c);
    c->answered = true;
    return pk_call_go(c, ST_guard_out);
}

/* --- a stream -------------------------------------------------------------------------------- */

void pk_call_abort_stream(struct pk_call *c)
{
    struct pk_fault f = pk_call_told(c);

    if (!c->committed || !c->streaming)
        return;
    c->guards.tail = PK_NONE;
    pk_buf_reset(&c->out);
    pk_stream_abort(c->front, &f, pk_call_provider(c), &c->out);
    c->next.out = pk_buf_str(&c->out);
}

/* The stream broke: before the first bytes went out another attempt may follow; after that the
 * client is told. */
static int stream_broke(struct pk_call *c)
{
    if (!c->committed)
        return pk_call_go(c, ST_judge);
    struct pk_fault f = pk_call_told(c);
    pk_stream_abort(c->front, &f, pk_call_provider(c), &c->out);
    c->next.out = pk_buf_str(&c->out);
    pk_call_span_end(c);
    return pk_call_go(c, ST_finish);
}

/* Keeps back what the stream ends with. */
static void hold_end(struct pk_call *c)
{
    size_t at = c->streaming->end_at;

    if (c->guards.tail.len || c->out.len < at)
        return;
    c->guards.tail = pk_copy(c->arena, pk_str_sub(pk_buf_str(&c->out), at, c->out.len));
    c->out.len = at;
}

static int stream_ended(struct pk_call *c)
{
    bool whole = pk_stream_end(c->streaming, &c->out, &c->error);

    if (whole && !c->streaming->complete)
        whole = pk_fail(&c->error, PK_BAD_ANSWER, "%s: the stream ended before its last event",
                        pk_call_target(c)->provider->name);
    if (!whole || !pk_stream_answer(c->streaming, &c->answer, &c->error))
        return stream_broke(c);
    c->answered = true;
    if (c->committed && pk_call_ends_checked(c))
        hold_end(c);
    return pk_call_go(c, ST_guard_out);
}

/* The first bytes go out. */
static void commit(struct pk_call *c)
{
    struct pk_buf first = pk_buf_in(c->arena, PK_STREAM_BYTES_MAX);
    size_t len;

    c->record.first_token_us = pk_call_now_us(c);
    pk_call_note_target(c);
    pk_call_reply_as(c, pk_call_status(c), true);
    c->committed = true;
    pk_call_hook_event(c, true, &first);
    len = first.len;
    if (len == 0)
        return;
    pk_buf_add(&first, pk_buf_str(&c->out));
    c->out = first;
    c->streaming->end_at += len;
}

/* Hands over what has been printed, once there is something worth committing to. */
static int relay_on(struct pk_call *c)
{
    const struct pk_timeouts *limits = &pk_call_target(c)->timeouts;

    if (c->streaming->content && c->out.len && !pk_call_holds(c)) {
        if (!c->committed)
            commit(c);
        if (c->streaming->complete && pk_call_ends_checked(c))
            hold_end(c);
        c->next.out = pk_buf_str(&c->out);
    }
    c->attempt_deadline_ms = limits->idle_ms ? c->now_ms + limits->idle_ms : INT64_MAX;
    c->attempt_limit = "idle_timeout";
    if (c->streaming->complete && (pk_call_holds(c) || pk_call_ends_checked(c)))
        c->attempt_deadline_ms = c->now_ms + END_WAIT_MS; /* the client waits for the verdict */
    return pk_call_wait_upstream(c, ST_relay, PK_OP_READ);
}

int pk_step_relay(struct pk_call *c, const struct pk_event *ev)
{
    if (c->committed)
        pk_buf_reset(&c->out); /* the host has taken it */
    if (ev->kind == PK_EV_FAIL && !c->streaming->complete) {
        (void)failed(c, ev, ST_relay);
        return stream_broke(c);
    }
    if (ev->kind != PK_EV_BODY)
        return stream_ended(c);
    pk_call_note_first_byte(c);
    if (pk_stream_feed(c->streaming, ev->bytes, &c->out, &c->error))
        return relay_on(c);
    if (c->error.code == PK_TOO_LARGE)
        c->error.status = 502; /* it is the answer that is too large, not the request */
    c->fault = c->streaming->fault;
    if (c->error.code == PK_UPSTREAM && c->fault.status)
        note_status(c, c->fault.status);
    return stream_broke(c);
}
