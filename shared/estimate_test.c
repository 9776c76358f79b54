/* estimate_test.c - bounds hold, and hindsight is near.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "estimate.h"

#include "limit.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

static struct pk_json parsed(pk_str text)
{
    struct pk_error err = {0};
    struct pk_json doc = {.count = 0};

    if (!EXPECT(pk_json_parse(&arena, text, "body", &doc, &err)))
        printf("# %s\n", err.msg);
    return doc;
}

static struct pk_bound bound(const char *text, int64_t assumed)
{
    struct pk_json doc = parsed(pk_str_of(text));

    return pk_estimate_bound(&doc, assumed);
}

static const struct {
    const char *body;
    int64_t output;
} outputs[] = {
    {"{\"max_tokens\":10}", 10},
    {"{\"max_completion_tokens\":20,\"max_tokens\":10}", 20},
    {"{\"max_output_tokens\":7,\"n\":3}", 21},
    {"{\"max_tokens\":10,\"n\":2,\"best_of\":5}", 50},
    {"{\"max_tokens\":10,\"best_of\":3}", 30},
    {"{\"max_tokens\":0}", 99},
    {"{\"max_tokens\":-5}", 99},
    {"{\"max_tokens\":\"10\"}", 99},
    {"{\"n\":0}", 99},
    {"{\"n\":2}", 198},
    {"{\"n\":1000000,\"max_tokens\":1}", 128},
    {"{\"max_tokens\":9223372036854775807,\"n\":128}", INT64_C(1) << 47},
};

static void the_output_is_what_the_request_allows(void)
{
    for (size_t i = 0; i < PK_COUNT(outputs); i++)
        if (!EXPECT(bound(outputs[i].body, 99).output == outputs[i].output))
            printf("# %s\n", outputs[i].body);
    EXPECT(bound("{}", 0).output == PK_OUTPUT_ASSUMED);
}

static void the_input_is_at_most_its_bytes(void)
{
    static const char text[] =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hello big world\"}]}";

    EXPECT(bound(text, 0).input == (int64_t)strlen(text));
    EXPECT(!bound(text, 0).writes_cache);
    EXPECT(bound("{\"system\":[{\"cache_control\":{}}]}", 0).writes_cache);
    EXPECT(bound("{\"system\":[{\"cachePoint\":{}}]}", 0).writes_cache);
    EXPECT(!bound("{\"prompt\":\"what is cache_control\"}", 0).writes_cache);
}

/* One attachment, however it is spelled: its encoded bytes do not count. */
static const char *const attachments[] = {
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,%s\"}}",
    "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64,%s\"}",
    "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/"
    "png\",\"data\":\"%s\"}}",
    "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"data\":\"%s\"}}",
    "{\"type\":\"input_audio\",\"input_audio\":{\"format\":\"wav\",\"data\":\"%s\"}}",
    "{\"type\":\"file\",\"file\":{\"filename\":\"a.pdf\",\"file_data\":\"%s\"}}",
};

static void an_attachment_counts_the_same_whatever_its_bytes(void)
{
    static char content[40000];

    memset(content, 'A', sizeof content - 1);
    for (size_t i = 0; i < PK_COUNT(attachments); i++) {
        int marker = pk_str_find(pk_str_of(attachments[i]), '%');
        pk_str before = {attachments[i], (size_t)marker};
        pk_str whole =
            pk_copyf(&arena, "[%.*s%s%s]", PK_FMT(before), content, attachments[i] + marker + 2);
        struct pk_json doc = parsed(whole);
        int64_t input = pk_estimate_bound(&doc, 0).input;

        if (!EXPECT(input >= PK_ATTACHMENT_TOKENS && input < PK_ATTACHMENT_TOKENS + 200))
            printf("# %s: %lld\n", attachments[i], (long long)input);
    }
    EXPECT(
        bound("[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://a/b.png\"}}]", 0).input >
        PK_ATTACHMENT_TOKENS);
}

static void text_that_only_looks_like_one_counts_its_bytes(void)
{
    static const char document[] = "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"data\":"
                                   "\"a long text that the model reads\"}}";

    EXPECT(bound(document, 0).input == PK_ATTACHMENT_TOKENS + (int64_t)strlen(document));
    EXPECT(bound("{\"content\":\"data:text\"}", 0).input == 23);
    EXPECT(bound("{\"data\":\"0123456789\"}", 0).input == 21);
}

static const struct pk_price rows[] = {
    {.provider = {"p", 1},
     .model = {"cached", 6},
     .input = 10,
     .cache_read = 1,
     .cache_write = 12,
     .cache_write_1h = 20,
     .output = 50,
     .reasoning = 60},
    {.provider = {"p", 1},
     .model = {"half", 4},
     .input = 10,
     .cache_read = -1,
     .cache_write = -1,
     .cache_write_1h = -1,
     .output = -1,
     .reasoning = -1},
    {.provider = {"p", 1}, .model = {"long", 4}, .input = 1, .output = 2},
    {.provider = {"p", 1}, .model = {"long", 4}, .input = 3, .output = 4, .above_tokens = 100},
};
static const struct pk_prices prices = {.rows = rows, .count = PK_COUNT(rows)};

static int64_t cost(const char *model, int64_t input, int64_t output, bool writes)
{
    struct pk_bound b = {.input = input, .output = output, .writes_cache = writes};
    int64_t pusd = 0;

    return pk_estimate_cost(&prices, PK_STR("p"), pk_str_of(model), &b, 1, &pusd) ? pusd : -1;
}

static void a_bound_is_priced_at_the_dearest_that_it_may_be(void)
{
    EXPECT(cost("cached", 100, 10, false) == 100 * 10 + 10 * 60);
    EXPECT(cost("cached", 100, 10, true) == 100 * 20 + 10 * 60);
    EXPECT(cost("long", 100, 1, false) == 102);
    EXPECT(cost("long", 101, 1, false) == 307);
    EXPECT(cost("half", 1, 1, false) == -1);
    EXPECT(cost("half", 3, 0, false) == 30); /* of embeddings, which have no output */
    EXPECT(cost("none", 1, 1, false) == -1);
    EXPECT(cost("cached", INT64_C(1) << 40, INT64_C(1) << 60, true) == PK_LIMIT_AMOUNT_MAX);
}

static void hindsight_counts_texts(void)
{
    struct pk_json doc =
        parsed(PK_STR("{\"messages\":[{\"role\":\"user\",\"content\":\"12345678\"}]}"));

    int64_t named = 0;
    static const char *const words[] = {"messages", "role", "user", "content", "12345678"};
    for (size_t i = 0; i < PK_COUNT(words); i++)
        named += pk_tokens_count(PK_FAMILY_o200k, pk_str_of(words[i]));
    EXPECT(pk_estimate_tokens_of(&arena, &doc, PK_FAMILY_o200k) == named && named < 12);
    doc = parsed(PK_STR(
        "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAAAAAA\"}}"));
    EXPECT(pk_estimate_tokens_of(&arena, &doc, PK_FAMILY_o200k) >= PK_ATTACHMENT_USUAL &&
           pk_estimate_tokens_of(&arena, &doc, PK_FAMILY_o200k) < PK_ATTACHMENT_USUAL + 20);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(the_output_is_what_the_request_allows);
    RUN(the_input_is_at_most_its_bytes);
    RUN(an_attachment_counts_the_same_whatever_its_bytes);
    RUN(text_that_only_looks_like_one_counts_its_bytes);
    RUN(a_bound_is_priced_at_the_dearest_that_it_may_be);
    RUN(hindsight_counts_texts);
    pk_arena_free(&arena);
    return test_end();
}
