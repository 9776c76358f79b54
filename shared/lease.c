/* lease.c - see lease.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lease.h"

#include <string.h>

enum { CALLS_MIN = 8 }; /* the first time */

pk_str pk_lease_limit(const struct pk_lease *l)
{
    return (pk_str){l->names, l->limit_len};
}

pk_str pk_lease_subject(const struct pk_lease *l)
{
    return (pk_str){l->names + l->limit_len, l->subject_len};
}

/* --- finding ----------------------------------------------------------------------------- */

static bool is_for(const struct pk_lease *l, const struct pk_hold *h)
{
    return l->subject_len == h->subject.len && pk_str_eq(pk_lease_limit(l), h->limit) &&
           pk_str_eq(pk_lease_subject(l), h->subject);
}

/* The one of the hold's slot. *before is another of the same limit and subject, the one last used. */
static struct pk_lease *find(struct pk_leases *all, const struct pk_hold *h, int64_t epoch,
                             const struct pk_lease **before)
{
    *before = NULL;
    for (int i = 0; i < all->count; i++) {
        struct pk_lease *l = &all->rows[i];

        if (!is_for(l, h))
            continue;
        if (l->slot.from_us == h->slot.from_us && l->slot.until_us == h->slot.until_us &&
            l->epoch == epoch)
            return l;
        if (!*before || l->asked_us > (*before)->asked_us)
            *before = l;
    }
    return NULL;
}

static bool is_idle(const struct pk_lease *l, int64_t now_us)
{
    return now_us - l->asked_us >= PK_LEASE_IDLE_US;
}

/* --- taking ------------------------------------------------------------------------------ */

static struct pk_lease *find_enough(struct pk_leases *all, const struct pk_reserve *r,
                                    const struct pk_hold *h)
{
    const struct pk_lease *before;

    if (h->amount != 0 || h->want < 0)
        return NULL;
    struct pk_lease *l = find(all, h, r->epoch, &before);
    return l && l->free >= h->want && l->expires_us >= r->expires_us ? l : NULL;
}

static void take(struct pk_lease *l, struct pk_hold *h, int64_t now_us)
{
    l->free -= h->want;
    l->asked_us = now_us;
    h->amount = h->want;
    h->slot = l->slot;
    h->leased = true;
    memcpy(h->lease, l->id, sizeof h->lease);
}

bool pk_lease_take(struct pk_leases *all, struct pk_reserve *r, int64_t now_us)
{
    struct pk_lease *from[PK_HOLDS_MAX];

    for (int i = 0; i < r->holds.count; i++) {
        struct pk_hold h = r->holds.rows[i];

        from[i] = NULL;
        if (h.want == h.amount)
            continue;
        h.slot = pk_limit_slot(h.window, h.rolling, now_us);
        from[i] = find_enough(all, r, &h);
        if (!from[i])
            return false;
    }
    for (int i = 0; i < r->holds.count; i++)
        if (from[i])
            take(from[i], &r->holds.rows[i], now_us);
    r->granted = true;
    r->refused = -1;
    return true;
}

/* --- setting aside ----------------------------------------------------------------------- */

/* A place; one that has nothing and is of no use any more if need be. NULL: there is none. */
static struct pk_lease *place(struct pk_leases *all, int64_t now_us)
{
    if (all->count < PK_LEASES_MAX)
        return &all->rows[all->count++];
    for (int i = 0; i < all->count; i++)
        if (all->rows[i].free == 0 && is_idle(&all->rows[i], now_us))
            return &all->rows[i];
    return NULL;
}

static struct pk_lease *make(struct pk_leases *all, const struct pk_hold *h, int64_t epoch,
                             const uint8_t *id, int64_t now_us)
{
    if (h->limit.len > PK_LIMIT_SLUG_BYTES || h->subject.len > PK_SUBJECT_BYTES)
        return NULL;
    struct pk_lease *l = place(all, now_us);
    if (!l)
        return NULL;
    *l = (struct pk_lease){
        .slot = h->slot,
        .epoch = epoch,
        .limit_len = (uint16_t)h->limit.len,
        .subject_len = (uint16_t)h->subject.len,
    };
    memcpy(l->id, id, sizeof l->id);
    l->id[0] ^= 0x80; /* no call has such an id */
    if (h->limit.len)
        memcpy(l->names, h->limit.at, h->limit.len);
    if (h->subject.len)
        memcpy(l->names + h->limit.len, h->subject.at, h->subject.len);
    return l;
}

/* Twice as many as last time, when that was a moment ago. */
static int calls_next(const struct pk_lease *last, int64_t now_us)
{
    if (!last || is_idle(last, now_us) || now_us < last->again_us)
        return 0;
    if (last->planned_us == now_us) /* those that ask together share */
        return last->calls;
    bool busy = now_us - last->planned_us < PK_LEASE_BUSY_US;
    int calls = last->calls * 2, max = busy ? PK_LEASE_BUSY_CALLS_MAX : PK_LEASE_CALLS_MAX;
    if (calls < CALLS_MIN)
        return CALLS_MIN;
    return calls > max ? max : calls;
}

static void plan(struct pk_leases *all, const struct pk_reserve *r, struct pk_hold *h,
                 int64_t now_us)
{
    const struct pk_lease *before;

    h->slot = pk_limit_slot(h->window, h->rolling, now_us);
    struct pk_lease *l = find(all, h, r->epoch, &before);
    const struct pk_lease *last = l ? l : before;
    int calls = calls_next(last, now_us);
    int64_t again_us = last ? last->again_us : 0;

    if (!l)
        l = make(all, h, r->epoch, r->id, now_us);
    if (!l)
        return;
    l->calls = calls;
    l->asked_us = l->planned_us = now_us;
    l->again_us = again_us;
    if (h->want > PK_LIMIT_AMOUNT_MAX / (PK_LEASE_BUSY_CALLS_MAX * PK_LEASE_SHARE))
        return;
    h->ahead = h->want * calls;
    memcpy(h->lease, l->id, sizeof h->lease);
}

int64_t pk_lease_room(const struct pk_hold *h)
{
    int64_t least = h->want * PK_LEASE_ROOM_CALLS, room = h->ahead * PK_LEASE_SHARE;

    return room > least ? room : least;
}

void pk_lease_plan(struct pk_leases *all, struct pk_reserve *r, int64_t now_us)
{
    for (int i = 0; i < r->holds.count; i++) {
        struct pk_hold *h = &r->holds.rows[i];

        h->ahead = 0;
        if (h->amount == 0 && h->want > 0)
            plan(all, r, h, now_us);
    }
}

static void keep(struct pk_leases *all, const struct pk_reserve *r, const struct pk_hold *h,
                 int64_t now_us)
{
    const struct pk_lease *before;
    struct pk_lease *l = find(all, h, r->epoch, &before);

    if (!l)
        l = make(all, h, r->epoch, r->id, now_us);
    if (!l || (l->free > 0 && memcmp(l->id, h->lease, sizeof l->id) != 0))
        return; /* no place: it expires */
    l->asked_us = now_us;
    if (!h->leased) { /* too little is left for that */
        l->calls /= 8;
        if (l->calls < CALLS_MIN)
            l->again_us = now_us + PK_LEASE_IDLE_US;
        return;
    }
    memcpy(l->id, h->lease, sizeof l->id);
    l->free += h->spare;
    if (l->expires_us < r->expires_us + PK_LEASE_LIFE_US)
        l->expires_us = r->expires_us + PK_LEASE_LIFE_US;
}

void pk_lease_keep(struct pk_leases *all, const struct pk_reserve *r, int64_t now_us)
{
    for (int i = 0; i < r->holds.count; i++)
        if (r->holds.rows[i].ahead > 0 && r->granted)
            keep(all, r, &r->holds.rows[i], now_us);
}

/* --- giving back ------------------------------------------------------------------------- */

void pk_lease_end(struct pk_leases *all, int64_t now_us, bool every, struct pk_leases *ended)
{
    int kept = 0;

    ended->count = 0;
    for (int i = 0; i < all->count; i++) {
        struct pk_lease *l = &all->rows[i];
        bool idle = is_idle(l, now_us);

        if (l->free > 0 && (every || idle)) {
            ended->rows[ended->count++] = *l;
            l->free = 0;
        }
        if (!idle)
            all->rows[kept++] = *l;
    }
    all->count = kept;
}

void pk_lease_restore(struct pk_leases *all, const struct pk_leases *ended)
{
    for (int i = 0; i < ended->count; i++) {
        const struct pk_lease *e = &ended->rows[i];
        int at = 0;

        while (at < all->count && memcmp(all->rows[at].id, e->id, sizeof e->id) != 0)
            at++;
        if (at < all->count)
            all->rows[at].free += e->free;
        else if (all->count < PK_LEASES_MAX) /* else it expires */
            all->rows[all->count++] = *e;
    }
}

bool pk_lease_any(const struct pk_leases *all)
{
    for (int i = 0; i < all->count; i++)
        if (all->rows[i].free > 0)
            return true;
    return false;
}
