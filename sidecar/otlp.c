/* otlp.c - see otlp.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "otlp.h"

#include "json.h"
#include "log.h"
#include "otel.h"
#include "url.h"
#include "xfer.h"
#include "xfer_post.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    QUEUE_BYTES_MAX = 16 << 20,
    BATCH_MAX = 256,      /* calls a request */
    BATCH_WAIT_MS = 1000, /* so long a batch gathers */
    TRIES_MAX = 4,
    RETRY_MS = 1000, /* before the second try; twice as long before each further one */
    TIMEOUT_MS = 10000,
    LAST_MS = 2000, /* for what is left at the end */
    URL_BYTES_MAX = 2048,
    HEADERS_BYTES_MAX = 8 << 10,
    BODY_BYTES_MAX = 64 << 20,
};

/* A record as bytes. */
struct entry {
    struct entry *next;
    size_t len;
    char bytes[];
};

struct pkd_otlp {
    struct pk_poster *poster;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct entry *first, **last;
    size_t bytes;
    int count;
    bool stopping;
    int64_t stop_ms, timeout_ms; /* stop_ms: when to give up */
    struct pkd_otlp_stats stats;
    bool warned; /* since the last batch that was taken */
    char service[256];
};

/* --- the queue ------------------------------------------------------------------------------ */

static struct entry *encoded(struct pk_arena *arena, const struct pk_record *r)
{
    struct pk_record *slim = pk_alloc(arena, sizeof *slim);
    struct pk_buf out = pk_buf_in(arena, QUEUE_BYTES_MAX);

    if (!slim)
        return NULL;
    *slim = *r;
    slim->request = slim->response = slim->metadata = PK_NONE;
    pk_record_encode(slim, &out);
    struct entry *e = out.failed ? NULL : malloc(sizeof *e + out.len);
    if (!e)
        return NULL;
    *e = (struct entry){.len = out.len};
    memcpy(e->bytes, out.at, out.len);
    return e;
}

void pkd_otlp_add(struct pkd_otlp *o, struct pk_arena *arena, const struct pk_record *r)
{
    if (!o)
        return;
    struct entry *e = encoded(arena, r);

    (void)pthread_mutex_lock(&o->lock);
    bool fits = e && o->bytes + e->len <= QUEUE_BYTES_MAX;
    if (fits) {
        *o->last = e;
        o->last = &e->next;
        o->bytes += e->len;
        o->count++;
    } else {
        o->stats.dropped++;
    }
    if (fits && (o->count == 1 || o->count == BATCH_MAX))
        (void)pthread_cond_signal(&o->moved);
    (void)pthread_mutex_unlock(&o->lock);
    if (!fits)
        free(e);
}

static void wait_ms(struct pkd_otlp *o, int64_t ms)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_cond_timedwait(&o->moved, &o->lock, &until);
}

/* The next batch, taken out; NULL: it is over. */
static struct entry *take_batch(struct pkd_otlp *o)
{
    struct entry *batch, **end = &batch;
    int64_t since_ms;

    (void)pthread_mutex_lock(&o->lock);
    while (o->count == 0 && !o->stopping)
        (void)pthread_cond_wait(&o->moved, &o->lock);
    since_ms = pk_clock_ms();
    while (o->count < BATCH_MAX && !o->stopping && pk_clock_ms() < since_ms + BATCH_WAIT_MS)
        wait_ms(o, since_ms + BATCH_WAIT_MS - pk_clock_ms());
    batch = o->first;
    for (int i = 0; i < BATCH_MAX && *end; i++) {
        o->bytes -= (*end)->len;
        o->count--;
        end = &(*end)->next;
    }
    o->first = *end;
    *end = NULL;
    if (!o->first)
        o->last = &o->first;
    (void)pthread_mutex_unlock(&o->lock);
    return batch;
}

/* --- sending -------------------------------------------------------------------------------- */

/* How many calls are in the body. */
static int print_batch(const struct pkd_otlp *o, const struct entry *batch, struct pk_buf *out)
{
    struct pk_record_room *room = pk_alloc(out->arena, sizeof *room);
    struct pk_record r;
    int count = 0;

    pk_buf_adds(
        out,
        "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
        "{\"stringValue\":");
    pk_json_quote(out, pk_str_of(o->service));
    pk_buf_adds(out, "}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"pk\",\"version\":\"" PK_VERSION
                     "\"},\"spans\":[");
    for (; room && batch; batch = batch->next) {
        if (!pk_record_decode((pk_str){batch->bytes, batch->len}, &r, room))
            continue;
        if (count++)
            pk_buf_addc(out, ',');
        pk_otel_print(out, &r);
    }
    pk_buf_adds(out, "]}]}]}");
    return count;
}

static bool may_retry(int status)
{
    return status == 0 || status == 429 || status == 502 || status == 503 || status == 504;
}

/* Waits before another try; false when there is no time for it. */
static bool pause_before(struct pkd_otlp *o, int tries)
{
    int64_t until_ms = pk_clock_ms() + ((int64_t)RETRY_MS << (tries - 1));

    (void)pthread_mutex_lock(&o->lock);
    while (!o->stopping && pk_clock_ms() < until_ms)
        wait_ms(o, until_ms - pk_clock_ms());
    bool stopping = o->stopping;
    (void)pthread_mutex_unlock(&o->lock);
    return !stopping;
}

static int64_t time_left(struct pkd_otlp *o)
{
    (void)pthread_mutex_lock(&o->lock);
    int64_t left = o->stopping ? o->stop_ms - pk_clock_ms() : o->timeout_ms;
    (void)pthread_mutex_unlock(&o->lock);
    return left < o->timeout_ms ? left : o->timeout_ms;
}

static bool post(struct pkd_otlp *o, pk_str body, struct pk_error *err)
{
    for (int tries = 1;; tries++) {
        int64_t left = time_left(o);
        int status = 0;

        if (left <= 0)
            return pk_fail(err, PK_TIMEOUT, "no time left");
        if (pk_poster_send(o->poster, body, left, &status, err) && status / 100 == 2)
            return true;
        if (status)
            (void)pk_fail(err, PK_UPSTREAM, "HTTP %d", status);
        if (!may_retry(status) || tries == TRIES_MAX || !pause_before(o, tries))
            return false;
    }
}

static void send_batch(struct pkd_otlp *o, struct pk_arena *arena, const struct entry *batch)
{
    struct pk_buf body = pk_buf_in(arena, BODY_BYTES_MAX);
    struct pk_error err = {0};
    int count = print_batch(o, batch, &body);
    bool ok = !body.failed && post(o, pk_buf_str(&body), &err);

    if (!ok && !o->warned)
        pkd_warn("otlp_dropped calls=%d why=%s", count, body.failed ? "too large" : err.msg);
    o->warned = !ok;
    (void)pthread_mutex_lock(&o->lock);
    *(ok ? &o->stats.sent : &o->stats.dropped) += count;
    (void)pthread_mutex_unlock(&o->lock);
}

static void *run(void *arg)
{
    struct pkd_otlp *o = arg;
    struct entry *batch;
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), 4 * (size_t)BODY_BYTES_MAX);
    while ((batch = take_batch(o)) != NULL) {
        send_batch(o, &arena, batch);
        for (struct entry *next; batch; batch = next) {
            next = batch->next;
            free(batch);
        }
        pk_arena_free(&arena);
    }
    pk_arena_free(&arena);
    return NULL;
}

/* --- settings ------------------------------------------------------------------------------- */

static const char *set(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

static bool read_endpoint(char url[URL_BYTES_MAX], struct pk_error *err)
{
    const char *whole = set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
               *base = set("OTEL_EXPORTER_OTLP_ENDPOINT");
    const char *name = whole ? "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" : "OTEL_EXPORTER_OTLP_ENDPOINT";
    pk_str text = pk_str_of(whole ? whole : base);
    struct pk_url parsed;

    while (!whole && pk_str_ends(text, "/"))
        text = pk_str_sub(text, 0, text.len - 1);
    int len = snprintf(url, URL_BYTES_MAX, "%.*s%s", PK_FMT(text), whole ? "" : "/v1/traces");
    if (len < 0 || len >= URL_BYTES_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "%s: too long", name);
    return pk_url_parse(pk_str_of(url), name, &parsed, err);
}

/* "key=value,key2=value%202" as header lines. */
static bool read_headers(const char *text, char out[HEADERS_BYTES_MAX], struct pk_error *err)
{
    bool value = false;
    size_t len = 0;

    for (; text && *text && len < HEADERS_BYTES_MAX - 4; text++) {
        if (*text == ',') {
            out[len++] = '\n';
            value = false;
        } else if (*text == '=' && !value) {
            out[len++] = ':';
            out[len++] = ' ';
            value = true;
        } else if (*text != ' ' || value) {
            text += pk_url_byte((pk_str){text, strnlen(text, 3)}, 0, &out[len++]) - 1;
            if ((unsigned char)out[len - 1] < ' ')
                return pk_fail(err, PK_BAD_REQUEST,
                               "OTEL_EXPORTER_OTLP_HEADERS: has a byte that no header may have");
        }
    }
    out[len] = 0;
    return !text || !*text || pk_fail(err, PK_BAD_REQUEST, "OTEL_EXPORTER_OTLP_HEADERS: too long");
}

static bool read_timeout(struct pkd_otlp *o, struct pk_error *err)
{
    pk_str text = pk_str_of(set("OTEL_EXPORTER_OTLP_TIMEOUT"));

    o->timeout_ms = TIMEOUT_MS;
    return text.len == 0 ||
           (pk_str_int(text, &o->timeout_ms) && o->timeout_ms > 0 && o->timeout_ms <= 600000) ||
           pk_fail(err, PK_BAD_REQUEST, "OTEL_EXPORTER_OTLP_TIMEOUT: must be milliseconds");
}

static bool read_settings(struct pkd_otlp *o, struct pk_error *err)
{
    const char *protocol = set("OTEL_EXPORTER_OTLP_PROTOCOL"), *service = set("OTEL_SERVICE_NAME");
    const char *own = set("OTEL_EXPORTER_OTLP_TRACES_HEADERS");
    char url[URL_BYTES_MAX], headers[HEADERS_BYTES_MAX];

    if (protocol && strncmp(protocol, "http/", 5) != 0)
        return pk_fail(err, PK_BAD_REQUEST, "OTEL_EXPORTER_OTLP_PROTOCOL: must be http/json");
    if (!read_endpoint(url, err) || !read_timeout(o, err) ||
        !read_headers(own ? own : set("OTEL_EXPORTER_OTLP_HEADERS"), headers, err))
        return false;
    (void)snprintf(o->service, sizeof o->service, "%s", service ? service : "pkd");
    o->poster = pk_poster_new(url, headers, err);
    return o->poster != NULL;
}

static void init_lock(struct pkd_otlp *o)
{
    pthread_condattr_t monotonic;

    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)pthread_cond_init(&o->moved, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

static void destroy(struct pkd_otlp *o)
{
    pk_poster_free(o->poster);
    (void)pthread_cond_destroy(&o->moved);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}

bool pkd_otlp_open(struct pkd_otlp **out, struct pk_error *err)
{
    const char *disabled = set("OTEL_SDK_DISABLED");

    *out = NULL;
    if ((disabled && strcmp(disabled, "true") == 0) ||
        (!set("OTEL_EXPORTER_OTLP_ENDPOINT") && !set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")))
        return true;
    struct pkd_otlp *o = calloc(1, sizeof *o);
    if (!o)
        return pk_fail(err, PK_NO_MEMORY, "otlp: out of memory");
    o->last = &o->first;
    init_lock(o);
    bool ok = read_settings(o, err);
    if (ok && pthread_create(&o->thread, NULL, run, o) != 0)
        ok = pk_fail(err, PK_NO_MEMORY, "otlp: cannot start a thread");
    if (ok)
        *out = o;
    else
        destroy(o);
    return ok;
}

void pkd_otlp_free(struct pkd_otlp *o)
{
    if (!o)
        return;
    (void)pthread_mutex_lock(&o->lock);
    o->stopping = true;
    o->stop_ms = pk_clock_ms() + LAST_MS;
    (void)pthread_cond_signal(&o->moved);
    (void)pthread_mutex_unlock(&o->lock);
    (void)pthread_join(o->thread, NULL);
    destroy(o);
}

struct pkd_otlp_stats pkd_otlp_stats(struct pkd_otlp *o)
{
    struct pkd_otlp_stats s = {0};

    if (!o)
        return s;
    (void)pthread_mutex_lock(&o->lock);
    s = o->stats;
    (void)pthread_mutex_unlock(&o->lock);
    return s;
}
