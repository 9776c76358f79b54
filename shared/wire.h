/* wire.h - numbers and strings as bytes and back, one field list for both ways.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A structure is described once, by a function that names its fields in order; the same function writes them to a
 * buffer or reads them from bytes that are not trusted. A read that does not fit fails stickily and leaves the field
 * empty, and those behind it.
 *
 * Every log row passes here twice. So field lists are PK_FIELDS: compiled into whoever begins to write or to read,
 * where it is known which of the two it is and `struct pk_wire` is in registers.
 *
 * Integers are zigzag LEB128: small ones, which most are, take one byte.
 */
#ifndef PK_WIRE_H
#define PK_WIRE_H

#include "buf.h"

#include <string.h>

#define PK_FIELDS static inline __attribute__((always_inline))

enum { PK_WIRE_NUMBER_BYTES = 10 }; /* the most that one takes */

struct pk_wire {
    bool writes, failed;
    struct pk_buf *out;   /* writing: at `to`, as far as `end` */
    const char *at, *end; /* reading: what is left */
    char *to;
};

PK_FIELDS struct pk_wire pk_wire_to(struct pk_buf *out)
{
    if (!out->at)
        (void)pk_buf_room(out, PK_WIRE_NUMBER_BYTES);
    return out->at ? (struct pk_wire){.writes = true,
                                      .out = out,
                                      .to = out->at + out->len,
                                      .end = out->at + out->cap}
                   : (struct pk_wire){.writes = true, .out = out};
}

PK_FIELDS struct pk_wire pk_wire_from(pk_str in)
{
    return (struct pk_wire){.at = in.at, .end = in.len ? in.at + in.len : in.at};
}

/* Whether everything fitted and, when reading, nothing is left over. What was written is in the buffer only then. */
PK_FIELDS bool pk_wire_end(struct pk_wire *w)
{
    if (!w->writes)
        return !w->failed && w->at == w->end;
    w->out->len = (size_t)(w->to - w->out->at);
    return !w->out->failed;
}

/* What a read has not come to yet. */
PK_FIELDS pk_str pk_wire_left(const struct pk_wire *w)
{
    return (pk_str){w->at, (size_t)(w->end - w->at)};
}

PK_FIELDS void pk_wire_fail(struct pk_wire *w)
{
    w->failed = true;
    w->at = w->end;
}

/* --- parts of the below ---------------------------------------------------------------------- */

/* One of several bytes: what is behind it. NULL: it is cut off, or has more bits than 64. */
char *pk_wire_put_long(char *to, uint64_t n);
const char *pk_wire_get_long(const char *at, const char *end, uint64_t *n);

/* False: the buffer is full. */
PK_FIELDS bool pk_wire_room(struct pk_wire *w, size_t len)
{
    if (len <= (size_t)(w->end - w->to))
        return true;
    struct pk_buf *out = w->out;
    out->len = (size_t)(w->to - out->at);
    if (!pk_buf_room(out, len)) {
        w->end = w->to;
        return false;
    }
    w->to = out->at + out->len;
    w->end = out->at + out->cap;
    return true;
}

/* Into room that there is. */
PK_FIELDS void pk_wire_put(struct pk_wire *w, uint64_t n)
{
    if (n <= 0x7f)
        *w->to++ = (char)n;
    else
        w->to = pk_wire_put_long(w->to, n);
}

PK_FIELDS uint64_t pk_wire_get(struct pk_wire *w)
{
    uint64_t n;

    if (w->at < w->end && !(*w->at & 0x80))
        return (unsigned char)*w->at++;
    const char *behind = pk_wire_get_long(w->at, w->end, &n);
    if (behind) {
        w->at = behind;
        return n;
    }
    pk_wire_fail(w);
    return 0;
}

/* --- fields ---------------------------------------------------------------------------------- */

PK_FIELDS void pk_wire_int(struct pk_wire *w, int64_t *n)
{
    if (!w->writes) {
        uint64_t zigzag = pk_wire_get(w);

        *n = (int64_t)((zigzag >> 1) ^ (0 - (zigzag & 1)));
    } else if (pk_wire_room(w, PK_WIRE_NUMBER_BYTES)) {
        pk_wire_put(w, ((uint64_t)*n << 1) ^ (*n < 0 ? UINT64_MAX : 0));
    }
}

/* A value in 0..max; one outside fails a read and is a mistake in a write. */
PK_FIELDS void pk_wire_small(struct pk_wire *w, int *n, int max)
{
    int64_t value = w->writes ? *n : 0;

    PK_ASSERT(value >= 0 && value <= max);
    pk_wire_int(w, &value);
    if (w->writes)
        return;
    if (value < 0 || value > max) {
        pk_wire_fail(w);
        value = 0;
    }
    *n = (int)value;
}

PK_FIELDS void pk_wire_bool(struct pk_wire *w, bool *b)
{
    int n = w->writes ? *b : 0;

    pk_wire_small(w, &n, 1);
    *b = n;
}

/* When read: points into what is read. */
PK_FIELDS void pk_wire_str(struct pk_wire *w, pk_str *s)
{
    if (w->writes) {
        const pk_str text = *s;

        if (!pk_wire_room(w, PK_WIRE_NUMBER_BYTES + text.len))
            return;
        pk_wire_put(w, text.len);
        if (text.len)
            memcpy(w->to, text.at, text.len);
        w->to += text.len;
        return;
    }
    uint64_t len = pk_wire_get(w);
    *s = PK_NONE;
    if (len > (uint64_t)(w->end - w->at)) {
        pk_wire_fail(w);
    } else if (len) {
        *s = (pk_str){w->at, (size_t)len};
        w->at += len;
    }
}

/* Exactly `len` bytes. */
PK_FIELDS void pk_wire_bytes(struct pk_wire *w, void *bytes, size_t len)
{
    if (w->writes) {
        if (!pk_wire_room(w, len))
            return;
        memcpy(w->to, bytes, len);
        w->to += len;
    } else if (len <= (size_t)(w->end - w->at)) {
        memcpy(bytes, w->at, len);
        w->at += len;
    } else {
        memset(bytes, 0, len);
        pk_wire_fail(w);
    }
}

#endif
