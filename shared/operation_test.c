/* operation_test.c - where the tail of an operation may lead, and what it says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "operation.h"
#include "test.h"

static struct pk_arena arena;

static void a_tail_stays_where_it_is(void)
{
    static const struct {
        const char *tail;
        bool ok;
    } cases[] = {
        {"", true},           {"/", true},
        {"/a/b.c/..d", true}, {"/file-1/content?x=../y", true},
        {"/a%2fb", true},     {"/...", true},
        {"/a/%", true},       {"/a%2", true},
        {"/..", false},       {"/a/../b", false},
        {"/a/./b", false},    {"/a/%2e%2E/b", false},
        {"/.%2e", false},     {"/a/..%2fb", false},
        {"/a/..\\b", false},  {"/a%2f%2e", false},
        {"..?x", false},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        struct pk_error err = {0};

        if (!EXPECT(pk_operation_check_tail(pk_str_of(cases[i].tail), &err) == cases[i].ok))
            printf("# %s\n", cases[i].tail);
    }
}

static void a_path_may_name_a_model(void)
{
    static const struct {
        const char *tail, *model;
    } cases[] = {
        {"/models/gemini-pro:generateContent", "gemini-pro"},
        {"/v1beta/models/gemini-pro:streamGenerateContent?alt=sse", "gemini-pro"},
        {"/deployments/gpt%2D4o/chat/completions?api-version=1", "gpt-4o"},
        {"/engines/davinci/completions", "davinci"},
        {"/model/anthropic.claude-v2%3A1/invoke", "anthropic.claude-v2:1"},
        {"/model/anthropic.claude-v2:1/converse", "anthropic.claude-v2:1"},
        {"/models/owner/name/predictions", "owner/name"},
        {"/generation/stable-diffusion-v1-6/text-to-image", "stable-diffusion-v1-6"},
        {"/models", ""},
        {"/chat/completions?models/x", ""},
        {"", ""},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str got = pk_operation_path_model(&arena, pk_str_of(cases[i].tail));

        if (!EXPECT(pk_str_is(got, cases[i].model)))
            printf("# %s: %.*s\n", cases[i].tail, PK_FMT(got));
    }
}

static void a_version_is_there_once(void)
{
    static const struct {
        const char *base, *tail, *below;
    } cases[] = {
        {"https://h/v1", "/files", "https://h/v1"},
        {"https://h/v1", "/v1/files", "https://h"},
        {"https://h/v1beta", "/v1/x", "https://h"},
        {"https://h/x/v1", "/v2", "https://h/x"},
        {"https://h", "/v1/files", "https://h"},
        {"https://h/openai", "/v1/x", "https://h/openai"},
        {"https://h/v1", "/vectors/1", "https://h/v1"},
        {"https://h/v1", "/v1-x", "https://h/v1"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        pk_str got = pk_operation_base(pk_str_of(cases[i].base), pk_str_of(cases[i].tail));

        if (!EXPECT(pk_str_is(got, cases[i].below)))
            printf("# %s %s: %.*s\n", cases[i].base, cases[i].tail, PK_FMT(got));
    }
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(a_tail_stays_where_it_is);
    RUN(a_path_may_name_a_model);
    RUN(a_version_is_there_once);
    pk_arena_free(&arena);
    return test_end();
}
