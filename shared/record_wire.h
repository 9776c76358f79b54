/* record_wire.h - fields that more than a record is made of (wire.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_RECORD_WIRE_H
#define PK_RECORD_WIRE_H

#include "record.h"
#include "wire.h"

#include <limits.h>

/* An enum as its number, checked against the last one when read. */
PK_FIELDS int pk_wire_choice(struct pk_wire *w, int value, int last)
{
    pk_wire_small(w, &value, last);
    return value;
}

PK_FIELDS void pk_wire_strs(struct pk_wire *w, pk_str *const fields[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        pk_wire_str(w, fields[i]);
}

PK_FIELDS void pk_wire_ints(struct pk_wire *w, int64_t *const fields[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        pk_wire_int(w, fields[i]);
}

/* Rows that are about to be read; those that are not need no time. */
PK_FIELDS void pk_wire_clear(const struct pk_wire *w, void *rows, size_t bytes)
{
    if (!w->writes)
        memset(rows, 0, bytes);
}

PK_FIELDS void pk_usage_wire(struct pk_wire *w, struct pk_usage *u)
{
    int64_t *const counts[] = {&u->input,          &u->cache_read, &u->cache_write,
                               &u->cache_write_1h, &u->output,     &u->reasoning};

    u->source = (enum pk_usage_source)pk_wire_choice(w, (int)u->source, PK_USAGE_ESTIMATED);
    pk_wire_ints(w, counts, PK_COUNT(counts));
}

PK_FIELDS void pk_feedback_wire(struct pk_wire *w, struct pk_feedback *f)
{
    pk_wire_bytes(w, f->id, sizeof f->id);
    pk_wire_int(w, &f->at_us);
    pk_wire_str(w, &f->trace_id);
    pk_wire_int(w, &f->value);
    pk_wire_bytes(w, &f->weight, sizeof f->weight);
    pk_wire_str(w, &f->metadata);
}

PK_FIELDS void pk_hold_wire(struct pk_wire *w, struct pk_hold *h)
{
    int64_t *const numbers[] = {&h->slot.from_us, &h->slot.until_us, &h->amount, &h->want,
                                &h->used};
    bool *const flags[] = {&h->rolling, &h->budget, &h->of_target, &h->applies, &h->leased};

    pk_wire_str(w, &h->limit);
    pk_wire_str(w, &h->subject);
    h->counts = (enum pk_limit_counts)pk_wire_choice(w, (int)h->counts, PK_LC_COST);
    h->window = (enum pk_limit_window)pk_wire_choice(w, (int)h->window, INT_MAX);
    if (!pk_limit_is_window(h->window))
        pk_wire_fail(w);
    for (size_t i = 0; i < PK_COUNT(flags); i++)
        pk_wire_bool(w, flags[i]);
    pk_wire_ints(w, numbers, PK_COUNT(numbers));
    if (h->leased)
        pk_wire_bytes(w, h->lease, sizeof h->lease);
}

/* holds->rows has room for PK_HOLDS_MAX when they are read. */
PK_FIELDS void pk_holds_wire(struct pk_wire *w, struct pk_holds *holds)
{
    pk_wire_small(w, &holds->count, PK_HOLDS_MAX);
    pk_wire_clear(w, holds->rows, (size_t)holds->count * sizeof *holds->rows);
    for (int i = 0; i < holds->count; i++)
        pk_hold_wire(w, &holds->rows[i]);
}

#endif
