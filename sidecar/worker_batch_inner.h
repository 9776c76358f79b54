/* worker_batch_inner.h - what the files of the batcher share: worker_batch.c is the thread, worker_batch_work.c
 * decides what is done with a batch,
 * worker_batch_item.c has the calls of its items, worker_batch_ask.c asks providers, worker_batch_api.c knows how their
 * batch APIs are spelled, worker_batch_read.c reads what came of one.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_WORKER_BATCH_INNER_H
#define PKD_WORKER_BATCH_INNER_H

#include "log.h"
#include "store_job_batch.h"
#include "worker_batch.h"
#include "worker_inner.h"

enum {
    PKD_BATCH_HEX = 2 * PK_UUID_BYTES,
    PKD_BATCH_SAVED = 64,     /* items that are saved in one transaction */
    PKD_CUSTOM_ID_BYTES = 65, /* Anthropic takes 64 */
};

/* What became of an item at the provider. */
struct pkd_outcome {
    int status;            /* as an answer of its own would have had; 0: there is none, but */
    struct pk_error error; /* this */
    pk_str body;
    uint32_t sum; /* of what was sent, as the answer's id has it; 0: not known */
};

/* An item of the batch at hand that is not over. */
struct pkd_batch_open {
    struct pk_job_claim claim;
    bool answered;
};

struct pkd_batcher {
    struct pkd_worker w; /* its store, transport, loop and lists of items */
    bool running;        /* the thread is there */
    int64_t tidy_ms;

    struct pk_arena arena; /* of the batch at hand, and all below */
    struct pkd_work work;  /* its job */
    struct pk_job_batch batch;
    bool stored, lost; /* it is written down; another worker has it by now */
    int64_t renew_ms;
    const struct pk_snapshot *snapshot;
    const struct pk_target *target; /* NULL: none of the config is the batch's */
    struct pk_buf lines;            /* the requests that make it up */
    int line_count;
    bool full;     /* no more fits in, */
    bool limited;  /* or limits let no more in for a while */
    bool dropping; /* items are logged, not saved: the job was cancelled */
    struct pkd_batch_open *open;
    int open_count;

    /* The call at hand. */
    const struct pkd_outcome *outcome; /* what it is answered; NULL: it is made to be sent */
    bool parked, settled, told;
    struct pk_task *asking; /* the request to a provider that is under way */
    bool asked;             /* the loop has stopped for it */
};

/* --- worker_batch.c ------------------------------------------------------------------------ */

bool pkd_batch_stopping(const struct pkd_batcher *b);
/* Renews what the batcher has, when it is time; false when it has it no more, or is to stop. */
bool pkd_batch_keep(struct pkd_batcher *b);
/* Waits a moment for the transport. */
void pkd_batch_wait(struct pkd_batcher *b);
/* What is known of the batch is in the store, and it stays with this worker. False: another has it. */
bool pkd_batch_keep_saved(struct pkd_batcher *b);
/* Its job and where that leads. *gone: there is no such job any more. */
bool pkd_batch_load(struct pkd_batcher *b, const uint8_t job[PK_UUID_BYTES], bool *gone,
                    struct pk_error *err) PK_MUST_CHECK;
/* Jobs that are through are closed. */
bool pkd_batch_end_jobs(struct pkd_batcher *b, struct pk_error *err) PK_MUST_CHECK;

/* --- worker_batch_work.c ------------------------------------------------------------------- */

/* Sends the lines. */
void pkd_batch_send(struct pkd_batcher *b);
/* Does what is due with a batch that was taken. */
void pkd_batch_work_on(struct pkd_batcher *b);

/* --- worker_batch_item.c ------------------------------------------------------------------- */

/* For a claim: keeps the item until pkd_batch_add_claimed(), of which each gets into the lines, or is over, or is given
 * back. */
bool pkd_batch_take(void *batcher, const struct pk_job_claim *claim);
bool pkd_batch_add_claimed(struct pkd_batcher *b, struct pk_error *err) PK_MUST_CHECK;
/* Makes it again and lets it end with the outcome; it is in w.over then. */
void pkd_batch_end_item(struct pkd_batcher *b, struct pkd_batch_open *open,
                        const struct pkd_outcome *outcome);
/* Saves and logs what is in w.over. */
bool pkd_batch_save_items(struct pkd_batcher *b, struct pk_error *err) PK_MUST_CHECK;

/* --- worker_batch_ask.c -------------------------------------------------------------------- */

struct pkd_batch_question {
    const struct pk_operation *operation;
    enum pk_method method;
    pk_str tail, body, content_type;
    /* Takes the answer's bytes as they come; false ends it. NULL: they are kept. */
    bool (*sink)(void *ctx, pk_str bytes);
    void *ctx;
};

struct pkd_batch_answer {
    struct pk_error error; /* PK_OK: it was a 2xx */
    pk_str body;           /* in b->arena; of an error, its provider's words */
    bool cut;              /* the sink has ended it */
};

/* Asks the batch's target, in its account. */
void pkd_batch_ask(struct pkd_batcher *b, const struct pkd_batch_question *q,
                   struct pkd_batch_answer *a);
/* The loop has stopped for it. */
void pkd_batch_asked(struct pkd_batcher *b);
/* Goes on with whatever the loop has stopped for; waits when that is nothing. */
void pkd_batch_turn(struct pkd_batcher *b);

/* --- worker_batch_api.c -------------------------------------------------------------------- */

bool pkd_batch_is_anthropic(const struct pkd_batcher *b); /* or else OpenAI's API */
/* The batch's id as the provider has it. */
void pkd_batch_hex(const struct pkd_batcher *b, char out[PKD_BATCH_HEX + 1]);
/* An item has no answer, and may be asked again. */
void pkd_batch_unanswered(const struct pkd_batcher *b, const char *why, struct pkd_outcome *o);

/* "pk-BATCH-ORD-SUM" */
void pkd_batch_custom_id(const struct pkd_batcher *b, int64_t ord, uint32_t sum,
                         char out[PKD_CUSTOM_ID_BYTES]);
/* Adds an item's request to the lines; false: it does not fit any more. */
bool pkd_batch_add_line(struct pkd_batcher *b, const char *custom_id, pk_str body);

/* Looks for the batch at its provider. *found: it is there, and batch.remote_id is its id. *wait: nobody can
 * know yet. */
bool pkd_batch_find(struct pkd_batcher *b, bool *found, bool *wait,
                    struct pk_error *err) PK_MUST_CHECK;
/* Sends what the lines need beforehand, if they need that: batch.file_id. */
bool pkd_batch_upload(struct pkd_batcher *b, struct pkd_batch_answer *a) PK_MUST_CHECK;
bool pkd_batch_create(struct pkd_batcher *b, struct pkd_batch_answer *a) PK_MUST_CHECK;
void pkd_batch_cancel(struct pkd_batcher *b, struct pkd_batch_answer *a);
/* What of it there is to read, when it is over. */
struct pkd_batch_state {
    bool over;
    pk_str files[2];            /* OpenAI's; empty: there is none */
    struct pkd_outcome outcome; /* of items without an answer */
};
bool pkd_batch_look(struct pkd_batcher *b, struct pkd_batch_state *state,
                    struct pk_error *err) PK_MUST_CHECK;
/* Removes its files, as far as that works. */
void pkd_batch_clean(struct pkd_batcher *b, const struct pkd_batch_state *state);

/* --- worker_batch_read.c ------------------------------------------------------------------- */

/* Ends each item that has an answer. */
bool pkd_batch_read(struct pkd_batcher *b, const struct pkd_batch_state *state,
                    struct pk_error *err) PK_MUST_CHECK;
/* Whether the answers of Anthropic's batch `id` are this one's; *a: of the provider. */
bool pkd_batch_is_whose(struct pkd_batcher *b, pk_str id, struct pkd_batch_answer *a);

#endif
