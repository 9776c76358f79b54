/* SPDX-License-Identifier: PostgreSQL */
#include "regex.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;

static struct pk_regex *compiled(const char *pattern, unsigned flags)
{
    struct pk_error err = {0};
    struct pk_regex *re = pk_regex_new(&arena, pk_str_of(pattern), flags, &err);

    if (!EXPECT(re))
        printf("# %s: %s\n", pattern, err.msg);
    return re;
}

static void a_pattern_means_what_it_means_in_javascript(void)
{
    static const struct {
        const char *pattern;
        unsigned flags;
        const char *text;
        int start, end; /* -1: no match */
    } cases[] = {
        {"b+", 0, "abbc", 1, 3},
        {"", 0, "abc", 0, 0},
        {"^gpt-4", 0, "gpt-4o", 0, 5},
        {"a$", 0, "a\n", -1, -1},
        {"a$", PK_REGEX_MULTILINE, "a\nb", 0, 1},
        {"a.b", 0, "a\nb", -1, -1},
        {"a.b", PK_REGEX_DOTALL, "a\nb", 0, 3},
        {"STRASSE|\xc3\x84", PK_REGEX_NOCASE, "x\xc3\xa4", 1, 3},
        {"\\u00e9", 0, "caf\xc3\xa9", 3, 5},
        {"\\x41", 0, "A", 0, 1},
        {"a[]", 0, "a", -1, -1},
        {"(a)?\\1b", 0, "b", 0, 1},
        {"^.$", 0, "\xf0\x9f\x98\x80", 0, 4},
        {"(?<!x)y", 0, "xyzy", 3, 4},
        {"\\d", 0, "\xd9\xa3 3", 3, 4},
        {"\\w+", 0, "\xc3\xa4z\xc3\xa4", 2, 3},
        {"a\\b", 0, "a\xc3\xa4", 0, 1},
        {"\\D\\W", 0, "1\xd9\xa3\xc3\xa4", 1, 5},
        {"\\s+", 0, "a\xc2\xa0\xe3\x80\x80\xef\xbb\xbf\t\x0bz", 1, 11},
        {"\\S+", 0, "\xe2\x80\xa8\xe2\x80\x8bz ", 3, 7},
        {"[\\s_]+", 0, "a_\xe2\x80\x83z", 1, 5},
        {"[^\\s]+", 0, "\xe2\x80\x83z", 3, 4},
        {"[\\S]+", 0, " \xf0\x9f\x98\x80\xe2\x80\x83z", 1, 5},
        {"[\\s-]+", 0, "a-z -b", 1, 2},
        {"[\\S-]+\\s{2}", 0, "a-  b", 0, 4},
        {"[[:upper:]\\s]+", 0, "aB C", 1, 4},
        {"[\\]\\s]+", 0, "a] b", 1, 3},
        {"\\\\s", 0, "a \\s", 2, 4},
        {"[]\\s|b", 0, "a b", 2, 3},
        {"[^]\\s", 0, "a b", 0, 2},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        for (unsigned jit = 0; jit <= PK_REGEX_JIT; jit += PK_REGEX_JIT) {
            struct pk_regex *re = compiled(cases[i].pattern, cases[i].flags | jit);
            struct pk_match m = {99, 99};
            enum pk_found found =
                re ? pk_regex_find(re, pk_str_of(cases[i].text), 0, &m) : PK_FOUND_GAVE_UP;

            if (!EXPECT(found == (cases[i].start < 0 ? PK_FOUND_NOT : PK_FOUND)) ||
                !EXPECT(found == PK_FOUND_NOT ||
                        (m.start == (size_t)cases[i].start && m.end == (size_t)cases[i].end)))
                printf("# %s on %s\n", cases[i].pattern, cases[i].text);
        }
}

static void a_broken_pattern_is_told_where(void)
{
    struct pk_error err = {0};

    EXPECT(!pk_regex_new(&arena, PK_STR("a(b"), 0, &err) && err.code == PK_BAD_CONFIG);
    EXPECT(strstr(err.msg, "at byte 3"));
    EXPECT(!pk_regex_new(&arena, PK_STR("\\s+a(b"), 0, &err) && strstr(err.msg, "at byte 6"));
    EXPECT(!pk_regex_new(&arena, PK_STR("\\C"), 0, &err) && err.code == PK_BAD_CONFIG);
    EXPECT(!pk_regex_new(&arena, PK_STR("\xff"), 0, &err) && err.code == PK_BAD_CONFIG);
    char *huge = pk_alloc(&arena, PK_PATTERN_BYTES_MAX + 1);
    memset(huge, 'a', PK_PATTERN_BYTES_MAX + 1);
    EXPECT(!pk_regex_new(&arena, (pk_str){huge, PK_PATTERN_BYTES_MAX + 1}, 0, &err));
    EXPECT(pk_regex_new(&arena, (pk_str){huge, PK_PATTERN_BYTES_MAX}, 0, &err));
    /* A small text that stands for a program of many megabytes. */
    EXPECT(!pk_regex_new(&arena, PK_STR("((a{1000}){1000}){1000}"), 0, &err));
}

static void a_catastrophic_pattern_gives_up(void)
{
    enum { LEN = 1 << 20 };
    char *text = pk_alloc(&arena, LEN);

    memset(text, 'a', LEN);
    text[LEN - 1] = 'b';
    for (unsigned jit = 0; jit <= PK_REGEX_JIT; jit += PK_REGEX_JIT) {
        EXPECT(pk_regex_find(compiled("^(a+)+$", jit), (pk_str){text, LEN}, 0, NULL) ==
               PK_FOUND_GAVE_UP);
        EXPECT(pk_regex_find(compiled("(x+x+)+y|(a|a)*c", jit), (pk_str){text, LEN}, 0, NULL) ==
               PK_FOUND_GAVE_UP);
        EXPECT(pk_regex_find(compiled("b$", jit), (pk_str){text, LEN}, 0, NULL) == PK_FOUND);
    }
}

/* What PCRE2's own limits do not see: a repeat that runs over the rest of the text from every start. */
static void a_quadratic_pattern_gives_up(void)
{
    static const char *const patterns[] = {"(?<!y)\\w+@\\d", "(?:(?=\\w+)a)+@\\d",
                                           "(?:a|b|ab)+@\\d", "(?=.*@\\d)a", "\\w+(?:x|)\\w+@\\d"};
    enum { LEN = 1 << 20 };
    char *text = pk_alloc(&arena, LEN);

    memset(text, 'a', LEN);
    memcpy(text + LEN - 2, "@x", 2);
    for (size_t i = 0; i < PK_COUNT(patterns); i++)
        for (unsigned jit = 0; jit <= PK_REGEX_JIT; jit += PK_REGEX_JIT) {
            struct pk_regex *re = compiled(patterns[i], jit);

            EXPECT(pk_regex_find(re, (pk_str){text, LEN}, 0, NULL) == PK_FOUND_GAVE_UP);
            EXPECT(pk_regex_find(re, PK_STR("aaaa@1"), 0, NULL) == PK_FOUND);
        }
}

static void groups_are_found_and_the_budget_is_shared(void)
{
    struct pk_regex *re = compiled("(\\w+)@(x)?(\\w+)", PK_REGEX_JIT);
    pk_str text = PK_STR("to ann@home");
    int64_t budget = pk_regex_budget(text), before = budget;
    struct pk_match g[6];

    EXPECT(pk_regex_groups(re, text, 0, g, 6, &budget) == PK_FOUND && budget < before);
    EXPECT(g[0].start == 3 && g[0].end == 11 && g[1].end == 6 && g[3].start == 7);
    EXPECT(g[2].start == 0 && g[2].end == 0 && g[5].end == 0);
    budget = 3;
    EXPECT(pk_regex_groups(re, text, 0, g, 1, &budget) == PK_FOUND_GAVE_UP && budget <= 0);
}

static void deep_recursion_uses_the_heap_when_the_stack_is_small(void)
{
    enum { LEN = 20000 };
    char *text = pk_alloc(&arena, LEN);

    memset(text, 'a', LEN);
    EXPECT(pk_regex_find(compiled("^(?:a|b(?=c))*$", PK_REGEX_JIT), (pk_str){text, LEN}, 0, NULL) ==
           PK_FOUND);
}

static void text_that_is_no_utf8_is_not_judged(void)
{
    struct pk_regex *re = compiled("a", 0);

    EXPECT(pk_regex_find(re, PK_STR("a\xff"), 0, NULL) == PK_FOUND_GAVE_UP);
    EXPECT(pk_regex_find(re, PK_NONE, 0, NULL) == PK_FOUND_NOT);
}

static void a_walk_over_all_matches_ends(void)
{
    static const struct {
        const char *pattern, *text;
        int matches;
    } cases[] = {{"a*", "ba\xc3\xa9", 4}, {"a", "aaa", 3}, {"^", "aaa", 1},
                 {"$", "aaa", 1},         {"", "", 1},     {"(?<=a)", "aba", 2}};

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_regex *re = compiled(cases[i].pattern, 0);
        pk_str text = pk_str_of(cases[i].text);
        struct pk_match m;
        int count = 0;

        for (size_t from = 0; pk_regex_find(re, text, from, &m) == PK_FOUND && count < 100;
             from = pk_regex_after(text, &m))
            count++;
        if (!EXPECT(count == cases[i].matches))
            printf("# %s: %d\n", cases[i].pattern, count);
    }
}

static int left;

static void *take_if_left(void *ctx, size_t size)
{
    (void)ctx;
    return left-- > 0 ? malloc(size) : NULL;
}

static void give(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static void each_allocation_may_fail(void)
{
    bool whole = false;

    for (int n = 0; n < 100 && !whole; n++) {
        struct pk_error err = {0};
        struct pk_arena small;

        left = n;
        pk_arena_init(&small, (struct pk_allocator){NULL, take_if_left, give}, 1 << 20);
        struct pk_regex *re = pk_regex_new(&small, PK_STR("(a|b)+c"), PK_REGEX_JIT, &err);
        EXPECT(re || err.code == PK_NO_MEMORY);
        whole = re && pk_regex_find(re, PK_STR("xabc"), 0, NULL) == PK_FOUND;
        pk_arena_free(&small);
    }
    EXPECT(whole);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(a_pattern_means_what_it_means_in_javascript);
    RUN(a_broken_pattern_is_told_where);
    RUN(a_catastrophic_pattern_gives_up);
    RUN(a_quadratic_pattern_gives_up);
    RUN(groups_are_found_and_the_budget_is_shared);
    RUN(deep_recursion_uses_the_heap_when_the_stack_is_small);
    RUN(text_that_is_no_utf8_is_not_judged);
    RUN(a_walk_over_all_matches_ends);
    RUN(each_allocation_may_fail);
    pk_arena_free(&arena);
    return test_end();
}
