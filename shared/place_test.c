/* place_test.c - where targets with fields are, and that no field moves them elsewhere.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "place.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_config config;
static struct pk_error err;

static bool parse(const char *text)
{
    err = (struct pk_error){0};
    return pk_config_parse(&arena, pk_str_of(text), &config, &err);
}

/* The base URL of a call that asks for `model`, with what follows the dialect's path; empty: it cannot be said. */
static const char *base_of(const char *text, const char *model)
{
    struct pk_target *t;
    pk_str base = PK_NONE;

    if (!parse(text))
        return "";
    t = &config.targets[0];
    if (!pk_place_settle(&arena, t, &err) ||
        !pk_place_base(&arena, t, PK_NONE, pk_str_of(model), &base, &err))
        return "";
    base = pk_copyf(&arena, "%.*s|", PK_FMT(base));
    return pk_place_end(&arena, t, pk_str_of(model), &base, &err) ? base.at : "";
}

static bool at(const char *text, const char *expected)
{
    const char *got = base_of(text, "gpt 4o");

    if (strcmp(got, expected) == 0)
        return true;
    printf("# %s: %s\n", got, err.msg);
    return false;
}

static bool fails(const char *text, const char *why)
{
    bool ok = parse(text) && pk_place_settle(&arena, &config.targets[0], &err);

    if (!ok && strstr(err.msg, why))
        return true;
    printf("# %s\n", ok ? "it is taken" : err.msg);
    return false;
}

static void fields_fill_the_base_url(void)
{
    EXPECT(
        at("{\"provider\":\"azure-openai\",\"resource_name\":\"Res\",\"deployment_id\":\"my dep\","
           "\"api_version\":\"2024-10-21\"}",
           "https://Res.openai.azure.com/openai/deployments/my%20dep|?api-version=2024-10-21"));
    EXPECT(
        at("{\"provider\":\"azure-openai\",\"resourceName\":\"r\",\"apiVersion\":\"2024-10-21\"}",
           "https://r.openai.azure.com/openai/deployments/gpt%204o|?api-version=2024-10-21"));
    EXPECT(at("{\"provider\":\"azure-openai\",\"azure_resource_name\":\"r\"}",
              "https://r.openai.azure.com/openai/v1|"));
    EXPECT(at("{\"provider\":\"azure-ai\",\"azure_foundry_url\":\"https://r.services.ai.azure.com/"
              "models/\",\"azure_api_version\":\"2024-05-01-preview\"}",
              "https://r.services.ai.azure.com/models|?api-version=2024-05-01-preview"));
    EXPECT(at("{\"provider\":\"workers-ai\",\"workers_ai_account_id\":\"a/b\"}",
              "https://api.cloudflare.com/client/v4/accounts/a%2Fb/ai/v1|"));
    EXPECT(at("{\"provider\":\"snowflake\",\"snowflake_account\":\"org-acc.eu-west-1\"}",
              "https://org-acc.eu-west-1.snowflakecomputing.com/api/v2/cortex/v1|"));
    EXPECT(at("{\"provider\":\"oracle\",\"oracle_region\":\"us-chicago-1\"}",
              "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/openai/v1|"));
    EXPECT(at(
        "{\"provider\":\"sagemaker\",\"aws_access_key_id\":\"a\",\"aws_secret_access_key\":\"b\"}",
        "https://runtime.sagemaker.us-east-1.amazonaws.com|"));
    EXPECT(at("{\"provider\":\"predibase\",\"predibase_tenant_id\":\"t\"}",
              "https://serving.app.predibase.com/t/deployments/v2/llms/gpt%204o/v1|"));
}

static void a_custom_host_takes_the_place_of_the_host_alone(void)
{
    EXPECT(at("{\"provider\":\"azure-openai\",\"custom_host\":\"http://127.0.0.1:9/x\","
              "\"deployment_id\":\"d\",\"api_version\":\"2024-10-21\"}",
              "http://127.0.0.1:9/x/deployments/d|?api-version=2024-10-21"));
    /* without fields it is the whole base URL */
    EXPECT(at("{\"provider\":\"azure-openai\",\"custom_host\":\"https://r.openai.azure.com/openai/"
              "v1\"}",
              "https://r.openai.azure.com/openai/v1|"));
}

static void what_is_missing_or_misplaced_is_named(void)
{
    EXPECT(fails("{\"provider\":\"azure-openai\"}", "config.resource_name: must be given"));
    EXPECT(fails("{\"provider\":\"openai\",\"aws_region\":\"eu-west-1\"}",
                 "aws_region: is not for provider \"openai\" (but for bedrock"));
    EXPECT(fails("{\"targets\":[{\"aws_region\":\"eu-west-1\"}]}",
                 "targets[0].aws_region: needs a provider or virtual_key"));
    EXPECT(
        fails("{\"provider\":\"azure-openai\",\"resource_name\":\"a\",\"azureResourceName\":\"b\"}",
              "given twice"));
    EXPECT(fails("{\"provider\":\"azure-openai\",\"resource_name\":\"a\",\"deployment_id\":\"d\"}",
                 "config.deployment_id: with api_version \"v1\""));
    EXPECT(
        fails("{\"provider\":\"azure-openai\",\"resource_name\":\"a\",\"azure_auth_mode\":\"x\"}",
              "azure_auth_mode: must be \"entra\""));
    EXPECT(
        fails("{\"virtual_key\":\"k\",\"azure_ad_token\":\"t\"}", "is the virtual key's to say"));
    EXPECT(fails("{\"provider\":\"azure-openai\",\"resource_nam\":\"a\"}", "unknown key"));
    EXPECT(fails("{\"provider\":\"azure-openai\",\"\":\"a\"}", "unknown key"));
}

static void no_field_moves_the_host(void)
{
    static const char *const bad[] = {"evil.com/",  "evil.com#",     "a@evil.com", "a.evil.com\\\\",
                                      "%2e",        "a/../b",        "a b",        "a:1",
                                      "-a",         "a\\u0000",      "a?",         "{model}",
                                      "\\u00e9vil", "a\\r\\nhost:x", "a..b",       "."};
    char text[256];

    for (size_t i = 0; i < PK_COUNT(bad); i++) {
        (void)snprintf(text, sizeof text,
                       "{\"provider\":\"azure-openai\",\"resource_name\":\"%s\"}", bad[i]);
        EXPECT(strcmp(base_of(text, "m"), "") == 0 || (printf("# %s\n", bad[i]), false));
        (void)snprintf(text, sizeof text,
                       "{\"provider\":\"snowflake\",\"snowflake_account\":\"%s\"}", bad[i]);
        EXPECT(strcmp(base_of(text, "m"), "") == 0 || (printf("# %s\n", bad[i]), false));
    }
}

static void a_model_cannot_leave_its_segment(void)
{
    const char *text = "{\"provider\":\"predibase\",\"predibase_tenant_id\":\"t\"}";

    EXPECT(strstr(base_of(text, "../../x?y#z"), "/llms/..%2F..%2Fx%3Fy%23z/v1|"));
    EXPECT(strcmp(base_of(text, ".."), "") == 0 && strstr(err.msg, "model: must be given"));
    EXPECT(strcmp(base_of(text, ""), "") == 0);
}

static void fields_go_with_their_provider(void)
{
    EXPECT(parse("{\"provider\":\"azure-openai\",\"resource_name\":\"r\",\"api_key\":\"k\","
                 "\"targets\":[{},{\"provider\":\"openai\",\"api_key\":\"o\"}],"
                 "\"strategy\":{\"mode\":\"fallback\"}}"));
    EXPECT(pk_str_is(pk_target_field(&config.targets[0], PK_TF_resource_name), "r"));
    EXPECT(pk_target_field(&config.targets[1], PK_TF_resource_name).len == 0);
}

static void secrets_are_the_key_and_nothing_else(void)
{
    const struct pk_target *t;
    pk_str where;

    EXPECT(
        parse("{\"provider\":\"azure-openai\",\"resource_name\":\"r\",\"azure_entra_tenant_id\":"
              "\"t\",\"azure_entra_client_id\":\"c\",\"azure_entra_client_secret\":\"s\\\"3\"}"));
    t = &config.targets[0];
    EXPECT(t->key.kind == PK_KEY_LITERAL);
    EXPECT(pk_str_is(t->key.value, "{\"azure_entra_client_secret\":\"s\\\"3\"}"));
    EXPECT(pk_target_field(t, PK_TF_azure_entra_client_secret).len == 0);
    EXPECT(pk_str_is(pk_target_field(t, PK_TF_azure_entra_client_id), "c"));
    EXPECT(pk_config_has_literal_key(&config, &where) && pk_str_is(where, "config"));
}

static void a_key_stays_with_its_host(void)
{
    struct pk_key key = {.kind = PK_KEY_ENV, .slug = PK_STR("k"), .value = PK_STR("X")};
    struct pk_target *t;

    EXPECT(parse("{\"virtual_key\":\"k\",\"resource_name\":\"other\"}"));
    t = &config.targets[0];
    EXPECT(pk_config_bind(t, pk_provider_find(PK_STR("azure-openai")), key,
                          PK_STR("https://mine.openai.azure.com/openai"), &err));
    EXPECT(!pk_place_settle(&arena, t, &err) && err.code == PK_HOST_DENIED);
    EXPECT(parse("{\"virtual_key\":\"k\",\"resource_name\":\"mine\"}"));
    t = &config.targets[0];
    EXPECT(pk_config_bind(t, pk_provider_find(PK_STR("azure-openai")), key,
                          PK_STR("https://mine.openai.azure.com/openai"), &err));
    EXPECT(pk_place_settle(&arena, t, &err));
    EXPECT(pk_str_is(t->key_url, "https://mine.openai.azure.com/openai"));
}

static void foundry_hosts_are_azures(void)
{
    const struct pk_provider *p = pk_provider_find(PK_STR("azure-ai"));
    struct pk_url url;

    EXPECT(pk_url_parse(PK_STR("https://r.services.ai.azure.com/models"), "u", &url, &err) &&
           pk_place_own_host(p, &url));
    EXPECT(pk_url_parse(PK_STR("http://r.services.ai.azure.com/models"), "u", &url, &err) &&
           !pk_place_own_host(p, &url));
    EXPECT(pk_url_parse(PK_STR("https://services.ai.azure.com.evil.com/"), "u", &url, &err) &&
           !pk_place_own_host(p, &url));
    EXPECT(pk_url_parse(PK_STR("https://r.services.ai.azure.com"), "u", &url, &err) &&
           !pk_place_own_host(pk_provider_find(PK_STR("openai")), &url));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 16 << 20);
    RUN(fields_fill_the_base_url);
    RUN(a_custom_host_takes_the_place_of_the_host_alone);
    RUN(what_is_missing_or_misplaced_is_named);
    RUN(no_field_moves_the_host);
    RUN(a_model_cannot_leave_its_segment);
    RUN(fields_go_with_their_provider);
    RUN(secrets_are_the_key_and_nothing_else);
    RUN(a_key_stays_with_its_host);
    RUN(foundry_hosts_are_azures);
    pk_arena_free(&arena);
    return test_end();
}
