/* xfer_wire_test.c - answers of every shape over connections of our own, from a server that says what it is told.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "loopback.h"
#include "test.h"
#include "xfer.h"

static struct loopback server;
static struct pk_xfer *x;
static struct pk_provider provider = {
    .name = "mock", .base_url = "", .key_header = "authorization: Bearer "};
static struct pk_target target = {.provider = &provider};

/* What came of one exchange. */
struct outcome {
    int heads, status;
    char head[1024], body[1024]; /* as much as fits */
    size_t len;
    bool whole;
    struct pk_error error;
};

static void add(char *to, size_t size, size_t at, pk_str bytes)
{
    for (size_t i = 0; i < bytes.len && at + i < size - 1; i++)
        to[at + i] = bytes.at[i];
}

/* Notes what there is; false when it is over. */
static bool note(struct pk_transfer *t, struct outcome *o)
{
    struct pk_event ev;

    while (pk_transfer_event(t, &ev)) {
        if (ev.kind == PK_EV_HEAD) {
            o->heads++;
            o->status = ev.status;
            add(o->head, sizeof o->head, 0, ev.headers);
        } else if (ev.kind == PK_EV_BODY) {
            add(o->body, sizeof o->body, o->len, ev.bytes);
            o->len += ev.bytes.len;
        } else {
            o->whole = ev.kind == PK_EV_END;
            o->error = ev.error;
            return false;
        }
    }
    return true;
}

static struct outcome ask(int port, const char *path, pk_str body)
{
    char url[64];
    struct outcome o = {0};
    struct pollfd p = {.fd = pk_xfer_fd(x), .events = POLLIN};
    int64_t until = pk_clock_ms() + 30000;

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    struct pk_exchange ex = {.url = pk_str_of(url), .body = body, .target = &target};
    struct pk_transfer *t = pk_xfer_start(x, &ex, NULL, &o.error);
    if (!EXPECT(t))
        return o;
    while (note(t, &o) && EXPECT(pk_clock_ms() < until)) {
        (void)poll(&p, 1, pk_xfer_deadline_ms(x) == 0 ? 0 : 20);
        pk_xfer_pump(x);
        while (pk_xfer_next_ready(x))
            continue;
    }
    pk_transfer_free(t);
    return o;
}

/* An answer, told as the request's body. */
static struct outcome say(const char *path, const char *answer)
{
    return ask(server.port, path, pk_str_of(answer));
}

static void answers_are_read_to_their_end_and_no_further(void)
{
    static const struct {
        const char *name, *answer, *body;
        int status;
        bool again; /* the connection is good for another */
    } cases[] = {
        {"by length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", "ab", 200, true},
        {"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200, true},
        {"in chunks",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX-T: "
         "1\r\n\r\n",
         "abc", 200, true},
        {"none may follow 204", "HTTP/1.1 204 No Content\r\n\r\n", "", 204, true},
        {"nor 304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "", 304, true},
        {"after interim ones",
         "HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 "
         "OK\r\n"
         "Content-Length: 1\r\n\r\nz",
         "z", 200, true},
        {"the coding counts, and the server is not trusted with another",
         "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: "
         "chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
         "a", 200, false},
        {"what follows is of nobody",
         "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\n", "a", 200, false},
        {"the server will close",
         "HTTP/1.1 500 No\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", "x", 500, false},
        {"the server is old", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "x", 200, false},
        {"without a reason", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", "x", 200, true},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        long before = server.seen->accepted;
        struct outcome o = say("/repeat", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");

        before = server.seen->accepted;
        o = say("/repeat", cases[i].answer);
        bool good = o.whole && o.heads == 1 && o.status == cases[i].status &&
                    strcmp(o.body, cases[i].body) == 0 && !strstr(o.head, "X-A") &&
                    !strstr(o.head, "X-T");
        o = say("/repeat", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        good = good && o.whole && (server.seen->accepted == before) == cases[i].again;
        if (!EXPECT(good))
            printf("#   %s\n", cases[i].name);
    }
}

static void an_answer_may_be_as_long_as_its_connection(void)
{
    struct outcome o = say("/repeat-once", "HTTP/1.1 200 OK\r\nX-A:  b \r\nX-B:\r\n\r\nall of it");

    EXPECT(o.whole && strcmp(o.body, "all of it") == 0);
    EXPECT(strstr(o.head, "X-A: b") && strstr(o.head, "X-B: \r\n"));
}

static void what_is_no_answer_is_an_error(void)
{
    static const struct {
        const char *answer, *words;
        int heads;
    } cases[] = {
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
         "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\nab", "not HTTP", 0},
        {"HTTP/1.1 42 OK\r\nContent-Length: 1\r\n\r\na", "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nX-A\r\n\r\n", "not HTTP", 0},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not HTTP", 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na", "not HTTP", 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "not HTTP",
         1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "cut short", 1},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "cut short", 1},
        {"HTTP/1.1 200 OK\r\nContent-Len", "not HTTP", 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", "not HTTP", 0},
        {"<html>", "not HTTP", 0},
        {"\r\n", "not HTTP", 0},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct outcome o = say("/repeat-once", cases[i].answer);

        if (!EXPECT(!o.whole && o.heads == cases[i].heads && o.error.code == PK_NETWORK &&
                    strstr(o.error.msg, cases[i].words)))
            printf("#   %s: %s, %d heads\n", cases[i].answer, o.error.msg, o.heads);
    }
}

/* A server that refuses before it has read all of the request. */
static void *refuse_early(void *listener)
{
    static const char answer[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    int fd = accept(*(int *)listener, NULL, NULL);
    char some[1024];

    if (recv(fd, some, sizeof some, 0) > 0)
        (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    loopback_pause(100);
    (void)close(fd);
    return NULL;
}

static void an_early_answer_is_the_answer(void)
{
    enum { LEN = 8 << 20 };
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char *body = calloc(1, LEN);
    pthread_t thread;

    EXPECT(body && bind(listener, (struct sockaddr *)&a, size) == 0 && listen(listener, 1) == 0 &&
           getsockname(listener, (struct sockaddr *)&a, &size) == 0 &&
           pthread_create(&thread, NULL, refuse_early, &listener) == 0);
    struct outcome o = ask(ntohs(a.sin_port), "/", (pk_str){body, LEN});
    EXPECT(o.whole && o.status == 413 && strcmp(o.body, "no") == 0);
    (void)pthread_join(thread, NULL);
    (void)close(listener);
    free(body);
}

/* Says more than it was asked for, and then answers over another connection. */
static void *say_too_much(void *listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno";
    int fd = accept(*(int *)listener, NULL, NULL), other;
    char some[1024];

    (void)recv(fd, some, sizeof some, 0);
    (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    loopback_pause(20);
    (void)send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
    other = accept(*(int *)listener, NULL, NULL);
    (void)recv(other, some, sizeof some, 0);
    (void)send(other, "HTTP/1.1 201 OK\r\n\r\n", 19, MSG_NOSIGNAL);
    (void)close(other);
    (void)close(fd);
    return NULL;
}

static void what_comes_behind_an_answer_is_not_the_next(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;

    EXPECT(bind(listener, (struct sockaddr *)&a, size) == 0 && listen(listener, 1) == 0 &&
           getsockname(listener, (struct sockaddr *)&a, &size) == 0 &&
           pthread_create(&thread, NULL, say_too_much, &listener) == 0);
    struct outcome o = ask(ntohs(a.sin_port), "/", PK_NONE);
    EXPECT(o.whole && o.status == 200);
    loopback_pause(60); /* nobody pumps: the connection looks idle */
    o = ask(ntohs(a.sin_port), "/", PK_NONE);
    EXPECT(o.whole && o.status == 201 && o.len == 0);
    (void)shutdown(listener, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(listener);
}

/* Whatever the bytes are, an exchange ends, once, and the next one is as good as ever. */
static void bytes_at_random_do_no_harm(void)
{
    static const char *const seeds[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.0 404 No\r\n\r\nabc",
    };
    uint64_t random = 7;
    char bytes[128];

    for (int i = 0; i < 3000; i++) {
        (void)snprintf(bytes, sizeof bytes, "%s", seeds[i % 3]);
        size_t len = strlen(bytes);
        for (uint64_t n = pk_random_next(&random) % 4; n > 0; n--)
            bytes[pk_random_next(&random) % len] = (char)pk_random_next(&random);
        struct outcome o = ask(server.port, "/repeat-once", (pk_str){bytes, len});
        EXPECT(o.heads <= 1 && (o.whole ? o.heads == 1 : o.error.code != PK_OK));
    }
    EXPECT(say("/repeat", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").whole);
}

int main(void)
{
    struct pk_xfer_options options = {.connections_max = 4, .connect_ms = 2000};
    struct pk_error err;

    server = loopback_start();
    x = pk_xfer_new(&options, &err);
    if (!x)
        abort();
    RUN(answers_are_read_to_their_end_and_no_further);
    RUN(an_answer_may_be_as_long_as_its_connection);
    RUN(what_is_no_answer_is_an_error);
    RUN(an_early_answer_is_the_answer);
    RUN(what_comes_behind_an_answer_is_not_the_next);
    RUN(bytes_at_random_do_no_harm);
    pk_xfer_free(x);
    loopback_stop(&server);
    return test_end();
}
