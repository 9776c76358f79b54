/* store_repeat.h - log rows of calls that repeat one of the same transaction: many hits of one entry of the cache.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They differ in id, times, trace and span. What else their rows have is made once, and several of them are one
 * statement. Whoever writes records in groups (store_group.h) has one of these; rows wait in it until there are enough,
 * another call's come, or the group ends.
 */
#ifndef PK_STORE_REPEAT_H
#define PK_STORE_REPEAT_H

#include "store.h"

enum {
    PK_ROW_USUAL = 31, /* arguments of log_put that calls may have in common, */
    PK_ROW_RARE = 14,  /* and those that most calls leave null: then one may be repeated */
    PK_ROW_REST = PK_ROW_USUAL + PK_ROW_RARE,
    PK_ROW_OWN = 5, /* and those that are its own, behind them */
};

struct pk_repeats;
struct pk_repeats *pk_repeats_new(void); /* NULL: no memory */
void pk_repeats_free(struct pk_repeats *all);
void pk_repeats_forget(struct pk_repeats *all); /* NULL is fine, here and in _end() */

/* Of a row that was written just now: its arguments, whose texts stay where they are until the group ends, as `rest`
 * does (record.h). */
void pk_repeats_keep(struct pk_repeats *all, pk_str rest, const struct pk_record *r,
                     const struct pk_value *args);

/* Takes the call whose front is `r` if its rest is that of the one before. */
bool pk_store_repeats(struct pk_store *s, const struct pk_record *r, pk_str rest, bool *taken,
                      struct pk_error *err) PK_MUST_CHECK;
bool pk_store_repeats_end(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;

#endif
