/* dialect_gemini_config.c - how to generate: Gemini's generationConfig for a chat completion's fields.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows Google's reference of GenerationConfig and its pages "Gemini thinking" and "OpenAI
 * compatibility".
 *
 *   max_completion_tokens, max_tokens   maxOutputTokens, which counts thoughts too, as OpenAI's does
 *   seed                                dropped where it is no 32-bit integer
 *   response_format                     responseMimeType and responseJsonSchema
 *   reasoning_effort                    by model: thinkingLevel, or thinkingBudget (minimal, low 1024; medium
 *                                       8192; more 24576); thoughts are shown, except for "none",
 *                                       which is the least that the model can do
 *   thinking                            Anthropic's spelling of a budget; then reasoning_effort is dropped
 *   thinking_config, image_config,      Google's own, as they are
 *   media_resolution, speech_config
 */
#include "dialect_gemini.h"

#include <string.h>

/* How a model thinks. */
enum thinks {
    THINKS_NEVER,
    THINKS_BUDGET,        /* as many tokens as it is given, none at all too */
    THINKS_BUDGET_ALWAYS, /* at least 128 */
    THINKS_LEVELS,        /* minimal, low, medium, high */
    THINKS_FROM_LOW,      /* low, medium, high */
    THINKS_LOW_OR_HIGH,
};

static const struct {
    const char *prefix;
    enum thinks thinks;
} models[] = {
    {"gemini-1", THINKS_NEVER},
    {"gemini-2.0", THINKS_NEVER},
    {"gemini-2.5-flash-image", THINKS_NEVER},
    {"gemini-2.5-pro", THINKS_BUDGET_ALWAYS},
    {"gemini-2.5", THINKS_BUDGET},
    {"gemini-3-pro", THINKS_LOW_OR_HIGH},
    {"gemini-3.1-pro", THINKS_FROM_LOW},
    {"gemini-pro-latest", THINKS_FROM_LOW},
    {"gemma", THINKS_NEVER},
    {"learnlm", THINKS_NEVER},
    {"", THINKS_LEVELS}, /* the later ones */
};

static pk_str bare(pk_str model)
{
    size_t prefix = strlen("models/");

    return pk_str_starts(model, "models/") ? pk_str_sub(model, prefix, model.len) : model;
}

static enum thinks thinks(pk_str model)
{
    size_t i = 0;

    while (!pk_str_starts(bare(model), models[i].prefix))
        i++;
    return models[i].thinks;
}

bool pk_gemini_wants_signatures(pk_str model)
{
    return thinks(model) >= THINKS_LEVELS;
}

/* --- thinking -------------------------------------------------------------------------------- */

/* An effort, and what it is for each way of thinking. */
static const struct effort {
    const char *name, *level, *from_low, *low_or_high;
    int budget;
} efforts[] = {
    {"none", "minimal", "low", "low", 0},    {"minimal", "minimal", "low", "low", 1024},
    {"low", "low", "low", "low", 1024},      {"medium", "medium", "medium", "high", 8192},
    {"high", "high", "high", "high", 24576}, {"xhigh", "high", "high", "high", 24576},
    {"max", "high", "high", "high", 24576},
};

enum { BUDGET_LEAST = 128 };

static void write_effort(struct pk_maker *m, enum thinks how, const struct effort *e)
{
    PK_ASSERT(how != THINKS_NEVER);
    pk_member_key(m->out, "thinkingConfig");
    switch (how) {
    case THINKS_NEVER: break;
    case THINKS_BUDGET: pk_buf_addf(m->out, "{\"thinkingBudget\":%d", e->budget); break;
    case THINKS_BUDGET_ALWAYS:
        pk_buf_addf(m->out, "{\"thinkingBudget\":%d", e->budget ? e->budget : BUDGET_LEAST);
        break;
    case THINKS_LEVELS: pk_buf_addf(m->out, "{\"thinkingLevel\":\"%s\"", e->level); break;
    case THINKS_FROM_LOW: pk_buf_addf(m->out, "{\"thinkingLevel\":\"%s\"", e->from_low); break;
    case THINKS_LOW_OR_HIGH:
        pk_buf_addf(m->out, "{\"thinkingLevel\":\"%s\"", e->low_or_high);
        break;
    }
    pk_buf_adds(m->out, e == &efforts[0] ? "}" : ",\"includeThoughts\":true}");
}

static bool reasoning_effort(struct pk_maker *m, int value, const char *to)
{
    enum thinks how = thinks(pk_make_string(m, pk_make_get(m, 0, "model")));
    bool told = pk_make_has(m, 0, "thinking") || pk_make_has(m, 0, "thinking_config");

    for (size_t i = 0; i < PK_COUNT(efforts) && !told && how != THINKS_NEVER; i++) {
        if (!pk_json_is(m->in, value, efforts[i].name))
            continue;
        write_effort(m, how, &efforts[i]);
        return true;
    }
    if (!pk_json_is(m->in, value, "none") || told)
        pk_make_drop(m, to);
    return true;
}

/* Anthropic's: {"type":"enabled","budget_tokens":1024}, {"type":"disabled"}, {"type":"adaptive"}. */
static bool thinking(struct pk_maker *m, int value, const char *to)
{
    int type = pk_make_get(m, value, "type");
    int64_t budget = -1; /* as much as it likes */

    if (pk_make_has(m, 0, "thinking_config") ||
        thinks(pk_make_string(m, pk_make_get(m, 0, "model"))) == THINKS_NEVER) {
        pk_make_drop(m, to);
    } else if (pk_json_is(m->in, type, "disabled")) {
        pk_dialect_raw(m->out, "thinkingConfig", PK_STR("{\"thinkingBudget\":0}"));
    } else {
        (void)pk_json_int(m->in, pk_make_get(m, value, "budget_tokens"), &budget);
        pk_member_key(m->out, "thinkingConfig");
        pk_buf_addf(m->out, "{\"thinkingBudget\":%lld,\"includeThoughts\":true}",
                    (long long)budget);
    }
    return true;
}

/* --- the rest -------------------------------------------------------------------------------- */

static bool max_tokens(struct pk_maker *m, int value, const char *to)
{
    return pk_make_has(m, 0, "max_completion_tokens") || pk_make_same(m, value, to);
}

static bool seed(struct pk_maker *m, int value, const char *to)
{
    int64_t n;

    if (pk_json_int(m->in, value, &n) && n >= INT32_MIN && n <= INT32_MAX)
        return pk_make_same(m, value, to);
    pk_make_drop(m, to);
    return true;
}

/* ["text","image"] there is ["TEXT","IMAGE"]. */
static bool modalities(struct pk_maker *m, int value, const char *to)
{
    if (pk_make_type(m, value) != PK_JSON_ARRAY)
        return pk_fail(m->err, PK_BAD_REQUEST, "modalities: must be a list");
    pk_member_key(m->out, to);
    size_t from = m->out->len;
    pk_dialect_line(m->out, pk_json_raw(m->in, value));
    for (size_t i = from; i < m->out->len; i++)
        if (m->out->at[i] >= 'a' && m->out->at[i] <= 'z')
            m->out->at[i] = (char)(m->out->at[i] - 'a' + 'A');
    return true;
}

static bool response_format(struct pk_maker *m, int value, const char *to)
{
    int type = pk_make_get(m, value, "type");
    int schema = pk_make_get(m, pk_make_get(m, value, "json_schema"), "schema");
    bool with_schema = pk_json_is(m->in, type, "json_schema");

    if (pk_json_is(m->in, type, "text"))
        return true;
    if (!with_schema && !pk_json_is(m->in, type, "json_object")) {
        pk_make_drop(m, to);
        return true;
    }
    pk_dialect_raw(m->out, "responseMimeType", PK_STR("\"application/json\""));
    if (with_schema && pk_make_type(m, schema) == PK_JSON_OBJECT) {
        pk_member_key(m->out, "responseJsonSchema");
        pk_gemini_schema(m->out, m->in, schema);
    }
    return true;
}

const struct pk_make_field pk_gemini_config_fields[] = {
    {"max_completion_tokens", "maxOutputTokens", pk_make_same},
    {"max_tokens", "maxOutputTokens", max_tokens},
    {"temperature", "temperature", pk_make_same},
    {"top_p", "topP", pk_make_same},
    {"top_k", "topK", pk_make_same},
    {"stop", "stopSequences", pk_make_list},
    {"seed", "seed", seed},
    {"n", "candidateCount", pk_make_same},
    {"presence_penalty", "presencePenalty", pk_make_same},
    {"frequency_penalty", "frequencyPenalty", pk_make_same},
    {"logprobs", "responseLogprobs", pk_make_same},
    {"top_logprobs", "logprobs", pk_make_same},
    {"modalities", "responseModalities", modalities},
    {"response_format", "response_format", response_format},
    {"reasoning_effort", "reasoning_effort", reasoning_effort},
    {"thinking", "thinking", thinking},
    {"thinking_config", "thinkingConfig", pk_make_same}, /* from here: Google's own */
    {"image_config", "imageConfig", pk_make_same},
    {"media_resolution", "mediaResolution", pk_make_same},
    {"speech_config", "speechConfig", pk_make_same},
};

const size_t pk_gemini_config_count = PK_COUNT(pk_gemini_config_fields);

bool pk_gemini_config(struct pk_maker *m)
{
    struct pk_buf *out = m->out, config = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    m->out = &config;
    pk_buf_addc(&config, '{');
    bool ok = pk_make_fields(m, pk_gemini_config_fields, pk_gemini_config_count);
    m->out = out;
    out->failed = out->failed || config.failed;
    if (!ok || config.len <= 1)
        return ok;
    pk_buf_addc(&config, '}');
    pk_dialect_raw(out, "generationConfig", pk_buf_str(&config));
    return true;
}
