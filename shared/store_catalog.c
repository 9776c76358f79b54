/* store_catalog.c - see store_catalog.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The list and what the store has are both sorted by provider and model. Of a model the store's side is
 * the rows of its generation in force: those that are not older than its base tier (price.h).
 */
#include "store_catalog_inner.h"

#include "price.h"
#include "store_audit.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

static const int64_t ever_us = 1577836800000000; /* 2020-01-01: since there is the model */

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
    const struct pk_import_price *x = a, *y = b;
    int c = compare_names(x->provider, x->model, y->provider, y->model);

    if (c == 0)
        c = (x->from_us > y->from_us) - (x->from_us < y->from_us);
    return c ? c : (x->above_tokens > y->above_tokens) - (x->above_tokens < y->above_tokens);
}

static int by_model(const void *a, const void *b)
{
    const struct pk_import_model *x = a, *y = b;

    return compare_names(x->provider, x->model, y->provider, y->model);
}

static bool take_price(void *ctx, const struct pk_value *v, int count)
{
    struct pk_import *im = ctx;

    PK_ASSERT(count == 6 + PK_RATES);
    void *rows = pk_alloc_row(im->arena, im->prices, im->price_count, sizeof *im->prices);
    if (!rows)
        return false;
    im->prices = rows;
    struct pk_import_price *p = &im->prices[im->price_count++];
    *p = (struct pk_import_price){.provider = pk_copy(im->arena, v[0].s),
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
    struct pk_import *im = ctx;

    PK_ASSERT(count == 8);
    void *rows = pk_alloc_row(im->arena, im->models, im->model_count, sizeof *im->models);
    if (!rows)
        return false;
    im->models = rows;
    im->models[im->model_count++] = (struct pk_import_model){
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

static bool load(struct pk_import *im)
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
    struct pk_import *im = ctx;

    PK_ASSERT(count == 2);
    void *rows = pk_alloc_row(im->arena, im->own, im->own_count, sizeof *im->own);
    if (!rows)
        return false;
    im->own = rows;
    im->own[im->own_count++] = pk_copy(im->arena, v[0].s);
    return true;
}

static bool read_list(struct pk_import *im, struct pk_catalog_source *source)
{
    if (!im->store->ops->exec(im->store, PK_SQL_provider_list, NULL, 0, take_provider, im, im->err))
        return false;
    source->own = im->own;
    source->own_count = im->own_count;
    return pk_catalog_read(im->arena, source, &im->catalog, im->err);
}

/* --- matching -------------------------------------------------------------------------------- */

static void find_prices(const struct pk_import *im, struct pk_import_match *x)
{
    struct pk_import_price key = {
        .provider = x->m->provider, .model = x->m->model, .from_us = INT64_MIN};
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

static bool in_force(const struct pk_import_price *p, int64_t now_us)
{
    return p->from_us <= now_us && (p->to_us == 0 || p->to_us > now_us);
}

/* The generation in force. */
static void find_old(struct pk_import_match *x, int64_t now_us)
{
    int64_t since_us = INT64_MIN;

    for (int i = 0; i < x->known_count; i++)
        if (x->known[i].above_tokens == 0 && in_force(&x->known[i], now_us))
            since_us = x->known[i].from_us; /* they are in the order of their times */
    for (int i = 0; i < x->known_count && x->old_count < PK_CATALOG_TIERS_MAX; i++)
        if (in_force(&x->known[i], now_us) && x->known[i].from_us >= since_us)
            x->old[x->old_count++] = x->known[i];
}

struct pk_import_price pk_import_tier(struct pk_arena *arena, const struct pk_catalog_model *m,
                                      const struct pk_tier *t)
{
    struct pk_import_price p = {.provider = m->provider,
                                .model = m->model,
                                .above_tokens = t->above_tokens,
                                .from_us = t->from_us,
                                .to_us = t->to_us,
                                .units = pk_tier_units(arena, t)};

    memcpy(p.rates, t->rates, sizeof p.rates);
    return p;
}

bool pk_import_same_price(const struct pk_import_price *a, const struct pk_import_price *b)
{
    return a->above_tokens == b->above_tokens && memcmp(a->rates, b->rates, sizeof a->rates) == 0 &&
           pk_str_eq(a->units, b->units);
}

static bool same_prices(const struct pk_import_match *x)
{
    if (x->new_count != x->old_count)
        return false;
    for (int i = 0; i < x->new_count; i++)
        if (!pk_import_same_price(&x->new[i], &x->old[i]))
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

static void merge(const struct pk_import *im, struct pk_import_match *x)
{
    static const struct pk_import_model nothing;
    const struct pk_catalog_model *m = x->m;
    const struct pk_import_model *old = x->facts ? x->facts : &nothing;

    x->merged = (struct pk_import_model){
        .provider = m->provider,
        .model = m->model,
        .mode = said(m->mode, old->mode),
        .context_window = said_number(m->context_window, old->context_window),
        .max_output_tokens = said_number(m->max_output_tokens, old->max_output_tokens),
        .deprecation_date = said(m->deprecation_date, old->deprecation_date),
        .capabilities = said(m->capabilities, old->capabilities),
        .source = im->source->format,
    };
    const struct pk_import_model *new = &x->merged;
    x->corrected = !pk_str_eq(new->mode, old->mode) || new->context_window != old->context_window ||
                   new->max_output_tokens != old->max_output_tokens ||
                   !pk_str_eq(new->deprecation_date, old->deprecation_date) ||
                   !pk_str_eq(new->capabilities, old->capabilities);
}

static void match(struct pk_import *im, struct pk_import_match *x)
{
    struct pk_import_model key = {.provider = x->m->provider, .model = x->m->model};

    find_prices(im, x);
    find_old(x, im->source->now_us);
    for (int i = 0; i < x->m->tier_count; i++)
        if (x->m->tiers[i].from_us == 0)
            x->new[x->new_count++] = pk_import_tier(im->arena, x->m, &x->m->tiers[i]);
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

static bool put_price(struct pk_import *im, const struct pk_import_price *p)
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

static bool put_prices(struct pk_import *im, struct pk_import_match *x)
{
    const struct pk_value ends[] = {pk_v_required(x->m->provider), pk_v_required(x->m->model),
                                    pk_v_int(im->source->now_us)};

    if (x->known_count && !im->store->ops->exec(im->store, PK_SQL_price_end, ends, PK_COUNT(ends),
                                                NULL, NULL, im->err))
        return false;
    for (int i = 0; i < x->new_count; i++) {
        struct pk_import_price p = x->new[i];

        p.from_us = x->known_count ? im->source->now_us : ever_us;
        if (!put_price(im, &p))
            return false;
    }
    return true;
}

bool pk_import_is_dated(const struct pk_import_match *x, const struct pk_import_price *p)
{
    for (int k = 0; k < x->known_count; k++)
        if (x->known[k].from_us == p->from_us && x->known[k].to_us == p->to_us &&
            pk_import_same_price(&x->known[k], p))
            return false;
    return p->from_us != 0;
}

static bool put_dated(struct pk_import *im, struct pk_import_match *x, bool *any)
{
    for (int i = 0; i < x->m->tier_count; i++) {
        struct pk_import_price p = pk_import_tier(im->arena, x->m, &x->m->tiers[i]);

        if (!pk_import_is_dated(x, &p))
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

static bool put_model(struct pk_import *im, const struct pk_import_model *m)
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

/* --- one model after the other --------------------------------------------------------------- */

static bool import_model(struct pk_import *im, const struct pk_catalog_model *m)
{
    struct pk_import_match x = {.m = m};
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
        pk_import_note_addition(im, &x);
    else if (x.repriced || x.corrected || dated)
        pk_import_note_change(im, &x);
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
static void find_missing(struct pk_import *im)
{
    for (int i = 0; i < im->model_count; i++) {
        const struct pk_import_model *m = &im->models[i];

        if (!m->seen && pk_str_eq(m->source, im->source->format) &&
            lists_provider(&im->catalog, m->provider))
            pk_import_note_missing(im, m);
    }
}

/* --- the verb -------------------------------------------------------------------------------- */

static bool read_options(struct pk_import *im, struct pk_catalog_source *source, pk_str text)
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
static bool lock(struct pk_import *im)
{
    return im->store->ops->exec(im->store, PK_SQL_price_lock, NULL, 0, any_row, NULL, im->err);
}

static bool import_all(struct pk_import *im, pk_str *counts, pk_str *diff)
{
    if ((!im->dry_run && !lock(im)) || !load(im))
        return false;
    for (int i = 0; i < im->catalog.count; i++)
        if (!import_model(im, &im->catalog.models[i]))
            return false;
    find_missing(im);
    return pk_import_print_diff(im, counts, diff);
}

bool pk_store_price_import(struct pk_store *s, struct pk_arena *arena,
                           const struct pk_catalog_source *given, pk_str options, pk_str *diff,
                           struct pk_error *err)
{
    struct pk_catalog_source source = *given;
    struct pk_import im = {.store = s, .arena = arena, .source = &source, .err = err};
    struct pk_buf *const lists[] = {&im.added, &im.changed, &im.missing, &im.warnings};
    pk_str counts = PK_NONE;

    source.now_us -= source.now_us % 1000; /* so that the views show all of it */
    for (size_t i = 0; i < PK_COUNT(lists); i++)
        *lists[i] = pk_buf_in(arena, IMPORT_DIFF_BYTES_MAX);
    if (!read_options(&im, &source, options) || !read_list(&im, &source) || !s->ops->begin(s, err))
        return false;
    bool ok = import_all(&im, &counts, diff);
    const struct pk_change change = {source.now_us, "price_import", source.format, counts};
    bool any = !im.dry_run && im.added_count + im.changed_count > 0;
    return pk_store_change_end(s, ok, any ? &change : NULL, err);
}
