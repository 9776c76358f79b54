/* xfer_link.c - connections that are ours: in use, or idle until the next exchange with the same host.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An idle one stays in the epoll set. All that it can have to say is that it ends, and then it is closed, so
 * that few exchanges meet a connection that is dead already.
 */
#include "xfer_inner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE_MS_MAX = 118 * 1000 }; /* curl's own limit: servers and NATs forget */

void pk_link_enter(struct pk_xfer *x, struct pk_link *l, struct pk_links *in)
{
    l->in = in;
    l->since_ms = x->pumped_ms;
    l->prev = NULL;
    l->next = in->first;
    if (in->first)
        in->first->prev = l;
    else
        in->last = l;
    in->first = l;
    in->count++;
}

void pk_link_leave(struct pk_link *l)
{
    struct pk_links *in = l->in;

    if (!in)
        return;
    if (l->prev)
        l->prev->next = l->next;
    else
        in->first = l->next;
    if (l->next)
        l->next->prev = l->prev;
    else
        in->last = l->prev;
    l->prev = l->next = NULL;
    l->in = NULL;
    in->count--;
}

struct pk_link *pk_link_adopt(struct pk_xfer *x, int fd, const struct pk_url *to)
{
    struct pk_link *l = calloc(1, sizeof *l + to->host.len);

    if (!l)
        return NULL;
    l->fd = fd;
    l->port = to->port;
    l->host_len = to->host.len;
    memcpy(l->host, to->host.at, to->host.len);
    if (!pk_watches_own(&x->watches, fd, NULL, l)) {
        free(l);
        return NULL;
    }
    return l;
}

void pk_link_close(struct pk_xfer *x, struct pk_link *l)
{
    pk_link_leave(l);
    pk_watches_closing(&x->watches, l->fd);
    (void)close(l->fd);
    free(l);
}

void pk_link_give(struct pk_xfer *x, struct pk_link *l)
{
    l->user = NULL;
    l->used = true;
    pk_link_enter(x, l, &x->idle_links);
    pk_watches_want(&x->watches, l->fd, EPOLLIN);
    if (x->idle_links.count > x->connections_max)
        pk_link_close(x, x->idle_links.last);
}

/* Nothing has come over it behind the last answer: neither its end, nor bytes that the next one would begin with. */
static bool is_quiet(const struct pk_link *l)
{
    char byte;

    return recv(l->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* The one that was used last: the others may fall out of use, and be closed by their servers. */
struct pk_link *pk_link_take(struct pk_xfer *x, const struct pk_url *to)
{
    int64_t oldest_ms = x->idle_links.first ? pk_clock_ms() - IDLE_MS_MAX : 0;

    for (struct pk_link *l = x->idle_links.first, *next; l; l = next) {
        next = l->next;
        if (l->port != to->port || !pk_str_eq_nocase((pk_str){l->host, l->host_len}, to->host))
            continue;
        if (l->since_ms < oldest_ms || !is_quiet(l)) {
            pk_link_close(x, l);
            continue;
        }
        pk_link_leave(l);
        return l;
    }
    return NULL;
}

void pk_links_close(struct pk_xfer *x)
{
    while (x->idle_links.first)
        pk_link_close(x, x->idle_links.first);
}

void pk_links_forget(struct pk_xfer *x)
{
    for (struct pk_link *l = x->idle_links.first, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    x->idle_links = (struct pk_links){0};
}
