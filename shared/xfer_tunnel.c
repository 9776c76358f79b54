/* xfer_tunnel.c - transfers that become a WebSocket: bytes in both directions (RFC 6455, section 4.1).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   start --> curl connects --> the request goes out --> head --101--> open --> ended
 *                  |                                       |
 *                  +--> ended                              +--another--> its body --> ended
 *
 * Curl resolves, checks the address, connects and does TLS, as for any transfer (CURLOPT_CONNECT_ONLY), and
 * then moves bytes only when it is told to. What is read here is the head of one answer, and the body of one
 * that refuses; of an open tunnel every byte is as it came. A connection is of no use afterwards.
 *
 * Bytes on their way out stay where they are until they are written: TLS may have begun with them.
 */
#include "xfer_inner.h"

#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    READ_BYTES = 16 << 10,
    UP_BYTES = 16 << 10,
};

enum body_framing { UNTIL_END, BY_LENGTH, CHUNKED };
enum chunk_part { CHUNK_SIZE, CHUNK_REST, CHUNK_BYTES, CHUNK_END };

struct pk_tunnel {
    int fd;              /* -1: not connected yet */
    bool open;           /* the answer was 101 */
    char *request;       /* in the vault; NULL once it is out */
    size_t request_size; /* of the piece */
    char *up;            /* UP_BYTES of the client's */
    const char *out;     /* what is on its way, in one of these, */
    size_t left;         /* and how much of it */

    /* of an answer that is not 101 */
    enum body_framing framing;
    enum chunk_part chunk;
    uint64_t body_left; /* of the body, or of the chunk */
};

/* --- ends ------------------------------------------------------------------------------------ */

static void drop_request(struct pk_transfer *t)
{
    struct pk_tunnel *n = t->tunnel;

    pk_vault_give(&t->x->vault, n->request, n->request_size);
    n->request = NULL;
}

void pk_tunnel_free(struct pk_transfer *t)
{
    if (!t->tunnel)
        return;
    drop_request(t);
    free(t->tunnel->up);
    free(t->tunnel);
    t->tunnel = NULL;
}

/* With t->error, or whole. */
static void end(struct pk_transfer *t)
{
    t->tunnel->left = 0;
    pk_transfer_detach(t);
}

static void fail(struct pk_transfer *t, const char *what)
{
    if (t->ended)
        return;
    (void)pk_fail(&t->error, PK_NETWORK, "%s: %s", t->to->where, what);
    t->error.retryable = true;
    end(t);
}

static void fail_size(struct pk_transfer *t)
{
    (void)pk_fail(&t->error, PK_TOO_LARGE, "%s: the answer is too large", t->to->where);
    t->error.status = 502;
    end(t);
}

static void fail_memory(struct pk_transfer *t)
{
    (void)pk_fail(&t->error, PK_NO_MEMORY, "%s: out of memory for the answer", t->to->where);
    end(t);
}

/* --- out ------------------------------------------------------------------------------------- */

static void watch(struct pk_transfer *t)
{
    const struct pk_tunnel *n = t->tunnel;

    if (!t->ended)
        pk_watches_want(&t->x->watches, n->fd,
                        (t->paused ? 0 : (uint32_t)EPOLLIN) | (n->left ? (uint32_t)EPOLLOUT : 0));
}

/* Writes what the socket takes. */
static void flush(struct pk_transfer *t)
{
    struct pk_tunnel *n = t->tunnel;

    while (n->left && !t->ended) {
        size_t sent = 0;
        CURLcode result = curl_easy_send(t->easy, n->out, n->left, &sent);

        if (result == CURLE_AGAIN)
            return;
        if (result != CURLE_OK) {
            fail(t, "the connection broke");
            return;
        }
        n->out += sent;
        n->left -= sent;
    }
    if (n->left == 0 && n->request)
        drop_request(t);
}

/* --- in -------------------------------------------------------------------------------------- */

static bool keep(struct pk_transfer *t, pk_str bytes)
{
    size_t before = t->fill.len;

    if (bytes.len == 0)
        return true;
    if (!t->tunnel->open && t->body_bytes + bytes.len > PK_STREAM_BYTES_MAX) {
        fail_size(t);
        return false;
    }
    if (!pk_bytes_add(&t->fill, bytes.at, bytes.len)) {
        fail_memory(t);
        return false;
    }
    pk_transfer_hide_key(t, &t->fill, before);
    t->body_bytes += bytes.len;
    pk_transfer_mark_ready(t);
    return true;
}

/* Takes a digit of a chunk's size; what is none ends it (RFC 9112, 7.1). */
static void take_size(struct pk_tunnel *n, char c)
{
    int digit = pk_hex_digit(c);

    if (digit < 0)
        n->chunk = CHUNK_REST;
    else if (n->body_left <= PK_STREAM_BYTES_MAX)
        n->body_left = n->body_left * 16 + (uint64_t)digit;
}

/* A line of chunk framing is over; false: and with it the body. */
static bool end_line(struct pk_tunnel *n)
{
    if (n->chunk == CHUNK_END) {
        n->chunk = CHUNK_SIZE;
        return true;
    }
    n->chunk = CHUNK_BYTES;
    return n->body_left > 0;
}

/* One byte of chunk framing. False: the body is over. */
static bool take_framing(struct pk_tunnel *n, char c)
{
    if (c == '\n')
        return end_line(n);
    if (n->chunk == CHUNK_SIZE)
        take_size(n, c);
    return true;
}

static void take_chunks(struct pk_transfer *t, pk_str bytes)
{
    struct pk_tunnel *n = t->tunnel;

    while (bytes.len && !t->ended) {
        pk_str part = pk_str_sub(bytes, 0, 1);

        if (n->chunk != CHUNK_BYTES) {
            if (!take_framing(n, part.at[0]))
                end(t);
        } else {
            part =
                pk_str_sub(bytes, 0, n->body_left < bytes.len ? (size_t)n->body_left : bytes.len);
            n->body_left -= part.len;
            if (n->body_left == 0)
                n->chunk = CHUNK_END;
            if (!keep(t, part))
                return;
        }
        bytes = pk_str_sub(bytes, part.len, bytes.len);
    }
}

static void take_body(struct pk_transfer *t, pk_str bytes)
{
    struct pk_tunnel *n = t->tunnel;

    if (!n->open && n->framing == CHUNKED) {
        take_chunks(t, bytes);
        return;
    }
    if (!n->open && n->framing == BY_LENGTH) {
        bytes = pk_str_sub(bytes, 0, n->body_left < bytes.len ? (size_t)n->body_left : bytes.len);
        n->body_left -= bytes.len;
    }
    if (keep(t, bytes) && !n->open && n->framing == BY_LENGTH && n->body_left == 0)
        end(t);
}

/* Where the body of an answer that refuses will end. */
static bool read_framing(struct pk_transfer *t)
{
    struct pk_tunnel *n = t->tunnel;
    pk_str headers = {t->head.at, t->head.len};
    pk_str length = pk_http_header(headers, "content-length");
    int64_t bytes = 0;

    if (t->status == 204 || t->status == 304)
        length = PK_STR("0");
    else if (pk_http_header(headers, "transfer-encoding").len)
        n->framing = CHUNKED;
    if (n->framing == CHUNKED || length.len == 0)
        return true;
    n->framing = BY_LENGTH;
    if (!pk_str_int(length, &bytes) || bytes < 0)
        return false;
    n->body_left = (uint64_t)bytes;
    return true;
}

/* "HTTP/1.1 101 ..." of a head; 0 when it is none. */
static int status_of(pk_str head)
{
    int64_t status = 0;

    if (!pk_str_starts(head, "HTTP/1.") || head.len < 12 ||
        !pk_str_int(pk_str_sub(head, 9, 3), &status) || status < 100)
        return 0;
    return (int)status;
}

/* The answer's head is complete: its lines are t->head[from..to). What follows is the body's, or the tunnel's. */
static void open_body(struct pk_transfer *t, size_t from, size_t to)
{
    struct pk_tunnel *n = t->tunnel;
    struct pk_bytes whole = t->head;
    pk_str rest = {whole.at + to, whole.len - to};

    t->head = (struct pk_bytes){0};
    t->part = PART_BODY;
    n->open = t->status == 101;
    if (!pk_bytes_add(&t->head, whole.at + from, to - from)) {
        fail_memory(t);
    } else {
        pk_transfer_hide_key(t, &t->head, 0);
        if (t->by_token)
            pk_token_refused(t);
        pk_transfer_mark_ready(t);
        if (n->open)
            pk_transfer_wipe(t); /* bytes that happen to look like the key pass, too */
        if (!n->open && !read_framing(t))
            fail(t, "the answer is not HTTP");
        else
            take_body(t, rest);
    }
    free(whole.at);
}

/* The first `len` bytes of t->head are a whole head. False: it was the answer's, or is none. */
static bool head_done(struct pk_transfer *t, size_t len)
{
    const char *line = memchr(t->head.at, '\n', len);

    t->status = status_of((pk_str){t->head.at, len});
    if (t->status == 0) {
        fail(t, "the answer is not HTTP");
        return false;
    }
    if (t->status >= 200 || t->status == 101) {
        open_body(t, (size_t)(line - t->head.at) + 1, len);
        return false;
    }
    memmove(t->head.at, t->head.at + len, t->head.len - len); /* an interim one: another follows */
    t->head.len -= len;
    return true;
}

static void take_head(struct pk_transfer *t, pk_str bytes)
{
    if (!pk_bytes_add(&t->head, bytes.at, bytes.len)) {
        fail_memory(t);
        return;
    }
    for (bool more = true; more && !t->ended;) {
        const char *end_of = t->head.len ? memmem(t->head.at, t->head.len, "\r\n\r\n", 4) : NULL;

        if (!end_of && t->head.len > PK_HEADERS_BYTES_MAX)
            fail_size(t);
        more = end_of && head_done(t, (size_t)(end_of - t->head.at) + 4);
    }
}

static void at_end(struct pk_transfer *t)
{
    const struct pk_tunnel *n = t->tunnel;

    if (n->open || (t->part == PART_BODY && n->framing == UNTIL_END))
        end(t);
    else
        fail(t, "the connection was closed before the answer was complete");
}

/* Reads until nothing is there, or too much waits to be taken. TLS may hold bytes that epoll does not see. */
static void fill(struct pk_transfer *t)
{
    char bytes[READ_BYTES];

    while (!t->ended) {
        size_t got = 0;

        t->paused = t->fill.len + t->lent.len >= XFER_HELD_BYTES_MAX;
        if (t->paused)
            return;
        CURLcode result = curl_easy_recv(t->easy, bytes, sizeof bytes, &got);
        if (result == CURLE_AGAIN)
            return;
        if (result != CURLE_OK)
            fail(t, "the connection broke");
        else if (got == 0)
            at_end(t);
        else if (t->part == PART_BODY)
            take_body(t, (pk_str){bytes, got});
        else
            take_head(t, (pk_str){bytes, got});
    }
}

/* --- for xfer.c ------------------------------------------------------------------------------- */

void pk_tunnel_turn(struct pk_transfer *t)
{
    flush(t);
    if (!t->ended && !t->paused)
        fill(t);
    watch(t);
}

void pk_tunnel_resume(struct pk_transfer *t)
{
    t->paused = false;
    pk_tunnel_turn(t);
}

void pk_tunnel_connected(struct pk_transfer *t)
{
    struct pk_tunnel *n = t->tunnel;
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
        fd == CURL_SOCKET_BAD || !pk_watches_own(&t->x->watches, fd, t, NULL)) {
        fail(t, "the connection broke");
        return;
    }
    n->fd = fd;
    pk_tunnel_turn(t);
}

static void add(struct pk_bytes *b, pk_str s)
{
    PK_ASSERT(b->cap - b->len >= s.len);
    if (s.len)
        memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

/* The request, of the lines that every request has; where a header has no value it is one that curl is not to
 * send. */
static void print(struct pk_transfer *t, struct pk_bytes *b)
{
    const struct pk_url *url = &t->to->url;
    bool colon = pk_str_find(url->host, ':') >= 0;
    char port[16];

    add(b, PK_STR("GET "));
    if (!pk_str_starts(url->path, "/"))
        add(b, PK_STR("/"));
    add(b, url->path);
    add(b, PK_STR(" HTTP/1.1\r\nhost: "));
    add(b, colon ? PK_STR("[") : PK_NONE);
    add(b, url->host);
    add(b, colon ? PK_STR("]") : PK_NONE);
    if (url->port != (url->https ? 443 : 80)) {
        (void)snprintf(port, sizeof port, ":%d", url->port);
        add(b, pk_str_of(port));
    }
    add(b, PK_STR("\r\nuser-agent: pk/" PK_VERSION
                  "\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"));
    for (int i = 0; i < t->line_count; i++) {
        pk_str line = pk_str_of(t->lines[i].data);

        if (pk_str_ends(line, ": "))
            continue;
        add(b, line);
        add(b, PK_STR("\r\n"));
    }
    add(b, PK_STR("\r\n"));
}

bool pk_tunnel_prepare(struct pk_transfer *t, struct pk_error *err)
{
    struct pk_tunnel *n = calloc(1, sizeof *n);
    struct pk_bytes b = {.cap = t->to->len + t->text.len + 512 + 2 * XFER_LINES_MAX};

    t->tunnel = n;
    if (n)
        n->up = malloc(UP_BYTES);
    if (n)
        b.at = pk_vault_take(&t->x->vault, b.cap);
    if (!n || !n->up || !b.at) {
        if (n && b.at)
            pk_vault_give(&t->x->vault, b.at, b.cap);
        pk_tunnel_free(t);
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", t->to->where);
    }
    n->fd = -1;
    n->request = b.at;
    n->request_size = b.cap;
    print(t, &b);
    n->out = b.at;
    n->left = b.len;
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
    return true;
}

bool pk_transfer_writable(const struct pk_transfer *t)
{
    return t->ended || (t->tunnel->open && t->tunnel->left == 0);
}

size_t pk_transfer_write(struct pk_transfer *t, pk_str bytes)
{
    struct pk_tunnel *n = t->tunnel;
    size_t taken = 0;

    PK_ASSERT(n && (n->open || t->ended));
    if (t->ended)
        return bytes.len; /* there is nobody to take them */
    struct pk_hush h = pk_xfer_hush(t->x);
    while (taken < bytes.len && n->left == 0 && !t->ended) {
        pk_str part = pk_str_sub(bytes, taken, UP_BYTES);

        memcpy(n->up, part.at, part.len);
        n->out = n->up;
        n->left = part.len;
        taken += part.len;
        flush(t);
    }
    watch(t);
    pk_xfer_unhush(&h);
    return t->ended ? bytes.len : taken;
}
