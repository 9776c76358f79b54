/* cachekey_test.c - who may share a cached answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "cachekey.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

struct asked {
    const char *config, *headers, *forward, *body, *api_key, *ns;
};

/* The key of a call; all zero when it has none. */
static void key_of(const struct asked *a, uint8_t key[PK_CACHE_KEY_BYTES])
{
    static struct pk_config config;
    struct pk_request req = {
        .operation = &pk_operation_chat,
        .headers = pk_str_of(a->headers),
        .forward = pk_str_of(a->forward),
        .api_key = pk_str_of(a->api_key),
        .cache_ns = pk_str_of(a->ns),
        .body = pk_str_of(a->body ? a->body : "{\"model\":\"m\",\"messages\":[]}"),
    };
    struct pk_error err;
    struct pk_json body;

    memset(key, 0, PK_CACHE_KEY_BYTES);
    EXPECT(pk_config_parse(&arena, pk_str_of(a->config), &config, &err));
    EXPECT(pk_json_parse(&arena, req.body, "body", &body, &err));
    struct pk_cache_question q = {&config, UINT64_MAX, &config.targets[0].cache, &req, &body, NULL};
    EXPECT(pk_cache_key(&arena, &q, key, &err));
}

static bool shared(struct asked a, struct asked b)
{
    uint8_t x[PK_CACHE_KEY_BYTES], y[PK_CACHE_KEY_BYTES];

    key_of(&a, x);
    key_of(&b, y);
    return memcmp(x, y, sizeof x) == 0;
}

#define OPENAI "{\"provider\":\"openai\",\"custom_host\":\"http://127.0.0.1:1/v1\""

static void equal_requests_share(void)
{
    struct asked a = {.config = OPENAI "}", .headers = "x-tenant: a\r\n"};
    struct asked b = {.config = OPENAI "}",
                      .body = "{ \"messages\":[], \"model\":\"m\", \"stream\":true}"};

    EXPECT(shared(a, b));
}

/* Names and sizes of files are among the fields; what is in them is not. */
static void the_contents_of_files_count(void)
{
    static struct pk_config config;
    static const char *const contents[] = {"one", "two", "one"};
    uint8_t keys[PK_COUNT(contents)][PK_CACHE_KEY_BYTES];
    struct pk_request req = {.operation = &pk_operation_transcriptions};
    struct pk_error err;
    struct pk_json body;

    EXPECT(pk_config_parse(&arena, PK_STR(OPENAI "}"), &config, &err));
    EXPECT(pk_json_parse(&arena, PK_STR("{\"model\":\"m\"}"), "body", &body, &err));
    for (size_t i = 0; i < PK_COUNT(contents); i++) {
        struct pk_form_part part = {
            .name = PK_STR("file"), .content = pk_str_of(contents[i]), .file = true};
        struct pk_form form = {.parts = &part, .count = 1};
        struct pk_cache_question q = {.config = &config,
                                      .targets = UINT64_MAX,
                                      .policy = &config.targets[0].cache,
                                      .req = &req,
                                      .body = &body,
                                      .form = &form};

        EXPECT(pk_cache_key(&arena, &q, keys[i], &err));
    }
    EXPECT(memcmp(keys[0], keys[1], sizeof keys[0]) != 0);
    EXPECT(memcmp(keys[0], keys[2], sizeof keys[0]) == 0);
}

/* What a condition has chosen decides who may answer, and so what is the same question. */
static void only_targets_that_may_answer_count(void)
{
    static struct pk_config config;
    static const uint64_t sets[] = {1, 2, 3, 3};
    uint8_t keys[PK_COUNT(sets)][PK_CACHE_KEY_BYTES];
    struct pk_request req = {.body = PK_STR("{\"messages\":[]}")};
    struct pk_error err;
    struct pk_json body;

    EXPECT(pk_config_parse(&arena,
                           PK_STR("{\"strategy\":{\"mode\":\"fallback\"},\"targets\":[" OPENAI
                                  "}," OPENAI ",\"override_params\":{\"model\":\"m\"}}]}"),
                           &config, &err));
    EXPECT(pk_json_parse(&arena, req.body, "body", &body, &err));
    for (size_t i = 0; i < PK_COUNT(sets); i++) {
        struct pk_cache_question q = {&config, sets[i], &config.targets[0].cache,
                                      &req,    &body,   NULL};

        EXPECT(pk_cache_key(&arena, &q, keys[i], &err));
        for (size_t k = 0; k < i; k++)
            EXPECT((memcmp(keys[k], keys[i], sizeof keys[i]) == 0) == (sets[k] == sets[i]));
    }
}

static void another_key_is_another_tenant(void)
{
    struct asked a = {.config = OPENAI ",\"api_key\":\"sk-a\"}"};
    struct asked b = {.config = OPENAI ",\"api_key\":\"sk-b\"}"};

    EXPECT(shared(a, a) && !shared(a, b));
}

static void a_header_that_is_forwarded_counts(void)
{
    static const char config[] = OPENAI ",\"forward_headers\":[\"Authorization\"]}";
    struct asked a = {.config = config, .headers = "authorization: Bearer a\r\n"};
    struct asked b = {.config = config, .headers = "authorization: Bearer b\r\n"};
    struct asked none = {.config = config};

    EXPECT(shared(a, a) && !shared(a, b) && !shared(a, none));
}

static void a_header_that_the_request_forwards_counts(void)
{
    struct asked a = {.config = OPENAI "}", .headers = "x-team: a\r\n", .forward = "x-a, X-Team"};
    struct asked b = {.config = OPENAI "}", .headers = "x-team: b\r\n", .forward = "x-a, X-Team"};

    EXPECT(shared(a, a) && !shared(a, b));
}

static void a_header_counts_where_it_goes(void)
{
    struct asked a = {.config = "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":["
                                "{\"provider\":\"openai\",\"forward_headers\":[\"x-team\"]},"
                                "{\"provider\":\"openai\"}]}",
                      .headers = "x-team: a\r\n"};
    struct asked b = {.config = "{\"strategy\":{\"mode\":\"fallback\"},\"targets\":["
                                "{\"provider\":\"openai\"},"
                                "{\"provider\":\"openai\",\"forward_headers\":[\"x-team\"]}]}",
                      .headers = "x-team: a\r\n"};

    EXPECT(!shared(a, b));
}

static void keys_of_the_gateway_share_only_a_namespace(void)
{
    struct asked a = {.config = OPENAI "}", .api_key = "ann"};
    struct asked b = {.config = OPENAI "}", .api_key = "bob"};

    EXPECT(shared(a, a) && !shared(a, b));
    a.ns = b.ns = "team";
    EXPECT(shared(a, b));
    b.ns = "other";
    EXPECT(!shared(a, b));
    a = (struct asked){.config = OPENAI ",\"cache\":{\"mode\":\"simple\",\"namespace\":\"team\"}}",
                       .api_key = "ann"};
    b = (struct asked){.config = OPENAI "}", .ns = "team"};
    EXPECT(shared(a, b)); /* it is the same namespace, wherever it is said */
}

/* A redacted answer is kept redacted, and must not be given to those who asked for the whole. */
static void who_changes_answers_alike_may_share(void)
{
    static const char *const configs[] = {
        OPENAI "}",
        OPENAI ",\"guardrails\":{\"output\":[{\"type\":\"pii\",\"action\":\"redact\"}]}}",
        OPENAI ",\"guardrails\":{\"output\":[{\"type\":\"contains\",\"deny\":[\"a\"],"
               "\"action\":\"redact\"}]}}",
        OPENAI ",\"guardrails\":{\"output\":[{\"type\":\"contains\",\"deny\":[\"b\"],"
               "\"action\":\"redact\"}]}}",
        OPENAI ",\"output_guardrails\":[{\"default.regexReplace\":{\"rule\":\"a\"}}]}",
    };
    struct asked judges = {.config = OPENAI ",\"guardrails\":{\"output\":[{\"type\":\"pii\"}]}}"};

    EXPECT(shared(judges, (struct asked){.config = configs[0]}));
    for (size_t i = 0; i < PK_COUNT(configs); i++) {
        struct asked one = {.config = configs[i]};

        for (size_t k = 0; k < PK_COUNT(configs); k++) {
            struct asked other = {.config = configs[k]};

            EXPECT(shared(one, other) == (i == k));
        }
    }
}

/* --- likeness --------------------------------------------------------------------------------- */

static const char *like_of(const char *text)
{
    struct pk_error err;
    struct pk_json body;
    int node;

    EXPECT(pk_json_parse(&arena, pk_str_of(text), "body", &body, &err));
    pk_str like = pk_cache_like(&arena, &body,
                                pk_json_get(&body, 0, "input") >= 0 ? "input" : "messages", &node);
    EXPECT((node >= 0) == (like.len > 0));
    return pk_copy(&arena, like).at;
}

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define SAYS(list)    "{\"model\":\"m\",\"messages\":[" list "]}"

static void the_last_user_text_is_what_is_alike(void)
{
    static const char *const cases[][2] = {
        {SAYS(USER("\"a\\nb\"")), "a\nb"},
        {SAYS("{\"role\":\"system\",\"content\":\"s\"}," USER("\"hi\"")), "hi"},
        {SAYS(USER("[{\"type\":\"text\",\"text\":\"hi\"}]")), "hi"},
        {SAYS(USER("[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]")), ""},
        {SAYS(USER("[{\"type\":\"image_url\",\"image_url\":{}}]")), ""},
        {SAYS(USER("\"hi\"") ",{\"role\":\"assistant\",\"content\":\"yes\"}"), ""},
        {SAYS(USER("\"hi\"") ",{\"role\":\"tool\",\"content\":\"7\"}"), ""},
        {SAYS(USER("\" \"")), ""},
        {SAYS(USER("null")), ""},
        {SAYS(USER("[]")), ""},
        {SAYS(""), ""},
        {"{}", ""},
        {"{\"messages\":7}", ""},
        {"{\"input\":\"hi\"}", "hi"},
        {"{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}]"
         "}",
         "hi"},
        {"{\"input\":[{\"type\":\"function_call_output\",\"output\":\"7\"}]}", ""},
        {"{\"messages\":[" USER("\"hi\"") "],\"tools\":[{}]}", ""},
        {"{\"messages\":[" USER("\"hi\"") "],\"tools\":[]}", "hi"},
        {SAYS(USER("\"1\"") "," USER("\"2\"") "," USER("\"3\"") "," USER("\"4\"")), "4"},
        {SAYS(
             USER("\"1\"") "," USER("\"2\"") "," USER("\"3\"") "," USER("\"4\"") "," USER("\"5\"")),
         ""},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(strcmp(like_of(cases[i][0]), cases[i][1]) == 0))
            printf("# %s\n", cases[i][0]);
}

static void a_long_text_is_like_nothing(void)
{
    struct pk_buf text = pk_buf_in(&arena, 1 << 20);

    pk_buf_adds(&text, "{\"messages\":[{\"role\":\"user\",\"content\":\"");
    for (int i = 0; i <= PK_LIKE_TEXT_BYTES_MAX; i++)
        pk_buf_addc(&text, 'x');
    pk_buf_adds(&text, "\"}]}");
    EXPECT(*like_of(pk_copy(&arena, pk_buf_str(&text)).at) == 0);
}

static bool one_gate(const char *const config[2], const char *const body[2], const int dims[2])
{
    static struct pk_config parsed;
    uint8_t gates[2][PK_CACHE_KEY_BYTES];

    for (int i = 0; i < 2; i++) {
        struct pk_request req = {.operation = &pk_operation_chat, .body = pk_str_of(body[i])};
        struct pk_error err;
        struct pk_json doc;
        int node;

        EXPECT(pk_config_parse(&arena, pk_str_of(config[i]), &parsed, &err));
        EXPECT(pk_json_parse(&arena, req.body, "body", &doc, &err));
        EXPECT(pk_cache_like(&arena, &doc, "messages", &node).len > 0);
        struct pk_cache_question q = {&parsed, UINT64_MAX, &parsed.targets[0].cache,
                                      &req,    &doc,       NULL};
        EXPECT(pk_cache_gate(&arena, &q, node, dims[i], gates[i], &err));
    }
    return memcmp(gates[0], gates[1], PK_CACHE_KEY_BYTES) == 0;
}

#define EMBEDDER(model)                                                                            \
    OPENAI ",\"cache\":{\"mode\":\"semantic\",\"embedder\":{\"provider\":\"openai\",\"model\":"    \
           "\"" model "\"}}}"

static void all_but_the_text_is_in_the_gate(void)
{
    static const char *const config[] = {EMBEDDER("e"), EMBEDDER("e")};
    static const int dims[] = {8, 8};
    static const struct {
        bool same;
        const char *body[2];
    } cases[] = {
        {true, {SAYS(USER("\"one\"")), SAYS(USER("\"two\""))}},
        {true,
         {SAYS(USER("\"one\"")),
          "{ \"stream\":true, \"messages\":[" USER("\"two\"") "],\"model\":\"m\"}"}},
        {false, {SAYS(USER("\"one\"")), SAYS(USER("\"zero\"") "," USER("\"one\""))}},
        {false, {SAYS(USER("\"one\"")), "{\"model\":\"n\",\"messages\":[" USER("\"one\"") "]}"}},
        {false,
         {SAYS(USER("\"one\"")), "{\"model\":\"m\",\"n\":2,\"messages\":[" USER("\"one\"") "]}"}},
        {false, {SAYS(USER("\"one\"")), SAYS(USER("[{\"type\":\"text\",\"text\":\"one\"}]"))}},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(one_gate(config, cases[i].body, dims) == cases[i].same))
            printf("# %s\n# %s\n", cases[i].body[0], cases[i].body[1]);
}

static void the_embedder_is_in_the_gate(void)
{
    static const char *const body[] = {SAYS(USER("\"one\"")), SAYS(USER("\"one\""))};
    static const char *const same[] = {EMBEDDER("e"), EMBEDDER("e")};
    static const char *const other[] = {EMBEDDER("e"), EMBEDDER("f")};

    EXPECT(one_gate(same, body, (const int[]){8, 8}));
    EXPECT(!one_gate(other, body, (const int[]){8, 8}));
    EXPECT(!one_gate(same, body, (const int[]){8, 9}));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(equal_requests_share);
    RUN(only_targets_that_may_answer_count);
    RUN(the_contents_of_files_count);
    RUN(another_key_is_another_tenant);
    RUN(a_header_that_is_forwarded_counts);
    RUN(a_header_that_the_request_forwards_counts);
    RUN(a_header_counts_where_it_goes);
    RUN(keys_of_the_gateway_share_only_a_namespace);
    RUN(who_changes_answers_alike_may_share);
    RUN(the_last_user_text_is_what_is_alike);
    RUN(a_long_text_is_like_nothing);
    RUN(all_but_the_text_is_in_the_gate);
    RUN(the_embedder_is_in_the_gate);
    pk_arena_free(&arena);
    return test_end();
}
