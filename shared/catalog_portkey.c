/* catalog_portkey.c - the files pricing/PROVIDER.json of Portkey-AI/models.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An object by model, each with pricing_config {pay_as_you_go, batch_config, finetune_config, currency}. A
 * price is {"price": US cents for one}, at any depth: {"image": {"hd": {"1024x1024": {"price": 8}}}} is the unit
 * image_hd_1024x1024. "gemini-1.5-pro-gt-128k" is the tier above 128,000 tokens of "gemini-1.5-pro", whose
 * other prices are under "gemini-1.5-pro-lte-128k". The row "default" has no prices of its own. A cache write for
 * 0 is one that the provider does not bill apart, and so has no price here. When both
 * input and output are 0 nobody has entered them: they are not known, which is not the same as free.
 */
#include "catalog_inner.h"

enum { TO_PUSD = 10, DEPTH_MAX = 6 };

static const char *const rates[][2] = {
    {"request_token", "input"},
    {"response_token", "output"},
    {"cache_read_input_token", "cache_read"},
    {"cache_write_input_token", "cache_write"},
    {"cache_write_1h", "cache_write_1h"},
    {"reasoning_token", "reasoning"},
    {"thinking_token", "reasoning"},
    {"batch_request_token", "input_batch"},
    {"batch_response_token", "output_batch"},
    {"batch_cache_read_input_token", "cache_read_batch"},
};

/* The prices of one model. */
struct prices {
    pk_str row;
    struct pk_tier *tier;
};

/* "additional_units" only groups. */
static pk_str joined(struct pk_arena *arena, pk_str path, pk_str name)
{
    if (pk_str_is(name, "additional_units"))
        return path;
    return pk_copyf(arena, "%.*s%s%.*s", PK_FMT(path), path.len ? "_" : "", PK_FMT(name));
}

static pk_str our_name(struct pk_arena *arena, pk_str path)
{
    for (size_t i = 0; i < PK_COUNT(rates); i++)
        if (pk_str_is(path, rates[i][0]))
            return pk_str_of(rates[i][1]);
    if (pk_str_starts(path, "request_"))
        return pk_copyf(arena, "input%.*s", PK_FMT(pk_str_sub(path, 7, path.len)));
    if (pk_str_starts(path, "response_"))
        return pk_copyf(arena, "output%.*s", PK_FMT(pk_str_sub(path, 8, path.len)));
    return path;
}

/* An object with a price, or with more objects; depth is limited. */
static bool read_prices(struct pk_catalog_reader *r, struct prices *p, int value, pk_str path,
                        int depth)
{
    const struct pk_json *doc = r->doc;
    int price = pk_json_get(doc, value, "price");
    struct pk_cell cell = {p->row, path, price >= 0 ? price : value};
    int64_t pusd = -1;

    if (pk_json_type(doc, value) == PK_JSON_NULL)
        return true;
    if (pk_json_type(doc, value) != PK_JSON_OBJECT || depth == DEPTH_MAX)
        return pk_cell_fail(r, &cell, "an object with a price");
    if (price >= 0)
        return pk_cell_number(r, &cell, TO_PUSD, &pusd) &&
               (pusd < 0 || pk_tier_set(r, p->tier, our_name(r->arena, path), pusd));
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k))
        if (!read_prices(r, p, k + 1, joined(r->arena, path, pk_json_str(r->arena, doc, k)),
                         depth + 1))
            return false;
    return true;
}

static void forget_zeros(struct pk_catalog_reader *r, const struct pk_catalog_model *m,
                         struct pk_tier *t)
{
    if (t->rates[PK_RATE_input] != 0 || t->rates[PK_RATE_output] > 0)
        return;
    for (int i = 0; i < PK_RATES; i++)
        t->rates[i] = -1;
    pk_catalog_leave_out(r, m->provider, "has 0 for input and output, which says nothing",
                         m->model);
}

/* Cuts "-gt-128k" or "-lte-128k" off; *above is 128000 or 0. */
static pk_str cut_tier(pk_str key, int64_t *above)
{
    static const char *const marks[] = {"-gt-", "-lte-"};
    size_t at;

    *above = 0;
    for (size_t i = 0; i < PK_COUNT(marks); i++) {
        if (!pk_str_ends(key, "k") || !pk_catalog_has(key, marks[i], &at))
            continue;
        pk_str digits = pk_str_sub(key, at + pk_str_of(marks[i]).len, key.len);
        int64_t thousand;
        if (!pk_str_int(pk_str_sub(digits, 0, digits.len - 1), &thousand) || thousand < 1 ||
            thousand > 100000)
            continue;
        *above = i == 0 ? thousand * 1000 : 0;
        return pk_str_sub(key, 0, at);
    }
    return key;
}

/* The last model, when it is of that name: the rows of its tiers follow each other. */
static struct pk_catalog_model *model_of(struct pk_catalog_reader *r, pk_str provider, pk_str model,
                                         bool tiered)
{
    struct pk_catalog *c = r->out;

    for (int i = tiered ? c->count - 1 : -1; i >= 0; i--)
        if (pk_str_eq(c->models[i].model, model) && pk_str_eq(c->models[i].provider, provider))
            return &c->models[i];
    return pk_catalog_add(r, provider, model);
}

/* The parts of pricing_config that have prices, and what their names begin with. */
static const struct {
    const char *member, *path;
} parts[] = {
    {"pay_as_you_go", ""},
    {"batch_config", "batch"},
    {"finetune_config", "finetune"},
    {"additional_units", ""},
};

static bool read_parts(struct pk_catalog_reader *r, struct prices *p, pk_str provider, int config)
{
    static const char *const others[] = {"currency", "calculate"};
    const struct pk_json *doc = r->doc;

    for (int k = pk_json_first(doc, config); k >= 0; k = pk_json_next(doc, config, k)) {
        pk_str member = pk_json_str(r->arena, doc, k);
        bool known = pk_str_is(member, others[0]) || pk_str_is(member, others[1]);

        for (size_t i = 0; i < PK_COUNT(parts); i++) {
            if (!pk_str_is(member, parts[i].member))
                continue;
            known = true;
            if (!read_prices(r, p, k + 1, pk_str_of(parts[i].path), 0))
                return false;
        }
        if (!known)
            pk_catalog_leave_out(r, member, "is a part of prices that is not known", provider);
    }
    return true;
}

static bool read_config(struct pk_catalog_reader *r, pk_str provider, pk_str key, int config)
{
    int64_t above;
    pk_str name = cut_tier(key, &above);
    struct pk_catalog_model *m = model_of(r, provider, name, name.len < key.len);
    struct prices p = {.row = key, .tier = m ? pk_catalog_tier(r, m, above, 0) : NULL};

    if (!p.tier || !read_parts(r, &p, provider, config))
        return false;
    if (p.tier->rates[PK_RATE_cache_write] == 0)
        p.tier->rates[PK_RATE_cache_write] = -1;
    forget_zeros(r, m, p.tier);
    return true;
}

static bool read_row(struct pk_catalog_reader *r, pk_str provider, pk_str key, int value)
{
    const struct pk_json *doc = r->doc;
    int config = pk_json_get(doc, value, "pricing_config");
    int currency = pk_json_get(doc, config, "currency");
    struct pk_cell cell = {key, PK_STR("pricing_config"), value};

    if (pk_str_is(key, "default"))
        return true;
    if (pk_json_type(doc, config) != PK_JSON_OBJECT)
        return pk_cell_fail(r, &cell, "there, an object");
    if (currency >= 0 && !pk_json_is(doc, currency, "USD")) {
        pk_catalog_leave_out(r, provider, "is not priced in dollars", key);
        return true;
    }
    if (pk_json_type(doc, pk_json_get(doc, config, "pay_as_you_go")) != PK_JSON_OBJECT) {
        pk_catalog_leave_out(r, provider, "has no price a token", key);
        return true;
    }
    return read_config(r, provider, key, config);
}

static bool read_file(struct pk_catalog_reader *r, pk_str theirs, int file)
{
    const struct pk_json *doc = r->doc;
    pk_str provider = pk_catalog_provider(r->source, theirs);

    if (provider.len == 0) {
        pk_catalog_leave_out(r, theirs, "is no provider of pk", PK_NONE);
        return true;
    }
    for (int k = pk_json_first(doc, file); k >= 0; k = pk_json_next(doc, file, k))
        if (!pk_json_is(doc, k, "provider") &&
            !read_row(r, provider, pk_json_str(r->arena, doc, k), k + 1))
            return false;
    return true;
}

bool pk_catalog_read_portkey(struct pk_catalog_reader *r)
{
    const struct pk_json *doc = r->doc;
    pk_str provider = r->source->provider;

    if (pk_json_type(doc, 0) != PK_JSON_OBJECT)
        return pk_fail(r->err, PK_BAD_REQUEST, "prices: must be an object, not %s",
                       pk_json_type_name(pk_json_type(doc, 0)));
    if (provider.len == 0)
        provider = pk_json_str(r->arena, doc, pk_json_get(doc, 0, "provider"));
    if (provider.len)
        return read_file(r, provider, 0);
    for (int k = pk_json_first(doc, 0); k >= 0; k = pk_json_next(doc, 0, k)) {
        struct pk_cell cell = {pk_json_str(r->arena, doc, k), PK_NONE, k + 1};

        if (pk_json_get(doc, k + 1, "pricing_config") >= 0)
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "provider: the file does not say whose prices these are; give "
                           "{\"provider\": ...} as the third argument");
        if (pk_json_type(doc, k + 1) != PK_JSON_OBJECT)
            return pk_cell_fail(r, &cell, "the file of a provider, an object");
        if (!read_file(r, cell.row, k + 1))
            return false;
    }
    return true;
}
