/* buf.h - growing text with a ceiling and a sticky error.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Append, append, append, and look at `failed` once at the end. The bytes live in
 * an arena and go with it.
 */
#ifndef PK_BUF_H
#define PK_BUF_H

#include "arena.h"

struct pk_buf {
    struct pk_arena *arena;
    char *at;
    size_t len, cap, max; /* bytes used, allocated, and the most allowed */
    bool failed;          /* sticky: `max` was reached or the arena is exhausted */
};

static inline struct pk_buf pk_buf_in(struct pk_arena *arena, size_t max)
{
    return (struct pk_buf){.arena = arena, .max = max};
}

void pk_buf_addf(struct pk_buf *b, const char *fmt, ...) PK_PRINTF(2, 3);

/* Room for `size` more bytes at b->at + b->len, or NULL: for readers that fill it
 * themselves and then add to b->len. */
char *pk_buf_room(struct pk_buf *b, size_t size);

void pk_buf_reset(struct pk_buf *b); /* empty again; keeps the memory and `failed` */

void pk_buf_add_more(struct pk_buf *b, pk_str s); /* pk_buf_add(), when there is no room yet */

static inline void pk_buf_add(struct pk_buf *b, pk_str s)
{
    if (b->failed || s.len >= b->cap - b->len) {
        pk_buf_add_more(b, s);
        return;
    }
    if (s.len)
        memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

static inline void pk_buf_addc(struct pk_buf *b, char c)
{
    pk_buf_add(b, (pk_str){&c, 1});
}

static inline void pk_buf_adds(struct pk_buf *b, const char *text)
{
    pk_buf_add(b, pk_str_of(text));
}

/* What is there; valid until the next append. */
pk_str pk_buf_str(const struct pk_buf *b);

#endif
