/* tokens_test.c - near to what the real tokenizers count.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The counts are those of the published vocabularies.
 */
#include "tokens.h"

#include "test.h"

#include <string.h>

static const struct {
    const char *text;
    int o200k, cl100k, gemini, llama3;
} texts[] = {
#define TEXT(text, o200k, cl100k, gemini, llama3) {text, o200k, cl100k, gemini, llama3},
    /* clang-format off */
    TEXT("Hello, world!",
         4, 4, 4, 4)
    TEXT("What is the capital of France?",
         7, 7, 7, 7)
    TEXT("The quick brown fox jumps over the lazy dog.",
         10, 10, 10, 10)
    TEXT("Pursuant to the agreement, the supplier shall deliver all goods within thirty days of receiving a written order, unless both parties decide otherwise.",
         28, 28, 28, 28)
    TEXT("Der Vertrag tritt mit der Unterzeichnung durch beide Parteien in Kraft und kann mit einer Frist von drei Monaten gekündigt werden.",
         26, 32, 24, 32)
    TEXT("数据库是按照数据结构来组织、存储和管理数据的仓库，它可以同时被多个用户使用。",
         24, 35, 22, 25)
    TEXT("Привет! Расскажи мне, пожалуйста, о том, как работает база данных и зачем нужны индексы.",
         24, 40, 23, 33)
    TEXT("for (size_t i = 0; i < count; i++) {\n    total += values[i];\n    if (total > limit)\n        return false;\n}\n",
         34, 34, 41, 34)
    TEXT("def parse(line):\n    name, _, value = line.partition('=')\n    return name.strip(), value.strip()\n",
         22, 22, 29, 22)
    TEXT("{\"id\": 17, \"name\": \"Ann\", \"tags\": [\"new\", \"paid\"], \"balance\": 1250.75, \"active\": true}",
         35, 35, 39, 35)
    TEXT("select customer_id, sum(amount) from orders where created_at > '2026-01-01' group by 1 order by 2 desc limit 10;",
         34, 34, 42, 34)
    TEXT("1234567890 3.14159 2026-11-27 10:15:30",
         22, 22, 38, 22)
/* clang-format on */
#undef TEXT
};

/* Within a tenth, or one token for short ones. */
static bool near(const char *text, enum pk_family family, int64_t real)
{
    int64_t got = pk_tokens_count(family, pk_str_of(text));
    int64_t off = got > real ? got - real : real - got;

    if (off * 100 <= real * 15 + 100)
        return true;
    printf("# %s: %lld, not %lld: %.50s\n", pk_tokens_family_name(family), (long long)got,
           (long long)real, text);
    return false;
}

static void counts_are_near_the_real_ones(void)
{
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        EXPECT(near(texts[i].text, PK_FAMILY_o200k, texts[i].o200k));
        EXPECT(near(texts[i].text, PK_FAMILY_cl100k, texts[i].cl100k));
        EXPECT(near(texts[i].text, PK_FAMILY_gemini, texts[i].gemini));
        EXPECT(near(texts[i].text, PK_FAMILY_llama3, texts[i].llama3));
    }
}

static void a_model_is_of_a_family_by_its_name(void)
{
    static const struct {
        const char *model;
        enum pk_family family;
    } cases[] = {
        {"gpt-4o-mini", PK_FAMILY_o200k},
        {"gpt-4.1", PK_FAMILY_o200k},
        {"gpt-4-turbo", PK_FAMILY_cl100k},
        {"openai/gpt-3.5-turbo", PK_FAMILY_cl100k},
        {"us.anthropic.claude-3-haiku", PK_FAMILY_claude},
        {"models/gemini-2.5-pro", PK_FAMILY_gemini},
        {"meta-llama/Meta-Llama-3.1-8B", PK_FAMILY_llama3},
        {"deepseek-r1-distill-llama-70b", PK_FAMILY_llama3},
        {"deepseek-chat", PK_FAMILY_deepseek},
        {"Qwen/Qwen3-32B", PK_FAMILY_qwen},
        {"something-else", PK_FAMILY_o200k},
        {"", PK_FAMILY_o200k},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++)
        if (!EXPECT(pk_tokens_family(pk_str_of(cases[i].model)) == cases[i].family))
            printf("# %s\n", cases[i].model);
}

static void any_bytes_have_a_count(void)
{
    static const char broken[] = "\xff\xfe\xc3(\xe6\x97\xf0\x9f\x98 a\0b";

    EXPECT(pk_tokens_count(PK_FAMILY_o200k, PK_NONE) == 0);
    EXPECT(pk_tokens_count(PK_FAMILY_o200k, PK_STR(" ")) == 1);
    EXPECT(pk_tokens_count(PK_FAMILY_o200k, PK_STR("a")) == 1);
    for (size_t len = 1; len < sizeof broken; len++)
        EXPECT(pk_tokens_count(PK_FAMILY_gemini, (pk_str){broken, len}) > 0);
}

static void twice_the_text_is_twice_the_tokens(void)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog, 12 times.\n";
    static char page[200 * (sizeof line - 1)];

    for (size_t i = 0; i < 200; i++)
        memcpy(page + i * (sizeof line - 1), line, sizeof line - 1);
    int64_t half = pk_tokens_count(PK_FAMILY_o200k, (pk_str){page, sizeof page / 2});
    int64_t all = pk_tokens_count(PK_FAMILY_o200k, (pk_str){page, sizeof page});
    EXPECT(all >= 2 * half - 1 && all <= 2 * half + 1);
}

int main(void)
{
    RUN(counts_are_near_the_real_ones);
    RUN(a_model_is_of_a_family_by_its_name);
    RUN(any_bytes_have_a_count);
    RUN(twice_the_text_is_twice_the_tokens);
    return test_end();
}
