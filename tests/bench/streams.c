/* streams.c - a provider of event streams, and a client that reads many of them.
 *
 *     bench-streams serve EVENTS GAP_US     answers any POST with so many events, one each GAP_US
 *                                           (0: as fast as they are taken); prints its port
 *     bench-streams load PORT FILE WIDE MS  keeps WIDE streams going for so long; FILE holds the
 *                                           bytes of the request; prints figures as JSON
 *     bench-streams hold PORT FILE WIDE     opens WIDE streams, says "open N" once each has had an
 *                                           event, and reads on until its input ends
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every event is a chunk and a write of its own, as a provider's are. Both sides are one epoll loop
 * over an array of connections that the descriptor indexes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 32768, EVENTS_MAX = 512, REQUEST_MAX = 16384, FIRST_MAX = 1 << 20 };

static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                           "Transfer-Encoding: chunked\r\n\r\n";
#define EVENT(delta, finish)                                                                       \
    "data: "                                                                                       \
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,"      \
    "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"delta\":{" delta                        \
    "},\"finish_reason\":" finish "}]}\n\n"
static const char word[] = EVENT("\"content\":\" lorem\"", "null");
static const char last[] = EVENT(
    "", "\"stop\"") "data: "
                    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":"
                    "1700000000,"
                    "\"model\":\"gpt-4o-mini\",\"choices\":[],\"usage\":{\"prompt_tokens\":90,"
                    "\"completion_tokens\":60,\"total_tokens\":150}}\n\ndata: [DONE]\n\n";

/* A connection, of either side. */
struct conn {
    bool open, streaming, queued, blocked;
    int left;      /* events still to send */
    size_t out;    /* bytes of the event being sent that are gone */
    int64_t at_us; /* when the next event is due; when the request went out */
    size_t have;   /* bytes of the request that came; of a response's tail */
    char tail[8];  /* the last bytes read */
    int events;    /* read of this response */
    char *request; /* the server's */
};

static struct conn conns[FDS_MAX];
static struct epoll_event ready[EVENTS_MAX];
static int epoll;

static int64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "bench-streams: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int how, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    if (epoll_ctl(epoll, how, fd, &e) != 0)
        fail("epoll_ctl");
}

static void adopt(int fd, uint32_t events)
{
    int on = 1;

    if (fd >= FDS_MAX)
        fail("too many connections");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conns[fd] = (struct conn){.open = true, .request = conns[fd].request};
    watch(EPOLL_CTL_ADD, fd, events);
}

static void hang_up(int fd)
{
    conns[fd].open = conns[fd].streaming = false;
    (void)close(fd);
}

/* --- the provider ------------------------------------------------------------------------------ */

/* Streams in the order in which their next event is due: the gap is the same for all. */
static int queue[FDS_MAX], queue_first, queue_count;

static void enqueue(int fd)
{
    if (conns[fd].queued)
        return;
    conns[fd].queued = true;
    queue[(queue_first + queue_count++) % FDS_MAX] = fd;
}

/* What goes out next, as it lies in memory: a chunk. */
static size_t piece_of(const struct conn *c, char *piece, size_t size)
{
    const char *event = c->left > 1 ? word : last;
    int n = snprintf(piece, size, "%zx\r\n%s\r\n%s", strlen(event), event,
                     c->left > 1 ? "" : "0\r\n\r\n");

    return (size_t)n;
}

/* Sends one event, or what the socket takes of it. */
static void send_event(int fd, int gap_us)
{
    struct conn *c = &conns[fd];
    char piece[1024];
    size_t len = piece_of(c, piece, sizeof piece);
    ssize_t n = send(fd, piece + c->out, len - c->out, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        hang_up(fd);
        return;
    }
    c->out += n > 0 ? (size_t)n : 0;
    if (c->out < len) {
        c->blocked = true;
        watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
        return;
    }
    c->out = 0;
    c->at_us += gap_us;
    c->streaming = --c->left > 0;
    if (c->streaming)
        enqueue(fd);
}

/* True when a whole request has come; `c->have` is 0 again then. */
static bool whole(struct conn *c)
{
    c->request[c->have] = 0;
    const char *end = strstr(c->request, "\r\n\r\n"),
               *length = strcasestr(c->request, "content-length:");
    if (!end || !length)
        return false;
    if (c->have < (size_t)(end + 4 - c->request) + strtoul(length + 15, NULL, 10))
        return false;
    c->have = 0;
    return true;
}

static void hear(int fd, int events)
{
    struct conn *c = &conns[fd];

    if (!c->request && !(c->request = malloc(REQUEST_MAX + 1)))
        fail("memory");
    ssize_t n = recv(fd, c->request + c->have, REQUEST_MAX - c->have, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        hang_up(fd);
        return;
    }
    c->have += n > 0 ? (size_t)n : 0;
    if (c->streaming || !whole(c))
        return;
    if (send(fd, head, sizeof head - 1, MSG_NOSIGNAL) != (ssize_t)sizeof head - 1) {
        hang_up(fd);
        return;
    }
    c->left = events;
    c->streaming = true;
    c->at_us = now_us();
    enqueue(fd);
}

/* Sends what is due; each stream one event at most, so that they take turns. */
static void send_due(int gap_us)
{
    int64_t now = now_us();

    for (int turn = queue_count; turn > 0 && conns[queue[queue_first]].at_us <= now; turn--) {
        int fd = queue[queue_first];
        queue_first = (queue_first + 1) % FDS_MAX;
        queue_count--;
        conns[fd].queued = false;
        if (conns[fd].streaming && !conns[fd].blocked)
            send_event(fd, gap_us);
    }
}

static void serve_ready(int listener, int n, int events, int gap_us)
{
    for (int i = 0; i < n; i++) {
        int fd = ready[i].data.fd;
        if (fd == listener) {
            for (int new; (new = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;)
                adopt(new, EPOLLIN);
            continue;
        }
        if (ready[i].events & EPOLLOUT && conns[fd].blocked) {
            conns[fd].blocked = false;
            watch(EPOLL_CTL_MOD, fd, EPOLLIN);
            send_event(fd, gap_us);
        }
        if (conns[fd].open && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            hear(fd, events);
    }
}

static int serve(int events, int gap_us)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 4096) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        fail("listen");
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    (void)printf("%d\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    for (;;) {
        int wait = -1;
        if (queue_count > 0) {
            int64_t due = conns[queue[queue_first]].at_us - now_us();
            wait = due <= 0 ? 0 : (int)(due / 1000) + 1;
        }
        serve_ready(listener, epoll_wait(epoll, ready, EVENTS_MAX, wait), events, gap_us);
        send_due(gap_us);
    }
}

/* --- the client -------------------------------------------------------------------------------- */

static char request[REQUEST_MAX];
static size_t request_len;
static int64_t events_read, streams_read, broken;
static int first_us[FIRST_MAX], first_count, opened;

static void ask(int fd)
{
    conns[fd].at_us = now_us();
    conns[fd].events = 0;
    if (send(fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        fail("send");
}

static void dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    adopt(fd, EPOLLIN);
    ask(fd);
}

static void first_event(const struct conn *c)
{
    opened++;
    if (first_count < FIRST_MAX)
        first_us[first_count++] = (int)(now_us() - c->at_us);
}

/* Counts the empty lines, which end events, and notices the empty chunk, which ends the stream. */
static bool count(struct conn *c, const char *bytes, size_t len)
{
    bool ended = false;

    for (size_t i = 0; i < len; i++) {
        memmove(c->tail, c->tail + 1, 6);
        c->tail[6] = bytes[i];
        if (c->tail[6] != '\n')
            continue;
        if (c->tail[5] == '\n') {
            events_read++;
            if (c->events++ == 0)
                first_event(c);
        }
        ended = ended || memcmp(c->tail, "\r\n0\r\n\r\n", 7) == 0;
    }
    return ended;
}

/* Reads what came; asks again, when `again`, after the end of a stream. */
static void read_some(int fd, int port, bool again)
{
    static char bytes[65536];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        broken++;
        hang_up(fd);
        if (again && broken < 1000)
            dial(port);
        return;
    }
    if (!count(&conns[fd], bytes, (size_t)n))
        return;
    streams_read++;
    if (conns[fd].events < 2)
        broken++; /* an error, not a stream */
    if (again)
        ask(fd);
}

static void client_ready(int n, int port, bool again)
{
    for (int i = 0; i < n; i++)
        if (ready[i].data.fd != STDIN_FILENO)
            read_some(ready[i].data.fd, port, again);
}

static int by_size(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int load(int port, int wide, int ms)
{
    int64_t started = now_us(), end = started + (int64_t)ms * 1000;

    for (int i = 0; i < wide; i++)
        dial(port);
    while (now_us() < end)
        client_ready(epoll_wait(epoll, ready, EVENTS_MAX, 10), port, true);
    qsort(first_us, (size_t)first_count, sizeof *first_us, by_size);
    (void)printf("{\"events\": %lld, \"streams\": %lld, \"broken\": %lld, \"seconds\": %.3f, "
                 "\"first_us\": {\"p50\": %d, \"p90\": %d, \"p99\": %d}}\n",
                 (long long)events_read, (long long)streams_read, (long long)broken,
                 (double)(now_us() - started) / 1e6, first_us[first_count / 2],
                 first_us[first_count * 9 / 10], first_us[first_count * 99 / 100]);
    return 0;
}

static int hold(int port, int wide)
{
    bool said = false;

    watch(EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN);
    for (int i = 0; i < wide; i++)
        dial(port);
    for (;;) {
        int n = epoll_wait(epoll, ready, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++)
            if (ready[i].data.fd == STDIN_FILENO)
                return broken != 0;
        client_ready(n, port, false);
        if (said || opened + broken < wide)
            continue;
        said = true;
        (void)printf("open %d\n", opened);
        (void)fflush(stdout);
    }
}

static void read_request(const char *path)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        fail(path);
    request_len = fread(request, 1, sizeof request, f);
    (void)fclose(f);
}

int main(int argc, char **argv)
{
    struct rlimit files = {FDS_MAX, FDS_MAX};
    const char *what = argc > 1 ? argv[1] : "";

    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    epoll = epoll_create1(0);
    if (argc == 4 && strcmp(what, "serve") == 0)
        return serve((int)strtol(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10));
    if (argc < 5) {
        (void)fprintf(
            stderr,
            "bench-streams serve EVENTS GAP_US | load PORT FILE WIDE MS | hold PORT FILE WIDE\n");
        return 2;
    }
    read_request(argv[3]);
    int port = (int)strtol(argv[2], NULL, 10), wide = (int)strtol(argv[4], NULL, 10);
    return strcmp(what, "hold") == 0
               ? hold(port, wide)
               : load(port, wide, argc > 5 ? (int)strtol(argv[5], NULL, 10) : 1000);
}
