/* store_catalog_test.c - imports change what they say, once, and nothing of the past.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_catalog.h"

#include "price.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static pk_str diff;
static const int64_t first_us = 1793318400123000, /* 2026-10-30 */
    day_us = 86400000000;

static bool import_as(const char *format, const char *text, const char *options, int64_t now_us)
{
    const struct pk_catalog_source source = {
        .format = pk_str_of(format), .text = pk_str_of(text), .now_us = now_us};

    pk_arena_free(&arena);
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    err = (struct pk_error){0};
    diff = PK_NONE;
    return pk_store_price_import(s, &arena, &source, pk_str_of(options), &diff, &err);
}

static bool import(const char *text, const char *options, int64_t now_us)
{
    return import_as("litellm", text, options, now_us);
}

static bool imported(const char *text, int64_t now_us)
{
    if (EXPECT(import(text, "", now_us)))
        return true;
    printf("# %s\n", err.msg);
    return false;
}

/* Whether what stands in the diff at `path` is `json`. */
static bool diff_is(const char *path, const char *json)
{
    struct pk_json doc;
    struct pk_error bad;

    if (!EXPECT(pk_json_parse(&arena, diff, "diff", &doc, &bad)))
        return false;
    pk_str there = pk_json_raw(&doc, pk_json_at(&doc, path));
    if (!pk_str_is(there, json))
        printf("# %s is %.*s, not %s\n", path, PK_FMT(there), json);
    return pk_str_is(there, json);
}

static bool counts(int added, int changed, int missing, int unchanged)
{
    return diff_is("counts", pk_copyf(&arena,
                                      "{\"added\":%d,\"changed\":%d,\"missing\":%d,"
                                      "\"unchanged\":%d,\"ignored\":0}",
                                      added, changed, missing, unchanged)
                                 .at);
}

static int64_t input_price(const char *name, int64_t tokens, int64_t at_us)
{
    struct pk_prices prices;

    if (!EXPECT(pk_store_prices_load(s, &arena, PK_NONE, &prices, &err)))
        return -2;
    const struct pk_price *p =
        pk_price_find(&prices, PK_STR("openai"), pk_str_of(name), tokens, at_us);
    return p ? p->input : -1;
}

#define ROW(name, prices) "\"" name "\":{\"litellm_provider\":\"openai\"," prices "}"

static const char one[] = "{" ROW("new", "\"mode\":\"chat\",\"input_cost_per_token\":1e-06,"
                                         "\"input_cost_per_token_above_200k_tokens\":2e-06,"
                                         "\"max_output_tokens\":1000") "}";
static const char dearer[] = "{" ROW("new", "\"input_cost_per_token\":3e-06,\"max_output_tokens\":"
                                            "2000") "}";

static void begin(void)
{
    pk_store_close(s);
    s = test_store(":memory:");
}

static void a_model_is_added_with_all_its_time(void)
{
    begin();
    if (!imported(one, first_us))
        return;
    EXPECT(counts(1, 0, 0, 0));
    EXPECT(diff_is("added[0]",
                   "{\"provider\":\"openai\",\"model\":\"new\",\"new\":{\"input_usd\":1,\"above\":{"
                   "\"200000\":{\"input_usd\":2}},\"mode\":\"chat\",\"max_output_tokens\":1000}}"));
    EXPECT(input_price("new", 1, first_us - day_us) == 1000000);
    EXPECT(input_price("new", 200001, first_us) == 2000000);
    EXPECT(test_says(s,
                     "select mode || max_output_tokens || ' ' || input_usd || ' ' || source from "
                     "pk_models where model = 'new'",
                     "chat1000 1.0 litellm"));
}

static void the_same_list_again_changes_nothing(void)
{
    int64_t before, after;

    EXPECT(pk_store_epoch(s, &before, &err));
    if (!imported(one, first_us + day_us))
        return;
    EXPECT(counts(0, 0, 0, 1));
    EXPECT(pk_store_epoch(s, &after, &err) && before == after);
    EXPECT(test_says(s, "select count(*) from pk_prices where model = 'new'", "2"));
    EXPECT(test_says(s, "select count(*) from pk_audit", "1"));
}

static void a_dry_run_tells_and_does_nothing(void)
{
    EXPECT(import(dearer, "{\"dry_run\":true}", first_us + day_us));
    EXPECT(counts(0, 1, 0, 0) && diff_is("dry_run", "true"));
    EXPECT(input_price("new", 1, first_us + 2 * day_us) == 1000000);
    EXPECT(!import(dearer, "{\"force\":true}", first_us + day_us) && strstr(err.msg, "options"));
}

static void a_new_price_holds_from_now_on(void)
{
    if (!imported(dearer, first_us + day_us))
        return;
    EXPECT(counts(0, 1, 0, 0));
    EXPECT(diff_is(
        "changed[0]",
        "{\"provider\":\"openai\",\"model\":\"new\",\"old\":{\"input_usd\":1,\"above\":{"
        "\"200000\":{\"input_usd\":2}},\"max_output_tokens\":1000},\"new\":{\"input_usd\":3,"
        "\"max_output_tokens\":2000}}"));
    EXPECT(input_price("new", 1, first_us) == 1000000);
    EXPECT(input_price("new", 1, first_us + day_us) == 3000000);
    EXPECT(input_price("new", 200001, first_us + day_us - 1) == 2000000);
    EXPECT(input_price("new", 200001, first_us + day_us) == 3000000); /* the tier is gone */
    EXPECT(test_says(s, "select mode || max_output_tokens from pk_models where model = 'new'",
                     "chat2000"));
    EXPECT(test_says(s, "select verb || ' ' || object from pk_audit order by id desc",
                     "price_import litellm"));
}

static void what_is_no_longer_listed_stays_and_is_told(void)
{
    if (!imported("{" ROW("newer", "\"input_cost_per_token\":1e-06") "}", first_us + 2 * day_us))
        return;
    EXPECT(counts(1, 0, 1, 0));
    EXPECT(diff_is("missing", "[{\"provider\":\"openai\",\"model\":\"new\"}]"));
    EXPECT(input_price("new", 1, first_us + 3 * day_us) == 3000000);
}

static void a_list_with_a_mistake_changes_nothing(void)
{
    EXPECT(!import("{" ROW("fine", "\"input_cost_per_token\":1e-06") "," ROW(
                       "bad", "\"input_cost_per_token\":-1") "}",
                   "", first_us + 3 * day_us));
    EXPECT(strstr(err.msg, "bad.input_cost_per_token") != NULL);
    EXPECT(test_says(s, "select count(*) from pk_models where model in ('fine', 'bad')", "0"));
}

static void a_price_of_the_shipped_list_is_replaced(void)
{
    begin();
    int64_t old = input_price("gpt-4o-mini", 1, first_us);
    if (!imported("{" ROW("gpt-4o-mini",
                          "\"input_cost_per_token\":2e-06,\"output_cost_per_token\":4e-06") "}",
                  first_us))
        return;
    EXPECT(old == 150000 && input_price("gpt-4o-mini", 1, first_us - 1) == old);
    EXPECT(input_price("gpt-4o-mini", 1, first_us) == 2000000);
    EXPECT(diff_is("warnings[0].reason", "\"input_usd is more than ten times of what it was\""));
    EXPECT(
        test_says(s, "select context_window from pk_models where model = 'gpt-4o-mini'", "128000"));
}

static void what_has_no_column_is_a_unit(void)
{
    if (!imported("{" ROW("dalle", "\"mode\":\"image_generation\",\"input_cost_per_image\":0.04,"
                                   "\"input_cost_per_token_batches\":5e-07") "}",
                  first_us))
        return;
    EXPECT(test_says(s, "select units || input_batch_usd from pk_prices where model = 'dalle'",
                     "{\"input_image\":0.04}0.5"));
}

static void a_price_to_come_is_told_with_its_date(void)
{
    static const char list[] = "[{\"provider\":\"openai\",\"model\":\"dated\",\"input_usd\":1},"
                               "{\"provider\":\"openai\",\"model\":\"dated\",\"input_usd\":9,"
                               "\"valid_from\":\"2030-01-01T00:00:00Z\",\"above_tokens\":5}]";
    static const char told[] =
        "[{\"valid_from\":\"2030-01-01T00:00:00.000Z\",\"above_tokens\":5,\"input_usd\":9}]";

    EXPECT(import_as("pk", list, "{\"dry_run\":true}", first_us));
    EXPECT(diff_is("added[0].new.input_usd", "1") && diff_is("added[0].new.dated", told));
    EXPECT(import_as("pk", "[{\"provider\":\"openai\",\"model\":\"dated\",\"input_usd\":1}]", "",
                     first_us));
    EXPECT(import_as("pk", list, "", first_us + day_us));
    EXPECT(diff_is("changed[0].old", "{}") && diff_is("changed[0].new.dated", told));
    EXPECT(import_as("pk", list, "", first_us + day_us) && counts(0, 0, 0, 1));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_model_is_added_with_all_its_time);
    RUN(the_same_list_again_changes_nothing);
    RUN(a_dry_run_tells_and_does_nothing);
    RUN(a_new_price_holds_from_now_on);
    RUN(what_is_no_longer_listed_stays_and_is_told);
    RUN(a_list_with_a_mistake_changes_nothing);
    RUN(a_price_of_the_shipped_list_is_replaced);
    RUN(what_has_no_column_is_a_unit);
    RUN(a_price_to_come_is_told_with_its_date);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
