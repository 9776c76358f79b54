/* config_test.c - what a config may say, and where it says that something is wrong.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"
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

static const struct {
    const char *text, *message;
} error_cases[] = {
    {"{\"provider\":\"openai\",\"retry\":{\"attempts\":6}}", "retry.attempts: must be 0..5"},
    {"{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"provider\":\"openai\"},{"
     "\"provider\":\"openai\",\"retry\":{\"attempts\":9}}]}",
     "targets[1].retry.attempts: must be 0..5"},
    {"{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"strategy\":{\"mode\":\"single\"},"
     "\"targets\":[{\"provider\":\"openai\",\"weight\":-1}]}]}",
     "targets[0].targets[0].weight: must be 0..1000000"},
    {"{\"provder\":\"openai\"}", "config: unknown key \"provder\""},
    {"{\"provider\":7}", "provider: must be a string"},
    {"{\"provider\":\"\"}", "provider: must have 1 to 128 bytes"},
    {"{\"provider\":\"openai\",\"retry\":{\"on_status_codes\":[42]}}",
     "retry.on_status_codes: must hold HTTP statuses, 100..599"},
    {"{\"provider\":\"openai\",\"retry\":{\"onStatusCodes\":\"429\"}}",
     "retry.on_status_codes: must be a list of at most 32 HTTP statuses"},
    {"{\"strategy\":{\"mode\":\"random\"},\"targets\":[{\"provider\":\"openai\"}]}",
     "strategy.mode: must be \"single\", \"fallback\", \"loadbalance\" or \"conditional\""},
    {"{\"strategy\":{},\"targets\":[{\"provider\":\"openai\"}]}", "strategy.mode: must be given"},
    {"{\"strategy\":{\"mode\":\"fallback\"}}", "targets: must be given with a strategy"},
    {"{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[]}",
     "targets: must be a list with at least one target"},
    {"{\"targets\":[{\"provider\":\"openai\"},{\"provider\":\"groq\"}]}",
     "strategy: must be given with more than one target"},
    {"{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{\"provider\":\"openai\","
     "\"weight\":0}]}",
     "targets: every weight is 0"},
    {"{\"provider\":\"openai\",\"cache\":{\"mode\":\"simple\",\"max_age\":0}}",
     "cache.max_age: must be seconds, 1 or more"},
    {"{\"provider\":\"openai\",\"cache\":{}}", "cache.mode: must be given"},
    {"{\"provider\":\"openai\",\"cache\":\"simple\"}", "cache: must be an object, not a string"},
    {"{\"provider\":\"openai\",\"request_timeout\":0}", "request_timeout: must be milliseconds"},
    {"{\"provider\":\"openai\",\"request_timeout\":\"soon\"}",
     "request_timeout: must be milliseconds"},
    {"{\"provider\":\"openai\",\"custom_host\":\"ftp://x\"}", "custom_host: "},
    {"{\"provider\":\"openai\",\"override_params\":[]}", "override_params: must be an object"},
    {"{\"provider\":\"openai\",\"override_params\":{\"stream\":true}}",
     "override_params.stream: the client decides whether to stream"},
    {"{\"provider\":\"openai\",\"drop_params\":[\"a..b\"]}",
     "drop_params: \"a..b\" is no path like a.b or a[*].b"},
    {"{\"provider\":\"openai\",\"strict_params\":\"yes\"}", "strict_params: must be true or false"},
    {"{\"provider\":\"openai\",\"default_params\":7}", "default_params: must be an object"},
    {"{\"provider\":\"openai\",\"log_payloads\":\"some\"}",
     "log_payloads: must be \"full\", \"hash\" or \"none\""},
    {"{\"provider\":\"openai\",\"log_payloads\":false}",
     "log_payloads: must be \"full\", \"hash\" or \"none\""},
    {"{\"targets\":[{\"provider\":\"openai\",\"log_redact\":[\"EMAIL_ADDRESS\",\"SHOE_SIZE\"]}]"
     "}",
     "targets[0].log_redact: \"SHOE_SIZE\" is no category of personal data"},
    {"{\"provider\":\"openai\",\"log_redact\":\"on\"}", "log_redact: must be true or false"},
    {"{\"provider\":\"openai\",\"provider\":\"groq\"}", "provider: given twice"},
    {"{\"virtual_key\":\"a\",\"api_key\":\"b\"}", "api_key: give virtual_key or api_key, not both"},
    {"[]", "config: must be an object, not an array"},
    {"{", "config: not valid JSON at byte 1: "},
};

static void errors_name_the_path(void)
{
    for (size_t i = 0; i < PK_COUNT(error_cases); i++) {
        bool ok = !parse(error_cases[i].text) &&
                  strncmp(err.msg, error_cases[i].message, strlen(error_cases[i].message)) == 0;

        if (!EXPECT(ok))
            printf("# %s\n# got: %s\n", error_cases[i].text, err.msg);
    }
}

static void both_spellings_mean_the_same(void)
{
    static const char *const texts[] = {
        "{\"virtual_key\":\"k\",\"override_params\":{\"model\":\"m\"},\"request_timeout\":30,"
        "\"retry\":{\"attempts\":2,\"on_status_codes\":[500],\"use_retry_after_headers\":false},"
        "\"custom_host\":\"http://localhost:1/v1/\"}",
        "{\"virtualKey\":\"k\",\"overrideParams\":{\"model\":\"m\"},\"requestTimeout\":30000,"
        "\"retry\":{\"attempts\":2,\"onStatusCodes\":[500],\"useRetryAfterHeaders\":false},"
        "\"customHost\":\"http://localhost:1/v1\"}",
    };

    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        if (!EXPECT(parse(texts[i])))
            printf("# %s\n", err.msg);
        const struct pk_target *t = &config.targets[0];
        EXPECT(pk_str_is(t->virtual_key, "k"));
        EXPECT(pk_str_is(t->params.overrides, "{\"model\":\"m\"}"));
        EXPECT(t->timeouts.request_ms == 30000);
        EXPECT(t->retry.attempts == 2 && !t->retry.use_retry_after);
        EXPECT(pk_statuses_have(&t->retry.on_statuses, 500));
        EXPECT(pk_str_is(t->custom_host, "http://localhost:1/v1"));
    }
}

static void what_the_log_may_hold_is_inherited(void)
{
    EXPECT(parse(
        "{\"strategy\":{\"mode\":\"fallback\"},\"log_payloads\":\"hash\",\"logRedact\":true,"
        "\"targets\":[{\"provider\":\"openai\"},{\"provider\":\"groq\",\"logPayloads\":\"none\","
        "\"log_redact\":[\"EMAIL_ADDRESS\",\"CREDIT_CARD\"]},{\"provider\":\"openai\","
        "\"log_payloads\":\"full\",\"log_redact\":false}]}"));
    const struct pk_privacy *p[] = {&config.targets[0].privacy, &config.targets[1].privacy,
                                    &config.targets[2].privacy};
    EXPECT(p[0]->payloads == PK_PAYLOADS_HASH && p[0]->redact == PK_PII_ALL);
    EXPECT(p[1]->payloads == PK_PAYLOADS_NONE && p[1]->redact == (PK_PII_EMAIL | PK_PII_CARD));
    EXPECT(p[2]->payloads == PK_PAYLOADS_FULL && p[2]->redact == 0);
}

static void targets_inherit_and_override(void)
{
    EXPECT(
        parse("{\"strategy\":{\"mode\":\"fallback\"},\"retry\":{\"attempts\":3},"
              "\"override_params\":{\"model\":\"a\",\"top_p\":1},\"cache\":{\"mode\":\"simple\"},"
              "\"targets\":[{\"provider\":\"openai\",\"override_params\":{\"model\":\"b\"}},"
              "{\"provider\":\"groq\",\"retry\":{\"attempts\":0}}]}"));
    EXPECT(config.target_count == 2);
    EXPECT(config.targets[0].retry.attempts == 3 && config.targets[1].retry.attempts == 0);
    EXPECT(pk_str_is(config.targets[0].params.overrides, "{\"model\":\"b\",\"top_p\":1}"));
    EXPECT(pk_str_is(config.targets[1].params.overrides, "{\"model\":\"a\",\"top_p\":1}"));
    EXPECT(config.targets[1].cache.mode == PK_CACHE_SIMPLE);
    EXPECT(config.targets[0].cache.max_age_s == PK_CACHE_AGE_S_DEFAULT);
    EXPECT(pk_str_is(config.targets[1].path, "config.targets[1]"));
}

static void a_key_goes_with_its_provider(void)
{
    EXPECT(parse("{\"api_key\":\"own\",\"provider\":\"openai\"}"));
    EXPECT(pk_str_is(config.targets[0].key.value, "own"));
    EXPECT(parse(
        "{\"provider\":\"openai\",\"api_key\":\"top\",\"targets\":[{\"provider\":\"groq\"}]}"));
    EXPECT(config.targets[0].key.kind == PK_KEY_NONE);
    EXPECT(parse("{\"provider\":\"openai\",\"api_key\":\"top\",\"targets\":[{\"weight\":2}]}"));
    EXPECT(pk_str_is(config.targets[0].key.value, "top"));
    EXPECT(parse("{\"provider\":\"@my-key\"}"));
    EXPECT(pk_str_is(config.targets[0].virtual_key, "my-key"));
}

static void a_bound_key_stays_with_its_host(void)
{
    struct pk_key key = {.kind = PK_KEY_SEALED, .slug = PK_STR("k")};
    const struct pk_provider *openai = pk_provider_find(PK_STR("openai"));

    EXPECT(parse("{\"virtual_key\":\"k\"}"));
    EXPECT(!pk_config_ready(&config, &err));
    EXPECT(strcmp(err.msg, "config.virtual_key: \"k\" is not bound") == 0);
    EXPECT(pk_config_bind(&config.targets[0], openai, key, PK_NONE, &err) &&
           pk_config_ready(&config, &err));
    EXPECT(pk_str_is(config.targets[0].base_url, "https://api.openai.com/v1"));
    EXPECT(parse("{\"virtual_key\":\"k\",\"custom_host\":\"https://evil.example/v1\"}"));
    EXPECT(!pk_config_bind(&config.targets[0], openai, key, PK_NONE, &err) &&
           err.code == PK_HOST_DENIED);
    EXPECT(parse("{\"virtual_key\":\"k\",\"custom_host\":\"http://localhost:8/v2\"}"));
    EXPECT(pk_config_bind(&config.targets[0], openai, key, PK_STR("http://localhost:8/v1"), &err));
    EXPECT(pk_str_is(config.targets[0].base_url, "http://localhost:8/v2"));
}

static void a_provider_that_is_not_pks_own_is_looked_up(void)
{
    static const struct pk_provider mine = {.name = "mine", .base_url = "http://localhost:8/v1"};

    EXPECT(parse("{\"targets\":[{\"provider\":\"mine\"}]}"));
    EXPECT(pk_str_is(config.targets[0].provider_name, "mine") && !config.targets[0].provider);
    EXPECT(!pk_config_ready(&config, &err));
    EXPECT(strcmp(err.msg, "config.targets[0].provider: unknown provider \"mine\"") == 0);
    pk_config_provide(&config.targets[0], &mine);
    EXPECT(pk_config_ready(&config, &err));
    EXPECT(pk_str_is(config.targets[0].base_url, "http://localhost:8/v1"));
}

static void durations_have_units(void)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {{"200", 200000},    {"1000", 1000}, {"30", 30000}, {"\"250ms\"", 250},
                 {"\"30s\"", 30000}, {"-1", -1},     {"1.5", -1},   {"\"5m\"", -1},
                 {"null", -1},       {"\"\"", -1}};

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_json doc;
        int64_t ms = -1;

        EXPECT(pk_json_parse(&arena, pk_str_of(cases[i].text), "x", &doc, &err));
        bool ok = pk_config_duration_ms(&doc, 0, &ms);
        if (!EXPECT(ok == (cases[i].ms > 0) && (!ok || ms == cases[i].ms)))
            printf("# %s\n", cases[i].text);
    }
}

static void nesting_is_bounded(void)
{
    char text[4000] = "";

    for (int i = 0; i < 12; i++)
        (void)strcat(text, "{\"targets\":["); /* NOLINT: a test's own text */
    (void)strcat(text, "{\"provider\":\"openai\"}");
    for (int i = 0; i < 12; i++)
        (void)strcat(text, "]}");
    EXPECT(!parse(text) && strstr(err.msg, "nested deeper than 8"));
}

static bool with_targets(int count)
{
    struct pk_buf text = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);

    pk_buf_adds(&text, "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[");
    for (int i = 0; i < count; i++)
        pk_buf_addf(&text, "%s{\"provider\":\"openai\"}", i ? "," : "");
    pk_buf_adds(&text, "]}");
    err = (struct pk_error){0};
    return pk_config_parse(&arena, pk_buf_str(&text), &config, &err);
}

static void targets_are_bounded(void)
{
    EXPECT(with_targets(PK_NODES_MAX - 1)); /* the strategy is one of them */
    EXPECT(!with_targets(PK_NODES_MAX));
    EXPECT(strcmp(err.msg, "targets[63]: more than 64 targets and strategies") == 0);
}

static void a_literal_key_is_found_wherever_it_is(void)
{
    static const struct {
        const char *text, *path;
    } cases[] = {
        {"{\"provider\":\"openai\",\"api_key\":\"k\"}", "config"},
        {"{\"targets\":[{\"provider\":\"openai\",\"apiKey\":\"k\"}]}", "config.targets[0]"},
        {"{\"api_key\":\"not used\",\"targets\":[{\"virtual_key\":\"v\"}]}", "config"},
        {"{\"virtual_key\":\"v\"}", NULL},
    };
    pk_str path;

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        EXPECT(parse(cases[i].text));
        EXPECT(pk_config_has_literal_key(&config, &path) == (cases[i].path != NULL));
        EXPECT(!cases[i].path || pk_str_is(path, cases[i].path));
    }
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(errors_name_the_path);
    RUN(both_spellings_mean_the_same);
    RUN(targets_inherit_and_override);
    RUN(what_the_log_may_hold_is_inherited);
    RUN(a_key_goes_with_its_provider);
    RUN(a_bound_key_stays_with_its_host);
    RUN(a_provider_that_is_not_pks_own_is_looked_up);
    RUN(durations_have_units);
    RUN(nesting_is_bounded);
    RUN(targets_are_bounded);
    RUN(a_literal_key_is_found_wherever_it_is);
    pk_arena_free(&arena);
    return test_end();
}
