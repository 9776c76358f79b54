/* record_test.c - a record survives the trip through bytes; ids and dollars as text.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "record.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_span spans[2];
static struct pk_outcome outcome;
static struct pk_feedback feedback;
static struct pk_record_room room; /* of one that is read back */

/* Every field set to something of its own. */
static void fill_texts(struct pk_record *r)
{
    r->trace_id = PK_STR("trace");
    r->span_id = PK_STR("span");
    r->parent_span_id = PK_STR("parent");
    r->span_name = PK_STR("name");
    r->query_id = PK_STR("query");
    r->operation = PK_STR("chat");
    r->source = PK_STR("http");
    r->provider = PK_STR("openai");
    r->request_model = PK_STR("gpt");
    r->model = PK_STR("gpt-1");
    r->config = PK_STR("prod");
    r->target_path = PK_STR("config.targets[1]");
    r->virtual_key = PK_STR("vk");
    r->api_key = PK_STR("ak");
    r->user_id = PK_STR("ann");
    r->prompt = PK_STR("hello@3");
    r->error_message = PK_STR("no");
    r->finish_reason = PK_STR("stop");
    r->cost_reason = PK_STR("why");
    r->cache_key = PK_STR("key");
    r->guardrail_verdict = PK_STR("ok");
    r->metadata = PK_STR("{\"a\":1}");
    r->request = PK_STR("{\"b\":\"\xc3\xa4\"}");
    r->response = PK_STR("{}");
    r->dropped = PK_STR("seed");
}

static void fill_lists(struct pk_record *r)
{
    r->circuit = PK_STR("prod");
    r->circuit_version = 3;
    r->outcome_count = 1;
    r->outcomes = &outcome;
    r->feedback = &feedback;
    r->outcomes[0] = (struct pk_outcome){.target_path = PK_STR("config.targets[0]"),
                                         .breaker = {5, 20, 10, 60000},
                                         .attempts = 2,
                                         .failures = 1,
                                         .at_us = 17};
    r->feedback_count = 1;
    r->feedback[0] = (struct pk_feedback){.at_us = 9,
                                          .trace_id = PK_STR("trace"),
                                          .value = -5,
                                          .weight = 0.5,
                                          .metadata = PK_STR("{}")};
}

static struct pk_record full_record(void)
{
    struct pk_record r = {
        .id = {1, 2, 3, 255},
        .started_us = 1763725112123456,
        .ended_us = 1763725113000000,
        .first_token_us = 1763725112500000,
        .upstream_us = 800000,
        .attempts = 4,
        .retries = 2,
        .fallback_index = 1,
        .retries_exhausted = true,
        .stream = true,
        .status = PK_ST_TRUNCATED,
        .http_status = 446,
        .code = PK_UPSTREAM,
        .usage = {PK_USAGE_PROVIDER, 1, 2, 3, 4, 5, 6},
        .cost_known = true,
        .cost_pusd = INT64_MAX,
        .cost_saved_pusd = -7,
        .cache_status = PK_CS_SEMANTIC_HIT,
        .cache_similarity = 0.97,
        .span_count = 2,
        .spans = spans,
    };

    fill_texts(&r);
    r.spans[0] = (struct pk_span){
        .kind = PK_SPAN_CACHE, .target_path = PK_STR("config"), .started_us = 1, .ended_us = 2};
    r.spans[1] = (struct pk_span){.kind = PK_SPAN_ATTEMPT,
                                  .target_path = PK_STR("config.targets[0]"),
                                  .provider = PK_STR("openai"),
                                  .model = PK_STR("gpt-1"),
                                  .started_us = 3,
                                  .first_byte_us = 4,
                                  .ended_us = 5,
                                  .status = 503,
                                  .code = PK_UPSTREAM,
                                  .message = PK_STR("busy"),
                                  .wait_ms = 250,
                                  .name = PK_STR("no-pii"),
                                  .used = true,
                                  .input_tokens = 11,
                                  .output_tokens = 12,
                                  .cost_known = true,
                                  .cost_pusd = 13};
    fill_lists(&r);
    return r;
}

static pk_str encoded(struct pk_record *r)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);

    pk_record_encode(r, &out);
    EXPECT(!out.failed);
    return pk_buf_str(&out);
}

static void a_record_reads_back_as_it_was_written(void)
{
    struct pk_record r = full_record(), back;
    pk_str bytes = encoded(&r);

    EXPECT(pk_record_decode(bytes, &back, &room));
    EXPECT(pk_str_eq(encoded(&back), bytes));
    EXPECT(memcmp(back.id, r.id, sizeof r.id) == 0);
    EXPECT(pk_str_is(back.trace_id, "trace"));
    EXPECT(pk_str_is(back.request, "{\"b\":\"\xc3\xa4\"}"));
    EXPECT(back.started_us == r.started_us && back.cost_saved_pusd == -7 &&
           back.cost_pusd == INT64_MAX);
    EXPECT(back.status == PK_ST_TRUNCATED && back.code == PK_UPSTREAM && back.stream);
    EXPECT(back.usage.reasoning == 6 && back.usage.source == PK_USAGE_PROVIDER);
    EXPECT(back.cache_similarity > 0.96 && back.cache_similarity < 0.98);
    EXPECT(back.span_count == 2 && back.spans[1].status == 503 && back.spans[1].wait_ms == 250);
    EXPECT(pk_str_is(back.spans[1].name, "no-pii") && back.feedback[0].value == -5);
    EXPECT(pk_str_is(back.spans[1].message, "busy") && back.spans[0].kind == PK_SPAN_CACHE);
}

static void a_usual_record_is_small(void)
{
    struct pk_record r = full_record();

    EXPECT(encoded(&r).len < 400);
}

static void a_buffer_that_is_too_small_fails(void)
{
    struct pk_record r = full_record(), back;
    pk_str bytes = encoded(&r);

    for (size_t max = 0; max < bytes.len; max++) {
        struct pk_buf out = pk_buf_in(&arena, max);

        pk_record_encode(&r, &out);
        EXPECT(out.failed && out.len <= max);
    }
    for (size_t cap = 1; cap <= 2 * bytes.len; cap++) { /* one that has to grow, anywhere */
        struct pk_buf out = pk_buf_in(&arena, 1 << 20);

        (void)pk_buf_room(&out, cap);
        pk_record_encode(&r, &out);
        EXPECT(pk_str_eq(pk_buf_str(&out), bytes));
        EXPECT(pk_record_decode(pk_buf_str(&out), &back, &room));
    }
}

static void every_truncation_is_refused(void)
{
    struct pk_record r = full_record(), back;
    pk_str bytes = encoded(&r);

    for (size_t len = 0; len < bytes.len; len++)
        EXPECT(!pk_record_decode((pk_str){bytes.at, len}, &back, &room));
}

static void trailing_bytes_and_other_versions_are_refused(void)
{
    struct pk_record r = full_record(), back;
    struct pk_buf out = pk_buf_in(&arena, 1 << 20);

    pk_record_encode(&r, &out);
    pk_buf_addc(&out, 0);
    EXPECT(!pk_record_decode(pk_buf_str(&out), &back, &room));
    out.len--;
    EXPECT(pk_record_decode(pk_buf_str(&out), &back, &room));
    out.at[0] = 0;
    EXPECT(!pk_record_decode(pk_buf_str(&out), &back, &room));
    out.at[0] = 6;
    EXPECT(!pk_record_decode(pk_buf_str(&out), &back, &room));
}

/* Whatever the bytes, decoding stays inside them; what it accepts can be written again. */
static void damaged_bytes_never_lead_astray(void)
{
    struct pk_record r = full_record(), back;
    pk_str good = encoded(&r);
    uint64_t seed = 7;
    int accepted = 0;

    for (int i = 0; i < 20000; i++) {
        char *bytes = malloc(good.len); /* its own block, so that a sanitizer sees the end */
        size_t len = good.len - pk_random_next(&seed) % 3;

        if (!EXPECT(bytes))
            return;
        memcpy(bytes, good.at, good.len);
        for (int n = 0; n < 3; n++)
            bytes[pk_random_next(&seed) % good.len] = (char)pk_random_next(&seed);
        if (pk_record_decode((pk_str){bytes, len}, &back, &room)) {
            EXPECT(encoded(&back).len > 0);
            accepted++;
        }
        free(bytes);
        pk_arena_free(&arena);
        good = encoded(&r);
    }
    EXPECT(accepted > 0 && accepted < 20000);
}

static void ids_sort_by_time_and_carry_version_7(void)
{
    uint64_t random = UINT64_MAX;
    uint8_t early[PK_UUID_BYTES], late[PK_UUID_BYTES];
    char text[PK_UUID_TEXT + 1];

    pk_uuid7(1645557742000000, random, early);
    pk_uuid_print(early, text);
    EXPECT(pk_str_is(pk_str_of(text), "017f22e2-79b0-7000-bfff-ffffffffffff"));
    random = 0;
    uint8_t back[PK_UUID_BYTES];
    EXPECT(pk_uuid_parse(pk_str_of(text), back) && memcmp(back, early, sizeof back) == 0);
    EXPECT(pk_uuid_parse(PK_STR("0123ABCD-ef01-7234-8567-89AbcDEF0123"), back) && back[2] == 0xab);
    EXPECT(!pk_uuid_parse(PK_STR("0123abcdef0172348567-89abcdef0123"), back));
    EXPECT(!pk_uuid_parse(PK_STR("0123abcd-ef01-7234-8567-89abcdef012"), back));
    EXPECT(!pk_uuid_parse(PK_STR("0123abcd-ef01-7234-8567-89abcdef01234"), back));
    EXPECT(!pk_uuid_parse(PK_STR("0123abcd-ef01-7234-8567-89abcdefzz0123"), back));
    EXPECT(!pk_uuid_parse(PK_NONE, back));
    pk_uuid7(1645557742001000, random, late);
    pk_uuid_print(late, text);
    EXPECT(pk_str_is(pk_str_of(text), "017f22e2-79b1-7000-8000-000000000000"));
    EXPECT(memcmp(early, late, PK_UUID_BYTES) < 0);
    pk_uuid7(1645557742001001, 0, early); /* a microsecond later */
    EXPECT(memcmp(early, late, PK_UUID_BYTES) > 0);
    pk_uuid7(1645557742001999, UINT64_MAX, early);
    pk_uuid7(1645557742002000, 0, late);
    EXPECT(memcmp(early, late, PK_UUID_BYTES) < 0);
}

static void dollars_print_exactly(void)
{
    static const struct {
        int64_t pusd;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "0.000000000001"},
        {420000000, "0.00042"},
        {1000000000000, "1"},
        {12500000000000, "12.5"},
        {-420000000, "-0.00042"},
        {INT64_MAX, "9223372.036854775807"},
        {INT64_MIN, "-9223372.036854775808"},
    };
    char text[32];

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_usd_print(cases[i].pusd, text);
        EXPECT(pk_str_is(pk_str_of(text), cases[i].text));
    }
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(a_record_reads_back_as_it_was_written);
    RUN(a_usual_record_is_small);
    RUN(a_buffer_that_is_too_small_fails);
    RUN(every_truncation_is_refused);
    RUN(trailing_bytes_and_other_versions_are_refused);
    RUN(damaged_bytes_never_lead_astray);
    RUN(ids_sort_by_time_and_carry_version_7);
    RUN(dollars_print_exactly);
    pk_arena_free(&arena);
    return test_end();
}
