/* catalog.c - see catalog.h; what all formats have in common.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "catalog_inner.h"

#include "iso.h"
#include "models.h"
#include "price.h"
#include "provider.h"
#include "record.h"

#include <stdlib.h>
#include <string.h>

static const char *const rate_names[] = {
#define RATE(name) #name,
#include "rates.def"
#undef RATE
};

const char *pk_rate_name(enum pk_rate rate)
{
    return rate_names[rate];
}

static const struct {
    const char *format, *theirs, *ours;
} names[] = {
#define NAME(format, theirs, ours) {format, theirs, ours},
#include "catalog_names.def"
#undef NAME
};

pk_str pk_catalog_provider(const struct pk_catalog_source *source, pk_str theirs)
{
    for (int i = 0; i < source->own_count; i++)
        if (pk_str_eq(source->own[i], theirs))
            return theirs;
    for (size_t i = 0; i < PK_COUNT(names); i++)
        if ((!names[i].format[0] || pk_str_is(source->format, names[i].format)) &&
            pk_models_match(pk_str_of(names[i].theirs), theirs)) {
            theirs = pk_str_of(names[i].ours);
            break;
        }
    const struct pk_provider *p = pk_provider_find(theirs);
    return p ? pk_str_of(p->name) : PK_NONE;
}

bool pk_catalog_has(pk_str text, const char *part, size_t *at)
{
    const char *found = text.len ? memmem(text.at, text.len, part, strlen(part)) : NULL;

    *at = found ? (size_t)(found - text.at) : text.len;
    return found != NULL;
}

/* --- cells --------------------------------------------------------------------------------- */

enum { SHOWN_BYTES = 96 };

bool pk_cell_fail(struct pk_catalog_reader *r, const struct pk_cell *cell, const char *what)
{
    pk_str row = pk_str_sub(cell->row, 0, SHOWN_BYTES);
    pk_str member = pk_str_sub(cell->member, 0, SHOWN_BYTES);

    return pk_fail(r->err, PK_BAD_REQUEST, "%.*s%s%.*s: must be %s", PK_FMT(row),
                   row.len && member.len ? "." : "", PK_FMT(member), what);
}

bool pk_cell_number(struct pk_catalog_reader *r, const struct pk_cell *cell, int places,
                    int64_t *out)
{
    enum pk_json_type type = pk_json_type(r->doc, cell->value);

    if (type == PK_JSON_NULL)
        return true;
    return (type == PK_JSON_NUMBER &&
            pk_price_decimal(pk_json_raw(r->doc, cell->value), places, out)) ||
           pk_cell_fail(r, cell, "a number of 0 or more");
}

bool pk_cell_text(struct pk_catalog_reader *r, const struct pk_cell *cell, pk_str *out)
{
    enum pk_json_type type = pk_json_type(r->doc, cell->value);

    if (type == PK_JSON_NULL)
        return true;
    *out = pk_json_str(r->arena, r->doc, cell->value);
    return (type == PK_JSON_STRING && out->len <= PK_SLUG_BYTES_MAX) ||
           pk_cell_fail(r, cell, "a text of at most 128 bytes");
}

bool pk_cell_date(struct pk_catalog_reader *r, const struct pk_cell *cell, pk_str *out)
{
    int64_t at_us;

    if (pk_json_type(r->doc, cell->value) == PK_JSON_NULL)
        return true;
    *out = pk_json_str(r->arena, r->doc, cell->value);
    return (out->len == sizeof "YYYY-MM-DD" - 1 && pk_iso_us(*out, &at_us)) ||
           pk_cell_fail(r, cell, "a date like \"2026-01-31\"");
}

/* --- lists --------------------------------------------------------------------------------- */

static void *room(struct pk_catalog_reader *r, void *list, int count, int max, size_t size)
{
    if (count >= max) {
        (void)pk_fail(r->err, PK_TOO_LARGE, "prices: more than %d of one kind", max);
        return NULL;
    }
    void *rows = pk_alloc_row(r->arena, list, count, size);
    if (!rows)
        (void)pk_fail(r->err, PK_NO_MEMORY, "prices: out of memory");
    return rows;
}

struct pk_catalog_model *pk_catalog_add(struct pk_catalog_reader *r, pk_str provider, pk_str model)
{
    struct pk_catalog *c = r->out;
    struct pk_cell cell = {.row = model};

    if (model.len == 0 || model.len > PK_SLUG_BYTES_MAX) {
        (void)pk_cell_fail(r, &cell, "a model's name of 1..128 bytes");
        return NULL;
    }
    void *rows = c->count == PK_CATALOG_MODELS_MAX
                     ? NULL
                     : pk_alloc_row(r->arena, c->models, c->count, sizeof *c->models);
    if (!rows) {
        (void)pk_fail(r->err, PK_TOO_LARGE, "prices: more than %d models, or out of memory",
                      PK_CATALOG_MODELS_MAX);
        return NULL;
    }
    c->models = rows;
    c->models[c->count] =
        (struct pk_catalog_model){.provider = provider, .model = model, .place = c->count};
    return &c->models[c->count++];
}

struct pk_tier *pk_catalog_tier(struct pk_catalog_reader *r, struct pk_catalog_model *m,
                                int64_t above_tokens, int64_t from_us)
{
    for (int i = 0; i < m->tier_count; i++)
        if (m->tiers[i].above_tokens == above_tokens && m->tiers[i].from_us == from_us)
            return &m->tiers[i];
    void *tiers = room(r, m->tiers, m->tier_count, PK_CATALOG_TIERS_MAX, sizeof *m->tiers);
    if (!tiers)
        return NULL;
    m->tiers = tiers;
    struct pk_tier *t = &m->tiers[m->tier_count++];
    *t = (struct pk_tier){.above_tokens = above_tokens, .from_us = from_us};
    for (int i = 0; i < PK_RATES; i++)
        t->rates[i] = -1;
    return t;
}

bool pk_tier_set(struct pk_catalog_reader *r, struct pk_tier *t, pk_str name, int64_t pusd)
{
    for (int i = 0; i < PK_RATES; i++)
        if (pk_str_is(name, rate_names[i])) {
            t->rates[i] = pusd;
            return true;
        }
    void *units = room(r, t->units, t->unit_count, PK_CATALOG_UNITS_MAX, sizeof *t->units);
    if (!units)
        return false;
    t->units = units;
    t->units[t->unit_count++] = (struct pk_unit){name, pusd};
    return true;
}

void pk_catalog_leave_out(struct pk_catalog_reader *r, pk_str what, const char *reason,
                          pk_str example)
{
    struct pk_catalog *c = r->out;

    for (int i = 0; i < c->left_out_count; i++)
        if (strcmp(c->left_out[i].reason, reason) == 0 && pk_str_eq(c->left_out[i].what, what)) {
            c->left_out[i].count++;
            return;
        }
    void *more =
        room(r, c->left_out, c->left_out_count, PK_CATALOG_MODELS_MAX, sizeof *c->left_out);
    if (!more)
        return;
    c->left_out = more;
    c->left_out[c->left_out_count++] = (struct pk_left_out){what, example, reason, 1};
}

/* --- settling ------------------------------------------------------------------------------- */

static int compare(pk_str a, pk_str b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int c = common ? memcmp(a.at, b.at, common) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int by_name(const void *a, const void *b)
{
    const struct pk_catalog_model *x = a, *y = b;
    int c = compare(x->provider, y->provider);

    c = c ? c : compare(x->model, y->model);
    return c ? c : x->place - y->place;
}

static int by_unit(const void *a, const void *b)
{
    const struct pk_unit *x = a, *y = b;

    return compare(x->name, y->name);
}

static int by_time(const void *a, const void *b)
{
    const struct pk_tier *x = a, *y = b;

    if (x->from_us != y->from_us)
        return x->from_us < y->from_us ? -1 : 1;
    return (x->above_tokens > y->above_tokens) - (x->above_tokens < y->above_tokens);
}

/* A higher tier has what it does not say from the one below; reasoning is billed as output. */
static void settle_tiers(struct pk_catalog_model *m)
{
    if (m->tier_count)
        qsort(m->tiers, (size_t)m->tier_count, sizeof *m->tiers, by_time);
    for (int i = 0; i < m->tier_count; i++) {
        struct pk_tier *t = &m->tiers[i];
        const struct pk_tier *below =
            t->above_tokens && i && t[-1].from_us == t->from_us ? t - 1 : NULL;

        if (t->rates[PK_RATE_reasoning] < 0)
            t->rates[PK_RATE_reasoning] = t->rates[PK_RATE_output];
        for (int k = 0; below && k < PK_RATES; k++)
            if (t->rates[k] < 0)
                t->rates[k] = below->rates[k];
        if (t->unit_count)
            qsort(t->units, (size_t)t->unit_count, sizeof *t->units, by_unit);
    }
}

static bool same_prices(const struct pk_catalog_model *a, const struct pk_catalog_model *b)
{
    if (a->tier_count != b->tier_count)
        return false;
    for (int i = 0; i < a->tier_count; i++)
        if (by_time(&a->tiers[i], &b->tiers[i]) != 0 ||
            memcmp(a->tiers[i].rates, b->tiers[i].rates, sizeof a->tiers[i].rates) != 0)
            return false;
    return true;
}

/* Sorts; of those that have one name the first stays. */
static void settle(struct pk_catalog_reader *r)
{
    struct pk_catalog *c = r->out;
    int kept = 0;

    if (c->count)
        qsort(c->models, (size_t)c->count, sizeof *c->models, by_name);
    for (int i = 0; i < c->count; i++) {
        struct pk_catalog_model *m = &c->models[i];
        struct pk_catalog_model *last = kept ? &c->models[kept - 1] : NULL;

        settle_tiers(m);
        if (!last || !pk_str_eq(last->provider, m->provider) || !pk_str_eq(last->model, m->model))
            c->models[kept++] = *m;
        else if (!same_prices(last, m))
            pk_catalog_leave_out(
                r, m->provider,
                "has several prices in this list; the one of the plainer name is taken", m->model);
    }
    c->count = kept;
}

pk_str pk_tier_units(struct pk_arena *arena, const struct pk_tier *t)
{
    struct pk_buf out = pk_buf_in(arena, PK_CAPABILITIES_BYTES_MAX);
    char usd[32];

    if (t->unit_count == 0)
        return PK_NONE;
    for (int i = 0; i < t->unit_count; i++) {
        pk_buf_addc(&out, i ? ',' : '{');
        pk_json_quote(&out, t->units[i].name);
        pk_usd_print(t->units[i].pusd, usd);
        pk_buf_addf(&out, ":%s", usd);
    }
    pk_buf_addc(&out, '}');
    return pk_buf_str(&out);
}

static const struct {
    const char *name;
    bool (*read)(struct pk_catalog_reader *r);
} formats[] = {
    {"litellm", pk_catalog_read_litellm},
    {"portkey", pk_catalog_read_portkey},
    {"genai-prices", pk_catalog_read_genai},
    {"pk", pk_catalog_read_own},
};

bool pk_catalog_read(struct pk_arena *arena, const struct pk_catalog_source *source,
                     struct pk_catalog *out, struct pk_error *err)
{
    struct pk_json doc;
    struct pk_catalog_reader r = {
        .arena = arena, .source = source, .doc = &doc, .out = out, .err = err};

    *out = (struct pk_catalog){.count = 0};
    for (size_t i = 0; i < PK_COUNT(formats); i++) {
        if (!pk_str_is(source->format, formats[i].name))
            continue;
        if (source->text.len > PK_CATALOG_BYTES_MAX)
            return pk_fail(err, PK_TOO_LARGE, "prices: larger than %d MiB",
                           PK_CATALOG_BYTES_MAX >> 20);
        if (!pk_json_parse(arena, source->text, "prices", &doc, err) || !formats[i].read(&r))
            return false;
        settle(&r);
        return !arena->failed || pk_fail(err, PK_NO_MEMORY, "prices: out of memory");
    }
    return pk_fail(err, PK_BAD_REQUEST,
                   "format: must be litellm, portkey, genai-prices or pk, not \"%.*s\"",
                   PK_FMT(pk_str_sub(source->format, 0, SHOWN_BYTES)));
}
