/* xfer_link.c - connections that are ours: in use, or idle until the next exchange with the same host.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An idle one stays in the epoll set. All that it can have to say is that it ends, and then it is closed, so
 * that few exchanges meet a connection that is dead already.
 */
#include "xfer_inner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { IDLE_MS_MAX = 118 * 1000 }; /* curl's own limit: servers and NATs forget */

static void unlink_idle(struct pk_xfer *x, struct pk_link *l)
{
    if (l->prev)
        l->prev->next = l->next;
    else
        x->links = l->next;
    if (l->next)
        l->next->prev = l->prev;
    else
        x->links_last = l->prev;
    l->prev = l->next = NULL;
    x->link_count--;
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
    if (l->idle)
        unlink_idle(x, l);
    pk_watches_closing(&x->watches, l->fd);
    (void)close(l->fd);
    free(l);
}

void pk_link_give(struct pk_xfer *x, struct pk_link *l)
{
    l->user = NULL;
    l->idle = l->used = true;
    l->since_ms = x->pumped_ms;
    l->prev = NULL;
    l->next = x->links;
    if (x->links)
        x->links->prev = l;
    else
        x->links_last = l;
    x->links = l;
    x->link_count++;
    pk_watches_want(&x->watches, l->fd, EPOLLIN);
    if (x->link_count > x->connections_max)
        pk_link_close(x, x->links_last);
}

/* The one that was used last: the others may fall out of use, and be closed by their servers. */
struct pk_link *pk_link_take(struct pk_xfer *x, const struct pk_url *to)
{
    int64_t oldest_ms = x->links ? pk_clock_ms() - IDLE_MS_MAX : 0;

    for (struct pk_link *l = x->links, *next; l; l = next) {
        next = l->next;
        if (l->port != to->port || !pk_str_eq_nocase((pk_str){l->host, l->host_len}, to->host))
            continue;
        if (l->since_ms < oldest_ms) {
            pk_link_close(x, l);
            continue;
        }
        unlink_idle(x, l);
        l->idle = false;
        return l;
    }
    return NULL;
}

void pk_links_close(struct pk_xfer *x)
{
    while (x->links)
        pk_link_close(x, x->links);
}

void pk_links_forget(struct pk_xfer *x)
{
    while (x->links) {
        struct pk_link *l = x->links;

        x->links = l->next;
        free(l);
    }
    x->links_last = NULL;
    x->link_count = 0;
}
