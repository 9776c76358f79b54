/* store_hold_use.c - see store_hold_use.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_hold_use.h"

#include "store_value.h"

static const int64_t history_us = INT64_C(400) * 86400 * 1000000; /* of a budget's past windows */

struct pk_use_part pk_use_part(const uint8_t *call, const struct pk_hold *h)
{
    return (struct pk_use_part){h->leased ? h->lease : call, h->limit, h->subject};
}

int64_t pk_use_keep_us(const struct pk_hold *h)
{
    if (!h->budget || h->slot.until_us == INT64_MAX)
        return h->slot.until_us;
    return h->slot.until_us + history_us;
}

bool pk_use_lock(struct pk_use *w, const struct pk_hold *h, int64_t *amount, bool *there)
{
    const struct pk_value args[] = {pk_v_required(h->limit)};

    *amount = -1;
    bool ok = w->store->ops->exec(w->store, PK_SQL_limit_lock, args, PK_COUNT(args), pk_row_int,
                                  amount, w->err);
    *there = *amount >= 0;
    return ok;
}

bool pk_use_take(struct pk_use *w, const struct pk_hold *h, int64_t delta, int64_t room, bool *done)
{
    const struct pk_value args[] = {
        pk_v_required(h->limit),
        pk_v_required(h->subject),
        pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us),
        pk_v_int(pk_use_keep_us(h)),
        pk_v_int(delta),
        pk_v_int(room),
        pk_v_int(w->now_us),
    };

    *done = false;
    return w->store->ops->exec(w->store, PK_SQL_limit_take, args, PK_COUNT(args), pk_row_mark, done,
                               w->err);
}

bool pk_use_ask(struct pk_use *w, enum pk_stmt stmt, const struct pk_use_part *p, int64_t *amount)
{
    const struct pk_value args[] = {pk_v_uuid(p->id), pk_v_required(p->limit),
                                    pk_v_required(p->subject)};

    *amount = 0;
    return w->store->ops->exec(w->store, stmt, args, PK_COUNT(args), pk_row_int, amount, w->err);
}

static bool lower_part(struct pk_use *w, enum pk_stmt stmt, const struct pk_use_part *p,
                       int64_t amount, int64_t *lowered)
{
    const struct pk_value args[] = {pk_v_uuid(p->id), pk_v_required(p->limit),
                                    pk_v_required(p->subject), pk_v_int(amount)};

    *lowered = 0;
    return w->store->ops->exec(w->store, stmt, args, PK_COUNT(args), pk_row_int, lowered, w->err);
}

bool pk_use_release(struct pk_use *w, const struct pk_use_part *p, int64_t amount,
                    int64_t *released)
{
    return lower_part(w, PK_SQL_reservation_drop, p, amount, released) &&
           (*released || lower_part(w, PK_SQL_reservation_less, p, amount, released));
}

bool pk_use_note(struct pk_use *w, const struct pk_use_part *p, const struct pk_hold *h,
                 int64_t delta, int64_t expires_us)
{
    const struct pk_value args[] = {
        pk_v_uuid(p->id),          pk_v_required(p->limit), pk_v_required(p->subject),
        pk_v_int(h->slot.from_us), pk_v_int(delta),         pk_v_int(expires_us),
    };
    int64_t unused;

    return w->store->ops->exec(w->store, PK_SQL_reservation_add, args, PK_COUNT(args), NULL, NULL,
                               w->err) &&
           (delta >= 0 || lower_part(w, PK_SQL_reservation_drop, p, 0, &unused));
}

bool pk_use_charge(struct pk_use *w, const struct pk_hold *h, int64_t used, int64_t released)
{
    const struct pk_value args[] = {
        pk_v_required(h->limit),    pk_v_required(h->subject),   pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us), pk_v_int(pk_use_keep_us(h)), pk_v_int(used),
        pk_v_int(released),         pk_v_int(w->now_us),
    };

    return w->store->ops->exec(w->store, PK_SQL_limit_settle, args, PK_COUNT(args), NULL, NULL,
                               w->err);
}
