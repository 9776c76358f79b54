/* config_users_test.c - configs as people write them in tutorials and in production, and what they ask for.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "condition.h"
#include "config.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_config config;
static struct pk_error err;

static bool parse(const char *text)
{
    err = (struct pk_error){0};
    if (pk_config_parse(&arena, pk_str_of(text), &config, &err))
        return true;
    printf("# %s\n", err.msg);
    return false;
}

static bool asks_for(int target, const char *model, int attempts, int64_t timeout_ms)
{
    const struct pk_target *t = &config.targets[target];
    struct pk_json none;

    return EXPECT(pk_json_parse(&arena, PK_STR("{}"), "body", &none, &err)) &&
           pk_str_is(pk_params_model(&arena, &t->params, &none), model) &&
           t->retry.attempts == attempts && t->timeouts.request_ms == timeout_ms;
}

static uint32_t weight(int child)
{
    return config.route.nodes[child].weight;
}

static void a_fallback_may_have_weights(void)
{
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"virtual_key\":"
                 "\"anthropic-vk\",\"override_params\":{\"model\":\"claude-sonnet-4-6\"},"
                 "\"weight\":0.7},{\"virtual_key\":\"openai-vk\",\"override_params\":{\"model\":"
                 "\"gpt-4o\"},\"weight\":0.3}]}"));
    EXPECT(config.route.nodes[0].strategy == PK_FALLBACK);
    EXPECT(asks_for(0, "claude-sonnet-4-6", 0, 0) && asks_for(1, "gpt-4o", 0, 0));
}

static void weights_may_be_percent_or_fractions(void)
{
    EXPECT(parse("{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{\"virtual_key\":\"vk-1\","
                 "\"weight\":50},{\"virtual_key\":\"vk-2\",\"weight\":30},{\"virtual_key\":"
                 "\"vk-3\",\"weight\":20}]}"));
    EXPECT(weight(1) * 3 == weight(2) * 5 && weight(2) * 2 == weight(3) * 3);
    EXPECT(parse("{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{\"virtualKey\":\"vk-1\","
                 "\"weight\":0.5},{\"virtualKey\":\"vk-2\",\"weight\":0.3},{\"virtualKey\":"
                 "\"vk-3\",\"weight\":0.2}]}"));
    EXPECT(weight(1) * 3 == weight(2) * 5 && weight(2) * 2 == weight(3) * 3);
    EXPECT(parse("{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{\"virtual_key\":"
                 "\"groq-vk\",\"weight\":0.9,\"override_params\":{\"model\":"
                 "\"llama-3.1-70b-versatile\"}},{\"virtual_key\":\"openai-vk\",\"weight\":0.1,"
                 "\"override_params\":{\"model\":\"gpt-4o-mini\"}}]}"));
    EXPECT(weight(1) == 9 * weight(2));
}

static void a_target_has_its_own_retries_and_timeout(void)
{
    EXPECT(
        parse("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"virtual_key\":\"primary-vk\","
              "\"override_params\":{\"model\":\"claude-opus-4-7\"},\"retry\":{\"attempts\":2,"
              "\"on_status_codes\":[429,500,502,503]}},{\"virtual_key\":\"backup-vk\","
              "\"override_params\":{\"model\":\"gpt-4o\"}}]}"));
    EXPECT(asks_for(0, "claude-opus-4-7", 2, 0) && asks_for(1, "gpt-4o", 0, 0));
    EXPECT(!pk_statuses_have(&config.targets[0].retry.on_statuses, 504));
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"virtual_key\":\"a\","
                 "\"override_params\":{\"model\":\"claude-sonnet-4-6\"},\"retry\":{\"attempts\":2,"
                 "\"on_status_codes\":[429,500,502,503,504]},\"request_timeout\":30},"
                 "{\"virtual_key\":\"b\",\"override_params\":{\"model\":\"gpt-4o\"},\"retry\":{"
                 "\"attempts\":1,\"on_status_codes\":[429,500,502,503,504]},\"request_timeout\":30"
                 "},{\"virtual_key\":\"a\",\"override_params\":{\"model\":"
                 "\"claude-haiku-4-5-20251001\"},\"request_timeout\":20}]}"));
    EXPECT(asks_for(0, "claude-sonnet-4-6", 2, 30000) && asks_for(1, "gpt-4o", 1, 30000));
    EXPECT(asks_for(2, "claude-haiku-4-5-20251001", 0, 20000));
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"virtual_key\":"
                 "\"anthropic-prod\",\"override_params\":{\"model\":\"claude-sonnet-4-6\"},"
                 "\"request_timeout\":15,\"retry\":{\"attempts\":1,\"on_status_codes\":[429,500,"
                 "502,503]}},{\"virtual_key\":\"openai-prod\",\"override_params\":{\"model\":"
                 "\"gpt-4o\"},\"request_timeout\":15}]}"));
    EXPECT(asks_for(0, "claude-sonnet-4-6", 1, 15000) && asks_for(1, "gpt-4o", 0, 15000));
}

static void retries_above_are_for_every_target(void)
{
    EXPECT(parse(
        "{\"strategy\":{\"mode\":\"fallback\"},\"cache\":{\"mode\":\"simple\",\"max_age\":86400},"
        "\"retry\":{\"attempts\":2,\"on_status_codes\":[429,500,502,503,504]},\"targets\":[{"
        "\"virtual_key\":\"a\",\"override_params\":{\"model\":\"claude-sonnet-4-6\"},"
        "\"request_timeout\":20000,\"weight\":1},{\"virtual_key\":\"b\",\"override_params\":{"
        "\"model\":\"gpt-4o\"},\"request_timeout\":20000,\"weight\":1}]}"));
    EXPECT(asks_for(0, "claude-sonnet-4-6", 2, 20000) && asks_for(1, "gpt-4o", 2, 20000));
    EXPECT(config.targets[1].cache.max_age_s == 86400);
}

static void a_list_of_statuses_says_when_to_move_on(void)
{
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\",\"on_status_codes\":[429,500,502,503,504]},"
                 "\"targets\":[{\"virtual_key\":\"openai-vk\",\"override_params\":{\"model\":"
                 "\"gpt-4o\"}},{\"virtual_key\":\"anthropic-vk\",\"override_params\":{\"model\":"
                 "\"claude-sonnet-4-5\"}},{\"virtual_key\":\"groq-vk\",\"override_params\":{"
                 "\"model\":\"llama-3.1-70b-versatile\"}}]}"));
    struct pk_steer steer = {.random = 1};
    pk_route_settle(&config.route, &steer, NULL);
    int node = pk_route_first(&config.route, &steer);
    EXPECT(pk_route_next(&config.route, &steer, node, 401) == -1);
    EXPECT(pk_route_next(&config.route, &steer, node, 429) == node + 1);
    EXPECT(pk_route_next(&config.route, &steer, node + 1, 503) == node + 2);
}

static void tiers_are_told_apart_by_metadata(void)
{
    EXPECT(parse(
        "{\"strategy\":{\"mode\":\"conditional\",\"conditions\":[{\"query\":{\"metadata.tier\":{"
        "\"$eq\":\"paid\"}},\"then\":\"premium\"},{\"query\":{\"metadata.tier\":{\"$eq\":\"free\""
        "}},\"then\":\"budget\"}],\"default\":\"budget\"},\"targets\":[{\"name\":\"premium\","
        "\"virtual_key\":\"openai-vk\",\"override_params\":{\"model\":\"gpt-4o\"}},{\"name\":"
        "\"budget\",\"virtual_key\":\"groq-vk\",\"override_params\":{\"model\":"
        "\"llama-3.1-70b-versatile\"}}]}"));
    EXPECT(config.conditional[0]->count == 2 && config.conditional[0]->list[0].child == 1);
    EXPECT(config.conditional[0]->list[1].child == 2 && config.conditional[0]->child == 2);
}

static void keys_are_named_in_several_ways(void)
{
    EXPECT(parse("{\"strategy\":{\"mode\":\"loadbalance\"},\"targets\":[{\"provider\":"
                 "\"@openai-virtual-key\",\"weight\":0.75},{\"provider\":\"@azure-virtual-key\","
                 "\"weight\":0.25}]}"));
    EXPECT(pk_str_is(config.targets[0].virtual_key, "openai-virtual-key"));
    EXPECT(parse("{\"targets\":[{\"virtualKey\":\"openai-key\"}]}"));
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[{\"virtualKey\":"
                 "\"openai-key\",\"overrideParams\":{\"model\":\"gpt-4o\"}},{\"virtualKey\":"
                 "\"anthropic-key\",\"overrideParams\":{\"model\":\"claude-3-5-sonnet-20241022\"}},"
                 "{\"virtualKey\":\"mistral-key\",\"overrideParams\":{\"model\":"
                 "\"mistral-large-latest\"}}]}"));
    EXPECT(asks_for(2, "mistral-large-latest", 0, 0));
}

static void a_breaker_and_a_session_as_portkey_documents_them(void)
{
    EXPECT(parse("{\"strategy\":{\"mode\":\"fallback\",\"cb_config\":{"
                 "\"failure_threshold_percentage\":20,\"minimum_requests\":10,"
                 "\"cooldown_interval\":60000,\"failure_status_codes\":[401,429,500]}},"
                 "\"targets\":[{\"virtual_key\":\"a\"},{\"virtual_key\":\"b\"}]}"));
    EXPECT(config.targets[1].breaker.percentage == 20 && config.targets[1].breaker.minimum == 10);
    EXPECT(pk_statuses_have(&config.targets[1].breaker_statuses, 401));
    EXPECT(parse("{\"strategy\":{\"mode\":\"loadbalance\",\"sticky_session\":{\"hash_fields\":["
                 "\"metadata.user_id\"],\"ttl\":3600}},\"targets\":[{\"virtual_key\":\"a\"},"
                 "{\"virtual_key\":\"b\"}]}"));
    EXPECT(config.sticky[0] != NULL);
}

static void a_cache_may_be_semantic(void)
{
    EXPECT(parse(
        "{\"cache\":{\"mode\":\"semantic\",\"max_age\":3600},\"virtual_key\":\"openai-vk\"}"));
    EXPECT(config.targets[0].cache.mode == PK_CACHE_SEMANTIC);
    EXPECT(parse("{\"cache\":{\"mode\":\"semantic\",\"maxAge\":3600,\"similarityThreshold\":0.9},"
                 "\"targets\":[{\"virtualKey\":\"openai-key\"}]}"));
    EXPECT(config.targets[0].cache.max_age_s == 3600);
    EXPECT(
        parse("{\"strategy\":{\"mode\":\"fallback\"},\"cache\":{\"mode\":\"semantic\",\"max_age\":"
              "86400},\"targets\":[{\"virtual_key\":\"a\",\"override_params\":{\"model\":"
              "\"claude-sonnet-4-6\"},\"request_timeout\":20000},{\"virtual_key\":\"b\","
              "\"override_params\":{\"model\":\"gpt-4o\"},\"request_timeout\":20000}]}"));
    EXPECT(config.targets[1].cache.mode == PK_CACHE_SEMANTIC && asks_for(1, "gpt-4o", 0, 20000));
}

static void guardrails_stand_beside_the_targets(void)
{
    EXPECT(
        parse("{\"virtual_key\":\"anthropic-vk\",\"guardrails\":{\"input_guardrails\":[\"no-pii\","
              "\"topic-restriction\"],\"output_guardrails\":[\"no-harmful-content\","
              "\"length-check\"],\"on_fail\":\"block\"}}"));
    EXPECT(parse("{\"strategy\":{\"mode\":\"single\"},\"targets\":[{\"virtual_key\":\"a\","
                 "\"override_params\":{"
                 "\"model\":\"claude-sonnet-4-6\"}}],\"guardrails\":{\"input\":[{\"type\":"
                 "\"contains\",\"deny\":["
                 "\"social security number\",\"SSN\",\"credit card "
                 "number\",\"password\"],\"action\":\"block\","
                 "\"message\":\"Request blocked\"}],\"output\":[{\"type\":\"regex\",\"deny\":["
                 "\"\\\\b\\\\d{3}-\\\\d{2}-\\\\d{4}\\\\b\"],\"action\":\"block\"},{\"type\":\"word_"
                 "count\",\"min\":10,"
                 "\"action\":\"retry\"}]}}"));
    EXPECT(parse(
        "{\"strategy\":{\"mode\":\"fallback\"},\"cache\":{\"mode\":\"semantic\",\"max_age\":86400,"
        "\"similarity_threshold\":0.95},\"retry\":{\"attempts\":2,\"on_status_codes\":[429,500,502,"
        "503,"
        "504]},\"targets\":[{\"virtual_key\":\"a\",\"override_params\":{\"model\":"
        "\"claude-sonnet-4-6\"},\"request_timeout\":20000,\"weight\":1},{\"virtual_key\":\"b\","
        "\"override_params\":{\"model\":\"gpt-4o\"},\"request_timeout\":20000,\"weight\":1}],"
        "\"guardrails\":{\"input\":[{\"type\":\"regex\",\"pattern\":"
        "\"\\\\b(password|secret|api.?key)\\\\b\",\"action\":\"block\",\"flags\":[\"IGNORECASE\"]}]"
        ","
        "\"output\":[{\"type\":\"word_count\",\"min\":10,\"max\":2000,\"action\":\"warn\"}]}}"));
    EXPECT(asks_for(0, "claude-sonnet-4-6", 2, 20000) && asks_for(1, "gpt-4o", 2, 20000));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_fallback_may_have_weights);
    RUN(weights_may_be_percent_or_fractions);
    RUN(a_target_has_its_own_retries_and_timeout);
    RUN(retries_above_are_for_every_target);
    RUN(a_list_of_statuses_says_when_to_move_on);
    RUN(tiers_are_told_apart_by_metadata);
    RUN(keys_are_named_in_several_ways);
    RUN(a_breaker_and_a_session_as_portkey_documents_them);
    RUN(a_cache_may_be_semantic);
    RUN(guardrails_stand_beside_the_targets);
    pk_arena_free(&arena);
    return test_end();
}
