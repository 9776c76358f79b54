/* wait_test.c - when a wait looks for events, and when it sleeps.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "test.h"
#include "wait.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { POLL_US = 50 };

/* Sleeps of `us` until it looks; how many they were, at most `max`. */
static int sleeps_before_a_look(struct pk_wait *w, int64_t us, int max)
{
    int n = 0;

    for (; n < max && !pk_wait_looks(w); n++)
        pk_wait_learn(w, false, us);
    return n;
}

static void long_waits_are_slept_through(void)
{
    struct pk_wait w = {.poll_us = POLL_US, .wanted = 1};

    EXPECT(sleeps_before_a_look(&w, 4 * POLL_US, 5000) == 5000);
    EXPECT(!pk_wait_looks(&w));
}

static void short_waits_are_looked_through(void)
{
    struct pk_wait w = {.poll_us = POLL_US, .wanted = 1};

    EXPECT(sleeps_before_a_look(&w, POLL_US, 100) == 1);
    for (int i = 0; i < 1000; i++) {
        pk_wait_learn(&w, true, POLL_US);
        EXPECT(pk_wait_looks(&w));
    }
}

static void looks_in_vain_become_rare_and_come_back(void)
{
    struct pk_wait w = {.poll_us = POLL_US, .wanted = 1};

    (void)sleeps_before_a_look(&w, POLL_US, 100);
    for (int want = 2; want <= 1024; want *= 2) {
        pk_wait_learn(&w, true, POLL_US + 1);
        EXPECT(sleeps_before_a_look(&w, POLL_US, 5000) == want);
    }
    pk_wait_learn(&w, true, POLL_US + 1);
    EXPECT(sleeps_before_a_look(&w, POLL_US, 5000) == 1024);
    for (int i = 0; i < 10; i++)
        pk_wait_learn(&w, true, 1);
    pk_wait_learn(&w, true, POLL_US + 1);
    EXPECT(sleeps_before_a_look(&w, POLL_US, 5000) == 2);
}

static void one_that_may_not_look_sleeps(void)
{
    struct pk_wait w;

    pk_wait_init(&w, 0);
    EXPECT(sleeps_before_a_look(&w, 0, 5000) == 5000);
}

static void events_are_found_either_way(void)
{
    struct epoll_event ev = {.events = EPOLLIN}, got;
    int epoll = epoll_create1(EPOLL_CLOEXEC), fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct pk_wait looks = {.poll_us = POLL_US, .wanted = 1, .slept = 1};
    struct pk_wait sleeps = {.poll_us = POLL_US, .wanted = 1024};
    uint64_t one = 1;

    EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) == 0);
    EXPECT(pk_wait_epoll(&looks, epoll, &got, 1, 0) == 0);
    EXPECT(pk_wait_epoll(&sleeps, epoll, &got, 1, 1) == 0);
    EXPECT(pk_wait_looks(&looks) && sleeps.slept == 0);
    EXPECT(pk_wait_epoll(&looks, epoll, &got, 1, 1) == 0);
    EXPECT(!pk_wait_looks(&looks)); /* that was in vain */
    EXPECT(write(fd, &one, sizeof one) == sizeof one);
    EXPECT(pk_wait_epoll(&sleeps, epoll, &got, 1, -1) == 1);
    looks.slept = looks.wanted;
    EXPECT(pk_wait_epoll(&looks, epoll, &got, 1, -1) == 1);
    (void)close(fd);
    (void)close(epoll);
}

int main(void)
{
    RUN(long_waits_are_slept_through);
    RUN(short_waits_are_looked_through);
    RUN(looks_in_vain_become_rare_and_come_back);
    RUN(one_that_may_not_look_sleeps);
    RUN(events_are_found_either_way);
    return test_end();
}
