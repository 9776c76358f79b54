/* conn.c - one client connection: bytes to requests, answers to bytes. See conn.h for its states.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The input holds one request at a time, where it arrived; the host reads it there. The output holds what
 * the socket did not take; everything else goes from the caller's memory straight to the kernel.
 */
#include "conn.h"

#include "trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    IN_BYTES_MIN = 1024,       /* of a fresh input buffer */
    READ_BYTES = 16 << 10,     /* read besides what the input has room for */
    OUT_BYTES_MIN = 1024,      /* of a fresh output buffer */
    IDLE_BYTES_MAX = 16 << 10, /* the largest buffer that an idle connection keeps */
    PARTS_MAX = 4,
    CHUNK_LINE_BYTES = 2 * sizeof(size_t) + 2,
    REQUESTS_MAX = 16,       /* answered in one go, so that others get their turn */
    TUNNEL_BYTES = 16 << 10, /* of the input of an upgraded connection */
};

/* --- output ------------------------------------------------------------------------------ */

static bool reserve(struct pkd_bytes *b, size_t more)
{
    size_t cap = b->cap ? b->cap : OUT_BYTES_MIN;

    if (more <= b->cap - b->len)
        return true;
    while (cap - b->len < more)
        cap *= 2;
    char *at = realloc(b->at, cap);
    if (!at)
        return false;
    b->at = at;
    b->cap = cap;
    return true;
}

/* What clients send holds their credentials: it is wiped where it is not needed any more. */
static void wipe_input(struct pkd_conn *c, size_t from)
{
    if (c->in.top > from)
        explicit_bzero(c->in.at + from, c->in.top - from);
    c->in.top = from;
}

static void fail(struct pkd_conn *c)
{
    c->broken = true;
    pkd_server_queue(c->server, c);
}

static void append(struct pkd_conn *c, const void *at, size_t len)
{
    if (c->broken || len == 0)
        return;
    if (!reserve(&c->out, len)) {
        fail(c);
        return;
    }
    memcpy(c->out.at + c->out.len, at, len);
    c->out.len += len;
}

static void append_str(struct pkd_conn *c, pk_str s)
{
    append(c, s.at, s.len);
}

static void append_text(struct pkd_conn *c, const char *text)
{
    append(c, text, strlen(text));
}

static void append_number(struct pkd_conn *c, uint64_t n)
{
    char digits[PK_DIGITS_BYTES];

    append_str(c, pk_digits(n, digits));
}

static bool pending(const struct pkd_conn *c)
{
    return c->out.len > c->out.from;
}

static void keep_rest(struct pkd_conn *c, const struct iovec *parts, int count, size_t sent)
{
    size_t waiting = c->out.len - c->out.from;
    size_t gone = sent < waiting ? sent : waiting;

    c->out.from += gone;
    sent -= gone;
    if (!pending(c))
        c->out.from = c->out.len = 0;
    for (int i = 0; i < count; i++) {
        size_t skip = sent < parts[i].iov_len ? sent : parts[i].iov_len;

        append(c, (const char *)parts[i].iov_base + skip, parts[i].iov_len - skip);
        sent -= skip;
    }
}

/* Writes what waits and then the parts; keeps what the socket does not take. */
static void put(struct pkd_conn *c, const struct iovec *parts, int count)
{
    struct iovec all[PARTS_MAX + 1];
    struct msghdr message = {.msg_iov = all, .msg_iovlen = (size_t)count + 1};
    size_t total = c->out.len - c->out.from;
    ssize_t sent = 0;

    PK_ASSERT(count <= PARTS_MAX);
    if (c->broken)
        return;
    all[0] = (struct iovec){c->out.at ? c->out.at + c->out.from : NULL, total};
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        total += parts[i].iov_len;
    }
    if (!c->blocked && total)
        sent =
            c->tls ? pkd_tls_write(c->tls, all, count + 1) : sendmsg(c->fd, &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        fail(c);
        return;
    }
    keep_rest(c, parts, count, sent > 0 ? (size_t)sent : 0);
    if (pending(c) && !c->blocked) {
        c->blocked = true;
        pkd_server_set_timer(c->server, c, PKD_T_WRITE);
    }
}

static void drop(struct pkd_bytes *b)
{
    free(b->at);
    *b = (struct pkd_bytes){0};
}

static void shrink(struct pkd_bytes *b)
{
    if (b->cap > IDLE_BYTES_MAX)
        drop(b);
}

/* --- the end of a request ---------------------------------------------------------------- */

/* Everything is written and no other request may follow. What the client still sends must be read, or
 * the reset that it causes may overtake the answer. */
static void part(struct pkd_conn *c)
{
    bool unread =
        (c->readable || c->in.len > c->raw || !c->message.complete || c->tunnel) && !c->ended;

    if (c->tls)
        pkd_tls_end(c->tls);
    if (!unread || shutdown(c->fd, SHUT_WR) != 0) {
        pkd_server_close(c->server, c);
        return;
    }
    c->state = PKD_LINGER;
    c->in.len = c->raw = 0;
    wipe_input(c, 0);
    pkd_server_set_timer(c->server, c, PKD_T_LINGER);
    pkd_server_queue(c->server, c);
}

/* Everything is written: makes place for the next request, of which a part may be here. */
static void renew(struct pkd_conn *c)
{
    size_t rest = c->in.len - c->raw;

    if (rest)
        memmove(c->in.at, c->in.at + c->raw, rest);
    wipe_input(c, rest);
    c->in.len = rest;
    c->raw = 0;
    if (!rest)
        shrink(&c->in);
    shrink(&c->out);
    c->state = PKD_IDLE;
    pkd_message_init(&c->message);
    pkd_server_set_timer(c->server, c, PKD_T_IDLE);
    if (rest || c->readable)
        pkd_server_queue(c->server, c);
}

/* The answer is complete as far as the host goes. */
static void finish(struct pkd_conn *c)
{
    c->state = PKD_FLUSH;
    c->kind = NULL;
    c->waiting = false;
    if (c->broken || pending(c))
        return;
    if (c->keep && !pkd_server_draining(c->server))
        renew(c);
    else
        part(c);
}

void pkd_conn_flush(struct pkd_conn *c)
{
    size_t before = c->out.from;

    c->blocked = false;
    if (!pending(c))
        return;
    put(c, NULL, 0);
    if (c->broken)
        return;
    if (pending(c)) {
        if (c->out.from != before)
            pkd_server_set_timer(c->server, c, PKD_T_WRITE);
        return;
    }
    if (c->state == PKD_FLUSH) {
        finish(c);
        return;
    }
    pkd_server_set_timer(c->server, c, PKD_T_NONE);
    shrink(&c->out);
    if (c->waiting) {

        c->waiting = false;
        c->kind->drained(c->owner, c);
    }
}

/* --- answers ----------------------------------------------------------------------------- */

static const char *reason(int status)
{
    switch (status) {
#define REASON(code, name, text)                                                                   \
    case code: return #text;
        HTTP_STATUS_MAP(REASON)
#undef REASON
    }
    return "Unknown";
}

static void append_trace(struct pkd_conn *c)
{
    struct pkd_span at = c->message.headers;
    char line[PKD_TRACE_LINE_BYTES];
    size_t len = pkd_trace_line(at.len ? (pk_str){c->in.at + at.from, at.len} : PK_NONE, line);

    append(c, line, len);
}

/* The status line and the headers, but for the length and the empty line. */
static void print_head(struct pkd_conn *c, const struct pkd_head *head)
{
    char line[64];

    if (c->message.parser.http_minor == 0)
        c->keep = c->keep && c->message.parser.http_major == 1;
    if (pkd_server_draining(c->server))
        c->keep = false;
    if (head->status == 200) {
        append_text(c, "HTTP/1.1 200 OK\r\n");
    } else {
        int len =
            snprintf(line, sizeof line, "HTTP/1.1 %d %s\r\n", head->status, reason(head->status));
        append(c, line, len > 0 ? (size_t)len : 0);
    }
    append_str(c, pkd_server_date(c->server));
    if (head->content_type) {
        append_text(c, "content-type: ");
        append_text(c, head->content_type);
        append_text(c, "\r\n");
    }
    if (!c->keep)
        append_text(c, "connection: close\r\n");
    else if (c->message.parser.http_minor == 0)
        append_text(c, "connection: keep-alive\r\n");
    append_str(c, head->headers);
    if (!head->traced)
        append_trace(c);
}

static void answer(struct pkd_conn *c, const struct pkd_head *head, pk_str body)
{
    union {
        const char *in;
        void *out;
    } at = {.in = body.at}; /* iovec is not const */
    struct iovec part = {at.out, c->bodyless ? 0 : body.len};

    print_head(c, head);
    if (head->status != 204) {
        append_text(c, "content-length: ");
        append_number(c, body.len);
        append_text(c, "\r\n");
    }
    append_text(c, "\r\n");
    put(c, &part, 1);
    finish(c);
}

void pkd_conn_reply(struct pkd_conn *c, const struct pkd_head *head, pk_str body)
{
    PK_ASSERT(c->state == PKD_CALL);
    answer(c, head, body);
}

void pkd_conn_begin(struct pkd_conn *c, const struct pkd_head *head)
{
    PK_ASSERT(c->state == PKD_CALL);
    if (head->status ==
        204) { /* of which no body may follow, nor words about one (RFC 9110, 8.6) */
        c->bodyless = true;
        print_head(c, head);
        append_text(c, "\r\n");
        return;
    }
    c->chunked = c->message.parser.http_minor > 0;
    if (!c->chunked)
        c->keep = false;
    print_head(c, head);
    append_text(c, c->chunked ? "transfer-encoding: chunked\r\n\r\n" : "\r\n");
}

/* The line before a chunk, which is its size; it ends where `line` does. */
static struct iovec chunk_line(size_t size, char line[CHUNK_LINE_BYTES])
{
    size_t at = CHUNK_LINE_BYTES - 2;

    line[at] = '\r';
    line[at + 1] = '\n';
    do {
        line[--at] = "0123456789abcdef"[size % 16];
        size /= 16;
    } while (size);
    return (struct iovec){line + at, CHUNK_LINE_BYTES - at};
}

bool pkd_conn_send(struct pkd_conn *c, pk_str bytes)
{
    char line[CHUNK_LINE_BYTES];
    char crlf[] = "\r\n";
    union {
        const char *in;
        void *out;
    } at = {.in = bytes.at};

    PK_ASSERT(c->state == PKD_CALL);
    if (bytes.len == 0)
        return !pending(c);
    struct iovec parts[] = {{line, 0}, {at.out, bytes.len}, {crlf, c->chunked ? 2 : 0}};
    if (c->chunked)
        parts[0] = chunk_line(bytes.len, line);
    put(c, parts, c->bodyless ? 0 : PK_COUNT(parts));
    if (!pending(c))
        drop(&c->out); /* it held the head; a stream may go on for long */
    c->waiting = c->blocked && !c->broken;
    return !c->waiting;
}

void pkd_conn_upgrade(struct pkd_conn *c, pk_str headers)
{
    PK_ASSERT(c->state == PKD_CALL && c->raw == 0);
    c->tunnel = true;
    c->keep = c->chunked = c->bodyless = false;
    append_text(c, "HTTP/1.1 101 Switching Protocols\r\n");
    append_str(c, pkd_server_date(c->server));
    append_text(c, "connection: Upgrade\r\nupgrade: websocket\r\n");
    append_str(c, headers);
    append_text(c, "\r\n");
    if (!reserve(&c->in, TUNNEL_BYTES)) {
        fail(c);
        return;
    }
    put(c, NULL, 0);
    pkd_server_queue(c->server, c); /* the client may have sent more already */
}

void pkd_conn_read_on(struct pkd_conn *c)
{
    c->stuffed = false;
    pkd_server_queue(c->server, c);
}

void pkd_conn_end(struct pkd_conn *c, bool clean)
{
    char last[] = "0\r\n\r\n";
    struct iovec part = {last, sizeof last - 1};

    PK_ASSERT(c->state == PKD_CALL);
    if (!clean)
        c->keep = false;
    put(c, &part, clean && c->chunked && !c->bodyless ? 1 : 0);
    finish(c);
}

void pkd_conn_set_owner(struct pkd_conn *c, const struct pkd_owner *kind, void *owner)
{
    c->kind = kind;
    c->owner = owner;
}

void *pkd_conn_take_input(struct pkd_conn *c, size_t *size)
{
    void *input = c->in.at;

    *size = c->in.cap;
    c->in = (struct pkd_bytes){0};
    return input;
}

void *pkd_conn_detach_input(struct pkd_conn *c, size_t *size)
{
    size_t rest = c->in.len - c->raw;
    char *kept = rest ? malloc(rest) : NULL;

    if (rest && !kept)
        return NULL;
    if (rest)
        memcpy(kept, c->in.at + c->raw, rest);
    void *input = pkd_conn_take_input(c, size);
    c->in = (struct pkd_bytes){.at = kept, .len = rest, .cap = rest, .top = rest};
    c->raw = 0;
    c->message.headers = (struct pkd_span){0}; /* they went with it */
    return input;
}

/* --- input ------------------------------------------------------------------------------- */

/* Refuses the request, and whatever follows it on this connection. */
static void refuse(struct pkd_conn *c, int status, const char *why)
{
    char body[256];
    int len = snprintf(body, sizeof body,
                       "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request\",\"param\":null,"
                       "\"code\":null}}",
                       why);

    c->keep = false;
    c->message.complete = false;
    pkd_server_note_malformed(c->server);
    answer(c, &(struct pkd_head){.status = status, .content_type = "application/json"},
           (pk_str){body, len > 0 ? (size_t)len : 0});
}

static enum pkd_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET: return PKD_GET;
    case HTTP_HEAD: return PKD_HEAD;
    case HTTP_POST: return PKD_POST;
    case HTTP_PUT: return PKD_PUT;
    case HTTP_PATCH: return PKD_PATCH;
    case HTTP_DELETE: return PKD_DELETE;
    case HTTP_OPTIONS: return PKD_OPTIONS;
    }
    return PKD_OTHER;
}

static pk_str part_of(const struct pkd_conn *c, struct pkd_span span)
{
    return span.len ? (pk_str){c->in.at + span.from, span.len} : PK_NONE;
}

static void dispatch(struct pkd_conn *c)
{
    const struct pkd_server_host *host = pkd_server_host_of(c->server);
    const struct pkd_message *m = &c->message;
    struct pkd_request req = {
        .method = method_of(m->parser.method),
        .path = part_of(c, m->path),
        .query = part_of(c, m->query),
        .headers = part_of(c, m->headers),
        .host = part_of(c, m->host),
        .origin = part_of(c, m->origin),
        .body = part_of(c, (struct pkd_span){m->head_len, m->body_len}),
        .local = c->local,
        .upgrade = m->parser.upgrade && m->parser.http_minor > 0,
        .head = m->number,
    };

    c->keep = m->keep_alive;
    c->bodyless = req.method == PKD_HEAD;
    c->state = PKD_CALL;
    pkd_server_set_timer(c->server, c, PKD_T_NONE);
    host->request(host->ctx, c, &req);
}

static void enter_body(struct pkd_conn *c)
{
    const struct pkd_message *m = &c->message;
    char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";

    c->raw = m->head_len;
    if (m->complete) {
        dispatch(c);
        return;
    }
    c->state = PKD_BODY;
    pkd_server_set_timer(c->server, c, PKD_T_BODY);
    if (m->expects_continue && m->parser.http_minor > 0 && c->in.len == c->raw)
        put(c, &(struct iovec){go_on, sizeof go_on - 1}, 1);
}

/* Empty lines before a request are not part of it (RFC 9112, 2.2). */
static void skip_empty_lines(struct pkd_conn *c)
{
    size_t skip = 0;

    while (skip + 1 < c->in.len && c->in.at[skip] == '\r' && c->in.at[skip + 1] == '\n')
        skip += 2;
    if (skip == 0)
        return;
    c->in.len -= skip;
    memmove(c->in.at, c->in.at + skip, c->in.len);
}

/* The framing that was read is done with: closes the gap between the body and what follows. */
static void close_gap(struct pkd_conn *c)
{
    size_t end = c->message.head_len + c->message.body_len, rest = c->in.len - c->raw;

    if (end == c->raw)
        return;
    memmove(c->in.at + end, c->in.at + c->raw, rest);
    c->raw = end;
    c->in.len = end + rest;
}

static bool advance_body(struct pkd_conn *c)
{
    struct pkd_message *m = &c->message;
    size_t used = 0;

    if (c->in.len > c->raw)
        used = pkd_message_body(m, c->in.at, c->raw, c->in.len);
    c->raw += used;
    if (m->refused)
        refuse(c, m->refused, m->why);
    else if (m->complete)
        dispatch(c);
    else
        close_gap(c);
    return used > 0 || c->state != PKD_BODY;
}

/* Uses what is in the input. False: it takes more bytes to go on. */
static bool advance(struct pkd_conn *c)
{
    struct pkd_message *m = &c->message;

    if (c->state == PKD_BODY)
        return advance_body(c);
    if (m->scanned == 0)
        skip_empty_lines(c);
    if (c->in.len == m->scanned || (c->in.len == 1 && c->in.at[0] == '\r'))
        return false;
    if (c->state == PKD_IDLE && c->timer != PKD_T_HEAD)
        pkd_server_set_timer(c->server, c, PKD_T_HEAD);
    c->state = PKD_START;
    if (pkd_message_head(m, pkd_server_heads(c->server), (pk_str){c->in.at, c->in.len}))
        enter_body(c);
    else if (m->refused)
        refuse(c, m->refused, m->why);
    else
        return false;
    return true;
}

/* Room for `more` bytes. They move by hand, so that nothing stays where they were. */
static bool grow_input(struct pkd_conn *c, size_t more)
{
    struct pkd_bytes larger = {
        .len = c->in.len, .cap = c->in.cap ? c->in.cap : IN_BYTES_MIN, .top = c->in.len};

    if (c->in.cap - c->in.len >= more)
        return true;
    while (larger.cap - larger.len < more)
        larger.cap *= 2;
    larger.at = malloc(larger.cap);
    if (!larger.at)
        return false;
    if (c->in.len)
        memcpy(larger.at, c->in.at, c->in.len);
    wipe_input(c, 0);
    free(c->in.at);
    c->in = larger;
    return true;
}

static void add_input(struct pkd_conn *c, size_t len)
{
    c->in.len += len;
    c->in.top = c->in.len > c->in.top ? c->in.len : c->in.top;
}

/* Reads once what the socket has, so that the input need not be larger than a request. */
static ssize_t read_beyond(struct pkd_conn *c, size_t room)
{
    char rest[READ_BYTES];
    struct iovec parts[] = {{c->in.at + c->in.len, room}, {rest, sizeof rest}};
    ssize_t got = readv(c->fd, parts, PK_COUNT(parts));

    c->readable = got == (ssize_t)(room + sizeof rest) || c->ended;
    if (got <= (ssize_t)room) {
        add_input(c, got > 0 ? (size_t)got : 0);
        return got;
    }
    size_t more = (size_t)got - room;
    add_input(c, room);
    bool taken = grow_input(c, more);
    if (taken) {
        memcpy(c->in.at + c->in.len, rest, more);
        add_input(c, more);
    }
    explicit_bzero(rest, more);
    errno = ENOMEM;
    return taken ? got : -1;
}

/* Most requests are no larger than the one before. */
static ssize_t read_plain(struct pkd_conn *c)
{
    size_t room = c->in.cap - c->in.len;

    if (room < IN_BYTES_MIN)
        return read_beyond(c, room);
    ssize_t got = recv(c->fd, c->in.at + c->in.len, room, 0);
    c->readable = got == (ssize_t)room || c->ended;
    add_input(c, got > 0 ? (size_t)got : 0);
    return got;
}

static ssize_t read_tls(struct pkd_conn *c)
{
    ssize_t got = pkd_tls_read(c->tls, c->in.at + c->in.len, c->in.cap - c->in.len);

    add_input(c, got > 0 ? (size_t)got : 0);
    if (got > 0)
        c->readable = true;
    return got;
}

/* Reads once. False: nothing came, or the connection is gone. */
static bool fill(struct pkd_conn *c)
{
    if (!grow_input(c, 2)) {
        fail(c);
        return false;
    }
    ssize_t got = c->tls ? read_tls(c) : read_plain(c);
    if (got > 0)
        return true;
    if (got < 0 && errno == EINTR)
        return true;
    if (got < 0 && errno == EAGAIN) {
        c->readable = false;
        return false;
    }
    pkd_server_close(c->server, c); /* the end, or an error: nothing that is here can be answered */
    return false;
}

static void discard(struct pkd_conn *c)
{
    char bytes[16 << 10];

    for (int i = 0; i < REQUESTS_MAX && c->readable; i++) {
        ssize_t got = recv(c->fd, bytes, sizeof bytes, 0);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            pkd_server_close(c->server, c);
            return;
        }
        if (got < 0)
            c->readable = false;
    }
    if (c->readable)
        pkd_server_queue(c->server, c);
}

static bool takes_input(const struct pkd_conn *c)
{
    return c->state == PKD_IDLE || c->state == PKD_START || c->state == PKD_BODY;
}

/* An upgraded connection: what has come goes to the host. A client that has hung up is gone at once when the host is
 * behind: what it sent last leads nowhere. */
static void carry(struct pkd_conn *c)
{
    for (int i = 0; i < REQUESTS_MAX && !c->stuffed; i++) {
        if (c->in.len > c->raw) {
            const pk_str bytes = {c->in.at + c->raw, c->in.len - c->raw};

            c->raw += c->kind->received(c->owner, c, bytes);
            c->stuffed = c->raw < c->in.len;
            continue;
        }
        c->in.len = c->raw = 0;
        if (!c->readable || !fill(c))
            return;
    }
    if (c->stuffed && c->ended)
        pkd_server_close(c->server, c);
    else if (!c->stuffed)
        pkd_server_queue(c->server, c);
}

void pkd_conn_run(struct pkd_conn *c)
{
    if (c->broken) {
        pkd_server_close(c->server, c);
        return;
    }
    if (c->tunnel && c->state == PKD_CALL) {
        carry(c);
        return;
    }
    for (int i = 0; i < REQUESTS_MAX && c->fd >= 0 && takes_input(c);) {
        enum pkd_conn_state before = c->state;

        if (advance(c))
            i += before != c->state;
        else if (!c->readable || !fill(c))
            break;
    }
    if (c->fd < 0)
        return;
    if (c->state == PKD_LINGER)
        discard(c);
    else if (c->state == PKD_CALL && c->ended)
        pkd_server_close(c->server, c); /* a client that hangs up does not want the answer */
    else if (takes_input(c) &&
             (c->readable || (c->state != PKD_BODY && c->in.len > c->message.scanned)))
        pkd_server_queue(c->server, c);
}

void pkd_conn_expire(struct pkd_conn *c)
{
    if (c->state == PKD_START || c->state == PKD_BODY)
        refuse(c, 408, "the request did not arrive in time");
    else
        pkd_server_close(c->server, c);
}

void pkd_conn_release(struct pkd_conn *c)
{
    wipe_input(c, 0);
    free(c->in.at);
    free(c->out.at);
    pkd_tls_drop(c->tls);
    c->tls = NULL;
    c->in = c->out = (struct pkd_bytes){0};
    (void)close(c->fd);
}
