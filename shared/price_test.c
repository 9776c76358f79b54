/* price_test.c - which price applies, and exact sums.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "price.h"

#include "test.h"

static const struct pk_price rows[] = {
    /* provider  model        in     read  write 1h  out    reason above   from to max window batch: in read out */
    {{"a", 1}, {"m*", 2}, 1, -1, -1, -1, 10, -1, 0, 0, 0, 0, 0, -1, -1, -1},
    {{"a", 1}, {"mod*", 4}, 2, -1, -1, -1, 20, -1, 0, 0, 0, 0, 0, -1, -1, -1},
    {{"a", 1}, {"model", 5}, 3, 1, 4, 6, 30, 30, 0, 0, 500, 0, 0, -1, -1, -1},
    {{"a", 1}, {"model", 5}, 5, 1, 4, 6, 50, 50, 0, 500, 0, 0, 0, -1, -1, -1},
    {{"a", 1}, {"model", 5}, 7, 2, 8, 9, 70, 70, 200000, 500, 0, 0, 0, -1, -1, -1},
    {{"b", 1}, {"model", 5}, 11, 11, 11, 11, 11, 11, 0, 0, 0, 0, 0, 4, -1, 6},
    {{"c", 1}, {"huge", 4}, INT64_MAX / 2, -1, -1, -1, 1, 1, 0, 0, 0, 0, 0, -1, -1, -1},
};
static const struct pk_prices prices = {.rows = rows, .count = PK_COUNT(rows)};

static int64_t input_price(const char *provider, const char *model, int64_t tokens, int64_t at_us)
{
    const struct pk_price *p =
        pk_price_find(&prices, pk_str_of(provider), pk_str_of(model), tokens, at_us);

    return p ? p->input : -1;
}

static void the_most_specific_price_in_effect_applies(void)
{
    EXPECT(input_price("a", "model", 10, 100) == 3);
    EXPECT(input_price("a", "model", 10, 499) == 3);
    EXPECT(input_price("a", "model", 10, 500) == 5);
    EXPECT(input_price("a", "model-2", 10, 500) == 2);
    EXPECT(input_price("a", "mo", 10, 500) == 1);
    EXPECT(input_price("a", "mod", 10, 500) == 2);
    EXPECT(input_price("b", "model", 10, 500) == 11);
    EXPECT(input_price("b", "model-2", 10, 500) == -1);
    EXPECT(input_price("x", "model", 10, 500) == -1);
    EXPECT(input_price("a", "", 10, 500) == -1);
}

static void a_sorted_list_is_found_whatever_its_order_was(void)
{
    struct pk_price shuffled[PK_COUNT(rows)];

    for (size_t i = 0; i < PK_COUNT(rows); i++)
        shuffled[i] = rows[(i * 3 + 5) % PK_COUNT(rows)];
    pk_price_sort(shuffled, PK_COUNT(rows));
    struct pk_prices sorted = {.rows = shuffled, .count = PK_COUNT(rows)};
    for (size_t i = 0; i < PK_COUNT(rows); i++) {
        const struct pk_price *p = pk_price_find(&sorted, rows[i].provider, rows[i].model,
                                                 rows[i].above_tokens + 1, rows[i].from_us);
        EXPECT(p && p->input == rows[i].input);
    }
}

static void an_index_finds_what_a_search_does(void)
{
    static const char *const models[] = {"model", "model-2", "mo", "mod", "x", "", "huge"};
    static const char *const providers[] = {"a", "b", "c", "am", "x", ""};
    struct pk_prices indexed = prices;
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    pk_prices_index(&arena, &indexed);
    EXPECT(indexed.slots);
    for (size_t p = 0; p < PK_COUNT(providers); p++)
        for (size_t m = 0; m < PK_COUNT(models); m++)
            for (int64_t at_us = 100; at_us < 700; at_us += 500) {
                pk_str provider = pk_str_of(providers[p]), model = pk_str_of(models[m]);

                EXPECT(pk_price_find(&indexed, provider, model, 200001, at_us) ==
                       pk_price_find(&prices, provider, model, 200001, at_us));
            }
    pk_arena_free(&arena);
}

static void a_long_context_tier_starts_above_its_threshold(void)
{
    EXPECT(input_price("a", "model", 200000, 600) == 5);
    EXPECT(input_price("a", "model", 200001, 600) == 7);
    EXPECT(input_price("a", "model", 200001, 100) == 3);
}

static bool cost(const char *provider, const char *model, struct pk_usage u, int64_t *pusd,
                 const char **why)
{
    u.source = PK_USAGE_PROVIDER;
    return pk_price_cost(&prices, pk_str_of(provider), pk_str_of(model), &u, 600, pusd, why);
}

static void buckets_add_up_at_their_own_prices(void)
{
    struct pk_usage u = {.input = 1,
                         .cache_read = 2,
                         .cache_write = 3,
                         .cache_write_1h = 4,
                         .output = 5,
                         .reasoning = 6};
    const char *why;
    int64_t pusd;

    EXPECT(cost("a", "model", u, &pusd, &why));
    EXPECT(pusd == 5 + 2 + 12 + 24 + 250 + 300);
    EXPECT(!why);
}

static void a_batch_has_prices_of_its_own_or_costs_half(void)
{
    const struct pk_usage u = {PK_USAGE_PROVIDER, 1, 2, 3, 4, 5, 6};
    const char *why;
    int64_t pusd;

    EXPECT(pk_price_cost_batched(&prices, PK_STR("a"), PK_STR("model"), &u, 600, &pusd, &why) &&
           pusd == 2 + 0 + 3 * 2 + 4 * 3 + 5 * 25 + 6 * 25);
    EXPECT(pk_price_cost_batched(&prices, PK_STR("b"), PK_STR("model"), &u, 600, &pusd, &why) &&
           pusd == 4 + 2 * 5 + 3 * 5 + 4 * 5 + 5 * 6 + 6 * 6);
    EXPECT(!pk_price_cost_batched(&prices, PK_STR("a"), PK_STR("mo"), &u, 600, &pusd, &why) &&
           pk_str_is(pk_str_of(why), "no cache read price for this model"));
}

static void cached_tokens_count_towards_the_tier(void)
{
    struct pk_usage u = {.input = 1, .cache_read = 200000};
    const char *why;
    int64_t pusd;

    EXPECT(cost("a", "model", u, &pusd, &why));
    EXPECT(pusd == 7 + 400000);
}

static void an_unknown_price_gives_no_cost_but_a_reason(void)
{
    const char *why;
    int64_t pusd;

    EXPECT(!cost("a", "other", (struct pk_usage){.input = 1}, &pusd, &why));
    EXPECT(pk_str_is(pk_str_of(why), "no price for this model"));
    EXPECT(!cost("a", "mo", (struct pk_usage){.cache_read = 1}, &pusd, &why));
    EXPECT(pk_str_is(pk_str_of(why), "no cache read price for this model"));
    EXPECT(cost("a", "mo", (struct pk_usage){.input = 1, .cache_read = 0}, &pusd, &why));
    EXPECT(pusd == 1);
}

static void no_usage_is_not_free(void)
{
    struct pk_usage u = {.source = PK_USAGE_NONE};
    const char *why;
    int64_t pusd;

    EXPECT(!pk_price_cost(&prices, PK_STR("a"), PK_STR("model"), &u, 600, &pusd, &why));
    EXPECT(pk_str_is(pk_str_of(why), "the provider reported no usage"));
}

static void overflow_is_noticed(void)
{
    const char *why;
    int64_t pusd;

    EXPECT(!cost("c", "huge", (struct pk_usage){.input = 3}, &pusd, &why));
    EXPECT(!cost("c", "huge", (struct pk_usage){.input = 2, .output = 2}, &pusd, &why));
    EXPECT(!cost("c", "huge", (struct pk_usage){.input = -1}, &pusd, &why));
    EXPECT(
        !cost("a", "model", (struct pk_usage){.input = INT64_MAX, .cache_read = 1}, &pusd, &why));
    EXPECT(pk_str_is(pk_str_of(why), "the token counts are out of range"));
}

static void a_tier_without_a_successor_ends_with_its_base(void)
{
    static const struct pk_price changed[] = {
        {{"a", 1}, {"m", 1}, .input = 1, .from_us = 0},
        {{"a", 1}, {"m", 1}, .input = 2, .above_tokens = 100, .from_us = 0},
        {{"a", 1}, {"m", 1}, .input = 3, .from_us = 50},
    };
    const struct pk_prices list = {.rows = changed, .count = PK_COUNT(changed)};

    EXPECT(pk_price_find(&list, PK_STR("a"), PK_STR("m"), 101, 49)->input == 2);
    EXPECT(pk_price_find(&list, PK_STR("a"), PK_STR("m"), 101, 50)->input == 3);
}

static void decimals_become_integers_to_the_nearest(void)
{
    static const struct {
        const char *text;
        int places;
        int64_t value;
    } cases[] = {
        {"2.50", 6, 2500000},
        {"0.075", 6, 75000},
        {"10", 6, 10000000},
        {"0", 12, 0},
        {"0.0", 12, 0},
        {"0e-5", 12, 0},
        {"0.000001", 6, 1},
        {"1.5e-07", 12, 150000},
        {"1.5E-7", 12, 150000},
        {"15e-8", 12, 150000},
        {"0.00000015", 12, 150000},
        {"1e+2", 0, 100},
        {"1e02", 0, 100},
        {"7.499999999999999e-08", 12, 75000},
        {"0.0000029999900000000002", 12, 2999990},
        {"1.41953125E-7", 12, 141953},
        {"0.0000005", 6, 1},
        {"0.00025", 10, 2500000},
        {"256000.0", 0, 256000},
        {"9223372036854775807", 0, INT64_MAX},
        {"9223372036854.775807", 6, INT64_MAX},
        {"0.00000000000000000000000000000000000000000000000001e50", 0, 1},
        {"12345678901234567890123456789012345678901234567890e-40", 0, 1234567890},
    };
    int64_t value;

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(pk_price_decimal(pk_str_of(cases[i].text), cases[i].places, &value) &&
                    value == cases[i].value))
            printf("# %s\n", cases[i].text);
}

static void what_is_no_price_is_refused(void)
{
    static const char *const cases[] = {
        "",
        ".",
        ".5",
        "5.",
        "-1",
        "1e",
        "1e999",
        "e5",
        "1,5",
        "1.2.3",
        " 1",
        "0x1",
        "NaN",
        "1e-",
        "1e+-2",
        "1e5.0",
        "1e-13",
        "1e-400",
        "9223372036854775808",
        "99999999999999999999",
    };
    int64_t value;

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(!pk_price_decimal(pk_str_of(cases[i]), 0, &value)))
            printf("# %s\n", cases[i]);
    EXPECT(!pk_price_decimal(PK_STR("0.0000004"), 6, &value)); /* not free */
}

static void a_price_is_printed_exactly(void)
{
    static const struct {
        int64_t pusd;
        const char *text;
    } cases[] = {{0, "0"}, {1, "0.000001"}, {75000, "0.075"}, {10000000, "10"}, {2500000, "2.5"}};
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_buf out = pk_buf_in(&arena, 64);

        pk_price_print(&out, cases[i].pusd);
        EXPECT(pk_str_is(pk_buf_str(&out), cases[i].text));
    }
    pk_arena_free(&arena);
}

int main(void)
{
    RUN(the_most_specific_price_in_effect_applies);
    RUN(a_sorted_list_is_found_whatever_its_order_was);
    RUN(an_index_finds_what_a_search_does);
    RUN(a_long_context_tier_starts_above_its_threshold);
    RUN(buckets_add_up_at_their_own_prices);
    RUN(a_batch_has_prices_of_its_own_or_costs_half);
    RUN(cached_tokens_count_towards_the_tier);
    RUN(an_unknown_price_gives_no_cost_but_a_reason);
    RUN(no_usage_is_not_free);
    RUN(overflow_is_noticed);
    RUN(a_tier_without_a_successor_ends_with_its_base);
    RUN(decimals_become_integers_to_the_nearest);
    RUN(what_is_no_price_is_refused);
    RUN(a_price_is_printed_exactly);
    return test_end();
}
