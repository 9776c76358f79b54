/* wait.c - see wait.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "wait.h"

#include "xfer.h"

#include <sys/epoll.h>
#include <unistd.h>

enum {
    WANTED_MAX = 1024,
    SHORT =
        4, /* a sleep of less than so many poll_us is a short one: waking up takes a part of it */
};

void pk_wait_init(struct pk_wait *w, int poll_us)
{
    *w = (struct pk_wait){.wanted = 1};
    if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
        w->poll_us = poll_us;
}

bool pk_wait_looks(const struct pk_wait *w)
{
    return w->poll_us > 0 && w->slept >= w->wanted;
}

void pk_wait_learn(struct pk_wait *w, bool looked, int64_t us)
{
    if (looked && us > w->poll_us) {
        w->slept = 0;
        w->wanted = w->wanted * 2 < WANTED_MAX ? w->wanted * 2 : WANTED_MAX;
    } else if (looked) {
        w->wanted = w->wanted > 1 ? w->wanted / 2 : 1;
    } else if (us < (int64_t)w->poll_us * SHORT && w->slept < WANTED_MAX) {
        w->slept++;
    }
}

static int sleep_first(struct pk_wait *w, int epoll, struct epoll_event *events, int max,
                       int timeout_ms)
{
    int64_t begun = pk_clock_mono_us();
    int count = epoll_wait(epoll, events, max, timeout_ms);

    pk_wait_learn(w, false, pk_clock_mono_us() - begun);
    return count;
}

int pk_wait_epoll(struct pk_wait *w, int epoll, struct epoll_event *events, int max, int timeout_ms)
{
    int64_t begun, us = 0;
    int count;

    if (timeout_ms == 0 || w->poll_us == 0)
        return epoll_wait(epoll, events, max, timeout_ms);
    if (!pk_wait_looks(w))
        return sleep_first(w, epoll, events, max, timeout_ms);
    count = epoll_wait(epoll, events, max, 0);
    if (count != 0)
        return count;
    begun = pk_clock_mono_us();
    while (count == 0 && us <= w->poll_us) {
        count = epoll_wait(epoll, events, max, 0);
        us = pk_clock_mono_us() - begun;
    }
    pk_wait_learn(w, true, us);
    return count != 0 ? count : epoll_wait(epoll, events, max, timeout_ms);
}
