/* xfer_test.c - the transport against a server on loopback that can misbehave.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "loopback.h"
#include "test.h"
#include "tls_server.h"
#include "xfer.h"
#include "xfer_address.h"

#include <curl/curlver.h>
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <netdb.h>

static struct loopback server;
static struct pk_xfer *x;
static struct pk_error err;
static struct pk_provider provider = {
    .name = "mock", .base_url = "", .key_header = "authorization: Bearer "};
static struct pk_target target = {.provider = &provider};

/* What came of one transfer. */
struct outcome {
    struct pk_transfer *t;
    int heads, bodies, status;
    char head[2048], body[8192]; /* as much as fits */
    size_t body_len;
    enum pk_event_kind last; /* END or FAIL when over */
    bool over;
    struct pk_error error;
};

static const char *url_to(const char *host, const char *path)
{
    static char url[2048];

    (void)snprintf(url, sizeof url, "http://%s:%d%s", host, server.port, path);
    return url;
}

static struct pk_transfer *start(const char *url, const char *headers, const char *body,
                                 void *owner)
{
    struct pk_exchange ex = {.url = pk_str_of(url),
                             .headers = pk_str_of(headers),
                             .body = pk_str_of(body),
                             .target = &target};

    err = (struct pk_error){0};
    return pk_xfer_start(x, &ex, owner, &err);
}

/* Waits as a host would, at most until `until_ms`. */
static void wait_for(int64_t until_ms)
{
    int64_t deadline = pk_xfer_deadline_ms(x), now = pk_clock_ms();
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};

    if (deadline > until_ms)
        deadline = until_ms;
    if (deadline > now)
        (void)poll(&p, 1, (int)(deadline - now));
    pk_xfer_pump(x);
}

static void add(char *to, size_t size, size_t at, pk_str bytes)
{
    if (at >= size - 1)
        return;
    if (bytes.len > size - 1 - at)
        bytes.len = size - 1 - at;
    memcpy(to + at, bytes.at, bytes.len);
    to[at + bytes.len] = 0;
}

static void note(struct outcome *o, const struct pk_event *ev)
{
    EXPECT(!o->over);
    o->last = ev->kind;
    if (ev->kind == PK_EV_HEAD) {
        o->heads++;
        o->status = ev->status;
        add(o->head, sizeof o->head, 0, ev->headers);
    } else if (ev->kind == PK_EV_BODY) {
        EXPECT(o->heads == 1 && ev->bytes.len > 0);
        o->bodies++;
        add(o->body, sizeof o->body, o->body_len, ev->bytes);
        o->body_len += ev->bytes.len;
    } else {
        o->over = true;
        o->error = ev->error;
    }
}

static void drain(struct outcome *o)
{
    struct pk_event ev;

    while (!o->over && pk_transfer_event(o->t, &ev))
        note(o, &ev);
}

/* Runs one transfer to its end; `ms` is how long that may take. */
static void finish(struct outcome *o, int ms)
{
    int64_t until = pk_clock_ms() + ms;

    drain(o);
    while (!o->over && pk_clock_ms() < until) {
        wait_for(until);
        while (pk_xfer_next_ready(x))
            continue;
        drain(o);
    }
    EXPECT(o->over);
    pk_transfer_free(o->t);
    o->t = NULL;
}

static struct outcome get(const char *url)
{
    struct outcome o = {0};

    o.t = start(url, "accept: application/json\n", "{}", NULL);
    if (o.t)
        finish(&o, 30000);
    else
        o.error = err;
    return o;
}

static bool failed(const struct outcome *o, enum pk_code code, const char *words)
{
    bool as_expected =
        (!o->over || o->last == PK_EV_FAIL) && o->error.code == code && strstr(o->error.msg, words);

    if (!as_expected)
        printf("#   %d: %s\n", (int)o->error.code, o->error.msg);
    return as_expected;
}

static void renew(const char *allowed)
{
    struct pk_xfer_options options = {
        .allowed_hosts = allowed, .connections_max = 256, .connect_ms = 2000};

    pk_xfer_free(x);
    x = pk_xfer_new(&options, &err);
    if (!x)
        abort();
}

static int descriptors(void)
{
    DIR *d = opendir("/proc/self/fd");
    int count = -3; /* ".", ".." and the folder itself */

    while (readdir(d))
        count++;
    (void)closedir(d);
    return count;
}

static void an_answer_comes_as_head_body_and_end(void)
{
    struct outcome o = get(url_to("127.0.0.1", "/ok"));

    EXPECT(o.last == PK_EV_END && o.status == 200 && o.heads == 1);
    EXPECT(strcmp(o.body, "{\"ok\":true}") == 0);
    EXPECT(strstr(o.head, "X-Request-Id: r1\r\n") && !strstr(o.head, "HTTP/"));
    EXPECT(pk_xfer_active(x) == 0);
}

static void the_request_is_what_the_exchange_says(void)
{
    struct outcome o = {0};

    o.t = start(url_to("127.0.0.1", "/echo/v1/x?y=%20z"),
                "content-type: application/json\nx-one: 1\nx-empty:\n", "{\"a\":1}", NULL);
    EXPECT(o.t);
    finish(&o, 30000);
    EXPECT(strncmp(o.body, "POST /echo/v1/x?y=%20z HTTP/1.1\r\n", 33) == 0);
    EXPECT(strstr(o.body, "\r\nx-one: 1\r\n") &&
           strstr(o.body, "\r\ncontent-type: application/json\r\n"));
    EXPECT(strstr(o.body, "\r\nContent-Length: 7\r\n") && strstr(o.body, "\r\n\r\n{\"a\":1}"));
    EXPECT(strstr(o.body, "\r\nUser-Agent: pk/"));
    EXPECT(!strcasestr(o.body, "expect:") && !strcasestr(o.body, "accept-encoding"));
    EXPECT(!strcasestr(o.body, "x-empty") && !strcasestr(o.body, "authorization"));
}

static void a_large_body_is_sent_whole_without_expect(void)
{
    enum { LEN = 200 << 10 };
    char *body = malloc(LEN + 1);
    struct outcome o = {0};

    memset(body, 'x', LEN);
    body[LEN] = 0;
    o.t = start(url_to("127.0.0.1", "/echo"), "", body, NULL);
    EXPECT(o.t);
    finish(&o, 30000);
    EXPECT(o.last == PK_EV_END && o.body_len > LEN && strstr(o.body, "Content-Length: 204800"));
    EXPECT(!strcasestr(o.body, "expect:"));
    free(body);
}

static void a_get_has_no_body_and_the_next_post_on_its_handle_does(void)
{
    const char *url = url_to("127.0.0.1", "/echo");
    struct pk_exchange ex = {.method = PK_GET, .url = pk_str_of(url), .target = &target};
    struct outcome o = {.t = pk_xfer_start(x, &ex, NULL, &err)};

    EXPECT(o.t);
    finish(&o, 30000);
    EXPECT(o.last == PK_EV_END && strncmp(o.body, "GET /echo HTTP/1.1\r\n", 20) == 0);
    EXPECT(!strcasestr(o.body, "content-length"));
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(o.last == PK_EV_END && strstr(o.body, "POST /echo ") == o.body);
}

static void framing_headers_are_not_taken_from_the_exchange(void)
{
    struct outcome o = {0};

    o.t = start(url_to("127.0.0.1", "/echo"),
                "Host: evil.example\ncontent-length: 9\ntransfer-encoding: chunked\n"
                "Accept-Encoding: gzip\nconnection: close\ncookie: a=b\nx-ok: 1\n",
                "{}", NULL);
    EXPECT(o.t);
    finish(&o, 30000);
    EXPECT(o.last == PK_EV_END && strstr(o.body, "\r\nx-ok: 1\r\n"));
    EXPECT(!strstr(o.body, "evil.example") && !strstr(o.body, "chunked") &&
           !strstr(o.body, "gzip"));
    EXPECT(!strstr(o.body, "close") && !strstr(o.body, "a=b") &&
           strstr(o.body, "Content-Length: 2\r\n"));
}

static void a_header_cannot_smuggle_another(void)
{
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "x-a: b\rX-Evil: 1\n", "{}", NULL));
    EXPECT(err.code == PK_BAD_REQUEST);
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "x a: b\n", "{}", NULL));
    EXPECT(err.code == PK_BAD_REQUEST && pk_xfer_active(x) == 0);
}

static void connections_are_used_again(void)
{
    renew("");
    long before = server.seen->accepted;

    for (int i = 0; i < 50; i++)
        EXPECT(get(url_to("127.0.0.1", i % 2 ? "/ok" : "/echo")).last == PK_EV_END);
    EXPECT(server.seen->accepted == before + 1);
    EXPECT(get(url_to("127.0.0.1", "/last")).last == PK_EV_END); /* Connection: close */
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    EXPECT(server.seen->accepted == before + 2);
}

static void a_pooled_handle_goes_where_it_is_sent_next(void)
{
    char first[2048];

    renew("");
    (void)snprintf(first, sizeof first, "%s", url_to("127.0.0.1", "/echo/one"));
    for (int i = 0; i < 4; i++) {
        struct outcome o = get(i % 2 ? first : url_to("localhost", "/echo/two"));

        EXPECT(strstr(o.body, i % 2 ? "POST /echo/one " : "POST /echo/two "));
        EXPECT(strstr(o.body, i % 2 ? "Host: 127.0.0.1" : "Host: localhost"));
    }
}

/* More URLs than are remembered, some of them while others are in use. */
static void any_number_of_urls_can_be_called(void)
{
    struct pk_transfer *t[100];
    char path[32];

    for (int i = 0; i < 200; i++) {
        (void)snprintf(path, sizeof path, "/echo/%d", i);
        struct outcome o = get(url_to("127.0.0.1", path));
        EXPECT(o.last == PK_EV_END && strncmp(o.body + 5, path, strlen(path)) == 0);
    }
    for (int i = 0; i < 100; i++) {
        (void)snprintf(path, sizeof path, "/wait/%d", i);
        t[i] = start(url_to("127.0.0.1", path), "", "{}", NULL);
        EXPECT(t[i]);
    }
    wait_for(pk_clock_ms() + 10);
    pk_xfer_allow(x, "");
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    for (int i = 0; i < 100; i++)
        pk_transfer_free(t[i]);
}

static void a_connection_that_the_server_closed_is_replaced(void)
{
    for (int i = 0; i < 300; i++) {
        struct outcome o = get(url_to("127.0.0.1", "/fickle"));

        if (!EXPECT(o.last == PK_EV_END))
            printf("#   %s\n", o.error.msg);
        if (i % 8 == 0)
            loopback_pause(1);
    }
}

/* An idle connection that the server closes must not keep waking the host. */
static void the_fd_is_quiet_when_nothing_happens(void)
{
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};
    int wakes = 0;

    EXPECT(get(url_to("127.0.0.1", "/fickle")).last == PK_EV_END);
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    for (int64_t until = pk_clock_ms() + 100; pk_clock_ms() < until; wakes++) {
        (void)poll(&p, 1, 20);
        pk_xfer_pump(x);
    }
    EXPECT(wakes <= 8);
}

static void a_stream_arrives_in_pieces(void)
{
    struct outcome o = get(url_to("127.0.0.1", "/chunks"));

    EXPECT(o.last == PK_EV_END && o.bodies >= 3 && o.body_len == 45);
    EXPECT(strstr(o.head, "text/event-stream") && !strstr(o.head, "X-Sum: 5"));
}

/* While one answer waits unread its connection fills up and nothing more is taken from it. */
static void an_unread_answer_holds_a_bounded_amount(void)
{
    struct outcome slow = {0}, other = {0};
    struct pk_event ev;
    long before = server.seen->sent;
    size_t total = 0;

    slow.t = start(url_to("127.0.0.1", "/big"), "", "{}", NULL);
    EXPECT(slow.t);
    for (int64_t until = pk_clock_ms() + 300; pk_clock_ms() < until;) {
        wait_for(until);
        while (pk_xfer_next_ready(x))
            continue;
    }
    EXPECT(mallinfo2().uordblks < 4u << 20);
    EXPECT(server.seen->sent - before < 10 << 20);
    other.t = start(url_to("127.0.0.1", "/ok"), "", "{}", NULL); /* others go on */
    finish(&other, 30000);
    EXPECT(other.last == PK_EV_END);
    for (bool over = false; !over;) {
        while (!over && pk_transfer_event(slow.t, &ev)) {
            over = ev.kind == PK_EV_END || ev.kind == PK_EV_FAIL;
            total += ev.bytes.len;
            EXPECT(ev.bytes.len <= 300 << 10);
        }
        if (!over)
            wait_for(pk_clock_ms() + 1000);
        while (pk_xfer_next_ready(x))
            continue;
    }
    EXPECT(total == 10 << 20 && ev.kind == PK_EV_END);
    pk_transfer_free(slow.t);
}

/* Bytes that were shown stay where they are while more arrive. */
static void shown_bytes_do_not_move(void)
{
    struct pk_transfer *t = start(url_to("127.0.0.1", "/chunks"), "", "{}", NULL);
    struct pk_event ev = {0};

    EXPECT(t);
    while (ev.kind != PK_EV_BODY) {
        wait_for(pk_clock_ms() + 1000);
        while (ev.kind != PK_EV_BODY && pk_transfer_event(t, &ev))
            continue;
    }
    pk_str shown = ev.bytes;
    for (int64_t until = pk_clock_ms() + 80; pk_clock_ms() < until;)
        wait_for(until);
    EXPECT(shown.len >= 9 && memcmp(shown.at, "data: x\n\n", 9) == 0);
    pk_transfer_free(t);
}

static void freeing_a_transfer_closes_its_connection_at_once(void)
{
    static const char *const paths[] = {"/wait", "/stall"};

    for (size_t i = 0; i < PK_COUNT(paths); i++) {
        struct pk_transfer *t = start(url_to("127.0.0.1", paths[i]), "", "{}", NULL);

        EXPECT(t);
        server.seen->closed_us = 0;
        for (int64_t until = pk_clock_ms() + 50; pk_clock_ms() < until;)
            wait_for(until);
        long long at = loopback_us();
        pk_transfer_free(t);
        while (server.seen->closed_us == 0 && loopback_us() < at + 1000000)
            loopback_pause(1);
        EXPECT(server.seen->closed_us); /* while nobody pumps */
        EXPECT(pk_xfer_active(x) == 0);
    }
}

/* A name is curl's to resolve, to an address we connect ourselves. */
static const char *const spellings[] = {"127.0.0.1", "localhost", "[::1]"};

static void a_refused_connection_is_told_as_such(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, not listening */
    char url[64], words[64];

    EXPECT(bind(fd, (struct sockaddr *)&a, len) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    for (size_t i = 0; i < PK_COUNT(spellings); i++) {
        (void)snprintf(url, sizeof url, "http://%s:%d/ok", spellings[i], ntohs(a.sin_port));
        (void)snprintf(words, sizeof words, "%s:%d: connection refused", spellings[i],
                       ntohs(a.sin_port));
        struct outcome o = get(url);
        EXPECT(failed(&o, PK_NETWORK, words) && o.error.retryable);
    }
    (void)close(fd);
}

/* A backlog that is full: the kernel answers no more SYNs. */
static void a_connection_that_does_not_come_about_times_out(void)
{
    struct pk_xfer_options options = {.connections_max = 4, .connect_ms = 200};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0), filler[4];
    char url[64];

    EXPECT(bind(fd, (struct sockaddr *)&a, len) == 0 && listen(fd, 0) == 0);
    EXPECT(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    for (size_t i = 0; i < PK_COUNT(filler); i++) {
        filler[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(filler[i], (struct sockaddr *)&a, len);
    }
    pk_xfer_free(x);
    x = pk_xfer_new(&options, &err);
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(url, sizeof url, "http://%s:%d/ok", spellings[i], ntohs(a.sin_port));
        int64_t began = pk_clock_ms();
        struct outcome o = get(url);
        EXPECT(failed(&o, PK_TIMEOUT, "no connection in time") && o.error.retryable);
        EXPECT(pk_clock_ms() - began < 20000); /* the kernel gives up after two minutes */
    }
    for (size_t i = 0; i < PK_COUNT(filler); i++)
        (void)close(filler[i]);
    (void)close(fd);
    renew("");
}

static void broken_answers_are_errors(void)
{
    static const struct {
        const char *path;
        enum pk_code code;
        const char *words;
        int heads;
    } cases[] = {
        {"/reset", PK_NETWORK, "broke while receiving", 1},
        {"/short", PK_NETWORK, "cut short", 1},
        {"/cut", PK_NETWORK, "cut short", 1},
        {"/nothing", PK_NETWORK, "closed without an answer", 0},
        {"/garbage", PK_NETWORK, "not HTTP", 0},
        {"/headers", PK_TOO_LARGE, "headers are larger than 64 KiB", 0},
        {"/huge", PK_TOO_LARGE, "answer is larger than 64 MiB", 0},
        {"/endless", PK_TOO_LARGE, "answer is larger than 64 MiB", 1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct outcome o = get(url_to("127.0.0.1", cases[i].path));

        if (!EXPECT(failed(&o, cases[i].code, cases[i].words) && o.heads == cases[i].heads))
            printf("#   %s: %s, %d heads\n", cases[i].path, o.error.msg, o.heads);
        EXPECT(strncmp(o.error.msg, "127.0.0.1:", 10) == 0);
        EXPECT(o.error.retryable == (cases[i].code == PK_NETWORK));
    }
}

static void bytes_before_a_break_are_delivered(void)
{
    struct outcome o = get(url_to("127.0.0.1", "/short"));

    EXPECT(o.last == PK_EV_FAIL && strcmp(o.body, "0123456789") == 0);
}

static void interim_answers_are_skipped(void)
{
    struct outcome o = get(url_to("127.0.0.1", "/interim"));

    EXPECT(o.last == PK_EV_END && o.heads == 1 && o.status == 200);
    EXPECT(!strstr(o.head, "early") && strstr(o.head, "X-Request-Id"));
}

static void a_redirect_is_an_answer_like_any_other(void)
{
    long before = server.seen->requests;
    struct outcome o = get(url_to("127.0.0.1", "/redirect"));

    EXPECT(o.last == PK_EV_END && o.status == 302 && server.seen->requests == before + 1);
}

static void cookies_are_not_kept(void)
{
    EXPECT(get(url_to("127.0.0.1", "/cookie")).last == PK_EV_END);
    struct outcome o = get(url_to("127.0.0.1", "/cookie"));
    EXPECT(o.last == PK_EV_END && !strstr(o.body, "a=b"));
}

static void proxies_from_the_environment_are_ignored(void)
{
    EXPECT(setenv("http_proxy", "http://127.0.0.1:1", 1) == 0);
    EXPECT(setenv("ALL_PROXY", "http://127.0.0.1:1", 1) == 0);
    renew("");
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    EXPECT(unsetenv("http_proxy") == 0 && unsetenv("ALL_PROXY") == 0);
}

static void a_host_that_is_not_listed_is_refused_by_name(void)
{
    static const char *const urls[] = {
        "http://10.0.0.1/", "http://example.com/",        "https://169.254.169.254/latest",
        "http://0.0.0.0/",  "http://[::ffff:127.0.0.1]/", "http://[::]/"};

    renew("");
    for (size_t i = 0; i < PK_COUNT(urls); i++)
        if (!EXPECT(!start(urls[i], "", "{}", NULL) && err.code == PK_HOST_DENIED &&
                    strstr(err.msg, "allowed_hosts")))
            printf("#   %s: %s\n", urls[i], err.msg);
    EXPECT(!start("http://127.1/", "", "{}", NULL) && err.code == PK_BAD_CONFIG);
    EXPECT(!start("file:///etc/passwd", "", "{}", NULL) && err.code == PK_BAD_CONFIG);
    EXPECT(!start("", "", "{}", NULL) && err.code == PK_BAD_CONFIG);
}

/* 0.0.0.0 reaches loopback on Linux: as the provider's own host it passes by name, and the
 * address says no. */
static void an_address_that_is_not_public_is_refused_when_it_connects(void)
{
    char base[64];

    (void)snprintf(base, sizeof base, "http://0.0.0.0:%d/v1", server.port);
    provider.base_url = base;
    renew("");
    struct outcome o = get(url_to("0.0.0.0", "/ok"));
    EXPECT(failed(&o, PK_HOST_DENIED, "leads to a private address") && !o.error.retryable);
    renew("0.0.0.0");
    o = get(url_to("0.0.0.0", "/ok"));
    EXPECT(o.last == PK_EV_END);
    provider.base_url = "";
    renew("");
}

/* A name of this machine that is not spelled as loopback but leads there, if it has one. */
static const char *disguised_loopback(void)
{
    static const char *const names[] = {"ip6-localhost", "ip6-loopback", "localhost.localdomain"};
    static char own[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;

    (void)gethostname(own, sizeof own);
    for (size_t i = 0; i <= PK_COUNT(names); i++) {
        const char *name = i < PK_COUNT(names) ? names[i] : own;

        if (getaddrinfo(name, "80", &hints, &found) != 0)
            continue;
        bool loopback = pk_xfer_address(found->ai_addr) == PK_ADDRESS_LOOPBACK;
        freeaddrinfo(found);
        if (loopback)
            return name;
    }
    return NULL;
}

static void a_name_that_leads_to_loopback_is_refused(void)
{
    const char *name = disguised_loopback();
    char base[300];

    if (!name) {
        printf("skip a_name_that_leads_to_loopback_is_refused: no such name on this machine\n");
        return;
    }
    (void)snprintf(base, sizeof base, "http://%s:%d/v1", name, server.port);
    provider.base_url = base;
    renew("");
    struct outcome o = get(url_to(name, "/ok"));
    EXPECT(failed(&o, PK_HOST_DENIED, "leads to a loopback address"));
    provider.base_url = "";
    renew("");
}

static void loopback_names_and_the_providers_own_origin_are_allowed(void)
{
    struct outcome o = get(url_to("localhost", "/ok"));

    EXPECT(o.last == PK_EV_END);
    o = get(url_to("some.name.localhost", "/ok"));
    EXPECT(o.last == PK_EV_END);
}

static void a_new_allow_list_takes_effect_at_once(void)
{
    renew("0.0.0.0");
    EXPECT(get(url_to("0.0.0.0", "/ok")).last == PK_EV_END);
    pk_xfer_allow(x, "other.example");
    EXPECT(!start(url_to("0.0.0.0", "/ok"), "", "{}", NULL) && err.code == PK_HOST_DENIED);
    pk_xfer_allow(x, "other.example 0.0.0.0");
    EXPECT(get(url_to("0.0.0.0", "/ok")).last == PK_EV_END);
    renew("");
}

static void a_name_that_does_not_exist_is_an_error(void)
{
    renew("nothing.invalid");
    struct outcome o = {0};

    o.t = start("http://nothing.invalid/", "", "{}", NULL);
    EXPECT(o.t);
    finish(&o, 30000);
    EXPECT(o.error.code == PK_NETWORK || o.error.code == PK_TIMEOUT);
    EXPECT(strncmp(o.error.msg, "nothing.invalid: ", 17) == 0);
    renew("");
}

static void a_key_is_sent_in_the_providers_header(void)
{
    struct outcome o = {0};

    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-literal")};
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(strstr(o.body, "\r\nauthorization: Bearer sk-literal\r\n"));
    provider.key_header = "x-api-key: ";
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(strstr(o.body, "\r\nx-api-key: sk-literal\r\n") && !strcasestr(o.body, "authorization"));
    o = (struct outcome){
        .t = start(url_to("127.0.0.1", "/echo"), "X-Api-Key: client\n", "{}", NULL)};
    finish(&o, 30000); /* the client's own is not sent beside it */
    EXPECT(strstr(o.body, "sk-literal") && !strstr(o.body, "client"));
    target.key = (struct pk_key){.kind = PK_KEY_ENV, .value = PK_STR("PK_XFER_TEST_KEY")};
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_NO_KEY);
    EXPECT(strstr(err.msg, "PK_XFER_TEST_KEY") && pk_xfer_active(x) == 0);
    EXPECT(setenv("PK_XFER_TEST_KEY", "sk-env", 1) == 0);
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(strstr(o.body, "\r\nx-api-key: sk-env\r\n"));
    provider.key_header = "authorization: Bearer ";
    target.key = (struct pk_key){0};
}

static void an_error_that_repeats_the_key_is_told_without_it(void)
{
    struct outcome o;

    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-literal")};
    o = get(url_to("127.0.0.1", "/denied"));
    EXPECT(o.status == 401 && o.last == PK_EV_END);
    EXPECT(strstr(o.body, "\r\nauthorization: Bearer **********\r\n"));
    EXPECT(!strstr(o.body, "sk-literal"));
    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("denied")};
    o = get(url_to("127.0.0.1", "/denied")); /* too short to be told from a word */
    EXPECT(strstr(o.body, "POST /denied"));
    target.key = (struct pk_key){0};
    o = get(url_to("127.0.0.1", "/denied"));
    EXPECT(o.status == 401 && strstr(o.body, "POST /denied"));
}

static void a_key_that_comes_back_in_two_pieces_is_hidden_too(void)
{
    struct outcome o;

    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-literal-and-longer")};
    o = get(url_to("127.0.0.1", "/split"));
    EXPECT(o.status == 401 && o.last == PK_EV_END && o.bodies > 1);
    EXPECT(strstr(o.body, "\r\nauthorization: Bearer *********************\r\n"));
    EXPECT(strstr(o.head, "X-Request-Id: Bearer *********************\r\n"));
    /* What only looks like it at first is not lost. */
    target.key =
        (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("}}}}}}}}}}}}}}}}}}}}}}}}")};
    o = get(url_to("127.0.0.1", "/ok"));
    EXPECT(strcmp(o.body, "{\"ok\":true}") == 0 && o.last == PK_EV_END);
    target.key = (struct pk_key){0};
}

static void an_answer_that_repeats_the_key_is_told_without_it(void)
{
    struct outcome o;

    target.key =
        (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-0123456789abcdef0123")};
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(o.status == 200 && strstr(o.body, "Bearer ***********************\r\n"));
    /* A local server's key may be any word. */
    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("application")};
    o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(o.status == 200 && strstr(o.body, "Bearer application\r\n"));
    target.key = (struct pk_key){0};
}

static void a_key_with_a_line_break_is_not_sent(void)
{
    target.key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = PK_STR("sk-1\r\nx-evil: 1")};
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_NO_KEY);
    EXPECT(!strstr(err.msg, "sk-1") && !strstr(err.msg, "evil"));
    target.key = (struct pk_key){0};
}

static void a_bound_key_goes_to_its_origin_only(void)
{
    char origin[64];
    long before = server.seen->requests;

    (void)snprintf(origin, sizeof origin, "http://127.0.0.1:%d/v1", server.port);
    target.key =
        (struct pk_key){PK_KEY_LITERAL, PK_STR("prod"), PK_STR("sk-bound"), pk_str_of(origin)};
    struct outcome o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(strstr(o.body, "Bearer sk-bound"));
    EXPECT(!start(url_to("localhost", "/echo"), "", "{}", NULL) && err.code == PK_HOST_DENIED);
    EXPECT(strstr(err.msg, "the key prod belongs to 127.0.0.1") && !strstr(err.msg, "sk-"));
    target.key.kind = PK_KEY_ENV;
    target.key.slug = PK_NONE;
    target.key.value = PK_STR("PROVIDER_API_KEY");
    EXPECT(setenv("PROVIDER_API_KEY", "sk-env", 1) == 0);
    EXPECT(!start(url_to("localhost", "/echo"), "", "{}", NULL) &&
           strstr(err.msg, "the key PROVIDER_API_KEY belongs to"));
    EXPECT(unsetenv("PROVIDER_API_KEY") == 0);
    o = get(url_to("localhost", "/echo"));
    EXPECT(o.body[0] && !strstr(o.body, "Bearer")); /* there is none, and it may need none */
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_NO_KEY);
    target.key =
        (struct pk_key){PK_KEY_LITERAL, PK_STR("prod"), PK_STR("sk-bound"), pk_str_of(origin)};
    (void)snprintf(origin, sizeof origin, "https://127.0.0.1:%d/v1", server.port);
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_HOST_DENIED);
    (void)snprintf(origin, sizeof origin, "http://127.0.0.1:%d/v1", server.port ^ 1);
    EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_HOST_DENIED);
    EXPECT(server.seen->requests == before + 2);
    target.key = (struct pk_key){0};
}

/* While another request has it open too, and when that is gone: what a seal is not bound to gets nothing. */
static void check_shared_key(void)
{
    static const char sent[] = "\r\nauthorization: Bearer sk-sealed\r\n";
    struct pk_transfer *first = start(url_to("127.0.0.1", "/wait"), "", "{}", NULL);
    struct outcome o = get(url_to("127.0.0.1", "/echo"));

    EXPECT(first && strstr(o.body, sent));
    for (int i = 0; i < 2; i++) {
        provider.name = "other";
        EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_STORE);
        provider.name = "mock";
        target.key.slug = PK_STR("l");
        EXPECT(!start(url_to("127.0.0.1", "/echo"), "", "{}", NULL) && err.code == PK_STORE);
        target.key.slug = PK_STR("k");
        o = get(url_to("127.0.0.1", "/echo"));
        EXPECT(strstr(o.body, sent));
        if (i == 0)
            pk_transfer_free(first);
    }
}

static void a_sealed_key_is_opened_for_the_request(void)
{
    char folder[] = "/tmp/pk-xfer-XXXXXX", path[64], origin[64];
    struct pk_xfer_options options = {.connections_max = 4};
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    EXPECT(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/m.key", folder);
    (void)snprintf(origin, sizeof origin, "http://127.0.0.1:%d", server.port);
    struct pk_secrets *secrets = pk_secrets_open(path, true, &err);
    EXPECT(secrets && pk_secret_seal(secrets, &arena, PK_STR("k"), PK_STR("mock"),
                                     pk_str_of(origin), PK_STR("sk-sealed"), &target.key, &err));
    options.secrets = secrets;
    pk_xfer_free(x);
    x = pk_xfer_new(&options, &err);
    struct outcome o = get(url_to("127.0.0.1", "/echo"));
    EXPECT(strstr(o.body, "\r\nauthorization: Bearer sk-sealed\r\n"));
    check_shared_key();
    target.key = (struct pk_key){0};
    renew("");
    pk_secrets_free(secrets);
    pk_arena_free(&arena);
    EXPECT(unlink(path) == 0 && rmdir(folder) == 0);
}

static struct outcome get_tls(const char *host, int port)
{
    char url[128];

    (void)snprintf(url, sizeof url, "https://%s:%d/v1", host, port);
    return get(url);
}

/* A key that is in this program's memory only while a transfer has it: in a file, and here disguised. */
static const char disguised[] =
    "tl*zojnj*4711*xibjb*ib*ubif*vb*cfoobeocwf"; /* each letter is another */

static char undisguised(char c)
{
    return (char)(c ^ 1);
}

static bool write_key_file(const char *path)
{
    FILE *f = fopen(path, "w");
    bool ok = f && setvbuf(f, NULL, _IONBF, 0) == 0;

    for (size_t i = 0; ok && disguised[i]; i++)
        ok = fputc(undisguised(disguised[i]), f) != EOF;
    return f && fclose(f) == 0 && ok;
}

static bool has_key(const char *at, size_t len)
{
    const size_t key_len = sizeof disguised - 1;

    for (size_t i = 0; i + key_len <= len; i++) {
        size_t k = 0;

        while (k < key_len && at[i + k] == undisguised(disguised[k]))
            k++;
        if (k == key_len)
            return true;
    }
    return false;
}

/* Whether the key is in what a core dump would hold, or in what it would leave out. */
static void search_memory(bool *dumped, bool *left_out)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long at, end, from = 0, to = 0;

    *dumped = *left_out = false;
    while (maps && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx rw", &at, &end) == 2) {
            from = at;
            to = strstr(line, " rw") ? end : at; /* others are not written to */
        }
        if (strncmp(line, "VmFlags:", 8) != 0)
            continue;
        bool found = has_key((const char *)from, to - from);
        if (strstr(line, " dd"))
            *left_out = *left_out || found;
        else
            *dumped = *dumped || found;
    }
    if (maps)
        (void)fclose(maps);
}

/* In the middle of a transfer to `url`, and after it. */
static void check_memory(const char *url)
{
    struct outcome o = {.t = start(url, "", "{}", NULL)};
    int64_t until = pk_clock_ms() + 250;
    bool dumped, left_out;

    while (o.t && pk_clock_ms() < until)
        wait_for(until); /* the request is out, the answer is not here yet */
    search_memory(&dumped, &left_out);
    EXPECT(left_out); /* the search finds it where it is */
    EXPECT(!dumped);
    if (o.t)
        finish(&o, 30000);
    if (!EXPECT(o.last == PK_EV_END && o.status == 200))
        printf("# %d %s %s\n", o.status, o.error.msg, err.msg);
    search_memory(&dumped, &left_out);
    EXPECT(!left_out && !dumped);
}

static void a_core_dump_holds_no_key(void)
{
#ifdef __SANITIZE_ADDRESS__
    printf("skip a_core_dump_holds_no_key: the sanitizer's own memory is endless\n");
    return;
#endif
    struct pk_xfer_options options = {.connections_max = 4, .connect_ms = 1000};
    char folder[] = "/tmp/pk-xfer-XXXXXX", path[64], ca_file[256], url[64];
    FILE *server_in;
    int port;

    EXPECT(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/key", folder);
    EXPECT(write_key_file(path));
    target.key = (struct pk_key){.kind = PK_KEY_FILE, .value = pk_str_of(path)};
    check_memory(url_to("127.0.0.1", "/slow"));
    if (tls_start(&server_in, &port, ca_file)) {
        options.ca_file = ca_file;
        pk_xfer_free(x);
        x = pk_xfer_new(&options, &err);
        (void)snprintf(url, sizeof url, "https://localhost:%d/v1/slow", port);
        check_memory(url);
    }
    (void)fclose(server_in);
    renew("");
    target.key = (struct pk_key){0};
    EXPECT(unlink(path) == 0 && rmdir(folder) == 0);
}

static void tls_is_verified(void)
{
    struct pk_xfer_options options = {.connections_max = 4, .connect_ms = 1000};
    char ca_file[256], plain[64];
    FILE *server_in;
    int port;

    if (!tls_start(&server_in, &port, ca_file)) {
        printf("skip tls_is_verified: needs python3 and openssl\n");
        (void)fclose(server_in);
        return;
    }
    struct outcome o = get_tls("localhost", port); /* not a CA of the system's */
    EXPECT(failed(&o, PK_NETWORK, "the TLS certificate is not trusted") && !o.error.retryable);
    options.ca_file = ca_file;
    pk_xfer_free(x);
    x = pk_xfer_new(&options, &err);
    for (int i = 0; i < 3; i++)
        EXPECT(get_tls("localhost", port).last == PK_EV_END);
#if LIBCURL_VERSION_NUM >= 0x075700
    EXPECT(unlink(ca_file) == 0); /* connections to come go by what was read */
#endif
    o = get_tls("127.0.0.1", port); /* not what the certificate is for */
    EXPECT(failed(&o, PK_NETWORK, "the TLS certificate is not trusted"));
    o = get(url_to("localhost", "/ok"));
    EXPECT(o.last == PK_EV_END);
    (void)snprintf(plain, sizeof plain, "https://localhost:%d/ok",
                   server.port); /* waits for more */
    o = get(plain);
    EXPECT(failed(&o, PK_TIMEOUT, "no connection in time"));
    options.ca_file = "/nowhere/ca.pem";
    pk_xfer_free(x);
    x = pk_xfer_new(&options, &err);
    o = get_tls("localhost", port);
    EXPECT(failed(&o, PK_NETWORK, "the CA file cannot be used"));
    renew("");
    (void)fclose(server_in);
}

/* `total` requests, `wide` at a time; the owners are told as they have something to report. */
static void storm(int total, int wide, const char *path)
{
    struct outcome *o = calloc((size_t)wide, sizeof *o);
    int started = 0, ended = 0;
    int64_t until = pk_clock_ms() + 30000;

    for (; started < wide; started++)
        o[started].t = start(url_to("127.0.0.1", path), "", "{}", &o[started]);
    while (ended < total && pk_clock_ms() < until) {
        wait_for(until);
        for (struct outcome *r; (r = pk_xfer_next_ready(x)) != NULL;) {
            drain(r);
            if (!r->over)
                continue;
            EXPECT(r->last == PK_EV_END && r->status == 200 && r->body_len == 11);
            pk_transfer_free(r->t);
            *r = (struct outcome){0};
            ended++;
            if (started < total && ++started)
                r->t = start(url_to("127.0.0.1", path), "", "{}", r);
        }
    }
    EXPECT(ended == total && pk_xfer_active(x) == 0);
    free(o);
}

static void a_thousand_requests_leave_nothing_behind(void)
{
    pk_xfer_free(x);
    x = NULL;
    int before = descriptors();
    long accepted = server.seen->accepted;

    renew("");
    storm(1000, 256, "/ok");
    EXPECT(server.seen->accepted - accepted <= 256);
    pk_xfer_free(x);
    x = NULL;
    EXPECT(descriptors() == before);
    renew("");
}

static void six_hundred_cancels_leave_nothing_behind(void)
{
    enum { WIDE = 60 };
    struct pk_transfer *t[WIDE];

    pk_xfer_free(x);
    x = NULL;
    int before = descriptors();
    renew("");
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < WIDE; i++)
            t[i] = start(url_to("127.0.0.1", i % 2 ? "/wait" : "/stall"), "", "{}", NULL);
        for (int64_t until = pk_clock_ms() + 2 * round; pk_clock_ms() < until;)
            wait_for(until);
        for (int i = 0; i < WIDE; i++)
            pk_transfer_free(t[i]);
    }
    EXPECT(pk_xfer_active(x) == 0);
    pk_xfer_free(x);
    x = NULL;
    EXPECT(descriptors() == before);
    renew("");
}

static int stray_signals;

static void count_signal(int number)
{
    (void)number;
    stray_signals++;
}

/* Signals stay with the host: the mask is as before, and what came meanwhile is delivered. */
static void signals_are_left_as_they_were(void)
{
    sigset_t mask;

    (void)signal(SIGUSR1, count_signal);
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    EXPECT(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    EXPECT(!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGPIPE));
    EXPECT(raise(SIGUSR1) == 0 && stray_signals == 1);
}

static void a_forked_child_starts_anew(void)
{
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END);
    long accepted = server.seen->accepted;
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        bool ok = get(url_to("127.0.0.1", "/ok")).last == PK_EV_END;
        pk_xfer_free(x);
        _exit(!ok || test_failed);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    EXPECT(server.seen->accepted == accepted + 1);
    EXPECT(get(url_to("127.0.0.1", "/ok")).last == PK_EV_END); /* the parent's is still good */
    EXPECT(server.seen->accepted == accepted + 1);
}

static void a_child_forked_amid_a_transfer_fails_it_and_no_other(void)
{
    struct outcome o = {.t = start(url_to("127.0.0.1", "/chunks"), "", "{}", NULL)};
    int status = -1;

    wait_for(pk_clock_ms() + 5);
    pid_t pid = fork();
    if (pid == 0) {
        bool refused = !start(url_to("127.0.0.1", "/ok"), "", "{}", NULL) && err.code == PK_NETWORK;
        finish(&o, 30000);
        bool ok = refused && o.last == PK_EV_FAIL && strstr(o.error.msg, "forked") &&
                  get(url_to("127.0.0.1", "/ok")).last == PK_EV_END;
        pk_xfer_free(x);
        _exit(!ok || test_failed);
    }
    EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
    finish(&o, 30000);
    EXPECT(o.last == PK_EV_END && o.body_len == 45);
}

int main(void)
{
    server = loopback_start();
    renew("");
    RUN(an_answer_comes_as_head_body_and_end);
    RUN(the_request_is_what_the_exchange_says);
    RUN(a_large_body_is_sent_whole_without_expect);
    RUN(a_get_has_no_body_and_the_next_post_on_its_handle_does);
    RUN(framing_headers_are_not_taken_from_the_exchange);
    RUN(a_header_cannot_smuggle_another);
    RUN(connections_are_used_again);
    RUN(a_pooled_handle_goes_where_it_is_sent_next);
    RUN(any_number_of_urls_can_be_called);
    RUN(a_connection_that_the_server_closed_is_replaced);
    RUN(the_fd_is_quiet_when_nothing_happens);
    RUN(a_stream_arrives_in_pieces);
    RUN(an_unread_answer_holds_a_bounded_amount);
    RUN(shown_bytes_do_not_move);
    RUN(freeing_a_transfer_closes_its_connection_at_once);
    RUN(a_refused_connection_is_told_as_such);
    RUN(a_connection_that_does_not_come_about_times_out);
    RUN(broken_answers_are_errors);
    RUN(bytes_before_a_break_are_delivered);
    RUN(interim_answers_are_skipped);
    RUN(a_redirect_is_an_answer_like_any_other);
    RUN(cookies_are_not_kept);
    RUN(proxies_from_the_environment_are_ignored);
    RUN(a_host_that_is_not_listed_is_refused_by_name);
    RUN(an_address_that_is_not_public_is_refused_when_it_connects);
    RUN(a_name_that_leads_to_loopback_is_refused);
    RUN(loopback_names_and_the_providers_own_origin_are_allowed);
    RUN(a_new_allow_list_takes_effect_at_once);
    RUN(a_name_that_does_not_exist_is_an_error);
    RUN(a_key_is_sent_in_the_providers_header);
    RUN(an_error_that_repeats_the_key_is_told_without_it);
    RUN(a_key_that_comes_back_in_two_pieces_is_hidden_too);
    RUN(an_answer_that_repeats_the_key_is_told_without_it);
    RUN(a_key_with_a_line_break_is_not_sent);
    RUN(a_bound_key_goes_to_its_origin_only);
    RUN(a_sealed_key_is_opened_for_the_request);
    RUN(a_core_dump_holds_no_key);
    RUN(tls_is_verified);
    RUN(a_thousand_requests_leave_nothing_behind);
    RUN(six_hundred_cancels_leave_nothing_behind);
    RUN(signals_are_left_as_they_were);
    RUN(a_forked_child_starts_anew);
    RUN(a_child_forked_amid_a_transfer_fails_it_and_no_other);
    pk_xfer_free(x);
    loopback_stop(&server);
    return test_end();
}
