/* worker_batch_ask.c - requests about a batch to its provider, as calls of the gateway: with the target's key,
 * address and headers, but for nothing else that its config says of calls.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They are not logged, and come under no limit: what is paid for are the items.
 */
#include "worker_batch_inner.h"

#include <string.h>

enum {
    ASK_MS = 300 * 1000,
    READ_MS = 12 * 3600 * 1000, /* whoever reads saves meanwhile */
    IDLE_MS = 60 * 1000,
};

/* A request that is under way. */
struct asking {
    struct pk_task task; /* first: the loop returns its address */
    const struct pkd_batch_question *q;
    struct pkd_batch_answer *answer;
    struct pk_buf body;
    bool done;
};

/* The batch's target, as the only one. */
static struct pk_config *config_of(struct pkd_batcher *b)
{
    struct pk_config *one = pk_alloc(&b->arena, sizeof *one);
    struct pk_target *t = pk_alloc(&b->arena, sizeof *t);

    if (!one || !t)
        return NULL;
    *t = *b->target;
    t->node = 0;
    t->params = (struct pk_params){0};
    t->retry = (struct pk_retry){0};
    t->timeouts = (struct pk_timeouts){.idle_ms = IDLE_MS};
    t->cache = (struct pk_cache_policy){0};
    t->breaker = (struct pk_breaker){0};
    memset(t->guards, 0, sizeof t->guards);
    t->strict_params = false;
    one->route.count = 1;
    one->route.nodes[0] = (struct pk_node){
        .strategy = PK_LEAF, .parent = -1, .child = -1, .sibling = -1, .target = 0, .weight = 1};
    one->targets = t;
    one->target_count = 1;
    return one;
}

static struct pk_request request_of(const struct pkd_batcher *b, const struct pkd_batch_question *q)
{
    return (struct pk_request){
        .operation = q->operation,
        .method = q->method,
        .tail = q->tail,
        .body = q->body,
        .content_type = q->content_type,
        .query_id = pk_str_of(b->work.id_text),
        .timeout_ms = q->sink ? READ_MS : ASK_MS,
        .source = b->w.app->home.pq ? PK_SOURCE_POSTGRES : PK_SOURCE_SQLITE,
    };
}

static void take_error(struct pkd_batcher *b, struct asking *x)
{
    struct pkd_batch_answer *a = x->answer;

    a->error = *pk_call_error(x->task.call);
    a->body = pk_copy(&b->arena, pk_call_fault(x->task.call));
}

static void end(struct pkd_batcher *b, struct asking *x)
{
    x->done = true;
    if (pk_call_error(x->task.call)->code != PK_OK)
        take_error(b, x);
}

static void take_bytes(struct asking *x, pk_str bytes)
{
    struct pkd_batch_answer *a = x->answer;

    if (bytes.len == 0 || a->cut)
        return;
    if (!x->q->sink)
        pk_buf_add(&x->body, bytes);
    else
        a->cut = !x->q->sink(x->q->ctx, bytes);
}

void pkd_batch_asked(struct pkd_batcher *b)
{
    b->asked = true;
}

/* What the loop has stopped for; not while an item's call is driven by the sink. */
static void go_on(struct pkd_batcher *b, struct asking *x)
{
    bool over = x->task.next.op == PK_OP_DONE;

    b->asked = false;
    if (!over || pk_call_error(x->task.call)->code == PK_OK)
        take_bytes(x, x->task.next.out);
    if (over)
        end(b, x);
    else if (x->answer->cut)
        pk_loop_cancel(b->w.loop, &x->task);
    else
        pk_loop_resume(b->w.loop, &x->task);
}

static void run(struct pkd_batcher *b, struct asking *x)
{
    b->asking = &x->task;
    b->asked = false;
    pk_loop_start(b->w.loop, &x->task);
    while (!x->done) {
        while (!b->asked)
            pkd_batch_turn(b);
        go_on(b, x);
    }
    b->asking = NULL;
}

void pkd_batch_ask(struct pkd_batcher *b, const struct pkd_batch_question *q,
                   struct pkd_batch_answer *a)
{
    struct pk_config *config = config_of(b);
    struct pk_facts facts = *b->snapshot->facts;
    struct pk_request req = request_of(b, q);
    struct asking x = {.q = q, .answer = a, .body = pk_buf_in(&b->arena, PK_BODY_BYTES_MAX)};

    *a = (struct pkd_batch_answer){0};
    facts.limits = (struct pk_limits){0};
    if (config)
        x.task.call = pk_call_new(&b->arena, config, &facts, &req, pk_clock_us(),
                                  pk_random_next(&b->w.random), &a->error);
    else
        (void)pk_fail(&a->error, PK_NO_MEMORY, "batch: out of memory");
    if (!x.task.call)
        return;
    run(b, &x);
    if (a->cut)
        a->error = (struct pk_error){0};
    if (a->error.code == PK_OK)
        a->body = pk_buf_str(&x.body);
    if (a->error.code == PK_OK && x.body.failed)
        (void)pk_fail(&a->error, PK_TOO_LARGE, "%.*s: the answer is too large",
                      PK_FMT(b->batch.provider));
}
