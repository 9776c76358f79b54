/* worker_inner.h - what the files of the worker share: worker.c claims, worker_call.c makes the calls, worker_save.c
 * saves what came of them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_WORKER_INNER_H
#define PKD_WORKER_INNER_H

#include "store_job.h"
#include "worker.h"

#include <pthread.h>

enum { PKD_LATER_MS = 30 * 1000 }; /* when limits are in the way of a batch */

/* A job of which the worker has items. */
struct pkd_work {
    struct pk_job job;
    struct pk_arena arena;
    char id_text[PK_UUID_TEXT + 1];
    int items;
    struct pkd_work *next;
};

/* An item: claimed, called, over, saved. */
struct pkd_item {
    struct pk_task task; /* first: the loop returns its address */
    struct pk_arena arena;
    struct pk_job_claim claim;
    struct pkd_work *work; /* NULL until it is known */
    const struct pk_snapshot *snapshot;
    struct pk_request req;
    struct pk_buf out;
    struct pk_result result;
    int64_t retry_after_ms;
    bool called; /* a call was made */
    bool logged; /* its row was handed over, and is not saved with it */

    /* Of a batch (worker_batch_inner.h): its call is the same whenever it is made. */
    bool batched;
    int64_t began_us;
    uint64_t seed, draw;  /* of the call; of a prompt's version, whatever the batch */
    bool waits;           /* a limit lets it wait for others */
    bool dropped;         /* only what it cost is of interest */
    const uint8_t *batch; /* has it in the store, in the place of the worker; NULL: not yet */
    struct pkd_item *next, *prev;
};

struct pkd_items {
    struct pkd_item *first;
    int count;
};

struct pkd_batcher;

struct pkd_worker {
    struct pkd_app *app;
    struct pkd_batcher
        *batcher; /* works off what goes through batch APIs, once there is something */
    pthread_t thread;
    bool started;
    int wake_fd;
    struct pk_xfer *xfer;
    struct pk_loop *loop;
    struct pk_store *store;
    struct pk_resolver *resolver;
    struct pkd_meter *meter;
    struct pk_arena scratch;
    uint64_t random;
    uint8_t id[PK_WORKER_BYTES];
    struct pk_job_turns turns;
    struct pkd_work *works;
    struct pkd_items claimed, running, over;
    int most;         /* calls that may be in flight */
    int window;       /* now: fewer when a provider has no room */
    bool more;        /* the last claim found something */
    bool kept;        /* the last group that was saved was committed */
    bool leftover;    /* it has items in the store that it does not know */
    int64_t hold_ms;  /* no claim before */
    int64_t look_ms;  /* when to claim although there was nothing */
    int64_t renew_ms; /* the lease */
    int64_t tidy_ms, finish_ms;
    int64_t stop_at_ms; /* when calls are cut short; INT64_MAX: it is not stopping */
};

void pkd_items_add(struct pkd_items *list, struct pkd_item *item);
void pkd_items_remove(struct pkd_items *list, struct pkd_item *item);
struct pkd_item *pkd_items_take(struct pkd_items *list); /* the first; NULL: there is none */

int pkd_worker_holds(const struct pkd_worker *w); /* items */
/* The store has failed: it is left alone for a while. */
void pkd_worker_trouble(struct pkd_worker *w, const char *what, const struct pk_error *err);
void pkd_item_free(struct pkd_worker *w, struct pkd_item *item);

/* Begins its call; false: there is none, and item->result says why. */
bool pkd_item_call(struct pkd_worker *w, struct pkd_item *item);
/* Does what the loop has stopped the item's call for. */
void pkd_item_perform(struct pkd_worker *w, struct pkd_item *item);
/* A transport, a loop and a resolver, as the options say. */
bool pkd_worker_open(struct pkd_worker *w, struct pk_error *err) PK_MUST_CHECK;
/* Does what calls need until none needs anything; those that ended are in w->over. */
void pkd_worker_turn(struct pkd_worker *w);
/* Those who count calls hear of it, once it is saved. */
void pkd_item_tell(struct pkd_worker *w, struct pkd_item *item);
/* The row of its call goes the way of all others, without it. */
void pkd_item_hand_over(struct pkd_worker *w, struct pkd_item *item);

/* What is over goes to the store. */
void pkd_worker_save(struct pkd_worker *w);
/* The items that could not be saved are lost, and asked again; the rows of their calls are not. */
void pkd_worker_keep_log(struct pkd_worker *w);

#endif
