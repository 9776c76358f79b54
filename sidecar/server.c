/* server.c - sockets, deadlines and the turn of the loop; what a connection says is in conn.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A connection is registered once, edge triggered, for its whole life. Whatever wants to go on is put in a
 * queue that the turn works off, so that no callback nests in another.
 */
#include "conn.h"

#include "wait.h"
#include "xfer.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    WATCHED_MAX = 4,
    EVENTS_MAX = 256,
    ACCEPTS_MAX = 64, /* in one go, so that others get their turn */
    LINGER_MS = 2000,
    LAST_MS = 250,         /* for a request that was under way when draining began */
    ACCEPT_AGAIN_MS = 100, /* after the process ran out of descriptors */
    SPARES_MAX = 256,
};

struct list {
    struct pkd_conn *first, *last;
};

struct pkd_server {
    struct pkd_server_options options;
    struct pkd_server_host host;
    int epoll;
    struct pk_wait wait;
    struct pkd_socket listeners[PKD_SOCKETS_MAX];
    int listener_count;
    int watched[WATCHED_MAX];
    int watched_count;
    bool draining, full; /* full: listeners are silent for now */
    int64_t accept_again_ms;
    int64_t now_ms; /* when its turn began */
    struct list timers[PKD_T_COUNT];
    struct pkd_conn *queue, **queue_end;
    struct pkd_conn *closed; /* to be freed when the turn ends */
    struct pkd_conn *spares;
    int count, spare_count;
    int64_t accepted, malformed; /* since the start */
    struct pkd_heads heads;
    time_t date_at;
    char date[64];
    size_t date_len;
};

static void unlink_timer(struct pkd_server *s, struct pkd_conn *c)
{
    struct list *l = &s->timers[c->timer];

    if (c->prev)
        c->prev->next = c->next;
    else
        l->first = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        l->last = c->prev;
    c->prev = c->next = NULL;
}

static void link_timer(struct pkd_server *s, struct pkd_conn *c, enum pkd_timer timer)
{
    struct list *l = &s->timers[timer];

    c->timer = timer;
    c->prev = l->last;
    if (l->last)
        l->last->next = c;
    else
        l->first = c;
    l->last = c;
}

static int64_t term_ms(const struct pkd_server *s, enum pkd_timer timer)
{
    switch (timer) {
    case PKD_T_IDLE: return s->options.idle_ms;
    case PKD_T_HEAD: return s->options.head_ms;
    case PKD_T_BODY: return s->options.body_ms;
    case PKD_T_WRITE: return s->options.write_ms;
    case PKD_T_LINGER: return LINGER_MS;
    case PKD_T_LAST: return LAST_MS;
    case PKD_T_NONE:
    case PKD_T_COUNT: break;
    }
    return 0;
}

void pkd_server_set_timer(struct pkd_server *s, struct pkd_conn *c, enum pkd_timer timer)
{
    unlink_timer(s, c);
    c->deadline_ms = timer == PKD_T_NONE ? INT64_MAX : s->now_ms + term_ms(s, timer);
    link_timer(s, c, timer);
}

void pkd_server_queue(struct pkd_server *s, struct pkd_conn *c)
{
    if (c->queued)
        return;
    c->queued = true;
    c->queue_next = NULL;
    *s->queue_end = c;
    s->queue_end = &c->queue_next;
}

const struct pkd_server_host *pkd_server_host_of(const struct pkd_server *s)
{
    return &s->host;
}

bool pkd_server_draining(const struct pkd_server *s)
{
    return s->draining;
}

struct pkd_heads *pkd_server_heads(struct pkd_server *s)
{
    return &s->heads;
}

pk_str pkd_server_date(struct pkd_server *s)
{
    time_t now = time(NULL);
    struct tm utc;

    if (now != s->date_at) {
        s->date_at = now;
        (void)gmtime_r(&now, &utc);
        s->date_len =
            strftime(s->date, sizeof s->date, "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc);
    }
    return (pk_str){s->date, s->date_len};
}

/* --- connections ------------------------------------------------------------------------- */

static struct pkd_conn *new_conn(struct pkd_server *s)
{
    struct pkd_conn *c = s->spares;

    if (!c)
        return calloc(1, sizeof *c);
    s->spares = c->queue_next;
    s->spare_count--;
    memset(c, 0, sizeof *c);
    return c;
}

static bool epoll_add(const struct pkd_server *s, int fd, uint32_t events, void *ptr)
{
    struct epoll_event ev = {.events = events, .data = {.ptr = ptr}};

    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void add_conn(struct pkd_server *s, int fd, bool local)
{
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    struct pkd_conn *c = new_conn(s);
    bool plain = local || !s->options.tls;
    struct ssl_st *tls = plain ? NULL : pkd_tls_accept(s->options.tls, fd);

    if (!c || (!tls && !plain) || !epoll_add(s, fd, events, c)) {
        pkd_tls_drop(tls);
        free(c);
        (void)close(fd);
        return;
    }
    c->server = s;
    c->fd = fd;
    c->tls = tls;
    c->local = local;
    pkd_message_init(&c->message);
    s->count++;
    s->accepted++;
    link_timer(s, c, PKD_T_NONE);
    pkd_server_set_timer(s, c, PKD_T_HEAD);
}

void pkd_server_close(struct pkd_server *s, struct pkd_conn *c)
{
    if (c->fd < 0)
        return;
    if (c->state == PKD_CALL && c->kind)
        c->kind->closed(c->owner, c);
    c->kind = NULL;
    unlink_timer(s, c);
    pkd_conn_release(c);
    c->fd = -1;
    s->count--;
    if (!c->queued) { /* else the queue still names it, and frees it */
        c->next = s->closed;
        s->closed = c;
    }
}

static void free_closed(struct pkd_server *s)
{
    while (s->closed) {
        struct pkd_conn *c = s->closed;

        s->closed = c->next;
        if (s->spare_count < SPARES_MAX) {
            c->queue_next = s->spares;
            s->spares = c;
            s->spare_count++;
        } else {
            free(c);
        }
    }
}

static void run_queue(struct pkd_server *s)
{
    struct pkd_conn *c = s->queue, *next;

    s->queue = NULL; /* what is queued from here on waits for the next turn */
    s->queue_end = &s->queue;
    for (; c; c = next) {
        next = c->queue_next;
        c->queued = false;
        if (c->fd >= 0) {
            pkd_conn_run(c);
        } else {
            c->next = s->closed;
            s->closed = c;
        }
    }
}

/* A request may be on its way: it is answered, and told that none may follow. */
static void hurry_idle(struct pkd_server *s, enum pkd_timer timer)
{
    for (struct pkd_conn *c = s->timers[timer].first, *next; c; c = next) {
        next = c->next;
        if (c->state == PKD_IDLE)
            pkd_server_set_timer(s, c, PKD_T_LAST);
    }
}

/* --- listeners --------------------------------------------------------------------------- */

/* Silences or wakes the listeners: a full process must not spin on them. */
static void set_accepting(struct pkd_server *s, bool accepting)
{
    for (int i = 0; i < s->listener_count; i++) {
        struct epoll_event ev = {.events = accepting ? EPOLLIN : 0,
                                 .data = {.ptr = &s->listeners[i]}};

        (void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, s->listeners[i].fd, &ev);
    }
    s->full = !accepting;
    s->accept_again_ms = accepting ? INT64_MAX : pk_clock_ms() + ACCEPT_AGAIN_MS;
}

static void accept_all(struct pkd_server *s, const struct pkd_socket *l)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        if (s->count >= s->options.connections_max) {
            set_accepting(s, false);
            return;
        }
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            add_conn(s, fd, l->local);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            set_accepting(s, false);
        return;
    }
}

bool pkd_server_listen(struct pkd_server *s, const struct pkd_socket *socket, struct pk_error *err)
{
    struct pkd_socket *l = &s->listeners[s->listener_count];

    PK_ASSERT(s->listener_count < PKD_SOCKETS_MAX);
    *l = *socket;
    s->listener_count++;
    if (!epoll_add(s, l->fd, EPOLLIN, l))
        return pk_fail(err, PK_NETWORK, "epoll: %s", strerror(errno));
    return true;
}

bool pkd_server_watch(struct pkd_server *s, int fd, struct pk_error *err)
{
    int *slot = &s->watched[s->watched_count];

    PK_ASSERT(s->watched_count < WATCHED_MAX);
    *slot = fd;
    if (!epoll_add(s, fd, EPOLLIN, slot))
        return pk_fail(err, PK_NETWORK, "epoll: %s", strerror(errno));
    s->watched_count++;
    return true;
}

/* --- the turn ---------------------------------------------------------------------------- */

static void on_conn(struct pkd_conn *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (events & (EPOLLIN | EPOLLRDHUP))
        c->readable = true;
    if (events & EPOLLRDHUP)
        c->ended = true;
    if (events & (EPOLLERR | EPOLLHUP))
        c->broken = true;
    if (events & EPOLLOUT && c->tls)
        c->readable = true; /* a handshake that waited to write goes on in a read */
    if (events & EPOLLOUT && !c->broken)
        pkd_conn_flush(c);
    if (c->fd >= 0)
        pkd_conn_run(c);
}

static bool is_one_of(const void *ptr, const void *array, size_t size)
{
    return (uintptr_t)ptr - (uintptr_t)array < size;
}

static void on_event(struct pkd_server *s, const struct epoll_event *ev)
{
    void *ptr = ev->data.ptr;

    if (is_one_of(ptr, s->watched, sizeof s->watched))
        s->host.ready(s->host.ctx, *(const int *)ptr);
    else if (is_one_of(ptr, s->listeners, sizeof s->listeners))
        accept_all(s, ptr);
    else
        on_conn(ptr, ev->events);
}

static void expire(struct pkd_server *s, int64_t now_ms)
{
    for (int t = PKD_T_IDLE; t < PKD_T_COUNT; t++) {
        struct pkd_conn *c = s->timers[t].first;

        while (c && c->deadline_ms <= now_ms) {
            pkd_conn_expire(c);
            PK_ASSERT(s->timers[t].first != c); /* it got another deadline, or is gone */
            c = s->timers[t].first;
        }
    }
    if (s->full && !s->draining && now_ms >= s->accept_again_ms)
        set_accepting(s, true);
}

static int wait_ms(const struct pkd_server *s, int64_t until_ms)
{
    int64_t first = until_ms < s->accept_again_ms ? until_ms : s->accept_again_ms;

    if (s->queue || until_ms <= 0)
        return 0;
    for (int t = PKD_T_IDLE; t < PKD_T_COUNT; t++)
        if (s->timers[t].first && s->timers[t].first->deadline_ms < first)
            first = s->timers[t].first->deadline_ms;
    if (first == INT64_MAX)
        return -1;
    int64_t now = pk_clock_ms();
    if (first <= now)
        return 0;
    return first - now > 60000 ? 60000 : (int)(first - now);
}

void pkd_server_turn(struct pkd_server *s, int64_t until_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = pk_wait_epoll(&s->wait, s->epoll, events, EVENTS_MAX, wait_ms(s, until_ms));

    s->now_ms = pk_clock_ms();
    for (int i = 0; i < count; i++)
        on_event(s, &events[i]);
    run_queue(s);
    expire(s, s->now_ms);
    free_closed(s);
}

struct pkd_server *pkd_server_new(const struct pkd_server_options *o,
                                  const struct pkd_server_host *host, struct pk_error *err)
{
    struct pkd_server *s = calloc(1, sizeof *s);

    if (!s) {
        (void)pk_fail(err, PK_NO_MEMORY, "no memory for a server");
        return NULL;
    }
    s->options = *o;
    s->host = *host;
    s->queue_end = &s->queue;
    s->accept_again_ms = INT64_MAX;
    s->now_ms = pk_clock_ms();
    pkd_heads_init(&s->heads);
    pk_wait_init(&s->wait, (int)o->busy_poll_us);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0) {
        (void)pk_fail(err, PK_NETWORK, "epoll: %s", strerror(errno));
        free(s);
        return NULL;
    }
    return s;
}

static void close_listeners(struct pkd_server *s)
{
    for (int i = 0; i < s->listener_count; i++)
        (void)close(s->listeners[i].fd);
    s->listener_count = 0;
    s->accept_again_ms = INT64_MAX;
}

void pkd_server_drain(struct pkd_server *s)
{
    s->draining = true;
    for (int i = 0; i < s->listener_count; i++)
        if (!s->listeners[i].passed)
            accept_all(s, &s->listeners[i]);
    close_listeners(s);
    hurry_idle(s, PKD_T_IDLE);
    hurry_idle(s, PKD_T_HEAD);
}

int pkd_server_count(const struct pkd_server *s)
{
    return s->count;
}

void pkd_server_note_malformed(struct pkd_server *s)
{
    s->malformed++;
}

struct pkd_server_stats pkd_server_stats(const struct pkd_server *s)
{
    return (struct pkd_server_stats){s->count, s->accepted, s->malformed};
}

void pkd_server_free(struct pkd_server *s)
{
    if (!s)
        return;
    close_listeners(s);
    for (int t = 0; t < PKD_T_COUNT; t++) {
        for (struct pkd_conn *c = s->timers[t].first, *next; c; c = next) {
            next = c->next;
            c->state = PKD_IDLE; /* nobody is told */
            pkd_server_close(s, c);
        }
    }
    run_queue(s);
    s->spare_count = SPARES_MAX;
    free_closed(s);
    for (struct pkd_conn *c = s->spares, *next; c; c = next) {
        next = c->queue_next;
        free(c);
    }
    (void)close(s->epoll);
    free(s);
}
