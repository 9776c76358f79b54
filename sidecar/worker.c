/* worker.c - claims items, has them called (worker_call.c) and saved (worker_save.c); see worker.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "log.h"
#include "store_group.h"
#include "worker_batch.h"
#include "worker_inner.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    CLAIM_MAX = 64,         /* items a statement */
    LOOK_FILE_MS = 100,     /* between two looks at an empty queue */
    LOOK_DATABASE_MS = 200, /* likewise, over the network */
    TIDY_MS = 1000,         /* between two looks at what was left behind */
    START_REST_MS = 50,     /* before it opens its store */
    TROUBLE_MS = 1000,      /* after the store has failed */
    PATIENT_MS = 5000,      /* for a database to answer: no longer than a process may take to end */
    CONNECTIONS_MAX = 4096,
    POLL_MIN_MS = 100, /* between two looks at a provider's batch */
};

void pkd_items_add(struct pkd_items *list, struct pkd_item *item)
{
    item->prev = NULL;
    item->next = list->first;
    if (list->first)
        list->first->prev = item;
    list->first = item;
    list->count++;
}

void pkd_items_remove(struct pkd_items *list, struct pkd_item *item)
{
    *(item->prev ? &item->prev->next : &list->first) = item->next;
    if (item->next)
        item->next->prev = item->prev;
    list->count--;
}

struct pkd_item *pkd_items_take(struct pkd_items *list)
{
    struct pkd_item *item = list->first;

    if (!item)
        return NULL;
    list->first = item->next;
    if (list->first)
        list->first->prev = NULL;
    list->count--;
    return item;
}

int pkd_worker_holds(const struct pkd_worker *w)
{
    return w->claimed.count + w->running.count + w->over.count;
}

/* --- jobs ---------------------------------------------------------------------------------- */

static struct pkd_work *find_work(struct pkd_worker *w, const uint8_t id[PK_UUID_BYTES])
{
    for (struct pkd_work *k = w->works; k; k = k->next)
        if (memcmp(k->job.id, id, PK_UUID_BYTES) == 0)
            return k;
    return NULL;
}

static struct pkd_work *load_work(struct pkd_worker *w, const uint8_t id[PK_UUID_BYTES],
                                  struct pk_error *err)
{
    struct pkd_work *k = calloc(1, sizeof *k);
    bool found = false;

    if (!k) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for a job");
        return NULL;
    }
    pk_arena_init(&k->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_store_job_get(w->store, &k->arena, id, &k->job, &found, err) &&
              (found || pk_fail(err, PK_NOT_FOUND, "the job is gone"));
    if (!ok) {
        pk_arena_free(&k->arena);
        free(k);
        return NULL;
    }
    pk_uuid_print(id, k->id_text);
    k->next = w->works;
    w->works = k;
    return k;
}

static void release_work(struct pkd_worker *w, struct pkd_work *k)
{
    struct pkd_work **at = &w->works;

    if (--k->items > 0)
        return;
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    pk_arena_free(&k->arena);
    free(k);
}

/* --- claiming ------------------------------------------------------------------------------ */

void pkd_item_free(struct pkd_worker *w, struct pkd_item *item)
{
    if (item->snapshot)
        pk_snapshot_release(w->resolver, item->snapshot);
    if (item->work)
        release_work(w, item->work);
    pk_arena_free(&item->arena);
    free(item);
}

/* Only a copy: the store is in the middle of a statement. */
static bool take(void *ctx, const struct pk_job_claim *claim)
{
    struct pkd_worker *w = ctx;
    struct pkd_item *item = calloc(1, sizeof *item);

    if (!item) {
        w->leftover = true;
        return false;
    }
    pk_arena_init(&item->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    item->claim = *claim;
    item->claim.text = pk_copy(&item->arena, claim->text);
    pkd_items_add(&w->claimed, item);
    return true;
}

static int64_t lease_us(const struct pkd_worker *w)
{
    return w->app->options->job_lease_ms * 1000;
}

void pkd_worker_trouble(struct pkd_worker *w, const char *what, const struct pk_error *err)
{
    pkd_add(&w->meter->store_errors, 1);
    pkd_warn("queue_trouble at=%s why=%s", what, err->msg);
    w->hold_ms = pk_clock_ms() + TROUBLE_MS;
}

/* Its call begins, or it is over. False: its job cannot be read now. */
static bool begin(struct pkd_worker *w, struct pkd_item *item)
{
    struct pk_error err = {0};

    item->work = find_work(w, item->claim.job);
    if (!item->work)
        item->work = load_work(w, item->claim.job, &err);
    if (!item->work) {
        pkd_worker_trouble(w, "job", &err);
        return false;
    }
    item->work->items++;
    pkd_items_add(&w->running, item);
    if (!pkd_item_call(w, item)) {
        pkd_items_remove(&w->running, item);
        pkd_items_add(&w->over, item);
    }
    return true;
}

/* One whose job cannot be read is forgotten; when the worker has nothing else, it waits again. */
static void begin_all(struct pkd_worker *w)
{
    for (struct pkd_item *item; (item = pkd_items_take(&w->claimed));) {
        if (begin(w, item))
            continue;
        pkd_item_free(w, item);
        w->leftover = true;
    }
}

static void claim(struct pkd_worker *w, int room)
{
    int count = room < CLAIM_MAX ? room : CLAIM_MAX;
    int64_t now_us = pk_clock_us();
    struct pk_error err = {0};

    w->look_ms = pk_clock_ms() + (w->app->home.pq ? LOOK_DATABASE_MS : LOOK_FILE_MS);
    bool ok = pk_store_job_claim(w->store, &w->turns, w->id, now_us, now_us + lease_us(w), count,
                                 take, w, &err);
    w->more = w->claimed.count > 0;
    if (!ok)
        pkd_worker_trouble(w, "claim", &err);
    begin_all(w);
}

/* Items are claimed some at a time, so that few transactions are needed. */
static bool may_claim(const struct pkd_worker *w, int64_t now_ms)
{
    int holds = pkd_worker_holds(w), room = w->window - holds;
    bool enough = room * 4 >= w->window || holds == 0;

    return w->stop_at_ms == INT64_MAX && now_ms >= w->hold_ms && !w->leftover && !w->over.first &&
           room > 0 && (now_ms >= w->look_ms || (w->more && enough));
}

/* --- what is due --------------------------------------------------------------------------- */

static void renew(struct pkd_worker *w, int64_t now_ms)
{
    struct pk_error err = {0};

    w->renew_ms = now_ms + w->app->options->job_lease_ms / 3;
    if (pkd_worker_holds(w) > 0 &&
        !pk_store_job_renew(w->store, w->id, pk_clock_us() + lease_us(w), &err))
        pkd_worker_trouble(w, "renew", &err);
}

static void tidy(struct pkd_worker *w, int64_t now_ms)
{
    struct pk_error err = {0};

    w->tidy_ms = now_ms + TIDY_MS;
    if (!pk_store_job_tidy(w->store, pk_clock_us(), &err) ||
        (w->stop_at_ms == INT64_MAX && !pkd_batcher_wake(w->batcher, w->store, &err)))
        pkd_worker_trouble(w, "tidy", &err);
}

static void finish_jobs(struct pkd_worker *w)
{
    struct pk_error err = {0};
    bool more = false;

    w->finish_ms = INT64_MAX;
    if (!pk_store_job_share(w->store, &more, &err) ||
        !pk_store_job_finish(w->store, pk_clock_us(), &err))
        pkd_worker_trouble(w, "finish", &err);
    if (more)
        w->finish_ms = 0;
}

static void give_back(struct pkd_worker *w)
{
    struct pk_error err = {0};

    w->leftover = !pk_store_job_give_back(w->store, w->id, pk_clock_us(), &err);
    if (w->leftover)
        pkd_worker_trouble(w, "give_back", &err);
}

static void on_time(struct pkd_worker *w, int64_t now_ms)
{
    if (now_ms >= w->renew_ms)
        renew(w, now_ms);
    if (now_ms >= w->hold_ms && now_ms >= w->tidy_ms)
        tidy(w, now_ms);
    if (now_ms >= w->hold_ms && now_ms >= w->finish_ms)
        finish_jobs(w);
    if (now_ms >= w->hold_ms && w->leftover && pkd_worker_holds(w) == 0)
        give_back(w);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void wait_for_work(struct pkd_worker *w)
{
    struct pollfd fds[] = {{.fd = pk_xfer_fd(w->xfer), .events = POLLIN},
                           {.fd = w->wake_fd, .events = POLLIN}};
    int64_t now_ms = pk_clock_ms(), until_ms = earlier(w->renew_ms, w->tidy_ms);
    uint64_t count;

    until_ms = earlier(until_ms, earlier(w->finish_ms, w->stop_at_ms));
    if (w->stop_at_ms == INT64_MAX && pkd_worker_holds(w) < w->window)
        until_ms = earlier(until_ms, w->look_ms);
    if (w->hold_ms > now_ms && until_ms < w->hold_ms)
        until_ms = w->hold_ms;
    until_ms = earlier(until_ms, pk_loop_deadline_ms(w->loop));
    if (until_ms > now_ms && !may_claim(w, now_ms))
        (void)poll(fds, PK_COUNT(fds), (int)earlier(until_ms - now_ms, TIDY_MS));
    if (fds[1].revents && read(w->wake_fd, &count, sizeof count) < 0)
        return;
}

/* --- the thread ---------------------------------------------------------------------------- */

static void stop(struct pkd_worker *w, int64_t now_ms)
{
    if (w->stop_at_ms == INT64_MAX)
        w->stop_at_ms = now_ms + w->app->options->grace_ms;
    if (now_ms < w->stop_at_ms)
        return;
    for (struct pkd_item *item = w->running.first; item; item = item->next)
        pk_loop_cancel(w->loop, &item->task);
}

/* Not before requests are served: nobody waits for a job's start as for theirs. False: it is over before that. */
static bool open_store(struct pkd_worker *w)
{
    struct pollfd wake = {.fd = w->wake_fd, .events = POLLIN};
    struct pk_error err;

    for (int rest_ms = START_REST_MS; !w->store; rest_ms = TROUBLE_MS) {
        (void)poll(&wake, 1, rest_ms);
        if (atomic_load(&w->app->stopping))
            return false;
        w->store = pkd_home_open(&w->app->home, PATIENT_MS, &err);
        if (!w->store)
            pkd_worker_trouble(w, "open", &err);
    }
    pk_store_group_init(w->store);
    w->kept = true;
    return true;
}

static void *run(void *worker)
{
    struct pkd_worker *w = worker;

    if (!open_store(w))
        return NULL;
    for (;;) {
        int64_t now_ms = pk_clock_ms();

        if (atomic_load(&w->app->stopping))
            stop(w, now_ms);
        on_time(w, now_ms);
        if (may_claim(w, now_ms))
            claim(w, w->window - pkd_worker_holds(w));
        pkd_worker_turn(w);
        if (w->over.first && pk_clock_ms() >= w->hold_ms)
            pkd_worker_save(w);
        if (w->stop_at_ms != INT64_MAX &&
            (pkd_worker_holds(w) == 0 || pk_clock_ms() > w->stop_at_ms + TROUBLE_MS))
            break;
        wait_for_work(w);
    }
    if (w->leftover)
        give_back(w);
    finish_jobs(w);
    pkd_worker_keep_log(w);
    return NULL;
}

/* --- birth and death ----------------------------------------------------------------------- */

bool pkd_worker_open(struct pkd_worker *w, struct pk_error *err)
{
    const struct pkd_options *o = w->app->options;
    const struct pk_xfer_options options = {
        .allowed_hosts = o->allow_host,
        .connections_max = CONNECTIONS_MAX,
        .secrets = w->app->secrets,
        .http2 = o->upstream_http2,
        .ca_file = o->upstream_ca,
    };

    w->xfer = pk_xfer_new(&options, err);
    if (!w->xfer)
        return false;
    w->loop = pk_loop_new(w->xfer);
    w->resolver = pk_resolver_new(pk_allocator_malloc());
    w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!w->loop || !w->resolver || w->wake_fd < 0)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    return pk_resolver_embedder(w->resolver, pk_str_of(o->embedder), err);
}

static bool open_rest(struct pkd_worker *w, struct pk_error *err)
{
    struct pkd_app *app = w->app;

    w->meter = pkd_meter_new(app->meters);
    if (!w->meter)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    app->meters = w->meter;
    return pkd_batcher_new(app, &w->batcher, err) && pkd_worker_open(w, err);
}

bool pkd_worker_new(struct pkd_app *app, struct pkd_worker **out, struct pk_error *err)
{
    struct pkd_worker *w = NULL;
    int64_t most;

    *out = NULL;
    if (!pk_str_int(pk_str_of(app->options->jobs), &most) || most < 0 ||
        most > PK_BATCH_CONCURRENCY_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "--jobs: must be 0..%d", PK_BATCH_CONCURRENCY_MAX);
    if (most == 0)
        return true;
    if (app->options->batch_poll_ms < POLL_MIN_MS)
        return pk_fail(err, PK_BAD_REQUEST, "--batch-poll: must be %d ms or more", POLL_MIN_MS);
    if (app->options->job_lease_ms < TROUBLE_MS)
        return pk_fail(err, PK_BAD_REQUEST, "--job-lease: must be %d ms or more", TROUBLE_MS);
    w = calloc(1, sizeof *w);
    if (!w)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    w->app = app;
    w->wake_fd = -1;
    w->most = w->window = (int)most;
    w->finish_ms = w->stop_at_ms = INT64_MAX;
    pk_secret_random(&w->random, sizeof w->random);
    pk_secret_random(w->id, sizeof w->id);
    *out = w;
    return open_rest(w, err);
}

bool pkd_worker_start(struct pkd_worker *w, struct pk_error *err)
{
    if (!w)
        return true;
    w->started = pthread_create(&w->thread, NULL, run, w) == 0;
    return w->started || pk_fail(err, PK_NO_MEMORY, "cannot start the queue's worker");
}

void pkd_worker_wake(struct pkd_worker *w)
{
    const uint64_t one = 1;

    if (w) {
        ssize_t written = write(w->wake_fd, &one, sizeof one);
        (void)written; /* fails only when it is awake anyway */
    }
}

static void drop_all(struct pkd_worker *w, struct pkd_items *list, bool running)
{
    for (struct pkd_item *item; (item = pkd_items_take(list));) {
        if (running)
            pk_loop_drop(w->loop, &item->task);
        pkd_item_free(w, item);
    }
}

void pkd_worker_free(struct pkd_worker *w)
{
    if (!w)
        return;
    if (w->started)
        (void)pthread_join(w->thread, NULL);
    pkd_batcher_free(w->batcher);
    drop_all(w, &w->claimed, false);
    drop_all(w, &w->running, true);
    drop_all(w, &w->over, false);
    if (w->loop)
        pk_loop_free(w->loop);
    pk_xfer_free(w->xfer);
    pk_resolver_free(w->resolver);
    if (w->store)
        pk_store_group_free(w->store);
    pk_store_close(w->store);
    if (w->wake_fd >= 0)
        (void)close(w->wake_fd);
    free(w);
}
