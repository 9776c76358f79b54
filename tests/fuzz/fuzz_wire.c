/* fuzz_wire.c - any bytes as a provider's answer over a connection of our own: whole, or an error, and the next is fine.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces are, and by its lowest bit whether the connection stays open behind them
 * until a good answer comes over it, or over another.
 */
#include "fuzz.h"
#include "http.h"
#include "xfer.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define GOOD "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

static int listener, port, peer = -1; /* peer: the provider's end */
static struct pk_xfer *x;

struct seen {
    int heads, status;
    size_t len;
    bool over, whole;
    struct pk_error error;
};

static void listen_there(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    const struct pk_xfer_options options = {.connections_max = 4, .connect_ms = 5000};
    struct pk_error err;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    PK_ASSERT(bind(listener, (struct sockaddr *)&a, size) == 0 && listen(listener, 16) == 0);
    PK_ASSERT(getsockname(listener, (struct sockaddr *)&a, &size) == 0);
    port = ntohs(a.sin_port);
    x = pk_xfer_new(&options, &err);
    PK_ASSERT(x);
}

static void hang_up(void)
{
    const struct linger none = {.l_onoff = 1};

    if (peer >= 0) {
        (void)setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        (void)close(peer);
    }
    peer = -1;
}

/* Nothing that would end a line, or be read otherwise, where it is relayed. */
static void check_headers(pk_str lines)
{
    pk_str name, value;

    while (pk_http_next_header(&lines, &name, &value)) {
        PK_ASSERT(pk_str_find(name, '\r') < 0 && pk_str_find(name, 0) < 0);
        PK_ASSERT(pk_str_find(value, '\r') < 0 && pk_str_find(value, 0) < 0);
    }
}

static void note(struct pk_transfer *t, struct seen *s)
{
    struct pk_event ev;

    while (!s->over && pk_transfer_event(t, &ev)) {
        PK_ASSERT(s->heads == (ev.kind == PK_EV_HEAD ? 0 : s->heads));
        if (ev.kind == PK_EV_HEAD)
            check_headers(ev.headers);
        s->heads += ev.kind == PK_EV_HEAD;
        s->status = ev.kind == PK_EV_HEAD ? ev.status : s->status;
        s->len += ev.kind == PK_EV_BODY ? ev.bytes.len : 0;
        s->over = ev.kind == PK_EV_END || ev.kind == PK_EV_FAIL;
        s->whole = ev.kind == PK_EV_END;
        s->error = ev.error;
    }
}

/* Takes a new connection, else the request of the one that is there; whether one has come. */
static bool hear(void)
{
    char request[4096];
    int other = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (other >= 0) {
        hang_up();
        peer = other;
    }
    return peer >= 0 && recv(peer, request, sizeof request, MSG_DONTWAIT) > 0;
}

static void turn(int wait_ms)
{
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};

    (void)poll(&p, 1, pk_xfer_deadline_ms(x) == 0 ? 0 : wait_ms);
    pk_xfer_pump(x);
    while (pk_xfer_next_ready(x))
        continue;
}

/* Answers with it in pieces as soon as a request comes, and hangs up unless the connection is to stay. */
static struct seen exchange(pk_str answer, size_t step, bool stay)
{
    static struct pk_provider provider = {
        .name = "mock", .base_url = "", .key_header = "authorization: Bearer "};
    static struct pk_target target = {.provider = &provider};
    char url[64];
    struct seen s = {0};
    bool asked = false;
    size_t at = 0;

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    struct pk_exchange ex = {.url = pk_str_of(url), .method = PK_GET, .target = &target};
    struct pk_transfer *t = pk_xfer_start(x, &ex, NULL, &s.error);
    PK_ASSERT(t);
    for (int turns = 0; !s.over; turns++) {
        PK_ASSERT(turns < 10000);
        turn(asked && at < answer.len ? 0 : 1);
        note(t, &s);
        if (!asked || at == answer.len) {
            bool again = hear();
            at = again ? 0 : at; /* over a new connection, when the old one was dead */
            asked = asked || again;
        }
        if (asked && at < answer.len) {
            size_t len = answer.len - at < step ? answer.len - at : step;
            (void)send(peer, answer.at + at, len, MSG_NOSIGNAL);
            at += len;
        }
        if (asked && at == answer.len && (!stay || turns > 3))
            (void)shutdown(peer, SHUT_WR);
    }
    pk_transfer_free(t);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pk_str answer = size ? fuzz_text(bytes + 1, size - 1) : PK_NONE;
    size_t step = answer.len / (1 + (size ? bytes[0] / 64 : 0)) + 1;
    bool stay = size && bytes[0] & 1;

    if (!x)
        listen_there();
    struct seen s = exchange(answer, step, stay);
    PK_ASSERT(s.heads <= 1 && (s.heads == 0 || (s.status >= 100 && s.status <= 999)));
    PK_ASSERT(s.whole ? s.heads == 1 : s.error.code != PK_OK && !strchr(s.error.msg, '\n'));
    PK_ASSERT(s.len <= answer.len);
    if (!stay)
        hang_up();
    s = exchange(PK_STR(GOOD), sizeof GOOD, false);
    PK_ASSERT(s.whole && s.status == 200 && s.len == 2);
    hang_up();
    return 0;
}
