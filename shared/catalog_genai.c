/* catalog_genai.c - data.json of pydantic/genai-prices.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A list of providers (of late the member "providers" of an object), each with models that have a context_window and prices in dollars for a million
 * tokens (input_mtok), for a thousand of something (web_searches_kcount), for hours or thousands of pages. A
 * price may be {"base", "tiers": [{"start", "price"}]}: all tokens of a request beyond `start` cost `price`.
 * Prices may be a list by date, of which the last that applies is taken; future ones are kept with their date.
 *
 * A model is taken under its id, and under the names that its rule says outright: equals, and starts_with
 * as a prefix. Other rules (contains, regex) have no row here.
 */
#include "catalog_inner.h"

#include "iso.h"

enum { MATCHES_MAX = 64, KINDS = 7 };

/* What is behind a name says for how many the price is: 10^-n of it is for one, of which there are so
 * many; an hour has 3,600 seconds. */
static const struct {
    const char *ends, *becomes;
    int places, divisor;
} kinds[KINDS] = {
    {"_mtok", "_token", 6, 1},       {"_kcount", "", 9, 1}, {"_kpages", "_page", 9, 1},
    {"_hours", "_second", 12, 3600}, {"_mcount", "", 6, 1}, {"_mchars", "_character", 6, 1},
    {"_gpixels", "_pixel", 3, 1},
};

static const char *const rates[][2] = {
    {"input_token", "input"},
    {"output_token", "output"},
    {"cache_read_token", "cache_read"},
    {"cache_write_token", "cache_write"},
    {"cache_write_5m_token", "cache_write"},
    {"cache_write_1h_token", "cache_write_1h"},
    {"output_reasoning_token", "reasoning"},
};

/* A model of the list. */
struct row {
    pk_str id;
    int value;
    struct pk_catalog_model *model;
    int64_t from_us;
};

static bool read_price(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell,
                       int64_t above, int kind)
{
    size_t stem = cell->member.len - pk_str_of(kinds[kind].ends).len;
    pk_str name = pk_copyf(r->arena, "%.*s%s", PK_FMT(pk_str_sub(cell->member, 0, stem)),
                           kinds[kind].becomes);
    int64_t pusd = -1;

    if (!pk_cell_number(r, cell, kinds[kind].places, &pusd))
        return false;
    if (pusd < 0)
        return true;
    for (size_t i = 0; i < PK_COUNT(rates); i++)
        if (pk_str_is(name, rates[i][0]))
            name = pk_str_of(rates[i][1]);
    struct pk_tier *t = pk_catalog_tier(r, row->model, above, row->from_us);
    return t && pk_tier_set(r, t, name, (pusd + kinds[kind].divisor / 2) / kinds[kind].divisor);
}

static bool read_tiers(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell,
                       int kind)
{
    const struct pk_json *doc = r->doc;
    struct pk_cell price = *cell;
    int tiers = pk_json_get(doc, cell->value, "tiers");

    price.value = pk_json_get(doc, cell->value, "base");
    if (price.value < 0 || !read_price(r, row, &price, 0, kind))
        return price.value >= 0 ||
               pk_cell_fail(r, cell, "a number, or an object with base and tiers");
    for (int v = pk_json_first(doc, tiers); v >= 0; v = pk_json_next(doc, tiers, v)) {
        struct pk_cell start = *cell;
        int64_t above = 0;

        start.value = pk_json_get(doc, v, "start");
        price.value = pk_json_get(doc, v, "price");
        if (start.value < 0 || price.value < 0)
            return pk_cell_fail(r, cell, "an object whose tiers have start and price");
        if (!pk_cell_number(r, &start, 0, &above) || !read_price(r, row, &price, above, kind))
            return false;
    }
    return true;
}

static bool read_prices(struct pk_catalog_reader *r, struct row *row, int prices)
{
    const struct pk_json *doc = r->doc;
    struct pk_cell cell = {row->id, PK_STR("prices"), prices};

    if (pk_json_type(doc, prices) != PK_JSON_OBJECT)
        return pk_cell_fail(r, &cell, "an object");
    for (int k = pk_json_first(doc, prices); k >= 0; k = pk_json_next(doc, prices, k)) {
        int kind = 0;

        cell = (struct pk_cell){row->id, pk_json_str(r->arena, doc, k), k + 1};
        while (kind < KINDS && !pk_str_ends(cell.member, kinds[kind].ends))
            kind++;
        if (kind == KINDS) {
            pk_catalog_leave_out(r, cell.member, "is a price of an unknown kind", row->id);
            continue;
        }
        bool tiered = pk_json_type(doc, k + 1) == PK_JSON_OBJECT;
        if (tiered ? !read_tiers(r, row, &cell, kind) : !read_price(r, row, &cell, 0, kind))
            return false;
    }
    return true;
}

/* When the prices of a list begin to apply: 0 for ever. */
static bool start_of(struct pk_catalog_reader *r, struct row *row, int item, int64_t *from_us)
{
    int constraint = pk_json_get(r->doc, item, "constraint");
    struct pk_cell cell = {row->id, PK_STR("start_date"),
                           pk_json_get(r->doc, constraint, "start_date")};
    pk_str date = PK_NONE;

    *from_us = 0;
    if (cell.value >= 0 && !pk_cell_date(r, &cell, &date))
        return false;
    return date.len == 0 || pk_iso_us(date, from_us);
}

/* Those in force, and those that are known to come. */
static bool read_dated(struct pk_catalog_reader *r, struct row *row, int list)
{
    const struct pk_json *doc = r->doc;
    int64_t from_us, latest = -1;
    int now = -1;

    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v)) {
        if (!start_of(r, row, v, &from_us))
            return false;
        if (from_us <= r->source->now_us && from_us >= latest) {
            latest = from_us;
            now = v;
        }
    }
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v)) {
        if (!start_of(r, row, v, &from_us))
            return false;
        row->from_us = from_us > r->source->now_us ? from_us : 0;
        if ((v == now || row->from_us > 0) && !read_prices(r, row, pk_json_get(doc, v, "prices")))
            return false;
    }
    return true;
}

static bool by_the_hour(const struct pk_json *doc, int list)
{
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (pk_json_get(doc, pk_json_get(doc, v, "constraint"), "start_time") >= 0)
            return true;
    return false;
}

static bool read_all_prices(struct pk_catalog_reader *r, struct row *row)
{
    int prices = pk_json_get(r->doc, row->value, "prices");

    row->from_us = 0;
    if (pk_json_type(r->doc, prices) != PK_JSON_ARRAY)
        return read_prices(r, row, prices);
    if (!by_the_hour(r->doc, prices))
        return read_dated(r, row, prices);
    pk_catalog_leave_out(r, row->model->provider,
                         "has prices that depend on the hour; its cost is not known", row->id);
    return pk_catalog_tier(r, row->model, 0, 0) != NULL;
}

/* The model under one of its names. */
static bool add_as(struct pk_catalog_reader *r, struct row *row, pk_str provider, pk_str name)
{
    struct pk_cell window = {row->id, PK_STR("context_window"),
                             pk_json_get(r->doc, row->value, "context_window")};

    row->model = pk_catalog_add(r, provider, name);
    if (!row->model || !read_all_prices(r, row))
        return false;
    if (pk_json_true(r->doc, pk_json_get(r->doc, row->value, "deprecated")))
        row->model->capabilities = PK_STR("{\"deprecated\":true}");
    return window.value < 0 || pk_cell_number(r, &window, 0, &row->model->context_window);
}

/* {"equals"} and {"starts_with"}, alone or under "or". */
static bool add_matches(struct pk_catalog_reader *r, struct row *row, pk_str provider, int match)
{
    const struct pk_json *doc = r->doc;
    int any = pk_json_get(doc, match, "or"), count = 0;
    pk_str name = pk_json_str(r->arena, doc, pk_json_get(doc, match, "equals"));
    pk_str start = pk_json_str(r->arena, doc, pk_json_get(doc, match, "starts_with"));

    if (name.len && !pk_str_eq(name, row->id) && !add_as(r, row, provider, name))
        return false;
    if (start.len && !add_as(r, row, provider, pk_copyf(r->arena, "%.*s*", PK_FMT(start))))
        return false;
    for (int v = pk_json_first(doc, any); v >= 0 && count < MATCHES_MAX;
         v = pk_json_next(doc, any, v), count++) {
        if (pk_json_get(doc, v, "or") < 0 && !add_matches(r, row, provider, v))
            return false;
    }
    return true;
}

static bool read_provider(struct pk_catalog_reader *r, int value)
{
    const struct pk_json *doc = r->doc;
    struct pk_cell cell = {PK_STR("provider"), PK_STR("id"), pk_json_get(doc, value, "id")};
    int models = pk_json_get(doc, value, "models");
    pk_str theirs = PK_NONE;

    if (cell.value < 0 || !pk_cell_text(r, &cell, &theirs))
        return cell.value >= 0 || pk_cell_fail(r, &cell, "a text");
    pk_str provider = pk_catalog_provider(r->source, theirs);
    for (int v = pk_json_first(doc, models); v >= 0; v = pk_json_next(doc, models, v)) {
        struct row row = {.value = v};

        cell = (struct pk_cell){theirs, PK_STR("models.id"), pk_json_get(doc, v, "id")};
        if (cell.value < 0 || !pk_cell_text(r, &cell, &row.id) || row.id.len == 0)
            return pk_cell_fail(r, &cell, "a text");
        if (provider.len == 0)
            pk_catalog_leave_out(r, theirs, "is no provider of pk", row.id);
        else if (!add_as(r, &row, provider, row.id) ||
                 !add_matches(r, &row, provider, pk_json_get(doc, v, "match")))
            return false;
    }
    return true;
}

bool pk_catalog_read_genai(struct pk_catalog_reader *r)
{
    const struct pk_json *doc = r->doc;
    int list = pk_json_type(doc, 0) == PK_JSON_OBJECT ? pk_json_get(doc, 0, "providers") : 0;

    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(r->err, PK_BAD_REQUEST, "prices: must be a list of providers, not %s",
                       pk_json_type_name(pk_json_type(doc, list < 0 ? 0 : list)));
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (!read_provider(r, v))
            return false;
    return true;
}
