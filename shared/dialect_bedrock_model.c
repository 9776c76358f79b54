/* dialect_bedrock_model.c - what a model's id says about it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Ids are MAKER.NAME, with a region before them when they are inference profiles ("us.", "global."), or an
 * ARN that ends in one. The ARN of a profile or deployment of one's own says nothing. Which models take
 * JSON schemas: "Structured outputs" of Bedrock's user guide.
 */
#include "dialect_bedrock.h"

#include <string.h>

static const struct {
    const char *prefix;
    enum pk_bedrock_family family;
    bool formats;
} models[] = {
    {"anthropic.claude-3", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-2", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-v2", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-instant", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-opus-4-1", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-opus-4-2025", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.claude-sonnet-4-2025", PK_BEDROCK_ANTHROPIC, false},
    {"anthropic.", PK_BEDROCK_ANTHROPIC, true},
    {"amazon.nova-2", PK_BEDROCK_NOVA_2, false},
    {"amazon.nova", PK_BEDROCK_NOVA, false},
    {"amazon.", PK_BEDROCK_PLAIN, false},
    {"openai.", PK_BEDROCK_OPENAI, true},
    {"cohere.", PK_BEDROCK_COHERE, false},
    {"mistral.mistral-large-3", PK_BEDROCK_MISTRAL, true},
    {"mistral.ministral", PK_BEDROCK_MISTRAL, true},
    {"mistral.magistral", PK_BEDROCK_MISTRAL, true},
    {"mistral.voxtral", PK_BEDROCK_MISTRAL, true},
    {"mistral.", PK_BEDROCK_MISTRAL, false},
    {"meta.", PK_BEDROCK_PLAIN, false},
    {"ai21.", PK_BEDROCK_PLAIN, false},
    {"writer.", PK_BEDROCK_PLAIN, false},
    {"deepseek.r1", PK_BEDROCK_PLAIN, false},
    {"deepseek.", PK_BEDROCK_PLAIN, true},
    {"qwen.", PK_BEDROCK_PLAIN, true},
    {"google.", PK_BEDROCK_PLAIN, true},
    {"nvidia.", PK_BEDROCK_PLAIN, true},
    {"minimax.", PK_BEDROCK_PLAIN, true},
    {"moonshot.", PK_BEDROCK_PLAIN, true},
    {"moonshotai.", PK_BEDROCK_PLAIN, true},
    {"zai.", PK_BEDROCK_PLAIN, true},
};

static bool find(pk_str id, struct pk_bedrock_model *model)
{
    for (size_t i = 0; i < PK_COUNT(models); i++) {
        if (!pk_str_starts(id, models[i].prefix))
            continue;
        *model = (struct pk_bedrock_model){
            .family = models[i].family,
            .formats = models[i].formats,
            .name = pk_str_sub(id, (size_t)pk_str_find(id, '.') + 1, id.len),
        };
        return true;
    }
    return false;
}

struct pk_bedrock_model pk_bedrock_model_of(pk_str id)
{
    struct pk_bedrock_model model = {.formats = true, .name = id};
    const char *slash = id.len ? memrchr(id.at, '/', id.len) : NULL;

    if (slash)
        id = pk_str_sub(id, (size_t)(slash - id.at) + 1, id.len);
    int dot = pk_str_find(id, '.');
    if (!find(id, &model) && dot > 0)
        (void)find(pk_str_sub(id, (size_t)dot + 1, id.len), &model);
    return model;
}
