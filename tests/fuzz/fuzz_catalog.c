/* fuzz_catalog.c - any text as a price list of each format: refused with a place, or read whole; and its tokens.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Models are sorted, each is there once, and no price is below what is not known.
 */
#include "fuzz.h"

#include "catalog.h"
#include "tokens.h"

static void check_model(struct pk_arena *arena, const struct pk_catalog_model *m)
{
    struct pk_error err = {0};
    struct pk_json doc;

    PK_ASSERT(m->provider.len && m->model.len && m->tier_count <= PK_CATALOG_TIERS_MAX);
    PK_ASSERT(m->context_window >= 0 && m->max_output_tokens >= 0);
    PK_ASSERT(!m->capabilities.len || pk_json_parse(arena, m->capabilities, "", &doc, &err));
    for (int i = 0; i < m->tier_count; i++) {
        pk_str units = pk_tier_units(arena, &m->tiers[i]);

        PK_ASSERT(!units.len || pk_json_parse(arena, units, "", &doc, &err));
        for (int k = 0; k < PK_RATES; k++)
            PK_ASSERT(m->tiers[i].rates[k] >= -1);
    }
}

static void check(struct pk_arena *arena, const struct pk_catalog *c)
{
    for (int i = 0; i < c->count; i++) {
        check_model(arena, &c->models[i]);
        PK_ASSERT(i == 0 || !pk_str_eq(c->models[i].model, c->models[i - 1].model) ||
                  !pk_str_eq(c->models[i].provider, c->models[i - 1].provider));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const formats[] = {"litellm", "portkey", "genai-prices", "pk"};
    pk_str text = fuzz_text(bytes, size);

    for (size_t i = 0; i < PK_COUNT(formats); i++) {
        struct pk_arena arena = fuzz_arena();
        const struct pk_catalog_source source = {.format = pk_str_of(formats[i]),
                                                 .text = text,
                                                 .provider = i == 1 && size & 1 ? PK_STR("openai")
                                                                                : PK_NONE};
        struct pk_catalog catalog;
        struct pk_error err = {0};
        size_t bad;

        if (pk_catalog_read(&arena, &source, &catalog, &err))
            check(&arena, &catalog);
        else
            PK_ASSERT(err.code != PK_OK && err.msg[0] && !strchr(err.msg, '\n') &&
                      pk_utf8_valid(pk_str_of(err.msg), &bad));
        pk_arena_free(&arena);
    }
    for (int i = 0; i < PK_FAMILIES; i++)
        PK_ASSERT((pk_tokens_count((enum pk_family)i, text) > 0) == (size > 0));
    return 0;
}
