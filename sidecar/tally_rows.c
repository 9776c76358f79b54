/* tally_rows.c - see tally.h: the rows.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "tally_inner.h"

#include <stdlib.h>
#include <string.h>

/* Where rows go. */
struct told {
    struct pkd_tally *t;
    pk_row_fn *on_row;
    void *ctx;
    struct pkd_tally_page page;
    int64_t saved[PKD_HITS]; /* so far */
};

/* In `scale` parts, rounded: what does not divide evenly by itself, so that no product is too large. NULL of none. */
static struct pk_value mean(int64_t sum, int64_t scale, int64_t count)
{
    int64_t whole;

    if (!count)
        return pk_v_null();
    if (__builtin_mul_overflow(sum / count, scale, &whole))
        return pk_v_int(INT64_MAX);
    return pk_v_int(pkd_plus(whole, (sum % count * 2 * scale / count + 1) / 2));
}

/* --- a row a point -------------------------------------------------------------------------- */

static bool tell_calls(struct told *to, const struct pkd_point *p)
{
    const struct pk_value row[] = {
        pk_v_int(p->at_us),
        pk_v_int(p->calls),
        pk_v_int(p->errors),
        mean(p->errors, 100000, p->calls),
        pk_v_int_unless(p->priced == 0, p->cost),
        pk_v_int_unless(p->priced == 0, p->priced ? p->cost / p->priced : 0),
        pk_v_int(p->units),
        mean(p->units, 1000, p->unit_calls),
        pk_v_int(p->retried),
        pk_v_int(p->fallen),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_users(struct told *to, const struct pkd_point *p)
{
    const struct pk_value row[] = {
        pk_v_int(p->at_us),
        pk_v_int(p->users),
        pk_v_int(p->calls),
        pk_v_int(p->user_calls),
        mean(p->user_calls, 1000, p->users),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_cache(struct told *to, const struct pkd_point *p)
{
    int64_t hits = p->hits[PKD_HIT_SIMPLE] + p->hits[PKD_HIT_SEMANTIC];

    for (int kind = 0; kind < PKD_HITS; kind++)
        to->saved[kind] = pkd_plus(to->saved[kind], p->saved[kind]);
    const struct pk_value row[] = {
        pk_v_int(p->at_us),
        pk_v_int(p->hits[PKD_HIT_SIMPLE]),
        pk_v_int(p->hits[PKD_HIT_SEMANTIC]),
        pk_v_int(hits),
        mean(hits, 100000, p->asked),
        pk_v_int(to->saved[PKD_HIT_SIMPLE]),
        pk_v_int(to->saved[PKD_HIT_SEMANTIC]),
        mean(p->hit_us, 1, hits),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_hits(struct told *to, const struct pkd_point *p)
{
    int64_t hits = p->hits[PKD_HIT_SIMPLE] + p->hits[PKD_HIT_SEMANTIC];
    struct pk_value hit = mean(p->hit_us, 1, hits), miss = mean(p->miss_us, 1, p->misses);
    bool both = hits && p->misses && hit.i;
    const struct pk_value row[] = {
        pk_v_int(hits),
        hit,
        pk_v_int(p->calls),
        both ? mean(miss.i, 1000, hit.i) : pk_v_null(),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_totals(struct told *to, const struct pkd_point *p)
{
    const struct pk_value row[] = {
        pk_v_int(p->calls),
        pk_v_int(p->errors),
        pk_v_int_unless(p->priced == 0, p->cost),
        pk_v_int(p->inputs),
        pk_v_int(p->outputs),
        pk_v_int(p->units),
        mean(p->us, 1, p->calls),
        pk_v_int(p->hits[PKD_HIT_SIMPLE] + p->hits[PKD_HIT_SEMANTIC]),
        pk_v_int(p->users),
        pk_v_int(p->first_us),
        pk_v_int(p->end_us),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

/* --- percentiles ---------------------------------------------------------------------------- */

static void swap(int64_t *a, int64_t *b)
{
    int64_t kept = *a;

    *a = *b;
    *b = kept;
}

/* Brings the `rank`-th of v[from..upto), from 0, to where sorting would: smaller ones before it, larger ones behind
 * (Hoare's selection; the middle of three is the pivot). */
static void select_rank(int64_t *v, int from, int upto, int rank)
{
    while (upto - from > 1) {
        int64_t a = v[from], b = v[from + (upto - from) / 2], c = v[upto - 1];
        int64_t pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int i = from, j = upto - 1;

        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j)
                swap(&v[i++], &v[j--]);
        }
        if (rank <= j)
            upto = j + 1;
        else if (rank >= i)
            from = i;
        else
            return;
    }
}

static bool tell_latency(struct told *to, const struct pkd_point *p)
{
    static const int percents[] = {50, 90, 95, 99};
    struct pk_value row[2 + PK_COUNT(percents)] = {pk_v_int(p->at_us), mean(p->us, 1, p->calls)};
    int from = 0;

    for (size_t i = 0; i < PK_COUNT(percents); i++) {
        int rank = (int)(((int64_t)p->spread_count * percents[i] + 99) / 100) - 1;

        select_rank(p->spread, from, p->spread_count, rank);
        row[2 + i] = pk_v_int(p->spread[rank]);
        from = rank;
    }
    return to->on_row(to->ctx, row, PK_COUNT(row));
}

/* --- rows by something of a point ----------------------------------------------------------- */

struct counted {
    const struct pkd_point *point;
    int64_t number, count;
};

static int by_point(const struct counted *a, const struct counted *b)
{
    return a->point->at_us < b->point->at_us ? -1 : a->point->at_us > b->point->at_us;
}

static int by_number(const void *one, const void *other)
{
    const struct counted *a = one, *b = other;
    int order = by_point(a, b);

    return order ? order : a->number < b->number ? -1 : a->number > b->number;
}

/* The most first. */
static int by_most(const void *one, const void *other)
{
    const struct counted *a = one, *b = other;
    int order = by_point(a, b);

    if (order)
        return order;
    return a->count == b->count ? by_number(one, other) : a->count > b->count ? -1 : 1;
}

static bool tell_code(struct told *to, const struct counted *c)
{
    const struct pk_value row[] = {pk_v_int(c->point->at_us), pk_v_int(c->number),
                                   pk_v_int(c->count)};

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_code_alone(struct told *to, const struct counted *c)
{
    const struct pk_value row[] = {pk_v_int(c->number), pk_v_int(c->count)};

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_retries(struct told *to, const struct counted *c)
{
    const struct pk_value row[] = {pk_v_int(c->point->at_us), pk_v_int(c->point->fallen),
                                   pk_v_int(c->number), pk_v_int(c->count)};

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_counts(struct told *to, bool (*tell)(struct told *to, const struct counted *c),
                        int (*order)(const void *one, const void *other))
{
    const struct pkd_counts *c = &to->t->codes;
    struct counted *all = pk_alloc(to->t->arena, ((size_t)c->used + 1) * sizeof *all);
    size_t count = 0;

    for (uint32_t i = 0; all && i < c->slot_count; i++)
        if (c->slots[i].count)
            all[count++] = (struct counted){&to->t->points[c->slots[i].key >> PKD_KEY_BITS],
                                            (uint32_t)c->slots[i].key, c->slots[i].count};
    if (count)
        qsort(all, count, sizeof *all, order);
    for (size_t i = 0; i < count && tell(to, &all[i]);)
        i++;
    return all != NULL;
}

static bool tell_errors(struct told *to, const struct pkd_point *p)
{
    const struct pk_value row[] = {pk_v_int(p->errors), pk_v_int(to->t->codes.used)};

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

/* --- groups --------------------------------------------------------------------------------- */

struct named {
    pk_str name;
    const struct pkd_group *group;
};

static int by_size(const void *one, const void *other)
{
    const struct named *a = one, *b = other;
    size_t len = a->name.len < b->name.len ? a->name.len : b->name.len;

    if (a->group->calls != b->group->calls)
        return a->group->calls > b->group->calls ? -1 : 1;
    int order = len ? memcmp(a->name.at, b->name.at, len) : 0;
    return order ? order : a->name.len < b->name.len ? -1 : a->name.len > b->name.len;
}

static bool tell_group(struct told *to, const struct named *n, int groups)
{
    const struct pkd_group *g = n->group;
    const struct pk_value row[] = {pk_v_required(n->name), pk_v_int(g->calls),
                                   pk_v_int_unless(g->priced == 0, g->cost), pk_v_int(groups)};

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_member(struct told *to, const struct named *n, int groups)
{
    const struct pkd_group *g = n->group;
    const struct pk_value row[] = {
        pk_v_required(n->name),
        pk_v_int(g->calls),
        pk_v_int_unless(g->priced == 0, g->cost),
        mean(g->units, 1000, g->unit_calls),
        g->opinions ? pk_v_real(g->opinion) : pk_v_null(),
        pk_v_int(g->opinions),
        pk_v_int(g->last_us),
        pk_v_int(groups),
    };

    return to->on_row(to->ctx, row, PK_COUNT(row));
}

static bool tell_groups(struct told *to,
                        bool (*tell)(struct told *to, const struct named *n, int groups))
{
    struct pkd_tally *t = to->t;
    int count = t->group_count;
    struct named *all = pk_alloc(t->arena, ((size_t)count + 1) * sizeof *all);

    if (!all)
        return false;
    for (int i = 0; i < count; i++)
        all[i] = (struct named){t->names.at[i], &t->groups[i]};
    qsort(all, (size_t)count, sizeof *all, by_size);
    for (int64_t i = to->page.skip; i < count && i - to->page.skip < to->page.count; i++) {
        if (!tell(to, &all[i], count))
            return true;
    }
    return true;
}

/* --- all of it ------------------------------------------------------------------------------ */

static int by_time(const void *one, const void *other)
{
    const struct pkd_point *a = one, *b = other;

    return a->at_us < b->at_us ? -1 : a->at_us > b->at_us;
}

static void tell_points(struct told *to, bool (*tell)(struct told *to, const struct pkd_point *p))
{
    struct pkd_tally *t = to->t;

    if (t->point_count)
        qsort(t->points, (size_t)t->point_count, sizeof *t->points, by_time);
    for (int i = 0; i < t->point_count && tell(to, &t->points[i]);)
        i++;
}

bool pkd_tally_rows(struct pkd_tally *t, enum pkd_rows rows, struct pkd_tally_page page,
                    pk_row_fn *on_row, void *ctx)
{
    struct told to = {.t = t, .on_row = on_row, .ctx = ctx, .page = page};

    switch (rows) {
    case PKD_R_CALLS: tell_points(&to, tell_calls); break;
    case PKD_R_USERS: tell_points(&to, tell_users); break;
    case PKD_R_LATENCY: tell_points(&to, tell_latency); break;
    case PKD_R_CACHE: tell_points(&to, tell_cache); break;
    case PKD_R_HITS: tell_points(&to, tell_hits); break;
    case PKD_R_TOTALS: tell_points(&to, tell_totals); break;
    case PKD_R_ERRORS: tell_points(&to, tell_errors); break;
    case PKD_R_STACKS: return tell_counts(&to, tell_code, by_most);
    case PKD_R_CODES: return tell_counts(&to, tell_code_alone, by_most);
    case PKD_R_RETRIES: return tell_counts(&to, tell_retries, by_number);
    case PKD_R_GROUPS: return tell_groups(&to, tell_group);
    case PKD_R_MEMBERS: return tell_groups(&to, tell_member);
    case PKD_R_NONE: break;
    }
    return true;
}
