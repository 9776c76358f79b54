/* batch.h - many calls as one: which row starts when, which waits for its equal, and when it is enough.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   pk_batch_wants()  ─ the host reads a row ──▶ pk_batch_add(), pk_batch_ready()
 *   pk_batch_start()  ─ the host runs its call ─▶ pk_batch_end()
 *   pk_batch_take()   ─ the host gives it away ─▶ pk_batch_drop()
 *
 * Pure: no call is made and no clock is read here. At most PK_BATCH_AHEAD rows a call in flight are held, so that
 * however many rows there are, memory is bounded, and whoever stops reading stops the calls.
 *
 * A provider that says "too many requests" slows the batch: half as many calls are in flight, none begins before
 * the provider wants one, and the row is asked again. Each success lets a little more in.
 */
#ifndef PK_BATCH_H
#define PK_BATCH_H

#include "price.h"
#include "request.h"

enum {
    PK_BATCH_CONCURRENCY = 32, /* calls in flight when nobody says how many */
    PK_BATCH_CONCURRENCY_MAX = 1024,
    PK_BATCH_AHEAD = 4,              /* rows held for each call that may be in flight */
    PK_BATCH_AHEAD_BYTES = 64 << 20, /* of input that rows may hold before they are given away */
    PK_BATCH_MEMO_BYTES = 64 << 20,  /* of answers that are kept for rows that ask the same later */
    PK_BATCH_SAMPLE = 20,            /* calls before the share of failed ones counts */
    PK_BATCH_TRIES = 8,              /* of a row that the provider has no room for */
};

struct pk_batch_options {
    int concurrency;
    bool dedup;             /* equal requests are one call */
    bool by_completion;     /* rows are given away as they end, not as they came */
    bool as_they_came;      /* calls begin in that order too, not by what they begin with */
    double max_error_ratio; /* more failed calls than this share: no further one is made; 1 = any */
    int64_t max_calls;      /* 0 = any number */
    int64_t max_cost_pusd;  /* 0 = any */
    pk_str prompt; /* whose variables rows have: a reference as pk_prompt() takes it; empty: none */
    bool estimates; /* set by the owner: no call is made, and the options of a job are taken too */
    bool batched;   /* of a job, through the provider's batch API */
};

/* What became of a row; the columns that pk_map() and pk_batch() have. */
struct pk_result {
    bool ok, retryable, has_content;
    pk_str content, response; /* the text, and the whole answer as JSON */
    const char *error_code;   /* NULL: none */
    pk_str error_message;
    int http_status; /* 0: there was none */
    pk_str provider, model, trace_id, cache_status;
    bool has_usage;
    int64_t input_tokens, output_tokens; /* cached and hidden ones too */
    bool cost_known;
    int64_t cost_pusd, latency_us;
    int attempts;
    bool called; /* a call was made for this very row */
};

enum pk_item_state {
    PK_ITEM_OPEN,    /* its input is being filled in */
    PK_ITEM_WAITS,   /* for its turn */
    PK_ITEM_RUNS,    /* with the host */
    PK_ITEM_FOLLOWS, /* an equal one is waiting or running */
    PK_ITEM_DONE,    /* has its result */
    PK_ITEM_TAKEN,   /* with the host again */
};

/* One row. Its strings are in its arena. */
struct pk_item {
    struct pk_arena arena;
    int64_t ord;              /* from 1 */
    bool has_key, key_is_int; /* key_is_int: it was a number, and is to be one again */
    pk_str key;
    struct pk_request req;
    pk_str same; /* besides operation and body, what equal requests have in common; may be empty */
    struct pk_result result;
    void *host; /* the host's own */

    /* the batch's own */
    enum pk_item_state state;
    int tries;
    int64_t started_ms;
    struct pk_item *next, *prev;        /* in the order of input */
    struct pk_item *turn, *turn_prev;   /* among those that wait or are done */
    struct pk_item *leader, *followers; /* whose answer it takes; who take its */
    size_t bytes;
    uint8_t hash[32];
};

struct pk_batch;

/* Checks nothing: pk_batch_options_read() does. NULL: no memory. */
struct pk_batch *pk_batch_new(struct pk_allocator from, const struct pk_batch_options *o);
/* With all rows, also those that run: their calls must be over. NULL is fine. */
void pk_batch_free(struct pk_batch *b);

/* What call options say of a batch: concurrency, dedup, order, max_error_ratio, max_calls, max_cost_usd of "pk" in
 * `params`, over *o. *rest is params without them. The error names the option. */
bool pk_batch_options_read(struct pk_arena *arena, pk_str params, struct pk_batch_options *o,
                           pk_str *rest, struct pk_error *err) PK_MUST_CHECK;

/* Whether another row may be read now. */
bool pk_batch_wants(const struct pk_batch *b);
/* Another row, to be filled in at once: key and req. NULL: no memory. */
struct pk_item *pk_batch_add(struct pk_batch *b);
/* It is filled in. With a result (`answered`) it needs no call: a NULL prompt, or one that is wrong. */
bool pk_batch_ready(struct pk_batch *b, struct pk_item *item, bool answered,
                    struct pk_error *err) PK_MUST_CHECK;
void pk_batch_eof(struct pk_batch *b); /* there are no more rows */

/* A row whose call is to be made now; NULL: none. Rows with the same beginning follow each other as far as those
 * that are held allow it, because providers keep what requests begin with. */
struct pk_item *pk_batch_start(struct pk_batch *b, int64_t now_ms);
/* When a call may begin although none ends; INT64_MAX: never. */
int64_t pk_batch_wake_ms(const struct pk_batch *b);
/* Its call is over, and item->result filled in but for `called`. `retry_after_ms`: what the provider said; 0 = nothing.
 * Those that asked the same have the same result. Memory that the call alone needed may go. */
void pk_batch_end(struct pk_batch *b, struct pk_item *item, int64_t now_ms, int64_t retry_after_ms);

/* A row with its result, the host's until pk_batch_drop(); NULL: none is due. */
struct pk_item *pk_batch_take(struct pk_batch *b);
void pk_batch_drop(struct pk_batch *b, struct pk_item *item);
/* Every row that there was has been taken. */
bool pk_batch_over(const struct pk_batch *b);

/* No further call is made: rows without one end as failed. For a statement that is cancelled. */
void pk_batch_stop(struct pk_batch *b, const char *code, const char *why);

struct pk_batch_progress {
    int64_t rows, done, failed, calls, running; /* calls: that were begun */
    int64_t ended, cached;                      /* calls; cached: that the cache answered */
    int64_t input_tokens, output_tokens, cost_pusd;
    int64_t unpriced; /* calls whose cost is not known */
    bool complete;    /* there are no more rows than these */
};
struct pk_batch_progress pk_batch_progress(const struct pk_batch *b);

/* What two have come to together, of which the first is over. */
struct pk_batch_progress pk_batch_progress_add(struct pk_batch_progress a,
                                               struct pk_batch_progress b);

enum { PK_BATCH_TOLD_BYTES = 256 };
/* "rows 100, calls 40, from the cache 10, failed 1, cost $0.01" */
void pk_batch_tell(const struct pk_batch_progress *p, char *out, size_t size);

#endif
