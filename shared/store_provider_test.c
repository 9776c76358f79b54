/* store_provider_test.c - providers of one's own: what may be said, who finds them, when they may go.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "resolve.h"
#include "store_guard.h"
#include "store_provider.h"

#include "test_store.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *store;
static struct pk_resolver *resolver;
static const int64_t now_us = 1763725112123456;

static void fresh(void)
{
    pk_resolver_free(resolver);
    pk_store_close(store);
    store = test_store(":memory:");
    resolver = pk_resolver_new(pk_allocator_malloc());
}

static bool put(const char *name, const char *options)
{
    err = (struct pk_error){0};
    return pk_store_provider_put(store, &arena, pk_str_of(name), pk_str_of(options), now_us, &err);
}

static bool put_key(const char *slug, const char *provider, const char *options)
{
    return pk_store_key_put(store, &arena, NULL, pk_str_of(slug), pk_str_of(provider),
                            PK_STR("env:K"), pk_str_of(options), now_us, &err);
}

static bool put_config(const char *slug, const char *body)
{
    int64_t version;

    return pk_store_config_put(store, &arena, pk_str_of(slug), pk_str_of(body), now_us, &version,
                               &err);
}

static bool says(const char *words)
{
    if (strstr(err.msg, words))
        return true;
    printf("# %s: %s\n", pk_code_name(err.code), err.msg);
    return false;
}

static bool deleted(const char *name)
{
    bool existed = false;

    err = (struct pk_error){0};
    return pk_store_provider_delete(store, pk_str_of(name), now_us, &existed, &err) && existed;
}

/* Whether the first target of the reference is at `base`, with or without a virtual key. */
static bool leads_to(const char *reference, const char *base, bool with_key)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, pk_str_of(reference), now_us, &err);

    if (!s) {
        printf("# %s: %s\n", reference, err.msg);
        return false;
    }
    const struct pk_target *t = &s->config.targets[0];
    bool ok =
        t->provider && pk_str_is(t->base_url, base) && (t->key.kind != PK_KEY_NONE) == with_key;
    if (!ok)
        printf("# %s: %.*s\n", reference, PK_FMT(t->base_url));
    pk_snapshot_release(resolver, s);
    return ok;
}

static bool leads_nowhere(const char *reference, const char *words)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, pk_str_of(reference), now_us, &err);

    pk_snapshot_release(resolver, s);
    return !s && says(words);
}

static void what_is_said_of_one_is_checked(void)
{
    static const struct {
        const char *options, *words;
    } bad[] = {
        {"{", "options"},
        {"[]", "options: must be an object"},
        {"{}", "options.base_url: must be given"},
        {"{\"base_url\":\"gpu1:8000\"}", "options.base_url"},
        {"{\"base_url\":7}", "options.base_url: must be a string"},
        {"{\"base_url\":\"https://k@h/v1\"}", "options.base_url"},
        {"{\"base_url\":\"https://h/v1?key=1\"}", "options.base_url: must be without a query"},
        {"{\"base_url\":\"https://h\",\"dialect\":\"french\"}", "options.dialect: there is no"},
        {"{\"base_url\":\"https://h\",\"colour\":1}", "no option \"colour\""},
        {"{\"base_url\":\"https://h\",\"key_header\":\"\"}", "options.key_header"},
        {"{\"base_url\":\"https://h\",\"key_header\":\"host: \"}", "options.key_header"},
        {"{\"base_url\":\"https://h\",\"key_header\":\"a b: c\"}", "options.key_header"},
        {"{\"base_url\":\"https://h\",\"key_header\":\"a: b\\nc: d\"}", "options.key_header"},
        {"{\"base_url\":\"https://h\",\"key_env\":\"A-B\"}", "options.key_env"},
        {"{\"base_url\":\"https://h\",\"key_env\":\"1A\"}", "options.key_env"},
        {"{\"base_url\":\"https://h\",\"rejects\":\"user\"}", "options.rejects: must be a list"},
        {"{\"base_url\":\"https://h\",\"rejects\":[\"a b\"]}", "options.rejects: \"a b\""},
        {"{\"base_url\":\"https://h\",\"rejects\":[1]}", "options.rejects"},
        {"{\"base_url\":\"https://h\",\"rejects\":[\"messages\"]}",
         "options.rejects: \"messages\""},
        {"{\"base_url\":\"https://h\",\"renames\":[]}", "options.renames: must be an object"},
        {"{\"base_url\":\"https://h\",\"renames\":{\"a\":\"a\"}}", "options.renames.a"},
        {"{\"base_url\":\"https://h\",\"renames\":{\"a\":\"b=c\"}}", "options.renames.a"},
        {"{\"base_url\":\"https://h\",\"headers\":{\"Authorization\":\"x\"}}", "options.headers"},
        {"{\"base_url\":\"https://h\",\"headers\":{\"x\":\"a\\r\\nb: c\"}}", "options.headers.x"},
        {"{\"base_url\":\"https://h\",\"headers\":{\"x\":\"\"}}", "options.headers.x"},
        {"{\"base_url\":\"https://h\",\"key_header\":\"x-k\",\"headers\":{\"X-K\":\"v\"}}",
         "is where the key goes"},
        {"{\"base_url\":\"https://h\",\"stream_usage\":1}", "options.stream_usage"},
        {"{\"base_url\":\"https://h\",\"batch_api\":1}",
         "options.batch_api: must be true or false"},
        {"{\"base_url\":\"https://h\",\"batch_api\":true,\"dialect\":\"gemini\"}",
         "options.batch_api: is for the dialects openai and anthropic, not gemini"},
    };

    fresh();
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(!put("mine", bad[i].options) && says(bad[i].words));
    EXPECT(!put("openai", "{\"base_url\":\"https://h\"}") && says("one of pk's own"));
    EXPECT(!put("a b", "{\"base_url\":\"https://h\"}") && says("slug"));
    EXPECT(!put("", "{\"base_url\":\"https://h\"}") && says("slug"));
    EXPECT(test_says(store, "select count(*) from pk_provider", "0"));
}

static void one_is_kept_with_all_its_members(void)
{
    fresh();
    EXPECT(put("mine", "{\"base_url\":\"http://gpu1:8000/v1/\"}"));
    EXPECT(test_says(store, "select body from pk_provider",
                     "{\"dialect\":\"openai\",\"base_url\":\"http://gpu1:8000/v1\",\"key_header\":"
                     "\"authorization: Bearer\",\"key_env\":\"\",\"rejects\":[],\"renames\":{},"
                     "\"headers\":{},\"stream_usage\":true,\"developer_role\":false}"));
    EXPECT(put("mine",
               "{\"base_url\":\"https://h\",\"dialect\":\"anthropic\",\"key_header\":"
               "\"x-key\",\"key_env\":\"MY_KEY\",\"rejects\":[\"user\",\"seed\"],\"renames\":"
               "{\"a\":\"b\",\"c\":\"d\"},\"headers\":{\"x-org\":\"o: 1\"}}"));
    EXPECT(
        test_says(store,
                  "select dialect || '|' || base_url || '|' || key_header || '|' || key_env || "
                  "'|' || rejects || '|' || renames || '|' || headers || '|' || stream_usage || "
                  "'|' || builtin from pk_providers where name = 'mine'",
                  "anthropic|https://h|x-key:|MY_KEY|[\"user\",\"seed\"]|{\"a\":\"b\",\"c\":\"d\"}|"
                  "{\"x-org\":\"o: 1\"}|0|0"));
    EXPECT(test_says(store,
                     "select base_url || '|' || renames || '|' || builtin from pk_providers "
                     "where name = 'mistral-ai'",
                     "https://api.mistral.ai/v1|{\"max_completion_tokens\":\"max_tokens\",\"seed\":"
                     "\"random_seed\"}|1"));
    EXPECT(
        test_says(store, "select group_concat(verb) from pk_audit", "provider_put,provider_put"));
}

static void every_way_of_naming_finds_it(void)
{
    fresh();
    EXPECT(leads_nowhere("{\"provider\":\"mine\"}", "config.provider: unknown provider \"mine\""));
    EXPECT(leads_nowhere("{\"targets\":[{\"provider\":\"openai\"},{\"provider\":\"mine\"}],"
                         "\"strategy\":{\"mode\":\"fallback\"}}",
                         "config.targets[1].provider: unknown provider \"mine\""));
    EXPECT(leads_nowhere("mine", "no stored config, virtual key or provider"));
    EXPECT(put("mine", "{\"base_url\":\"http://127.0.0.1:8000/v1\"}"));
    EXPECT(leads_to("{\"provider\":\"mine\"}", "http://127.0.0.1:8000/v1", false));
    EXPECT(leads_to("{\"provider\":\"@mine\"}", "http://127.0.0.1:8000/v1", false));
    EXPECT(leads_to("{\"provider\":\"mine\",\"api_key\":\"k\"}", "http://127.0.0.1:8000/v1", true));
    EXPECT(
        leads_to("{\"provider\":\"@mine\",\"api_key\":\"k\"}", "http://127.0.0.1:8000/v1", true));
    EXPECT(
        leads_nowhere("{\"provider\":\"@none\",\"api_key\":\"k\"}", "unknown provider \"none\""));
    EXPECT(leads_to("{\"provider\":\"mine\",\"custom_host\":\"http://127.0.0.1:9/v2\"}",
                    "http://127.0.0.1:9/v2", false));
    EXPECT(leads_to("mine", "http://127.0.0.1:8000/v1", false));
    EXPECT(put_config("c", "{\"provider\":\"mine\"}") &&
           leads_to("c", "http://127.0.0.1:8000/v1", false));
    EXPECT(!put_config("d", "{\"provider\":\"none\"}") && says("unknown provider \"none\""));
    EXPECT(put_key("vk", "mine", "") && leads_to("vk", "http://127.0.0.1:8000/v1", true));
    EXPECT(put_key("vk", "@mine", "") && leads_to("vk", "http://127.0.0.1:8000/v1", true));
    EXPECT(leads_to("{\"provider\":\"@groq\"}", "https://api.groq.com/openai/v1", true));
    EXPECT(put_key("groq", "openai", "") &&
           leads_to("{\"provider\":\"@groq\"}", "https://api.openai.com/v1", true) &&
           leads_to("{\"provider\":\"groq\"}", "https://api.groq.com/openai/v1", true) &&
           leads_to("{\"provider\":\"@groq\",\"api_key\":\"k\"}", "https://api.groq.com/openai/v1",
                    true));
    EXPECT(leads_nowhere("{\"virtual_key\":\"mine\"}", "virtual_key: there is none called"));
    EXPECT(put_key("mine", "mine", "") &&
           leads_to("{\"provider\":\"@mine\"}", "http://127.0.0.1:8000/v1", true));
    EXPECT(leads_to("{\"provider\":\"openai\",\"api_key\":\"k\",\"cache\":{\"mode\":\"semantic\","
                    "\"embedder\":{\"provider\":\"mine\",\"model\":\"m\"}}}",
                    "https://api.openai.com/v1", true));
}

static void a_change_is_seen_at_once(void)
{
    fresh();
    EXPECT(put("mine", "{\"base_url\":\"http://127.0.0.1:8000/v1\"}"));
    EXPECT(leads_to("mine", "http://127.0.0.1:8000/v1", false));
    EXPECT(put("mine", "{\"base_url\":\"http://127.0.0.1:8001/v1\"}"));
    EXPECT(leads_to("mine", "http://127.0.0.1:8001/v1", false));
    EXPECT(deleted("mine") && !deleted("mine"));
    EXPECT(leads_nowhere("mine", "no stored config"));
}

static void a_key_follows_to_another_path_but_not_to_another_host(void)
{
    fresh();
    EXPECT(put("mine", "{\"base_url\":\"https://a.example/v1\"}") && put_key("vk", "mine", ""));
    EXPECT(put_key("own", "mine", "{\"custom_host\":\"https://c.example/v1\"}"));
    EXPECT(put("mine", "{\"base_url\":\"https://a.example/v2\"}"));
    EXPECT(leads_to("vk", "https://a.example/v2", true));
    EXPECT(put("mine", "{\"base_url\":\"https://b.example/v2\"}"));
    EXPECT(leads_nowhere("vk", "belongs to a.example, which provider \"mine\" has left"));
    EXPECT(leads_to("own", "https://c.example/v1", true));
    EXPECT(put_key("vk", "mine", "") && leads_to("vk", "https://b.example/v2", true));
}

static void one_in_use_stays(void)
{
    struct pk_guardrail_draft g = {
        PK_STR("g"), PK_STR("{\"type\":\"moderation\",\"provider\":\"mine\"}"), PK_NONE, now_us};
    int64_t version;
    bool existed;

    fresh();
    EXPECT(put("mine", "{\"base_url\":\"http://127.0.0.1:8000/v1\"}"));
    EXPECT(put_key("vk", "mine", ""));
    EXPECT(!deleted("mine") && says("is named by virtual key vk"));
    EXPECT(pk_store_key_revoke(store, PK_STR("vk"), now_us, &existed, &err) && existed);
    EXPECT(put_config("c", "{\"targets\":[{\"provider\":\"openai\"},{\"provider\":\"mine\"}],"
                           "\"strategy\":{\"mode\":\"fallback\"}}"));
    EXPECT(!deleted("mine") && says("is named by config c"));
    EXPECT(put_config("c", "{\"provider\":\"@mine\"}"));
    EXPECT(!deleted("mine") && says("is named by config c"));
    EXPECT(put_config("c", "{\"provider\":\"openai\"}"));
    EXPECT(pk_store_guardrail_put(store, &arena, &g, &version, &err));
    EXPECT(!deleted("mine") && says("is named by guardrail g"));
    EXPECT(pk_store_guardrail_delete(store, PK_STR("g"), now_us, &existed, &err));
    EXPECT(deleted("mine"));
    EXPECT(!deleted("openai") && says("one of pk's own"));
    EXPECT(!deleted("never"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(what_is_said_of_one_is_checked);
    RUN(one_is_kept_with_all_its_members);
    RUN(every_way_of_naming_finds_it);
    RUN(a_change_is_seen_at_once);
    RUN(a_key_follows_to_another_path_but_not_to_another_host);
    RUN(one_in_use_stays);
    pk_resolver_free(resolver);
    pk_store_close(store);
    pk_arena_free(&arena);
    return test_end();
}
