/* xfer_curl.c - libcurl: its handles, what they are told, and what they call.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One multi handle has all transfers that are curl's; each of those has an easy handle, which is configured once. Curl's
 * callbacks only append bytes and note that there is something to report.
 */
#include "xfer.h"

#include "xfer_inner.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- sockets and time ------------------------------------------------------------------------ */

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

/* --- answers --------------------------------------------------------------------------------- */

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

bool pk_transfer_add(struct pk_transfer *t, struct pk_error *err)
{
    return curl_multi_add_handle(t->x->multi, t->easy) == CURLM_OK ||
           pk_fail(err, PK_NO_MEMORY, "%s: cannot start a request", t->to->where);
}

void pk_transfer_detach(struct pk_transfer *t)
{
    (void)curl_multi_remove_handle(t->x->multi, t->easy);
    pk_transfer_wipe(t);
    t->ended = true;
    pk_transfer_mark_ready(t);
}

/* --- easy handles ---------------------------------------------------------------------------- */

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

bool pk_transfer_went_again(const struct pk_transfer *t)
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

/* --- connections for others ------------------------------------------------------------------ */

bool pk_transfer_connect(struct pk_transfer *t, struct pk_error *err)
{
    if (!pk_transfer_equip(t, err) || !pk_upstream_parse(t->to, err))
        return false;
    curl_easy_setopt(t->easy, CURLOPT_CURLU, t->to->parsed);
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    return pk_transfer_add(t, err);
}

/* Connections are few: the handle goes. */
void pk_transfer_disconnect(struct pk_transfer *t)
{
    (void)curl_multi_remove_handle(t->x->multi, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

void pk_transfer_exchanges(struct pk_transfer *t)
{
    if (!t->easy)
        return;
    (void)curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 0L);
    (void)curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, http_version(t->x));
}
