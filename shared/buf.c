/* buf.c - see buf.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { CAP_MIN = 64, SMALL_BYTES = 128 };

char *pk_buf_room(struct pk_buf *b, size_t size)
{
    size_t need, cap = b->cap ? b->cap : CAP_MIN;

    if (!b->failed && size < b->cap - b->len)
        return b->at + b->len;
    if (b->failed || __builtin_add_overflow(b->len, size, &need) || need > b->max) {
        b->failed = true;
        return NULL;
    }
    if (b->cap == 0 && need > cap) /* who knows how much it will be says so */
        cap = need + (CAP_MIN - need % CAP_MIN) % CAP_MIN;
    while (cap < need)
        cap *= 2;
    if (cap > b->max)
        cap = b->max;
    if (cap > b->cap) {
        char *more = pk_alloc_grow(b->arena, b->at, b->cap, cap);

        if (!more) {
            b->failed = true;
            return NULL;
        }
        b->at = more;
        b->cap = cap;
    }
    return b->at + b->len;
}

void pk_buf_add_more(struct pk_buf *b, pk_str s)
{
    char *room = s.len ? pk_buf_room(b, s.len) : NULL;

    if (!room)
        return;
    memcpy(room, s.at, s.len);
    b->len += s.len;
}

void pk_buf_addf(struct pk_buf *b, const char *fmt, ...)
{
    va_list args, again;

    va_start(args, fmt);
    va_copy(again, args);
    char small[SMALL_BYTES]; /* most texts need no second round */
    int len = vsnprintf(small, sizeof small, fmt, args);
    char *room = len >= 0 ? pk_buf_room(b, (size_t)len + 1) : NULL;
    if (room && len < SMALL_BYTES)
        memcpy(room, small, (size_t)len + 1);
    else if (room)
        (void)vsnprintf(room, (size_t)len + 1, fmt, again);
    if (room)
        b->len += (size_t)len;
    va_end(again);
    va_end(args);
}

void pk_buf_reset(struct pk_buf *b)
{
    b->len = 0;
}

pk_str pk_buf_str(const struct pk_buf *b)
{
    return (pk_str){b->at, b->len};
}
