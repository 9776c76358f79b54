/* xfer.c - the transport as a whole: clocks, signals, what it owns, and the pump that moves its transfers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The transfers themselves are in xfer_transfer.c, libcurl in xfer_curl.c. Signals are blocked around every call that
 * may resolve, connect, write or close: a resolver thread would inherit the host's signal mask and take its signals.
 */
#include "xfer.h"

#include "xfer_inner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 128,
    ROUNDS_MAX = 8, /* of events in one pump, so that a host gets its turn */
    CONNECT_MS_DEFAULT = 10 * 1000,
};

/* --- clocks ---------------------------------------------------------------------------------- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t pk_clock_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

int64_t pk_clock_ms(void)
{
    return clock_us(CLOCK_MONOTONIC) / 1000;
}

int64_t pk_clock_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

/* --- signals --------------------------------------------------------------------------------- */

static bool pipe_pending(void)
{
    sigset_t pending;

    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

/* Curl's plain sockets never raise SIGPIPE; what a TLS library writes may. */
struct pk_hush pk_xfer_hush(const struct pk_xfer *x)
{
    struct pk_hush h;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &h.before);
    h.guard_pipe = x->tls && !pipe_pending();
    return h;
}

void pk_xfer_unhush(const struct pk_hush *h)
{
    if (h->guard_pipe && pipe_pending()) {
        struct timespec now = {0};
        sigset_t only;

        (void)sigemptyset(&only);
        (void)sigaddset(&only, SIGPIPE);
        (void)sigtimedwait(&only, NULL, &now);
    }
    (void)pthread_sigmask(SIG_SETMASK, &h->before, NULL);
}

/* --- the transport --------------------------------------------------------------------------- */

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

static bool open_watches(struct pk_xfer *x)
{
    if (!pk_watches_open(&x->watches))
        return false;
    x->forks = pk_xfer_forks();
    x->timer_ms = INT64_MAX;
    return true;
}

struct pk_xfer *pk_xfer_new(const struct pk_xfer_options *o, struct pk_error *err)
{
    struct pk_xfer *x = calloc(1, sizeof *x);

    if (!x) {
        (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
        return NULL;
    }
    x->watches.epoll = -1;
    x->connections_max = o->connections_max > 0 ? o->connections_max : 1;
    x->connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS_DEFAULT;
    x->secrets = o->secrets;
    x->allowed_hosts = copy(o->allowed_hosts);
    x->http2 = o->http2;
    x->ca_file = o->ca_file ? copy(o->ca_file) : NULL;
    pk_secret_random(x->token_salt, sizeof x->token_salt);
    x->opened = pk_vault_take(&x->vault, PK_SECRET_BYTES_MAX);
    x->read = malloc(XFER_READ_BYTES);
    if (x->opened && x->read && x->allowed_hosts && (x->ca_file || !o->ca_file) && open_watches(x))
        return x;
    (void)pk_fail(err, PK_NETWORK, "transport: cannot start: %s", strerror(errno));
    pk_xfer_free(x);
    return NULL;
}

/* In a child of fork() the connections belong to the parent: our copies of the descriptors are
 * closed without a word to the other side, and what curl knows of them is left to itself. */
static void abandon(struct pk_xfer *x)
{
    for (int fd = 0; fd < x->watches.count; fd++)
        if (x->watches.at[fd].ours)
            (void)close(fd);
    pk_links_forget(x);
    pk_watches_close(&x->watches);
    x->multi = NULL;
}

bool pk_xfer_inherited(const struct pk_xfer *x)
{
    return x->watches.epoll >= 0 && x->forks != pk_xfer_forks();
}

bool pk_xfer_usable(struct pk_xfer *x, struct pk_error *err)
{
    if (!pk_xfer_inherited(x))
        return true;
    if (x->active_count)
        return pk_fail(err, PK_NETWORK, "transport: in use when the process was forked");
    abandon(x);
    pk_transfers_free_idle(x);
    return open_watches(x) ||
           pk_fail(err, PK_NETWORK, "transport: cannot start: %s", strerror(errno));
}

void pk_xfer_free(struct pk_xfer *x)
{
    if (!x)
        return;
    PK_ASSERT(x->active_count == 0);
    if (pk_xfer_inherited(x)) {
        abandon(x);
        pk_transfers_free_idle(x);
    } else {
        struct pk_hush h = pk_xfer_hush(x);
        pk_transfers_free_idle(x);
        pk_links_close(x);
        if (x->multi)
            (void)curl_multi_cleanup(x->multi);
        pk_watches_close(&x->watches);
        pk_xfer_unhush(&h);
    }
    pk_upstreams_drop(x);
    pk_tokens_free(x);
    pk_vault_give(&x->vault, x->opened, PK_SECRET_BYTES_MAX);
    pk_vault_free(&x->vault);
    free(x->allowed_hosts);
    free(x->ca_file);
    free(x->read);
    free(x);
}

void pk_xfer_allow(struct pk_xfer *x, const char *allowed_hosts)
{
    char *list = copy(allowed_hosts);

    if (!list) /* nothing is allowed rather than what was */
        pk_upstreams_drop(x);
    free(x->allowed_hosts);
    x->allowed_hosts = list;
    pk_upstreams_drop(x);
    pk_links_close(x);
}

int pk_xfer_fd(const struct pk_xfer *x)
{
    return x->watches.epoll;
}

int64_t pk_xfer_deadline_ms(const struct pk_xfer *x)
{
    if (x->ready || pk_watches_waiting(&x->watches))
        return 0;
    int64_t dial_ms = pk_dial_deadline_ms(x);
    return dial_ms < x->timer_ms ? dial_ms : x->timer_ms;
}

int pk_xfer_active(const struct pk_xfer *x)
{
    return x->active_count;
}

/* --- the pump -------------------------------------------------------------------------------- */

/* The socket of a connection that curl has made and is to give up; -1: there is none. */
static int socket_of(const struct pk_transfer *t)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    (void)curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd);
    return fd;
}

static void connected(struct pk_transfer *t, CURLcode result)
{
    int fd = result == CURLE_OK ? socket_of(t) : -1;

    if (fd >= 0)
        pk_wire_connected(t, fd);
    else
        pk_wire_failed(t, result == CURLE_OK ? CURLE_COULDNT_CONNECT : result);
}

static void end(struct pk_transfer *t, CURLcode result)
{
    long connects = 0;

    if (t->wired) {
        connected(t, result);
        return;
    }
    (void)curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
    t->connects += (int)connects;
    if (t->tunnel && result == CURLE_OK) {
        pk_tunnel_connected(t);
        return;
    }
    pk_transfer_explain(t, result, &t->error);
    pk_transfer_detach(t);
}

/* Holds signals back for the rest of a pump. Links need nothing of the kind. */
static void hush(struct pk_xfer *x)
{
    if (x->hushed)
        return;
    x->hush = pk_xfer_hush(x);
    x->hushed = true;
}

static void reap(struct pk_xfer *x)
{
    int left;

    for (CURLMsg *m; x->multi && (m = curl_multi_info_read(x->multi, &left)) != NULL;) {
        char *owner = NULL;

        if (m->msg != CURLMSG_DONE)
            continue;
        hush(x);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner);
        end((struct pk_transfer *)(void *)owner, m->data.result);
    }
}

static void hand_over(struct pk_xfer *x, const struct epoll_event *ev)
{
    struct pk_transfer *tunnel = pk_watches_tunnel(&x->watches, ev->data.fd);
    struct pk_link *link = pk_watches_link(&x->watches, ev->data.fd);
    int what = 0, running;

    if (!pk_watches_wanted(&x->watches, ev->data.fd, ev->events))
        return;
    if (link) {
        pk_link_turn(x, link);
        return;
    }
    if (!x->multi) /* another event of this round has closed it */
        return;
    hush(x);
    if (tunnel) {
        pk_tunnel_turn(tunnel);
        return;
    }
    if (ev->events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (ev->events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (ev->events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    (void)curl_multi_socket_action(x->multi, ev->data.fd, what, &running);
}

static void hand_over_events(struct pk_xfer *x)
{
    struct epoll_event events[EVENTS_MAX];

    for (int round = 0; round < ROUNDS_MAX; round++) {
        int count = epoll_wait(x->watches.epoll, events, EVENTS_MAX, 0);

        for (int i = 0; i < count; i++)
            hand_over(x, &events[i]);
        if (count < EVENTS_MAX)
            return;
    }
}

static void hand_over_time(struct pk_xfer *x)
{
    int running;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        if (x->timer_ms == INT64_MAX || (x->timer_ms > 0 && x->timer_ms > pk_clock_ms()))
            return;
        x->timer_ms = INT64_MAX;
        hush(x);
        (void)curl_multi_socket_action(x->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* In a child of fork() nothing can go on. The handles are left alone, as what they are in is the
 * parent's. */
static void fail_all(struct pk_xfer *x)
{
    for (struct pk_transfer *t = x->active; t; t = t->next) {
        if (t->ended)
            continue;
        (void)pk_fail(&t->error, PK_NETWORK, "%s: the process was forked", t->to->where);
        t->easy = NULL;
        pk_wire_forget(t);
        t->ended = true;
        pk_transfer_mark_ready(t);
    }
}

void pk_xfer_pump(struct pk_xfer *x)
{
    if (pk_xfer_inherited(x)) {
        fail_all(x);
        return;
    }
    x->pumped_ms = pk_clock_ms();
    hand_over_events(x);
    hand_over_time(x);
    pk_wire_expire(x, x->pumped_ms);
    reap(x);
    if (x->tokens) {
        hush(x);
        pk_tokens_pump(x);
    }
    pk_watches_apply(&x->watches);
    if (x->hushed)
        pk_xfer_unhush(&x->hush);
    x->hushed = false;
}
