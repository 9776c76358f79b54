/* store_hold.c - see store_hold.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_hold.h"

#include "store_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_BYTES = 64, /* of a slug or subject in a message */
    SOON_MS = 1000,   /* to ask again when calls in progress are in the way */
};

static const int64_t history_us = INT64_C(400) * 86400 * 1000000; /* of a budget's past windows */
static const int64_t clean_us = 1000000; /* how often what expired is looked for, at most */

/* --- the use of one limit ---------------------------------------------------------------- */

/* What is being reserved or settled. */
struct work {
    struct pk_store *store;
    int64_t now_us, epoch;
    bool cleaned; /* what expired was given back */
    struct pk_error *err;
};

/* One reservation. */
struct part {
    const uint8_t *id;
    pk_str limit, subject;
};

static struct part part_of(const uint8_t *call, const struct pk_hold *h)
{
    return (struct part){h->leased ? h->lease : call, h->limit, h->subject};
}

static int64_t keep_us(const struct pk_hold *h)
{
    if (!h->budget || h->slot.until_us == INT64_MAX)
        return h->slot.until_us;
    return h->slot.until_us + history_us;
}

static bool lock(struct work *w, const struct pk_hold *h, int64_t *amount, bool *there)
{
    const struct pk_value args[] = {pk_v_required(h->limit)};

    *amount = -1;
    bool ok = w->store->ops->exec(w->store, PK_SQL_limit_lock, args, PK_COUNT(args), pk_row_int,
                                  amount, w->err);
    *there = *amount >= 0;
    return ok;
}

/* Changes what is set aside by `delta`, if `room` would be there; *done is false when it is not. */
static bool take(struct work *w, const struct pk_hold *h, int64_t delta, int64_t room, bool *done)
{
    const struct pk_value args[] = {
        pk_v_required(h->limit),
        pk_v_required(h->subject),
        pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us),
        pk_v_int(keep_us(h)),
        pk_v_int(delta),
        pk_v_int(room),
        pk_v_int(w->now_us),
    };

    *done = false;
    return w->store->ops->exec(w->store, PK_SQL_limit_take, args, PK_COUNT(args), pk_row_mark, done,
                               w->err);
}

/* What a statement on a reservation says: an amount, 0 when there is no such row. */
static bool ask_part(struct work *w, enum pk_stmt stmt, const struct part *p, int64_t *amount)
{
    const struct pk_value args[] = {pk_v_uuid(p->id), pk_v_required(p->limit),
                                    pk_v_required(p->subject)};

    *amount = 0;
    return w->store->ops->exec(w->store, stmt, args, PK_COUNT(args), pk_row_int, amount, w->err);
}

static bool lower_part(struct work *w, enum pk_stmt stmt, const struct part *p, int64_t amount,
                       int64_t *lowered)
{
    const struct pk_value args[] = {pk_v_uuid(p->id), pk_v_required(p->limit),
                                    pk_v_required(p->subject), pk_v_int(amount)};

    *lowered = 0;
    return w->store->ops->exec(w->store, stmt, args, PK_COUNT(args), pk_row_int, lowered, w->err);
}

/* Takes `amount` out of a reservation that others hold of too; *released is 0 when it has expired. */
static bool release(struct work *w, const struct part *p, int64_t amount, int64_t *released)
{
    return lower_part(w, PK_SQL_reservation_drop, p, amount, released) &&
           (*released || lower_part(w, PK_SQL_reservation_less, p, amount, released));
}

/* Changes the amount of a reservation, which goes when nothing is left of it. */
static bool note(struct work *w, const struct part *p, const struct pk_hold *h, int64_t delta,
                 int64_t expires_us)
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

static bool charge(struct work *w, const struct pk_hold *h, int64_t used, int64_t released)
{
    const struct pk_value args[] = {
        pk_v_required(h->limit),    pk_v_required(h->subject), pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us), pk_v_int(keep_us(h)),      pk_v_int(used),
        pk_v_int(released),         pk_v_int(w->now_us),
    };

    return w->store->ops->exec(w->store, PK_SQL_limit_settle, args, PK_COUNT(args), NULL, NULL,
                               w->err);
}

/* --- what was left behind ---------------------------------------------------------------- */

struct expired {
    struct pk_arena arena;
    struct {
        uint8_t id[PK_UUID_BYTES];
        struct pk_hold hold;
    } rows[100];
    int count;
};

static bool read_expired(void *ctx, const struct pk_value *v, int count)
{
    struct expired *e = ctx;

    PK_ASSERT(count == 5);
    if (e->count == (int)PK_COUNT(e->rows) || v[0].s.len != PK_UUID_BYTES)
        return false;
    memcpy(e->rows[e->count].id, v[0].s.at, PK_UUID_BYTES);
    e->rows[e->count++].hold = (struct pk_hold){
        .limit = pk_copy(&e->arena, v[1].s),
        .subject = pk_copy(&e->arena, v[2].s),
        .slot = {v[3].i, v[3].i}, /* the slot is there: its end is not needed */
    };
    return true;
}

static bool give_back(struct work *w, struct expired *e)
{
    for (int i = 0; i < e->count; i++) {
        const struct pk_hold *h = &e->rows[i].hold;
        struct part part = part_of(e->rows[i].id, h);
        int64_t amount;
        bool there;

        if (!lock(w, h, &amount, &there) || !ask_part(w, PK_SQL_reservation_end, &part, &amount) ||
            (amount && !charge(w, h, 0, amount)))
            return false;
    }
    return true;
}

static bool clean_up(struct work *w)
{
    struct pk_store *s = w->store;
    const struct pk_value args[] = {pk_v_int(w->now_us)};
    struct expired e = {.count = 0};

    w->cleaned = true;
    s->cleaned_us = w->now_us;
    pk_arena_init(&e.arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = s->ops->exec(s, PK_SQL_reservations_expired, args, PK_COUNT(args), read_expired, &e,
                           w->err) &&
              (!e.arena.failed || pk_fail(w->err, PK_NO_MEMORY, "limits: out of memory")) &&
              give_back(w, &e) &&
              s->ops->exec(s, PK_SQL_limit_use_purge, args, PK_COUNT(args), NULL, NULL, w->err);
    pk_arena_free(&e.arena);
    return ok;
}

/* --- refusing ---------------------------------------------------------------------------- */

/* What stands in the way of a hold. */
struct state {
    int64_t used, reserved; /* now */
    int64_t missing;        /* what has to go before it fits; then: */
    int64_t until_us;       /* when so much has left the window; 0 = never */
};

static bool read_state(void *ctx, const struct pk_value *columns, int count)
{
    struct state *st = ctx;
    int64_t left = columns[1].i + columns[2].i;

    (void)count;
    st->used += columns[1].i;
    st->reserved += columns[2].i;
    if (st->missing > 0)
        st->until_us = columns[0].i;
    st->missing -= left;
    return true;
}

static bool look(struct work *w, const struct pk_hold *h, struct state *st)
{
    const struct pk_value args[] = {pk_v_required(h->limit), pk_v_required(h->subject),
                                    pk_v_int(w->now_us)};

    return w->store->ops->exec(w->store, PK_SQL_limit_state, args, PK_COUNT(args), read_state, st,
                               w->err);
}

static const char *why(const struct pk_hold *h, int64_t amount, const struct state *st)
{
    if (h->want > amount)
        return "this call alone may need more";
    if (st->used + h->want <= amount)
        return "used up, or set aside for calls in progress";
    return st->used < amount ? "too little is left for this call" : "used up";
}

static void say(struct pk_reserve *r, const struct pk_hold *h, int64_t amount,
                const struct state *st)
{
    struct pk_arena arena;
    char wait[40] = "";

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    struct pk_buf text = pk_buf_in(&arena, 256);
    pk_limit_print(&text, h->counts, h->window, amount);
    if (r->retry_after_ms > 0)
        (void)snprintf(wait, sizeof wait, "; try again in %lld s",
                       (long long)((r->retry_after_ms + 999) / 1000));
    (void)pk_fail(&r->error, h->budget ? PK_BUDGET : PK_RATE, "limit \"%.*s\"%s%.*s: %.*s, %s%s",
                  PK_FMT(pk_str_sub(h->limit, 0, SHOWN_BYTES)), h->subject.len ? " of " : "",
                  PK_FMT(pk_str_sub(h->subject, 0, SHOWN_BYTES)), PK_FMT(pk_buf_str(&text)),
                  why(h, amount, st), wait);
    pk_arena_free(&arena);
}

/* Tells why the hold is refused. */
static bool refuse(struct work *w, struct pk_reserve *r, int i, int64_t amount)
{
    struct pk_hold *h = &r->holds.rows[i];
    struct state st = {0};
    const struct pk_value args[] = {
        pk_v_required(h->limit),    pk_v_required(h->subject), pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us), pk_v_int(keep_us(h)),      pk_v_int(w->now_us),
    };

    if (!look(w, h, &st))
        return false;
    struct state again = {.missing = st.used + st.reserved + h->want - h->amount - amount};
    if (!look(w, h, &again))
        return false;
    r->granted = false;
    r->refused = i;
    r->in_use = st.reserved > 0 && st.used + h->want <= amount;
    r->retry_after_ms = 0;
    if (r->in_use)
        r->retry_after_ms = SOON_MS;
    else if (h->want <= amount && again.until_us > w->now_us && again.until_us != INT64_MAX)
        r->retry_after_ms = (again.until_us - w->now_us + 999) / 1000;
    say(r, h, amount, &st);
    if (r->tentative && r->in_use)
        return true;
    return w->store->ops->exec(w->store, PK_SQL_limit_refused, args, PK_COUNT(args), NULL, NULL,
                               w->err);
}

/* --- reserving --------------------------------------------------------------------------- */

/* What became of one hold of a question. */
struct step {
    int64_t amount; /* that the limit allows */
    int64_t added;  /* to what is set aside */
    bool done;
};

static bool raise_by(struct work *w, const struct pk_reserve *r, const struct pk_hold *h,
                     int64_t delta, int64_t room, struct step *step)
{
    struct part part = part_of(r->id, h);

    if (!take(w, h, delta, room, &step->done))
        return false;
    if (!step->done)
        return true;
    step->added = delta;
    return note(w, &part, h, delta, r->expires_us + (h->leased ? PK_LEASE_LIFE_US : 0));
}

/* With what is to be set aside ahead, if far more than that is left. */
static bool raise_ahead(struct work *w, const struct pk_reserve *r, struct pk_hold *h,
                        struct step *step)
{
    h->leased = true;
    if (!raise_by(w, r, h, h->want + h->ahead, pk_lease_room(h), step))
        return false;
    h->leased = step->done;
    h->spare = step->done ? h->ahead : 0;
    return true;
}

/* What expired may be in the way. */
static bool raise_exactly(struct work *w, const struct pk_reserve *r, struct pk_hold *h,
                          int64_t stored, struct step *step)
{
    int64_t delta = h->want - stored;

    if (!raise_by(w, r, h, delta, delta, step))
        return false;
    return step->done || w->cleaned || (clean_up(w) && raise_by(w, r, h, delta, delta, step));
}

static bool raise(struct work *w, struct pk_reserve *r, struct pk_hold *h, struct step *step)
{
    struct part part = part_of(r->id, h);
    int64_t stored = 0;

    h->spare = 0;
    if (h->amount > 0) {
        if (!ask_part(w, PK_SQL_reservation_get, &part, &stored))
            return false;
        stored = stored ? h->amount : 0;
        if (h->slot.until_us == 0) /* the limit was not there before */
            h->slot = pk_limit_slot(h->window, h->rolling, w->now_us);
    } else {
        h->leased = false;
        h->slot = pk_limit_slot(h->window, h->rolling, w->now_us);
        if (h->ahead > 0 && w->epoch == r->epoch && !raise_ahead(w, r, h, step))
            return false;
    }
    return step->done || raise_exactly(w, r, h, stored, step);
}

/* One hold. *refused tells that the limit does not allow it. */
static bool reserve_hold(struct work *w, struct pk_reserve *r, int i, struct step *step,
                         bool *refused)
{
    struct pk_hold *h = &r->holds.rows[i];
    bool there;

    *refused = false;
    if (h->want == h->amount)
        return true;
    if (!lock(w, h, &step->amount, &there))
        return false;
    if (!there) { /* deleted meanwhile, or not committed: it must not be charged when it is there later */
        h->slot = (struct pk_slot){0};
        h->ahead = 0;
        return true;
    }
    if (!raise(w, r, h, step))
        return false;
    *refused = !step->done;
    return step->done || refuse(w, r, i, step->amount);
}

/* Puts back what the holds before `end` had. */
static bool undo(struct work *w, struct pk_reserve *r, int end, const struct step *steps)
{
    for (int i = 0; i < end; i++) {
        struct pk_hold *h = &r->holds.rows[i];
        struct part part = part_of(r->id, h);
        int64_t back = -steps[i].added;
        bool done;

        h->spare = 0;
        if (back != 0 &&
            (!take(w, h, back, back, &done) || !note(w, &part, h, back, r->expires_us)))
            return false;
    }
    return true;
}

static bool reserve(struct work *w, struct pk_reserve *r)
{
    struct step steps[PK_HOLDS_MAX];
    bool refused = false;

    r->granted = true;
    r->refused = -1;
    for (int i = 0; i < r->holds.count; i++) {
        steps[i] = (struct step){0};
        if (!reserve_hold(w, r, i, &steps[i], &refused))
            return false;
        if (refused)
            return undo(w, r, i, steps);
    }
    for (int i = 0; i < r->holds.count; i++)
        r->holds.rows[i].amount = r->holds.rows[i].want;
    return true;
}

/* What an earlier one of the questions has set aside ahead of this hold; NULL: nothing, or too little. */
static struct pk_hold *find_spare(struct pk_reserve *const *asked, int i, const struct pk_hold *h)
{
    for (int k = 0; k < i; k++) {
        if (asked[k]->epoch != asked[i]->epoch ||
            asked[k]->expires_us + PK_LEASE_LIFE_US < asked[i]->expires_us)
            continue;
        for (int j = 0; j < asked[k]->holds.count; j++) {
            struct pk_hold *other = &asked[k]->holds.rows[j];

            if (other->spare >= h->want && pk_str_eq(other->limit, h->limit) &&
                pk_str_eq(other->subject, h->subject))
                return other;
        }
    }
    return NULL;
}

/* Whether question `i` is answered by what earlier ones have set aside. */
static bool share(struct pk_reserve *const *asked, int i)
{
    struct pk_holds *holds = &asked[i]->holds;
    struct pk_hold *from[PK_HOLDS_MAX];

    for (int j = 0; j < holds->count; j++) {
        const struct pk_hold *h = &holds->rows[j];

        from[j] = NULL;
        if (h->want == h->amount)
            continue;
        from[j] = h->amount == 0 && h->want > 0 ? find_spare(asked, i, h) : NULL;
        if (!from[j])
            return false;
    }
    for (int j = 0; j < holds->count; j++) {
        struct pk_hold *h = &holds->rows[j];

        if (!from[j])
            continue;
        from[j]->spare -= h->want;
        h->ahead = h->spare = 0;
        h->amount = h->want;
        h->slot = from[j]->slot;
        h->leased = true;
        memcpy(h->lease, from[j]->lease, sizeof h->lease);
    }
    asked[i]->granted = true;
    asked[i]->refused = -1;
    return true;
}

static bool find_epoch(struct work *w, struct pk_reserve *const *asked, int count)
{
    bool ahead = false;

    for (int i = 0; i < count; i++)
        for (int j = 0; j < asked[i]->holds.count; j++)
            ahead = ahead || asked[i]->holds.rows[j].ahead > 0;
    return !ahead || pk_store_epoch(w->store, &w->epoch, w->err);
}

static bool reserve_all(struct work *w, struct pk_reserve *const *asked, int count)
{
    if (!find_epoch(w, asked, count) ||
        (w->now_us - w->store->cleaned_us >= clean_us && !clean_up(w)))
        return false;
    for (int i = 0; i < count; i++)
        if (!share(asked, i) && !reserve(w, asked[i]))
            return false;
    return true;
}

static void fail_all(struct pk_reserve *const *asked, int count, const struct pk_error *err)
{
    for (int i = 0; i < count; i++) {
        asked[i]->granted = false;
        asked[i]->refused = -1;
        asked[i]->error = *err;
    }
}

void pk_store_reserve(struct pk_store *s, struct pk_reserve *const *asked, int count,
                      int64_t now_us)
{
    struct pk_error err = {0}, ignored;
    struct work w = {s, now_us, -1, false, &err};

    if (!s->ops->begin(s, &err)) {
        fail_all(asked, count, &err);
        return;
    }
    if (!reserve_all(&w, asked, count)) {
        (void)s->ops->end(s, false, &ignored);
        fail_all(asked, count, &err);
    } else if (!s->ops->end(s, true, &err)) {
        fail_all(asked, count, &err);
    }
}

/* --- settling ---------------------------------------------------------------------------- */

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
static bool settle_total(struct work *w, const struct total *t)
{
    struct pk_hold h = hold_of(t);
    struct part part = part_of(t->lease, &h);
    int64_t amount, released = 0;
    bool there;

    w->now_us = t->ended_us;
    if (!lock(w, &h, &amount, &there) || (t->held && !release(w, &part, t->held, &released)))
        return false;
    released += t->released;
    return !there || (t->used == 0 && released == 0) || charge(w, &h, t->used, released);
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
    struct work w = {s, 0, -1, false, err};
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
static bool settle_own(struct work *w, const uint8_t *call, const struct pk_hold *h,
                       int64_t *released)
{
    struct part part = part_of(call, h);
    int64_t amount;
    bool there;

    *released = 0;
    return h->amount == 0 || h->leased ||
           (lock(w, h, &amount, &there) && ask_part(w, PK_SQL_reservation_end, &part, released));
}

bool pk_store_settle(struct pk_store *s, const struct pk_record *r, struct pk_error *err)
{
    struct work w = {s, r->ended_us, -1, false, err};

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

static bool end_all(struct work *w, const struct pk_leases *ended)
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

bool pk_store_leases_end(struct pk_store *s, const struct pk_leases *ended, int64_t now_us,
                         struct pk_error *err)
{
    struct work w = {s, now_us, -1, false, err};
    struct pk_error ignored;

    if (ended->count == 0)
        return true;
    if (!s->ops->begin(s, err))
        return false;
    if (end_all(&w, ended))
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}
