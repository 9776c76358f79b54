/* xfer.c - what one request costs the transport, in microseconds of CPU.
 *
 *     build/bench-xfer [CONCURRENCY [REQUESTS]]
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The server is another process (loopback.h), so that the CPU time of this one is the client's alone.
 * Beside it, in the same run: bare libcurl, a new easy handle a request, over multi_perform.
 */
#include "xfer.h"
#include "bench.h"
#include "loopback.h"

#include <curl/curl.h>
#include <sys/resource.h>

enum { WIDE_MAX = 1024 };

static struct loopback server;
static char url[64];
static const char body[500];

static double cpu_us(void)
{
    struct rusage r;

    (void)getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static struct pk_transfer *start(struct pk_xfer *x, void *owner)
{
    static const struct pk_provider provider = {
        .name = "bench", .base_url = "", .key_header = "authorization: Bearer "};
    static struct pk_target target = {.provider = &provider};
    struct pk_exchange ex = {.url = pk_str_of(url),
                             .headers = PK_STR("accept: application/json\n"),
                             .body = {body, sizeof body},
                             .target = &target};
    struct pk_error err;

    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-0123456789")};
    struct pk_transfer *t = pk_xfer_start(x, &ex, owner, &err);
    if (!t)
        abort();
    return t;
}

/* Takes what there is; true when the transfer is over. */
static bool over(struct pk_transfer *t)
{
    struct pk_event ev;

    while (pk_transfer_event(t, &ev)) {
        if (ev.kind == PK_EV_FAIL)
            pk_bug(__FILE__, __LINE__, ev.error.msg);
        if (ev.kind == PK_EV_END)
            return true;
    }
    return false;
}

static void with_xfer(int wide, int total)
{
    struct pk_xfer_options o = {.connections_max = wide};
    struct pk_error err;
    struct pk_xfer *x = pk_xfer_new(&o, &err);
    struct pk_transfer *t[WIDE_MAX], **slot;
    int started = wide, ended = 0;

    for (int i = 0; i < wide; i++)
        t[i] = start(x, &t[i]);
    while (ended < total) {
        int64_t deadline = pk_xfer_deadline_ms(x), now = pk_clock_ms();
        struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};

        if (deadline > now)
            (void)poll(&p, 1, deadline == INT64_MAX ? -1 : (int)(deadline - now));
        pk_xfer_pump(x);
        while ((slot = pk_xfer_next_ready(x)) != NULL) {
            if (!over(*slot))
                continue;
            pk_transfer_free(*slot);
            ended++;
            if (started < total && ++started)
                *slot = start(x, slot);
        }
    }
    pk_xfer_free(x);
}

static size_t ignore(char *bytes, size_t size, size_t count, void *self)
{
    (void)bytes;
    (void)self;
    return size * count;
}

static void add_bare(CURLM *m, struct curl_slist *headers)
{
    CURL *e = curl_easy_init();

    curl_easy_setopt(e, CURLOPT_URL, url);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)sizeof body);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore);
    (void)curl_multi_add_handle(m, e);
}

/* After pk_xfer_about(), which opens the library. */
static void with_bare_curl(int wide, int total)
{
    struct curl_slist *headers = curl_slist_append(NULL, "authorization: Bearer sk-0123456789");
    CURLM *m = curl_multi_init();
    int started = wide, ended = 0, running, left;

    curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)wide);
    for (int i = 0; i < wide; i++)
        add_bare(m, headers);
    while (ended < total) {
        (void)curl_multi_perform(m, &running);
        for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left)) != NULL;) {
            CURL *e = msg->easy_handle;

            (void)curl_multi_remove_handle(m, e);
            curl_easy_cleanup(e);
            ended++;
            if (started < total && ++started)
                add_bare(m, headers);
        }
        if (ended < total)
            (void)curl_multi_poll(m, NULL, 0, 1000, NULL);
    }
    (void)curl_multi_cleanup(m);
    curl_slist_free_all(headers);
}

static void measure(const char *name, void (*run)(int, int), int wide, int total)
{
    run(wide, wide * 4); /* warm */
    double cpu = cpu_us();
    long long began = loopback_us();

    run(wide, total);
    double us = (double)(loopback_us() - began);
    (void)printf("%-28s %8.1f us CPU a request, %8.0f requests/s\n", name, (cpu_us() - cpu) / total,
                 total / us * 1e6);
}

int main(int argc, char **argv)
{
    int wide = argc > 1 ? atoi(argv[1]) : 64, total = argc > 2 ? atoi(argv[2]) : 20000;

    if (wide < 1 || wide > WIDE_MAX || total < wide)
        return 2;
    server = loopback_start();
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/ok", server.port);
    (void)printf("%d requests, %d at a time, libcurl %s\n", total, wide, pk_xfer_about().version);
    measure("pk_xfer", with_xfer, wide, total);
    measure("bare libcurl, multi_perform", with_bare_curl, wide, total);
    loopback_stop(&server);
    return 0;
}
