/* serve.c - `pkd serve`: builds what the threads share, starts them, and ends when told to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The main thread only waits for signals. The first SIGTERM or SIGINT stops accepting and lets calls finish
 * within the grace period; the second ends the process at once. SIGHUP reads again what can change while it serves.
 */
#include "command.h"
#include "errand.h"
#include "first_key.h"
#include "log.h"
#include "spool.h"
#include "store_audit.h"
#include "store_cache.h"
#include "store_setting.h"
#include "systemd.h"
#include "thread.h"
#include "tls.h"
#include "worker.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    LOOK_MS = 1000,
    PATH_BYTES_MAX = 4096,
    FLUSH_MS = 5000,         /* at the end, for a store that is away */
    STORE_REST_MS_MIN = 100, /* between two tries of a start to reach the store; doubles */
    STORE_REST_MS_MAX = 5000,
    HAND_OVER_MS = 100, /* for handshakes that have begun when another takes over */
};

struct service {
    struct pkd_app app;
    bool keys; /* there are API keys */
    char user[PK_ACTOR_BYTES];
    struct pkd_worker *worker; /* of the queue; NULL: none */
    struct pkd_thread *threads[PKD_THREADS_MAX];
    pthread_t ids[PKD_THREADS_MAX];
    int count, started;
    int64_t stop_at_ms; /* when to stop accepting; INT64_MAX: nobody has said so */
    int64_t feed_at_ms; /* the watchdog */
    int64_t look_at_ms; /* at the writer: whether rows were lost */
    int64_t lost;       /* that were told of */
    struct pkd_sockets sockets;
    unsigned turns[PKD_THREADS_MAX]; /* that each thread had made when the watchdog was last fed */
    char key_path[PATH_BYTES_MAX];
    int signals;
};

static bool read_privacy(struct service *s, struct pk_error *err)
{
    const struct pkd_options *o = s->app.options;
    struct pk_privacy *p = &s->app.privacy;

    if (!pk_payloads_parse(pk_str_of(o->log_payloads), &p->payloads))
        return pk_fail(err, PK_BAD_REQUEST, "--log-payloads: must be full, hash or none");
    return pk_redact_parse(pk_str_of(o->log_redact), &p->redact) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "--log-redact: must be on, off or categories like EMAIL_ADDRESS,CREDIT_CARD");
}

static bool limit_cache(struct service *s, struct pk_error *err)
{
    const struct pkd_options *o = s->app.options;
    struct pk_cache_max max;

    if (!pk_cache_size_parse(pk_str_of(o->cache_max_size), &max.bytes))
        return pk_fail(err, PK_BAD_REQUEST,
                       "--cache-max-size: must be megabytes, or a number with kB, MB, GB or TB");
    if (!pk_str_int(pk_str_of(o->cache_max_entries), &max.entries) || max.entries < 1)
        return pk_fail(err, PK_BAD_REQUEST, "--cache-max-entries: must be 1 or more");
    pk_writer_cache_max(s->app.writer, max);
    return true;
}

/* What is given here holds for whoever opens the store. */
static bool store_retention(const struct pkd_options *o, struct pk_store *store,
                            struct pk_error *err)
{
    const char *const given[] = {
        [PK_KEPT_LOGS] = o->retention_logs,   [PK_KEPT_PAYLOADS] = o->retention_payloads,
        [PK_KEPT_CACHE] = o->retention_cache, [PK_KEPT_FEEDBACK] = o->retention_feedback,
        [PK_KEPT_AUDIT] = o->retention_audit,
    };
    struct pk_arena arena;
    bool ok = true;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    for (int i = 0; ok && i < PK_KEPT_COUNT; i++)
        ok = !given[i] ||
             pk_store_setting_put(store, &arena, pk_str_of(pk_kept_setting((enum pk_kept)i)),
                                  pk_str_of(given[i]), pk_clock_us(), err);
    pk_arena_free(&arena);
    return ok;
}

/* A database's master key is made by its server; without it, keys that are references can be used. */
static bool open_secrets(struct service *s, struct pk_store *store, struct pk_error *err)
{
    bool database = s->app.home.pq != NULL;

    if (!pkd_home_key_path(&s->app.home, s->app.options, s->key_path, sizeof s->key_path, err))
        return false;
    if (!database || s->app.options->master_key || access(s->key_path, F_OK) == 0) {
        s->app.secrets = pk_secrets_open(s->key_path, !database, err);
        if (!s->app.secrets)
            return false;
    }
    return !database || pkd_home_check_key(store, s->app.secrets, s->key_path, err);
}

static bool prepare_store(struct service *s, struct pk_store *store, struct pk_error *err)
{
    (void)snprintf(s->user, sizeof s->user, "%.*s", PK_FMT(pk_store_actor_name(store)));
    s->app.user = pk_str_of(s->user);
    return store_retention(s->app.options, store, err) &&
           pkd_first_key(s->app.options, store, err) && pkd_auth_needed(store, &s->keys, err) &&
           open_secrets(s, store, err);
}

static bool open_spool(struct service *s, struct pk_error *err)
{
    const struct pkd_options *o = s->app.options;
    char path[PK_SPOOL_PATH_BYTES];
    int64_t bytes_max;

    if (!pkd_home_spool_path(&s->app.home, o, path, sizeof path, err))
        return false;
    if (!pk_cache_size_parse(pk_str_of(o->spool_max_size), &bytes_max))
        return pk_fail(err, PK_BAD_REQUEST,
                       "--spool-max-size: must be megabytes, or a number with kB, MB, GB or TB");
    pk_writer_spool(s->app.writer, path, bytes_max);
    return true;
}

/* Called by the writer's thread. */
static void wake_threads(void *ctx)
{
    struct service *s = ctx;

    for (int i = 0; i < s->count; i++)
        pkd_thread_wake(s->threads[i]);
}

static bool be_durable(struct service *s, struct pk_error *err)
{
    return !s->app.options->durable || pk_writer_durable(s->app.writer, wake_threads, s, err);
}

static struct pk_store *try_store(struct service *s, struct pk_error *err)
{
    struct pk_store *store = pkd_home_open(&s->app.home, s->app.home.timeout_ms, err);

    if (store && prepare_store(s, store, err))
        return store;
    pk_store_close(store);
    pk_secrets_free(s->app.secrets);
    s->app.secrets = NULL;
    return NULL;
}

/* False: it is told to end meanwhile. */
static bool rest(const struct service *s, int64_t wait_ms)
{
    struct pollfd p = {.fd = s->signals, .events = POLLIN};
    struct signalfd_siginfo info;

    if (poll(&p, 1, (int)wait_ms) <= 0 ||
        read(s->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return true;
    return info.ssi_signo == SIGHUP; /* there is nothing to read again yet */
}

/* A database may start later than this process: it is tried until `store_wait_ms` are over. */
static struct pk_store *await_store(struct service *s, struct pk_error *err)
{
    int64_t until_ms = pk_clock_ms() + s->app.options->store_wait_ms, rest_ms = STORE_REST_MS_MIN;
    struct pk_store *store;

    while (!(store = try_store(s, err)) && err->code == PK_STORE_DOWN) {
        int64_t left_ms = until_ms - pk_clock_ms();

        if (left_ms <= 0)
            return NULL;
        pkd_warn("store_unavailable why=%s", err->msg);
        pkd_systemd_notify("STATUS=waiting for the store");
        if (!rest(s, rest_ms < left_ms ? rest_ms : left_ms)) {
            (void)pk_fail(err, PK_SHUTDOWN, "it was told to end before the store answered");
            return NULL;
        }
        rest_ms = rest_ms * 2 < STORE_REST_MS_MAX ? rest_ms * 2 : STORE_REST_MS_MAX;
    }
    return store;
}

/* A file has a log, which is copied back by somebody who may wait for the disk. */
static bool start_copier(struct service *s, struct pk_error *err)
{
    if (s->app.home.pq)
        return true;
    struct pk_store *store = pkd_home_open_later(&s->app.home, s->app.home.timeout_ms, err);
    return store && pk_writer_copier(s->app.writer, store, err);
}

/* The store, and the writer's own of it. A database is watched from here on. */
static bool open_store(struct service *s, struct pk_error *err)
{
    if (!pkd_home_find(&s->app.home, s->app.options, PKD_SERVE_MS, err))
        return false;
    s->app.store = await_store(s, err);
    if (!s->app.store || (s->app.home.pq && !pk_pq_watch(s->app.home.pq, err)))
        return false;
    struct pk_store *store = pkd_home_open_later(&s->app.home, s->app.home.timeout_ms, err);
    if (store)
        s->app.writer = pk_writer_new(store, err);
    return s->app.writer && start_copier(s, err) && open_spool(s, err);
}

static bool open_shared(struct service *s, struct pk_error *err)
{
    if (!read_privacy(s, err) || !open_store(s, err) || !limit_cache(s, err) ||
        !pkd_otlp_open(&s->app.otlp, err))
        return false;
    s->app.flights = pkd_flights_new(s->app.writer);
    s->app.similar = pkd_similar_new();
    s->app.clerks = pkd_clerks_new(&s->app, PKD_CLERKS, PKD_PATIENT_MS);
    if (s->app.home.pq)
        s->app.runners = pkd_clerks_new(&s->app, PKD_RUNNERS, s->app.home.timeout_ms);
    s->app.ended_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!s->app.flights || !s->app.similar || !s->app.clerks ||
        (s->app.home.pq && !s->app.runners) || s->app.ended_fd < 0)
        return pk_fail(err, PK_NO_MEMORY, "no memory to start");
    return true;
}

static bool open_tls(struct service *s, struct pk_error *err)
{
    const struct pkd_options *o = s->app.options;

    if (o->upstream_ca && access(o->upstream_ca, R_OK) != 0)
        return pk_fail(err, PK_BAD_CONFIG, "--upstream-ca: %.150s: %s", o->upstream_ca,
                       strerror(errno));
    if (!o->tls_cert && !o->tls_key)
        return true;
    if (!o->tls_cert || !o->tls_key)
        return pk_fail(err, PK_BAD_CONFIG, "--tls-cert and --tls-key need each other");
    s->app.tls = pkd_tls_new(o->tls_cert, o->tls_key, err);
    return s->app.tls != NULL;
}

static bool open_threads(struct service *s, struct pk_error *err)
{
    struct pkd_sockets *all = &s->sockets;

    if (!open_tls(s, err) || !pkd_sockets_open(all, s->app.options, s->keys, err))
        return false;
    s->app.beyond_loopback = all->beyond_loopback;
    while (all->taken < s->count) {
        int i = all->taken++;

        s->threads[i] = pkd_thread_new(&s->app, all->at[i], all->count, err);
        if (!s->threads[i])
            return false;
    }
    return true;
}

static bool start_threads(struct service *s, struct pk_error *err)
{
    atomic_store(&s->app.running, s->count);
    for (; s->started < s->count; s->started++)
        if (pthread_create(&s->ids[s->started], NULL, pkd_thread_run, s->threads[s->started]) != 0)
            return pk_fail(err, PK_NO_MEMORY, "cannot start thread %d", s->started);
    return true;
}

static void stop(struct service *s)
{
    atomic_store(&s->app.stopping, true);
    for (int i = 0; i < s->started; i++)
        pkd_thread_wake(s->threads[i]);
    pkd_worker_wake(s->worker);
}

static void reload(struct service *s)
{
    struct pk_error err = {0};

    pkd_systemd_reloading();
    if (s->app.tls && !pkd_tls_reload(s->app.tls, &err))
        pkd_warn("not_reloaded why=%s", err.msg);
    else
        pkd_info("reloaded tls=%s", s->app.tls ? s->app.options->tls_cert : "");
    pkd_systemd_notify("READY=1");
}

/* The first SIGTERM or SIGINT: those who connect from now on are another's, if there is one. */
static void begin_to_stop(struct service *s, unsigned signal)
{
    pkd_systemd_notify("STOPPING=1");
    pkd_info("stopping signal=%u", signal);
    pkd_sockets_hand_over(&s->sockets);
    s->stop_at_ms = pk_clock_ms() + HAND_OVER_MS;
}

static void on_signal(struct service *s, int signals)
{
    struct signalfd_siginfo info;

    if (read(signals, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (info.ssi_signo == SIGHUP) {
        reload(s);
    } else if (s->stop_at_ms == INT64_MAX) {
        begin_to_stop(s, info.ssi_signo);
    } else {
        pkd_warn("stopped signal=%u", info.ssi_signo);
        _exit(128 + (int)info.ssi_signo);
    }
}

/* Tells the service manager that all is well: only when every thread has made a turn since the last time. */
static void feed_watchdog(struct service *s)
{
    bool alive = true;

    for (int i = 0; i < s->started; i++) {
        unsigned turns = atomic_load(&s->threads[i]->turns);

        alive = alive && turns != s->turns[i];
        s->turns[i] = turns;
        pkd_thread_wake(s->threads[i]);
    }
    if (alive)
        pkd_systemd_notify("WATCHDOG=1");
}

static void tell_of_losses(struct service *s)
{
    struct pk_writer_stats stats = pk_writer_stats(s->app.writer);

    if (stats.dropped > s->lost)
        pkd_warn("entry_dropped count=%lld why=%s", (long long)(stats.dropped - s->lost),
                 stats.last_error[0] ? stats.last_error : "the writer is full");
    s->lost = stats.dropped;
}

/* What is due at this time; when to look again. */
static int64_t on_time(struct service *s, int64_t now_ms, int64_t watchdog_ms)
{
    if (now_ms >= s->stop_at_ms && !atomic_load(&s->app.stopping))
        stop(s);
    if (watchdog_ms > 0 && now_ms >= s->feed_at_ms) {
        feed_watchdog(s);
        s->feed_at_ms = now_ms + watchdog_ms;
    }
    if (now_ms >= s->look_at_ms) {
        tell_of_losses(s);
        s->look_at_ms = now_ms + LOOK_MS;
    }
    int64_t next_ms = atomic_load(&s->app.stopping) ? INT64_MAX : s->stop_at_ms;
    if (s->look_at_ms < next_ms)
        next_ms = s->look_at_ms;
    return watchdog_ms > 0 && s->feed_at_ms < next_ms ? s->feed_at_ms : next_ms;
}

/* Until every thread has ended. */
static void wait_for_end(struct service *s, int signals)
{
    const int64_t watchdog_ms = pkd_systemd_watchdog_ms();
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN},
                           {.fd = s->app.ended_fd, .events = POLLIN}};
    uint64_t count;

    while (atomic_load(&s->app.running) > 0) {
        int64_t now_ms = pk_clock_ms(), next_ms = on_time(s, now_ms, watchdog_ms);
        int wait_ms = next_ms == INT64_MAX ? -1 : (int)(next_ms - now_ms);

        if (poll(fds, PK_COUNT(fds), wait_ms) <= 0)
            continue;
        if (fds[1].revents && read(s->app.ended_fd, &count, sizeof count) < 0)
            continue;
        if (fds[0].revents)
            on_signal(s, signals);
    }
}

/* Before any thread is there: all of them inherit the mask. */
static int take_signals(void)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a full file is an error like others */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* A call takes two descriptors; the soft limit is often 1024. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Blocks come and go with every call: giving them to the kernel and asking for them again costs more than
 * the call. What a burst leaves behind stays below these figures. */
static void tune_allocator(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 16 << 20);
    (void)mallopt(M_TOP_PAD, 256 << 10);
}

static void close_service(struct service *s)
{
    struct pk_writer_stats stats = {0};

    for (int i = 0; i < s->started; i++)
        (void)pthread_join(s->ids[i], NULL);
    pkd_worker_free(s->worker);
    pkd_clerks_free(s->app.clerks);
    pkd_clerks_free(s->app.runners);
    s->app.runners = NULL;
    for (int i = 0; i < s->count; i++)
        pkd_thread_free(s->threads[i]);
    if (s->app.writer) {
        (void)pk_writer_flush(s->app.writer, FLUSH_MS); /* the spool keeps the rest */
        stats = pk_writer_stats(s->app.writer);
    }
    pkd_otlp_free(s->app.otlp);
    pkd_meters_free(s->app.meters);
    pkd_flights_free(s->app.flights);
    pkd_similar_free(s->app.similar);
    pk_writer_free(s->app.writer);
    pk_store_close(s->app.store);
    pk_secrets_free(s->app.secrets);
    pkd_tls_free(s->app.tls);
    pkd_home_free(&s->app.home);
    pkd_sockets_close(&s->sockets);
    pkd_info("stopped entries_written=%lld entries_dropped=%lld spool_bytes=%lld",
             (long long)stats.written, (long long)stats.dropped, (long long)stats.spool_bytes);
}

int pkd_serve(const struct pkd_options *o)
{
    struct service *s = calloc(1, sizeof *s);
    struct pk_error err = {0};
    int signals = take_signals();

    pkd_log_set(o->verbose ? "debug" : o->log_level, strcmp(o->log_format, "json") == 0);
    if (!s || signals < 0 || o->word_count > 0) {
        pkd_error("cannot_start why=%s",
                  o->word_count > 0 ? "serve takes no arguments" : strerror(errno));
        free(s);
        return 2;
    }
    raise_descriptor_limit();
    tune_allocator();
    s->app.options = o;
    s->app.started_us = pk_clock_us();
    s->count = (int)o->threads;
    s->stop_at_ms = INT64_MAX;
    s->signals = signals;
    bool good = open_shared(s, &err) && pkd_worker_new(&s->app, &s->worker, &err) &&
                open_threads(s, &err) && be_durable(s, &err) && pkd_worker_start(s->worker, &err) &&
                start_threads(s, &err);
    if (good) {
        pkd_systemd_notify("READY=1");
        pkd_info("ready store=%s pid=%d", s->app.home.name, (int)getpid());
        wait_for_end(s, signals);
    } else {
        pkd_error("cannot_start why=%s", err.msg);
        stop(s);
    }
    close_service(s);
    free(s);
    return good ? 0 : 1;
}
