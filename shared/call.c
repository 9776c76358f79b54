/* call.c - the request state machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   pick -> guard_in -> lookup --cache hit------> guard_out -> typed -> finish
 *              | denied   | miss
 *              |          v
 *              |        send <--same target-- judge --the error stands--> finish
 *              |          |    guard_in <--next target-- ^ |
 *              |          v                              | +--the answer stands--> answer -> guard_after
 *              +----------|---------------->-------------+                          ^ save     -> finish
 *                       head --not 2xx----> drain -------+                          |
 *                         | 2xx JSON                     |                          |
 *                         +-------------> collect --> guard_out -> typed            |
 *                         | 101 ------> tunnel ----------|----------> answer       |
 *                         | 2xx stream                   | ^                        |
 *                         +-------------> relay ---------+ | the end of a stream whose
 *                                           +--------------+ bytes have gone out ---+
 *
 * Each state is one function (call_pick.c, call_cache.c, call_steps.c, call_attempt.c, call_guard.c,
 * call_typed.c, call_ask.c): it reads the event, changes
 * the call, and either names the next op (and so waits) or asks to run the next state at once. Once a
 * byte has gone to the client the call may no longer change its mind (`committed`), so retry and
 * fallback are only ever decided in pk_step_judge().
 *
 * From any state the call may go to `ask`, which puts a question to another service than the target
 * and comes back to the state that asked.
 */
#include "call_inner.h"

/* --- the machine ------------------------------------------------------------------------------ */

static int (*const steps[])(struct pk_call *, const struct pk_event *) = {
#define S(name) [ST_##name] = pk_step_##name,
    STATES(S)
#undef S
};

/* The events that each op may be answered with: one row per pk_op, one bit per kind. */
#define EV(kind) (1u << PK_EV_##kind)
static const unsigned answers[] = {
    [PK_OP_LOOKUP] = EV(HIT) | EV(MISS),
    [PK_OP_NEAR] = EV(HIT) | EV(MISS),
    [PK_OP_RESERVE] = EV(GRANTED) | EV(REFUSED),
    [PK_OP_SEND] = EV(HEAD) | EV(FAIL),
    [PK_OP_READ] = EV(BODY) | EV(END) | EV(FAIL),
    [PK_OP_SLEEP] = EV(WAKE),
    [PK_OP_QUERY] = EV(ROW) | EV(FAIL),
    [PK_OP_SAVE] = EV(SAVED),
    [PK_OP_DONE] = EV(START), /* "done" is also the op before the first step */
};

static pk_str made_span_id(struct pk_call *c)
{
    char text[PK_SPAN_ID_TEXT];

    pk_span_id_print(pk_random_next(&c->random), text);
    return pk_copy(c->arena, (pk_str){text, sizeof text});
}

static void note_ids(struct pk_call *c)
{
    struct pk_record *r = &c->record;
    uint64_t random = pk_random_next(&c->random);
    static const char kind[] = "chatcmpl-";
    char text[sizeof kind + PK_UUID_TEXT], *id = text + sizeof kind - 1;

    pk_uuid7(r->started_us, random, r->id);
    memcpy(text, kind, sizeof kind - 1);
    pk_uuid_print(r->id, id);
    c->made_id = pk_copy(c->arena, pk_str_of(text));
    r->trace_id = c->req->trace_id.len ? c->req->trace_id
                                       : pk_str_sub(c->made_id, sizeof kind - 1, PK_UUID_TEXT);
    r->span_id = c->req->span_id.len ? c->req->span_id : made_span_id(c);
    r->parent_span_id = c->req->parent_span_id;
    r->span_name = c->req->span_name;
    r->query_id = c->req->query_id;
    r->metadata = c->req->metadata;
    r->operation = pk_str_of(c->operation->name);
    r->config = c->config->slug;
    r->api_key = c->req->api_key;
}

/* What is asked, as far as it can be read. */
static bool read_body(struct pk_call *c, struct pk_error *err)
{
    if (!pk_call_read_body(c, err))
        return false;
    c->stream = c->record.stream = pk_json_true(&c->body, pk_json_get(&c->body, 0, "stream"));
    int options = pk_json_get(&c->body, 0, "stream_options");
    c->with_usage = pk_json_true(&c->body, pk_json_get(&c->body, options, "include_usage"));
    return true;
}

struct pk_call *pk_call_new(struct pk_arena *arena, const struct pk_config *config,
                            const struct pk_facts *facts, const struct pk_request *req,
                            int64_t now_us, uint64_t seed, struct pk_error *err)
{
    struct pk_call *c = pk_alloc_room(arena, sizeof *c);
    struct pk_span *spans = pk_alloc_row(arena, NULL, 0, sizeof *spans);
    struct pk_steer *steer = pk_alloc(arena, sizeof *steer);

    PK_ASSERT(config->target_count > 0);
    if (!c || !spans || !steer) {
        (void)pk_fail(err, PK_NO_MEMORY, "call: out of memory");
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->arena = arena;
    c->config = config;
    c->facts = facts;
    c->req = req;
    c->operation = pk_request_operation(req);
    c->front = pk_request_front(req);
    c->random = seed;
    c->privacy = req->privacy;
    c->node = -1;
    c->span = -1;
    c->passed_bytes = -1;
    c->next.op = PK_OP_DONE;
    c->collected.arena = c->out.arena = arena;
    c->collected.max = PK_BODY_BYTES_MAX;
    c->out.max = PK_STREAM_BYTES_MAX;
    c->record.started_us = now_us;
    c->record.spans = spans;
    c->steer = steer;
    c->record.source = pk_str_of(pk_source_name(req->source));
    if (!read_body(c, err))
        return NULL;
    note_ids(c);
    return c;
}

static void start(struct pk_call *c, int64_t mono_us)
{
    int64_t usual_ms =
        pk_operation_is_tunnel(c->operation) ? PK_TIMEOUT_MS_MAX : PK_CALL_MS_DEFAULT;
    int64_t timeout_ms = c->req->timeout_ms ? c->req->timeout_ms : usual_ms;

    c->started_mono_us = mono_us;
    c->deadline_ms = mono_us / 1000 + timeout_ms;
}

/* Whether the client has had all of a stream, and only the connection's end is still to come. */
static bool has_it_all(struct pk_call *c)
{
    if (!pk_call_tunnel_over(c) &&
        (!c->committed || !c->streaming || !c->streaming->complete || c->guards.tail.len ||
         !pk_stream_answer(c->streaming, &c->answer, &c->error)))
        return false;
    c->answered = true;
    pk_call_span_end(c);
    pk_call_note_answer(c);
    return true;
}

static bool is_last(const struct pk_event *ev)
{
    return ev->kind == PK_EV_CANCEL || ev->kind == PK_EV_STOP;
}

/* Ends the call, unless its answer is whole already. */
static void end_early(struct pk_call *c, const struct pk_event *ev)
{
    c->answered = (c->answered && c->committed && !c->guards.tail.len) || has_it_all(c);
    c->guards.over = true;
    if (!c->answered) {
        c->status = 0;
        c->fault = (struct pk_fault){0};
        if (ev->kind == PK_EV_STOP)
            c->error = ev->error;
        else
            (void)pk_fail(&c->error, PK_CANCELLED, "cancelled");
        pk_call_span_end(c);
        if (c->tunnel)
            pk_call_tunnel_say_goodbye(c);
        else if (ev->kind == PK_EV_STOP)
            pk_call_abort_stream(c);
    }
    c->state = ST_finish;
}

enum pk_op pk_call_step(struct pk_call *c, int64_t mono_us, const struct pk_event *ev,
                        struct pk_next *next)
{
    int op;

    PK_ASSERT(mono_us >= c->mono_us);
    PK_ASSERT(is_last(ev) || (answers[c->next.op] & (1u << ev->kind)));
    if (ev->kind == PK_EV_START)
        start(c, mono_us);
    c->record.upstream_us += ev->waited_us + ev->away_us;
    c->away_us += ev->away_us;
    c->mono_us = mono_us;
    c->now_ms = mono_us / 1000;
    c->next = (struct pk_next){.until_ms = c->deadline_ms};
    if (is_last(ev))
        end_early(c, ev);
    do
        op = steps[c->state](c, ev);
    while (op == PK_CALL_AGAIN);
    /* In this order: a copy of what was just written has to wait until it is. */
    *next = c->next;
    next->op = c->next.op = (enum pk_op)op;
    return next->op;
}

const uint8_t *pk_call_cache_key(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_LOOKUP || c->next.op == PK_OP_SAVE);
    return c->cache_key;
}

int64_t pk_call_max_age_s(const struct pk_call *c)
{
    const struct pk_cache_policy *policy = &pk_call_target(c)->cache;

    return policy->mode == PK_CACHE_OFF ? PK_CACHE_AGE_S_DEFAULT : policy->max_age_s;
}

const struct pk_cache_entry *pk_call_save(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_SAVE);
    return &c->save;
}

struct pk_reserve *pk_call_reserve(struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_RESERVE);
    return c->reserve;
}

int64_t pk_call_retry_after_ms(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_DONE);
    return c->error.code == PK_OK ? 0 : c->retry_after_ms;
}

const struct pk_guard_query *pk_call_query(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_QUERY);
    return pk_guard_query(c->guards.run);
}

const struct pk_exchange *pk_call_exchange(const struct pk_call *c)
{
    PK_ASSERT(c->next.op == PK_OP_SEND);
    return c->state == ST_ask ? &c->asked.exchange : &c->exchange;
}

bool pk_call_parked(const struct pk_call *c)
{
    return c->req->batched && c->state != ST_ask &&
           (c->next.op == PK_OP_SEND || c->next.op == PK_OP_READ);
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

bool pk_call_unpriced(const struct pk_call *c)
{
    return c->unpriced;
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
