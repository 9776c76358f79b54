/* head.h - one HTTP/1.x request as it arrives: the parser library, and what it leaves to us.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * http-parser splits the bytes. It is lenient where two servers in a row could disagree about where a
 * request ends, so this file refuses what RFC 9112 lets a server refuse: bare LF, obs-fold, blanks before the
 * colon, NUL, both or several lengths, unknown transfer codings, HTTP/0.9; and what is too large.
 *
 * A client sends the same head again and again: one that equals a head of late is not parsed again (pkd_heads).
 *
 * All places are offsets into the connection's input, whose memory may move while bytes arrive.
 */
#ifndef PKD_HEAD_H
#define PKD_HEAD_H

#include "secret.h"

#include <http_parser.h>

enum {
    PKD_HEADERS_MAX = 128,          /* header lines of a request */
    PKD_TARGET_BYTES_MAX = 8 << 10, /* its request target */
    PKD_LINE_BYTES_MAX = 4 << 10,   /* a line of chunk framing, or a trailer */
    PKD_HEADS = 16,                 /* that are known; a power of two */
};

struct pkd_span {
    size_t from, len;
};

struct pkd_message {
    http_parser parser;
    const char *base;    /* where the input stands during a feed */
    char *body_to;       /* where the next body bytes go during a feed; NULL: not in the body yet */
    uint64_t chunk_left; /* bytes of this chunk that have not come */
    bool chunk_ends;     /* the line that ends a chunk is due */
    bool last_chunk;     /* trailers, and then the end */
    size_t scanned, line_from; /* head: looked at so far, and where the unfinished line begins */
    size_t head_len;           /* 0 until the head is complete */
    struct pkd_span path, query, name, headers;
    size_t body_len;
    int header_count, length_count, coding_count, host_count;
    struct pkd_span host, origin;
    bool keep_alive, expects_continue, complete;
    int refused; /* HTTP status; 0 = fine so far */
    const char *why;
    uint64_t number; /* the same for heads that are alike in every byte; 0: it is not known */
};

/* What became of heads that were accepted lately. They are known by a keyed hash, for they hold credentials. */
struct pkd_heads {
    uint8_t key[PK_SECRET_HASH_BYTES];
    size_t last_len;   /* of the one that came last; 0: none did */
    uint64_t numbered; /* so far */
    struct pkd_known_head {
        uint8_t hash[PK_SECRET_HASH_BYTES];
        struct pkd_message message; /* head_len 0: none */
    } list[PKD_HEADS];
};

void pkd_heads_init(struct pkd_heads *h);
void pkd_message_init(struct pkd_message *m);

/* Looks at the head in `input` (all of it so far). True when the head is complete and accepted;
 * otherwise m->refused says whether to give up or to wait for more. */
bool pkd_message_head(struct pkd_message *m, struct pkd_heads *known, pk_str input) PK_MUST_CHECK;

/* Takes body bytes input[from..to) and leaves the decoded body at input + head_len, m->body_len bytes.
 * Returns how many raw bytes were used: not a line of chunk framing that is incomplete, and nothing behind
 * the message (m->complete). */
size_t pkd_message_body(struct pkd_message *m, char *input, size_t from, size_t to);

#endif
