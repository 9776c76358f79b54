/* cachekey_test.c - who may share a cached answer.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "cachekey.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

struct asked {
    const char *config, *headers, *forward, *body;
};

/* The key of a call; all zero when it has none. */
static void key_of(const struct asked *a, uint8_t key[PK_CACHE_KEY_BYTES])
{
    static struct pk_config config;
    struct pk_request req = {
        .operation = PK_STR("chat"),
        .headers = pk_str_of(a->headers),
        .forward = pk_str_of(a->forward),
        .body = pk_str_of(a->body ? a->body : "{\"model\":\"m\",\"messages\":[]}"),
    };
    struct pk_error err;
    struct pk_json body;

    memset(key, 0, PK_CACHE_KEY_BYTES);
    EXPECT(pk_config_parse(&arena, pk_str_of(a->config), &config, &err));
    EXPECT(pk_json_parse(&arena, req.body, "body", &body, &err));
    struct pk_cache_question q = {&config, UINT64_MAX, &config.targets[0].cache, &req, &body};
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
        struct pk_cache_question q = {&config, sets[i], &config.targets[0].cache, &req, &body};

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

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(equal_requests_share);
    RUN(only_targets_that_may_answer_count);
    RUN(another_key_is_another_tenant);
    RUN(a_header_that_is_forwarded_counts);
    RUN(a_header_that_the_request_forwards_counts);
    RUN(a_header_counts_where_it_goes);
    pk_arena_free(&arena);
    return test_end();
}
