/* xfer.c - transfers, their events, and the pump that moves them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A transfer is one configured easy handle. Free ones are pooled with their buffers; most requests
 * change nothing but the URL, the header text and the body.
 *
 *   start --> in the multi handle --> ended (out of it; bytes may still wait) --> free
 *                  |    ^
 *         too much waits unread: paused until it is taken
 *
 * Curl's callbacks only append bytes and note that there is something to report. Signals are blocked
 * around every call that may resolve, connect, write or close: a resolver thread would inherit
 * the host's signal mask and take its signals.
 */
#include "xfer.h"

#include "xfer_inner.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    KEPT_BYTES_MAX = 64 << 10, /* a larger buffer is not pooled */
    IDLE_MAX = 256,            /* pooled handles */
    CONNECTS_MAX = 3,          /* that a pooled handle has made, see pk_transfer_free() */
    EVENTS_MAX = 128,
    ROUNDS_MAX = 8, /* of events in one pump, so that a host gets its turn */
    CONNECT_MS_DEFAULT = 10 * 1000,
};

/* --- clocks --------------------------------------------------------------------------------- */

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

/* --- signals -------------------------------------------------------------------------------- */

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

/* --- lists ---------------------------------------------------------------------------------- */

void pk_transfer_mark_ready(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->ready || t->fetches)
        return;
    t->ready = true;
    t->ready_next = NULL;
    t->ready_prev = x->ready_last;
    if (x->ready_last)
        x->ready_last->ready_next = t;
    else
        x->ready = t;
    x->ready_last = t;
}

static void unmark_ready(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (!t->ready)
        return;
    t->ready = false;
    if (t->ready_prev)
        t->ready_prev->ready_next = t->ready_next;
    else
        x->ready = t->ready_next;
    if (t->ready_next)
        t->ready_next->ready_prev = t->ready_prev;
    else
        x->ready_last = t->ready_prev;
}

static void activate(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    t->prev = NULL;
    t->next = x->active;
    if (x->active)
        x->active->prev = t;
    x->active = t;
    x->active_count++;
}

static void deactivate(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->prev)
        t->prev->next = t->next;
    else
        x->active = t->next;
    if (t->next)
        t->next->prev = t->prev;
    x->active_count--;
}

/* --- curl's callbacks ----------------------------------------------------------------------- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *self, void *unused)
{
    struct pk_xfer *x = self;
    uint32_t events = 0;

    (void)easy;
    (void)unused;
    if (pk_watches_tunnel(&x->watches, fd) || pk_watches_link(&x->watches, fd))
        return 0; /* curl is done with it */
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EPOLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EPOLLOUT;
    pk_watches_want(&x->watches, fd, events);
    return 0;
}

/* A millisecond is added because pk_clock_ms() has cut one off. */
static int on_timer(CURLM *multi, long ms, void *self)
{
    struct pk_xfer *x = self;

    (void)multi;
    x->timer_ms = ms < 0 ? INT64_MAX : ms == 0 ? 0 : pk_clock_ms() + ms + 1;
    return 0;
}

/* The rule by address, where a socket is opened: what the name led to, whoever resolved it. */
enum pk_address pk_transfer_refuses(const struct pk_transfer *t, const struct sockaddr *a)
{
    enum pk_address kind = pk_xfer_address(a);
    bool may = t->to->listed || (kind == PK_ADDRESS_LOOPBACK && t->to->loopback);

    return may ? PK_ADDRESS_PUBLIC : kind;
}

static curl_socket_t on_open(void *self, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct pk_transfer *t = self;

    (void)purpose;
    enum pk_address kind = pk_transfer_refuses(t, &a->addr);
    if (kind != PK_ADDRESS_PUBLIC) {
        t->refused = kind;
        return CURL_SOCKET_BAD;
    }
    int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    if (fd >= 0 && !pk_watches_opened(&t->x->watches, fd)) {
        (void)close(fd);
        return CURL_SOCKET_BAD;
    }
    return fd;
}

static int on_close(void *self, curl_socket_t fd)
{
    struct pk_xfer *x = self;
    struct pk_link *link = pk_watches_link(&x->watches, fd);

    if (link) {
        link->ours = true;
        return 0;
    }
    pk_watches_closing(&x->watches, fd);
    return close(fd);
}

void pk_transfer_take_head(struct pk_transfer *t)
{
    pk_transfer_hide_key(t, &t->head, 0);
    if (t->by_token)
        pk_token_refused(t);
    pk_transfer_mark_ready(t);
}

bool pk_transfer_take_body(struct pk_transfer *t, pk_str bytes)
{
    size_t before = t->fill.len;
    size_t most = t->fetches   ? PK_TOKEN_ANSWER_BYTES_MAX
                  : t->endless ? SIZE_MAX
                               : PK_STREAM_BYTES_MAX;

    t->too_large = bytes.len > most - t->body_bytes;
    if (t->too_large || !pk_bytes_add(&t->fill, bytes.at, bytes.len))
        return false;
    pk_transfer_hide_key(t, &t->fill, before);
    t->body_bytes += bytes.len;
    pk_transfer_mark_ready(t);
    return true;
}

/* The blank line: the head is complete, unless it was an interim one (RFC 9110, 15.2). */
static bool head_done(struct pk_transfer *t)
{
    long status = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    t->status = (int)status;
    t->part = status < 200 ? PART_STATUS : PART_BODY;
    if (t->part == PART_BODY)
        pk_transfer_take_head(t);
    return true;
}

/* One line at a time. Those after the head are trailers, which nobody reads. */
static bool take_line(struct pk_transfer *t, const char *line, size_t len)
{
    switch (t->part) {
    case PART_STATUS:
        t->part = PART_FIELDS;
        t->head.len = 0;
        return true;
    case PART_FIELDS:
        if (line[0] == '\r' || line[0] == '\n')
            return head_done(t);
        return pk_bytes_add(&t->head, line, len);
    case PART_BODY: return true;
    }
    return false;
}

static size_t on_header(char *line, size_t size, size_t count, void *self)
{
    struct pk_transfer *t = self;
    size_t len = size * count;

    t->head_bytes += len;
    if (t->head_bytes > PK_HEADERS_BYTES_MAX) {
        t->too_large = true;
        return 0;
    }
    return len == 0 || take_line(t, line, len) ? len : 0;
}

static size_t on_body(char *bytes, size_t size, size_t count, void *self)
{
    struct pk_transfer *t = self;
    size_t len = size * count, held = t->fill.len + t->lent.len;

    if (len == 0)
        return 0;
    if (held > 0 && held + len > XFER_HELD_BYTES_MAX) {
        t->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return pk_transfer_take_body(t, (pk_str){bytes, len}) ? len : 0;
}

/* --- the multi handle ------------------------------------------------------------------------ */

static bool open_multi(struct pk_xfer *x, struct pk_error *err)
{
    if (x->multi)
        return true;
    if (!pk_curl_open(err))
        return false;
    x->multi = curl_multi_init();
    if (!x->multi)
        return pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
    curl_multi_setopt(x->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(x->multi, CURLMOPT_SOCKETDATA, x);
    curl_multi_setopt(x->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(x->multi, CURLMOPT_TIMERDATA, x);
    curl_multi_setopt(x->multi, CURLMOPT_MAXCONNECTS, (long)x->connections_max);
    return true;
}

/* --- handles -------------------------------------------------------------------------------- */

/* Called each time that the request is about to go out: again when its connection was closed to new streams. */
static int on_request(void *ctx, char *to, char *from, int to_port, int from_port)
{
    struct pk_transfer *t = ctx;

    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    t->goes++;
    return 0; /* go on */
}

/* Whether curl has had to send a request more than once; where it does not say, it may have. */
static bool went_again(const struct pk_transfer *t)
{
#if LIBCURL_VERSION_NUM >= 0x075000
    return t->goes > 1;
#else
    return t->x->http2;
#endif
}

static void only_http(CURL *e)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(e, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
}

static long http_version(const struct pk_xfer *x)
{
    return x->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1;
}

/* Who vouches for providers: one file. A folder beside it, which libcurl may have been built with, is left out: it would
 * vouch for more than --upstream-ca says, and have libcurl read the file again for each connection, which takes 30 ms. */
static void trust(const struct pk_xfer *x, CURL *e)
{
    const char *file = x->ca_file ? x->ca_file : pk_xfer_about().ca_file;

    if (x->ca_file)
        curl_easy_setopt(e, CURLOPT_CAINFO, file);
    if (x->ca_file || access(file, R_OK) == 0)
        curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
}

/* Everything that is the same for all requests. No cookies, no netrc, no decoding: curl's defaults. */
static void configure(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;
    CURL *e = t->easy;

    only_http(e);
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, http_version(x));
    curl_easy_setopt(e, CURLOPT_PIPEWAIT, x->http2 ? 1L : 0L); /* rather than connect once more */
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
#if LIBCURL_VERSION_NUM >= 0x075000
    if (x->http2) {
        curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_request);
        curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
    }
#endif
    trust(x, e);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L); /* closing does not wait for a stuck resolver */
#endif
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE,
                     4096L); /* each transfer holds it; 16 KB were no faster */
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, (long)XFER_UPLOAD_BYTES);
    curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L); /* models think for minutes; NATs forget */
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)x->connect_ms);
    curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)PK_STREAM_BYTES_MAX);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "pk/" PK_VERSION);
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->lines);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, x); /* connections outlive transfers */
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->detail);
    curl_easy_setopt(e, CURLOPT_PRIVATE, t);
}

static struct pk_transfer *new_transfer(struct pk_xfer *x)
{
    struct pk_transfer *t = calloc(1, sizeof *t);

    if (t)
        t->x = x;
    return t;
}

bool pk_transfer_equip(struct pk_transfer *t, struct pk_error *err)
{
    if (t->easy)
        return true;
    if (!open_multi(t->x, err))
        return false;
    t->easy = curl_easy_init();
    if (!t->easy)
        return pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
    configure(t);
    return true;
}

static void destroy(struct pk_transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    pk_transfer_drop_text(t);
    free(t->head.at);
    free(t->fill.at);
    free(t->lent.at);
    free(t->wire);
    free(t);
}

static struct pk_transfer *take_idle(struct pk_xfer *x)
{
    struct pk_transfer *t = x->idle;

    if (!t)
        return new_transfer(x);
    x->idle = t->next;
    x->idle_count--;
    return t;
}

static void shrink(struct pk_bytes *b)
{
    b->len = 0;
    if (b->cap <= KEPT_BYTES_MAX)
        return;
    free(b->at);
    b->at = NULL;
    b->cap = 0;
}

/* Back to the pool, as if new. */
static void put_idle(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (t->text.cap > PK_VAULT_SLOT_BYTES)
        pk_transfer_drop_text(t);
    shrink(&t->head);
    shrink(&t->fill);
    shrink(&t->lent);
    t->part = PART_STATUS;
    t->status = 0;
    t->head_bytes = t->body_bytes = 0;
    t->goes = 0;
    t->by_token = t->fetches = t->wired = false;
    t->told_head = t->told_end = t->paused = t->ended = t->too_large = false;
    t->refused = PK_ADDRESS_PUBLIC;
    t->error.code = PK_OK;
    t->detail[0] = 0;
    t->next = x->idle;
    x->idle = t;
    x->idle_count++;
}

/* --- the transport ------------------------------------------------------------------------- */

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

static void free_idle(struct pk_xfer *x)
{
    while (x->idle) {
        struct pk_transfer *t = x->idle;

        x->idle = t->next;
        x->idle_count--;
        destroy(t);
    }
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

static bool inherited(const struct pk_xfer *x)
{
    return x->watches.epoll >= 0 && x->forks != pk_xfer_forks();
}

void pk_xfer_free(struct pk_xfer *x)
{
    if (!x)
        return;
    PK_ASSERT(x->active_count == 0);
    if (inherited(x)) {
        abandon(x);
        free_idle(x);
    } else {
        struct pk_hush h = pk_xfer_hush(x);
        free_idle(x);
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

/* --- the pump ------------------------------------------------------------------------------- */

void pk_transfer_detach(struct pk_transfer *t)
{
    (void)curl_multi_remove_handle(t->x->multi, t->easy);
    pk_transfer_wipe(t);
    t->ended = true;
    pk_transfer_mark_ready(t);
}

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
    if (inherited(x)) {
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

void *pk_xfer_next_ready(struct pk_xfer *x)
{
    struct pk_transfer *t = x->ready;

    if (!t)
        return NULL;
    unmark_ready(t);
    return t->owner;
}

/* --- transfers ------------------------------------------------------------------------------ */

/* A child of fork() starts anew, once nothing of the parent's is in its hands. */
static bool usable(struct pk_xfer *x, struct pk_error *err)
{
    if (!inherited(x))
        return true;
    if (x->active_count)
        return pk_fail(err, PK_NETWORK, "transport: in use when the process was forked");
    abandon(x);
    free_idle(x);
    return open_watches(x) ||
           pk_fail(err, PK_NETWORK, "transport: cannot start: %s", strerror(errno));
}

static void unprepare(struct pk_transfer *t)
{
    pk_tunnel_free(t);
    if (t->easy) {
        (void)curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 0L);
        (void)curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, http_version(t->x));
    }
    pk_transfer_wipe(t);
    if (t->to)
        pk_upstream_release(t->x, t->to);
    t->to = NULL;
    put_idle(t);
}

static bool add_to_multi(struct pk_transfer *t, struct pk_error *err)
{
    return curl_multi_add_handle(t->x->multi, t->easy) == CURLM_OK ||
           pk_fail(err, PK_NO_MEMORY, "%s: cannot start a request", t->to->where);
}

bool pk_transfer_connect(struct pk_transfer *t, struct pk_error *err)
{
    if (!pk_transfer_equip(t, err) || !pk_upstream_parse(t->to, err))
        return false;
    curl_easy_setopt(t->easy, CURLOPT_CURLU, t->to->parsed);
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    return add_to_multi(t, err);
}

/* Connections are few: the handle goes. */
void pk_transfer_disconnect(struct pk_transfer *t)
{
    (void)curl_multi_remove_handle(t->x->multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

/* What is to be sent has been put together. */
static bool launch(struct pk_transfer *t, struct pk_error *err)
{
    return t->wired ? pk_wire_start(t, err) : add_to_multi(t, err);
}

struct pk_transfer *pk_transfer_fetch(struct pk_xfer *x, const struct pk_exchange *ex,
                                      const struct pk_grant *g, struct pk_error *err)
{
    struct pk_transfer *t = take_idle(x);

    if (!t) {
        (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
        return NULL;
    }
    /* The answer has a secret in it: it is not to be copied while it grows. */
    if (!pk_bytes_size(&t->fill, PK_TOKEN_ANSWER_BYTES_MAX) || !pk_transfer_aim(t, ex, err) ||
        !pk_transfer_fill(t, ex, g, err) || !launch(t, err)) {
        unprepare(t);
        return NULL;
    }
    t->fetches = true;
    activate(t);
    return t;
}

void pk_transfer_go_on(struct pk_transfer *t, const struct pk_grant *g, const struct pk_error *why)
{
    const struct pk_exchange *ex = t->waits;

    t->waits = NULL;
    if (why)
        t->error = *why;
    else if (pk_transfer_fill(t, ex, g, &t->error) && launch(t, &t->error))
        return;
    t->ended = true;
    pk_transfer_mark_ready(t);
}

struct pk_transfer *pk_xfer_start(struct pk_xfer *x, const struct pk_exchange *ex, void *owner,
                                  struct pk_error *err)
{
    struct pk_transfer *t = usable(x, err) ? take_idle(x) : NULL;

    if (!t) {
        if (!inherited(x))
            (void)pk_fail(err, PK_NO_MEMORY, "transport: out of memory");
        return NULL;
    }
    if (!pk_transfer_aim(t, ex, err) || !pk_transfer_authorize(t, ex, err)) {
        unprepare(t);
        return NULL;
    }
    if (!t->waits && !launch(t, err)) {
        unprepare(t);
        return NULL;
    }
    t->owner = owner;
    activate(t);
    return t;
}

/* The bytes that were shown last are done with: curl may go on. */
static void resume(struct pk_transfer *t)
{
    t->lent.len = 0;
    if (!t->paused || t->fill.len > XFER_HELD_BYTES_MAX / 2 || inherited(t->x))
        return;
    struct pk_hush h = pk_xfer_hush(t->x);
    if (t->tunnel) {
        pk_tunnel_resume(t);
    } else if (t->wired) {
        pk_wire_resume(t);
    } else {
        t->paused = false;
        (void)curl_easy_pause(t->easy, CURLPAUSE_CONT);
    }
    pk_xfer_unhush(&h);
}

static bool report_end(struct pk_transfer *t, struct pk_event *ev)
{
    t->told_end = true;
    ev->kind = t->error.code == PK_OK ? PK_EV_END : PK_EV_FAIL;
    ev->error = t->error;
    return true;
}

/* Moves what has come to where the host may see it; the beginning of a key waits for the rest. False:
 * nothing but that is there. */
static bool lend(struct pk_transfer *t)
{
    struct pk_bytes empty = t->lent;
    size_t held = pk_transfer_held_back(t);

    if (held == t->fill.len)
        return false;
    t->lent = t->fill;
    t->fill = empty;
    t->lent.len -= held;
    if (held && !pk_bytes_add(&t->fill, t->lent.at + t->lent.len, held))
        t->lent.len += held; /* no memory to wait with */
    return true;
}

bool pk_transfer_event(struct pk_transfer *t, struct pk_event *ev)
{
    PK_ASSERT(!t->told_end);
    resume(t);
    *ev = (struct pk_event){0};
    if (t->part == PART_BODY && !t->told_head) {
        t->told_head = true;
        ev->kind = PK_EV_HEAD;
        ev->status = t->status;
        ev->headers = (pk_str){t->head.at, t->head.len};
        return true;
    }
    if (t->fill.len && lend(t)) {
        ev->kind = PK_EV_BODY;
        ev->bytes = (pk_str){t->lent.at, t->lent.len};
        return true;
    }
    return t->ended && report_end(t, ev);
}

/* Taking an unfinished one out of the multi handle closes its connection. */
static void cut_off(struct pk_transfer *t)
{
    struct pk_xfer *x = t->x;

    if (inherited(x)) {
        t->easy = NULL; /* see fail_all() */
        pk_wire_forget(t);
        return;
    }
    pk_wire_cut(t);
    if (!t->easy)
        return;
    struct pk_hush h = pk_xfer_hush(x);
    (void)curl_multi_remove_handle(x->multi, t->easy);
    pk_xfer_unhush(&h);
}

/* A handle that has made several connections, or sent a request again, is not kept: curl tries again when an idle
 * connection turns out to be dead, or one of HTTP/2 takes no more streams, but counts that over the handle's whole life and
 * gives up at five. */
void pk_transfer_free(struct pk_transfer *t)
{
    if (!t)
        return;
    struct pk_xfer *x = t->x;
    bool good = t->ended && t->error.code == PK_OK && t->connects < CONNECTS_MAX && !t->tunnel &&
                !went_again(t);

    if (t->waits)
        pk_token_leave(t);
    else if (!t->ended)
        cut_off(t);
    unmark_ready(t);
    deactivate(t);
    pk_tunnel_free(t);
    pk_transfer_wipe(t);
    pk_upstream_release(x, t->to);
    t->to = NULL;
    if (good && x->idle_count < IDLE_MAX)
        put_idle(t);
    else
        destroy(t);
}
