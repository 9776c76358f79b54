/* serve.c - one epoll loop for thousands of connections, with a heap of timers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A connection reads a request, then sends its answer piece by piece as each falls due, then reads
 * again; it does not read while it answers, but notices when the client leaves. The timers of all
 * connections are in one heap, whose first one sets a timerfd: microseconds, not milliseconds.
 */
#include "serve.h"

#include "answer.h"
#include "realtime.h"
#include "stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <http_parser.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 512,
    READ_BYTES = 64 << 10,
    BODY_BYTES_MAX = 256 << 20,
    OUT_BYTES_MAX = 1 << 20
};

struct conn {
    int fd;
    struct http_parser parser;
    struct text in; /* bytes not parsed yet: requests that came while one was answered */
    struct text url, name, headers, body;
    bool in_value;   /* the last header bytes were of a value */
    bool answering;  /* a whole request came; its answer is not all sent */
    uint32_t events; /* what epoll watches, besides EPOLLRDHUP */
    bool gone;       /* to be freed at the end of the turn */
    bool socket;     /* a WebSocket: no requests any more */
    struct text out; /* of a WebSocket: not sent yet */
    struct realtime realtime;
    bool counted; /* among those in flight; the own pages of the mock are not */
    struct wire wire;
    int piece;          /* the one being sent */
    size_t sent, limit; /* bytes sent; bytes that may be sent by now */
    int64_t due_us;     /* when the next piece may go; 0 = no timer */
    size_t heap_at;     /* its place in the heap while due_us != 0 */
    struct conn *next_gone;
};

static struct {
    int epoll, listener, timer, signals;
    struct conn **heap;
    size_t heap_count, heap_cap;
    struct conn *gone;
    int64_t started_us;
} loop;

static int64_t now_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* --- timers ---------------------------------------------------------------------------------- */

static void heap_put(size_t at, struct conn *c)
{
    loop.heap[at] = c;
    c->heap_at = at;
}

static void heap_up(size_t at)
{
    struct conn *c = loop.heap[at];

    for (; at > 0 && loop.heap[(at - 1) / 2]->due_us > c->due_us; at = (at - 1) / 2)
        heap_put(at, loop.heap[(at - 1) / 2]);
    heap_put(at, c);
}

static void heap_down(size_t at)
{
    struct conn *c = loop.heap[at];

    for (size_t child = at * 2 + 1; child < loop.heap_count; child = at * 2 + 1) {
        if (child + 1 < loop.heap_count && loop.heap[child + 1]->due_us < loop.heap[child]->due_us)
            child++;
        if (loop.heap[child]->due_us >= c->due_us)
            break;
        heap_put(at, loop.heap[child]);
        at = child;
    }
    heap_put(at, c);
}

static void timer_stop(struct conn *c)
{
    size_t at = c->heap_at;

    if (c->due_us == 0)
        return;
    c->due_us = 0;
    loop.heap_count--;
    if (at == loop.heap_count)
        return;
    heap_put(at, loop.heap[loop.heap_count]);
    heap_up(at);
    heap_down(at);
}

static void timer_start(struct conn *c, int64_t due_us)
{
    timer_stop(c);
    if (loop.heap_count == loop.heap_cap) {
        loop.heap_cap = loop.heap_cap ? loop.heap_cap * 2 : 256;
        loop.heap = grown(loop.heap, loop.heap_cap * sizeof(struct conn *));
    }
    c->due_us = due_us;
    heap_put(loop.heap_count, c);
    heap_up(loop.heap_count++);
}

static void timer_arm(void)
{
    int64_t due = loop.heap_count ? loop.heap[0]->due_us : 0;
    struct itimerspec when = {0};

    when.it_value.tv_sec = due / 1000000;
    when.it_value.tv_nsec = due % 1000000 * 1000;
    (void)timerfd_settime(loop.timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* --- connections ----------------------------------------------------------------------------- */

static void watch(struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events | EPOLLRDHUP, .data.ptr = c};

    if (c->events == events)
        return;
    c->events = events;
    (void)epoll_ctl(loop.epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

static void answered(struct conn *c)
{
    stats.in_flight -= c->counted;
    c->answering = false;
    wire_free(&c->wire);
    timer_stop(c);
}

/* Closes now; the memory goes when the events of this turn are all handled. */
static void hang_up(struct conn *c)
{
    if (c->gone)
        return;
    if (c->answering)
        answered(c);
    (void)close(c->fd);
    stats.open--;
    c->gone = true;
    c->next_gone = loop.gone;
    loop.gone = c;
}

static void free_gone(void)
{
    while (loop.gone) {
        struct conn *c = loop.gone;
        loop.gone = c->next_gone;
        text_free(&c->in);
        text_free(&c->url);
        text_free(&c->name);
        text_free(&c->headers);
        text_free(&c->body);
        text_free(&c->out);
        text_free(&c->realtime.message);
        free(c);
    }
}

/* The client left before it had its answer. */
static void aborted(struct conn *c)
{
    if (c->answering)
        stats.aborted++;
    hang_up(c);
}

/* --- sending --------------------------------------------------------------------------------- */

/* Lets due pieces go; false when the next one has to wait. */
static bool next_piece(struct conn *c)
{
    struct piece *p = &c->wire.pieces[c->piece];

    if (p->wait_ms > 0 && c->due_us == 0) {
        timer_start(c, now_us() + p->wait_ms * 1000);
        return false;
    }
    if (c->due_us > now_us())
        return false;
    timer_stop(c);
    c->limit += p->bytes;
    c->piece++;
    return true;
}

/* Sends up to the limit; false when the socket is full or broken. */
static bool send_some(struct conn *c)
{
    while (c->sent < c->limit) {
        ssize_t n = send(c->fd, c->wire.bytes.at + c->sent, c->limit - c->sent, MSG_NOSIGNAL);
        if (n >= 0) {
            c->sent += (size_t)n;
        } else if (errno == EAGAIN || errno == EINTR) {
            watch(c, EPOLLOUT);
            return false;
        } else {
            aborted(c);
            return false;
        }
    }
    return true;
}

/* Whether the connection goes on with the next request. */
static bool finish(struct conn *c)
{
    enum ending ending = c->wire.ending;
    bool keep = http_should_keep_alive(&c->parser);

    if (ending == END_STALL)
        return false;
    answered(c);
    if (ending == END_KEEP && keep) {
        watch(c, EPOLLIN);
        return true;
    }
    hang_up(c);
    return false;
}

/* Sends what is due; true when the answer is out and the connection goes on. */
static bool pump(struct conn *c)
{
    if (!send_some(c))
        return false;
    while (c->piece < c->wire.count) {
        if (!next_piece(c) || !send_some(c))
            return false;
    }
    return finish(c);
}

/* --- parsing --------------------------------------------------------------------------------- */

static int on_begin(http_parser *p)
{
    struct conn *c = p->data;

    c->url.len = c->name.len = c->headers.len = c->body.len = 0;
    c->in_value = false;
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    text_add(&c->url, at, len);
    return c->url.len > READ_BYTES;
}

static int on_name(http_parser *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    if (c->in_value)
        text_adds(&c->headers, "\n");
    c->in_value = false;
    for (size_t i = 0; i < len; i++) {
        char lower = (char)(at[i] >= 'A' && at[i] <= 'Z' ? at[i] + 32 : at[i]);
        text_add(&c->headers, &lower, 1);
    }
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    if (!c->in_value)
        text_adds(&c->headers, ": ");
    c->in_value = true;
    text_add(&c->headers, at, len);
    return 0;
}

/* A client that asks whether it may send its body waits for this. */
static int on_headers(http_parser *p)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct conn *c = p->data;
    struct ask a = {.headers = &c->headers};
    char expect[32];

    if (c->in_value)
        text_adds(&c->headers, "\n");
    ask_header(&a, "expect", expect, sizeof(expect));
    if (expect[0])
        (void)!send(c->fd, go_on, sizeof(go_on) - 1, MSG_NOSIGNAL);
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct conn *c = p->data;

    text_add(&c->body, at, len);
    return c->body.len > BODY_BYTES_MAX;
}

static int on_complete(http_parser *p)
{
    struct conn *c = p->data;

    c->answering = true;
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_url = on_url,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static void start_answer(struct conn *c)
{
    c->counted = !c->url.at || strncmp(c->url.at, "/__mock/", 8) != 0;
    stats.in_flight += c->counted;
    if (stats.in_flight > stats.max_in_flight)
        stats.max_in_flight = stats.in_flight;
    c->piece = 0;
    c->sent = c->limit = 0;
    answer(http_method_str((enum http_method)c->parser.method), c->url.at ? c->url.at : "/",
           &c->headers, &c->body, (now_us() - loop.started_us) / 1000, &c->wire);
}

/* --- a WebSocket ----------------------------------------------------------------------------- */

/* Sends what waits; the client's next bytes wait while it does not read. */
static void send_out(struct conn *c)
{
    ssize_t n = c->out.len ? send(c->fd, c->out.at, c->out.len, MSG_NOSIGNAL) : 0;

    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(c);
        return;
    }
    text_drop(&c->out, n > 0 ? (size_t)n : 0);
    if (c->out.len == 0 && c->realtime.over)
        hang_up(c);
    else
        watch(c, (c->out.len ? (uint32_t)EPOLLOUT : 0) |
                     (c->out.len > OUT_BYTES_MAX ? 0 : (uint32_t)EPOLLIN));
}

static void talk(struct conn *c)
{
    realtime_read(&c->realtime, &c->in, &c->out);
    if (c->realtime.dropped)
        hang_up(c);
    else
        send_out(c);
}

/* Begins a session when that is what was asked for; false: it is another request, or is refused like one. */
static bool upgrade(struct conn *c)
{
    struct ask a = {.method = "GET",
                    .path = c->url.at ? c->url.at : "/",
                    .headers = &c->headers,
                    .body = &c->body,
                    .model = ""};

    if (!c->parser.upgrade || !realtime_begin(&c->realtime, &a, &c->out))
        return false;
    stats_note(&a, (now_us() - loop.started_us) / 1000);
    c->socket = true;
    c->answering = false;
    talk(c);
    return true;
}

/* Parses what was read, up to the end of one request; true when an answer is ready to go. */
static bool parse(struct conn *c)
{
    http_parser_pause(&c->parser, 0);
    size_t done = http_parser_execute(&c->parser, &settings, c->in.at, c->in.len);
    if (c->answering) {
        text_drop(&c->in, done);
        if (upgrade(c))
            return false;
        start_answer(c);
        return true;
    }
    if (c->parser.http_errno != HPE_OK || c->parser.upgrade)
        hang_up(c);
    else
        c->in.len = 0;
    return false;
}

/* Answers as many requests as are here and need no waiting. */
static void go_on(struct conn *c)
{
    bool more = c->answering ? pump(c) : true;

    while (more)
        more = c->in.len > 0 && parse(c) && pump(c);
}

static void readable(struct conn *c)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

    if (n > 0) {
        text_add(&c->in, bytes, (size_t)n);
        if (c->socket)
            talk(c);
        else
            go_on(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        aborted(c);
    }
}

/* --- the loop -------------------------------------------------------------------------------- */

static void greet(void)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP};
    int fd, one = 1;

    while ((fd = accept4(loop.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = grown(NULL, sizeof(*c));
        *c = (struct conn){.fd = fd, .events = EPOLLIN};
        http_parser_init(&c->parser, HTTP_REQUEST);
        c->parser.data = c;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        ev.data.ptr = c;
        (void)epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &ev);
        stats.connections_accepted++;
        stats.open++;
    }
}

static void ring(void)
{
    uint64_t times;

    (void)!read(loop.timer, &times, sizeof(times));
    while (loop.heap_count && loop.heap[0]->due_us <= now_us())
        go_on(loop.heap[0]);
}

static void handle(struct conn *c, uint32_t events)
{
    if (c->gone)
        return;
    if (c->socket) {
        if (events & EPOLLOUT)
            send_out(c);
        if (!c->gone && events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP))
            readable(c);
        return;
    }
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP) && c->answering) {
        aborted(c);
        return;
    }
    if (events & EPOLLOUT && c->answering) {
        watch(c, 0);
        go_on(c);
    } else if (c->answering) {
        watch(c, 0); /* the next request waits until this one is answered */
    } else {
        readable(c);
    }
}

static void run(void)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        timer_arm();
        int n = epoll_wait(loop.epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == &loop.signals)
                return;
            if (events[i].data.ptr == &loop.listener)
                greet();
            else if (events[i].data.ptr != &loop.timer)
                handle(events[i].data.ptr, events[i].events);
        }
        ring();
        free_gone();
    }
}

static void add(int *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fd};

    (void)epoll_ctl(loop.epoll, EPOLL_CTL_ADD, *fd, &ev);
}

static bool listen_on(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(at);
    int one = 1;

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    loop.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)setsockopt(loop.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (loop.listener < 0 || bind(loop.listener, (struct sockaddr *)&at, len) != 0 ||
        listen(loop.listener, 4096) != 0 ||
        getsockname(loop.listener, (struct sockaddr *)&at, &len) != 0) {
        perror("mockd: listen");
        return false;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    return fflush(stdout) == 0;
}

static void more_files(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

int serve(int port)
{
    sigset_t ends;

    more_files();
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    loop.started_us = now_us();
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop.signals = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    if (loop.epoll < 0 || loop.timer < 0 || loop.signals < 0 || !listen_on(port))
        return 1;
    add(&loop.listener);
    add(&loop.timer);
    add(&loop.signals);
    run();
    return 0;
}
