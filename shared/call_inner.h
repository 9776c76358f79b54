/* call_inner.h - the body of a call, for the files that make up the machine.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_CALL_INNER_H
#define PK_CALL_INNER_H

#include "account.h"
#include "call.h"
#include "form.h"
#include "realtime.h"
#include "stream.h"
#include "tap.h"
#include "typed.h"

/* One state, one function pk_step_NAME(). */
/* clang-format off */
#define STATES(S)                                                                                  \
    S(pick)                                                                                        \
    S(guard_in) S(lookup) S(embed) S(near)                                                         \
    S(send) S(afford) S(reserve) S(head) S(relay) S(pass) S(tunnel) S(collect) S(drain)                                      \
    S(guard_out) S(typed) S(judge) S(answer) S(guard_after) S(finish) S(ask)
/* clang-format on */

enum pk_call_state {
#define S(name) ST_##name,
    STATES(S)
#undef S
};

/* A question to another service than the target, such as a webhook, and what came of it. */
struct pk_asked {
    struct pk_exchange exchange;
    enum pk_call_state then; /* who asked: entered with the answer */
    int64_t deadline_ms;
    int status; /* of the answer; 0: none came */
    struct pk_buf body;
    struct pk_error error; /* PK_OK when the answer is whole, whatever its status */
};

/* The question as the semantic cache sees it. */
struct pk_like {
    bool ready; /* `vector` is whole */
    pk_str text;
    int node;     /* the text's value in the body */
    int embedder; /* of the config */
    pk_str asked; /* of the embedder, in the common shape */
    int span;     /* in the record */
    struct pk_cache_vector vector;
};

/* What guardrails have made of the call. */
struct pk_call_guards {
    struct pk_guard_run *run;     /* at work; NULL: none is */
    bool asking, querying;        /* it waits for an answer, or for a row */
    bool ran;                     /* some did */
    const struct pk_guards *list; /* the target's own that the request has been through last */
    const struct pk_guard_mark *denied; /* what of it denied the request; NULL: nothing */
    enum pk_guard_result in, out;       /* of the request; of the last answer */
    enum pk_guard_result after;         /* of the async ones */
    pk_str before, after_results;       /* hook_results of the two phases: JSON arrays, or empty */
    bool refused;                       /* the last answer was denied, */
    bool again;                         /* by a guardrail that wants another */
    bool rewritten;                     /* the answer is no longer what came */
    bool replaced;                      /* nor anything that a provider said */
    const struct pk_cache_entry *hit;   /* the answer is of the cache */
    pk_str tail;                        /* of a stream: its end, which waits for the verdict */
    size_t stage;                       /* guard_after: the phase that is next */
    bool over;                          /* and it is done, or there is no more time for it */
};

/* How the target is asked when its answer must be of a type. */
struct pk_call_typed {
    pk_str request;        /* in the place of the client's; empty: as that is */
    struct pk_json before; /* c->body of the client's, meanwhile */
    bool repaired;         /* the target has been told what was wrong with its answer, */
    bool plain;            /* or is asked in words alone */
};

/* The client's body with a target's changes. */
struct pk_overridden {
    bool made;
    pk_str body;
};

/* What the batch whose output is wanted has written, as far as this target has said. */
struct pk_call_output {
    int node;
    pk_str file; /* empty: it has not been asked yet */
};

struct pk_call {
    enum pk_call_state state;
    struct pk_arena *arena;
    const struct pk_config *config;
    const struct pk_facts *facts;
    const struct pk_request *req;
    const struct pk_operation *operation;
    const struct pk_dialect *front;
    bool opaque; /* the body is neither JSON nor a form, or there is none: it is passed as it is */
    struct pk_form form; /* what the fields are in; .parts NULL: no form */
    pk_str original;     /* the client's body; of a form its fields as JSON; */
    pk_str request;      /* the same, as guardrails have left it, */
    struct pk_json body; /* and read; of an opaque one an object without members */
    bool stream, with_usage;
    uint64_t random;

    int64_t started_mono_us; /* what record.started_us is on the monotonic clock */
    int64_t mono_us, now_ms; /* of this step */
    int64_t away_us;         /* it waited for a batch while nobody had it */
    int64_t deadline_ms;
    struct pk_next next;

    struct pk_steer *steer; /* what routing goes by; settled in pick */

    /* The attempt that is running, or was the last. */
    int node;  /* its leaf in the route; -1 before the first */
    int span;  /* its span in the record; -1 before the first */
    int tries; /* at this target */
    struct pk_exchange exchange;
    const struct pk_dialect *back; /* in which it is asked, */
    const struct pk_codec *codec;  /* and how that spells what is no conversation; else NULL */
    int64_t attempt_deadline_ms;   /* INT64_MAX = none */
    const char *attempt_limit;     /* which setting that is, for the message */
    bool impatient;                /* it ended by a limit that the client chose */
    int status;
    int64_t retry_after_ms;
    bool error_cut;              /* an error answer came in part only */
    pk_str error_type;           /* the kind of an error answer, where a header says it */
    struct pk_buf collected;     /* the upstream body: a JSON answer, or an error's start */
    struct pk_stream *streaming; /* NULL unless the answer is a stream */
    struct pk_tap *tap;          /* what reads along an answer that is passed; NULL: nothing does */
    int64_t passed_bytes;        /* of such an answer; -1: it is none */
    struct pk_buf out;           /* for the client; held back until `committed` */
    struct pk_realtime *tunnel;  /* NULL unless it is an open session */
    struct pk_usage charged;     /* what of it limits have been asked for */
    struct pk_fault fault;
    struct pk_error error;
    pk_str made_id; /* of an answer whose provider names none */
    struct pk_answer answer;
    struct pk_overridden *overridden; /* one a node of the route; NULL: none has been so far */

    struct pk_call_guards guards;
    struct pk_call_typed typed;
    struct pk_call_output output;
    struct pk_asked asked; /* the question that is running, or was the last */

    struct pk_like like;
    bool looked_up; /* the cache has been asked: once a call */
    bool committed; /* bytes have gone to the client: no more retry or fallback */
    bool answered;  /* c->answer is whole */
    bool told;      /* the client has been told why there is none */
    bool unpriced;  /* since no price is known */
    struct pk_reply reply;
    uint8_t cache_key[PK_CACHE_KEY_BYTES];
    pk_str cache_ns; /* the namespace in it */
    struct pk_cache_entry save;
    struct pk_account_share share; /* of the statement's account */
    struct pk_reserve *reserve;    /* what is asked at RESERVE; NULL before the first */
    struct pk_privacy privacy;     /* the strictest of the request and of the targets so far */
    struct pk_record record;
};

static inline const struct pk_target *pk_call_target(const struct pk_call *c)
{
    PK_ASSERT(c->node >= 0);
    return &c->config->targets[c->config->route.nodes[c->node].target];
}

static inline int64_t pk_call_now_us(const struct pk_call *c)
{
    return c->record.started_us + c->mono_us - c->started_mono_us + c->away_us;
}

/* --- what a step returns -------------------------------------------------------------------- */

enum { PK_CALL_AGAIN = -1 }; /* to enter c->state now, instead of an op to wait for */

static inline int pk_call_go(struct pk_call *c, enum pk_call_state s)
{
    c->state = s;
    return PK_CALL_AGAIN;
}

static inline int pk_call_wait(struct pk_call *c, enum pk_call_state s, enum pk_op op)
{
    c->state = s;
    return (int)op;
}

/* Waits for the provider, until the attempt's limit or the call's. */
static inline int pk_call_wait_upstream(struct pk_call *c, enum pk_call_state s, enum pk_op op)
{
    c->next.until_ms =
        c->attempt_deadline_ms < c->deadline_ms ? c->attempt_deadline_ms : c->deadline_ms;
    return pk_call_wait(c, s, op);
}

/* call_ask.c: sends `ex`, which must live until the answer, and enters `then` with the outcome in
 * c->asked, after at most timeout_ms. The current span gets no part of it. */
int pk_call_ask(struct pk_call *c, const struct pk_exchange *ex, int64_t timeout_ms,
                enum pk_call_state then);

#define S(name) int pk_step_##name(struct pk_call *c, const struct pk_event *ev);
STATES(S)
#undef S

/* --- parts ------------------------------------------------------------------------------------ */

/* Whether a whole answer is told as a stream: only what is made of text has a form for that, whatever was asked
 * for. */
static inline bool pk_call_tells_stream(const struct pk_call *c)
{
    return c->stream && (c->operation->front || c->operation == &pk_operation_completions);
}

static inline void pk_call_reply_as(struct pk_call *c, int status, bool stream)
{
    c->reply.status = status;
    c->reply.stream = stream;
}

static inline pk_str pk_call_provider(const struct pk_call *c)
{
    return pk_str_of(pk_call_target(c)->provider->name);
}

/* What the client is told of c->error: the provider's words, or ours. */
static inline struct pk_fault pk_call_told(const struct pk_call *c)
{
    struct pk_fault f = c->fault;

    if (f.message.len == 0)
        f.message = pk_str_of(c->error.msg);
    if (f.type.len == 0)
        f.type = pk_str_of(pk_code_name(c->error.code));
    f.status = c->error.status;
    return f;
}

/* call_attempt.c */
/* Ends a stream of which the client has had a part with an error event, and never with a clean end. */
void pk_call_abort_stream(struct pk_call *c);
void pk_call_note_first_byte(struct pk_call *c);
/* A transport failure, told in terms of the target and of the limit that passed. */
void pk_call_note_failure(struct pk_call *c, const struct pk_event *ev);

/* call_guard.c */
/* Whether some of the phase are to look before it goes on, be it that they can or not. */
bool pk_call_guarded(const struct pk_call *c, enum pk_guard_phase phase);
bool pk_call_holds(const struct pk_call *c);        /* a stream must wait for its verdict */
bool pk_call_ends_checked(const struct pk_call *c); /* or its end must */
int pk_call_status(const struct pk_call
                       *c); /* what the client is told of an answer: 246 when a guardrail warned */
bool pk_call_goes_on_after(const struct pk_call *c); /* async guardrails are to run */
void pk_call_note_verdict(struct pk_call *c);
pk_str pk_call_with_hooks(struct pk_call *c, pk_str document); /* with hook_results, if any ran */
/* hook_results of a phase as an event, for clients that know it. */
void pk_call_hook_event(struct pk_call *c, bool before, struct pk_buf *out);

/* call_typed.c: whether asking the target in another way may help with c->error: the next attempt does then. */
bool pk_call_asks_differently(struct pk_call *c);
void pk_call_ask_as_before(struct pk_call *c); /* another target is asked the client's own */

/* call_steps.c: the answer as a client of this kind reads it, in c->next.out; false when it cannot be a
 * stream. */
bool pk_call_print_answer(struct pk_call *c);

/* call_cache.c: the answer of the cache goes out. */
int pk_call_give_hit(struct pk_call *c);

/* call_pick.c */
uint64_t pk_call_targets(const struct pk_call *c); /* bit i: the route may come to target i */
int pk_call_undecided(struct pk_call *c);          /* ends a call that no condition took anywhere */

/* call_cache.c: whether the answer is to be kept; fills c->save. */
bool pk_call_keep(struct pk_call *c);

/* call_pass.c */
bool pk_call_read_body(struct pk_call *c, struct pk_error *err) PK_MUST_CHECK; /* of the request */
pk_str pk_call_model(const struct pk_call *c,
                     const struct pk_params *params); /* what is asked for */
/* Whether the answer with these headers is passed as it comes; c->reply has its type then. */
bool pk_call_passes(struct pk_call *c, pk_str headers);
/* Whether what a raw operation was answered with is what its client asked for, as far as pk can tell. */
bool pk_call_is_answer(struct pk_call *c, pk_str body);
/* Goes on with an answer of which this is all so far, as one that is passed. */
int pk_call_pass_on(struct pk_call *c, pk_str so_far, pk_str bytes);
/* Appends what a raw operation's client has sent along. */
void pk_call_add_headers(struct pk_call *c, const struct pk_target *t, struct pk_buf *out);
/* Whether what guardrails must see can be seen by them; false with c->error when not. */
bool pk_call_readable(struct pk_call *c) PK_MUST_CHECK;
/* The error that stands goes to the client as the provider sent it. */
bool pk_call_relays_error(const struct pk_call *c);
pk_str pk_call_passed(struct pk_call *c); /* what the log says of an answer that it has not seen */

/* call_send.c: fills c->exchange for c->node and opens its span. False with c->error when the target
 * cannot take the request. */
bool pk_call_build(struct pk_call *c) PK_MUST_CHECK;
void pk_call_set_deadline(struct pk_call *c); /* of an attempt that begins now */
bool pk_call_may_forward(const struct pk_target *t, pk_str name); /* a header of the client's */

/* call_output.c: of a batch whose output is wanted. Whether the attempt is for the batch itself; what it asks for, and
 * what follows that operation's path, of any call; where it goes on with the batch that c->answer has. */
bool pk_call_seeks_output(const struct pk_call *c);
const struct pk_operation *pk_call_spelled(const struct pk_call *c);
pk_str pk_call_tail(const struct pk_call *c);
int pk_call_find_output(struct pk_call *c);

/* call_tunnel.c: what a session's handshake needs beside that of other requests. */
bool pk_call_tunnel_spell(struct pk_call *c) PK_MUST_CHECK; /* the exchange's URL, if it may be */
void pk_call_tunnel_headers(struct pk_call *c, struct pk_buf *out);
void pk_call_tunnel_deadline(struct pk_call *c);
int pk_call_tunnel_open(struct pk_call *c, pk_str headers); /* the provider has answered 101 */
bool pk_call_tunnel_over(const struct pk_call *c); /* it was ended by the provider's close frame */
void pk_call_tunnel_say_goodbye(
    struct pk_call *c); /* a close frame for the client, if one may follow */

/* call_count.c: whether the target, once it is built, needs no request because pk counts; and that. */
bool pk_call_counts_itself(const struct pk_call *c);
void pk_call_count(struct pk_call *c); /* c->answered, or c->error */

/* call_limit.c: what the attempt comes under. False with c->error when it may not be made, or go on; *ask: only if
 * the host reserves c->reserve. */
bool pk_call_limited(struct pk_call *c, bool *ask) PK_MUST_CHECK;
/* It was granted; NULL: without an answer of the store. */
void pk_call_take(struct pk_call *c, const struct pk_reserve *r);
/* Output of a request that sets no limit: no more than the model gives. */
int64_t pk_call_output_assumed(const struct pk_call *c);
/* The most that the call will have cost after the attempt. False with c->error: nobody knows. */
bool pk_call_most(struct pk_call *c, int64_t *pusd) PK_MUST_CHECK;
void pk_call_settle(struct pk_call *c); /* what was used of the holds; at the end */
void pk_call_estimate(
    struct pk_call *c); /* usage that the provider did not report, when it matters */

/* call_end.c: what the log says. */
void pk_call_span_end(struct pk_call *c); /* closes the span of the attempt from c->error */
void pk_call_note_used(
    struct pk_call *c); /* what it has used, in its span; again while it goes on */
pk_str pk_call_user(const struct pk_call *c);
void pk_call_note_target(struct pk_call *c); /* where the attempt went */
void pk_call_note_answer(struct pk_call *c); /* provider, model, usage, cost */
void pk_call_note_own(struct pk_call *c);    /* of an answer that no provider gave */
void pk_call_note_hit(struct pk_call *c, const struct pk_cache_entry *entry);
void pk_call_close(struct pk_call *c); /* everything else; at the end */

#endif
