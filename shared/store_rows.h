/* store_rows.h - log rows of one transaction that differ in little: several of them are one statement.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows wait here until there are enough, one comes that has less in common with them, or the group ends
 * (store_group.h; whoever writes groups has one of these). Of calls that repeat one, as many hits of one entry of the
 * cache do, no more is read than their id, times, trace and span.
 */
#ifndef PK_STORE_ROWS_H
#define PK_STORE_ROWS_H

#include "store.h"

enum {
    PK_ROW_SHARED = 30, /* arguments of log_put that calls have in common, mostly; */
    PK_ROW_OWN = 20,    /* behind them those that they do not, which begin with */
    PK_ROW_FRONT = 5,   /* what is in the front of a record (record.h) */
};

struct pk_log_rows;
struct pk_log_rows *pk_log_rows_new(void); /* NULL: no memory */
void pk_log_rows_free(struct pk_log_rows *all);
void pk_log_rows_forget(struct pk_log_rows *all); /* NULL is fine, here, in _have() and _end() */

/* A row, whose arguments' texts stay where they are until the group ends. Its id need not. */
bool pk_store_rows_put(struct pk_store *s, const struct pk_value *args,
                       struct pk_error *err) PK_MUST_CHECK;
bool pk_store_rows_end(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;
/* Whether the row of this id waits. */
bool pk_log_rows_have(const struct pk_log_rows *all, const uint8_t id[PK_UUID_BYTES]);

/* The row that was put last may be repeated, by calls whose bytes have this `rest` (record.h). */
void pk_log_rows_keep(struct pk_log_rows *all, pk_str rest, const struct pk_record *r);
/* Takes the call whose front is `r` if its rest is that of the one that was kept. */
bool pk_store_repeats(struct pk_store *s, const struct pk_record *r, pk_str rest, bool *taken,
                      struct pk_error *err) PK_MUST_CHECK;

#endif
