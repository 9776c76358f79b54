/* xfer_wire.c - exchanges over connections of our own: plain HTTP/1.1 (RFC 9112).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   start --an idle connection--> the request goes out --> head --> body --> ended
 *     |                             ^      |
 *     +--> curl connects --> ours --+      +--> it was dead: once more, over a new one
 *     +--> an address: we dial -----+
 *
 * Where the host is a name, curl resolves, checks the address and connects, as for any transfer, and gives up the
 * socket (CURLOPT_CONNECT_ONLY). From then on a request is one write, an answer is what http-parser finds in what was
 * read, and a connection that is used again needs neither a handle nor a word to epoll. What that saves is in
 * docs/decisions/0015-own-wire.md; https stays with curl.
 */
#include "xfer_inner.h"

#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct pk_wire {
    struct pk_link *link; /* NULL: curl is still connecting, or it is over */
    http_parser parser;
    size_t sent;   /* of head and body */
    bool deaf;     /* the other end takes no more; what it has answered can be read all the same */
    bool answered; /* bytes of an answer have come */
    const char *run, *run_end; /* of the head, in what was read, and not yet added; NULL: nothing */
    bool in_value;             /* of a header line */
    bool no_memory;
    bool too_long; /* by its own word */
    bool keep;     /* the connection may be used again */
    bool complete;
};

/* --- ends ------------------------------------------------------------------------------------ */

static bool all_sent(const struct pk_transfer *t)
{
    return t->wire->sent == t->head_len + t->body.len;
}

/* With t->error, or whole. */
static void end(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;

    if (w->link && w->keep && t->error.code == PK_OK)
        pk_link_give(t->x, w->link);
    else if (w->link)
        pk_link_close(t->x, w->link);
    w->link = NULL;
    pk_transfer_wipe(t);
    t->ended = true;
    pk_transfer_mark_ready(t);
}

static void fail(struct pk_transfer *t, CURLcode why)
{
    t->wire->keep = false;
    pk_transfer_explain(t, why, &t->error);
    end(t);
}

/* A new connection. False: there is none to be had. */
static bool connect_anew(struct pk_transfer *t, struct pk_error *err)
{
    if (!t->to->address.any.sa_family)
        return pk_transfer_connect(t, err);
    t->wire->link = pk_dial(t);
    if (t->wire->link)
        return true;
    pk_transfer_explain(t, CURLE_COULDNT_CONNECT, err);
    return false;
}

/* The connection is gone before the answer was complete. An idle one may have been closed just before the
 * request went out: nothing has come of it, so it is sent once more. */
static void gone(struct pk_transfer *t, CURLcode why)
{
    struct pk_wire *w = t->wire;

    if (!w->link->used || w->answered) {
        fail(t, w->deaf && !w->answered ? CURLE_SEND_ERROR : why);
        return;
    }
    pk_link_close(t->x, w->link);
    w->link = NULL;
    w->sent = 0;
    w->deaf = false;
    if (!connect_anew(t, &t->error))
        end(t);
}

/* --- the answer ------------------------------------------------------------------------------ */

static int on_begin(http_parser *p)
{
    struct pk_transfer *t = p->data;

    t->head.len = 0; /* of an interim answer (RFC 9110, 15.2) */
    t->head_bytes = 0;
    t->wire->run = NULL;
    t->wire->in_value = false;
    return 0;
}

static bool add_run(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;
    const char *run = w->run;

    w->run = NULL;
    w->no_memory = run && !pk_bytes_add(&t->head, run, (size_t)(w->run_end - run));
    return !w->no_memory;
}

/* Adds to the head's lines: `before`, and what is at `at`; after it are trailers, which nobody reads. As most heads
 * are in one piece and spelled like this, their lines are added together. */
static int add_to_head(struct pk_transfer *t, pk_str before, const char *at, size_t len)
{
    struct pk_wire *w = t->wire;

    if (t->part == PART_BODY)
        return 0;
    t->head_bytes += before.len + len;
    t->too_large = t->head_bytes > PK_HEADERS_BYTES_MAX;
    if (t->too_large)
        return 1;
    bool follows =
        w->run && at == w->run_end + before.len && memcmp(w->run_end, before.at, before.len) == 0;
    if (!follows) {
        w->no_memory = !add_run(t) || !pk_bytes_add(&t->head, before.at, before.len);
        w->run = at;
    }
    w->run_end = at + len;
    return w->no_memory;
}

static int on_name(http_parser *p, const char *at, size_t len)
{
    struct pk_transfer *t = p->data;
    bool ends = t->wire->in_value;

    t->wire->in_value = false;
    return add_to_head(t, ends ? PK_STR("\r\n") : PK_STR(""), at, len);
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct pk_transfer *t = p->data;
    bool begins = !t->wire->in_value;

    if (begins && len && !*at) /* the parser sees any other NUL */
        return -1;
    t->wire->in_value = true;
    return add_to_head(t, begins ? PK_STR(": ") : PK_STR(""), at, len);
}

/* False: it is too large, or there is no memory. */
static bool end_head(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;

    return !w->in_value || (add_to_head(t, PK_STR(""), "\r\n", 2) == 0 && add_run(t));
}

/* Values that the parser knows: 1 says that no body follows, whatever the head says (RFC 9112, 6.3). */
static int on_head(http_parser *p)
{
    struct pk_transfer *t = p->data;
    bool bodyless = p->status_code < 200 || p->status_code == 204 || p->status_code == 304;

    t->status = (int)p->status_code;
    if (t->status < 100 || t->status == 101 || !end_head(t))
        return -1;
    if (t->status < 200)
        return bodyless;
    t->wire->too_long = !bodyless && !t->endless && p->content_length != UINT64_MAX &&
                        p->content_length > PK_STREAM_BYTES_MAX;
    if (t->wire->too_long)
        return -1;
    t->part = PART_BODY;
    pk_transfer_take_head(t);
    return bodyless;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct pk_transfer *t = p->data;
    bool taken = pk_transfer_take_body(t, (pk_str){at, len});

    t->wire->no_memory = !taken && !t->too_large;
    return !taken;
}

static int on_complete(http_parser *p)
{
    struct pk_transfer *t = p->data;

    if (t->part != PART_BODY)
        return 0;
    t->wire->complete = true;
    t->wire->keep =
        http_should_keep_alive(p) && !((p->flags & F_CHUNKED) && (p->flags & F_CONTENTLENGTH));
    http_parser_pause(p, 1); /* nothing may follow */
    return 0;
}

static const http_parser_settings settings = {
    .on_message_begin = on_begin,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* The parser, or one of the functions above, will have no more of it. */
static void refuse(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;

    t->too_large |= HTTP_PARSER_ERRNO(&w->parser) == HPE_HEADER_OVERFLOW;
    fail(t, w->too_long                    ? CURLE_FILESIZE_EXCEEDED
            : w->no_memory || t->too_large ? CURLE_WRITE_ERROR
                                           : CURLE_WEIRD_SERVER_REPLY);
}

static void feed(struct pk_transfer *t, const char *at, size_t len)
{
    struct pk_wire *w = t->wire;

    w->answered = true;
    size_t used = http_parser_execute(&w->parser, &settings, at, len);
    if (w->complete) {
        w->keep = w->keep && used == len && all_sent(t);
        end(t);
    } else if (HTTP_PARSER_ERRNO(&w->parser) != HPE_OK || !add_run(t)) {
        refuse(t);
    }
}

/* Some answers are as long as their connection. */
static void at_end(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;

    if (t->part == PART_BODY)
        (void)http_parser_execute(&w->parser, &settings, NULL, 0);
    if (w->complete) {
        w->keep = false;
        end(t);
        return;
    }
    gone(t, t->part == PART_BODY ? CURLE_PARTIAL_FILE
            : w->answered        ? CURLE_WEIRD_SERVER_REPLY
                                 : CURLE_GOT_NOTHING);
}

/* --- bytes ----------------------------------------------------------------------------------- */

static void watch(struct pk_transfer *t)
{
    const struct pk_wire *w = t->wire;
    uint32_t in = t->paused ? 0 : EPOLLIN, out = all_sent(t) || w->deaf ? 0 : EPOLLOUT;

    if (w->link)
        pk_watches_want(&t->x->watches, w->link->fd, in | out);
}

/* What is still to be sent, in at most two parts. */
static size_t parts_left(const struct pk_transfer *t, struct iovec parts[2])
{
    union {
        const char *in;
        char *out;
    } body = {.in = t->body.at}; /* iovec is not const */
    size_t sent = t->wire->sent, count = 0;
    size_t head_left = sent < t->head_len ? t->head_len - sent : 0;
    size_t from = sent > t->head_len ? sent - t->head_len : 0;

    if (head_left)
        parts[count++] = (struct iovec){t->text.at + sent, head_left};
    if (from < t->body.len)
        parts[count++] = (struct iovec){body.out + from, t->body.len - from};
    return count;
}

/* Writes what the socket takes. */
static void flush(struct pk_transfer *t)
{
    struct pk_wire *w = t->wire;
    struct iovec parts[2];

    while (!all_sent(t) && !w->deaf) {
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = parts_left(t, parts)};
        ssize_t sent = sendmsg(w->link->fd, &message, MSG_NOSIGNAL);

        if (sent >= 0)
            w->sent += (size_t)sent;
        else if (errno == EAGAIN)
            return;
        else
            w->deaf = errno != EINTR;
    }
}

/* Reads until nothing is there, or too much waits to be taken. */
static void fill(struct pk_transfer *t)
{
    const struct pk_wire *w = t->wire;
    char *bytes = t->x->read;

    while (w->link) {
        t->paused = t->fill.len + t->lent.len >= XFER_HELD_BYTES_MAX;
        if (t->paused)
            return;
        ssize_t got = recv(w->link->fd, bytes, XFER_READ_BYTES, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got < 0)
            gone(t, CURLE_RECV_ERROR);
        else if (got == 0)
            at_end(t);
        else
            feed(t, bytes, (size_t)got);
        if (got > 0)
            pk_secret_wipe(bytes, (size_t)got);
        if (got < XFER_READ_BYTES)
            return; /* epoll tells of more */
    }
}

/* --- for xfer.c ------------------------------------------------------------------------------- */

void pk_link_turn(struct pk_xfer *x, struct pk_link *l)
{
    struct pk_transfer *t = l->user;

    if (!t) {
        pk_link_close(x, l);
        return;
    }
    if (l->in && !pk_dial_answered(t, l)) {
        fail(t, CURLE_COULDNT_CONNECT);
        return;
    }
    flush(t);
    if (!t->paused)
        fill(t);
    watch(t);
}

static void use(struct pk_transfer *t, struct pk_link *l)
{
    l->user = t;
    t->wire->link = l;
    flush(t);
    watch(t);
}

bool pk_wire_start(struct pk_transfer *t, struct pk_error *err)
{
    struct pk_link *l = pk_link_take(t->x, &t->to->url);

    if (!t->wire)
        t->wire = malloc(sizeof *t->wire);
    if (!t->wire) {
        if (l)
            pk_link_close(t->x, l);
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", t->to->where);
    }
    *t->wire = (struct pk_wire){0};
    http_parser_init(&t->wire->parser, HTTP_RESPONSE);
    t->wire->parser.data = t;
    t->wire->parser.allow_chunked_length = 1; /* the coding counts (RFC 9112, 6.3), once */
    if (!l)
        return connect_anew(t, err);
    use(t, l);
    return true;
}

void pk_wire_connected(struct pk_transfer *t, int fd)
{
    struct pk_link *l = pk_link_adopt(t->x, fd, &t->to->url);

    pk_transfer_disconnect(t); /* curl asks to have the socket closed: xfer_curl.c does not */
    if (l && l->ours) {
        use(t, l);
        return;
    }
    if (l)
        (void)pk_watches_own(&t->x->watches, fd, NULL, NULL); /* curl keeps it */
    fail(t, l ? CURLE_COULDNT_CONNECT : CURLE_OUT_OF_MEMORY);
    free(l);
}

void pk_wire_failed(struct pk_transfer *t, CURLcode why)
{
    pk_transfer_explain(t, why, &t->error);
    pk_transfer_disconnect(t);
    end(t);
}

void pk_wire_expire(struct pk_xfer *x, int64_t now_ms)
{
    for (struct pk_link *l; (l = pk_dial_overdue(x, now_ms)) != NULL;)
        fail(l->user, CURLE_OPERATION_TIMEDOUT);
}

void pk_wire_resume(struct pk_transfer *t)
{
    t->paused = false;
    watch(t);
}

void pk_wire_cut(struct pk_transfer *t)
{
    if (t->wire && t->wire->link)
        pk_link_close(t->x, t->wire->link);
    if (t->wire)
        t->wire->link = NULL;
}

void pk_wire_forget(struct pk_transfer *t)
{
    if (t->wire && t->wire->link) {
        pk_link_leave(t->wire->link);
        free(t->wire->link);
    }
    if (t->wire)
        t->wire->link = NULL;
}
