/* catalog_litellm.c - LiteLLM's model_prices_and_context_window.json.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An object by model, each with litellm_provider, limits, supports_* flags and prices in dollars for one of
 * something. A price is a member with "cost" in its name: input_cost_per_token is ours as `input`, and so are
 * the others of `rates`; every other one becomes a unit, called what is left without "_cost_per" or "_cost"
 * (input_cost_per_audio_token: "input_audio_token"). "_above_200k_tokens" anywhere in the name makes it the price of
 * that tier; so does the range of a row of tiered_pricing. What is no price is an ability.
 */
#include "catalog_inner.h"

#include <string.h>

enum { TO_PUSD = 12, NAMES_MAX = 512 };

/* What their names are to us, tiers left out. */
static const char *const rates[][2] = {
    {"input_cost_per_token", "input"},
    {"output_cost_per_token", "output"},
    {"output_cost_per_reasoning_token", "reasoning"},
    {"cache_read_input_token_cost", "cache_read"},
    {"input_cost_per_token_cache_hit", "cache_read"},
    {"cache_creation_input_token_cost", "cache_write"},
    {"cache_creation_input_token_cost_above_1hr", "cache_write_1h"},
    {"input_cost_per_token_batches", "input_batch"},
    {"output_cost_per_token_batches", "output_batch"},
    {"cache_read_input_token_cost_batches", "cache_read_batch"},
};

/* Members that are columns of ours, or are said by the source about itself. */
static const char *const columns[] = {
    "litellm_provider", "mode",
    "max_input_tokens", "max_output_tokens",
    "max_tokens",       "deprecation_date",
    "source",           "metadata",
    "comment",          "deprecation_source",
    "tiered_pricing",   "off_peak_pricing",
};

/* A model of the list. */
struct row {
    pk_str key;
    int value;
    struct pk_catalog_model *model;
    const char **names; /* members that are no abilities, NULL at the end */
    int name_count;
};

static bool is_price(pk_str member)
{
    size_t at;

    return pk_catalog_has(member, "cost", &at);
}

/* Cuts "_above_200k_tokens" out of *name; *above is 200000, or 0 when there is none. */
static void cut_tier(struct pk_arena *arena, pk_str *name, int64_t *above)
{
    static const char begins[] = "_above_", ends[] = "k_tokens";
    pk_str rest = *name;
    size_t at = 0, from = 0, digits;

    *above = 0;
    while (pk_catalog_has(rest, begins, &at)) {
        from += at;
        rest = pk_str_sub(rest, at + sizeof begins - 1, rest.len);
        if (pk_catalog_has(rest, ends, &digits) && digits < 6 &&
            pk_str_int(pk_str_sub(rest, 0, digits), above) && *above > 0)
            break;
        *above = 0;
        from += sizeof begins - 1;
    }
    if (*above == 0)
        return;
    *above *= 1000;
    *name = pk_copyf(arena, "%.*s%.*s", PK_FMT(pk_str_sub(*name, 0, from)),
                     PK_FMT(pk_str_sub(rest, digits + sizeof ends - 1, rest.len)));
}

/* What a price of that name, without its tier, is called here. */
static pk_str our_name(struct pk_arena *arena, pk_str name)
{
    size_t at;

    for (size_t i = 0; i < PK_COUNT(rates); i++)
        if (pk_str_is(name, rates[i][0]))
            return pk_str_of(rates[i][1]);
    if (pk_catalog_has(name, "_cost_per", &at))
        return pk_copyf(arena, "%.*s%.*s", PK_FMT(pk_str_sub(name, 0, at)),
                        PK_FMT(pk_str_sub(name, at + sizeof "_cost_per" - 1, name.len)));
    if (pk_catalog_has(name, "_cost", &at))
        return pk_copyf(arena, "%.*s%.*s", PK_FMT(pk_str_sub(name, 0, at)),
                        PK_FMT(pk_str_sub(name, at + sizeof "_cost" - 1, name.len)));
    return name;
}

static bool read_price(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell,
                       int64_t least)
{
    pk_str name = cell->member;
    int64_t above, pusd = -1;

    cut_tier(r->arena, &name, &above);
    if (!pk_cell_number(r, cell, TO_PUSD, &pusd) || pusd < 0)
        return pusd < 0 && pk_json_type(r->doc, cell->value) == PK_JSON_NULL;
    struct pk_tier *t = pk_catalog_tier(r, row->model, above > least ? above : least, 0);
    return t && pk_tier_set(r, t, our_name(r->arena, name), pusd);
}

/* {"search_context_size_low": 0.03, ...}: each a price of its own. */
static bool read_prices(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell,
                        int64_t least)
{
    for (int k = pk_json_first(r->doc, cell->value); k >= 0;
         k = pk_json_next(r->doc, cell->value, k)) {
        struct pk_cell inner = {cell->row, pk_json_str(r->arena, r->doc, k), k + 1};

        if (!read_price(r, row, &inner, least))
            return false;
    }
    return true;
}

static bool read_cost(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell,
                      int64_t least)
{
    if (pk_json_type(r->doc, cell->value) == PK_JSON_OBJECT)
        return read_prices(r, row, cell, least);
    return read_price(r, row, cell, least);
}

/* [{"range": [0, 32000], "input_cost_per_token": ...}, ...] */
static bool read_ranges(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell)
{
    const struct pk_json *doc = r->doc;

    if (pk_json_type(doc, cell->value) != PK_JSON_ARRAY)
        return pk_cell_fail(r, cell, "a list of prices with ranges");
    for (int v = pk_json_first(doc, cell->value); v >= 0; v = pk_json_next(doc, cell->value, v)) {
        struct pk_cell from = {row->key, PK_STR("tiered_pricing.range"),
                               pk_json_item(doc, pk_json_get(doc, v, "range"), 0)};
        int64_t above = -1;

        if (!pk_cell_number(r, &from, 0, &above) || above < 0)
            return above >= 0 || pk_cell_fail(r, &from, "a list of two numbers");
        for (int k = pk_json_first(doc, v); k >= 0; k = pk_json_next(doc, v, k)) {
            struct pk_cell price = {row->key, pk_json_str(r->arena, doc, k), k + 1};

            if (is_price(price.member) && !read_cost(r, row, &price, above))
                return false;
        }
    }
    return true;
}

/* Once prices depend on the hour, none of them is what a call costs. */
static void forget_prices(struct pk_catalog_reader *r, struct row *row)
{
    struct pk_catalog_model *m = row->model;

    m->tier_count = 0;
    (void)pk_catalog_tier(r, m, 0, 0);
    pk_catalog_leave_out(r, m->provider,
                         "has prices that depend on the hour; its cost is not known", m->model);
}

static bool read_column(struct pk_catalog_reader *r, struct row *row, const struct pk_cell *cell)
{
    struct pk_catalog_model *m = row->model;

    if (pk_str_is(cell->member, "mode"))
        return pk_cell_text(r, cell, &m->mode);
    if (pk_str_is(cell->member, "deprecation_date"))
        return pk_cell_date(r, cell, &m->deprecation_date);
    if (pk_str_is(cell->member, "max_input_tokens"))
        return pk_cell_number(r, cell, 0, &m->context_window);
    if (pk_str_is(cell->member, "max_output_tokens"))
        return pk_cell_number(r, cell, 0, &m->max_output_tokens);
    if (pk_str_is(cell->member, "tiered_pricing"))
        return read_ranges(r, row, cell);
    return true;
}

static bool is_column(pk_str member)
{
    for (size_t i = 0; i < PK_COUNT(columns); i++)
        if (pk_str_is(member, columns[i]))
            return true;
    return false;
}

/* An older spelling of max_output_tokens. */
static bool read_max_tokens(struct pk_catalog_reader *r, struct row *row)
{
    struct pk_cell cell = {row->key, PK_STR("max_tokens"),
                           pk_json_get(r->doc, row->value, "max_tokens")};

    return cell.value < 0 || row->model->max_output_tokens > 0 ||
           pk_cell_number(r, &cell, 0, &row->model->max_output_tokens);
}

static bool read_members(struct pk_catalog_reader *r, struct row *row)
{
    const struct pk_json *doc = r->doc;

    for (int k = pk_json_first(doc, row->value); k >= 0; k = pk_json_next(doc, row->value, k)) {
        struct pk_cell cell = {row->key, pk_json_str(r->arena, doc, k), k + 1};
        bool column = is_column(cell.member), price = !column && is_price(cell.member);

        if ((column && !read_column(r, row, &cell)) || (price && !read_cost(r, row, &cell, 0)))
            return false;
        if (row->name_count == NAMES_MAX)
            return pk_cell_fail(r, &cell, "one of at most 512 members");
        if (column || price)
            row->names[row->name_count++] = pk_copy(r->arena, cell.member).at;
    }
    row->names[row->name_count] = NULL;
    if (pk_json_get(doc, row->value, "off_peak_pricing") >= 0)
        forget_prices(r, row);
    return read_max_tokens(r, row);
}

/* All that is left: flags, modalities, sizes. */
static bool read_abilities(struct pk_catalog_reader *r, struct row *row)
{
    struct pk_buf out = pk_buf_in(r->arena, PK_CAPABILITIES_BYTES_MAX);
    struct pk_cell cell = {.row = row->key};

    pk_json_canonical(&out, r->doc, row->value, row->names);
    if (out.failed)
        return pk_cell_fail(r, &cell, "at most 32 KiB without its prices");
    if (out.len > sizeof "{}" - 1)
        row->model->capabilities = pk_buf_str(&out);
    return true;
}

/* A key is a model, behind the name of its provider or not. */
static pk_str model_of(struct pk_catalog_reader *r, pk_str key, pk_str provider)
{
    int slash = pk_str_find(key, '/');
    pk_str first = pk_str_sub(key, 0, slash < 0 ? 0 : (size_t)slash);

    if (first.len && pk_str_eq(pk_catalog_provider(r->source, first), provider))
        key = pk_str_sub(key, first.len + 1, key.len);
    if (pk_str_starts(key, "ft:")) /* of all models that were made from it */
        key = pk_copyf(r->arena, "%.*s*", PK_FMT(key));
    return key;
}

/* Names of these have no '/'; what stands before one says where, how large or how good. */
static bool is_variant(pk_str provider, pk_str model)
{
    static const char *const plain[] = {"openai",    "azure-openai", "azure-ai",
                                        "anthropic", "bedrock",      "google"};

    for (size_t i = 0; i < PK_COUNT(plain); i++)
        if (pk_str_is(provider, plain[i]))
            return pk_str_find(model, '/') >= 0;
    return false;
}

/* The provider of a row that does not say it: that of its key, or the caller's. */
static pk_str named_by(const struct pk_catalog_reader *r, pk_str key)
{
    int slash = pk_str_find(key, '/');

    return slash > 0 ? pk_str_sub(key, 0, (size_t)slash) : r->source->provider;
}

static bool read_row(struct pk_catalog_reader *r, struct row *row)
{
    struct pk_cell cell = {row->key, PK_STR("litellm_provider"),
                           pk_json_get(r->doc, row->value, "litellm_provider")};
    struct pk_cell whole = {.row = row->key};
    pk_str theirs = PK_NONE;

    if (pk_json_type(r->doc, row->value) != PK_JSON_OBJECT)
        return pk_cell_fail(r, &whole, "an object");
    if (cell.value >= 0 && !pk_cell_text(r, &cell, &theirs))
        return false;
    if (theirs.len == 0 && pk_json_get(r->doc, row->value, "alias_of") < 0)
        theirs = named_by(r, row->key);
    if (theirs.len == 0) {
        pk_catalog_leave_out(r, PK_NONE, "names no provider", row->key);
        return true;
    }
    pk_str provider = pk_catalog_provider(r->source, theirs);
    if (provider.len == 0) {
        pk_catalog_leave_out(r, theirs, "is no provider of pk", row->key);
        return true;
    }
    pk_str model = model_of(r, row->key, provider);
    if (is_variant(provider, model)) {
        pk_catalog_leave_out(r, provider, "is the price of a region, a size or a quality",
                             row->key);
        return true;
    }
    row->model = pk_catalog_add(r, provider, model);
    if (!row->model)
        return false;
    row->model->place = (int)row->key.len; /* the plain name before the one with a provider */
    return read_members(r, row) && read_abilities(r, row);
}

bool pk_catalog_read_litellm(struct pk_catalog_reader *r)
{
    const struct pk_json *doc = r->doc;
    struct row row = {.names = pk_alloc(r->arena, (NAMES_MAX + 1) * sizeof *row.names)};

    if (!row.names)
        return pk_fail(r->err, PK_NO_MEMORY, "prices: out of memory");
    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return pk_fail(r->err, PK_BAD_REQUEST, "prices: must be an object by model, not %s",
                       pk_json_type_name(pk_json_type(doc, 0)));
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        row.key = pk_json_str(r->arena, doc, k);
        row.value = k + 1;
        row.name_count = 0;
        if (!pk_str_is(row.key, "sample_spec") && !read_row(r, &row))
            return false;
    }
    return true;
}
