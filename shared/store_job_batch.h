/* store_job_batch.h - the queue's items that go through providers' batch APIs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   items: claimed ─▶ new ─ the provider was asked ─▶ sent ─ its answers were read ─▶ over
 *                      ▲           │ it refused, or nobody knows: looked for, asked again
 *                      └───────────┘
 *
 * A batch is written down before anything of it is sent, and what is to be sent follows from that alone: each
 * item's call is made anew from the item, the batch's id and the time at which the batch began. So whoever comes after a
 * worker that died finds the same batch at the provider by its id, or sends it for the first time.
 *
 * A batch is with one worker for as long as that renews its lease; between two looks it is with nobody.
 */
#ifndef PK_STORE_JOB_BATCH_H
#define PK_STORE_JOB_BATCH_H

#include "store_job.h"

enum {
    PK_JOB_BATCH_ITEMS_MAX = 10000,
    PK_JOB_BATCH_BYTES_MAX = 16 << 20, /* of the requests in one */
};

enum pk_job_batch_state { PK_JB_NEW, PK_JB_SENT, PK_JB_OVER };

struct pk_job_batch {
    uint8_t id[PK_UUID_BYTES], job[PK_UUID_BYTES];
    int64_t created_us; /* when the calls of its items began */
    pk_str provider, target_path, model;
    int64_t items;
    enum pk_job_batch_state state;
    int asks;  /* how often the provider was asked to make it */
    int looks; /* and how it is */
    int64_t due_us, updated_us;
    pk_str file_id, remote_id; /* the provider's; empty: not known yet */
    bool cancelled;            /* the provider was told to stop it */
};

/* Whether a job of this config can go through a batch API: PK_BAD_REQUEST says why not. */
bool pk_job_batch_check(struct pk_store *s, pk_str config, int64_t now_us,
                        struct pk_error *err) PK_MUST_CHECK;

/* Whether there is a job for whoever works batches off. */
bool pk_store_job_batch_wanted(struct pk_store *s, bool *wanted,
                               struct pk_error *err) PK_MUST_CHECK;

/* The job of the item that is due for the longest time. */
bool pk_store_job_batch_next(struct pk_store *s, int64_t now_us, uint8_t job[PK_UUID_BYTES],
                             bool *found, struct pk_error *err) PK_MUST_CHECK;
/* Takes at most `count` items of the job, as pk_store_job_claim() does. */
struct pk_job_batch_claim {
    const uint8_t *worker, *job;
    int64_t now_us, until_us;
    int count;
};
bool pk_store_job_batch_claim(struct pk_store *s, const struct pk_job_batch_claim *c,
                              bool (*take)(void *ctx, const struct pk_job_claim *claim), void *ctx,
                              struct pk_error *err) PK_MUST_CHECK;

/* Writes the batch down, of all items that the worker has, which are b->items, with a lease until until_us. */
bool pk_store_job_batch_put(struct pk_store *s, const struct pk_job_batch *b,
                            const uint8_t worker[PK_WORKER_BYTES], int64_t until_us,
                            struct pk_error *err) PK_MUST_CHECK;
/* Takes the batch that is due for the longest time, if one is; strings are in `arena`. */
bool pk_store_job_batch_take(struct pk_store *s, struct pk_arena *arena,
                             const uint8_t worker[PK_WORKER_BYTES], int64_t now_us,
                             int64_t until_us, struct pk_job_batch *b, bool *found,
                             struct pk_error *err) PK_MUST_CHECK;
/* Writes down how far it is, and keeps it until b->due_us, or, `keep` false, gives it back, to be taken then; what is
 * over is never due. *had false: another worker has it by now, and nothing was written. */
bool pk_store_job_batch_save(struct pk_store *s, const struct pk_job_batch *b,
                             const uint8_t worker[PK_WORKER_BYTES], bool keep, bool *had,
                             struct pk_error *err) PK_MUST_CHECK;

/* Calls `take` for each of its items that is not over. */
bool pk_store_job_batch_items(struct pk_store *s, const struct pk_job_batch *b,
                              bool (*take)(void *ctx, const struct pk_job_claim *claim), void *ctx,
                              struct pk_error *err) PK_MUST_CHECK;
/* Whether a batch of this store has the provider's id. */
bool pk_store_job_batch_known(struct pk_store *s, pk_str remote_id, bool *known,
                              struct pk_error *err) PK_MUST_CHECK;
/* Whether its job was cancelled, or is gone. */
bool pk_store_job_batch_stopped(struct pk_store *s, const uint8_t job[PK_UUID_BYTES], bool *stopped,
                                struct pk_error *err) PK_MUST_CHECK;
/* Batches of cancelled jobs are due now. */
bool pk_store_job_batch_hurry(struct pk_store *s, int64_t now_us,
                              struct pk_error *err) PK_MUST_CHECK;
/* What is left of its items is cancelled. */
bool pk_store_job_batch_drop(struct pk_store *s, const struct pk_job_batch *b,
                             struct pk_error *err) PK_MUST_CHECK;

#endif
