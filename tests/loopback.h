/* loopback.h - a small HTTP server for tests and benches: a child process, a thread a connection.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The path of a request says how to misbehave (see `answers`). What the server saw is in shared
 * memory.
 */
#ifndef PK_LOOPBACK_H
#define PK_LOOPBACK_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct loopback {
    int port;
    pid_t pid;
    struct loopback_seen {
        atomic_long accepted, requests, open,
            sent;               /* connections, requests, open now, body bytes */
        atomic_llong closed_us; /* when a client went away from /wait */
    } * seen;
};

/* One connection. */
struct loopback_conn {
    int fd;
    struct loopback_seen *seen;
    char in[256 << 10];
    size_t len, used; /* bytes read, and those of the request being answered */
};

static inline long long loopback_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static inline bool loopback_send(struct loopback_conn *c, const char *bytes, size_t len)
{
    while (len) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static inline bool loopback_say(struct loopback_conn *c, const char *text)
{
    return loopback_send(c, text, strlen(text));
}

static inline bool loopback_reply(struct loopback_conn *c, const char *head, const char *body,
                                  size_t len)
{
    char text[512];
    int n = snprintf(
        text, sizeof text,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n", head,
        len);

    /* One write where it fits, as servers do. */
    if ((size_t)n + len <= sizeof text) {
        memcpy(text + n, body, len);
        return loopback_send(c, text, (size_t)n + len);
    }
    return loopback_send(c, text, (size_t)n) && loopback_send(c, body, len);
}

static inline bool loopback_ok(struct loopback_conn *c)
{
    return loopback_reply(c, "X-Request-Id: r1\r\n", "{\"ok\":true}", 11);
}

/* The request itself, as it came. */
static inline bool loopback_echo(struct loopback_conn *c)
{
    return loopback_reply(c, "", c->in, c->used);
}

/* The same as an error. */
static inline bool loopback_denied(struct loopback_conn *c)
{
    char head[96];
    int n = snprintf(head, sizeof head, "HTTP/1.1 401 Unauthorized\r\nContent-Length: %zu\r\n\r\n",
                     c->used);

    return loopback_send(c, head, (size_t)n) && loopback_send(c, c->in, c->used);
}

static inline void loopback_pause(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    (void)nanosleep(&t, NULL);
}

static inline bool loopback_slow(struct loopback_conn *c)
{
    loopback_pause(2000);
    return loopback_ok(c);
}

/* The same once more, in two pieces that part amid the key, which is in a header of the answer too. */
static inline bool loopback_split(struct loopback_conn *c)
{
    char head[256];
    char *key = memmem(c->in, c->used, "Bearer ", 7);
    size_t first = key ? (size_t)(key - c->in) + 13 : 0;
    int n =
        snprintf(head, sizeof head,
                 "HTTP/1.1 401 Unauthorized\r\nX-Request-Id: %.*s\r\nContent-Length: %zu\r\n\r\n",
                 key ? (int)strcspn(key, "\r") : 0, key, c->used);

    if (!loopback_send(c, head, (size_t)n) || !loopback_send(c, c->in, first))
        return false;
    loopback_pause(30);
    return loopback_send(c, c->in + first, c->used - first);
}

static inline bool loopback_chunks(struct loopback_conn *c)
{
    if (!loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"))
        return false;
    for (int i = 0; i < 5; i++) {
        loopback_pause(10);
        if (!loopback_say(c, "9\r\ndata: x\n\n\r\n"))
            return false;
    }
    return loopback_say(c, "0\r\nX-Sum: 5\r\n\r\n");
}

/* `total` bytes of body, counting what the socket took. */
static inline bool loopback_pour(struct loopback_conn *c, size_t total)
{
    static const char block[8192];

    for (size_t sent = 0; sent < total; sent += sizeof block) {
        if (!loopback_send(c, block, sizeof block))
            return false;
        c->seen->sent += sizeof block;
    }
    return true;
}

static inline bool loopback_big(struct loopback_conn *c)
{
    return loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n") &&
           loopback_pour(c, 10 << 20);
}

static inline bool loopback_endless(struct loopback_conn *c)
{
    (void)(loopback_say(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n") &&
           loopback_pour(c, 1 << 30));
    return false;
}

/* Says nothing; notes when the client goes. */
static inline bool loopback_wait(struct loopback_conn *c)
{
    char byte;

    (void)recv(c->fd, &byte, 1, 0);
    c->seen->closed_us = loopback_us();
    return false;
}

static inline bool loopback_stall(struct loopback_conn *c)
{
    return loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789") &&
           loopback_wait(c);
}

static inline bool loopback_reset(struct loopback_conn *c)
{
    struct linger now = {1, 0};

    (void)loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    loopback_pause(20);
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    return false;
}

static inline bool loopback_short(struct loopback_conn *c)
{
    (void)loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
    return false;
}

static inline bool loopback_cut(struct loopback_conn *c)
{
    (void)loopback_say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    return false;
}

static inline bool loopback_headers(struct loopback_conn *c)
{
    (void)loopback_say(c, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 4096; i++)
        if (!loopback_say(c, "X-Filler: 0123456789012345678901234567890123456789\r\n"))
            return false;
    return loopback_say(c, "Content-Length: 0\r\n\r\n");
}

static inline bool loopback_interim(struct loopback_conn *c)
{
    return loopback_say(c, "HTTP/1.1 103 Early Hints\r\nLink: early\r\n\r\n") &&
           loopback_say(c, "HTTP/1.1 102 Processing\r\n\r\n") && loopback_ok(c);
}

static inline bool loopback_redirect(struct loopback_conn *c)
{
    return loopback_say(c, "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n");
}

static inline bool loopback_cookie(struct loopback_conn *c)
{
    return loopback_reply(c, "Set-Cookie: a=b\r\n", c->in, c->used);
}

static inline bool loopback_huge(struct loopback_conn *c)
{
    (void)loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
    return loopback_wait(c);
}

static inline bool loopback_garbage(struct loopback_conn *c)
{
    (void)loopback_say(c, "SSH-2.0-OpenSSH_9.2\r\n");
    return false;
}

static inline bool loopback_nothing(struct loopback_conn *c)
{
    (void)c;
    return false;
}

static inline bool loopback_last(struct loopback_conn *c)
{
    (void)loopback_reply(c, "Connection: close\r\n", "{}", 2);
    return false;
}

/* A good answer, then the connection is closed although nothing said so. */
static inline bool loopback_fickle(struct loopback_conn *c)
{
    (void)loopback_ok(c);
    return false;
}

static inline bool loopback_limited(struct loopback_conn *c)
{
    return loopback_say(c, "HTTP/1.1 429 Too Many Requests\r\nRetry-After-Ms: 30\r\n"
                           "Content-Length: 2\r\n\r\n{}");
}

static inline bool loopback_chat(struct loopback_conn *c)
{
    static const char body[] =
        "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{"
        "\"index\":0,"
        "\"message\":{\"role\":\"assistant\",\"content\":\"hello\"},\"finish_reason\":\"stop\"}],"
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}";

    return loopback_reply(c, "X-Request-Id: r1\r\n", body, sizeof body - 1);
}

static inline bool loopback_stream(struct loopback_conn *c)
{
    static const char *const events[] = {
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,"
        "\"delta\":{\"role\":\"assistant\",\"content\":\"hel\"},\"finish_reason\":null}]}",
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,"
        "\"delta\":{\"content\":\"lo\"},\"finish_reason\":null}]}",
        "{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\","
        "\"choices\":[{\"index\":0,"
        "\"delta\":{},\"finish_reason\":\"stop\"}]}",
        "[DONE]",
    };
    char text[512];

    if (!loopback_say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         "Transfer-Encoding: chunked\r\n\r\n"))
        return false;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        (void)snprintf(text, sizeof text, "%zx\r\ndata: %s\n\n\r\n", strlen(events[i]) + 8,
                       events[i]);
        loopback_pause(5);
        if (!loopback_say(c, text))
            return false;
    }
    return loopback_say(c, "0\r\n\r\n");
}

/* An OAuth token, after a while in which others can come to want it too. */
static inline bool loopback_token(struct loopback_conn *c)
{
    char body[96];
    int n = snprintf(body, sizeof body, "{\"access_token\":\"token-%ld\",\"expires_in\":3600}",
                     (long)c->seen->requests);

    loopback_pause(100);
    return loopback_reply(c, "", body, (size_t)n);
}

/* Whatever the request's body is, as the answer. */
static inline bool loopback_repeat(struct loopback_conn *c)
{
    const char *body = (const char *)memmem(c->in, c->used, "\r\n\r\n", 4) + 4;

    return loopback_send(c, body, c->used - (size_t)(body - c->in));
}

/* The same, and no more. */
static inline bool loopback_repeat_once(struct loopback_conn *c)
{
    (void)loopback_repeat(c);
    return false;
}

/* Each answers one request; false closes the connection. */
static const struct {
    const char *path;
    bool (*answer)(struct loopback_conn *c);
} loopback_answers[] = {
    {"/ok", loopback_ok},           {"/echo", loopback_echo},
    {"/denied", loopback_denied},   {"/chunks", loopback_chunks},
    {"/big", loopback_big},         {"/endless", loopback_endless},
    {"/wait", loopback_wait},       {"/stall", loopback_stall},
    {"/reset", loopback_reset},     {"/short", loopback_short},
    {"/cut", loopback_cut},         {"/headers", loopback_headers},
    {"/interim", loopback_interim}, {"/redirect", loopback_redirect},
    {"/cookie", loopback_cookie},   {"/huge", loopback_huge},
    {"/garbage", loopback_garbage}, {"/nothing", loopback_nothing},
    {"/last", loopback_last},       {"/fickle", loopback_fickle},
    {"/limited", loopback_limited}, {"/chat", loopback_chat},
    {"/stream", loopback_stream},   {"/split", loopback_split},
    {"/slow", loopback_slow},       {"/token", loopback_token},
    {"/repeat", loopback_repeat},   {"/repeat-once", loopback_repeat_once},
};

/* Reads until a request is whole; false when the client has gone. */
static inline bool loopback_read(struct loopback_conn *c)
{
    c->len -= c->used;
    memmove(c->in, c->in + c->used, c->len);
    c->used = 0;
    for (;;) {
        char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
        char *length = end ? memmem(c->in, (size_t)(end - c->in), "Content-Length: ", 16) : NULL;

        if (end) {
            c->used = (size_t)(end + 4 - c->in) + (length ? (size_t)atol(length + 16) : 0);
            if (c->len >= c->used)
                return true;
        }
        ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);
        if (n <= 0)
            return false;
        c->len += (size_t)n;
    }
}

static inline bool loopback_answer(struct loopback_conn *c)
{
    const char *path = strchr(c->in, '/');
    size_t count = sizeof loopback_answers / sizeof *loopback_answers;

    c->seen->requests++;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(loopback_answers[i].path);

        if (strncmp(path, loopback_answers[i].path, len) == 0 &&
            (path[len] == ' ' || path[len] == '/' || path[len] == '?'))
            return loopback_answers[i].answer(c);
    }
    return loopback_say(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

static inline void *loopback_serve(void *self)
{
    struct loopback_conn *c = self;

    while (loopback_read(c) && loopback_answer(c))
        continue;
    (void)close(c->fd);
    c->seen->open--;
    free(c);
    return NULL;
}

static inline void loopback_accept(int listener, struct loopback_seen *seen)
{
    int fd = accept(listener, NULL, NULL), on = 1;
    struct loopback_conn *c = calloc(1, sizeof *c);
    pthread_attr_t small;
    pthread_t thread;

    if (fd < 0 || !c)
        abort();
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->fd = fd;
    c->seen = seen;
    seen->accepted++;
    seen->open++;
    (void)pthread_attr_init(&small);
    (void)pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&small, 256 << 10);
    if (pthread_create(&thread, &small, loopback_serve, c) != 0)
        abort();
}

/* Starts the server on a port that the kernel picks. */
static inline struct loopback loopback_start(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct loopback s = {.seen = mmap(NULL, sizeof *s.seen, PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0)};

    if (bind(listener, (struct sockaddr *)&a, len) != 0 || listen(listener, 1024) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &len) != 0)
        abort();
    s.port = ntohs(a.sin_port);
    s.pid = fork();
    if (s.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            loopback_accept(listener, s.seen);
    }
    (void)close(listener);
    return s;
}

static inline void loopback_stop(struct loopback *s)
{
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
    (void)munmap(s->seen, sizeof *s->seen);
}

#endif
