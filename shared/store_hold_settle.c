/* store_hold_settle.c - what calls have used is charged, and what they held is given back (store_hold.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_hold.h"

#include "store_hold_use.h"

#include <stdlib.h>
#include <string.h>

enum { TOTALS_MAX = 64 };

/* What several calls have used, and what they held of one lease. */
struct total {
    uint8_t lease[PK_UUID_BYTES];
    bool leased;
    bool budget;
    struct pk_slot slot;
    int64_t used, released, held, ended_us;
    size_t limit_len, subject_len;
    char names[PK_LIMIT_SLUG_BYTES + PK_SUBJECT_BYTES];
};

struct pk_settling {
    int count;
    struct total rows[TOTALS_MAX];
};

struct pk_settling *pk_settling_new(void)
{
    return calloc(1, sizeof(struct pk_settling));
}

void pk_settling_free(struct pk_settling *all)
{
    free(all);
}

void pk_settling_forget(struct pk_settling *all)
{
    if (all)
        all->count = 0;
}

static struct pk_hold hold_of(const struct total *t)
{
    struct pk_hold h = {
        .limit = {t->names, t->limit_len},
        .subject = {t->names + t->limit_len, t->subject_len},
        .budget = t->budget,
        .slot = t->slot,
        .leased = t->leased,
    };

    memcpy(h.lease, t->lease, sizeof h.lease);
    return h;
}

/* One row of use, or of a lease and its use. */
static bool settle_total(struct pk_use *w, const struct total *t)
{
    struct pk_hold h = hold_of(t);
    struct pk_use_part part = pk_use_part(t->lease, &h);
    int64_t amount, released = 0;
    bool there;

    w->now_us = t->ended_us;
    if (!pk_use_lock(w, &h, &amount, &there) ||
        (t->held && !pk_use_release(w, &part, t->held, &released)))
        return false;
    released += t->released;
    return !there || (t->used == 0 && released == 0) || pk_use_charge(w, &h, t->used, released);
}

static int by_limit(const void *a, const void *b)
{
    const struct total *x = a, *y = b;
    size_t len = x->limit_len < y->limit_len ? x->limit_len : y->limit_len;
    int c = memcmp(x->names, y->names, len);

    return c ? c : (x->limit_len > y->limit_len) - (x->limit_len < y->limit_len);
}

bool pk_store_settle_end(struct pk_store *s, struct pk_error *err)
{
    struct pk_settling *all = s->settling;
    struct pk_use w = {s, 0, -1, false, err};
    bool ok = true;

    if (!all)
        return true;
    qsort(all->rows, (size_t)all->count, sizeof all->rows[0], by_limit);
    for (int i = 0; i < all->count && ok; i++)
        ok = settle_total(&w, &all->rows[i]);
    all->count = 0;
    return ok;
}

static bool same(const struct total *t, const struct pk_hold *h)
{
    struct pk_hold has = hold_of(t);

    return has.leased == h->leased && has.slot.from_us == h->slot.from_us &&
           has.slot.until_us == h->slot.until_us && pk_str_eq(has.limit, h->limit) &&
           pk_str_eq(has.subject, h->subject) &&
           (!h->leased || memcmp(has.lease, h->lease, sizeof has.lease) == 0);
}

static void total_of(const struct pk_hold *h, struct total *t)
{
    *t = (struct total){
        .leased = h->leased,
        .budget = h->budget,
        .slot = h->slot,
        .limit_len = pk_str_sub(h->limit, 0, PK_LIMIT_SLUG_BYTES).len,
        .subject_len = pk_str_sub(h->subject, 0, PK_SUBJECT_BYTES).len,
    };
    memcpy(t->lease, h->lease, sizeof t->lease);
    if (t->limit_len) /* a damaged entry may have none */
        memcpy(t->names, h->limit.at, t->limit_len);
    if (t->subject_len)
        memcpy(t->names + t->limit_len, h->subject.at, t->subject_len);
}

/* The total that the hold belongs to, which may have been made. */
static bool find_total(struct pk_store *s, const struct pk_hold *h, struct total **found,
                       struct pk_error *err)
{
    struct pk_settling *all = s->settling;

    for (int i = 0; i < all->count; i++)
        if (same(&all->rows[i], h)) {
            *found = &all->rows[i];
            return true;
        }
    if (all->count == TOTALS_MAX && !pk_store_settle_end(s, err))
        return false;
    *found = &all->rows[all->count++];
    total_of(h, *found);
    return true;
}

/* What the call's own reservation still has is over at once. */
static bool settle_own(struct pk_use *w, const uint8_t *call, const struct pk_hold *h,
                       int64_t *released)
{
    struct pk_use_part part = pk_use_part(call, h);
    int64_t amount;
    bool there;

    *released = 0;
    return h->amount == 0 || h->leased ||
           (pk_use_lock(w, h, &amount, &there) &&
            pk_use_ask(w, PK_SQL_reservation_end, &part, released));
}

bool pk_store_settle(struct pk_store *s, const struct pk_record *r, struct pk_error *err)
{
    struct pk_use w = {s, r->ended_us, -1, false, err};

    for (int i = 0; i < r->holds.count; i++) {
        const struct pk_hold *h = &r->holds.rows[i];
        struct total alone, *t = &alone;
        int64_t released;

        if (!settle_own(&w, r->id, h, &released))
            return false;
        if (!s->settling)
            total_of(h, t);
        else if (!find_total(s, h, &t, err))
            return false;
        t->used += h->used;
        t->released += released;
        t->held += h->leased ? h->amount : 0;
        t->ended_us = r->ended_us;
        if (t == &alone && !settle_total(&w, t))
            return false;
    }
    return true;
}

/* --- leases ------------------------------------------------------------------------------ */

static bool end_all(struct pk_use *w, const struct pk_leases *ended)
{
    for (int i = 0; i < ended->count; i++) {
        const struct pk_lease *l = &ended->rows[i];
        struct total t;

        total_of(&(struct pk_hold){.limit = pk_lease_limit(l),
                                   .subject = pk_lease_subject(l),
                                   .slot = l->slot,
                                   .leased = true},
                 &t);
        memcpy(t.lease, l->id, sizeof t.lease);
        t.held = l->free;
        t.ended_us = w->now_us;
        if (!settle_total(w, &t))
            return false;
    }
    return true;
}

bool pk_store_leases_end(struct pk_store *s, struct pk_leases *ended, int64_t now_us,
                         struct pk_error *err)
{
    struct pk_use w = {s, now_us, -1, false, err};
    struct pk_error ignored;

    if (ended->count == 0)
        return true;
    if (!s->ops->begin(s, err))
        return false;
    if (!end_all(&w, ended)) {
        (void)s->ops->end(s, false, &ignored);
        return false;
    }
    ended->count = 0;
    return s->ops->end(s, true, err);
}
