/* call.h - one client request, from arrival to log record, as a state machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A realtime session is a call whose READ goes on for hours: what the client sends is written to the open
 * exchange by the host, without a step (call_tunnel.c).
 *
 * The machine decides; the host performs. pk_call_step() takes one event, does no I/O, never
 * blocks, and returns the one thing that the host must do next. The host does it and comes
 * back with the result as the next event (loop.h does this for any number of calls).
 *
 * Time is an argument, randomness is a seed, memory comes from the call's arena: the same
 * events in the same order always give the same answers.
 */
#ifndef PK_CALL_H
#define PK_CALL_H

#include "cachekey.h"
#include "config.h"
#include "price.h"
#include "record.h"
#include "request.h"
#include "reserve.h"

/* What the host reports. */
enum pk_event_kind {
    PK_EV_START, /* begin */
    PK_EV_HIT,   /* lookup or near found .entry */
    PK_EV_MISS,  /* nothing was found, or looking failed (a cache never fails a call) */
    PK_EV_HEAD,  /* upstream status line and headers: .status, .headers */
    PK_EV_BODY,  /* upstream body bytes: .bytes */
    PK_EV_END,   /* the upstream response is complete */
    PK_EV_FAIL,  /* no response, or no more of it: .error; PK_TIMEOUT when next.until_ms passed */
    PK_EV_WAKE,  /* next.until_ms has passed */
    PK_EV_GRANTED, /* limits allow it: .reserve, or NULL when they could not be asked and need not be */
    PK_EV_REFUSED, /* they do not: .reserve */
    PK_EV_ROW,     /* the predicate has said .truth */
    PK_EV_SAVED,   /* the answer was handed to the cache, or could not be */
    PK_EV_CANCEL,  /* the client left or the statement was cancelled; legal at any time */
    PK_EV_STOP, /* the host ends the call for .error, which the client is told; legal at any time */
};

/* An entry of the response cache. */
struct pk_cache_entry {
    uint8_t key[PK_CACHE_KEY_BYTES];
    double similarity; /* of its question to the one that is asked; 0: they are equal */
    pk_str body;       /* the answer as JSON, in the dialect of the front that stored it */
    pk_str ns;         /* for purging; not read back */
    pk_str provider, model, finish_reason;
    struct pk_usage usage;
    bool cost_known;
    int64_t cost_pusd;
};

/* The vector of a question, by which its like is found. */
struct pk_cache_vector {
    uint8_t gate[PK_CACHE_KEY_BYTES]; /* only vectors of one gate are compared */
    struct pk_traits traits;
    const float *at; /* of length 1 */
    int dims;
};

struct pk_event {
    enum pk_event_kind kind;
    int status;                         /* HEAD */
    pk_str headers;                     /* HEAD: as in http.h; borrowed for this step */
    pk_str bytes;                       /* BODY; borrowed for this step */
    const struct pk_cache_entry *entry; /* HIT; borrowed for this step */
    const struct pk_reserve
        *reserve;      /* GRANTED, REFUSED: with its answer; borrowed for this step */
    int truth;         /* ROW: 1, 0; -1: null, or no row */
    int64_t waited_us; /* how long the host waited for this: not our own work */
    int64_t
        away_us; /* HEAD, FAIL of a batched call: it was sent so long before it began this time */
    struct pk_error
        error; /* FAIL, STOP; of others the code is PK_OK, and the rest may be anything */
};

/* What the host does next. `out` first, whatever the op. */
enum pk_op {
    PK_OP_LOOKUP,  /* look for pk_call_cache_key() in the cache -> HIT | MISS */
    PK_OP_NEAR,    /* look for one near pk_call_vector()          -> HIT | MISS */
    PK_OP_RESERVE, /* ask pk_call_reserve() of the limits       -> GRANTED | REFUSED */
    PK_OP_SEND,    /* start pk_call_exchange()                   -> HEAD | FAIL */
    PK_OP_READ,    /* read on from the open response             -> BODY | END | FAIL */
    PK_OP_SLEEP,   /* wait                                       -> WAKE */
    PK_OP_QUERY,   /* run pk_call_query() in the store           -> ROW | FAIL */
    PK_OP_SAVE,    /* put pk_call_save() into the cache, with pk_call_vector() -> SAVED */
    PK_OP_DONE,    /* nothing: the call is over, the record is final */
};

struct pk_next {
    enum pk_op op;
    int64_t until_ms; /* SLEEP: wake then; SEND, READ: give up then with FAIL PK_TIMEOUT */
    int64_t
        idle_ms; /* of a session, else 0. READ: the same when no byte went either way for so long; RESERVE:
                       * its exchange stays open meanwhile */
    pk_str out; /* bytes for the client, valid until the next step; often empty */
    bool open;  /* a session has begun: the client gets the reply now, and may send */
    bool last;  /* with this `out` the client has its answer; what follows is not for it */
};

/* What a host reports of a question that the store has answered. `lenient`: limits that could not be asked
 * hold nobody. */
struct pk_event pk_reserve_event(const struct pk_reserve *answered, bool lenient);

/* A request to send. It names the key; the transport adds it (secret.h). */
struct pk_exchange {
    enum pk_method method;
    pk_str url;
    pk_str headers; /* "name: value\n" lines; no key, no length */
    pk_str body;    /* empty with PK_GET */
    bool upgrade;   /* to a WebSocket: behind HEAD 101 bytes go in both directions */
    const struct pk_target *target;
    bool endless; /* its answer may be larger than PK_STREAM_BYTES_MAX: it is not kept */
};

/* What the client is told before the first byte of `out`. Final once `out` is not empty, `last` is set, or
 * the op is PK_OP_DONE. */
struct pk_reply {
    int status;
    bool stream;         /* it is sent as it comes */
    pk_str content_type; /* empty: text/event-stream of a stream, else application/json */
    pk_str headers;      /* relayed from the provider: "name: value\n" lines */
};

/* What is known outside of calls and decides about them, as of one moment; any number of calls share it. */
struct pk_facts {
    int64_t epoch;
    struct pk_prices prices;
    struct pk_limits limits;
};

struct pk_call;

/* `config`, `facts`, what `req` points to and `arena` must outlive the call. Checks the body:
 * PK_BAD_JSON, PK_BAD_REQUEST. NULL with *err filled on failure. `now_us` is microseconds since
 * 1970 and stamps the record; `seed` decides ids, jitter and load balancing. */
struct pk_call *pk_call_new(struct pk_arena *arena, const struct pk_config *config,
                            const struct pk_facts *facts, const struct pk_request *req,
                            int64_t now_us, uint64_t seed, struct pk_error *err) PK_MUST_CHECK;

/* `mono_us` is monotonic microseconds and never goes back; next->until_ms is in milliseconds of the
 * same clock. Returns next->op. */
enum pk_op pk_call_step(struct pk_call *c, int64_t mono_us, const struct pk_event *ev,
                        struct pk_next *next);

const uint8_t *pk_call_cache_key(const struct pk_call *c); /* at LOOKUP and SAVE */
int64_t pk_call_max_age_s(const struct pk_call *c);        /* at LOOKUP, NEAR and SAVE */
/* At NEAR; at SAVE: NULL when the answer is kept without one. */
const struct pk_cache_vector *pk_call_vector(const struct pk_call *c);
double pk_call_threshold(const struct pk_call *c);                  /* at NEAR */
const struct pk_cache_entry *pk_call_save(const struct pk_call *c); /* at SAVE */
struct pk_reserve *pk_call_reserve(struct pk_call *c); /* at RESERVE; may be answered in place */
const struct pk_guard_query *pk_call_query(const struct pk_call *c); /* at QUERY */
const struct pk_exchange *pk_call_exchange(const struct pk_call *c); /* at SEND */
/* Whether what it waits for is its provider's batch, which the host has to do with. */
bool pk_call_parked(const struct pk_call *c);
struct pk_reply pk_call_reply(const struct pk_call *c);
/* PK_OK, or why the call failed. At DONE. */
const struct pk_error *pk_call_error(const struct pk_call *c);
/* When to come back, as the limit or the provider that refused it says; 0: nobody knows. At DONE. */
int64_t pk_call_retry_after_ms(const struct pk_call *c);
/* The provider's own words for the error, or empty. At DONE. */
pk_str pk_call_fault(const struct pk_call *c);
/* Whether it ended since no price is known of what was asked, where a bound in dollars needs one. */
bool pk_call_unpriced(const struct pk_call *c);
/* Whether an equal request is told the same, and its record says the same but for ids and times, as long as config and
 * entry stay: it was an exact hit that came by no chance, and no guardrail looked at. At DONE. */
bool pk_call_repeats(const struct pk_call *c);
/* Final at DONE. Before that, once `out` is not empty: trace_id, provider, target_path, attempts, retries,
 * cache_status and what went before are as they will stay. Lives as long as the call. */
const struct pk_record *pk_call_record(const struct pk_call *c);
/* What may be kept of it (privacy.h): this goes to the log, the record to the client. At DONE, once. */
struct pk_record *pk_call_logged(struct pk_call *c);

#endif
