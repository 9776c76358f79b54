/* store_hold_use.h - the use of one limit and the reservations of it, statement by statement.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * All of these are steps of a transaction, and are false with w->err. Whoever changes anything has locked the limit first.
 */
#ifndef PK_STORE_HOLD_USE_H
#define PK_STORE_HOLD_USE_H

#include "limit.h"
#include "store.h"

/* What is being reserved or settled. */
struct pk_use {
    struct pk_store *store;
    int64_t now_us, epoch;
    bool cleaned; /* what expired was given back */
    struct pk_error *err;
};

/* One reservation. */
struct pk_use_part {
    const uint8_t *id;
    pk_str limit, subject;
};

/* Of a call, or of the lease that the hold is a part of. */
struct pk_use_part pk_use_part(const uint8_t *call, const struct pk_hold *h);
/* How long what was used in the hold's window is kept. */
int64_t pk_use_keep_us(const struct pk_hold *h);

/* Locks the limit; *amount is what it allows, and *there whether there is one. */
bool pk_use_lock(struct pk_use *w, const struct pk_hold *h, int64_t *amount, bool *there);
/* Changes what is set aside by `delta`, if `room` would be there; *done is false when it is not. */
bool pk_use_take(struct pk_use *w, const struct pk_hold *h, int64_t delta, int64_t room,
                 bool *done);
/* Charges what was used, and no longer sets aside what was released. */
bool pk_use_charge(struct pk_use *w, const struct pk_hold *h, int64_t used, int64_t released);

/* What a statement on a reservation says: an amount, 0 when there is no such row. */
bool pk_use_ask(struct pk_use *w, enum pk_stmt stmt, const struct pk_use_part *p, int64_t *amount);
/* Takes `amount` out of a reservation that others hold of too; *released is 0 when it has expired. */
bool pk_use_release(struct pk_use *w, const struct pk_use_part *p, int64_t amount,
                    int64_t *released);
/* Changes the amount of a reservation, which goes when nothing is left of it. */
bool pk_use_note(struct pk_use *w, const struct pk_use_part *p, const struct pk_hold *h,
                 int64_t delta, int64_t expires_us);

#endif
