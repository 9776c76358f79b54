/* store_limit.c - see store_limit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_limit.h"

#include "store_apikey.h"
#include "store_audit.h"
#include "store_value.h"

#include <stdio.h>
#include <string.h>

enum {
    ROWS_MIN = 16,    /* first size of a list that grows */
    SHOWN_BYTES = 64, /* of a slug or subject in a message */
    SOON_MS = 1000,   /* to ask again when calls in progress are in the way */
};

static const int64_t history_us = INT64_C(400) * 86400 * 1000000; /* of a budget's past windows */

static bool read_int(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx = columns[0].i;
    return true;
}

static bool mark(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    *(bool *)ctx = true;
    return true;
}

/* --- documents --------------------------------------------------------------------------- */

struct load {
    struct pk_arena *arena;
    struct pk_limit *rows;
    int count, cap;
    bool newer; /* a row that this version does not understand */
};

static bool grow(struct load *l)
{
    int cap = l->cap ? l->cap * 2 : ROWS_MIN;
    struct pk_limit *more =
        pk_alloc_grow(l->arena, l->rows, (size_t)l->cap * sizeof *more, (size_t)cap * sizeof *more);

    if (!more)
        return false;
    l->rows = more;
    l->cap = cap;
    return true;
}

static bool read_limit(void *ctx, const struct pk_value *v, int count)
{
    struct load *l = ctx;

    PK_ASSERT(count == 10);
    if (l->count == l->cap && !grow(l))
        return false;
    struct pk_limit *row = &l->rows[l->count++];
    *row = (struct pk_limit){
        .slug = pk_copy(l->arena, v[0].s),
        .key = pk_copy(l->arena, v[2].s),
        .value = pk_copy(l->arena, v[3].s),
        .rolling = v[6].i,
        .budget = v[7].i,
        .amount = v[8].i,
        .alert = v[9].type == PK_V_NULL ? -1 : v[9].i,
    };
    l->newer = l->newer || !pk_limit_scope_of(v[1].s, &row->scope) ||
               !pk_limit_counts_of(v[4].s, &row->counts) ||
               !pk_limit_window_of(v[5].s, &row->window);
    return l->count <= PK_LIMITS_MAX;
}

bool pk_store_limits_load(struct pk_store *s, struct pk_arena *arena, struct pk_limits *limits,
                          struct pk_error *err)
{
    struct load l = {.arena = arena};

    if (!s->ops->exec(s, PK_SQL_limits, NULL, 0, read_limit, &l, err))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "limits: out of memory");
    if (l.count > PK_LIMITS_MAX)
        return pk_fail(err, PK_STORE, "limits: there are more than %d", PK_LIMITS_MAX);
    if (l.newer)
        return pk_fail(err, PK_STORE, "limits: one is of a newer version");
    pk_limits_sort(l.rows, l.count);
    *limits = (struct pk_limits){l.rows, l.count};
    return true;
}

static bool put(struct pk_store *s, const struct pk_limit *l, bool owned, int64_t now_us,
                struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_required(l->slug),
        pk_v_required(pk_str_of(pk_limit_scope_name(l->scope))),
        pk_v_text(l->key),
        pk_v_text(l->value),
        pk_v_int(owned),
        pk_v_required(pk_str_of(pk_limit_counts_name(l->counts))),
        pk_v_required(pk_str_of(pk_limit_window_name(l->window))),
        pk_v_int(l->rolling),
        pk_v_int(l->budget),
        pk_v_int(l->amount),
        pk_v_int_unless(l->alert < 0, l->alert),
        pk_v_int(now_us),
    };

    return s->ops->exec(s, PK_SQL_limit_put, args, PK_COUNT(args), NULL, NULL, err);
}

static bool drop(struct pk_store *s, pk_str slug, bool *existed, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    *existed = false;
    return s->ops->exec(s, PK_SQL_limit_delete, args, PK_COUNT(args), mark, existed, err) &&
           s->ops->exec(s, PK_SQL_limit_use_delete, args, PK_COUNT(args), NULL, NULL, err) &&
           s->ops->exec(s, PK_SQL_reservation_delete, args, PK_COUNT(args), NULL, NULL, err);
}

/* A limit for what is not there would never hold. */
static bool check_value(struct pk_store *s, struct pk_arena *arena, const struct pk_limit *l,
                        struct pk_error *err)
{
    struct pk_virtual_key key;
    int64_t version;
    bool found = true;
    pk_str body;

    if (l->value.len && l->scope == PK_LS_VIRTUAL_KEY) {
        if (!pk_store_key_get(s, arena, l->value, &key, &found, err))
            return false;
    } else if (l->value.len && l->scope == PK_LS_CONFIG) {
        if (!pk_store_config_get(s, arena, l->value, &body, &version, err))
            return false;
        found = body.len > 0;
    } else if (l->value.len && l->scope == PK_LS_API_KEY) {
        if (!pk_store_api_key_known(s, l->value, &found, err))
            return false;
    }
    return found || pk_fail(err, PK_NOT_FOUND, "limit.%s: there is none called \"%.*s\"",
                            pk_limit_scope_name(l->scope), PK_FMT(pk_name_shown(l->value)));
}

bool pk_store_limit_put(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str text,
                        int64_t now_us, struct pk_error *err)
{
    const struct pk_change change = {now_us, "limit_put", slug, text};
    struct pk_limit l;

    if (!pk_slug_check(slug, err) || !pk_limit_read(arena, slug, text, &l, err) ||
        !check_value(s, arena, &l, err) || !s->ops->begin(s, err))
        return false;
    return pk_store_change_end(s, put(s, &l, false, now_us, err), &change, err);
}

bool pk_store_limit_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                           struct pk_error *err)
{
    const struct pk_change change = {now_us, "limit_delete", slug, PK_NONE};

    *existed = false;
    if (pk_str_find(slug, ':') >= 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "slug: this limit belongs to a key; put the key anew without it");
    if (!pk_slug_check(slug, err) || !s->ops->begin(s, err))
        return false;
    bool ok = drop(s, slug, existed, err);
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}

/* --- those of a key ---------------------------------------------------------------------- */

struct slugs {
    struct pk_arena *arena;
    pk_str rows[2 * PK_OWNED_MAX];
    int count;
};

static bool read_slug(void *ctx, const struct pk_value *columns, int count)
{
    struct slugs *list = ctx;

    (void)count;
    if (list->count == (int)PK_COUNT(list->rows))
        return false;
    list->rows[list->count++] = pk_copy(list->arena, columns[0].s);
    return true;
}

static bool is_in(const struct pk_limit_list *list, pk_str slug)
{
    for (int i = 0; i < list->count; i++)
        if (pk_str_eq(list->rows[i].slug, slug))
            return true;
    return false;
}

bool pk_store_limits_own(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_limit_owner *owner, const struct pk_limit_list *list,
                         int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(pk_str_of(pk_limit_scope_name(owner->scope))),
                                    pk_v_required(owner->slug)};
    struct slugs before = {.arena = arena};
    bool existed;

    if (!s->ops->exec(s, PK_SQL_limit_owned, args, PK_COUNT(args), read_slug, &before, err))
        return false;
    for (int i = 0; i < before.count; i++)
        if (!is_in(list, before.rows[i]) && !drop(s, before.rows[i], &existed, err))
            return false;
    for (int i = 0; i < list->count; i++)
        if (!put(s, &list->rows[i], true, now_us, err))
            return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "limits: out of memory");
}

/* --- the use of one limit ---------------------------------------------------------------- */

/* What is being reserved or settled. */
struct work {
    struct pk_store *store;
    const uint8_t *id; /* of the call */
    int64_t now_us, expires_us;
    struct pk_error *err;
};

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
    bool ok = w->store->ops->exec(w->store, PK_SQL_limit_lock, args, PK_COUNT(args), read_int,
                                  amount, w->err);
    *there = *amount >= 0;
    return ok;
}

/* Changes what is set aside by `delta`; *done is false when the limit does not allow it. */
static bool take(struct work *w, const struct pk_hold *h, int64_t delta, bool *done)
{
    const struct pk_value args[] = {
        pk_v_required(h->limit),    pk_v_required(h->subject), pk_v_int(h->slot.from_us),
        pk_v_int(h->slot.until_us), pk_v_int(keep_us(h)),      pk_v_int(delta),
        pk_v_int(w->now_us),
    };

    *done = false;
    return w->store->ops->exec(w->store, PK_SQL_limit_take, args, PK_COUNT(args), mark, done,
                               w->err);
}

static bool by_call(struct work *w, enum pk_stmt stmt, const struct pk_hold *h, int64_t *amount)
{
    const struct pk_value args[] = {pk_v_blob(w->id, PK_UUID_BYTES), pk_v_required(h->limit),
                                    pk_v_required(h->subject)};

    *amount = 0;
    return w->store->ops->exec(w->store, stmt, args, PK_COUNT(args), read_int, amount, w->err);
}

/* Makes `amount` what the call has set aside. */
static bool note(struct work *w, const struct pk_hold *h, int64_t amount)
{
    const struct pk_value args[] = {
        pk_v_blob(w->id, PK_UUID_BYTES), pk_v_required(h->limit), pk_v_required(h->subject),
        pk_v_int(h->slot.from_us),       pk_v_int(amount),        pk_v_int(w->expires_us),
    };
    int64_t unused;

    if (amount == 0)
        return by_call(w, PK_SQL_reservation_end, h, &unused);
    return w->store->ops->exec(w->store, PK_SQL_reservation_put, args, PK_COUNT(args), NULL, NULL,
                               w->err);
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

/* --- reserving --------------------------------------------------------------------------- */

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

/* One hold. *refused tells that the limit does not allow it; `before` keeps what was set aside. */
static bool reserve_hold(struct work *w, struct pk_reserve *r, int i, int64_t *before,
                         bool *refused)
{
    struct pk_hold *h = &r->holds.rows[i];
    int64_t amount, stored = 0;
    bool there, done;

    *before = h->amount;
    *refused = false;
    if (h->want == h->amount)
        return true;
    if (!lock(w, h, &amount, &there))
        return false;
    if (!there) /* deleted meanwhile */
        return true;
    if (h->amount == 0)
        h->slot = pk_limit_slot(h->window, h->rolling, w->now_us);
    else if (!by_call(w, PK_SQL_reservation_get, h, &stored))
        return false;
    *before = stored;
    if (!take(w, h, h->want - stored, &done))
        return false;
    *refused = !done;
    return done ? note(w, h, h->want) : refuse(w, r, i, amount);
}

/* Puts back what the holds before `end` had. */
static bool undo(struct work *w, struct pk_reserve *r, int end, const int64_t *before)
{
    for (int i = 0; i < end; i++) {
        const struct pk_hold *h = &r->holds.rows[i];
        bool done;

        if (h->want == before[i])
            continue;
        if (!take(w, h, before[i] - h->want, &done) || !note(w, h, before[i]))
            return false;
    }
    return true;
}

static bool reserve(struct pk_store *s, struct pk_reserve *r, int64_t now_us, struct pk_error *err)
{
    struct work w = {s, r->id, now_us, r->expires_us, err};
    int64_t before[PK_HOLDS_MAX];
    bool refused = false;

    r->granted = true;
    r->refused = -1;
    for (int i = 0; i < r->holds.count; i++) {
        if (!reserve_hold(&w, r, i, &before[i], &refused))
            return false;
        if (refused)
            return undo(&w, r, i, before);
    }
    for (int i = 0; i < r->holds.count; i++)
        r->holds.rows[i].amount = r->holds.rows[i].want;
    return true;
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

static bool give_back(struct pk_store *s, struct expired *e, int64_t now_us, struct pk_error *err)
{
    for (int i = 0; i < e->count; i++) {
        struct work w = {s, e->rows[i].id, now_us, 0, err};
        const struct pk_hold *h = &e->rows[i].hold;
        int64_t amount;
        bool there;

        if (!lock(&w, h, &amount, &there) || !by_call(&w, PK_SQL_reservation_end, h, &amount) ||
            (amount && !charge(&w, h, 0, amount)))
            return false;
    }
    return true;
}

static bool clean_up(struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(now_us)};
    struct expired e = {.count = 0};

    pk_arena_init(&e.arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok =
        s->ops->exec(s, PK_SQL_reservations_expired, args, PK_COUNT(args), read_expired, &e, err) &&
        (!e.arena.failed || pk_fail(err, PK_NO_MEMORY, "limits: out of memory")) &&
        give_back(s, &e, now_us, err) &&
        s->ops->exec(s, PK_SQL_limit_use_purge, args, PK_COUNT(args), NULL, NULL, err);
    pk_arena_free(&e.arena);
    return ok;
}

static bool reserve_all(struct pk_store *s, struct pk_reserve *const *asked, int count,
                        int64_t now_us, struct pk_error *err)
{
    if (!clean_up(s, now_us, err))
        return false;
    for (int i = 0; i < count; i++)
        if (!reserve(s, asked[i], now_us, err))
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

    if (!s->ops->begin(s, &err)) {
        fail_all(asked, count, &err);
        return;
    }
    if (!reserve_all(s, asked, count, now_us, &err)) {
        (void)s->ops->end(s, false, &ignored);
        fail_all(asked, count, &err);
    } else if (!s->ops->end(s, true, &err)) {
        fail_all(asked, count, &err);
    }
}

/* --- settling ---------------------------------------------------------------------------- */

bool pk_store_settle(struct pk_store *s, const struct pk_record *r, struct pk_error *err)
{
    struct work w = {s, r->id, r->ended_us, 0, err};

    for (int i = 0; i < r->holds.count; i++) {
        const struct pk_hold *h = &r->holds.rows[i];
        int64_t amount, released = 0;
        bool there;

        if (!lock(&w, h, &amount, &there) ||
            (h->amount && !by_call(&w, PK_SQL_reservation_end, h, &released)) ||
            (there && (h->used || released) && !charge(&w, h, h->used, released)))
            return false;
    }
    return true;
}
