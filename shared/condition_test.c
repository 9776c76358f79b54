/* condition_test.c - what conditions say about requests, and which conditions are refused.
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

/* A config whose root goes to "yes" when `query` holds, else to "no". */
static bool parse(const char *query)
{
    err = (struct pk_error){0};
    return pk_config_parse(
        &arena,
        pk_copyf(&arena,
                 "{\"strategy\":{\"mode\":\"conditional\",\"conditions\":[{\"query\":%s,"
                 "\"then\":\"yes\"}],\"default\":\"no\"},\"targets\":[{\"name\":\"no\","
                 "\"provider\":\"openai\"},{\"name\":\"yes\",\"provider\":\"openai\"}]}",
                 query),
        &config, &err);
}

/* 1, 0, or -1 when it cannot be judged. */
static int ask(const char *query, const char *metadata, const char *body, const char *pathname)
{
    struct pk_request req = {.metadata = pk_str_of(metadata), .pathname = pk_str_of(pathname)};
    struct pk_field_source from;
    struct pk_json doc;
    int child = -1;

    if (!EXPECT(parse(query)) ||
        !EXPECT(pk_json_parse(&arena, pk_str_of(body), "body", &doc, &err)) ||
        !EXPECT(pk_field_source_init(&from, &arena, &req, &doc, &err))) {
        printf("# %s: %s\n", query, err.msg);
        return -2;
    }
    if (!pk_conditional_choose(config.conditional[0], &from, &child, &err))
        return -1;
    return pk_str_is(config.route.nodes[child].name, "yes");
}

#define META                                                                                       \
    "{\"tier\":\"paid\",\"n\":5,\"s\":\"5\",\"big\":\"1e3\",\"flag\":true,\"none\":null,\"deep\":" \
    "{"                                                                                            \
    "\"a\":{\"b\":[10,\"x\"]}},\"list\":[\"paid\"],\"e\":\"caf\\u00e9\"}"
#define BODY "{\"model\":\"gpt-4o\",\"temperature\":0.5,\"stream\":false,\"messages\":[]}"

static const struct {
    const char *query;
    int holds;
} operator_cases[] = {
    {"{\"metadata.tier\":\"paid\"}", 1},
    {"{\"metadata.tier\":{\"$eq\":\"paid\"}}", 1},
    {"{\"metadata.tier\":{\"$eq\":\"free\"}}", 0},
    {"{\"metadata.tier\":{\"$ne\":\"free\"}}", 1},
    {"{\"metadata.e\":\"caf\xc3\xa9\"}", 1},
    {"{\"metadata.n\":5}", 1},
    {"{\"metadata.n\":5.0}", 1},
    {"{\"metadata.n\":\"5\"}", 0}, /* equality does not convert */
    {"{\"metadata.s\":5}", 0},
    {"{\"metadata.flag\":true}", 1},
    {"{\"metadata.flag\":false}", 0},
    {"{\"metadata.none\":null}", 1},
    {"{\"metadata.missing\":null}", 0},
    {"{\"metadata.list\":\"paid\"}", 0},
    {"{\"metadata.missing\":{\"$eq\":\"x\"}}", 0},
    {"{\"metadata.missing\":{\"$ne\":\"x\"}}", 1},
    {"{\"metadata.missing\":{\"$nin\":[\"x\"]}}", 1},
    {"{\"metadata.missing\":{\"$in\":[\"x\"]}}", 0},
    {"{\"metadata.missing\":{\"$regex\":\"\"}}", 0},
    {"{\"metadata.missing\":{\"$lt\":5}}", 0},
    {"{\"metadata.tier\":{\"$in\":[\"free\",\"paid\"]}}", 1},
    {"{\"metadata.tier\":{\"$nin\":[\"free\",\"paid\"]}}", 0},
    {"{\"metadata.n\":{\"$in\":[4,5,\"6\"]}}", 1},
    {"{\"metadata.n\":{\"$gt\":4}}", 1},
    {"{\"metadata.n\":{\"$gt\":5}}", 0},
    {"{\"metadata.n\":{\"$gte\":5}}", 1},
    {"{\"metadata.n\":{\"$lt\":5}}", 0},
    {"{\"metadata.n\":{\"$lte\":5}}", 1},
    {"{\"metadata.s\":{\"$gte\":5}}", 1}, /* order does */
    {"{\"metadata.s\":{\"$lt\":\"40\"}}", 1},
    {"{\"metadata.big\":{\"$gt\":999}}", 1},
    {"{\"metadata.tier\":{\"$gt\":0}}", 0},
    {"{\"metadata.tier\":{\"$lte\":0}}", 0},
    {"{\"metadata.flag\":{\"$gt\":0}}", 0},
    {"{\"metadata.tier\":{\"$regex\":\"^pa\"}}", 1},
    {"{\"metadata.tier\":{\"$regex\":\"^a\"}}", 0},
    {"{\"metadata.n\":{\"$regex\":\"^\\\\d$\"}}", 1},
    {"{\"metadata.none\":{\"$regex\":\"null\"}}", 0},
    {"{\"metadata.deep.a.b.0\":10}", 1},
    {"{\"metadata.deep.a.b.1\":\"x\"}", 1},
    {"{\"metadata.deep.a.b.2\":\"x\"}", 0},
    {"{\"metadata.deep.a.b.-1\":\"x\"}", 0},
    {"{\"metadata.deep.a\":\"x\"}", 0},
    {"{\"metadata.tier.more\":\"x\"}", 0},
    {"{\"params.model\":\"gpt-4o\"}", 1},
    {"{\"params.temperature\":{\"$lt\":1}}", 1},
    {"{\"params.stream\":false}", 1},
    {"{\"url.pathname\":\"/v1/chat/completions\"}", 1},
    {"{\"url.pathname\":{\"$regex\":\"chat\"}}", 1},
    /* several operators, several keys: all must hold */
    {"{\"metadata.n\":{\"$gt\":1,\"$lt\":9}}", 1},
    {"{\"metadata.n\":{\"$gt\":1,\"$lt\":5}}", 0},
    {"{\"metadata.n\":{\"$regex\":\"5\",\"$lt\":5}}", 0},
    {"{\"metadata.tier\":\"paid\",\"params.model\":\"gpt-4o\"}", 1},
    {"{\"metadata.tier\":\"paid\",\"params.model\":\"other\"}", 0},
    /* groups, and what stands beside them */
    {"{\"$or\":[{\"metadata.tier\":\"free\"},{\"metadata.n\":5}]}", 1},
    {"{\"$or\":[{\"metadata.tier\":\"free\"},{\"metadata.n\":6}]}", 0},
    {"{\"$and\":[{\"metadata.tier\":\"paid\"},{\"metadata.n\":5}]}", 1},
    {"{\"$and\":[{\"metadata.tier\":\"paid\"},{\"metadata.n\":6}]}", 0},
    {"{\"$or\":[{\"metadata.tier\":\"paid\"}],\"metadata.n\":6}", 0},
    {"{\"metadata.n\":6,\"$or\":[{\"metadata.tier\":\"paid\"}]}", 0},
    {"{\"$and\":[{\"$or\":[{\"metadata.n\":1},{\"metadata.n\":5}]},{\"$or\":[{\"metadata.s\":"
     "\"5\"}]}]}",
     1},
    {"{\"$or\":[{\"$and\":[{\"metadata.n\":5},{\"metadata.n\":6}]},{\"metadata.n\":7}]}", 0},
};

static void operators_mean_what_they_say(void)
{
    for (size_t i = 0; i < PK_COUNT(operator_cases); i++)
        if (!EXPECT(ask(operator_cases[i].query, META, BODY, NULL) == operator_cases[i].holds))
            printf("# %s\n", operator_cases[i].query);
}

static void a_request_without_metadata_has_no_values(void)
{
    EXPECT(ask("{\"metadata.tier\":\"paid\"}", NULL, BODY, NULL) == 0);
    EXPECT(ask("{\"metadata.tier\":{\"$ne\":\"paid\"}}", NULL, BODY, NULL) == 1);
    EXPECT(ask("{\"url.pathname\":\"/v1/messages\"}", NULL, BODY, "/v1/messages") == 1);
}

static void a_pattern_that_gives_up_is_an_error(void)
{
    static char metadata[8 << 10];

    (void)snprintf(metadata, sizeof metadata, "{\"x\":\"%05000d\"}", 0);
    EXPECT(ask("{\"metadata.x\":{\"$regex\":\"^(0+)+$\"}}", metadata, BODY, NULL) == 1);
    EXPECT(ask("{\"metadata.x\":{\"$regex\":\"^(0+)+1$\"}}", metadata, BODY, NULL) == -1);
    EXPECT(err.code == PK_BAD_REQUEST && strstr(err.msg, "conditions[0].query.metadata.x.$regex"));
}

static void wrong_conditions_are_refused_by_path(void)
{
    static const struct {
        const char *query, *message;
    } cases[] = {
        {"{}", "strategy.conditions[0].query: must be an object with at least one condition"},
        {"[]", "strategy.conditions[0].query: must be an object with at least one condition"},
        {"{\"metadata.a\":{}}", "strategy.conditions[0].query.metadata.a: must hold an operator"},
        {"{\"metadata.a\":{\"$foo\":1}}",
         "strategy.conditions[0].query.metadata.a: unknown operator \"$foo\""},
        {"{\"metadata.a\":{\"eq\":1}}",
         "strategy.conditions[0].query.metadata.a: unknown operator \"eq\""},
        {"{\"$not\":[]}", "strategy.conditions[0].query.$not: unknown operator"},
        {"{\"$or\":[]}", "strategy.conditions[0].query.$or: must be a list"},
        {"{\"$or\":{}}", "strategy.conditions[0].query.$or: must be a list"},
        {"{\"$and\":[{\"metadata.a\":1},{\"metadata.b\":{\"$in\":1}}]}",
         "strategy.conditions[0].query.$and[1].metadata.b.$in: must be a list"},
        {"{\"metadata.a\":{\"$in\":[]}}",
         "strategy.conditions[0].query.metadata.a.$in: must be a list"},
        {"{\"metadata.a\":{\"$in\":[[1]]}}",
         "strategy.conditions[0].query.metadata.a.$in: must be a string, a number"},
        {"{\"metadata.a\":[1]}", "strategy.conditions[0].query.metadata.a: must be a string"},
        {"{\"metadata.a\":{\"$gt\":\"many\"}}",
         "strategy.conditions[0].query.metadata.a.$gt: must be a number"},
        {"{\"metadata.a\":{\"$lte\":true}}",
         "strategy.conditions[0].query.metadata.a.$lte: must be a number"},
        {"{\"metadata.a\":1e999}", "strategy.conditions[0].query.metadata.a: the number is out"},
        {"{\"metadata.a\":{\"$regex\":\"(\"}}",
         "strategy.conditions[0].query.metadata.a.$regex: not a regular expression"},
        {"{\"metadata.a\":{\"$regex\":1}}",
         "strategy.conditions[0].query.metadata.a.$regex: must be a string"},
        {"{\"tier\":1}", "strategy.conditions[0].query.tier: must be metadata.NAME, params.NAME"},
        {"{\"metadata\":1}", "strategy.conditions[0].query.metadata: must be metadata.NAME"},
        {"{\"metadata.\":1}", "strategy.conditions[0].query.metadata.: must be metadata.NAME"},
        {"{\"metadata.a..b\":1}", "strategy.conditions[0].query.metadata.a..b: must be"},
        {"{\"metadata.a.\":1}", "strategy.conditions[0].query.metadata.a.: must be metadata.NAME"},
        {"{\"url.host\":1}", "strategy.conditions[0].query.url.host: must be metadata.NAME"},
        {"{\"user_id\":1}", "strategy.conditions[0].query.user_id: must be metadata.NAME"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(!parse(cases[i].query) &&
                    strncmp(err.msg, cases[i].message, strlen(cases[i].message)) == 0))
            printf("# %s\n# got: %s\n", cases[i].query, err.msg);
}

static void a_query_has_limits(void)
{
    struct pk_buf deep = pk_buf_in(&arena, 1 << 20), wide = pk_buf_in(&arena, 1 << 20);

    for (int i = 0; i < PK_QUERY_DEPTH_MAX - 1; i++)
        pk_buf_adds(&deep, "{\"$or\":[");
    pk_buf_adds(&deep, "{\"metadata.a\":1}");
    for (int i = 0; i < PK_QUERY_DEPTH_MAX - 1; i++)
        pk_buf_adds(&deep, "]}");
    pk_str fits = pk_copy(&arena, pk_buf_str(&deep));
    EXPECT(parse(fits.at));
    EXPECT(!parse(pk_copyf(&arena, "{\"$or\":[%.*s]}", PK_FMT(fits)).at) &&
           strstr(err.msg, "nested deeper than"));
    pk_buf_adds(&wide, "{\"metadata.a\":1");
    for (int i = 0; i < PK_TERMS_MAX; i++)
        pk_buf_addf(&wide, ",\"metadata.k%d\":1", i);
    pk_buf_addc(&wide, '}');
    EXPECT(!parse(pk_copy(&arena, pk_buf_str(&wide)).at) && strstr(err.msg, "more than 256 terms"));
}

static void strategies_are_checked_by_path(void)
{
    static const struct {
        const char *strategy, *message;
    } cases[] = {
        {"\"mode\":\"conditional\"", "strategy.conditions: must be given"},
        {"\"mode\":\"conditional\",\"default\":\"a\"", "strategy.conditions: must be given"},
        {"\"mode\":\"conditional\",\"conditions\":[]", "strategy.conditions: must be a list"},
        {"\"mode\":\"conditional\",\"conditions\":[{\"then\":\"a\"}]",
         "strategy.conditions[0].query: must be given"},
        {"\"mode\":\"conditional\",\"conditions\":[{\"query\":{\"metadata.x\":1}}]",
         "strategy.conditions[0].then: must be given"},
        {"\"mode\":\"conditional\",\"conditions\":[{\"query\":{\"metadata.x\":1},\"then\":\"z\"}]",
         "strategy.conditions[0].then: no target here is called \"z\""},
        {"\"mode\":\"conditional\",\"conditions\":[{\"query\":{\"metadata.x\":1},\"then\":\"b\"}]",
         "strategy.conditions[0].then: two targets are called \"b\""},
        {"\"mode\":\"conditional\",\"default\":\"z\",\"conditions\":[{\"query\":{\"metadata.x\":1},"
         "\"then\":\"a\"}]",
         "strategy.default: no target here is called \"z\""},
        {"\"mode\":\"conditional\",\"conditions\":[{\"if\":1}]",
         "strategy.conditions[0]: unknown key \"if\""},
        {"\"mode\":\"fallback\",\"default\":\"a\"",
         "strategy: conditions and default are for mode \"conditional\""},
        {"\"mode\":\"fallback\",\"by\":\"cost\"",
         "strategy: sticky and by are for mode \"loadbalance\""},
        {"\"mode\":\"loadbalance\",\"by\":\"luck\"", "strategy.by: must be \"weight\""},
        {"\"mode\":\"loadbalance\",\"sticky\":{}", "strategy.sticky: needs hash_fields"},
        {"\"mode\":\"loadbalance\",\"sticky\":{\"hash_fields\":[]}",
         "strategy.sticky.hash_fields: must be a list of 1 to 8 fields"},
        {"\"mode\":\"loadbalance\",\"sticky\":{\"hash_fields\":[\"model\"]}",
         "strategy.sticky.hash_fields: must hold metadata.NAME"},
        {"\"mode\":\"loadbalance\",\"sticky\":{\"hash_fields\":[\"prefix\"],\"ttl\":-1}",
         "strategy.sticky.ttl: must be 0.."},
        {"\"mode\":\"fallback\",\"cb_config\":{}",
         "strategy.cb_config: needs failure_threshold or failure_threshold_percentage"},
        {"\"mode\":\"fallback\",\"cb_config\":{\"failure_threshold\":0}",
         "strategy.cb_config.failure_threshold: must be 1 or more"},
        {"\"mode\":\"fallback\",\"cb_config\":{\"failure_threshold_percentage\":101}",
         "strategy.cb_config.failure_threshold_percentage: must be 0..100"},
        {"\"mode\":\"fallback\",\"cb_config\":{\"failure_threshold\":1,\"cooldown_interval\":"
         "\"999ms\"}",
         "strategy.cb_config.cooldown_interval: must be a second or more"},
        {"\"mode\":\"fallback\",\"cb_config\":{\"failure_threshold\":1,\"window\":1}",
         "strategy.cb_config: unknown key \"window\""},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str text = pk_copyf(&arena,
                               "{\"strategy\":{%s},\"targets\":[{\"name\":\"a\",\"provider\":"
                               "\"openai\"},{\"name\":\"b\",\"provider\":\"openai\"},{\"name\":"
                               "\"b\",\"provider\":\"groq\"}]}",
                               cases[i].strategy);

        err = (struct pk_error){0};
        if (!EXPECT(!pk_config_parse(&arena, text, &config, &err) &&
                    strncmp(err.msg, cases[i].message, strlen(cases[i].message)) == 0))
            printf("# %s\n# got: %s\n", cases[i].strategy, err.msg);
    }
}

static void nested_rules_are_told_apart(void)
{
    EXPECT(pk_config_parse(
        &arena,
        PK_STR("{\"strategy\":{\"mode\":\"fallback\"},\"cb_config\":{\"failure_threshold\":3},"
               "\"targets\":[{\"provider\":\"openai\"},"
               "{\"strategy\":{\"mode\":\"conditional\",\"cb_config\":{\"failureThreshold\":5,"
               "\"cooldownInterval\":30000},\"conditions\":[{\"query\":{"
               "\"metadata.x\":1},\"then\":\"in\"}]},\"targets\":[{\"name\":\"in\",\"provider\":"
               "\"openai\"}]}]}"),
        &config, &err));
    EXPECT(!config.conditional[0] && config.conditional[2] && config.conditional[2]->child == -1);
    EXPECT(pk_str_is(config.conditional[2]->path, "targets[1].strategy"));
    EXPECT(config.conditional[2]->list[0].child == 3);
    EXPECT(config.targets[0].breaker.failures == 3 &&
           config.targets[0].breaker.cooldown_ms == PK_COOLDOWN_MS_DEFAULT);
    EXPECT(config.targets[1].breaker.failures == 5 &&
           config.targets[1].breaker.cooldown_ms == 30000);
    EXPECT(!pk_config_parse(&arena,
                            PK_STR("{\"strategy\":{\"mode\":\"single\",\"cb_config\":{"
                                   "\"failure_threshold\":1}},\"cb_config\":{\"failure_threshold\":"
                                   "1},\"targets\":[{\"provider\":\"openai\"}]}"),
                            &config, &err) &&
           strstr(err.msg, "cb_config: given twice"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(operators_mean_what_they_say);
    RUN(a_request_without_metadata_has_no_values);
    RUN(a_pattern_that_gives_up_is_an_error);
    RUN(wrong_conditions_are_refused_by_path);
    RUN(a_query_has_limits);
    RUN(strategies_are_checked_by_path);
    RUN(nested_rules_are_told_apart);
    pk_arena_free(&arena);
    return test_end();
}
