/* store_job.h - the durable queue: who enqueues, who works it off, who looks.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   queued ─ claim, with a lease ─▶ running ─ its call ended ─▶ done | failed
 *     ▲                               │ badly, and may be asked again
 *     ├───── after a while ───────────┤
 *     └───── lease over: the worker ──┘           queued ─ pk_cancel() ─▶ cancelled
 *            was lost
 *
 * Of items that ask the same, one is claimed; the others wait for what comes of it, and then have that.
 *
 * An item that is done or failed is never asked again unless it failed or was cancelled and pk_retry() says so. Nothing is locked
 * while a call is made: a worker has an item for as long as it renews its lease.
 *
 * Ids are UUIDv7. An `actor` as store_audit.h has it sees its own jobs; with an empty one, all are seen.
 */
#ifndef PK_STORE_JOB_H
#define PK_STORE_JOB_H

#include "job_equals.h"
#include "result.h"
#include "store.h"

enum {
    PK_JOB_ROWS_MAX = 1000000,
    PK_JOB_TRIES = 3, /* of an item, when nobody says how many */
    PK_JOB_TRIES_MAX = 100,
    PK_JOB_LOSSES_MAX = 20,          /* workers that an item may outlive */
    PK_JOB_ITEM_BYTES_MAX = 8 << 20, /* of its input */
    PK_JOB_RESULTS_MAX = 64,         /* that are read at a time */
    PK_JOB_SHARES_MAX = 1000,        /* items that get another's answer at a time */
    PK_JOB_TURNS = 64,               /* actors whose jobs' turns are kept apart */
    PK_WORKER_BYTES = 16,
};

/* --- enqueueing ---------------------------------------------------------------------------- */

/* What all items of a job have in common. */
struct pk_job {
    uint8_t id[PK_UUID_BYTES];
    pk_str actor, config, params; /* params: without what is said here */
    pk_str prompt;                /* whose variables items have; empty: none */
    int tries_max;
    struct pk_job_equals *equals; /* while it is enqueued; NULL: every item is asked */
    bool batched;                 /* through the provider's batch API (store_job_batch.h) */
};

enum pk_job_kind { PK_JOB_PROMPT, PK_JOB_MESSAGES, PK_JOB_VARS };

struct pk_job_input {
    int64_t ord; /* from 1 */
    bool has_key, key_is_int, has_text;
    pk_str key, text;
    enum pk_job_kind kind;
};

/* Reads `params`: max_attempts, prompt and executor of its "pk" are the job's, and the rest is what a call may be asked with.
 * `arena` lasts until the job is enqueued. Refuses a config or a prompt that is not there, and a literal key: a job is
 * stored as it is. */
bool pk_store_job_check(struct pk_store *s, struct pk_arena *arena, pk_str config, pk_str params,
                        int64_t now_us, struct pk_job *job, struct pk_error *err) PK_MUST_CHECK;

/* The calls of the job are as `asked`, which has the options in its params and what the session says: whoever makes
 * them has another session. */
bool pk_job_session(struct pk_arena *arena, const struct pk_request *asked, struct pk_job *job,
                    struct pk_error *err) PK_MUST_CHECK;
/* What can be no call, which is known before: messages without one. */
bool pk_job_messages_check(struct pk_arena *arena, pk_str messages,
                           struct pk_error *err) PK_MUST_CHECK;

/* Begins a transaction, which pk_store_job_enqueued() ends; job->id is set before, and the actor is the store's. */
bool pk_store_job_put(struct pk_store *s, struct pk_job *job, int64_t now_us,
                      struct pk_error *err) PK_MUST_CHECK;
bool pk_store_job_add(struct pk_store *s, const struct pk_job *job, const struct pk_job_input *in,
                      int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
/* `ok` false: undoes it, and *err stays. Returns whether it is enqueued. */
bool pk_store_job_enqueued(struct pk_store *s, const struct pk_job *job, bool ok, int64_t total,
                           int64_t calls, int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

/* The request of an item; what the host knows of its surroundings is to be added. */
bool pk_store_job_request(struct pk_store *s, struct pk_arena *arena, const struct pk_job *job,
                          enum pk_job_kind kind, pk_str text, uint64_t seed, struct pk_request *req,
                          struct pk_error *err) PK_MUST_CHECK;

/* --- looking ------------------------------------------------------------------------------- */

/* PK_BAD_REQUEST. */
bool pk_job_id_parse(pk_str text, uint8_t id[PK_UUID_BYTES], struct pk_error *err) PK_MUST_CHECK;

/* {"id":...,"state":...}; *found false: there is none. */
bool pk_store_job_status(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                         struct pk_buf *out, bool *found, struct pk_error *err) PK_MUST_CHECK;
/* Whether nothing of it waits or runs. PK_NOT_FOUND; PK_BAD_REQUEST: this transaction made it, and waits for itself. */
bool pk_store_job_over(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                       bool *over, struct pk_error *err) PK_MUST_CHECK;

struct pk_job_result {
    int64_t ord;
    bool has_key, key_is_int;
    pk_str key;
    struct pk_result result;
};
/* Of the items that are over, some behind *after, in order, which moves on; at most PK_JOB_RESULTS_MAX at `out`. None:
 * there are no more. */
bool pk_store_job_results(struct pk_store *s, struct pk_arena *arena,
                          const uint8_t id[PK_UUID_BYTES], pk_str actor, int64_t *after,
                          struct pk_job_result *out, int *count,
                          struct pk_error *err) PK_MUST_CHECK;

/* Items that wait are not asked any more; those that run are. *cancelled: it was not over. PK_NOT_FOUND. */
bool pk_store_job_cancel(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                         int64_t now_us, bool *cancelled, struct pk_error *err) PK_MUST_CHECK;
/* Items that failed or were cancelled are asked again; *count is how many. PK_NOT_FOUND. */
bool pk_store_job_retry(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                        int64_t now_us, int64_t *count, struct pk_error *err) PK_MUST_CHECK;

/* --- working ------------------------------------------------------------------------------- */

/* An item that a worker has. */
struct pk_job_claim {
    uint8_t job[PK_UUID_BYTES];
    int64_t ord;
    enum pk_job_kind kind;
    pk_str text;
    int tries; /* that ended badly */
};

enum pk_job_kind pk_job_kind_of(pk_str word); /* as it is in the store */

/* Who was served last, of a worker: starts zeroed. */
struct pk_job_turns {
    char actor[PK_ACTOR_BYTES];
    uint8_t jobs[PK_JOB_TURNS]
                [PK_UUID_BYTES]; /* of each actor, in a place that others may have too */
};

/* Takes at most `count` items that are due, until until_us; calls `take` for each, whose false ends it. They are of the
 * actor whose turn it is, and of each of his jobs as many; when others have something to do too, half as many. Fewer
 * than `count` does not mean that there are no more. */
bool pk_store_job_claim(struct pk_store *s, struct pk_job_turns *turns,
                        const uint8_t worker[PK_WORKER_BYTES], int64_t now_us, int64_t until_us,
                        int count, bool (*take)(void *ctx, const struct pk_job_claim *claim),
                        void *ctx, struct pk_error *err) PK_MUST_CHECK;
/* Strings are in `arena`. *found false: the job is gone. */
bool pk_store_job_get(struct pk_store *s, struct pk_arena *arena, const uint8_t id[PK_UUID_BYTES],
                      struct pk_job *job, bool *found, struct pk_error *err) PK_MUST_CHECK;
bool pk_store_job_renew(struct pk_store *s, const uint8_t worker[PK_WORKER_BYTES], int64_t until_us,
                        struct pk_error *err) PK_MUST_CHECK;
/* All that the worker has waits again, as if it had never been claimed. */
bool pk_store_job_give_back(struct pk_store *s, const uint8_t worker[PK_WORKER_BYTES],
                            int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

/* Its call is over, and stays so. `tries`: that ended badly, this one counted. */
bool pk_store_job_end(struct pk_store *s, const struct pk_job_claim *claim, int tries,
                      const struct pk_result *r, struct pk_error *err) PK_MUST_CHECK;
/* It is to be asked again, from due_us on. */
bool pk_store_job_again(struct pk_store *s, const struct pk_job_claim *claim,
                        const uint8_t worker[PK_WORKER_BYTES], int tries, int64_t due_us,
                        const struct pk_result *r, struct pk_error *err) PK_MUST_CHECK;
/* Some items get the answers that they wait for; *more: there may be others. */
bool pk_store_job_share(struct pk_store *s, bool *more, struct pk_error *err) PK_MUST_CHECK;
/* Parks items that outlived too many workers, and those of cancelled jobs; closes jobs that are through. */
bool pk_store_job_tidy(struct pk_store *s, int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
bool pk_store_job_finish(struct pk_store *s, int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

#endif
