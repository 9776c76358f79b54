/* store_catalog.c - see store_catalog.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The list and what the store has are both sorted by provider and model. Of a model the store's side is
 * the rows of its generation in force: those that are not older than its base tier (price.h).
 */
#include "store_catalog.h"

#include "iso.h"
#include "member.h"
#include "price.h"
#include "store_audit.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 256, DIFF_BYTES_MAX = PK_BODY_BYTES_MAX, MUCH = 10 };

static const int64_t ever_us = 1577836800000000; /* 2020-01-01: since there is the model */

/* A price of the store, or of the list as the store would have it. */
struct price {
    pk_str provider, model;
    int64_t above_tokens, from_us, to_us;
    int64_t rates[PK_RATES];
    pk_str units;
};

struct model {
    pk_str provider, model, mode;
    int64_t context_window, max_output_tokens;
    pk_str deprecation_date, capabilities, source;
    bool seen; /* in the list */
};

struct import {
    struct pk_store *store;
    struct pk_arena *arena;
    const struct pk_catalog_source *source;
    struct pk_catalog catalog;
    bool dry_run;
    struct price *prices;
    int price_count, price_cap;
    struct model *models;
    int model_count, model_cap;
    pk_str *own; /* providers */
    int own_count, own_cap;
    struct pk_buf added, changed, missing, warnings;
    int added_count, changed_count, missing_count, unchanged_count;
    struct pk_error *err;
};

/* Both sides of one model, and what becomes of it. */
struct match {
    const struct pk_catalog_model *m;
    const struct price *known; /* all rows of the store of that name */
    int known_count;
    struct model *facts;                                               /* NULL: none */
    struct price old[PK_CATALOG_TIERS_MAX], new[PK_CATALOG_TIERS_MAX]; /* in force now */
    int old_count, new_count;
    struct model merged;
    bool repriced, corrected; /* its price now; what it is and can do */
};

/* --- the store's side ------------------------------------------------------------------------ */

static int compare(pk_str a, pk_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int c = common ? memcmp(a.at, b.at, common) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_names(pk_str provider, pk_str model, pk_str other_provider, pk_str other_model)
{
    int c = compare(provider, other_provider);

    return c ? c : compare(model, other_model);
}

static int by_price(const void *a, const void *b)
{
    const struct price *x = a, *y = b;
    int c = compare_names(x->provider, x->model, y->provider, y->model);

    if (c == 0)
        c = (x->from_us > y->from_us) - (x->from_us < y->from_us);
    return c ? c : (x->above_tokens > y->above_tokens) - (x->above_tokens < y->above_tokens);
}

static int by_model(const void *a, const void *b)
{
    const struct model *x = a, *y = b;

    return compare_names(x->provider, x->model, y->provider, y->model);
}

static void *more(struct pk_arena *arena, void *list, int *cap, size_t size)
{
    int wanted = *cap ? *cap * 2 : FIRST_CAP;
    void *grown = pk_alloc_grow(arena, list, (size_t)*cap * size, (size_t)wanted * size);

    if (grown)
        *cap = wanted;
    return grown;
}

static bool take_price(void *ctx, const struct pk_value *v, int count)
{
    struct import *im = ctx;

    PK_ASSERT(count == 6 + PK_RATES);
    if (im->price_count == im->price_cap) {
        void *list = more(im->arena, im->prices, &im->price_cap, sizeof *im->prices);
        if (!list)
            return false;
        im->prices = list;
    }
    struct price *p = &im->prices[im->price_count++];
    *p = (struct price){.provider = pk_copy(im->arena, v[0].s),
                        .model = pk_copy(im->arena, v[1].s),
                        .above_tokens = v[2].i,
                        .from_us = v[3].i,
                        .to_us = v[4].i,
                        .units = pk_copy(im->arena, v[5 + PK_RATES].s)};
    for (int i = 0; i < PK_RATES; i++)
        p->rates[i] = v[5 + i].type == PK_V_NULL ? -1 : v[5 + i].i;
    return true;
}

static bool take_model(void *ctx, const struct pk_value *v, int count)
{
    struct import *im = ctx;

    PK_ASSERT(count == 8);
    if (im->model_count == im->model_cap) {
        void *list = more(im->arena, im->models, &im->model_cap, sizeof *im->models);
        if (!list)
            return false;
        im->models = list;
    }
    im->models[im->model_count++] = (struct model){
        .provider = pk_copy(im->arena, v[0].s),
        .model = pk_copy(im->arena, v[1].s),
        .mode = pk_copy(im->arena, v[2].s),
        .context_window = v[3].i,
        .max_output_tokens = v[4].i,
        .deprecation_date = pk_copy(im->arena, v[5].s),
        .capabilities = pk_copy(im->arena, v[6].s),
        .source = pk_copy(im->arena, v[7].s),
    };
    return true;
}

static bool load(struct import *im)
{
    if (!im->store->ops->exec(im->store, PK_SQL_price_rows, NULL, 0, take_price, im, im->err) ||
        !im->store->ops->exec(im->store, PK_SQL_model_rows, NULL, 0, take_model, im, im->err))
        return false;
    if (im->arena->failed)
        return pk_fail(im->err, PK_NO_MEMORY, "prices: out of memory");
    if (im->price_count)
        qsort(im->prices, (size_t)im->price_count, sizeof *im->prices, by_price);
    if (im->model_count)
        qsort(im->models, (size_t)im->model_count, sizeof *im->models, by_model);
    return true;
}

static bool take_provider(void *ctx, const struct pk_value *v, int count)
{
    struct import *im = ctx;

    PK_ASSERT(count == 2);
    if (im->own_count == im->own_cap) {
        void *list = more(im->arena, im->own, &im->own_cap, sizeof *im->own);
        if (!list)
            return false;
        im->own = list;
    }
    im->own[im->own_count++] = pk_copy(im->arena, v[0].s);
    return true;
}

static bool read_list(struct import *im, struct pk_catalog_source *source)
{
    if (!im->store->ops->exec(im->store, PK_SQL_provider_list, NULL, 0, take_provider, im, im->err))
        return false;
    source->own = im->own;
    source->own_count = im->own_count;
    return pk_catalog_read(im->arena, source, &im->catalog, im->err);
}

/* --- matching -------------------------------------------------------------------------------- */

static void find_prices(const struct import *im, struct match *x)
{
    struct price key = {.provider = x->m->provider, .model = x->m->model, .from_us = INT64_MIN};
    int from = 0, to = im->price_count;

    while (from < to) {
        int middle = from + (to - from) / 2;

        if (by_price(&im->prices[middle], &key) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    x->known = im->prices + from;
    while (from + x->known_count < im->price_count &&
           compare_names(key.provider, key.model, x->known[x->known_count].provider,
                         x->known[x->known_count].model) == 0)
        x->known_count++;
}

static bool in_force(const struct price *p, int64_t now_us)
{
    return p->from_us <= now_us && (p->to_us == 0 || p->to_us > now_us);
}

/* The generation in force. */
static void find_old(struct match *x, int64_t now_us)
{
    int64_t since_us = INT64_MIN;

    for (int i = 0; i < x->known_count; i++)
        if (x->known[i].above_tokens == 0 && in_force(&x->known[i], now_us))
            since_us = x->known[i].from_us; /* they are in the order of their times */
    for (int i = 0; i < x->known_count && x->old_count < PK_CATALOG_TIERS_MAX; i++)
        if (in_force(&x->known[i], now_us) && x->known[i].from_us >= since_us)
            x->old[x->old_count++] = x->known[i];
}

static struct price of_tier(struct pk_arena *arena, const struct pk_catalog_model *m,
                            const struct pk_tier *t)
{
    struct price p = {.provider = m->provider,
                      .model = m->model,
                      .above_tokens = t->above_tokens,
                      .from_us = t->from_us,
                      .to_us = t->to_us,
                      .units = pk_tier_units(arena, t)};

    memcpy(p.rates, t->rates, sizeof p.rates);
    return p;
}

static bool same_price(const struct price *a, const struct price *b)
{
    return a->above_tokens == b->above_tokens && memcmp(a->rates, b->rates, sizeof a->rates) == 0 &&
           pk_str_eq(a->units, b->units);
}

static bool same_prices(const struct match *x)
{
    if (x->new_count != x->old_count)
        return false;
    for (int i = 0; i < x->new_count; i++)
        if (!same_price(&x->new[i], &x->old[i]))
            return false;
    return true;
}

static pk_str said(pk_str new, pk_str old)
{
    return new.len ? new : old;
}

static int64_t said_number(int64_t new, int64_t old)
{
    return new > 0 ? new : old;
}

static void merge(const struct import *im, struct match *x)
{
    static const struct model nothing;
    const struct pk_catalog_model *m = x->m;
    const struct model *old = x->facts ? x->facts : &nothing;

    x->merged = (struct model){
        .provider = m->provider,
        .model = m->model,
        .mode = said(m->mode, old->mode),
        .context_window = said_number(m->context_window, old->context_window),
        .max_output_tokens = said_number(m->max_output_tokens, old->max_output_tokens),
        .deprecation_date = said(m->deprecation_date, old->deprecation_date),
        .capabilities = said(m->capabilities, old->capabilities),
        .source = im->source->format,
    };
    const struct model *new = &x->merged;
    x->corrected = !pk_str_eq(new->mode, old->mode) || new->context_window != old->context_window ||
                   new->max_output_tokens != old->max_output_tokens ||
                   !pk_str_eq(new->deprecation_date, old->deprecation_date) ||
                   !pk_str_eq(new->capabilities, old->capabilities);
}

static void match(struct import *im, struct match *x)
{
    struct model key = {.provider = x->m->provider, .model = x->m->model};

    find_prices(im, x);
    find_old(x, im->source->now_us);
    for (int i = 0; i < x->m->tier_count; i++)
        if (x->m->tiers[i].from_us == 0)
            x->new[x->new_count++] = of_tier(im->arena, x->m, &x->m->tiers[i]);
    x->repriced = x->new_count > 0 && !same_prices(x);
    if (im->model_count)
        x->facts = bsearch(&key, im->models, (size_t)im->model_count, sizeof *im->models, by_model);
    if (x->facts)
        x->facts->seen = true;
    merge(im, x);
    if (pk_str_ends(x->m->model, "*"))
        x->corrected = false;
}

/* --- writing --------------------------------------------------------------------------------- */

static bool put_price(struct import *im, const struct price *p)
{
    struct pk_value args[7 + PK_RATES] = {
        pk_v_required(p->provider), pk_v_required(p->model), pk_v_int(p->above_tokens),
        pk_v_int(p->from_us),       pk_v_int(p->to_us),
    };

    for (int i = 0; i < PK_RATES; i++)
        args[5 + i] = pk_v_int_unless(p->rates[i] < 0, p->rates[i]);
    args[5 + PK_RATES] = pk_v_text(p->units);
    args[6 + PK_RATES] = pk_v_required(im->source->format);
    return im->store->ops->exec(im->store, PK_SQL_price_put, args, PK_COUNT(args), NULL, NULL,
                                im->err);
}

static bool put_prices(struct import *im, struct match *x)
{
    const struct pk_value ends[] = {pk_v_required(x->m->provider), pk_v_required(x->m->model),
                                    pk_v_int(im->source->now_us)};

    if (x->known_count && !im->store->ops->exec(im->store, PK_SQL_price_end, ends, PK_COUNT(ends),
                                                NULL, NULL, im->err))
        return false;
    for (int i = 0; i < x->new_count; i++) {
        struct price p = x->new[i];

        p.from_us = x->known_count ? im->source->now_us : ever_us;
        if (!put_price(im, &p))
            return false;
    }
    return true;
}

/* Whether it is a price with a date of its own that the store does not have so. */
static bool is_dated(const struct match *x, const struct price *p)
{
    for (int k = 0; k < x->known_count; k++)
        if (x->known[k].from_us == p->from_us && x->known[k].to_us == p->to_us &&
            same_price(&x->known[k], p))
            return false;
    return p->from_us != 0;
}

static bool put_dated(struct import *im, struct match *x, bool *any)
{
    for (int i = 0; i < x->m->tier_count; i++) {
        struct price p = of_tier(im->arena, x->m, &x->m->tiers[i]);

        if (!is_dated(x, &p))
            continue;
        *any = true;
        if (!im->dry_run && !put_price(im, &p))
            return false;
    }
    return true;
}

static struct pk_value number_or_null(int64_t n)
{
    return pk_v_int_unless(n <= 0, n);
}

static bool put_model(struct import *im, const struct model *m)
{
    const struct pk_value args[] = {
        pk_v_required(m->provider),
        pk_v_required(m->model),
        pk_v_text(m->mode),
        number_or_null(m->context_window),
        number_or_null(m->max_output_tokens),
        pk_v_text(m->deprecation_date),
        pk_v_text(m->capabilities),
        pk_v_required(m->source),
        pk_v_int(im->source->now_us),
    };

    return im->store->ops->exec(im->store, PK_SQL_model_put, args, PK_COUNT(args), NULL, NULL,
                                im->err);
}

/* --- the diff -------------------------------------------------------------------------------- */

static void add_name(struct pk_buf *out, pk_str provider, pk_str model)
{
    pk_member_comma(out);
    pk_buf_adds(out, "{\"provider\":");
    pk_json_quote(out, provider);
    pk_buf_adds(out, ",\"model\":");
    pk_json_quote(out, model);
}

/* What differs from `other`; NULL: all that is known. */
static void add_price(struct pk_buf *out, const struct price *p, const struct price *other)
{
    for (int i = 0; i < PK_RATES; i++) {
        if (p->rates[i] < 0 || (other && other->rates[i] == p->rates[i]))
            continue;
        pk_member_comma(out);
        pk_buf_addf(out, "\"%s_usd\":", pk_rate_name((enum pk_rate)i));
        pk_price_print(out, p->rates[i]);
    }
    if (p->units.len == 0 || (other && pk_str_eq(p->units, other->units)))
        return;
    pk_member_comma(out);
    pk_buf_adds(out, "\"units\":");
    pk_buf_add(out, p->units);
}

/* One side of a change. */
struct side {
    const struct price *list;
    int count;
};

static const struct price *tier_of(struct side s, int64_t above_tokens)
{
    for (int i = 0; i < s.count; i++)
        if (s.list[i].above_tokens == above_tokens)
            return s.list + i;
    return NULL;
}

/* The base tier's members, and the others under "above": where they differ from the other side's. */
static void add_prices(struct pk_buf *out, struct side s, struct side other)
{
    bool higher = false;

    for (int i = 0; i < s.count; i++) {
        const struct price *p = &s.list[i], *q = tier_of(other, p->above_tokens);

        if (q && same_price(p, q))
            continue;
        if (p->above_tokens == 0) { /* the first */
            add_price(out, p, q);
            continue;
        }
        pk_member_comma(out);
        pk_buf_adds(out, higher ? "" : "\"above\":{");
        higher = true;
        pk_buf_addf(out, "\"%lld\":{", (long long)p->above_tokens);
        add_price(out, p, q);
        pk_buf_addc(out, '}');
    }
    if (higher)
        pk_buf_addc(out, '}');
}

/* Prices with dates of their own. */
static void add_dated(struct pk_buf *out, struct pk_arena *arena, const struct match *x)
{
    char from[PK_ISO_BYTES];
    bool any = false;

    for (int i = 0; i < x->m->tier_count; i++) {
        struct price p = of_tier(arena, x->m, &x->m->tiers[i]);

        if (!is_dated(x, &p))
            continue;
        pk_member_comma(out);
        pk_buf_adds(out, any ? "" : "\"dated\":[");
        any = true;
        pk_iso_print(p.from_us, from);
        pk_buf_addf(out, "{\"valid_from\":\"%s\"", from);
        if (p.above_tokens)
            pk_buf_addf(out, ",\"above_tokens\":%lld", (long long)p.above_tokens);
        add_price(out, &p, NULL);
        pk_buf_addc(out, '}');
    }
    if (any)
        pk_buf_addc(out, ']');
}

static void add_text(struct pk_buf *out, const char *name, pk_str text, pk_str other)
{
    if (text.len == 0 || pk_str_eq(text, other))
        return;
    pk_member_comma(out);
    pk_buf_addf(out, "\"%s\":", name);
    if (pk_str_starts(text, "{"))
        pk_buf_add(out, text);
    else
        pk_json_quote(out, text);
}

static void add_number(struct pk_buf *out, const char *name, int64_t n, int64_t other)
{
    if (n <= 0 || n == other)
        return;
    pk_member_comma(out);
    pk_buf_addf(out, "\"%s\":%lld", name, (long long)n);
}

/* What is known of a model and differs from `other`. */
static void add_facts(struct pk_buf *out, const struct model *m, const struct model *other)
{
    add_text(out, "mode", m->mode, other->mode);
    add_number(out, "context_window", m->context_window, other->context_window);
    add_number(out, "max_output_tokens", m->max_output_tokens, other->max_output_tokens);
    add_text(out, "deprecation_date", m->deprecation_date, other->deprecation_date);
    add_text(out, "capabilities", m->capabilities, other->capabilities);
}

/* Ten times more, or less, is more often a slip than a price. */
static void warn(struct import *im, const struct match *x)
{
    static const enum pk_rate watched[] = {PK_RATE_input, PK_RATE_output};

    for (size_t i = 0; x->old_count && x->new_count && i < PK_COUNT(watched); i++) {
        int64_t old = x->old[0].rates[watched[i]], new = x->new[0].rates[watched[i]];

        if (old <= 0 || new < 0 || (new / MUCH <= old &&old / MUCH <= new))
            continue;
        add_name(&im->warnings, x->m->provider, x->m->model);
        pk_buf_addf(&im->warnings, ",\"reason\":\"%s_usd is %s of what it was\"}",
                    pk_rate_name(watched[i]),
                    new > old ? "more than ten times" : "less than a tenth");
    }
}

static void note_change(struct import *im, const struct match *x)
{
    static const struct model nothing;
    const struct model *old = x->facts ? x->facts : &nothing;
    struct side before = {x->old, x->old_count}, after = {x->new, x->new_count};

    im->changed_count++;
    add_name(&im->changed, x->m->provider, x->m->model);
    pk_buf_adds(&im->changed, ",\"old\":{");
    if (x->repriced)
        add_prices(&im->changed, before, after);
    if (x->corrected)
        add_facts(&im->changed, old, &x->merged);
    pk_buf_adds(&im->changed, "},\"new\":{");
    if (x->repriced)
        add_prices(&im->changed, after, before);
    add_dated(&im->changed, im->arena, x);
    if (x->corrected)
        add_facts(&im->changed, &x->merged, old);
    pk_buf_adds(&im->changed, "}}");
    if (x->repriced)
        warn(im, x);
}

static void note_addition(struct import *im, const struct match *x)
{
    static const struct model nothing;

    im->added_count++;
    add_name(&im->added, x->m->provider, x->m->model);
    pk_buf_adds(&im->added, ",\"new\":{");
    add_prices(&im->added, (struct side){x->new, x->new_count}, (struct side){NULL, 0});
    add_dated(&im->added, im->arena, x);
    if (x->corrected)
        add_facts(&im->added, &x->merged, &nothing);
    pk_buf_adds(&im->added, "}}");
}

static bool import_model(struct import *im, const struct pk_catalog_model *m)
{
    struct match x = {.m = m};
    bool dated = false;

    if (m->tier_count == 0 && pk_str_ends(m->model, "*"))
        return true; /* says nothing */
    match(im, &x);
    bool facts = !pk_str_ends(m->model, "*") &&
                 (!x.facts || x.corrected || !pk_str_eq(x.facts->source, im->source->format));
    if (!im->dry_run &&
        ((x.repriced && !put_prices(im, &x)) || (facts && !put_model(im, &x.merged))))
        return false;
    if (!put_dated(im, &x, &dated))
        return false;
    if (x.known_count == 0 && !x.facts)
        note_addition(im, &x);
    else if (x.repriced || x.corrected || dated)
        note_change(im, &x);
    else
        im->unchanged_count++;
    return true;
}

static bool lists_provider(const struct pk_catalog *c, pk_str provider)
{
    int from = 0, to = c->count;

    while (from < to) {
        int middle = from + (to - from) / 2;

        if (compare(c->models[middle].provider, provider) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from < c->count && pk_str_eq(c->models[from].provider, provider);
}

/* What came with an earlier list of this format, and is no longer in it. It stays in force. */
static void note_missing(struct import *im)
{
    for (int i = 0; i < im->model_count; i++) {
        const struct model *m = &im->models[i];

        if (m->seen || !pk_str_eq(m->source, im->source->format) ||
            !lists_provider(&im->catalog, m->provider))
            continue;
        im->missing_count++;
        add_name(&im->missing, m->provider, m->model);
        pk_buf_addc(&im->missing, '}');
    }
}

static void add_list(struct pk_buf *out, const char *name, const struct pk_buf *list)
{
    pk_buf_addf(out, ",\"%s\":[", name);
    pk_buf_add(out, pk_buf_str(list));
    pk_buf_addc(out, ']');
    out->failed = out->failed || list->failed;
}

static int add_ignored(struct pk_buf *out, const struct pk_catalog *c)
{
    int count = 0;

    pk_buf_adds(out, ",\"ignored\":[");
    for (int i = 0; i < c->left_out_count; i++) {
        const struct pk_left_out *l = &c->left_out[i];

        count += l->count;
        pk_buf_adds(out, i ? ",{\"what\":" : "{\"what\":");
        pk_json_quote(out, l->what);
        pk_buf_addf(out, ",\"reason\":\"%s\",\"count\":%d,\"example\":", l->reason, l->count);
        pk_json_quote(out, l->example);
        pk_buf_addc(out, '}');
    }
    pk_buf_addc(out, ']');
    return count;
}

static pk_str counts_of(struct import *im, int ignored)
{
    return pk_copyf(
        im->arena, "{\"added\":%d,\"changed\":%d,\"missing\":%d,\"unchanged\":%d,\"ignored\":%d}",
        im->added_count, im->changed_count, im->missing_count, im->unchanged_count, ignored);
}

static bool print_diff(struct import *im, pk_str *counts, pk_str *diff)
{
    struct pk_buf out = pk_buf_in(im->arena, DIFF_BYTES_MAX);
    struct pk_buf ignored = pk_buf_in(im->arena, DIFF_BYTES_MAX);
    char at[PK_ISO_BYTES];

    pk_iso_print(im->source->now_us, at);
    *counts = counts_of(im, add_ignored(&ignored, &im->catalog));
    pk_buf_adds(&out, "{\"format\":");
    pk_json_quote(&out, im->source->format);
    pk_buf_addf(&out, ",\"at\":\"%s\",\"dry_run\":%s,\"counts\":%.*s", at,
                im->dry_run ? "true" : "false", PK_FMT(*counts));
    add_list(&out, "added", &im->added);
    add_list(&out, "changed", &im->changed);
    add_list(&out, "missing", &im->missing);
    pk_buf_add(&out, pk_buf_str(&ignored));
    add_list(&out, "warnings", &im->warnings);
    pk_buf_addc(&out, '}');
    *diff = pk_buf_str(&out);
    return !(out.failed || ignored.failed || im->arena->failed) ||
           pk_fail(im->err, PK_TOO_LARGE, "prices: too many changes, or out of memory");
}

/* --- the verb -------------------------------------------------------------------------------- */

static bool read_options(struct import *im, struct pk_catalog_source *source, pk_str text)
{
    struct pk_json doc;

    if (text.len == 0)
        return true;
    if (!pk_json_parse(im->arena, text, "options", &doc, im->err))
        return false;
    if (pk_json_type(&doc, 0) != PK_JSON_OBJECT)
        return pk_fail(im->err, PK_BAD_REQUEST, "options: must be an object");
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
        enum pk_json_type type = pk_json_type(&doc, k + 1);
        bool truth = type == PK_JSON_TRUE || type == PK_JSON_FALSE;

        if (pk_json_is(&doc, k, "provider") && type == PK_JSON_STRING)
            source->provider = pk_json_str(im->arena, &doc, k + 1);
        else if (pk_json_is(&doc, k, "dry_run") && truth)
            im->dry_run = type == PK_JSON_TRUE;
        else
            return pk_fail(im->err, PK_BAD_REQUEST,
                           "options: takes provider, a text, and dry_run, true or false");
    }
    return true;
}

static bool any_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)ctx;
    (void)columns;
    (void)count;
    return true;
}

/* Imports follow each other: each sees what the one before it wrote. */
static bool lock(struct import *im)
{
    return im->store->ops->exec(im->store, PK_SQL_price_lock, NULL, 0, any_row, NULL, im->err);
}

static bool import_all(struct import *im, pk_str *counts, pk_str *diff)
{
    if ((!im->dry_run && !lock(im)) || !load(im))
        return false;
    for (int i = 0; i < im->catalog.count; i++)
        if (!import_model(im, &im->catalog.models[i]))
            return false;
    note_missing(im);
    return print_diff(im, counts, diff);
}

bool pk_store_price_import(struct pk_store *s, struct pk_arena *arena,
                           const struct pk_catalog_source *given, pk_str options, pk_str *diff,
                           struct pk_error *err)
{
    struct pk_catalog_source source = *given;
    struct import im = {.store = s, .arena = arena, .source = &source, .err = err};
    struct pk_buf *const lists[] = {&im.added, &im.changed, &im.missing, &im.warnings};
    pk_str counts = PK_NONE;

    source.now_us -= source.now_us % 1000; /* so that the views show all of it */
    for (size_t i = 0; i < PK_COUNT(lists); i++)
        *lists[i] = pk_buf_in(arena, DIFF_BYTES_MAX);
    if (!read_options(&im, &source, options) || !read_list(&im, &source) || !s->ops->begin(s, err))
        return false;
    bool ok = import_all(&im, &counts, diff);
    const struct pk_change change = {source.now_us, "price_import", source.format, counts};
    bool any = !im.dry_run && im.added_count + im.changed_count > 0;
    return pk_store_change_end(s, ok, any ? &change : NULL, err);
}
