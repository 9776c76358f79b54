/* catalog_test.c - what each format's numbers mean, and what is refused.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "catalog.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;
static struct pk_catalog c;
static const int64_t now_us = 1772323200000000; /* 2026-03-01 */

static bool reads(const char *format, const char *text, const char *provider)
{
    static const pk_str own[] = {{"acme", 4}};
    const struct pk_catalog_source source = {
        .format = pk_str_of(format),
        .text = pk_str_of(text),
        .provider = pk_str_of(provider),
        .now_us = now_us,
        .own = own,
        .own_count = 1,
    };

    pk_arena_free(&arena);
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    err = (struct pk_error){0};
    return pk_catalog_read(&arena, &source, &c, &err);
}

static bool read_well(const char *format, const char *text, const char *provider)
{
    if (EXPECT(reads(format, text, provider)))
        return true;
    printf("# %s\n", err.msg);
    return false;
}

static const struct pk_catalog_model *model(const char *provider, const char *name)
{
    for (int i = 0; i < c.count; i++)
        if (pk_str_is(c.models[i].provider, provider) && pk_str_is(c.models[i].model, name))
            return &c.models[i];
    printf("# no %s of %s\n", name, provider);
    return NULL;
}

/* pico-USD a token; -2: there is no such tier. */
static int64_t rate(const char *provider, const char *name, int64_t above, enum pk_rate which)
{
    const struct pk_catalog_model *m = model(provider, name);

    for (int i = 0; m && i < m->tier_count; i++)
        if (m->tiers[i].above_tokens == above)
            return m->tiers[i].rates[which];
    return -2;
}

static const char *units(const char *provider, const char *name)
{
    const struct pk_catalog_model *m = model(provider, name);

    return m && m->tier_count ? pk_copy(&arena, pk_tier_units(&arena, &m->tiers[0])).at : "none";
}

static bool left_out(const char *what, const char *reason, int count)
{
    for (int i = 0; i < c.left_out_count; i++)
        if (pk_str_is(c.left_out[i].what, what) && strstr(c.left_out[i].reason, reason))
            return c.left_out[i].count == count;
    return false;
}

/* --- LiteLLM --------------------------------------------------------------------------------- */

static void litellm_has_dollars_a_token(void)
{
    read_well(
        "litellm",
        "{\"sample_spec\":{\"litellm_provider\":\"one of\"},"
        "\"gpt-x\":{\"litellm_provider\":\"openai\",\"mode\":\"chat\","
        "\"max_input_tokens\":128000,\"max_output_tokens\":16384,\"input_cost_per_token\":1.5e-07,"
        "\"output_cost_per_token\":6e-7,\"cache_read_input_token_cost\":7.499999999999999e-08,"
        "\"input_cost_per_token_batches\":7.5e-08,\"input_cost_per_audio_token\":0.0001,"
        "\"input_cost_per_token_priority\":null,\"deprecation_date\":\"2027-01-14\","
        "\"search_context_cost_per_query\":{\"search_context_size_low\":0.025},"
        "\"supports_vision\":true,\"supported_modalities\":[\"text\"],\"source\":\"x\"}}",
        "");
    EXPECT(c.count == 1 && c.left_out_count == 0);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_input) == 150000);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_output) == 600000);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_reasoning) == 600000);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_cache_read) == 75000);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_cache_write) == -1);
    EXPECT(rate("openai", "gpt-x", 0, PK_RATE_input_batch) == 75000);
    EXPECT(strcmp(units("openai", "gpt-x"),
                  "{\"input_audio_token\":0.0001,\"search_context_size_low\":0.025}") == 0);
    const struct pk_catalog_model *m = model("openai", "gpt-x");
    EXPECT(m && pk_str_is(m->mode, "chat") && m->context_window == 128000 &&
           m->max_output_tokens == 16384 && pk_str_is(m->deprecation_date, "2027-01-14"));
    EXPECT(m && pk_str_is(m->capabilities,
                          "{\"supported_modalities\":[\"text\"],\"supports_vision\":true}"));
}

static void litellm_has_tiers_in_names_and_ranges(void)
{
    read_well("litellm",
              "{\"gemini/g\":{\"litellm_provider\":\"gemini\",\"input_cost_per_token\":1e-06,"
              "\"cache_creation_input_token_cost_above_1hr\":4e-06,\"output_cost_per_token\":5e-06,"
              "\"input_cost_per_token_above_200k_tokens\":2e-06,"
              "\"cache_creation_input_token_cost_above_1hr_above_200k_tokens\":8e-06,"
              "\"input_cost_per_token_above_200k_tokens_batches\":1e-06},"
              "\"dashscope/q\":{\"litellm_provider\":\"dashscope\",\"tiered_pricing\":["
              "{\"range\":[0,256000.0],\"input_cost_per_token\":5e-08},"
              "{\"range\":[256000.0,1000000],\"input_cost_per_token\":2.5e-07}]}}",
              "");
    EXPECT(rate("google", "g", 0, PK_RATE_input) == 1000000);
    EXPECT(rate("google", "g", 0, PK_RATE_cache_write_1h) == 4000000);
    EXPECT(rate("google", "g", 200000, PK_RATE_input) == 2000000);
    EXPECT(rate("google", "g", 200000, PK_RATE_cache_write_1h) == 8000000);
    EXPECT(rate("google", "g", 200000, PK_RATE_input_batch) == 1000000);
    EXPECT(rate("google", "g", 200000, PK_RATE_output) == 5000000); /* as below it */
    EXPECT(rate("dashscope", "q", 0, PK_RATE_input) == 50000);
    EXPECT(rate("dashscope", "q", 256000, PK_RATE_input) == 250000);
}

static void litellm_names_lose_their_provider(void)
{
    read_well("litellm",
              "{\"azure/gpt-4o\":{\"litellm_provider\":\"azure\"},"
              "\"azure/eu/gpt-4o\":{\"litellm_provider\":\"azure\"},"
              "\"1024-x-1024/dall-e-2\":{\"litellm_provider\":\"openai\"},"
              "\"ft:gpt-4o\":{\"litellm_provider\":\"openai\"},"
              "\"groq/openai/gpt-oss\":{\"litellm_provider\":\"groq\"},"
              "\"fireworks_ai/accounts/f/m\":{\"litellm_provider\":\"fireworks_ai\"},"
              "\"acme/m\":{\"litellm_provider\":\"acme\"},"
              "\"mistral/m\":{\"input_cost_per_token\":1e-06},"
              "\"openai/latest\":{\"alias_of\":\"gpt-4o\"},"
              "\"n1\":{\"litellm_provider\":\"nobody\"},\"n2\":{\"litellm_provider\":\"nobody\"}}",
              "");
    EXPECT(model("azure-openai", "gpt-4o") && model("openai", "ft:gpt-4o*") &&
           model("groq", "openai/gpt-oss") && model("fireworks-ai", "accounts/f/m") &&
           model("acme", "m") && model("mistral-ai", "m"));
    EXPECT(c.count == 6);
    EXPECT(left_out("nobody", "no provider", 2) && left_out("", "names no provider", 1) &&
           left_out("azure-openai", "region", 1) && left_out("openai", "region", 1));
}

static void prices_by_the_hour_are_not_known(void)
{
    read_well("litellm",
              "{\"deepseek-x\":{\"litellm_provider\":\"deepseek\",\"input_cost_per_token\":3e-07,"
              "\"off_peak_pricing\":{\"input_cost_per_token\":1.5e-07}}}",
              "");
    EXPECT(rate("deepseek", "deepseek-x", 0, PK_RATE_input) == -1);
    EXPECT(left_out("deepseek", "depend on the hour", 1));
    read_well("genai-prices",
              "[{\"id\":\"deepseek\",\"models\":[{\"id\":\"d\",\"prices\":["
              "{\"prices\":{\"input_mtok\":1}},{\"constraint\":{\"start_time\":\"00:30:00Z\","
              "\"end_time\":\"16:30:00Z\"},\"prices\":{\"input_mtok\":2}}]}]}]",
              "");
    EXPECT(rate("deepseek", "d", 0, PK_RATE_input) == -1);
}

/* --- Portkey --------------------------------------------------------------------------------- */

#define PAYG(prices) "{\"pricing_config\":{\"pay_as_you_go\":{" prices "}}}"

static void portkey_has_cents(void)
{
    read_well(
        "portkey",
        "{\"default\":{\"pricing_config\":{\"currency\":\"USD\"}},"
        "\"c\":{\"pricing_config\":{\"pay_as_you_go\":{\"request_token\":{\"price\":0.0003},"
        "\"response_token\":{\"price\":0.0015},\"cache_write_input_token\":{\"price\":0.000375},"
        "\"cache_read_input_token\":{\"price\":0.00003},\"request_audio_token\":{\"price\":0.01},"
        "\"additional_units\":{\"cache_write_1h\":{\"price\":0.0006},\"web_search\":{\"price\":1}},"
        "\"image\":{\"hd\":{\"1024x1024\":{\"price\":8}}}},"
        "\"batch_config\":{\"request_token\":{\"price\":0.00015}},\"currency\":\"USD\"}},"
        "\"o\":{\"pricing_config\":{\"pay_as_you_go\":{\"request_token\":{\"price\":0.001},"
        "\"cache_write_input_token\":{\"price\":0}},\"fixed_cost\":{\"price\":1},"
        "\"additional_units\":{\"file_search\":{\"price\":0.25}}}}}",
        "anthropic");
    EXPECT(rate("anthropic", "c", 0, PK_RATE_input) == 3000000);
    EXPECT(rate("anthropic", "c", 0, PK_RATE_output) == 15000000);
    EXPECT(rate("anthropic", "c", 0, PK_RATE_cache_write) == 3750000);
    EXPECT(rate("anthropic", "c", 0, PK_RATE_cache_write_1h) == 6000000);
    EXPECT(rate("anthropic", "c", 0, PK_RATE_cache_read) == 300000);
    EXPECT(rate("anthropic", "c", 0, PK_RATE_input_batch) == 1500000);
    EXPECT(strcmp(units("anthropic", "c"),
                  "{\"image_hd_1024x1024\":0.08,\"input_audio_token\":0.0001,"
                  "\"web_search\":0.01}") == 0);
    EXPECT(rate("anthropic", "o", 0, PK_RATE_cache_write) == -1);
    EXPECT(strcmp(units("anthropic", "o"), "{\"file_search\":0.0025}") == 0);
    EXPECT(left_out("fixed_cost", "not known", 1));
}

static void portkey_has_a_file_a_provider(void)
{
    static const char row[] = "{\"m\":" PAYG("\"request_token\":{\"price\":0.0001}") "}";

    EXPECT(!reads("portkey", row, "") && strstr(err.msg, "provider"));
    read_well(
        "portkey",
        "{\"open-ai\":{\"m\":" PAYG(
            "\"request_token\":{\"price\":0.0001}") "},"
                                                    "\"nobody\":{\"m\":" PAYG(
                                                        "\"request_token\":{\"price\":1}") "}}",
        "");
    EXPECT(c.count == 1 && rate("openai", "m", 0, PK_RATE_input) == 1000000);
    EXPECT(left_out("nobody", "no provider", 1));
    read_well("portkey",
              "{\"provider\":\"acme\",\"m\":" PAYG("\"request_token\":{\"price\":1}") "}", "");
    EXPECT(rate("acme", "m", 0, PK_RATE_input) == 10000000000);
}

static void portkey_has_tiers_in_names(void)
{
    read_well(
        "portkey",
        "{\"g-lte-128k\":" PAYG(
            "\"request_token\":{\"price\":0.0001},"
            "\"response_token\":{\"price\":0.0002}") ","
                                                     "\"other\":" PAYG(
                                                         "\"request_token\":{"
                                                         "\"price\":0.1}") ","
                                                                           "\"g-gt-"
                                                                           "128k\""
                                                                           ":" PAYG(
                                                                               "\"req"
                                                                               "uest_"
                                                                               "token"
                                                                               "\":{"
                                                                               "\"pri"
                                                                               "ce\":"
                                                                               "0."
                                                                               "0003"
                                                                               "}") ","
                                                                                    "\"zero\""
                                                                                    ":" PAYG(
                                                                                        "\"request_"
                                                                                        "token\":{"
                                                                                        "\"price\":"
                                                                                        "0},"
                                                                                        "\"response"
                                                                                        "_token\":{"
                                                                                        "\"price\":"
                                                                                        "0}") "}",
        "google");
    EXPECT(c.count == 3);
    EXPECT(rate("google", "g", 0, PK_RATE_input) == 1000000);
    EXPECT(rate("google", "g", 128000, PK_RATE_input) == 3000000);
    EXPECT(rate("google", "g", 128000, PK_RATE_output) == 2000000);
    EXPECT(rate("google", "zero", 0, PK_RATE_input) == -1 && left_out("google", "0 for input", 1));
}

/* --- genai-prices ---------------------------------------------------------------------------- */

static void genai_has_dollars_a_million(void)
{
    read_well(
        "genai-prices",
        "[{\"id\":\"anthropic\",\"models\":[{\"id\":\"s\",\"match\":{\"or\":["
        "{\"starts_with\":\"s-2\"},{\"equals\":\"s-one\"},{\"contains\":\"x\"}]},"
        "\"context_window\":200000,\"deprecated\":true,\"prices\":{"
        "\"input_mtok\":{\"base\":3,\"tiers\":[{\"start\":200000,\"price\":6}]},"
        "\"output_mtok\":15,\"cache_write_1h_mtok\":6,\"web_searches_kcount\":10,"
        "\"input_audio_hours\":0.36,\"odd\":1}}]},{\"id\":\"nobody\",\"models\":[{\"id\":\"m\"}]}]",
        "");
    EXPECT(rate("anthropic", "s", 0, PK_RATE_input) == 3000000);
    EXPECT(rate("anthropic", "s", 200000, PK_RATE_input) == 6000000);
    EXPECT(rate("anthropic", "s", 200000, PK_RATE_output) == 15000000);
    EXPECT(rate("anthropic", "s-2*", 0, PK_RATE_cache_write_1h) == 6000000);
    EXPECT(rate("anthropic", "s-one", 0, PK_RATE_output) == 15000000);
    EXPECT(strcmp(units("anthropic", "s"),
                  "{\"input_audio_second\":0.0001,\"web_searches\":0.01}") == 0);
    const struct pk_catalog_model *m = model("anthropic", "s");
    EXPECT(m && m->context_window == 200000 && pk_str_is(m->capabilities, "{\"deprecated\":true}"));
    EXPECT(left_out("odd", "unknown kind", 3) && left_out("nobody", "no provider", 1));
}

static void genai_may_be_an_object(void)
{
    read_well(
        "genai-prices",
        "{\"units\":{},\"providers\":[{\"id\":\"google\",\"models\":[{\"id\":\"g\",\"prices\":{"
        "\"input_mtok\":1,\"input_mchars\":0.5,\"input_gpixels\":2000}}]}]}",
        "");
    EXPECT(rate("google", "g", 0, PK_RATE_input) == 1000000);
    EXPECT(strcmp(units("google", "g"),
                  "{\"input_character\":0.0000005,\"input_pixel\":0.000002}") == 0);
}

static void genai_has_prices_by_date(void)
{
    read_well("genai-prices",
              "[{\"id\":\"anthropic\",\"models\":[{\"id\":\"o\",\"prices\":["
              "{\"prices\":{\"input_mtok\":1}},"
              "{\"constraint\":{\"start_date\":\"2026-02-01\"},\"prices\":{\"input_mtok\":2}},"
              "{\"constraint\":{\"start_date\":\"2026-03-13\"},\"prices\":{\"input_mtok\":3}}]}]}]",
              "");
    const struct pk_catalog_model *m = model("anthropic", "o");
    EXPECT(m && m->tier_count == 2);
    EXPECT(m && m->tiers[0].from_us == 0 && m->tiers[0].rates[PK_RATE_input] == 2000000);
    EXPECT(m && m->tiers[1].from_us == 1773360000000000 &&
           m->tiers[1].rates[PK_RATE_input] == 3000000);
}

/* --- ours ------------------------------------------------------------------------------------ */

static void ours_has_the_columns_of_the_views(void)
{
    read_well("pk",
              "[{\"provider\":\"anyone\",\"model\":\"m\",\"input_usd\":0.15,\"output_usd\":0.6,"
              "\"units\":{\"image\":0.04},\"context_window\":1000,\"source\":\"x\"},"
              "{\"provider\":\"anyone\",\"model\":\"m\",\"above_tokens\":500,\"input_usd\":0.3},"
              "{\"provider\":\"anyone\",\"model\":\"m\",\"input_usd\":1,"
              "\"valid_from\":\"2030-01-01T00:00:00.000Z\",\"valid_to\":null}]",
              "");
    EXPECT(c.count == 1 && c.models[0].tier_count == 3);
    EXPECT(rate("anyone", "m", 0, PK_RATE_input) == 150000);
    EXPECT(rate("anyone", "m", 500, PK_RATE_input) == 300000);
    EXPECT(strcmp(units("anyone", "m"), "{\"image\":0.04}") == 0);
    EXPECT(c.models[0].tiers[2].from_us == 1893456000000000);
}

static void ours_takes_a_providers_other_name(void)
{
    read_well("pk", "[{\"provider\":\"mistral\",\"model\":\"m\",\"input_usd\":1}]", "");
    EXPECT(rate("mistral-ai", "m", 0, PK_RATE_input) == 1000000);
}

/* --- refusals -------------------------------------------------------------------------------- */

static const struct {
    const char *format, *text, *says;
} refusals[] = {
    {"csv", "[]", "format: must be litellm"},
    {"litellm", "[", "prices:"},
    {"litellm", "[]", "must be an object by model"},
    {"litellm", "{\"m\":1}", "m: must be an object"},
    {"litellm", "{\"m\":{\"litellm_provider\":1}}", "m.litellm_provider: must be a text"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":-1}}",
     "m.input_cost_per_token: must be a number of 0 or more"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":\"1\"}}",
     "m.input_cost_per_token: must be a number"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-20}}",
     "m.input_cost_per_token: must be a number"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e300}}",
     "m.input_cost_per_token: must be a number"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"max_output_tokens\":-1}}",
     "m.max_output_tokens: must be a number"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"deprecation_date\":\"soon\"}}",
     "m.deprecation_date: must be a date"},
    {"litellm", "{\"m\":{\"litellm_provider\":\"openai\",\"tiered_pricing\":[{}]}}",
     "m.tiered_pricing.range: must be"},
    {"portkey", "[]", "must be an object"},
    {"portkey", "{\"openai\":{\"m\":{}}}", "m.pricing_config: must be"},
    {"portkey", "{\"openai\":{\"m\":" PAYG("\"request_token\":{\"price\":-1}") "}}",
     "m.request_token: must be a number"},
    {"portkey", "{\"openai\":{\"m\":" PAYG("\"request_token\":3") "}}",
     "m.request_token: must be an object with a price"},
    {"genai-prices", "{}", "must be a list of providers"},
    {"genai-prices",
     "[{\"id\":\"openai\",\"models\":[{\"id\":\"m\",\"prices\":{\"input_mtok\":\"x\"}}]}]",
     "m.input_mtok: must be a number"},
    {"genai-prices", "[{\"id\":\"openai\",\"models\":[{\"prices\":{}}]}]",
     "openai.models.id: must be"},
    {"pk", "{}", "must be a list of rows"},
    {"pk", "[{\"provider\":\"a\",\"model\":\"m\"},{\"provider\":\"a\"}]",
     "rows[1].model: must be a text"},
    {"pk", "[{\"provider\":\"a\",\"model\":\"m\",\"input\":1}]", "rows[0].input: must be left out"},
    {"pk", "[{\"provider\":\"a\",\"model\":\"m\",\"valid_from\":\"x\"}]",
     "rows[0].valid_from: must be a time"},
    {"pk",
     "[{\"provider\":\"a\",\"model\":\"m\",\"valid_from\":\"2026-02-01T00:00:00Z\","
     "\"valid_to\":\"2026-01-01T00:00:00Z\"}]",
     "rows[0].valid_to: must be a time after valid_from"},
    {"pk",
     "[{\"provider\":\"a\",\"model\":\"m\",\"input_usd\":1},"
     "{\"provider\":\"a\",\"model\":\"m\",\"input_usd\":2}]",
     "rows[1]: must be of another model"},
    {"pk", "[{\"provider\":\"a\",\"model\":\"\"}]", "rows[0].model: must be a name"},
    {"pk", "[{\"provider\":\"\",\"model\":\"m\"}]", "rows[0].provider: must be a name"},
};

static void a_row_that_is_wrong_is_named(void)
{
    for (size_t i = 0; i < PK_COUNT(refusals); i++)
        if (!EXPECT(!reads(refusals[i].format, refusals[i].text, "") &&
                    strstr(err.msg, refusals[i].says)))
            printf("# %s: %s\n", refusals[i].text, err.msg);
}

static void of_two_rows_of_one_name_the_first_stays(void)
{
    read_well("litellm",
              "{\"m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":1e-06},"
              "\"openai/m\":{\"litellm_provider\":\"openai\",\"input_cost_per_token\":2e-06}}",
              "");
    EXPECT(c.count == 1 && rate("openai", "m", 0, PK_RATE_input) == 1000000);
    EXPECT(left_out("openai", "several prices", 1));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(litellm_has_dollars_a_token);
    RUN(litellm_has_tiers_in_names_and_ranges);
    RUN(litellm_names_lose_their_provider);
    RUN(prices_by_the_hour_are_not_known);
    RUN(portkey_has_cents);
    RUN(portkey_has_a_file_a_provider);
    RUN(portkey_has_tiers_in_names);
    RUN(genai_has_dollars_a_million);
    RUN(genai_may_be_an_object);
    RUN(genai_has_prices_by_date);
    RUN(ours_has_the_columns_of_the_views);
    RUN(ours_takes_a_providers_other_name);
    RUN(a_row_that_is_wrong_is_named);
    RUN(of_two_rows_of_one_name_the_first_stays);
    pk_arena_free(&arena);
    return test_end();
}
