/* loop.h - drives any number of calls over one transport.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The loop performs SEND, READ and SLEEP; LOOKUP, NEAR, QUERY, SAVE, DONE and bytes for the client are the
 * host's. It never waits: the host does, on pk_xfer_fd() until pk_loop_deadline_ms().
 *
 *     pk_loop_start(loop, task);
 *     for (;;) {
 *         struct pk_task *t = pk_loop_next(loop);
 *         if (!t) { wait on pk_xfer_fd(x) until pk_loop_deadline_ms(loop); continue; }
 *         take t->next.out;
 *         switch (t->next.op) {
 *         case PK_OP_LOOKUP: ... pk_loop_answer(loop, t, &ev); break;
 *         case PK_OP_NEAR:   ... pk_loop_answer(loop, t, &ev); break;
 *         case PK_OP_RESERVE: ... pk_loop_answer(loop, t, &ev); break;
 *         case PK_OP_QUERY:  ... pk_loop_answer(loop, t, &ev); break;
 *         case PK_OP_SAVE:   ... pk_loop_answer(loop, t, &ev); break;
 *         case PK_OP_DONE:   ... break;
 *         default:           pk_loop_resume(loop, t);   // only `out` was for the host
 *         }
 *     }
 *
 * Of a batched call (request.h) SEND and READ are the host's too, but for those that ask somebody else than the
 * target: pk_call_parked(). It comes back with HEAD or FAIL, and with BODY and END, when the provider's batch is over.
 *
 * A session's bytes from the client go to pk_loop_send() as they come, whether the task is held or not.
 *
 * A host that cannot take more bytes yet resumes later: reading from the provider waits. Steps are
 * timed by the transport's clock (xfer.h), which `until_ms` is on.
 */
#ifndef PK_LOOP_H
#define PK_LOOP_H

#include "call.h"
#include "xfer.h"

/* One call in progress. The host embeds it or allocates it; it must stay where it is. */
struct pk_task {
    struct pk_call *call; /* set by the host */
    struct pk_next next;  /* what the machine asked for last */

    /* the loop's own */
    struct pk_transfer *transfer;
    int64_t waiting_us; /* since when it waits for the provider or a timer; 0 = it does not */
    int64_t moved_ms;   /* when bytes went either way last */
    int heap_at;        /* place in the heap of deadlines; -1 = none */
    bool held;          /* with the host: nothing happens until answer or resume */
    bool queued;
    struct pk_task *queue_next, *queue_prev;
};

struct pk_loop;

/* Borrows `x`, which no other loop may use. NULL when memory runs out. */
struct pk_loop *pk_loop_new(struct pk_xfer *x);
void pk_loop_free(struct pk_loop *loop); /* tasks must be over or dropped */

/* Takes the first step of t->call; *t needs nothing else set. Legal at any time. */
void pk_loop_start(struct pk_loop *loop, struct pk_task *t);

/* A task that needs the host; it is then held. NULL: nothing to do for now. */
struct pk_task *pk_loop_next(struct pk_loop *loop);

/* The same of those that need it already, without a look at the transport. */
struct pk_task *pk_loop_queued(struct pk_loop *loop);

/* When to call pk_loop_next() again although the fd is quiet; INT64_MAX = never. */
int64_t pk_loop_deadline_ms(const struct pk_loop *loop);

/* Gives a held task back: with the event that its op asked for, or just on with the op. */
void pk_loop_answer(struct pk_loop *loop, struct pk_task *t, const struct pk_event *ev);
void pk_loop_resume(struct pk_loop *loop, struct pk_task *t);

/* The client's bytes of a session that is open (pk_next.open); returns how many were taken. Fewer than all: no more
 * until it can be sent. Those that come when it is over are taken, and lost. */
size_t pk_loop_send(struct pk_loop *loop, struct pk_task *t, pk_str bytes);
bool pk_loop_can_send(const struct pk_task *t);

/* Ends the call as cancelled and closes its connection; the task comes back from pk_loop_next() at
 * PK_OP_DONE, once. Nothing happens to one that is over. */
void pk_loop_cancel(struct pk_loop *loop, struct pk_task *t);
/* The same for the host's own reason, which the client is told: a stream gets an error event. */
void pk_loop_stop(struct pk_loop *loop, struct pk_task *t, const struct pk_error *why);

/* Forgets a task in any state without a step: for hosts that are being torn down. */
void pk_loop_drop(struct pk_loop *loop, struct pk_task *t);

#endif
