/* head.c - see head.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "head.h"

#include <string.h>

enum { KNOWN_BYTES_MAX = 4 << 10 }; /* of a head that is worth to be known */

static const char token_marks[] = "!#$%&'*+-.^_`|~";

/* Notes why the request is refused; the value makes the parser stop. */
static int refuse(struct pkd_message *m, int status, const char *why)
{
    if (m->refused)
        return 1;
    m->refused = status;
    m->why = why;
    return 1;
}

static bool is_token(pk_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alnum && (c == 0 || !strchr(token_marks, c)))
            return false;
    }
    return s.len > 0;
}

static bool is_length(pk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
    return s.len > 0 && s.len < 19;
}

static struct pkd_span span(const struct pkd_message *m, const char *at, size_t len)
{
    return (struct pkd_span){(size_t)(at - m->base), len};
}

/* Absolute form included. */
static bool split_target(struct pkd_message *m, pk_str target)
{
    struct http_parser_url url;

    if (pk_str_is(target, "*")) {
        m->path = span(m, target.at, target.len);
        return true;
    }
    http_parser_url_init(&url);
    if (http_parser_parse_url(target.at, target.len, 0, &url) != 0)
        return false;
    m->path = span(m, target.at + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len);
    if (url.field_set & (1 << UF_QUERY))
        m->query = span(m, target.at + url.field_data[UF_QUERY].off, url.field_data[UF_QUERY].len);
    return true;
}

static int on_url(http_parser *p, const char *at, size_t len)
{
    struct pkd_message *m = p->data;

    if (len > PKD_TARGET_BYTES_MAX)
        return refuse(m, 414, "the request target is too long");
    if (!split_target(m, (pk_str){at, len}))
        return refuse(m, 400, "the request target is not a URL");
    return 0;
}

static int on_field(http_parser *p, const char *at, size_t len)
{
    struct pkd_message *m = p->data;

    if (!m->body_to)
        m->name = span(m, at, len);
    if (++m->header_count > PKD_HEADERS_MAX)
        return refuse(m, 431, "too many header lines");
    if (!is_token((pk_str){at, len}))
        return refuse(m, 400, "a header name has a character that it may not have");
    return 0;
}

static int note_length(struct pkd_message *m, pk_str value)
{
    if (++m->length_count > 1)
        return refuse(m, 400, "content-length is given more than once");
    if (!is_length(pk_str_trim(value)))
        return refuse(m, 400, "content-length is not a number");
    return 0;
}

static int note_coding(struct pkd_message *m, pk_str value)
{
    if (++m->coding_count > 1 || !pk_str_is_nocase(pk_str_trim(value), "chunked"))
        return refuse(m, 501, "transfer-encoding: only chunked is understood");
    return 0;
}

static int note_expect(struct pkd_message *m, pk_str value)
{
    if (!pk_str_is_nocase(pk_str_trim(value), "100-continue"))
        return refuse(m, 417, "expect: only 100-continue is understood");
    m->expects_continue = true;
    return 0;
}

static int on_value(http_parser *p, const char *at, size_t len)
{
    struct pkd_message *m = p->data;
    pk_str value = {at, len};
    pk_str name = {m->base + m->name.from, m->name.len};

    if (m->body_to)
        return 0;    /* a trailer: nobody reads it */
    if (len && !*at) /* the parser sees any other */
        return refuse(m, 400, "a header value begins with NUL");
    if (pk_str_is_nocase(name, "content-length"))
        return note_length(m, value);
    if (pk_str_is_nocase(name, "transfer-encoding"))
        return note_coding(m, value);
    if (pk_str_is_nocase(name, "expect"))
        return note_expect(m, value);
    if (pk_str_is_nocase(name, "origin"))
        m->origin = span(m, at, len);
    if (pk_str_is_nocase(name, "host")) {
        m->host = span(m, at, len);
        m->host_count++;
    }
    return 0;
}

static int on_headers(http_parser *p)
{
    struct pkd_message *m = p->data;

    if (p->http_major != 1 || p->http_minor > 1)
        return refuse(m, 505, "only HTTP/1.0 and HTTP/1.1 are spoken");
    if (m->length_count && m->coding_count)
        return refuse(m, 400, "content-length and transfer-encoding contradict each other");
    if (m->coding_count && p->http_minor == 0)
        return refuse(m, 400, "HTTP/1.0 has no transfer-encoding");
    if (m->host_count > 1 || (m->host_count == 0 && p->http_minor == 1))
        return refuse(m, 400, "exactly one host header is needed");
    m->keep_alive = http_should_keep_alive(p);
    return 0;
}

static int on_chunk(http_parser *p)
{
    struct pkd_message *m = p->data;

    if (p->content_length > PK_BODY_BYTES_MAX - m->body_len)
        return refuse(m, 413, "the body is too large");
    m->chunk_left = p->content_length;
    m->last_chunk = p->content_length == 0;
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t len)
{
    struct pkd_message *m = p->data;

    if (len > PK_BODY_BYTES_MAX - m->body_len)
        return refuse(m, 413, "the body is too large");
    memmove(m->body_to, at, len); /* over chunk framing that was read already */
    m->body_to += len;
    m->body_len += len;
    return 0;
}

static int on_complete(http_parser *p)
{
    struct pkd_message *m = p->data;

    m->complete = true;
    http_parser_pause(p, 1); /* what follows belongs to the next request */
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

static size_t feed(struct pkd_message *m, const char *at, size_t len)
{
    size_t used = http_parser_execute(&m->parser, &settings, at, len);
    enum http_errno e = HTTP_PARSER_ERRNO(&m->parser);

    if (e != HPE_OK && e != HPE_PAUSED)
        (void)refuse(m, 400, http_errno_description(e));
    return used;
}

/* Walks the lines that came since the last call; true at the empty line that ends the head. */
static bool head_ends(struct pkd_message *m, pk_str input)
{
    for (;;) {
        const char *from = input.at + m->scanned;
        const char *lf = memchr(from, '\n', input.len - m->scanned);

        if (!lf) {
            m->scanned = input.len;
            return false;
        }
        size_t at = (size_t)(lf - input.at);
        const char *line = input.at + m->line_from;
        const char *cr = memchr(line, '\r', at - m->line_from);
        char first = *line;
        if (!cr)
            return !refuse(m, 400, "a line of the head ends without a carriage return");
        if (cr + 1 != lf) /* for the parser, any byte may follow it where a line could end */
            return !refuse(m, 400, "a carriage return within a line of the head");
        if (m->line_from > 0 && (first == ' ' || first == '\t'))
            return !refuse(m, 400, "a header line is folded");
        bool empty = at == m->line_from + 1;
        m->scanned = at + 1;
        m->line_from = at + 1;
        if (empty)
            return true;
        if (m->headers.from == 0)
            m->headers.from = at + 1;
    }
}

/* Two blanks, no more (RFC 9112, 3): the parser takes several, and somebody in front of us may read that otherwise. It
 * takes any letters for HTTP, too. */
static bool is_request_line(pk_str line)
{
    int blanks = 0;
    size_t last = 0;

    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == ' ') {
            blanks++;
            last = i;
        }
    return blanks == 2 && pk_str_starts(pk_str_sub(line, last + 1, line.len), "HTTP/");
}

void pkd_message_init(struct pkd_message *m)
{
    *m = (struct pkd_message){0};
    http_parser_init(&m->parser, HTTP_REQUEST);
}

/* --- heads that are known ------------------------------------------------------------------ */

void pkd_heads_init(struct pkd_heads *h)
{
    *h = (struct pkd_heads){0};
    pk_secret_random(h->key, sizeof h->key);
}

/* Where what is known of `head` is, or belongs; NULL: too long. */
static struct pkd_known_head *place_of(struct pkd_heads *h, pk_str head,
                                       uint8_t hash[PK_SECRET_HASH_BYTES])
{
    if (head.len > KNOWN_BYTES_MAX)
        return NULL;
    pk_secret_hash(h->key, head, hash);
    return &h->list[hash[0] % PKD_HEADS];
}

static bool recall(struct pkd_message *m, struct pkd_heads *h, const struct pkd_known_head *k,
                   size_t len, const uint8_t *hash)
{
    if (k->message.head_len != len || memcmp(k->hash, hash, sizeof k->hash) != 0)
        return false;
    *m = k->message;
    h->last_len = len;
    return true;
}

/* One that is as long as the last is known without looking for its lines. */
static bool recall_at_once(struct pkd_message *m, struct pkd_heads *h, pk_str input)
{
    size_t len = h->last_len;
    uint8_t hash[PK_SECRET_HASH_BYTES];

    if (m->scanned > 0 || len == 0 || input.len < len ||
        !pk_str_is(pk_str_sub(input, len - 4, 4), "\r\n\r\n"))
        return false;
    const struct pkd_known_head *k = place_of(h, pk_str_sub(input, 0, len), hash);
    return k && recall(m, h, k, len, hash);
}

static void remember(struct pkd_message *m, struct pkd_heads *h, struct pkd_known_head *k,
                     const uint8_t *hash)
{
    m->number = ++h->numbered;
    h->last_len = m->head_len;
    memcpy(k->hash, hash, sizeof k->hash);
    k->message = *m;
    k->message.base = NULL;
    k->message.parser.data = NULL;
}

/* --- the head ------------------------------------------------------------------------------ */

static void parse(struct pkd_message *m, pk_str input)
{
    m->base = input.at;
    m->parser.data = m;
    m->head_len = m->scanned;
    m->headers.len = m->head_len - 2 - m->headers.from;
    (void)feed(m, input.at, m->head_len);
    if (m->length_count && m->parser.content_length > PK_BODY_BYTES_MAX && !m->complete)
        (void)refuse(m, 413, "the body is too large");
}

bool pkd_message_head(struct pkd_message *m, struct pkd_heads *known, pk_str input)
{
    uint8_t hash[PK_SECRET_HASH_BYTES];

    if (recall_at_once(m, known, input))
        return true;
    bool ends = head_ends(m, input);
    if (!m->refused && m->scanned > PK_HEADERS_BYTES_MAX)
        (void)refuse(m, 431, "the head is too large");
    if (m->refused || !ends)
        return false;
    if (!is_request_line(pk_str_sub(input, 0, m->headers.from)))
        return !refuse(m, 400, "the request line is not METHOD TARGET HTTP/1.1");
    struct pkd_known_head *k = place_of(known, pk_str_sub(input, 0, m->scanned), hash);
    if (k && recall(m, known, k, m->scanned, hash))
        return true;
    parse(m, input);
    if (k && !m->refused)
        remember(m, known, k, hash);
    return !m->refused;
}

/* --- the body ------------------------------------------------------------------------------ */

/* Whether a line of framing, without its line break, has only what it should. */
static bool is_framing(const struct pkd_message *m, pk_str line)
{
    size_t digits = 0;

    if (m->chunk_ends)
        return line.len == 0;
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '\r' || line.at[i] == 0)
            return false;
    if (m->last_chunk)
        return line.len == 0 || (line.at[0] != ' ' && line.at[0] != '\t');
    while (digits < line.len && strchr("0123456789abcdefABCDEF", line.at[digits]))
        digits++;
    return digits > 0 && (digits == line.len || line.at[digits] == ';');
}

/* Feeds one line of chunk framing; 0 when it has not come whole. */
static size_t feed_line(struct pkd_message *m, const char *at, size_t len)
{
    const char *lf = memchr(at, '\n', len);
    size_t size = lf ? (size_t)(lf - at) + 1 : 0;

    if (len > PKD_LINE_BYTES_MAX && (!lf || size > PKD_LINE_BYTES_MAX))
        return !refuse(m, 400, "a line of chunk framing is too long");
    if (!lf)
        return 0;
    if (size < 2 || at[size - 2] != '\r' || !is_framing(m, (pk_str){at, size - 2}))
        return !refuse(m, 400, "the chunk framing is malformed");
    m->chunk_ends = false;
    return feed(m, at, size);
}

static size_t feed_chunk(struct pkd_message *m, const char *at, size_t len)
{
    if (m->chunk_left == 0)
        return feed_line(m, at, len);
    if (len > m->chunk_left)
        len = (size_t)m->chunk_left;
    m->chunk_left -= len;
    m->chunk_ends = m->chunk_left == 0;
    return feed(m, at, len);
}

size_t pkd_message_body(struct pkd_message *m, char *input, size_t from, size_t to)
{
    size_t at = from, used = 1;

    PK_ASSERT(from >= m->head_len + m->body_len);
    m->base = input;
    m->parser.data = m;
    m->body_to = input + m->head_len + m->body_len;
    if (!m->coding_count)
        return feed(m, input + from, to - from);
    while (at < to && used && !m->complete && !m->refused) {
        used = feed_chunk(m, input + at, to - at);
        at += used;
    }
    return at - from;
}
