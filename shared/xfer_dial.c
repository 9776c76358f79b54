/* xfer_dial.c - connections to hosts that are spelled as addresses: no name is to be resolved, so all is between us
 * and the kernel.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One is a link from the beginning, in the list x->dialled until the other end has answered, or has not for as long
 * as connecting may take.
 */
#include "xfer_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEEPALIVE_S = 60 }; /* curl's own figure, for both */

void pk_dial_aim(struct pk_upstream *u)
{
    union pk_dialled *a = &u->address;
    char text[INET6_ADDRSTRLEN];
    uint16_t port = htons((uint16_t)u->url.port);

    if (u->url.host.len >= sizeof text)
        return;
    memcpy(text, u->url.host.at, u->url.host.len);
    text[u->url.host.len] = 0;
    if (inet_pton(AF_INET, text, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = port;
    } else if (inet_pton(AF_INET6, text, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = port;
    }
}

static void tune(int fd)
{
    const int on = 1, seconds = KEEPALIVE_S;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
}

/* A socket that is connecting; -1 with errno. */
static int connecting(const union pk_dialled *a)
{
    socklen_t size = a->any.sa_family == AF_INET ? sizeof a->v4 : sizeof a->v6;
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    tune(fd);
    if (connect(fd, &a->any, size) == 0 || errno == EINPROGRESS)
        return fd;
    int reason = errno;
    (void)close(fd);
    errno = reason;
    return -1;
}

/* Closes the socket when there is no memory for it. */
static struct pk_link *link_of(struct pk_xfer *x, int fd, const struct pk_url *to)
{
    struct pk_link *l = NULL;

    if (pk_watches_opened(&x->watches, fd)) {
        l = pk_link_adopt(x, fd, to);
        if (!l)
            pk_watches_closing(&x->watches, fd);
    }
    if (!l)
        (void)close(fd);
    return l;
}

struct pk_link *pk_dial(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    t->refused = pk_transfer_refuses(t, &t->to->address.any);
    if (t->refused != PK_ADDRESS_PUBLIC)
        return NULL;
    int fd = connecting(&t->to->address);
    t->reason = fd < 0 ? errno : ENOMEM;
    struct pk_link *l = fd < 0 ? NULL : link_of(x, fd, &t->to->url);
    if (!l)
        return NULL;
    l->ours = true;
    l->user = t;
    pk_link_enter(x, l, &x->dialled);
    l->since_ms = pk_clock_ms();
    pk_watches_want(&x->watches, fd, EPOLLOUT);
    return l;
}

bool pk_dial_answered(struct pk_transfer *t, struct pk_link *l)
{
    socklen_t size = sizeof t->reason;

    pk_link_leave(l);
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &t->reason, &size) != 0)
        t->reason = errno;
    return t->reason == 0;
}

int64_t pk_dial_deadline_ms(const struct pk_xfer *x)
{
    const struct pk_link *oldest = x->dialled.last;

    return oldest ? oldest->since_ms + x->connect_ms : INT64_MAX;
}

struct pk_link *pk_dial_overdue(const struct pk_xfer *x, int64_t now_ms)
{
    return pk_dial_deadline_ms(x) <= now_ms ? x->dialled.last : NULL;
}
