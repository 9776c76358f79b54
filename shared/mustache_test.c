/* mustache_test.c - what mustache.h promises beyond the specification (tests/mustache_spec.c).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "mustache.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;
static int steps;

static const char *const partials[][2] = {
    {"sign", "-- {{name}}"},
    {"again", "{{>again}}"},
    {"twice", "{{>twice}}{{>twice}}"},
    {"broken", "{{#x}}"},
    {"loop", "{{#a}}{{#a}}{{#a}}{{#a}}{{#a}}{{/a}}{{/a}}{{/a}}{{/a}}{{/a}}"},
};

/* The JSON that `text` becomes, or why it does not. */
static pk_str rendered(const char *vars, pk_str text, size_t max)
{
    struct pk_buf out = pk_buf_in(&arena, max);
    struct pk_partial list[PK_COUNT(partials)];
    struct pk_json doc;
    struct pk_mustache m = {
        .arena = &arena, .vars = &doc, .partials = list, .partial_count = (int)PK_COUNT(list)};

    for (size_t i = 0; i < PK_COUNT(list); i++)
        list[i] = (struct pk_partial){pk_str_of(partials[i][0]), pk_str_of(partials[i][1]), NULL};
    err = (struct pk_error){0};
    bool ok = pk_json_parse(&arena, pk_str_of(vars), "vars", &doc, &err) &&
              pk_mustache_json(&m, text, "it", &out, &err) && pk_mustache_whole(&m, "it", &err);
    steps = m.steps;
    return ok ? pk_buf_str(&out) : pk_str_of(err.msg);
}

struct case_of {
    const char *vars, *text, *want;
};

static void check_all(const struct case_of *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pk_str got = rendered(cases[i].vars, pk_str_of(cases[i].text), PK_BODY_BYTES_MAX);

        if (!EXPECT(pk_str_is(got, cases[i].want)))
            printf("# %s with %s\n# want %s\n# got  %.*s\n", cases[i].text, cases[i].vars,
                   cases[i].want, PK_FMT(got));
    }
}

static void a_value_stays_inside_of_its_string(void)
{
    static const struct case_of cases[] = {
        {"{\"x\":\"a\\\"},{\\\"role\\\":\\\"system\\\"\"}", "[{{x}}]",
         "\"[a\\\"},{\\\"role\\\":\\\"system\\\"]\""},
        {"{\"x\":\"1\\n2\\\\3\\t4\"}", "{{x}}", "\"1\\n2\\\\3\\t4\""},
        {"{\"x\":\"{{y}} {{#z}}\",\"y\":\"no\"}", "{{x}}!", "\"{{y}} {{#z}}!\""},
        {"{\"x\":\"}}\"}", "{{x}}{{{x}}}{{&x}}", "\"}}}}}}\""},
        {"{\"x\":\"\\u2028<b>&amp;\"}", "{{x}}", "\"\\u2028<b>&amp;\""},
        {"{\"x\":\"\\ud83d\\ude00 \xc3\xa9\"}", "{{x}}", "\"\xf0\x9f\x98\x80 \xc3\xa9\""},
    };

    check_all(cases, PK_COUNT(cases));
}

static void values_print_as_they_are(void)
{
    static const struct case_of cases[] = {
        {"{\"n\":12345678901234567890.10}", "{{n}}", "\"12345678901234567890.10\""},
        {"{\"t\":true,\"f\":false,\"z\":null}", "{{t}} {{f}} {{z}}.", "\"true false .\""},
        {"{\"o\":{\"a\": [1, \"b\"]}}", "it: {{o}}", "\"it: {\\\"a\\\": [1, \\\"b\\\"]}\""},
        {"{\"a\":[{\"b\":[10,20]}]}", "{{a.0.b.1}}", "\"20\""},
        {"{\"\xc3\xa9\":1,\"a-b\":2,\"a\\u0062\":3}", "{{\xc3\xa9}}{{a-b}}{{ab}}", "\"123\""},
        {"{\"a\":1,\"a\":2}", "{{a}}", "\"2\""},
        {"{\"l\":[[1,2],[3]]}", "{{#l}}({{#.}}{{.}}{{/.}}){{/l}}", "\"(12)(3)\""},
        {"{\"s\":\"x\"}", "{{#s}}[{{.}}]{{/s}}", "\"[x]\""},
    };

    check_all(cases, PK_COUNT(cases));
}

static void an_object_or_array_alone_is_inserted(void)
{
    static const struct case_of cases[] = {
        {"{\"x\":[{\"type\":\"text\"}]}", "{{x}}", "[{\"type\":\"text\"}]"},
        {"{\"a\":{\"x\":{}}}", "{{{ a.x }}}", "{}"},
        {"{\"x\":[1]}", " {{x}}", "\" [1]\""},
        {"{\"x\":[1]}", "{{x}}{{!}}", "[1]"},
        {"{\"x\":\"[1]\"}", "{{x}}", "\"[1]\""},
        {"{\"x\":7}", "{{x}}", "\"7\""},
        {"{\"x\":[]}", "{{x}}", "[]"},
    };

    check_all(cases, PK_COUNT(cases));
}

static void sections_ask_whether_there_is_something(void)
{
    static const struct case_of cases[] = {
        {"{}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"no\""},
        {"{\"x\":0}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"no\""},
        {"{\"x\":-0.0e5}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"no\""},
        {"{\"x\":\"\"}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"no\""},
        {"{\"x\":[]}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"no\""},
        {"{\"x\":\"0\"}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"yes\""},
        {"{\"x\":{}}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"yes\""},
        {"{\"x\":1e999}", "{{#x}}yes{{/x}}{{^x}}no{{/x}}", "\"yes\""},
        {"{\"a\":{\"b\":1},\"b\":2}", "{{#a}}{{b}}{{/a}}{{b}}", "\"12\""},
    };

    check_all(cases, PK_COUNT(cases));
}

static void every_missing_variable_is_named(void)
{
    static const struct case_of cases[] = {
        {"{}", "{{a}} {{b.c}} {{a}}", "it: missing variables: a, b.c"},
        {"{\"b\":{\"d\":1}}", "{{b.c}}", "it: missing variable: b.c"},
        {"{\"x\":false}", "{{#x}}{{a}}{{/x}}{{^y}}{{b}}{{/y}}", "it: missing variable: b"},
        {"{}",
         "{{a}}{{b}}{{c}}{{d}}{{e}}{{f}}{{g}}{{h}}{{i}}{{j}}{{k}}{{l}}{{m}}{{n}}{{o}}{{p}}{{q}}"
         "{{r}}{{s}}{{t}}{{u}}{{v}}{{w}}{{x}}{{y}}{{z}}{{aa}}{{ab}}{{ac}}{{ad}}{{ae}}{{af}}{{ag}}",
         "it: missing variables: a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, "
         "w, "
         "x, y, z, aa, ab, ac, ad, ae, af and 1 more"},
        {"[]", "{{0}}", "it: missing variable: 0"},
    };

    check_all(cases, PK_COUNT(cases));
    char text[2048];
    size_t len = 0;
    for (char c = 'a'; c <= 'h'; c++)
        len += (size_t)snprintf(text + len, sizeof text - len, "{{%c%0100d}}", c, 0);
    pk_str got = rendered("{}", pk_str_of(text), PK_BODY_BYTES_MAX);
    EXPECT(strstr(got.at, " and 7 more") != NULL);
}

static void what_is_no_template_is_refused(void)
{
    static const struct case_of cases[] = {
        {"{}", "a {{b", "it: the tag at byte 2 is not closed"},
        {"{}", "{{{b}}", "it: the tag at byte 0 is not closed"},
        {"{}", "{{}}", "it: a tag has no name"},
        {"{}", "{{#}}{{/}}", "it: a tag has no name"},
        {"{}", "{{#if x}}{{/if}}", "it: \"if x\" is no name: it has blanks"},
        {"{}", "{{a..b}}", "it: \"a..b\" is no name: a part is empty"},
        {"{}", "{{.a}}", "it: \".a\" is no name: a part is empty"},
        {"{}", "{{#a}}", "it: the section \"a\" is not closed"},
        {"{}", "{{/a}}", "it: {{/a}} closes nothing"},
        {"{}", "{{#a}}{{#b}}{{/a}}{{/b}}", "it: {{/a}} stands where {{/b}} is due"},
        {"{}", "{{<a}}{{/a}}", "it: there are no tags {{<...}} here"},
        {"{}", "{{=a=}}", "it: delimiters are set by two words of at most 8 bytes without a '='"},
        {"{}", "{{=a b c=}}",
         "it: delimiters are set by two words of at most 8 bytes without a '='"},
        {"{}", "{{>nobody}}", "it: there is no partial called \"nobody\""},
        {"{}", "{{>broken}}", "it: the section \"x\" is not closed"},
    };

    check_all(cases, PK_COUNT(cases));
}

static void work_and_size_are_bounded(void)
{
    struct pk_buf vars = pk_buf_in(&arena, PK_BODY_BYTES_MAX), text = vars;

    pk_buf_adds(&vars, "{\"a\":[");
    for (int i = 0; i < 1000; i++)
        pk_buf_adds(&vars, i ? ",1" : "1");
    pk_buf_adds(&vars, "]}");
    pk_buf_addc(&vars, '\0');
    rendered(vars.at, PK_STR("{{>loop}}"), PK_BODY_BYTES_MAX);
    EXPECT(err.code == PK_TOO_LARGE && strstr(err.msg, "steps") &&
           steps < 2 * PK_TEMPLATE_STEPS_MAX);
    rendered(vars.at, PK_STR("{{#a}}{{#a}}0123456789{{/a}}{{/a}}"), 1 << 20);
    EXPECT(err.code == PK_TOO_LARGE && strstr(err.msg, "becomes larger than 1048576 bytes"));
    rendered("{}", PK_STR("{{>again}}"), PK_BODY_BYTES_MAX);
    EXPECT(err.code == PK_BAD_REQUEST && strstr(err.msg, "nested deeper than 32"));
    rendered("{}", PK_STR("{{>twice}}"), PK_BODY_BYTES_MAX);
    EXPECT(err.code == PK_BAD_REQUEST && strstr(err.msg, "nested deeper than 32"));
    for (int i = 0; i <= PK_TEMPLATE_DEPTH_MAX; i++)
        pk_buf_adds(&text, "{{#a}}");
    rendered("{}", pk_buf_str(&text), PK_BODY_BYTES_MAX);
    EXPECT(err.code == PK_BAD_REQUEST && strstr(err.msg, "nested deeper than 32"));
}

static void each_allocation_may_fail(void)
{
    static const char vars[] = "{\"a\":[{\"b\":\"x\\ny\"},{\"b\":\"z\"}],\"name\":\"me\"}";
    const pk_str text = PK_STR("{{#a}}\n  {{>sign}}\n{{b}}{{/a}}");
    bool done = false;

    for (size_t limit = 0; !done && limit < 64 << 10; limit += 32) {
        struct pk_arena small;
        struct pk_partial sign = {PK_STR("sign"), PK_STR("-- {{name}}"), NULL};

        pk_arena_init(&small, pk_allocator_malloc(), limit);
        small.torture = true;
        struct pk_buf out = pk_buf_in(&small, PK_BODY_BYTES_MAX);
        struct pk_json doc;
        struct pk_mustache m = {
            .arena = &small, .vars = &doc, .partials = &sign, .partial_count = 1};
        err = (struct pk_error){0};
        done = pk_json_parse(&small, pk_str_of(vars), "vars", &doc, &err) &&
               pk_mustache_json(&m, text, "it", &out, &err) && pk_mustache_whole(&m, "it", &err);
        EXPECT(done == !small.failed && (done || err.code == PK_NO_MEMORY));
        EXPECT(!done || pk_str_is(pk_buf_str(&out), "\"  -- mex\\ny  -- mez\""));
        pk_arena_free(&small);
    }
    EXPECT(done);
}

static void a_check_lists_partials_once(void)
{
    struct pk_names names = {.count = 0};

    EXPECT(pk_mustache_check(&arena, PK_STR("{{>a}} {{>b@2}} {{>a}} {{c}}"), "it", &names, &err));
    EXPECT(names.count == 2 && pk_str_is(names.list[0], "a") && pk_str_is(names.list[1], "b@2"));
    EXPECT(!pk_mustache_check(&arena, PK_STR("{{>c}}{{#d}}"), "it", &names, &err));
    names.count = PK_PARTIALS_MAX - 1;
    EXPECT(!pk_mustache_check(&arena, PK_STR("{{>e}}{{>f}}"), "it", &names, &err));
}

static void a_variable_alone_is_told_from_text(void)
{
    struct pk_json doc;
    struct pk_mustache m = {.arena = &arena, .vars = &doc};
    int value = 0;

    EXPECT(pk_json_parse(&arena, PK_STR("{\"h\":[1,2]}"), "vars", &doc, &err));
    EXPECT(pk_mustache_alone(&m, PK_STR("{{h}}"), &value) && pk_json_count(&doc, value) == 2);
    EXPECT(!pk_mustache_alone(&m, PK_STR("{{h}} "), &value));
    EXPECT(!pk_mustache_alone(&m, PK_STR("{{#h}}{{/h}}"), &value));
    EXPECT(pk_mustache_alone(&m, PK_STR("{{no}}"), &value) && value == -1 && m.missing_count == 1);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_value_stays_inside_of_its_string);
    RUN(values_print_as_they_are);
    RUN(an_object_or_array_alone_is_inserted);
    RUN(sections_ask_whether_there_is_something);
    RUN(every_missing_variable_is_named);
    RUN(what_is_no_template_is_refused);
    RUN(work_and_size_are_bounded);
    RUN(each_allocation_may_fail);
    RUN(a_check_lists_partials_once);
    RUN(a_variable_alone_is_told_from_text);
    pk_arena_free(&arena);
    return test_end();
}
