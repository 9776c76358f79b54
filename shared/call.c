/* call.c - the request state machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   admit --cache hit--------------------------------------------> finish
 *     | miss                                                         ^
 *     v                                                              |
 *   pick -> send <--sleep, same target-- judge --the error stands----+
 *             |  <--next target--------- judge <-----------+         |
 *             v                            ^               |         |
 *           head --not 2xx------> drain ---+               |         |
 *             | 2xx JSON                   |               |         |
 *             +---------------> collect ---+--whole--> answer -------+
 *             | 2xx stream                 |               ^     save
 *             +---------------> relay -----+--complete-----+
 *                                 +--broke after bytes went out----> finish
 *
 * Each step below handles one state: it reads the event, changes the call, and either names
 * the next op (and so waits) or asks to run the next state at once. Once a byte has gone to the
 * client the call may no longer change its mind (`committed`), so retry and fallback are
 * only ever decided in step_judge().
 */
#include "call.h"

#include "call_inner.h"
#include "http.h"

#include <string.h>

enum {
    AGAIN = -1, /* what a step returns to enter c->state now, instead of an op to wait for */
    ERROR_BODY_BYTES_MAX = 64 << 10,
    BACKOFF_MS_FIRST = 500,
};

static int go(struct pk_call *c, enum pk_call_state s)
{
    c->state = s;
    return AGAIN;
}

static int wait_for(struct pk_call *c, enum pk_call_state s, enum pk_op op)
{
    c->state = s;
    return (int)op;
}

/* Waits for the provider, until the attempt's limit or the call's. */
static int wait_upstream(struct pk_call *c, enum pk_call_state s, enum pk_op op)
{
    c->next.until_ms =
        c->attempt_deadline_ms < c->deadline_ms ? c->attempt_deadline_ms : c->deadline_ms;
    return wait_for(c, s, op);
}

static void reply_as(struct pk_call *c, int status, bool stream)
{
    c->reply.status = status;
    c->reply.stream = stream;
}

/* --- admit: the cache ---------------------------------------------------------------------- */

static int step_hit(struct pk_call *c, const struct pk_cache_entry *entry)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    c->answer.body = pk_copy(c->arena, entry->body);
    if (!pk_json_parse(c->arena, c->answer.body, "cache", &doc, &unused))
        return go(c, ST_pick); /* a damaged entry is no entry */
    if (c->stream && !c->front->replay(&doc, c->with_usage, &c->out))
        return go(c, ST_pick);
    pk_call_note_hit(c, entry);
    reply_as(c, 200, c->stream);
    c->next.out = c->stream ? pk_buf_str(&c->out) : c->answer.body;
    c->committed = c->answered = true;
    return go(c, ST_finish);
}

static int step_admit(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_HIT)
        return step_hit(c, ev->entry);
    if (ev->kind == PK_EV_MISS || c->config->cache.mode == PK_CACHE_OFF || c->req->cache_off)
        return go(c, ST_pick);
    if (!pk_cache_key(c->arena, c->config, c->req, &c->body, c->cache_key, &c->error))
        return go(c, ST_finish);
    c->record.cache_status = c->req->cache_refresh ? PK_CS_REFRESH : PK_CS_MISS;
    return c->req->cache_refresh ? go(c, ST_pick) : wait_for(c, ST_admit, PK_OP_LOOKUP);
}

/* --- an attempt ----------------------------------------------------------------------------- */

static int step_pick(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    c->node = pk_route_first(&c->config->route, pk_random_next(&c->random));
    return go(c, ST_send);
}

static int step_send(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    PK_ASSERT(!c->committed);
    PK_ASSERT(c->record.attempts < PK_ATTEMPTS_MAX);
    c->record.attempts++;
    c->record.retries += c->tries > 0;
    c->tries++;
    c->status = 0;
    c->retry_after_ms = 0;
    c->streaming = NULL;
    c->error = (struct pk_error){0};
    c->fault = (struct pk_fault){0};
    pk_buf_reset(&c->collected);
    pk_buf_reset(&c->out);
    if (!pk_call_build(c))
        return go(c, ST_judge);
    return wait_upstream(c, ST_head, PK_OP_SEND);
}

/* A transport failure, told in terms of the target and of the limit that passed. */
static int failed(struct pk_call *c, const struct pk_event *ev, enum pk_call_state then)
{
    const char *provider = pk_call_target(c)->provider->name;

    c->error = ev->error;
    if (ev->error.code == PK_TIMEOUT && c->now_ms >= c->deadline_ms)
        (void)pk_fail(&c->error, PK_TIMEOUT, "%s: the call's timeout has passed", provider);
    else if (ev->error.code == PK_TIMEOUT && c->now_ms >= c->attempt_deadline_ms)
        (void)pk_fail(&c->error, PK_TIMEOUT, "%s: no answer within %s", provider, c->attempt_limit);
    c->status = 0;
    return go(c, then);
}

static void keep_relayed_headers(struct pk_call *c, pk_str headers)
{
    struct pk_buf kept = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    pk_str name, value;

    while (pk_http_next_header(&headers, &name, &value))
        if (pk_http_relayed(name))
            pk_buf_addf(&kept, "%.*s: %.*s\n", PK_FMT(name), PK_FMT(value));
    c->reply.headers = kept.failed ? PK_NONE : pk_buf_str(&kept);
}

static int step_head(struct pk_call *c, const struct pk_event *ev)
{
    bool ok = ev->status >= 200 && ev->status < 300;

    if (ev->kind == PK_EV_FAIL)
        return failed(c, ev, ST_judge);
    c->status = ev->status;
    c->retry_after_ms = pk_http_retry_after_ms(ev->headers, pk_call_now_us(c));
    keep_relayed_headers(c, ev->headers);
    if (!ok)
        return wait_upstream(c, ST_drain, PK_OP_READ);
    if (!c->stream ||
        !pk_http_is_type(pk_http_header(ev->headers, "content-type"), "text/event-stream"))
        return wait_upstream(c, ST_collect, PK_OP_READ);
    c->streaming = pk_stream_new(c->arena, c->front, pk_call_target(c)->provider->dialect,
                                 c->with_usage, c->record.started_us / 1000000);
    if (!c->streaming) {
        (void)pk_fail(&c->error, PK_NO_MEMORY, "stream: out of memory");
        return go(c, ST_judge);
    }
    if (pk_call_target(c)->timeouts.ttft_ms == 0)
        c->attempt_deadline_ms = INT64_MAX; /* request_timeout was for the head */
    return wait_upstream(c, ST_relay, PK_OP_READ);
}

static void note_first_byte(struct pk_call *c)
{
    struct pk_span *s = &c->record.spans[c->record.span_count - 1];

    if (s->first_byte_us == 0)
        s->first_byte_us = pk_call_now_us(c);
}

/* Others may not be passed on: 304, for one, has no body, so that ours would be read as the next
 * answer. */
static bool is_error_status(int status)
{
    return status >= 400 && status <= 599;
}

/* Reads an unwanted answer to its end, so that the connection can be used again, and keeps what may
 * hold the provider's words. */
static int step_drain(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_provider *provider = pk_call_target(c)->provider;

    if (ev->kind == PK_EV_BODY) {
        note_first_byte(c);
        if (c->collected.len + ev->bytes.len <= ERROR_BODY_BYTES_MAX)
            pk_buf_add(&c->collected, ev->bytes);
        return wait_upstream(c, ST_drain, PK_OP_READ);
    }
    pk_dialect_fault(c->arena, provider->dialect, c->status, pk_buf_str(&c->collected), &c->fault);
    (void)pk_fail(&c->error, PK_UPSTREAM, "%s answered %d", provider->name, c->status);
    c->error.status = is_error_status(c->status) ? c->status : 502;
    c->error.retryable =
        c->status == 408 || c->status == 409 || c->status == 429 || c->status >= 500;
    return go(c, ST_judge);
}

static int too_large(struct pk_call *c)
{
    (void)pk_fail(&c->error, c->arena->failed ? PK_NO_MEMORY : PK_TOO_LARGE,
                  "%s: the answer is larger than %d MiB", pk_call_target(c)->provider->name,
                  PK_BODY_BYTES_MAX >> 20);
    c->error.status = 502;
    return go(c, ST_judge);
}

static int step_collect(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_dialect *back = pk_call_target(c)->provider->dialect;

    if (ev->kind == PK_EV_FAIL)
        return failed(c, ev, ST_judge);
    if (ev->kind == PK_EV_BODY) {
        note_first_byte(c);
        pk_buf_add(&c->collected, ev->bytes);
        return c->collected.failed ? too_large(c) : wait_upstream(c, ST_collect, PK_OP_READ);
    }
    c->answer.created_s = c->record.started_us / 1000000;
    if (!pk_dialect_answer(c->arena, c->front, back, pk_buf_str(&c->collected), &c->answer,
                           &c->error))
        return go(c, ST_judge);
    c->answered = true;
    return go(c, ST_judge);
}

/* --- a stream -------------------------------------------------------------------------------- */

static pk_str provider_of(const struct pk_call *c)
{
    return pk_str_of(pk_call_target(c)->provider->name);
}

/* What the client is told: the provider's words, or ours. */
static struct pk_fault told(const struct pk_call *c)
{
    struct pk_fault f = c->fault;

    if (f.message.len == 0)
        f.message = pk_str_of(c->error.msg);
    if (f.type.len == 0)
        f.type = pk_str_of(pk_code_name(c->error.code));
    return f;
}

/* The stream broke: before the first bytes went out another attempt may follow; after that the
 * client is told, and never sees a clean end. */
static int stream_broke(struct pk_call *c)
{
    if (!c->committed)
        return go(c, ST_judge);
    struct pk_fault f = told(c);
    pk_stream_abort(c->front, &f, provider_of(c), &c->out);
    c->next.out = pk_buf_str(&c->out);
    pk_call_span_end(c);
    return go(c, ST_finish);
}

static int stream_ended(struct pk_call *c)
{
    if (!c->streaming->complete) {
        (void)pk_fail(&c->error, PK_BAD_ANSWER, "%s: the stream ended before its last event",
                      pk_call_target(c)->provider->name);
        return stream_broke(c);
    }
    if (!pk_stream_answer(c->streaming, &c->answer, &c->error))
        return stream_broke(c);
    c->answered = true;
    if (!c->committed)
        return go(c, ST_judge);
    return go(c, ST_answer);
}

/* Hands over what has been printed, once there is something worth committing to. */
static int relay_on(struct pk_call *c)
{
    const struct pk_timeouts *limits = &pk_call_target(c)->timeouts;

    if (c->streaming->content && c->out.len) {
        if (!c->committed) {
            c->record.first_token_us = pk_call_now_us(c);
            pk_call_note_target(c);
        }
        c->committed = true;
        reply_as(c, c->status, true);
        c->next.out = pk_buf_str(&c->out);
    }
    c->attempt_deadline_ms = limits->idle_ms ? c->now_ms + limits->idle_ms : INT64_MAX;
    c->attempt_limit = "idle_timeout";
    return wait_upstream(c, ST_relay, PK_OP_READ);
}

static int step_relay(struct pk_call *c, const struct pk_event *ev)
{
    if (c->committed)
        pk_buf_reset(&c->out); /* the host has taken it */
    if (ev->kind == PK_EV_FAIL && !c->streaming->complete) {
        (void)failed(c, ev, ST_relay);
        return stream_broke(c);
    }
    if (ev->kind != PK_EV_BODY)
        return stream_ended(c);
    note_first_byte(c);
    if (pk_stream_feed(c->streaming, ev->bytes, &c->out, &c->error))
        return relay_on(c);
    c->fault = c->streaming->fault;
    return stream_broke(c);
}

/* --- judge ----------------------------------------------------------------------------------- */

/* Whether another try at the same target may help. */
static bool may_retry(const struct pk_call *c, const struct pk_retry *retry)
{
    static const int usual[] = {429, 500, 502, 503, 504, 529};

    if (c->tries > retry->attempts)
        return false;
    if (retry->on_statuses.given)
        return pk_statuses_have(&retry->on_statuses, c->error.status);
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
    c->record.spans[c->record.span_count - 1].wait_ms = wait_ms;
    c->next.until_ms = c->now_ms + wait_ms;
    return wait_for(c, ST_send, PK_OP_SLEEP);
}

static bool out_of_attempts(const struct pk_call *c)
{
    return c->record.attempts == PK_ATTEMPTS_MAX || c->now_ms >= c->deadline_ms ||
           c->error.code == PK_NO_MEMORY;
}

/* The only place that decides between same target, next target, and letting the outcome stand. */
static int step_judge(struct pk_call *c, const struct pk_event *ev)
{
    const struct pk_retry *retry = &pk_call_target(c)->retry;
    int outcome = c->answered ? c->status : c->error.status;

    (void)ev;
    PK_ASSERT(!c->committed);
    PK_ASSERT(c->answered == (c->error.code == PK_OK));
    pk_call_span_end(c);
    if (!c->answered && !out_of_attempts(c) && may_retry(c, retry)) {
        int64_t wait_ms = backoff_ms(c, retry);

        if (wait_ms <= PK_BACKOFF_MS_MAX && c->now_ms + wait_ms < c->deadline_ms)
            return try_again(c, wait_ms);
    }
    int node = out_of_attempts(c)
                   ? -1
                   : pk_route_next(&c->config->route, c->node, outcome, pk_random_next(&c->random));
    if (node < 0)
        return go(c, c->answered ? ST_answer : ST_finish);
    c->node = node;
    c->tries = 0;
    c->answered = false;
    return go(c, ST_send);
}

/* --- the end --------------------------------------------------------------------------------- */

static bool may_save(const struct pk_call *c)
{
    return c->record.cache_status != PK_CS_DISABLED &&
           pk_call_target(c)->cache.mode != PK_CACHE_OFF && c->status == 200 &&
           !(c->streaming && c->streaming->lossy);
}

/* Gives a whole answer to the client; a stream has it already. */
static void give_answer(struct pk_call *c)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    if (c->committed)
        return;
    reply_as(c, c->status, c->stream);
    c->committed = true;
    pk_buf_reset(&c->out);
    c->next.out = c->answer.body;
    if (!c->stream)
        return;
    if (pk_json_parse(c->arena, c->answer.body, "answer", &doc, &unused) &&
        c->front->replay(&doc, c->with_usage, &c->out))
        c->next.out = pk_buf_str(&c->out);
}

static int step_answer(struct pk_call *c, const struct pk_event *ev)
{
    if (ev->kind == PK_EV_SAVED)
        return go(c, ST_finish);
    if (c->committed)
        pk_call_span_end(c); /* a relayed stream has not been judged */
    pk_call_note_answer(c);
    give_answer(c);
    if (!may_save(c))
        return go(c, ST_finish);
    c->save = (struct pk_cache_entry){
        .body = c->answer.body,
        .provider = c->record.provider,
        .model = c->record.model,
        .finish_reason = c->record.finish_reason,
        .usage = c->record.usage,
        .cost_known = c->record.cost_known,
        .cost_pusd = c->record.cost_pusd,
    };
    return wait_for(c, ST_answer, PK_OP_SAVE);
}

/* An error that stands is told in the front's shape; to one who left, nothing. */
static void give_error(struct pk_call *c)
{
    struct pk_fault f = told(c);

    reply_as(c, c->error.status, false);
    pk_buf_reset(&c->out);
    c->front->print_error(&f, c->node < 0 ? PK_NONE : provider_of(c), &c->out);
    c->next.out = pk_buf_str(&c->out);
}

static int step_finish(struct pk_call *c, const struct pk_event *ev)
{
    (void)ev;
    if (c->error.code != PK_OK && c->error.code != PK_CANCELLED && !c->committed)
        give_error(c);
    pk_call_close(c);
    return wait_for(c, ST_finish, PK_OP_DONE);
}

/* --- the machine ------------------------------------------------------------------------------ */

static int (*const steps[])(struct pk_call *, const struct pk_event *) = {
#define S(name) [ST_##name] = step_##name,
    STATES(S)
#undef S
};

/* The events that each op may be answered with: one row per pk_op, one bit per kind. */
#define EV(kind) (1u << PK_EV_##kind)
static const unsigned answers[] = {
    [PK_OP_LOOKUP] = EV(HIT) | EV(MISS),
    [PK_OP_SEND] = EV(HEAD) | EV(FAIL),
    [PK_OP_READ] = EV(BODY) | EV(END) | EV(FAIL),
    [PK_OP_SLEEP] = EV(WAKE),
    [PK_OP_SAVE] = EV(SAVED),
    [PK_OP_DONE] = EV(START), /* "done" is also the op before the first step */
};

static void note_ids(struct pk_call *c)
{
    struct pk_record *r = &c->record;
    uint64_t random[2] = {pk_random_next(&c->random), pk_random_next(&c->random)};
    char text[PK_UUID_TEXT + 1];

    pk_uuid7(r->started_us, random, r->id);
    pk_uuid_print(r->id, text);
    r->trace_id = c->req->trace_id.len ? c->req->trace_id : pk_copy(c->arena, pk_str_of(text));
    r->span_id = c->req->span_id.len ? c->req->span_id
                                     : pk_copyf(c->arena, "%016llx",
                                                (unsigned long long)pk_random_next(&c->random));
    r->parent_span_id = c->req->parent_span_id;
    r->span_name = c->req->span_name;
    r->query_id = c->req->query_id;
    r->metadata = c->req->metadata;
    r->operation = c->req->operation;
    r->config = c->config->slug;
}

static bool check_body(struct pk_call *c, struct pk_error *err)
{
    if (!pk_json_parse(c->arena, c->req->body, "body", &c->body, err))
        return false;
    if (pk_json_type(&c->body, 0) != PK_JSON_OBJECT)
        return pk_fail(err, PK_BAD_REQUEST, "body: must be an object, not %s",
                       pk_json_type_name(pk_json_type(&c->body, 0)));
    if (pk_json_type(&c->body, pk_json_get(&c->body, 0, "messages")) != PK_JSON_ARRAY)
        return pk_fail(err, PK_BAD_REQUEST, "messages: must be an array");
    return true;
}

struct pk_call *pk_call_new(struct pk_arena *arena, const struct pk_config *config,
                            const struct pk_prices *prices, const struct pk_request *req,
                            int64_t now_us, uint64_t seed, struct pk_error *err)
{
    static const char *const sources[] = {"sqlite", "postgres", "http"};
    struct pk_call *c = pk_alloc(arena, sizeof *c);

    PK_ASSERT(config->target_count > 0);
    if (!c) {
        (void)pk_fail(err, PK_NO_MEMORY, "call: out of memory");
        return NULL;
    }
    c->arena = arena;
    c->config = config;
    c->prices = prices;
    c->req = req;
    c->front = req->front ? req->front : &pk_dialect_openai;
    c->random = seed;
    c->node = -1;
    c->next.op = PK_OP_DONE;
    c->collected = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    c->out = pk_buf_in(arena, PK_STREAM_BYTES_MAX);
    c->record.started_us = now_us;
    c->record.source = pk_str_of(sources[req->source]);
    if (!check_body(c, err))
        return NULL;
    c->stream = c->record.stream = pk_json_true(&c->body, pk_json_get(&c->body, 0, "stream"));
    int options = pk_json_get(&c->body, 0, "stream_options");
    c->with_usage = pk_json_true(&c->body, pk_json_get(&c->body, options, "include_usage"));
    note_ids(c);
    return c;
}

static void start(struct pk_call *c, int64_t mono_us)
{
    int64_t timeout_ms = c->req->timeout_ms ? c->req->timeout_ms : PK_CALL_MS_DEFAULT;

    c->started_mono_us = mono_us;
    c->deadline_ms = mono_us / 1000 + timeout_ms;
}

/* Whether the client has had all of a stream, and only the connection's end is still to come. */
static bool has_it_all(struct pk_call *c)
{
    if (!c->committed || !c->streaming || !c->streaming->complete ||
        !pk_stream_answer(c->streaming, &c->answer, &c->error))
        return false;
    pk_call_span_end(c);
    pk_call_note_answer(c);
    return true;
}

/* Ends the call as cancelled, unless its answer is whole already. */
static void cancel(struct pk_call *c)
{
    c->answered = c->answered || has_it_all(c);
    if (!c->answered) {
        c->status = 0;
        c->fault = (struct pk_fault){0};
        (void)pk_fail(&c->error, PK_CANCELLED, "cancelled");
        pk_call_span_end(c);
    }
    c->state = ST_finish;
}

struct pk_next pk_call_step(struct pk_call *c, int64_t mono_us, const struct pk_event *ev)
{
    int op;

    PK_ASSERT(mono_us >= c->mono_us);
    PK_ASSERT(ev->kind == PK_EV_CANCEL || (answers[c->next.op] & (1u << ev->kind)));
    if (ev->kind == PK_EV_START)
        start(c, mono_us);
    c->record.upstream_us += ev->waited_us;
    c->mono_us = mono_us;
    c->now_ms = mono_us / 1000;
    c->next = (struct pk_next){.until_ms = c->deadline_ms};
    if (ev->kind == PK_EV_CANCEL)
        cancel(c);
    do
        op = steps[c->state](c, ev);
    while (op == AGAIN);
    c->next.op = (enum pk_op)op;
    return c->next;
}

const uint8_t *pk_call_cache_key(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_LOOKUP || c->next.op == PK_OP_SAVE);
    return c->cache_key;
}

int64_t pk_call_max_age_s(const struct pk_call *c)
{
    return c->node < 0 ? c->config->cache.max_age_s : pk_call_target(c)->cache.max_age_s;
}

const struct pk_cache_entry *pk_call_save(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_SAVE);
    return &c->save;
}

const struct pk_exchange *pk_call_exchange(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_SEND);
    return &c->exchange;
}

struct pk_reply pk_call_reply(const struct pk_call *c)
{
    return c->reply;
}

const struct pk_error *pk_call_error(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_DONE);
    return &c->error;
}

pk_str pk_call_fault(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_DONE);
    return c->error.code == PK_OK ? PK_NONE : c->fault.message;
}

const struct pk_record *pk_call_record(const struct pk_call *c)
{
    return &c->record;
}
