/* json_test.c - what json.h promises, and a second opinion from cJSON.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "json.h"
#include "test.h"

#include <cjson/cJSON.h>
#include <string.h>

static struct pk_arena arena;

static bool parses(const char *text)
{
    struct pk_error err = {0};
    struct pk_json doc;

    return pk_json_parse(&arena, pk_str_of(text), "text", &doc, &err);
}

static void accepts_every_kind_of_value(void)
{
    static const char *const good[] = {
        "null",        "true",       "false",        "0",
        "-0.5e+10",    "\"\"",       "[]",           "{}",
        " [ 1 , 2 ] ", "{\"a\":{}}", "\"\\u00e9\"",  "\"\\ud83d\\ude00\"",
        "1e400",       "[[[]]]",     "\"\xc3\xa9\"", "123456789012345678901234567890",
    };

    for (size_t i = 0; i < PK_COUNT(good); i++)
        if (!EXPECT(parses(good[i])))
            printf("# %s\n", good[i]);
}

static void refuses_what_is_not_json(void)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "[1 2]",
        "\"\n\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "'a'",
        "\"a",
        "[",
        "{\"a\"",
        "{} {}",
        "\"\\u0000\"",
        "\"\xff\"",
        "\"\xc0\xaf\"",
        "\"\xed\xa0\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "/**/1",
        "NaN",
        "\xef\xbb\xbf{}",
    };

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        if (!EXPECT(!parses(bad[i])))
            printf("# %s\n", bad[i]);
}

static void an_error_names_the_place(void)
{
    struct pk_error err = {0};
    struct pk_json doc;

    EXPECT(!pk_json_parse(&arena, PK_STR("{\"a\": tru}"), "messages", &doc, &err));
    EXPECT(err.code == PK_BAD_JSON);
    EXPECT(strcmp(err.msg, "messages: not valid JSON at byte 6: not a value") == 0);
}

static void ten_thousand_levels_are_refused(void)
{
    char deep[20000];
    struct pk_error err = {0};
    struct pk_json doc;

    memset(deep, '[', 10000);
    memset(deep + 10000, ']', 10000);
    EXPECT(!pk_json_parse(&arena, (pk_str){deep, sizeof deep}, "text", &doc, &err));
    EXPECT(strstr(err.msg, "nested too deep") != NULL);
}

static void finds_members_and_items(void)
{
    struct pk_error err = {0};
    struct pk_json d;
    int64_t n = 0;

    EXPECT(pk_json_parse(
        &arena, PK_STR("{\"a\":[1,{\"b\":\"x\\ny\"}],\"A\":2,\"\\u0063\":3,\"a b\":4,\"a\":[5]}"),
        "text", &d, &err));
    EXPECT(pk_json_count(&d, 0) == 5);
    EXPECT(pk_json_int(&d, pk_json_at(&d, "a[0]"), &n) && n == 5); /* the last of two counts */
    EXPECT(pk_json_int(&d, pk_json_get(&d, 0, "A"), &n) && n == 2);
    EXPECT(pk_json_int(&d, pk_json_get(&d, 0, "c"), &n) && n == 3);
    EXPECT(pk_json_at(&d, "a[1].b") == -1);
    EXPECT(pk_json_at(&d, "x.y[3].z") == -1);
    EXPECT(pk_json_get(&d, -1, "a") == -1);
    EXPECT(pk_json_raw(&d, -1).len == 0);
}

static void unescapes_strings(void)
{
    struct pk_error err = {0};
    struct pk_json d;

    EXPECT(pk_json_parse(&arena, PK_STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\""),
                         "text", &d, &err));
    EXPECT(pk_str_is(pk_json_str(&arena, &d, 0), "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80"));
    EXPECT(pk_json_is(&d, 0, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80"));
}

static pk_str spliced(const char *text, const struct pk_json_edit *edits, int count)
{
    struct pk_buf out = pk_buf_in(&arena, 4096);
    struct pk_error err = {0};
    struct pk_json d;

    if (!EXPECT(pk_json_parse(&arena, pk_str_of(text), "text", &d, &err)))
        return PK_NONE;
    pk_json_splice(&out, &d, 0, edits, count);
    return pk_buf_str(&out);
}

static void splices_without_touching_the_rest(void)
{
    static const struct {
        const char *text, *name, *value, *want;
    } cases[] = {
        {"{}", "a", "1", "{\"a\":1}"},
        {"{ }", "a", "1", "{\"a\":1 }"},
        {"{\"a\":1}", "a", "2", "{\"a\":2}"},
        {"{\"a\":1}", "a", NULL, "{}"},
        {"{\"b\": 1.0, \"a\":1 , \"c\" :9007199254740993}", "a", NULL,
         "{\"b\": 1.0, \"c\" :9007199254740993}"},
        {"{\"a\":1, \"b\":2}", "a", NULL, "{ \"b\":2}"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "a", "0", "{\"a\":0,\"b\":2}"},
        {"{\"\\u0061\":1,\"b\":2}", "a", "0", "{\"a\":0,\"b\":2}"},
        {"{\"x\":\"\\u00e9\\/\"}", "a", "[1]", "{\"x\":\"\\u00e9\\/\",\"a\":[1]}"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_json_edit e = {pk_str_of(cases[i].name), pk_str_of(cases[i].value)};
        pk_str got = spliced(cases[i].text, &e, 1);

        if (!EXPECT(pk_str_is(got, cases[i].want)))
            printf("# got %.*s\n", PK_FMT(got));
    }
}

static void merging_lets_the_second_win(void)
{
    struct pk_error err = {0};
    pk_str out;

    EXPECT(pk_json_merge(&arena, PK_STR("{\"model\":\"a\",\"n\":1.50}"),
                         PK_STR("{\"model\":\"b\",\"t\":0}"), "x", &out, &err));
    EXPECT(pk_str_is(out, "{\"model\":\"b\",\"n\":1.50,\"t\":0}"));
    EXPECT(!pk_json_merge(&arena, PK_STR("[]"), PK_STR("{}"), "x", &out, &err));
}

static pk_str canonical(const char *text)
{
    struct pk_buf out = pk_buf_in(&arena, 4096);
    struct pk_error err = {0};
    struct pk_json d;

    if (!EXPECT(pk_json_parse(&arena, pk_str_of(text), "text", &d, &err)))
        return PK_NONE;
    pk_json_canonical(&out, &d, 0, NULL);
    return pk_buf_str(&out);
}

static void equal_documents_have_one_canonical_form(void)
{
    EXPECT(pk_str_eq(canonical("{\"b\":[1, {\"y\":1,\"x\":2}],\"a\":\"\\u00e9\\/\"}"),
                     canonical(" { \"a\" : \"\xc3\xa9/\" , \"b\":[1,{\"x\":2,\"y\":1}] } ")));
    EXPECT(pk_str_is(canonical("{\"aa\":1,\"a\":2,\"a\":3,\"\":0}"), "{\"\":0,\"a\":3,\"aa\":1}"));
    EXPECT(!pk_str_eq(canonical("[1,2]"), canonical("[2,1]")));
}

static void quotes_whatever_comes(void)
{
    struct pk_buf out = pk_buf_in(&arena, 4096);

    pk_json_quote(&out, (pk_str){"a\"\\\n\x01\x7f\xc3\xa9\xe2\x80\xa8\xe2\x80\xa9\xff\0", 16});
    EXPECT(pk_str_is(pk_buf_str(&out),
                     "\"a\\\"\\\\\\n\\u0001\x7f\xc3\xa9\\u2028\\u2029\\ufffd\\u0000\""));
}

static void escapes_what_ends_lines_for_some(void)
{
    struct pk_buf out = pk_buf_in(&arena, 4096);

    pk_json_add_one_line(
        &out, PK_STR("data: {\"a\":\"\xe2\x80\xa8 long enough\xe2\x80\xa9\xc2\x85\"}\n\n"));
    EXPECT(pk_str_is(pk_buf_str(&out), "data: {\"a\":\"\\u2028 long enough\\u2029\\u0085\"}\n\n"));
    out.len = 0;
    pk_json_add_one_line(&out, PK_STR("\xc3\xa9\xe2\x80\xaa\xe2\x80\xc2"));
    EXPECT(pk_str_is(pk_buf_str(&out), "\xc3\xa9\xe2\x80\xaa\xe2\x80\xc2"));
}

/* Both readers must see the same document wherever both accept it. */
static bool same(const struct pk_json *d, int v, const cJSON *c)
{
    double n = 0;

    switch (pk_json_type(d, v)) {
    case PK_JSON_NONE: return c == NULL;
    case PK_JSON_NULL: return cJSON_IsNull(c);
    case PK_JSON_FALSE: return cJSON_IsFalse(c);
    case PK_JSON_TRUE: return cJSON_IsTrue(c);
    case PK_JSON_NUMBER:
        return cJSON_IsNumber(c) && pk_json_number(d, v, &n) && n == c->valuedouble;
    case PK_JSON_STRING:
        return cJSON_IsString(c) && pk_str_is(pk_json_str(&arena, d, v), c->valuestring);
    case PK_JSON_ARRAY:
    case PK_JSON_OBJECT: break;
    }
    bool object = pk_json_type(d, v) == PK_JSON_OBJECT;
    const cJSON *m = c->child;
    for (int k = pk_json_first(d, v); k >= 0; k = pk_json_next(d, v, k), m = m->next)
        if (!m || (object && !pk_str_is(pk_json_str(&arena, d, k), m->string)) ||
            !same(d, object ? k + 1 : k, m))
            return false;
    return m == NULL && (object ? cJSON_IsObject(c) : cJSON_IsArray(c));
}

static void mutate(char *text, size_t len, uint64_t *seed)
{
    static const char bytes[] = "{}[]\",:0123456789.eE+-\\untrflas \t\n\xc3\xa9";

    for (int i = 0; i < 3; i++)
        if (pk_random_next(seed) % 3 == 0)
            text[pk_random_next(seed) % len] = bytes[pk_random_next(seed) % (sizeof bytes - 1)];
}

static void agrees_with_cjson_on_mutated_documents(void)
{
    static const char seed_text[] =
        "{\"model\":\"gpt\",\"n\":[1,-2.5e3,true,false,null],\"m\":[{\"role\":\"user\",\"content\":"
        "\"a\\u00e9\\n\\\"b\\\\\"}],\"o\":{\"x\":{},\"y\":[]}}";
    int accepted = 0;

    for (uint64_t i = 1; i <= 20000; i++) {
        char text[sizeof seed_text];
        uint64_t seed = i;
        struct pk_error err = {0};
        struct pk_json d;

        memcpy(text, seed_text, sizeof text);
        mutate(text, sizeof text - 1, &seed);
        if (pk_json_parse(&arena, pk_str_of(text), "text", &d, &err)) {
            cJSON *c = cJSON_ParseWithOpts(text, NULL, true);

            accepted++;
            if (!EXPECT(c && same(&d, 0, c)))
                printf("# %s\n", text);
            cJSON_Delete(c);
        }
        pk_arena_free(&arena);
    }
    EXPECT(accepted > 1000);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(accepts_every_kind_of_value);
    RUN(refuses_what_is_not_json);
    RUN(an_error_names_the_place);
    RUN(ten_thousand_levels_are_refused);
    RUN(finds_members_and_items);
    RUN(unescapes_strings);
    RUN(splices_without_touching_the_rest);
    RUN(merging_lets_the_second_win);
    RUN(equal_documents_have_one_canonical_form);
    RUN(quotes_whatever_comes);
    RUN(escapes_what_ends_lines_for_some);
    RUN(agrees_with_cjson_on_mutated_documents);
    pk_arena_free(&arena);
    return test_end();
}
