/* dialect_bedrock_request.c - the body of Converse for a chat completion's body.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows the API reference of bedrock-runtime (2023-09-30): ConverseRequest. The model, and whether to
 * stream, stand in the path.
 *
 *   messages          results of tools and what a user says next share one message: roles must alternate
 *   thinking_blocks   go back as reasoningContent, to Anthropic's models
 *   reasoning_effort  Anthropic: a budget or an effort (dialect_anthropic_thinking.h); Nova 2:
 *                     maxReasoningEffort; OpenAI's: reasoning_effort. Other models do not know it
 *   top_k, user       additionalModelRequestFields, where the model's family has a place for them
 *   response_format   a JSON schema, for the models that take one
 */
#include "dialect_bedrock.h"

#include <stdio.h>
#include <string.h>

/* --- messages -------------------------------------------------------------------------------- */

/* Ids of other providers' calls may have characters that Converse refuses: in call and result alike
 * they are underscores. */
static void write_id(struct pk_maker *m, int id)
{
    struct pk_buf made = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    pk_str text = pk_make_string(m, id);

    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

        pk_buf_addc(&made, word || c == '-' || c == '.' || c == ':' ? c : '_');
    }
    pk_member_text(m->out, "toolUseId", pk_buf_str(&made));
}

static void write_thought(struct pk_maker *m, int block)
{
    int data = pk_make_get(m, block, "data"), text = pk_make_get(m, block, "thinking");

    if (!pk_bedrock_may_be_claude(m) ||
        (pk_make_type(m, data) != PK_JSON_STRING && pk_make_type(m, text) != PK_JSON_STRING)) {
        pk_make_drop(m, "messages.thinking_blocks");
        return;
    }
    pk_make_open(m, "assistant", "assistant", "content");
    pk_buf_adds(m->out, "{\"reasoningContent\":{");
    if (pk_make_type(m, data) == PK_JSON_STRING) {
        pk_make_copy(m, block, "data", "redactedContent");
    } else {
        pk_buf_adds(m->out, "\"reasoningText\":{");
        pk_make_copy(m, block, "thinking", "text");
        pk_make_copy(m, block, "signature", "signature");
        pk_buf_addc(m->out, '}');
    }
    pk_buf_adds(m->out, "}}");
}

static bool write_call(struct pk_maker *m, int call)
{
    int function = pk_make_get(m, call, "function");
    pk_str input = PK_NONE;

    if (pk_make_type(m, pk_make_get(m, call, "id")) != PK_JSON_STRING ||
        pk_make_type(m, pk_make_get(m, function, "name")) != PK_JSON_STRING)
        return pk_make_refuse(m, "a tool call needs an id and function.name");
    if (!pk_make_arguments(m, pk_make_get(m, function, "arguments"), &input))
        return false;
    pk_make_open(m, "assistant", "assistant", "content");
    pk_buf_adds(m->out, "{\"toolUse\":{");
    write_id(m, pk_make_get(m, call, "id"));
    pk_make_copy(m, function, "name", "name");
    pk_dialect_raw(m->out, "input", input);
    pk_buf_adds(m->out, "}}");
    pk_bedrock_cache_point(m, call);
    return true;
}

static bool write_assistant(struct pk_maker *m, int message, int index)
{
    int blocks = pk_make_get(m, message, "thinking_blocks");

    if (pk_make_type(m, blocks) == PK_JSON_ARRAY)
        for (int b = pk_json_first(m->in, blocks); b >= 0; b = pk_json_next(m->in, blocks, b))
            write_thought(m, b);
    if (pk_json_count(m->in, blocks) <= 0 && pk_make_has(m, message, "reasoning_content"))
        pk_make_drop(m, "messages.reasoning_content");
    if (pk_make_has(m, message, "audio"))
        pk_make_drop(m, "messages.audio");
    if (pk_make_has(m, message, "function_call"))
        return pk_make_refuse(m, "function_call is not understood: use tool_calls");
    if (!pk_make_content(m, "assistant", message, index))
        return false;
    pk_bedrock_text(m, "assistant", pk_make_get(m, message, "refusal"), -1);
    return pk_make_calls(m, message, index, write_call);
}

/* Only Nova and Anthropic's models are told that a tool failed. */
static void write_status(struct pk_maker *m, int message)
{
    enum pk_bedrock_family family = pk_bedrock_plan_of(m)->model.family;
    bool told =
        pk_bedrock_may_be_claude(m) || family == PK_BEDROCK_NOVA || family == PK_BEDROCK_NOVA_2;

    if (!pk_json_true(m->in, pk_make_get(m, message, "is_error")))
        return;
    if (told)
        pk_dialect_raw(m->out, "status", PK_STR("\"error\""));
    else
        pk_make_drop(m, "messages.is_error");
}

static bool write_result(struct pk_maker *m, int message, int index)
{
    struct pk_bedrock_plan *plan = pk_bedrock_plan_of(m);
    int id = pk_make_get(m, message, "tool_call_id");

    if (pk_make_type(m, id) != PK_JSON_STRING)
        return pk_make_refuse(m, "tool_call_id is missing");
    pk_make_open(m, "user", "user", "content");
    pk_buf_adds(m->out, "{\"toolResult\":{");
    write_id(m, id);
    pk_member_key(m->out, "content");
    pk_buf_addc(m->out, '[');
    plan->in_result = true;
    plan->marked = -1;
    bool ok = pk_make_content(m, NULL, message, index);
    plan->in_result = false;
    pk_buf_addc(m->out, ']');
    write_status(m, message);
    pk_buf_adds(m->out, "}}");
    pk_bedrock_cache_point(m, pk_make_has(m, message, "cache_control") ? message : plan->marked);
    return ok;
}

static bool write_message(struct pk_maker *m, int message, int index)
{
    return pk_make_by_role(m, message, index, write_assistant, write_result);
}

/* Every system message as blocks. */
static bool write_system(struct pk_maker *m)
{
    pk_bedrock_plan_of(m)->in_system = true;
    bool ok = pk_make_system_list(m);
    pk_bedrock_plan_of(m)->in_system = false;
    return ok;
}

/* --- inferenceConfig ------------------------------------------------------------------------- */

/* Nova 2, asked to think hard, refuses to be limited. */
static bool is_unlimited(const struct pk_maker *m)
{
    static const char *const hard[] = {"high", "xhigh", "max", NULL};

    return pk_bedrock_plan_of(m)->model.family == PK_BEDROCK_NOVA_2 &&
           pk_make_listed(m, pk_make_get(m, 0, "reasoning_effort"), hard);
}

static void write_max_tokens(struct pk_maker *m)
{
    int given = pk_anthropic_max_tokens(m);
    int64_t most = pk_bedrock_plan_of(m)->thinking.max_tokens;

    if (most) {
        pk_member_key(m->out, "maxTokens");
        pk_buf_addf(m->out, "%lld", (long long)most);
    } else if (pk_make_type(m, given) > PK_JSON_NULL && is_unlimited(m)) {
        pk_make_drop(m, "max_tokens");
    } else if (pk_make_type(m, given) > PK_JSON_NULL) {
        pk_dialect_raw(m->out, "maxTokens", pk_json_raw(m->in, given));
    }
}

static bool write_sampling(struct pk_maker *m, const char *name, const char *to)
{
    pk_str number;

    if (!pk_make_has(m, 0, name))
        return true;
    if (!pk_anthropic_sampling(m, &pk_bedrock_plan_of(m)->thinking, name, &number))
        return false;
    if (is_unlimited(m))
        pk_make_drop(m, name);
    else
        pk_dialect_raw(m->out, to, number);
    return true;
}

static bool write_inference(struct pk_maker *m)
{
    int stop = pk_make_get(m, 0, "stop");
    size_t before = m->out->len, empty;

    pk_member_key(m->out, "inferenceConfig");
    pk_buf_addc(m->out, '{');
    empty = m->out->len;
    write_max_tokens(m);
    if (!write_sampling(m, "temperature", "temperature") || !write_sampling(m, "top_p", "topP") ||
        (pk_make_type(m, stop) > PK_JSON_NULL && !pk_make_list(m, stop, "stopSequences")))
        return false;
    if (m->out->len == empty)
        m->out->len = before;
    else
        pk_buf_addc(m->out, '}');
    return true;
}

/* --- additionalModelRequestFields ------------------------------------------------------------ */

static pk_str object_of(const struct pk_maker *m, const char *name, pk_str value)
{
    return pk_copyf(m->arena, "{\"%s\":%.*s}", name, PK_FMT(value));
}

static bool plan_top_k(struct pk_maker *m, struct pk_json_edit *field)
{
    int value = pk_make_get(m, 0, "top_k");
    pk_str number = pk_json_raw(m->in, value);

    if (pk_make_type(m, value) <= PK_JSON_NULL)
        return true;
    switch (pk_bedrock_plan_of(m)->model.family) {
    case PK_BEDROCK_ANTHROPIC:
        if (!pk_anthropic_sampling(m, &pk_bedrock_plan_of(m)->thinking, "top_k", &number))
            return false;
        *field = (struct pk_json_edit){PK_STR("top_k"), number};
        return true;
    case PK_BEDROCK_OTHER:
    case PK_BEDROCK_MISTRAL: *field = (struct pk_json_edit){PK_STR("top_k"), number}; return true;
    case PK_BEDROCK_COHERE: *field = (struct pk_json_edit){PK_STR("k"), number}; return true;
    case PK_BEDROCK_NOVA:
    case PK_BEDROCK_NOVA_2:
        *field = (struct pk_json_edit){PK_STR("inferenceConfig"), object_of(m, "topK", number)};
        return true;
    case PK_BEDROCK_OPENAI:
    case PK_BEDROCK_PLAIN: pk_make_drop(m, "top_k"); return true;
    }
    return true;
}

/* An effort in three steps; NULL: none of them. */
static const char *step_of(const struct pk_maker *m, int effort)
{
    static const struct {
        const char *effort, *step;
    } steps[] = {{"minimal", "low"}, {"low", "low"},    {"medium", "medium"},
                 {"high", "high"},   {"xhigh", "high"}, {"max", "high"}};

    for (size_t i = 0; i < PK_COUNT(steps); i++)
        if (pk_json_is(m->in, effort, steps[i].effort))
            return steps[i].step;
    return NULL;
}

/* Of the families that are not Anthropic's, whose effort is planned already. */
static void plan_effort(struct pk_maker *m, struct pk_json_edit *field)
{
    int effort = pk_make_get(m, 0, "reasoning_effort");
    enum pk_bedrock_family family = pk_bedrock_plan_of(m)->model.family;
    const char *step = step_of(m, effort);

    if (pk_make_type(m, effort) <= PK_JSON_NULL || family == PK_BEDROCK_ANTHROPIC)
        return;
    if (family == PK_BEDROCK_NOVA_2 && step)
        *field = (struct pk_json_edit){
            PK_STR("reasoningConfig"),
            pk_copyf(m->arena, "{\"type\":\"enabled\",\"maxReasoningEffort\":\"%s\"}", step)};
    else if (family == PK_BEDROCK_OPENAI && step)
        *field =
            (struct pk_json_edit){PK_STR("reasoning_effort"), pk_copyf(m->arena, "\"%s\"", step)};
    else if (!pk_json_is(m->in, effort, "none") || family == PK_BEDROCK_OPENAI)
        pk_make_drop(m, "reasoning_effort");
}

/* A list, or a header's text with commas. */
static pk_str betas_of(const struct pk_maker *m, int betas)
{
    struct pk_buf out = pk_buf_in(m->arena, PK_HEADERS_BYTES_MAX);
    pk_str rest = pk_make_string(m, betas);

    if (pk_make_type(m, betas) != PK_JSON_STRING)
        return pk_json_raw(m->in, betas);
    pk_buf_addc(&out, '[');
    while (rest.len) {
        int comma = pk_str_find(rest, ',');
        pk_str one = pk_str_trim(comma < 0 ? rest : pk_str_sub(rest, 0, (size_t)comma));

        rest = comma < 0 ? PK_NONE : pk_str_sub(rest, (size_t)comma + 1, rest.len);
        if (one.len == 0)
            continue;
        pk_member_comma(&out);
        pk_json_quote(&out, one);
    }
    pk_buf_addc(&out, ']');
    return pk_buf_str(&out);
}

/* What Anthropic's models have beside Converse; other models would refuse it. */
static int plan_claude(struct pk_maker *m, struct pk_json_edit *fields)
{
    static const char *const own[] = {"thinking", "anthropic_beta", "output_config",
                                      "context_management", "user"};
    int n = 0;

    for (size_t i = 0; i < PK_COUNT(own); i++) {
        int value = pk_make_get(m, 0, own[i]);
        pk_str name = pk_str_of(own[i]), raw = pk_json_raw(m->in, value);

        if (pk_make_type(m, value) <= PK_JSON_NULL)
            continue;
        if (!pk_bedrock_may_be_claude(m)) {
            pk_make_drop(m, own[i]);
            continue;
        }
        if (pk_str_is(name, "anthropic_beta"))
            raw = betas_of(m, value);
        if (pk_str_is(name, "user")) {
            name = PK_STR("metadata");
            raw = object_of(m, "user_id", raw);
        }
        fields[n++] = (struct pk_json_edit){name, raw};
    }
    return n;
}

static pk_str thinking_of(const struct pk_maker *m)
{
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);
    const pk_str name = PK_STR("\"thinking\":");

    pk_anthropic_write_thinking(&out, &pk_bedrock_plan_of(m)->thinking);
    return pk_str_sub(pk_buf_str(&out), name.len, out.len);
}

static bool write_additional(struct pk_maker *m)
{
    const char *to = "additionalModelRequestFields";
    const char *from = pk_make_has(m, 0, to) ? to : "additional_model_request_fields";
    struct pk_json_edit fields[8] = {{PK_STR("thinking"), thinking_of(m)}};
    int n = 1;

    if (!plan_top_k(m, &fields[n++]))
        return false;
    plan_effort(m, &fields[n++]);
    n += plan_claude(m, fields + n);
    pk_make_merged(m, pk_make_get(m, 0, from), to, fields, n);
    return true;
}

/* --- outputConfig ---------------------------------------------------------------------------- */

/* {"type":"json_schema","structure":...}, or empty when the format is text or cannot be expressed. The
 * schema is JSON in a string there. */
static pk_str format_of(const struct pk_maker *m)
{
    int format = pk_make_get(m, 0, "response_format"), type = pk_make_get(m, format, "type");
    int given = pk_make_get(m, format, "json_schema"), schema = pk_make_get(m, given, "schema");
    struct pk_buf out = pk_buf_in(m->arena, PK_BODY_BYTES_MAX);

    if (pk_make_type(m, format) <= PK_JSON_NULL || pk_json_is(m->in, type, "text"))
        return PK_NONE;
    if (!pk_json_is(m->in, type, "json_schema") || pk_make_type(m, schema) != PK_JSON_OBJECT ||
        !pk_bedrock_plan_of(m)->model.formats) {
        pk_make_drop(m, "response_format");
        return PK_NONE;
    }
    pk_buf_adds(&out, "{\"type\":\"json_schema\",\"structure\":{\"jsonSchema\":{\"schema\":");
    pk_json_quote(&out, pk_json_raw(m->in, schema));
    if (pk_make_has(m, given, "name"))
        pk_dialect_raw(&out, "name", pk_json_raw(m->in, pk_make_get(m, given, "name")));
    if (pk_make_has(m, given, "description"))
        pk_dialect_raw(&out, "description",
                       pk_json_raw(m->in, pk_make_get(m, given, "description")));
    pk_buf_adds(&out, "}}}");
    return pk_buf_str(&out);
}

/* An effort that the client gave in Anthropic's own output_config counts. */
static void write_output(struct pk_maker *m)
{
    bool own = pk_make_has(m, pk_make_get(m, 0, "output_config"), "effort");
    const struct pk_json_edit members[] = {
        {PK_STR("textFormat"), format_of(m)},
        {PK_STR("effort"), own ? PK_NONE : pk_bedrock_plan_of(m)->thinking.effort},
    };

    pk_make_merged(m, pk_make_get(m, 0, "outputConfig"), "outputConfig", members,
                   PK_COUNT(members));
}

/* --- the whole ------------------------------------------------------------------------------- */

/* A field of Converse's own; its own spelling counts when both are given. */
static bool own(struct pk_maker *m, int value, const char *to)
{
    int spelled = pk_make_get(m, 0, to);

    return (pk_make_type(m, spelled) > PK_JSON_NULL && spelled != value) ||
           pk_make_same(m, value, to);
}

/* OpenAI's words are Converse's, but for "auto", which is what holds without one. */
static bool service_tier(struct pk_maker *m, int value, const char *to)
{
    static const char *const types[] = {"default", "flex", "priority", "reserved", NULL};

    if (pk_make_type(m, value) == PK_JSON_OBJECT || pk_make_has(m, 0, to))
        return own(m, value, to);
    if (pk_make_listed(m, value, types))
        pk_dialect_raw(m->out, to, object_of(m, "type", pk_json_raw(m->in, value)));
    else if (!pk_json_is(m->in, value, "auto"))
        pk_make_drop(m, "service_tier");
    return true;
}

static const struct pk_make_field fields[] = {
    {"model", "model", pk_make_nothing},
    {"messages", "messages", pk_make_nothing},
    {"stream", "stream", pk_make_nothing},
    {"stream_options", "stream_options", pk_make_nothing}, /* usage is always told */
    {"max_tokens", "max_tokens", pk_make_nothing},
    {"max_completion_tokens", "max_completion_tokens", pk_make_nothing},
    {"temperature", "temperature", pk_make_nothing},
    {"top_p", "top_p", pk_make_nothing},
    {"top_k", "top_k", pk_make_nothing},
    {"stop", "stop", pk_make_nothing},
    {"tools", "tools", pk_make_nothing},
    {"tool_choice", "tool_choice", pk_make_nothing},
    {"parallel_tool_calls", "parallel_tool_calls", pk_make_nothing},
    {"response_format", "response_format", pk_make_nothing},
    {"reasoning_effort", "reasoning_effort", pk_make_nothing},
    {"user", "user", pk_make_nothing},
    {"thinking", "thinking", pk_make_nothing}, /* from here: Anthropic's own */
    {"anthropic_beta", "anthropic_beta", pk_make_nothing},
    {"output_config", "output_config", pk_make_nothing},
    {"context_management", "context_management", pk_make_nothing},
    {"n", "n", pk_make_one},
    {"service_tier", "serviceTier", service_tier},
    {"serviceTier", "serviceTier", own}, /* from here: Converse's own */
    {"outputConfig", "outputConfig", pk_make_nothing},
    {"additionalModelRequestFields", "additionalModelRequestFields", pk_make_nothing},
    {"additional_model_request_fields", "additionalModelRequestFields", pk_make_nothing},
    {"additionalModelResponseFieldPaths", "additionalModelResponseFieldPaths", own},
    {"additional_model_response_field_paths", "additionalModelResponseFieldPaths", own},
    {"guardrailConfig", "guardrailConfig", own},
    {"guardrail_config", "guardrailConfig", own},
    {"performanceConfig", "performanceConfig", own},
    {"performance_config", "performanceConfig", own},
    {"requestMetadata", "requestMetadata", own},
    {"request_metadata", "requestMetadata", own},
    {"promptVariables", "promptVariables", own},
    {"prompt_variables", "promptVariables", own},
    {"projectIdentifier", "projectIdentifier", own},
    {"project_identifier", "projectIdentifier", own},
};

bool pk_bedrock_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                        struct pk_error *err)
{
    struct pk_maker m = pk_make(body, out, dropped, err);
    struct pk_bedrock_plan plan = {
        .model = pk_bedrock_model_of(pk_make_string(&m, pk_make_get(&m, 0, "model")))};

    m.own = &plan;
    m.text = pk_bedrock_text;
    m.part = pk_bedrock_part;
    if (plan.model.family == PK_BEDROCK_ANTHROPIC &&
        !pk_anthropic_think(&m, plan.model.name, &plan.thinking))
        return false;
    pk_buf_addc(out, '{');
    if (!write_system(&m) || !pk_make_messages(&m, "messages", write_message) ||
        !write_inference(&m) || !pk_bedrock_tools(&m) || !write_additional(&m) ||
        !pk_make_fields(&m, fields, PK_COUNT(fields)))
        return false;
    write_output(&m);
    pk_make_end(&m, fields, PK_COUNT(fields));
    return true;
}
