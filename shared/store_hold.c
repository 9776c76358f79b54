/* store_hold.c - what calls may use is set aside, or refused (store_hold.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_hold.h"

#include "store_hold_use.h"
#include "store_value.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN_BYTES = 64, /* of a slug or subject in a message */
    SOON_MS = 1000,   /* to ask again when calls in progress are in the way */
};

static const int64_t clean_us = 1000000; /* how often what expired is looked for, at most */

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

static bool give_back(struct pk_use *w, struct expired *e)
{
    for (int i = 0; i < e->count; i++) {
        const struct pk_hold *h = &e->rows[i].hold;
        struct pk_use_part part = pk_use_part(e->rows[i].id, h);
        int64_t amount;
        bool there;

        if (!pk_use_lock(w, h, &amount, &there) ||
            !pk_use_ask(w, PK_SQL_reservation_end, &part, &amount) ||
            (amount && !pk_use_charge(w, h, 0, amount)))
            return false;
    }
    return true;
}

static bool clean_up(struct pk_use *w)
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

static bool look(struct pk_use *w, const struct pk_hold *h, struct state *st)
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
static bool refuse(struct pk_use *w, struct pk_reserve *r, int i, int64_t amount)
{
    struct pk_hold *h = &r->holds.rows[i];
    struct state st = {0};
    const struct pk_value args[] = {
        pk_v_required(h->limit),    pk_v_required(h->subject),   pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us), pk_v_int(pk_use_keep_us(h)), pk_v_int(w->now_us),
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

static bool raise_by(struct pk_use *w, const struct pk_reserve *r, const struct pk_hold *h,
                     int64_t delta, int64_t room, struct step *step)
{
    struct pk_use_part part = pk_use_part(r->id, h);

    if (!pk_use_take(w, h, delta, room, &step->done))
        return false;
    if (!step->done)
        return true;
    step->added = delta;
    return pk_use_note(w, &part, h, delta, r->expires_us + (h->leased ? PK_LEASE_LIFE_US : 0));
}

/* With what is to be set aside ahead, if far more than that is left. */
static bool raise_ahead(struct pk_use *w, const struct pk_reserve *r, struct pk_hold *h,
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
static bool raise_exactly(struct pk_use *w, const struct pk_reserve *r, struct pk_hold *h,
                          int64_t stored, struct step *step)
{
    int64_t delta = h->want - stored;

    if (!raise_by(w, r, h, delta, delta, step))
        return false;
    return step->done || w->cleaned || (clean_up(w) && raise_by(w, r, h, delta, delta, step));
}

static bool raise(struct pk_use *w, struct pk_reserve *r, struct pk_hold *h, struct step *step)
{
    struct pk_use_part part = pk_use_part(r->id, h);
    int64_t stored = 0;

    h->spare = 0;
    if (h->amount > 0) {
        if (!pk_use_ask(w, PK_SQL_reservation_get, &part, &stored))
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
static bool reserve_hold(struct pk_use *w, struct pk_reserve *r, int i, struct step *step,
                         bool *refused)
{
    struct pk_hold *h = &r->holds.rows[i];
    bool there;

    *refused = false;
    if (h->want == h->amount)
        return true;
    if (!pk_use_lock(w, h, &step->amount, &there))
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
static bool undo(struct pk_use *w, struct pk_reserve *r, int end, const struct step *steps)
{
    for (int i = 0; i < end; i++) {
        struct pk_hold *h = &r->holds.rows[i];
        struct pk_use_part part = pk_use_part(r->id, h);
        int64_t back = -steps[i].added;
        bool done;

        h->spare = 0;
        if (back != 0 && (!pk_use_take(w, h, back, back, &done) ||
                          !pk_use_note(w, &part, h, back, r->expires_us)))
            return false;
    }
    return true;
}

static bool reserve(struct pk_use *w, struct pk_reserve *r)
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

static bool find_epoch(struct pk_use *w, struct pk_reserve *const *asked, int count)
{
    bool ahead = false;

    for (int i = 0; i < count; i++)
        for (int j = 0; j < asked[i]->holds.count; j++)
            ahead = ahead || asked[i]->holds.rows[j].ahead > 0;
    return !ahead || pk_store_epoch(w->store, &w->epoch, w->err);
}

static bool reserve_all(struct pk_use *w, struct pk_reserve *const *asked, int count)
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
    struct pk_use w = {s, now_us, -1, false, &err};

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
