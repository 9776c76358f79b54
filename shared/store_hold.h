/* store_hold.h - what is set aside of limits and what was used, in the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call reserves the most that it may use, and its record settles what it did use: neither can
 * exceed a limit, however many processes do so at once. Each is one short transaction. Both lock the limit,
 * then change one row of its use with a condition, in the order in which holds are sorted.
 *
 * A reservation expires when the calls that hold of it cannot be running any more: their process was killed.
 * It is given back by a later reservation of anybody, at the latest by one that it is in the way of. A record
 * that comes later still charges what was used.
 */
#ifndef PK_STORE_HOLD_H
#define PK_STORE_HOLD_H

#include "lease.h"
#include "store.h"

/* Answers all in one transaction, and sets aside ahead what pk_lease_plan() asks for: later ones of these
 * take from it, the host keeps the rest. When the store fails all are told so (refused -1). */
void pk_store_reserve(struct pk_store *s, struct pk_reserve *const *asked, int count,
                      int64_t now_us);

/* Ends what a call has set aside and charges what it used; inside the transaction that writes its record,
 * once. */
bool pk_store_settle(struct pk_store *s, const struct pk_record *r,
                     struct pk_error *err) PK_MUST_CHECK;

/* Whoever writes many records in a transaction lets them add up here: store->settling, forgotten at its
 * begin, written before its end. */
struct pk_settling;
struct pk_settling *pk_settling_new(void); /* NULL: no memory */
void pk_settling_free(struct pk_settling *all);
void pk_settling_forget(struct pk_settling *all); /* NULL is fine, here and below */
bool pk_store_settle_end(struct pk_store *s, struct pk_error *err) PK_MUST_CHECK;

/* Gives back what is free of leases that have ended, in one transaction. What stays in *ended was not, and may be later:
 * a commit of which nobody knows whether it was one is not tried again. */
bool pk_store_leases_end(struct pk_store *s, struct pk_leases *ended, int64_t now_us,
                         struct pk_error *err) PK_MUST_CHECK;

#endif
