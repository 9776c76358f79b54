/* call_inner.h - the body of a call, for the files that make up the machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_CALL_INNER_H
#define PK_CALL_INNER_H

#include "call.h"
#include "stream.h"

/* One state, one function of call.c. */
#define STATES(S)                                                                                  \
    S(admit) S(pick) S(send) S(head) S(relay) S(collect) S(drain) S(judge) S(answer) S(finish)

enum pk_call_state {
#define S(name) ST_##name,
    STATES(S)
#undef S
};

struct pk_call {
    enum pk_call_state state;
    struct pk_arena *arena;
    const struct pk_config *config;
    const struct pk_prices *prices;
    const struct pk_request *req;
    const struct pk_dialect *front;
    struct pk_json body; /* the client's */
    bool stream, with_usage;
    uint64_t random;

    int64_t started_mono_us; /* what record.started_us is on the monotonic clock */
    int64_t mono_us, now_ms; /* of this step */
    int64_t deadline_ms;
    struct pk_next next;

    /* The attempt that is running, or was the last. */
    int node;  /* its leaf in the route; -1 before the first */
    int tries; /* at this target */
    struct pk_exchange exchange;
    int64_t attempt_deadline_ms; /* INT64_MAX = none */
    const char *attempt_limit;   /* which setting that is, for the message */
    int status;
    int64_t retry_after_ms;
    struct pk_buf collected;     /* the upstream body: a JSON answer, or an error's start */
    struct pk_stream *streaming; /* NULL unless the answer is a stream */
    struct pk_buf out;           /* for the client; held back until `committed` */
    struct pk_fault fault;
    struct pk_error error;
    struct pk_answer answer;
    bool overridden[PK_NODES_MAX];
    pk_str overrides[PK_NODES_MAX]; /* the client's body with a target's override_params */

    bool committed; /* bytes have gone to the client: no more retry or fallback */
    bool answered;  /* c->answer is whole */
    struct pk_reply reply;
    uint8_t cache_key[PK_CACHE_KEY_BYTES];
    struct pk_cache_entry save;
    struct pk_record record;
};

static inline const struct pk_target *pk_call_target(const struct pk_call *c)
{
    PK_ASSERT(c->node >= 0);
    return &c->config->targets[c->config->route.nodes[c->node].target];
}

static inline int64_t pk_call_now_us(const struct pk_call *c)
{
    return c->record.started_us + c->mono_us - c->started_mono_us;
}

/* call_send.c: fills c->exchange for c->node and opens its span. False with c->error when the target
 * cannot take the request. */
bool pk_call_build(struct pk_call *c) PK_MUST_CHECK;

/* call_end.c: what the log says. */
void pk_call_span_end(struct pk_call *c);    /* closes the span of the attempt from c->error */
void pk_call_note_target(struct pk_call *c); /* where the attempt went */
void pk_call_note_answer(struct pk_call *c); /* provider, model, usage, cost */
void pk_call_note_hit(struct pk_call *c, const struct pk_cache_entry *entry);
void pk_call_close(struct pk_call *c); /* everything else; at the end */

#endif
