/* xfer_watch.c - curl's sockets in an epoll set, with few system calls.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Curl says for each request that it wants to read a socket, and at its end that it does not; the
 * next request on the same connection says the same again. So a wish is only noted, and compared
 * before the next wait with what epoll knows; a socket that nobody wants stays in the set until
 * it has an event. That needs to know when a socket is closed, since the kernel then forgets it:
 * for those that we opened curl tells, others (the resolver's) are changed at once.
 */
#include "xfer_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CLEAN = -1 };

static struct pk_watch *watch_of(struct pk_watches *w, int fd)
{
    return fd < w->count && w->at[fd].ours ? &w->at[fd] : NULL;
}

bool pk_watches_open(struct pk_watches *w)
{
    *w = (struct pk_watches){.epoll = epoll_create1(EPOLL_CLOEXEC), .dirty = CLEAN};
    return w->epoll >= 0;
}

void pk_watches_close(struct pk_watches *w)
{
    if (w->epoll >= 0)
        (void)close(w->epoll);
    free(w->at);
    *w = (struct pk_watches){.epoll = -1, .dirty = CLEAN};
}

bool pk_watches_opened(struct pk_watches *w, int fd)
{
    if (fd >= w->count) {
        int count = fd < 32 ? 64 : fd * 2;
        struct pk_watch *more = realloc(w->at, (size_t)count * sizeof *more);

        if (!more)
            return false;
        memset(more + w->count, 0, (size_t)(count - w->count) * sizeof *more);
        w->at = more;
        w->count = count;
    }
    w->at[fd].ours = true; /* `dirty` stays as it is: it may be in the list for a closed namesake */
    w->at[fd].want = w->at[fd].have = 0;
    w->at[fd].tunnel = NULL;
    w->at[fd].link = NULL;
    return true;
}

void pk_watches_closing(struct pk_watches *w, int fd)
{
    struct pk_watch *s = watch_of(w, fd);

    if (!s)
        return;
    s->ours = false;
    s->tunnel = NULL;
    s->link = NULL;
    s->want = s->have = 0;
}

/* Sets what epoll watches for, whatever it knew. */
static void tell(struct pk_watches *w, int fd, uint32_t events, bool known)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    if (events == 0)
        (void)epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, &ev);
    else if (epoll_ctl(w->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev) != 0)
        (void)epoll_ctl(w->epoll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &ev);
}

void pk_watches_want(struct pk_watches *w, int fd, uint32_t events)
{
    struct pk_watch *s = watch_of(w, fd);

    if (!s) {
        tell(w, fd, events, false);
        return;
    }
    s->want = events;
    if (s->dirty || events == 0 || events == s->have)
        return;
    s->dirty = true;
    s->next_dirty = w->dirty;
    w->dirty = fd;
}

bool pk_watches_waiting(const struct pk_watches *w)
{
    return w->dirty != CLEAN;
}

void pk_watches_apply(struct pk_watches *w)
{
    while (w->dirty != CLEAN) {
        int fd = w->dirty;
        struct pk_watch *s = &w->at[fd];

        w->dirty = s->next_dirty;
        s->dirty = false;
        if (!s->ours || s->want == 0 || s->want == s->have)
            continue;
        tell(w, fd, s->want, s->have != 0);
        s->have = s->want;
    }
}

bool pk_watches_own(struct pk_watches *w, int fd, struct pk_transfer *tunnel, struct pk_link *link)
{
    struct pk_watch *s = watch_of(w, fd);

    if (s) {
        s->tunnel = tunnel;
        s->link = link;
    }
    return s != NULL;
}

struct pk_transfer *pk_watches_tunnel(const struct pk_watches *w, int fd)
{
    return fd < w->count && w->at[fd].ours ? w->at[fd].tunnel : NULL;
}

struct pk_link *pk_watches_link(const struct pk_watches *w, int fd)
{
    return fd < w->count && w->at[fd].ours ? w->at[fd].link : NULL;
}

bool pk_watches_wanted(struct pk_watches *w, int fd, uint32_t events)
{
    struct pk_watch *s = watch_of(w, fd);

    if (!s)
        return true;
    if (s->want)
        return (events & (s->want | EPOLLERR | EPOLLHUP)) != 0;
    tell(w, fd, 0, true);
    s->have = 0;
    return false;
}
