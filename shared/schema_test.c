/* schema_test.c - what the official suite does not ask: where and how faults are told, numbers of any
 * size, formats as rules, and limits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "schema.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

/* "valid", or what is wrong with the value or the schema. */
static const char *judged(const char *schema, unsigned flags, pk_str value)
{
    static struct pk_error err;
    const struct pk_schema *s;
    struct pk_json doc;

    err = (struct pk_error){0};
    if (!pk_schema_compile(&arena, pk_str_of(schema), flags, &s, &err) ||
        !pk_json_parse(&arena, value, "value", &doc, &err))
        return err.msg;
    if (pk_schema_check(&arena, s, &doc, 0, &err) == PK_SCHEMA_VALID)
        return err.code == PK_OK ? "valid" : "valid, but an error is set";
    return err.msg;
}

/* clang-format off */
static const struct {
    const char *schema, *value, *want;
} faults[] = {
    {"{\"type\":\"object\"}", "[]", "$: must be of the type \"object\""},
    {"{\"properties\":{\"a\":{\"items\":{\"type\":[\"null\",\"integer\"]}}}}", "{\"a\":[1,null,1.5]}",
     "$.a[2]: must be of the type [\"null\",\"integer\"]"},
    {"{\"required\":[\"a\",\"b\"]}", "{\"b\":1}", "$: needs the member a"},
    {"{\"properties\":{\"x\":{\"required\":[\"id\"]}}}", "{\"x\":{}}", "$.x: needs the member id"},
    {"{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\":1,\"b\":2}", "$.b: is not allowed"},
    {"{\"additionalProperties\":false}", "{\"a\\\"\\u0062\":2}", "$.a\\\"\\u0062: is not allowed"},
    {"{\"propertyNames\":{\"maxLength\":2}}", "{\"x\":{},\"abc\":1}", "$ (a member name): is longer than maxLength"},
    {"{\"enum\":[\"a\",1]}", "\"b\"", "$: must be one of [\"a\",1]"},
    {"{\"const\":{\"a\":[1]}}", "{\"a\":[2]}", "$: must be {\"a\":[1]}"},
    {"{\"minimum\":5}", "4", "$: is less than the minimum"},
    {"{\"exclusiveMaximum\":5}", "5", "$: is not below the exclusiveMaximum"},
    {"{\"minLength\":2}", "\"\\ud83d\\ude00\"", "$: is shorter than minLength"},
    {"{\"maxLength\":1}", "\"\\ud83d\\ude00\"", "valid"},
    {"{\"pattern\":\"^a+$\"}", "\"ab\"", "$: does not match the pattern"},
    {"{\"pattern\":\"^\\\\u0061$\"}", "\"a\"", "valid"},
    {"{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"number\"}]}", "\"s\"", "$: matches none of the schemas of anyOf"},
    {"{\"oneOf\":[true,{\"type\":\"number\"}]}", "1", "$: matches more than one of the schemas of oneOf"},
    {"{\"not\":{\"type\":\"number\"}}", "1", "$: matches what `not` forbids"},
    {"{\"items\":{\"contains\":{\"const\":1}}}", "[[1],[2]]", "$[1]: has too few items that `contains` describes"},
    {"{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},3,{\"b\":2.0,\"a\":10e-1}]", "$[2]: is in the list twice"},
    {"{\"allOf\":[{\"properties\":{\"a\":true}}],\"unevaluatedProperties\":false}", "{\"a\":1,\"z\":1}", "$.z: is not allowed"},
    {"{\"dependentRequired\":{\"a\":[\"b\"]}}", "{\"a\":1}", "$: needs the member b"},
    {"{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]}}", "{\"a\":1}", "$: needs the member b"},
    {"{\"$ref\":\"#/$defs/x\",\"$defs\":{\"x\":{\"type\":\"null\"}}}", "1", "$: must be of the type \"null\""},
    {"false", "1", "$: is not allowed"},
    {"{\"unknownWord\":1}", "1", "valid"},
    {"{\"properties\":{\"a\":{\"type\":\"number\"}}}", "{\"a\":1,\"a\":\"x\"}", "$.a: must be of the type \"number\""},
};

static const struct {
    const char *schema, *want;
} broken[] = {
    {"{", "schema: not valid JSON at byte 1: member name expected"},
    {"[]", "schema: must be a schema: an object or a boolean"},
    {"{\"type\":\"strng\"}", "schema.type: must be one or more of null, boolean, object, array, number, integer, string"},
    {"{\"type\":[\"string\",\"any\"]}", "schema.type[1]: is no type"},
    {"{\"type\":[]}", "schema.type: must be one or more of null, boolean, object, array, number, integer, string"},
    {"{\"properties\":{\"a\":{\"minLength\":-1}}}", "schema.properties.a.minLength: must be a non-negative integer"},
    {"{\"maxItems\":1.5}", "schema.maxItems: must be a non-negative integer"},
    {"{\"properties\":[]}", "schema.properties: must be an object"},
    {"{\"properties\":{\"a\":1}}", "schema.properties.a: must be a schema: an object or a boolean"},
    {"{\"required\":\"a\"}", "schema.required: must be a list of member names"},
    {"{\"required\":[1]}", "schema.required[0]: must be a string"},
    {"{\"allOf\":[]}", "schema.allOf: must be a list of at least one schema"},
    {"{\"enum\":1}", "schema.enum: must be a list"},
    {"{\"uniqueItems\":1}", "schema.uniqueItems: must be a boolean"},
    {"{\"minimum\":\"1\"}", "schema.minimum: must be a number"},
    {"{\"exclusiveMinimum\":true}", "schema.exclusiveMinimum: must be a number"},
    {"{\"multipleOf\":0}", "schema.multipleOf: must be above 0"},
    {"{\"multipleOf\":1234567890123456789}", "schema.multipleOf: has more than 18 significant digits"},
    {"{\"pattern\":\"(\"}", "schema.pattern: not a regular expression: missing closing parenthesis, at byte 1"},
    {"{\"patternProperties\":{\"[\":true}}", NULL},
    {"{\"items\":[{}]}", "schema.items: must be a schema: an object or a boolean"},
    {"{\"additionalItems\":false}", NULL},
    {"{\"dependencies\":{}}", NULL},
    {"{\"$recursiveRef\":\"#\"}", NULL},
    {"{\"type\":\"null\",\"type\":\"null\"}", "schema.type: is given twice"},
    {"{\"$schema\":\"https://example.org/own\"}", "schema.$schema: names a dialect that is not known"},
    {"{\"$id\":\"https://example.org/a#b\"}", "schema.$id: must have no fragment; use $anchor"},
    {"{\"$anchor\":\"1a\"}", "schema.$anchor: must be a name: letters, digits, - _ ."},
    {"{\"$defs\":{\"a\":{\"$anchor\":\"x\"},\"b\":{\"$anchor\":\"x\"}}}", "schema.$defs.b.$anchor: names two schemas"},
    {"{\"$defs\":{\"a\":{\"$id\":\"x\"},\"b\":{\"$id\":\"x\"}}}", "schema.$defs.b.$id: names two schemas"},
    {"{\"$ref\":\"#/$defs/a\"}", "schema.$ref: leads nowhere"},
    {"{\"$ref\":\"#a\"}", "schema.$ref: leads nowhere"},
    {"{\"$ref\":\"https://example.org/a.json\"}", "schema.$ref: leads out of the schema; nothing is fetched"},
    {"{\"$ref\":\"#/x\",\"x\":3}", "schema.x: must be a schema: an object or a boolean"},
    {"{\"$ref\":\"#\"}", "schema: refers to itself without end"},
    {"{\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/b\"}]},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", NULL},
};

/* The keyword's value, a number, and whether it holds. */
static const struct {
    const char *keyword, *value;
    bool holds;
} numbers[] = {
    {"\"multipleOf\":0.01", "19.99", true},
    {"\"multipleOf\":0.01", "4.35", true},
    {"\"multipleOf\":0.01", "4.355", false},
    {"\"multipleOf\":0.1", "1e300", true},
    {"\"multipleOf\":3", "123456789012345678901234567890", true},
    {"\"multipleOf\":3", "123456789012345678901234567891", false},
    {"\"multipleOf\":7", "7e1000", true},
    {"\"multipleOf\":7", "1e1000", false},
    {"\"multipleOf\":1e-20", "0.00000000000000000003", true},
    {"\"multipleOf\":999999999999999999", "999999999999999999000", true},
    {"\"multipleOf\":0.3", "-0.9", true},
    {"\"multipleOf\":5", "-0.0", true},
    {"\"multipleOf\":1e10", "1e9", false},
    {"\"multipleOf\":1024", "1e10", true},
    {"\"multipleOf\":2048", "1e10", false},
    {"\"minimum\":9007199254740993", "9007199254740992", false},
    {"\"minimum\":9007199254740993", "9007199254740993", true},
    {"\"maximum\":0.1", "0.10000000000000000000001", false},
    {"\"maximum\":0.1", "0.1000000000000000000000", true},
    {"\"exclusiveMinimum\":0", "1e-999999", true},
    {"\"exclusiveMinimum\":0", "-0", false},
    {"\"exclusiveMinimum\":-1", "-0.999999999999999999999999", true},
    {"\"maximum\":1e400", "9.9e399", true},
    {"\"maximum\":1e400", "1.01e400", false},
    {"\"minimum\":-2", "-10", false},
    {"\"const\":1", "1.000", true},
    {"\"const\":100", "1E+2", true},
    {"\"const\":0", "-0.0e5", true},
    {"\"const\":9007199254740993", "9007199254740992", false},
    {"\"enum\":[0.1]", "1e-1", true},
    {"\"type\":\"integer\"", "1.0", true},
    {"\"type\":\"integer\"", "1.5e1", true},
    {"\"type\":\"integer\"", "1.5", false},
    {"\"type\":\"integer\"", "1e-1", false},
    {"\"type\":\"integer\"", "100e-2", true},
    {"\"type\":\"integer\"", "123456789012345678901234567890", true},
};

static const struct {
    const char *format, *good, *bad; /* texts, blanks between them */
} formats[] = {
    {"date", "2024-02-29 1999-12-31 2000-02-29", "2023-02-29 1900-02-29 2024-13-01 2024-00-01 2024-1-01 2024-01-32 2024-01-00 x 2024-01-01Z"},
    {"time", "12:00:00Z 23:59:60Z 01:29:60+01:30 00:00:00.123-23:59 12:00:00z",
     "12:00:00 24:00:00Z 12:60:00Z 12:00:61Z 12:00:60Z 12:00:00.Z 12:00:00+24:00 12:00Z"},
    {"date-time", "2024-02-29T12:00:00Z 2024-01-01t00:00:00.5+05:30", "2024-02-30T12:00:00Z 2024-02-29 2024-02-29T12:00:00 2024-02-29_12:00:00Z"},
    {"email", "a@b.c joe.bloggs@example.com te~st@example.com a@[127.0.0.1] a@[IPv6:::1] a@b",
     "a a@ @b .a@b.c a.@b.c a..b@c.d a@-b.c a@b..c a@[300.0.0.1] a(b)@c.d"},
    {"uuid", "2EB8AA08-aa98-11ea-b4aa-73b441d16380 00000000-0000-0000-0000-000000000000",
     "2eb8aa08aa9811eab4aa73b441d16380 2eb8aa08-aa98-11ea-b4aa-73b441d1638 2eb8aa08-aa98-11ea-b4aa73b441d16380x g0000000-0000-0000-0000-000000000000"},
    {"uri", "http://a/b?c#d urn:x:y mailto:a@b.c ftp://[::1]/ a:%41", "//a/b /a a:%4 a:<b> 1a:b http://a/\\\\b a:b#c#d :a a:b[c"},
    {"uri-reference", "/a b?c #d //x/y a:b", "a\\\\b %zz #a#b"},
    {"ipv4", "0.0.0.0 255.255.255.255 1.2.3.4", "256.0.0.1 1.2.3 1.2.3.4.5 01.2.3.4 1.2.3.4x a.b.c.d 1..2.3"},
    {"ipv6", "::1 :: 1:: 2001:db8::1 1:2:3:4:5:6:7:8 ::ffff:1.2.3.4 1:2:3:4:5:6:1.2.3.4 1::8",
     "1 1:2 12345:: 1:2:3:4:5:6:7:8:9 1::2::3 ::1.2.3 :1 1: 1:2:3:4:5:6:7: g:: ::1.2.3.4:5 1:2:3:4:5:6:7::8"},
    {"hostname", "a a.b x-1.example.com", "-a a- a..b .a a_b"},
};
/* clang-format on */

static void faults_say_what_and_where(void)
{
    for (size_t i = 0; i < PK_COUNT(faults); i++) {
        const char *got = judged(faults[i].schema, 0, pk_str_of(faults[i].value));

        if (!EXPECT(strcmp(got, faults[i].want) == 0))
            printf("# %s: %s\n", faults[i].schema, got);
    }
}

static void broken_schemas_are_refused_with_the_place(void)
{
    for (size_t i = 0; i < PK_COUNT(broken); i++) {
        const char *got = judged(broken[i].schema, 0, PK_STR("1"));
        bool told =
            broken[i].want ? strcmp(got, broken[i].want) == 0 : strncmp(got, "schema.", 7) == 0;

        if (!EXPECT(told))
            printf("# %s: %s\n", broken[i].schema, got);
    }
}

static void numbers_are_decimals_of_any_size(void)
{
    for (size_t i = 0; i < PK_COUNT(numbers); i++) {
        pk_str schema = pk_copyf(&arena, "{%s}", numbers[i].keyword);
        const char *got = judged(schema.at, 0, pk_str_of(numbers[i].value));

        if (!EXPECT((strcmp(got, "valid") == 0) == numbers[i].holds))
            printf("# %s: %s: %s\n", numbers[i].keyword, numbers[i].value, got);
    }
}

static void expect_format(const char *format, const char *texts, unsigned flags, bool holds)
{
    pk_str schema = pk_copyf(&arena, "{\"format\":\"%s\"}", format), left = pk_str_of(texts);

    while (left.len > 0) {
        int blank = pk_str_find(left, ' ');
        size_t len = blank < 0 ? left.len : (size_t)blank;
        pk_str value = pk_copyf(&arena, "\"%.*s\"", (int)len, left.at);
        const char *got = judged(schema.at, flags, value);

        if (!EXPECT((strcmp(got, "valid") == 0) == holds))
            printf("# %s: %.*s: %s\n", format, PK_FMT(value), got);
        left = pk_str_sub(left, len + 1, left.len);
    }
}

static void formats_are_rules_when_asked_for(void)
{
    for (size_t i = 0; i < PK_COUNT(formats); i++) {
        expect_format(formats[i].format, formats[i].good, PK_SCHEMA_FORMATS, true);
        expect_format(formats[i].format, formats[i].bad, PK_SCHEMA_FORMATS, false);
        expect_format(formats[i].format, formats[i].bad, 0, true);
    }
    EXPECT(strcmp(judged("{\"format\":\"date\"}", PK_SCHEMA_FORMATS, PK_STR("\"x\"")),
                  "$: is no date") == 0);
    EXPECT(strcmp(judged("{\"format\":\"shoe-size\"}", PK_SCHEMA_FORMATS, PK_STR("1")),
                  "schema.format: is no format that can be checked") == 0);
    EXPECT(strcmp(judged("{\"format\":\"shoe-size\"}", 0, PK_STR("\"x\"")), "valid") == 0);
}

static void recursion_follows_the_value(void)
{
    static const char tree[] =
        "{\"type\":\"object\",\"properties\":{\"kids\":{\"items\":{\"$ref\":\"#\"}}},"
        "\"required\":[\"name\"]}";

    EXPECT(strcmp(judged(tree, 0, PK_STR("{\"name\":1,\"kids\":[{\"name\":2,\"kids\":[]}]}")),
                  "valid") == 0);
    EXPECT(strcmp(judged(tree, 0, PK_STR("{\"name\":1,\"kids\":[{\"name\":2,\"kids\":[{}]}]}")),
                  "$.kids[0].kids[0]: needs the member name") == 0);
}

/* Each level asks for the one below twice: 2^64 schemas to apply. */
static void exploding_schemas_give_up(void)
{
    struct pk_buf b = pk_buf_in(&arena, 1 << 20);

    pk_buf_adds(&b, "{\"$ref\":\"#/$defs/n0\",\"$defs\":{");
    for (int i = 0; i < 64; i++)
        pk_buf_addf(&b,
                    "\"n%d\":{\"allOf\":[{\"$ref\":\"#/$defs/n%d\"},{\"$ref\":\"#/$defs/n%d\"}]},",
                    i, i + 1, i + 1);
    pk_buf_adds(&b, "\"n64\":true}}");
    pk_buf_addc(&b, 0);
    EXPECT(strcmp(judged(b.at, 0, PK_STR("1")), "the schema gave up: too many steps") == 0);
}

static void endless_patterns_give_up(void)
{
    EXPECT(strcmp(judged("{\"not\":{\"pattern\":\"^(a+)+$\"}}", 0,
                         PK_STR("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"")),
                  "the schema gave up: a pattern needs too many steps") == 0);
}

static void large_lists_are_unique_in_reasonable_time(void)
{
    struct pk_buf b = pk_buf_in(&arena, 32 << 20);

    pk_buf_addc(&b, '[');
    for (int i = 0; i < 200000; i++)
        pk_buf_addf(&b, "%d,", i);
    size_t len = b.len;
    pk_buf_adds(&b, "-1]");
    EXPECT(strcmp(judged("{\"uniqueItems\":true}", 0, pk_buf_str(&b)), "valid") == 0);
    b.len = len;
    pk_buf_adds(&b, "1.0]");
    EXPECT(strcmp(judged("{\"uniqueItems\":true}", 0, pk_buf_str(&b)),
                  "$[200000]: is in the list twice") == 0);
}

static void long_paths_are_cut(void)
{
    struct pk_buf b = pk_buf_in(&arena, 1 << 20);

    pk_buf_adds(&b, "{\"");
    for (int i = 0; i < 200; i++)
        pk_buf_adds(&b, "é");
    pk_buf_adds(&b, "\":1}");
    const char *got = judged("{\"additionalProperties\":false}", 0, pk_buf_str(&b));
    size_t bad;
    EXPECT(strstr(got, "é...: is not allowed"));
    EXPECT(pk_utf8_valid(pk_str_of(got), &bad));
}

static void memory_that_fails_is_told(void)
{
    static const char schema[] =
        "{\"$id\":\"http://x/"
        "y\",\"properties\":{\"a\":{\"pattern\":\"^a\\\\u0062\",\"enum\":[\"ab\"]},\"b\":"
        "{\"$ref\":\"#/$defs/"
        "b\"}},\"dependentRequired\":{\"a\":[\"b\"]},\"patternProperties\":{\"^q\":true},"
        "\"unevaluatedProperties\":false,\"$defs\":{\"b\":{\"uniqueItems\":true,\"items\":{\"$"
        "anchor\":\"i\"}}}}";
    const char *value = "{\"a\":\"a\\u0062\",\"b\":[1,\"\\u0061\"]}";
    struct pk_json doc;
    struct pk_error err;
    int valid = 0;

    EXPECT(pk_json_parse(&arena, pk_str_of(value), "value", &doc, &err));
    for (size_t limit = 0; limit < 60000; limit += limit < 4000 ? 60 : 1500) {
        const struct pk_schema *s;
        struct pk_arena small;

        pk_arena_init(&small, pk_allocator_malloc(), limit);
        small.torture = true;
        if (!pk_schema_compile(&small, pk_str_of(schema), 0, &s, &err))
            EXPECT(err.code == PK_NO_MEMORY);
        else
            valid += pk_schema_check(&small, s, &doc, 0, &err) == PK_SCHEMA_VALID;
        pk_arena_free(&small);
    }
    EXPECT(valid > 0);
}

/* An allocator that gives what `left` says. */
static void *give(void *ctx, size_t size)
{
    int *left = ctx;

    return (*left)-- > 0 ? malloc(size) : NULL;
}

static void take(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void judging_without_memory_is_undecided(void)
{
    static const char schema[] =
        "{\"required\":[\"a\"],\"properties\":{\"a\":{\"const\":\"x\\u0079\"}},"
        "\"unevaluatedProperties\":false}";
    int left = 1000, undecided = 0;
    struct pk_arena own;
    struct pk_json doc;
    struct pk_error err;
    const struct pk_schema *s;
    enum pk_schema_verdict verdict = PK_SCHEMA_UNDECIDED;

    pk_arena_init(&own, (struct pk_allocator){&left, give, take}, 64 << 20);
    EXPECT(pk_schema_compile(&own, pk_str_of(schema), 0, &s, &err));
    EXPECT(pk_json_parse(&own, PK_STR("{\"a\":\"\\u0078y\"}"), "value", &doc, &err));
    for (int n = 0; n < 20 && verdict == PK_SCHEMA_UNDECIDED; n++) {
        left = n;
        verdict = pk_schema_check(&own, s, &doc, 0, &err);
        undecided += verdict == PK_SCHEMA_UNDECIDED;
        EXPECT(verdict != PK_SCHEMA_UNDECIDED ||
               strcmp(err.msg, "the schema gave up: out of memory") == 0);
    }
    EXPECT(verdict == PK_SCHEMA_VALID && undecided > 0 && !own.failed);
    left = 1000;
    pk_arena_free(&own);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), (size_t)512 << 20);
    RUN(faults_say_what_and_where);
    RUN(broken_schemas_are_refused_with_the_place);
    RUN(numbers_are_decimals_of_any_size);
    RUN(formats_are_rules_when_asked_for);
    RUN(recursion_follows_the_value);
    RUN(exploding_schemas_give_up);
    RUN(endless_patterns_give_up);
    RUN(large_lists_are_unique_in_reasonable_time);
    RUN(long_paths_are_cut);
    RUN(memory_that_fails_is_told);
    RUN(judging_without_memory_is_undecided);
    pk_arena_free(&arena);
    return test_end();
}
