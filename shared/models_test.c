/* models_test.c - patterns, and which list wins.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "models.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;

static const struct {
    const char *pattern, *text;
    bool matches;
} patterns[] = {
    {"gpt-4o", "gpt-4o", true},
    {"gpt-4o", "gpt-4o-mini", false},
    {"gpt-4o*", "gpt-4o-mini", true},
    {"*", "", true},
    {"*", "anything", true},
    {"*-mini", "gpt-4o-mini", true},
    {"*-mini", "gpt-4o-mini-2", false},
    {"gpt-?o", "gpt-4o", true},
    {"gpt-?", "gpt-", false},
    {"a*b*c", "a-b-b-c", true},
    {"a*b*c", "a-c-b", false},
    {"**", "x", true},
    {"", "", true},
    {"", "x", false},
    {"a*", "b", false},
    {"*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static void a_pattern_describes_the_whole_name(void)
{
    for (size_t i = 0; i < PK_COUNT(patterns); i++)
        if (!EXPECT(pk_models_match(pk_str_of(patterns[i].pattern), pk_str_of(patterns[i].text)) ==
                    patterns[i].matches))
            printf("# %s, %s\n", patterns[i].pattern, patterns[i].text);
}

static bool allows(const char *allowed, const char *denied, const char *model)
{
    const char *const lists[] = {allowed, denied};
    struct pk_models m = {0};
    const pk_str **rows[] = {&m.allowed, &m.denied};
    int *counts[] = {&m.allowed_count, &m.denied_count};

    for (int i = 0; i < 2; i++) {
        struct pk_json doc;

        if (!lists[i])
            continue;
        EXPECT(pk_json_parse(&arena, pk_str_of(lists[i]), "list", &doc, &err) &&
               pk_models_read(&arena, &doc, 0, "list", rows[i], counts[i], &err));
    }
    return pk_models_allow(&m, pk_str_of(model));
}

static void what_is_denied_is_not_allowed(void)
{
    EXPECT(allows(NULL, NULL, "x") && allows(NULL, NULL, ""));
    EXPECT(allows("[\"a*\",\"b\"]", NULL, "abc") && allows("[\"a*\",\"b\"]", NULL, "b"));
    EXPECT(!allows("[\"a*\",\"b\"]", NULL, "c") && !allows("[\"a\"]", NULL, ""));
    EXPECT(!allows("[\"a*\"]", "[\"*-pro\"]", "a-pro") &&
           allows("[\"a*\"]", "[\"*-pro\"]", "a-mini"));
    EXPECT(allows(NULL, "[\"b\"]", "a") && !allows(NULL, "[\"b\"]", "b"));
}

static void a_list_must_be_one(void)
{
    static const char *const bad[] = {"{}", "\"a\"", "[]", "[1]", "[\"\"]"};
    struct pk_json doc;
    const pk_str *list;
    int count;

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(pk_json_parse(&arena, pk_str_of(bad[i]), "list", &doc, &err) &&
               !pk_models_read(&arena, &doc, 0, "options.allowed_models", &list, &count, &err) &&
               strstr(err.msg, "options.allowed_models"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_pattern_describes_the_whole_name);
    RUN(what_is_denied_is_not_allowed);
    RUN(a_list_must_be_one);
    pk_arena_free(&arena);
    return test_end();
}
