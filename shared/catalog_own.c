/* catalog_own.c - prices in the words of pk_prices and pk_models.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A list of rows: provider and model (a prefix when it ends in '*'), *_usd in dollars per million tokens, units
 * in dollars for one, above_tokens, valid_from, valid_to; and what the model is and can do. Rows of one model
 * are its tiers and times. A row without valid_from applies from now on. Members that are not there are not known;
 * others are errors. The provider may be any: it is the owner who says so.
 */
#include "catalog_inner.h"

#include "iso.h"
#include "provider.h"

enum { USD = 6, UNIT_USD = 12 };

struct row {
    pk_str name; /* "rows[3]" */
    int value;
    struct pk_catalog_model *model;
    struct pk_tier *tier;
};

/* Those that say nothing about a price, or what the view says about itself. */
static const char *const others[] = {"provider", "model",  "above_tokens", "valid_from",
                                     "valid_to", "source", "origin",       "effective_from"};

static bool read_time(struct pk_catalog_reader *r, const struct row *row, const char *name,
                      int64_t *at_us)
{
    struct pk_cell cell = {row->name, pk_str_of(name), pk_json_get(r->doc, row->value, name)};
    enum pk_json_type type = pk_json_type(r->doc, cell.value);

    *at_us = 0;
    if (type == PK_JSON_NONE || type == PK_JSON_NULL)
        return true;
    return (type == PK_JSON_STRING &&
            pk_iso_us(pk_json_str(r->arena, r->doc, cell.value), at_us)) ||
           pk_cell_fail(r, &cell, "a time like \"2026-01-31T00:00:00Z\"");
}

static bool read_units(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell)
{
    if (pk_json_type(r->doc, cell->value) == PK_JSON_NULL)
        return true;
    if (pk_json_type(r->doc, cell->value) != PK_JSON_OBJECT)
        return pk_cell_fail(r, cell, "an object");
    for (int k = pk_json_first(r->doc, cell->value); k >= 0;
         k = pk_json_next(r->doc, cell->value, k)) {
        struct pk_cell unit = {row->name, pk_json_str(r->arena, r->doc, k), k + 1};
        int64_t pusd = -1;

        if (!pk_cell_number(r, &unit, UNIT_USD, &pusd) ||
            (pusd >= 0 && !pk_tier_set(r, row->tier, unit.member, pusd)))
            return false;
    }
    return true;
}

static bool read_abilities(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell)
{
    struct pk_buf out = pk_buf_in(r->arena, PK_CAPABILITIES_BYTES_MAX);

    if (pk_json_type(r->doc, cell->value) == PK_JSON_NULL)
        return true;
    pk_json_canonical(&out, r->doc, cell->value, NULL);
    if (pk_json_type(r->doc, cell->value) != PK_JSON_OBJECT || out.failed)
        return pk_cell_fail(r, cell, "an object of at most 32 KiB");
    row->model->capabilities = pk_buf_str(&out);
    return true;
}

static bool read_member(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell)
{
    struct pk_catalog_model *m = row->model;

    for (int i = 0; i < PK_RATES; i++)
        if (pk_str_ends(cell->member, "_usd") &&
            pk_str_is(pk_str_sub(cell->member, 0, cell->member.len - 4),
                      pk_rate_name((enum pk_rate)i)))
            return pk_cell_number(r, cell, USD, &row->tier->rates[i]);
    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (pk_str_is(cell->member, others[i]))
            return true;
    if (pk_str_is(cell->member, "units"))
        return read_units(r, row, cell);
    if (pk_str_is(cell->member, "capabilities"))
        return read_abilities(r, row, cell);
    if (pk_str_is(cell->member, "mode"))
        return pk_cell_text(r, cell, &m->mode);
    if (pk_str_is(cell->member, "deprecation_date"))
        return pk_cell_date(r, cell, &m->deprecation_date);
    if (pk_str_is(cell->member, "context_window"))
        return pk_cell_number(r, cell, 0, &m->context_window);
    if (pk_str_is(cell->member, "max_output_tokens"))
        return pk_cell_number(r, cell, 0, &m->max_output_tokens);
    return pk_cell_fail(r, cell, "left out: pk_prices and pk_models have no such column");
}

static bool read_name(struct pk_catalog_reader *r, const struct row *row, const char *name,
                      pk_str *out)
{
    struct pk_cell cell = {row->name, pk_str_of(name), pk_json_get(r->doc, row->value, name)};

    *out = PK_NONE;
    if (pk_json_type(r->doc, cell.value) != PK_JSON_STRING)
        return pk_cell_fail(r, &cell, "a text");
    return pk_cell_text(r, &cell, out) &&
           (out->len || pk_cell_fail(r, &cell, "a name of 1..128 bytes"));
}

/* The tier that the row alone is about. */
static bool place_tier(struct pk_catalog_reader *r, struct row *row, int64_t tokens)
{
    struct pk_cell whole = {.row = row->name};
    struct pk_cell until = {row->name, PK_STR("valid_to"), -1};
    int64_t from_us, to_us;

    if (!read_time(r, row, "valid_from", &from_us) || !read_time(r, row, "valid_to", &to_us))
        return false;
    if (from_us && to_us && to_us < from_us)
        return pk_cell_fail(r, &until, "a time after valid_from");
    int before = row->model->tier_count;
    row->tier = pk_catalog_tier(r, row->model, tokens, from_us);
    if (!row->tier)
        return false;
    if (row->model->tier_count == before)
        return pk_cell_fail(r, &whole,
                            "of another model, above_tokens or valid_from than the rows before");
    row->tier->to_us = to_us;
    return true;
}

/* The model and the tier that the row is about. */
static bool place(struct pk_catalog_reader *r, struct row *row)
{
    struct pk_cell above = {row->name, PK_STR("above_tokens"),
                            pk_json_get(r->doc, row->value, "above_tokens")};
    pk_str whose, which;
    int64_t tokens = 0;

    if (!read_name(r, row, "provider", &whose) || !read_name(r, row, "model", &which) ||
        (above.value >= 0 && !pk_cell_number(r, &above, 0, &tokens)))
        return false;
    const struct pk_provider *known = pk_provider_find(whose);
    if (known)
        whose = pk_str_of(known->name);
    struct pk_catalog *c = r->out;
    row->model = NULL;
    for (int i = c->count - 1; i >= 0 && !row->model; i--)
        if (pk_str_eq(c->models[i].model, which) && pk_str_eq(c->models[i].provider, whose))
            row->model = &c->models[i];
    if (!row->model)
        row->model = pk_catalog_add(r, whose, which);
    return row->model && place_tier(r, row, tokens);
}

bool pk_catalog_read_own(struct pk_catalog_reader *r)
{
    const struct pk_json *doc = r->doc;
    int number = 0;

    if (pk_json_type(doc, 0) != PK_JSON_ARRAY)
        return pk_fail(r->err, PK_BAD_REQUEST, "prices: must be a list of rows, not %s",
                       pk_json_type_name(pk_json_type(doc, 0)));
    for (int v = pk_json_first(doc, 0); v >= 0; v = pk_json_next(doc, 0, v)) {
        struct row row = {.name = pk_copyf(r->arena, "rows[%d]", number++), .value = v};
        struct pk_cell whole = {.row = row.name};

        if (pk_json_type(doc, v) != PK_JSON_OBJECT)
            return pk_cell_fail(r, &whole, "an object");
        if (!place(r, &row))
            return false;
        for (int k = pk_json_first(doc, v); k >= 0; k = pk_json_next(doc, v, k)) {
            struct pk_cell cell = {row.name, pk_json_str(r->arena, doc, k), k + 1};

            if (!read_member(r, &row, &cell))
                return false;
        }
    }
    return true;
}
