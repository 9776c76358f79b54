/* wire.h - numbers and strings as bytes and back, one field list for both ways.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A structure is described once, by a function that names its fields in order; the same function
 * writes them to a buffer or reads them from bytes that are not trusted. A read that does not fit
 * fails stickily and leaves the field empty.
 */
#ifndef PK_WIRE_H
#define PK_WIRE_H

#include "buf.h"

/* Writing when `out` is set, else reading from `in`. */
struct pk_wire {
    struct pk_buf *out;
    pk_str in; /* what is left to read */
    bool failed;
};

void pk_wire_int(struct pk_wire *w, int64_t *n);
/* A value in 0..max; one outside fails a read and is a mistake in a write. */
void pk_wire_small(struct pk_wire *w, int *n, int max);
void pk_wire_bool(struct pk_wire *w, bool *b);
/* When read: points into `in`. */
void pk_wire_str(struct pk_wire *w, pk_str *s);
/* Exactly `len` bytes. */
void pk_wire_bytes(struct pk_wire *w, void *bytes, size_t len);

/* Whether everything fitted and, when reading, nothing is left over. */
bool pk_wire_done(const struct pk_wire *w);

#endif
