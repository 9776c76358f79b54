/* xfer_tunnel_test.c - tunnels over TLS, to a server in another process (tests/tls_server.py).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "http.h"
#include "test.h"
#include "tls_server.h"
#include "xfer.h"

#include <poll.h>
#include <string.h>
#include <sys/wait.h>

enum { BYTES = 24 << 20, PIECE = 100000 };

static const struct pk_provider provider = {
    .name = "mock", .base_url = "", .key_header = "authorization: Bearer "};
static struct pk_target target = {
    .provider = &provider,
    .key = {.kind = PK_KEY_LITERAL, .value = {"sk-of-the-mock-0123456789", 25}}};
static struct pk_xfer *x;
static struct pk_error err;
static FILE *server_in;
static char ca_file[256], url[128];
static char sent[BYTES], seen[BYTES];
static size_t seen_len;

static bool start_server(void)
{
    int port = 0;
    bool ok = tls_start(&server_in, &port, ca_file);

    (void)snprintf(url, sizeof url, "https://localhost:%d/v1/realtime?model=m", port);
    return ok;
}

static struct pk_transfer *start(void)
{
    const struct pk_exchange ex = {.method = PK_GET,
                                   .url = pk_str_of(url),
                                   .headers = PK_STR("sec-websocket-version: 13\n"),
                                   .upgrade = true,
                                   .target = &target};

    err = (struct pk_error){0};
    return pk_xfer_start(x, &ex, NULL, &err);
}

static void turn(void)
{
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};

    if (pk_xfer_deadline_ms(x) > pk_clock_ms())
        (void)poll(&p, 1, 20);
    pk_xfer_pump(x);
    while (pk_xfer_next_ready(x))
        continue;
}

/* Whether the next event is of that kind; it is in *ev. */
static bool next(struct pk_transfer *t, enum pk_event_kind kind, struct pk_event *ev)
{
    int64_t until = pk_clock_ms() + 30000;

    while (!pk_transfer_event(t, ev) && pk_clock_ms() < until)
        turn();
    return ev->kind == kind;
}

static void keep(pk_str bytes)
{
    if (EXPECT(seen_len + bytes.len <= sizeof seen))
        memcpy(seen + seen_len, bytes.at, bytes.len);
    seen_len += bytes.len;
}

/* Writes without reading until no more is taken; then both. */
static void bytes_go_both_ways_and_wait_for_each_other(void)
{
    struct pk_transfer *t = start();
    struct pk_event ev;
    size_t at = 0;
    int64_t until = pk_clock_ms() + 60000;

    for (size_t i = 0; i < sizeof sent; i++)
        sent[i] = (char)(i * 31 + i / 251);
    memcpy(sent + sizeof sent - 3, "bye", 3);
    if (!EXPECT(t) || !EXPECT(next(t, PK_EV_HEAD, &ev)))
        return;
    EXPECT(ev.status == 101 && pk_transfer_writable(t));
    EXPECT(pk_str_is(pk_http_header(ev.headers, "sec-websocket-accept"),
                     "Bearer *************************")); /* it repeated the key */
    for (int idle = 0; idle < 25;) { /* nobody reads: what is taken has an end */
        size_t taken = pk_transfer_write(t, pk_str_sub((pk_str){sent, sizeof sent}, at, PIECE));

        at += taken;
        idle = taken ? 0 : idle + 1;
        if (!taken)
            turn();
    }
    EXPECT(at > 0 && at < sizeof sent && !pk_transfer_writable(t));
    while (seen_len < sizeof sent && pk_clock_ms() < until) {
        if (at < sizeof sent)
            at += pk_transfer_write(t, pk_str_sub((pk_str){sent, sizeof sent}, at, PIECE));
        while (seen_len < sizeof sent && pk_transfer_event(t, &ev) && EXPECT(ev.kind == PK_EV_BODY))
            keep(ev.bytes);
        turn();
    }
    EXPECT(seen_len == sizeof sent && memcmp(sent, seen, sizeof sent) == 0);
    EXPECT(next(t, PK_EV_END, &ev));
    EXPECT(pk_transfer_write(t, PK_STR("late")) == 4);
    pk_transfer_free(t);
}

static void a_tunnel_may_be_left_at_any_time(void)
{
    for (int i = 0; i < 6; i++) {
        struct pk_transfer *t = start();
        struct pk_event ev;

        if (!EXPECT(t))
            return;
        for (int k = 0; k < i; k++)
            turn();
        if (i == 5 && EXPECT(next(t, PK_EV_HEAD, &ev)))
            EXPECT(pk_transfer_write(t, PK_STR("something")) == 9);
        pk_transfer_free(t);
    }
    EXPECT(pk_xfer_active(x) == 0);
}

/* Handles that were tunnels, or should have become one, serve no other request. */
static void ordinary_requests_go_on_beside_them(void)
{
    struct pk_exchange ex = {.url = pk_str_of(url), .body = PK_STR("{}"), .target = &target};
    struct pk_transfer *tunnel = start(), *plain = pk_xfer_start(x, &ex, NULL, &err);
    struct pk_event ev;

    EXPECT(tunnel && next(tunnel, PK_EV_HEAD, &ev) && ev.status == 101);
    EXPECT(plain && next(plain, PK_EV_HEAD, &ev) && ev.status == 200);
    EXPECT(next(plain, PK_EV_BODY, &ev) && next(plain, PK_EV_END, &ev));
    pk_transfer_free(plain);
    pk_transfer_free(tunnel);
}

static void a_host_that_is_not_the_keys_is_not_called(void)
{
    target.key.origin = PK_STR("https://elsewhere.example");
    EXPECT(!start() && err.code == PK_HOST_DENIED);
    target.key.origin = PK_NONE;
}

int main(void)
{
    struct pk_xfer_options options = {.connections_max = 8, .ca_file = ca_file};

    if (!start_server()) {
        printf("skip tunnels over TLS: needs python3 and openssl\n");
        return 0;
    }
    x = pk_xfer_new(&options, &err);
    RUN(bytes_go_both_ways_and_wait_for_each_other);
    RUN(a_tunnel_may_be_left_at_any_time);
    RUN(ordinary_requests_go_on_beside_them);
    RUN(a_host_that_is_not_the_keys_is_not_called);
    pk_xfer_free(x);
    (void)fclose(server_in);
    (void)wait(NULL);
    return test_end();
}
