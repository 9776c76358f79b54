/* worker.c - claims items, has them called (worker_call.c), and saves what came of them; see worker.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call that failed and may succeed later is asked again, after a while that doubles, until it was tried as often as its
 * job says. A provider that has no room (429) slows the worker, and its items may be asked oftener.
 */
#include "log.h"
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
    FINISH_MS = 50,         /* between two looks at jobs that may be through */
    START_REST_MS = 50,     /* before it opens its store */
    TROUBLE_MS = 1000,      /* after the store has failed */
    PATIENT_MS = 5000,      /* for a database to answer: no longer than a process may take to end */
    BACKOFF_MS = 500,       /* before the second try; doubles */
    BACKOFF_MAX_MS = 300000,
    BUSY_TRIES = 8, /* more, for a provider that has no room */
    TOO_MANY = 429,
    CONNECTIONS_MAX = 4096,
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

/* NULL: there is none. */
static struct pkd_item *take_first(struct pkd_items *list)
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

static int in_hand(const struct pkd_worker *w)
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

static void free_item(struct pkd_worker *w, struct pkd_item *item)
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

static void trouble(struct pkd_worker *w, const char *what, const struct pk_error *err)
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
        trouble(w, "job", &err);
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
    for (struct pkd_item *item; (item = take_first(&w->claimed));) {
        if (begin(w, item))
            continue;
        free_item(w, item);
        w->leftover = true;
    }
}

static void claim(struct pkd_worker *w, int room)
{
    int count = room < CLAIM_MAX ? room : CLAIM_MAX;
    int64_t now_us = pk_clock_us();
    struct pk_error err = {0};

    w->look_ms = pk_clock_ms() + (w->app->home.pq ? LOOK_DATABASE_MS : LOOK_FILE_MS);
    bool ok =
        pk_store_job_claim(w->store, w->id, now_us, now_us + lease_us(w), count, take, w, &err);
    w->more = w->claimed.count == count;
    if (!ok)
        trouble(w, "claim", &err);
    begin_all(w);
}

/* Items are claimed some at a time, so that few transactions are needed. */
static void claim_some(struct pkd_worker *w, int64_t now_ms)
{
    int room = w->window - in_hand(w);
    bool enough = room > 0 && (room * 4 >= w->window || in_hand(w) == 0);

    if (w->stop_at_ms == INT64_MAX && now_ms >= w->hold_ms && !w->leftover && room > 0 &&
        (now_ms >= w->look_ms || (w->more && enough)))
        claim(w, room);
}

/* --- saving -------------------------------------------------------------------------------- */

static int64_t backoff_ms(struct pkd_worker *w, const struct pkd_item *item, int tries)
{
    int64_t ms = BACKOFF_MS;

    for (int i = 1; i < tries && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    ms += (int64_t)(pk_random_next(&w->random) % (uint64_t)ms) / 2;
    return item->retry_after_ms > ms ? item->retry_after_ms : ms;
}

static bool cut_short(const struct pkd_worker *w, const struct pkd_item *item)
{
    const char *code = item->result.error_code;

    return w->stop_at_ms != INT64_MAX && code && strcmp(code, pk_code_name(PK_CANCELLED)) == 0;
}

static bool save(struct pkd_worker *w, const struct pkd_item *item, struct pk_error *err)
{
    const struct pk_result *r = &item->result;
    int tries = item->claim.tries + !r->ok;
    int most = item->work->job.tries_max + (r->http_status == TOO_MANY ? BUSY_TRIES : 0);
    int64_t now_us = pk_clock_us();

    if (cut_short(w, item))
        return pk_store_job_again(w->store, &item->claim, w->id, item->claim.tries, now_us, r, err);
    if (r->ok || !r->retryable || tries >= most)
        return pk_store_job_end(w->store, &item->claim, tries, r, err);
    return pk_store_job_again(w->store, &item->claim, w->id, tries,
                              now_us + backoff_ms(w, item, tries) * 1000, r, err);
}

static bool save_all(struct pkd_worker *w, struct pk_error *err)
{
    struct pk_error unused;

    if (!w->store->ops->begin(w->store, err))
        return false;
    for (struct pkd_item *item = w->over.first; item; item = item->next)
        if (!save(w, item, err)) {
            (void)w->store->ops->end(w->store, false, &unused);
            return false;
        }
    return w->store->ops->end(w->store, true, err);
}

/* A provider that has no room gets half as much, and not before it wants; each success lets a little more in. */
static void note_room(struct pkd_worker *w, const struct pkd_item *item)
{
    int64_t until_ms = pk_clock_ms() + item->retry_after_ms;

    if (item->result.ok && w->window < w->most)
        w->window++;
    if (item->result.http_status != TOO_MANY)
        return;
    w->window = w->window > 1 ? w->window / 2 : 1;
    if (item->retry_after_ms <= PK_BACKOFF_MS_MAX && until_ms > w->hold_ms)
        w->hold_ms = until_ms;
}

/* What was paid for is saved first, and logged then; what cannot be saved stays. */
static void save_over(struct pkd_worker *w)
{
    struct pk_error err = {0};

    if (!w->over.first)
        return;
    if (!save_all(w, &err)) {
        trouble(w, "save", &err);
        return;
    }
    for (struct pkd_item *item; (item = take_first(&w->over));) {
        if (item->called)
            pkd_item_log(w, item);
        note_room(w, item);
        free_item(w, item);
    }
    if (w->finish_ms == INT64_MAX)
        w->finish_ms = pk_clock_ms() + (in_hand(w) == 0 && !w->more ? 0 : FINISH_MS);
}

/* --- what is due --------------------------------------------------------------------------- */

static void renew(struct pkd_worker *w, int64_t now_ms)
{
    struct pk_error err = {0};

    w->renew_ms = now_ms + w->app->options->job_lease_ms / 3;
    if (in_hand(w) > 0 && !pk_store_job_renew(w->store, w->id, pk_clock_us() + lease_us(w), &err))
        trouble(w, "renew", &err);
}

static void tidy(struct pkd_worker *w, int64_t now_ms)
{
    struct pk_error err = {0};

    w->tidy_ms = now_ms + TIDY_MS;
    if (!pk_store_job_tidy(w->store, pk_clock_us(), &err))
        trouble(w, "tidy", &err);
}

static void finish_jobs(struct pkd_worker *w)
{
    struct pk_error err = {0};

    w->finish_ms = INT64_MAX;
    if (!pk_store_job_finish(w->store, pk_clock_us(), &err))
        trouble(w, "finish", &err);
}

static void give_back(struct pkd_worker *w)
{
    struct pk_error err = {0};

    w->leftover = !pk_store_job_give_back(w->store, w->id, pk_clock_us(), &err);
    if (w->leftover)
        trouble(w, "give_back", &err);
}

static void on_time(struct pkd_worker *w, int64_t now_ms)
{
    if (now_ms >= w->renew_ms)
        renew(w, now_ms);
    if (now_ms >= w->hold_ms && now_ms >= w->tidy_ms)
        tidy(w, now_ms);
    if (now_ms >= w->hold_ms && now_ms >= w->finish_ms)
        finish_jobs(w);
    if (now_ms >= w->hold_ms && w->leftover && in_hand(w) == 0)
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
    if (w->stop_at_ms == INT64_MAX && in_hand(w) < w->window)
        until_ms = earlier(until_ms, w->look_ms);
    if (w->hold_ms > now_ms && until_ms < w->hold_ms)
        until_ms = w->hold_ms;
    until_ms = earlier(until_ms, pk_loop_deadline_ms(w->loop));
    if (until_ms > now_ms)
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
            trouble(w, "open", &err);
    }
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
        claim_some(w, now_ms);
        pkd_worker_turn(w);
        if (w->over.first && pk_clock_ms() >= w->hold_ms)
            save_over(w);
        if (w->stop_at_ms != INT64_MAX &&
            (in_hand(w) == 0 || pk_clock_ms() > w->stop_at_ms + TROUBLE_MS))
            break;
        wait_for_work(w);
    }
    if (w->leftover)
        give_back(w);
    finish_jobs(w);
    return NULL;
}

/* --- birth and death ----------------------------------------------------------------------- */

static bool open_transport(struct pkd_worker *w, struct pk_error *err)
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
    w->meter = pkd_meter_new(w->app->meters);
    if (!w->meter)
        return pk_fail(err, PK_NO_MEMORY, "no memory for the queue's worker");
    w->app->meters = w->meter;
    return open_transport(w, err);
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
    for (struct pkd_item *item; (item = take_first(list));) {
        if (running)
            pk_loop_drop(w->loop, &item->task);
        free_item(w, item);
    }
}

void pkd_worker_free(struct pkd_worker *w)
{
    if (!w)
        return;
    if (w->started)
        (void)pthread_join(w->thread, NULL);
    drop_all(w, &w->claimed, false);
    drop_all(w, &w->running, true);
    drop_all(w, &w->over, false);
    if (w->loop)
        pk_loop_free(w->loop);
    pk_xfer_free(w->xfer);
    pk_resolver_free(w->resolver);
    pk_store_close(w->store);
    if (w->wake_fd >= 0)
        (void)close(w->wake_fd);
    free(w);
}
