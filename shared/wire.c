/* wire.c - see wire.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Integers are zigzag LEB128: small ones, which most are, take one byte.
 */
#include "wire.h"

#include <string.h>

enum { GROUP_BITS = 7, GROUPS_MAX = 10 };

static inline void write_number(struct pk_wire *w, uint64_t n)
{
    char bytes[GROUPS_MAX];
    size_t len = 0;

    if (n <= 0x7f) { /* as most are */
        pk_buf_addc(w->out, (char)n);
        return;
    }
    do {
        bytes[len++] = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        n >>= GROUP_BITS;
    } while (n);
    pk_buf_add(w->out, (pk_str){bytes, len});
}

static inline uint64_t read_number(struct pk_wire *w)
{
    const char *at = w->in.at;
    size_t max = w->in.len < GROUPS_MAX ? w->in.len : GROUPS_MAX;
    uint64_t n = 0;

    for (size_t i = 0; i < max; i++) {
        n |= (uint64_t)(at[i] & 0x7f) << (i * GROUP_BITS);
        if (!(at[i] & 0x80)) {
            w->in = (pk_str){at + i + 1, w->in.len - i - 1};
            return n;
        }
    }
    w->failed = true; /* cut off, or more groups than 64 bits have */
    return 0;
}

void pk_wire_int(struct pk_wire *w, int64_t *n)
{
    if (w->out) {
        write_number(w, ((uint64_t)*n << 1) ^ (*n < 0 ? UINT64_MAX : 0));
        return;
    }
    uint64_t zigzag = read_number(w);
    *n = w->failed ? 0 : (int64_t)((zigzag >> 1) ^ (0 - (zigzag & 1)));
}

void pk_wire_small(struct pk_wire *w, int *n, int max)
{
    int64_t value = w->out ? *n : 0;

    PK_ASSERT(value >= 0 && value <= max);
    pk_wire_int(w, &value);
    if (value < 0 || value > max)
        w->failed = true;
    *n = w->failed ? 0 : (int)value;
}

void pk_wire_bool(struct pk_wire *w, bool *b)
{
    int n = w->out ? *b : 0;

    pk_wire_small(w, &n, 1);
    *b = n;
}

void pk_wire_str(struct pk_wire *w, pk_str *s)
{
    if (w->out) {
        write_number(w, s->len);
        pk_buf_add(w->out, *s);
        return;
    }
    uint64_t len = read_number(w);
    *s = PK_NONE;
    if (w->failed || len > w->in.len) {
        w->failed = true;
        return;
    }
    if (len)
        *s = (pk_str){w->in.at, (size_t)len};
    w->in.at += len;
    w->in.len -= (size_t)len;
}

void pk_wire_bytes(struct pk_wire *w, void *bytes, size_t len)
{
    if (w->out) {
        pk_buf_add(w->out, (pk_str){bytes, len});
        return;
    }
    if (w->failed || len > w->in.len) {
        w->failed = true;
        memset(bytes, 0, len);
        return;
    }
    memcpy(bytes, w->in.at, len);
    w->in.at += len;
    w->in.len -= len;
}

bool pk_wire_done(const struct pk_wire *w)
{
    return w->out ? !w->out->failed : !w->failed && w->in.len == 0;
}
