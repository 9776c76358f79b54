/* config_cache_test.c - what a config may say about the cache, and who makes its vectors.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config.h"
#include "test.h"

#include <math.h>
#include <string.h>

static struct pk_arena arena;
static struct pk_config config;
static struct pk_error err;

/* As it is resolved, with `otherwise` for the environment's embedder. */
static bool ready(const char *text, const char *otherwise)
{
    err = (struct pk_error){0};
    return pk_config_parse(&arena, pk_str_of(text), &config, &err) &&
           pk_config_embed(&arena, pk_str_of(otherwise), &config, &err) &&
           pk_config_ready(&config, &err);
}

static const struct pk_embedder *embedder_of(int target)
{
    return &config.embedders[config.targets[target].cache.embedder];
}

#define CACHE(text)    "{\"provider\":\"openai\",\"cache\":" text "}"
#define EMBEDDER(text) CACHE("{\"mode\":\"semantic\",\"embedder\":" text "}")

static void errors_name_the_path(void)
{
    static const struct {
        const char *text, *otherwise, *message;
    } cases[] = {
        {CACHE("{\"mode\":\"fuzzy\"}"), "", "cache.mode: must be \"simple\" or \"semantic\""},
        {CACHE("{\"mode\":\"semantic\",\"similarity_threshold\":0}"), "openai",
         "cache.similarity_threshold: must be above 0 and at most 1"},
        {CACHE("{\"mode\":\"semantic\",\"similarity_threshold\":1.01}"), "openai",
         "cache.similarity_threshold: must be above 0 and at most 1"},
        {CACHE("{\"mode\":\"semantic\",\"similarity_threshold\":\"0.9\"}"), "openai",
         "cache.similarity_threshold: must be above 0 and at most 1"},
        {CACHE("{\"mode\":\"simple\",\"similarity_threshold\":0.9}"), "",
         "cache.similarity_threshold: is for mode \"semantic\""},
        {CACHE("{\"mode\":\"simple\",\"embedder\":\"openai\"}"), "",
         "cache.embedder: is for mode \"semantic\""},
        {CACHE("{\"mode\":\"semantic\",\"treshold\":0.9}"), "openai",
         "cache: unknown key \"treshold\""},
        {EMBEDDER("{\"provider\":\"nope\"}"), "",
         "config.cache.embedder.provider: unknown provider \"nope\""},
        {EMBEDDER("{\"model\":\"m\"}"), "",
         "cache.embedder.provider: must be given, or virtual_key"},
        {EMBEDDER("{\"provider\":\"openai\",\"weight\":1}"), "",
         "cache.embedder: unknown key \"weight\""},
        {EMBEDDER("{\"provider\":\"openai\",\"dimensions\":0}"), "",
         "cache.embedder.dimensions: must be 1..4096"},
        {EMBEDDER("{\"provider\":\"openai\",\"dimensions\":4097}"), "",
         "cache.embedder.dimensions: must be 0..4096"},
        {EMBEDDER("{\"provider\":\"groq\"}"), "",
         "config.cache.embedder.model: must be given for provider groq"},
        {EMBEDDER("{\"provider\":\"anthropic\",\"model\":\"m\"}"), "",
         "config.cache.embedder.provider: anthropic has no embeddings"},
        {EMBEDDER("7"), "", "cache.embedder: must be a string"},
        {EMBEDDER("\"my-key\""), "", "config.cache.embedder.virtual_key: \"my-key\" is not bound"},
        {CACHE("{\"mode\":\"semantic\"}"), "my-key",
         "PK_EMBEDDER.virtual_key: \"my-key\" is not bound"},
        {CACHE("{\"mode\":\"semantic\"}"), "{\"provider\":\"x\"}",
         "PK_EMBEDDER.provider: unknown provider \"x\""},
        {CACHE("{\"mode\":\"semantic\"}"), "{", "PK_EMBEDDER: JSON: not valid JSON"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        bool ok = !ready(cases[i].text, cases[i].otherwise) &&
                  strncmp(err.msg, cases[i].message, strlen(cases[i].message)) == 0;

        if (!EXPECT(ok))
            printf("# %s\n# got: %s\n", cases[i].text, err.msg);
    }
}

static void both_spellings_mean_the_same(void)
{
    static const char *const texts[] = {
        EMBEDDER(
            "{\"virtual_key\":\"k\",\"custom_host\":\"http://localhost:1/v1/\",\"model\":\"e\","
            "\"request_timeout\":\"2s\",\"dimensions\":256}"),
        EMBEDDER("{\"virtualKey\":\"k\",\"customHost\":\"http://localhost:1/v1\",\"model\":\"e\","
                 "\"requestTimeout\":\"2s\",\"dimensions\":256}"),
        "{\"provider\":\"openai\",\"cache\":{\"mode\":\"semantic\",\"similarityThreshold\":0.95,"
        "\"embedder\":{\"provider\":\"@k\",\"custom_host\":\"http://localhost:1/"
        "v1\",\"model\":\"e\","
        "\"request_timeout\":2000,\"dimensions\":256}}}",
    };

    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        (void)ready(texts[i], "");
        EXPECT(config.embedder_count == 1);
        const struct pk_embedder *e = embedder_of(0);
        EXPECT(fabs(config.targets[0].cache.threshold - 0.95) < 1e-9);
        EXPECT(pk_str_is(e->target.virtual_key, "k") && pk_str_is(e->model, "e"));
        EXPECT(pk_str_is(e->target.custom_host, "http://localhost:1/v1"));
        EXPECT(e->target.timeouts.request_ms == 2000 && e->dimensions == 256);
    }
}

static void targets_inherit_one_embedder(void)
{
    EXPECT(
        ready("{\"strategy\":{\"mode\":\"fallback\"},\"cache\":{\"mode\":\"semantic\","
              "\"similarity_threshold\":0.8,\"embedder\":\"openai\"},\"targets\":[{\"provider\":"
              "\"groq\"},{\"provider\":\"openai\",\"cache\":{\"mode\":\"simple\"}},{\"provider\":"
              "\"openai\",\"cache\":{\"mode\":\"semantic\"}}]}",
              "{\"provider\":\"mistral-ai\"}"));
    EXPECT(config.embedder_count == 2);
    EXPECT(pk_str_is(embedder_of(0)->model, "text-embedding-3-small"));
    EXPECT(pk_str_is(embedder_of(0)->target.path, "config.cache.embedder"));
    EXPECT(config.targets[1].cache.mode == PK_CACHE_SIMPLE);
    EXPECT(pk_str_is(embedder_of(2)->model, "mistral-embed"));
    EXPECT(pk_str_is(embedder_of(2)->target.path, "PK_EMBEDDER"));
}

static void a_document_without_an_embedder_parses(void)
{
    EXPECT(pk_config_parse(&arena, PK_STR(CACHE("{\"mode\":\"semantic\",\"max_age\":86400}")),
                           &config, &err));
    EXPECT(ready(CACHE("{\"mode\":\"simple\"}"), "not needed"));
    EXPECT(config.embedder_count == 0);
}

static void a_literal_key_is_found(void)
{
    pk_str path;

    EXPECT(ready(EMBEDDER("{\"provider\":\"openai\",\"api_key\":\"k\"}"), ""));
    EXPECT(pk_config_has_literal_key(&config, &path) && pk_str_is(path, "config.cache.embedder"));
    EXPECT(pk_str_is(embedder_of(0)->target.key.value, "k"));
    EXPECT(ready(CACHE("{\"mode\":\"semantic\"}"), "{\"provider\":\"openai\",\"api_key\":\"k\"}"));
    EXPECT(!pk_config_has_literal_key(&config, &path)); /* it is the environment's */
}

static void embedders_are_bounded(void)
{
    struct pk_buf text = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);

    pk_buf_adds(&text, "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[");
    for (int i = 0; i <= PK_EMBEDDERS_MAX; i++)
        pk_buf_addf(&text, "%s%s", i ? "," : "", EMBEDDER("\"openai\""));
    pk_buf_adds(&text, "]}");
    EXPECT(!pk_config_parse(&arena, pk_buf_str(&text), &config, &err));
    EXPECT(strcmp(err.msg, "targets[8].cache.embedder: more than 8 embedders") == 0);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(errors_name_the_path);
    RUN(both_spellings_mean_the_same);
    RUN(targets_inherit_one_embedder);
    RUN(a_document_without_an_embedder_parses);
    RUN(a_literal_key_is_found);
    RUN(embedders_are_bounded);
    pk_arena_free(&arena);
    return test_end();
}
