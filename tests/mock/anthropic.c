/* anthropic.c - Anthropic's messages, as docs.anthropic.com/en/api/messages has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * As strict as the real one: a field that it does not know is an error.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static const char fields[] =
    "|model|messages|max_tokens|container|context_management|mcp_servers|metadata|output_config|"
    "service_tier|stop_sequences|stream|system|temperature|thinking|tool_choice|tools|top_k|top_p|";

static const struct {
    int status;
    const char *type;
} errors[] = {
    {400, "invalid_request_error"},
    {401, "authentication_error"},
    {403, "permission_error"},
    {404, "not_found_error"},
    {413, "request_too_large"},
    {429, "rate_limit_error"},
    {500, "api_error"},
    {529, "overloaded_error"},
};

static void error(int status, const char *message, const char *param, struct reply *r)
{
    const char *type = errors[0].type;

    (void)param;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].status <= status)
            type = errors[i].type;
    reply_reset(r, status);
    text_addf(&r->body, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":", type);
    text_quote(&r->body, message, strlen(message));
    text_adds(&r->body, "},\"request_id\":\"req_mock\"}");
}

static void event(struct reply *r, const char *name, const char *json)
{
    text_addf(&r->body, "event: %s\ndata: %s\n\n", name, json);
    reply_event(r);
}

static void error_event(struct reply *r)
{
    event(r, "error",
          "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
          "\"message\":\"Overloaded\"}}");
}

static bool refuse(const char *message, struct reply *r)
{
    error(400, message, NULL, r);
    return false;
}

static bool check_fields(const cJSON *json, struct reply *r)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, json)
    {
        char message[160];
        (void)snprintf(message, sizeof(message), "%.70s: Extra inputs are not permitted",
                       f->string);
        if (!listed(fields, f->string))
            return refuse(message, r);
    }
    return true;
}

static bool check_part(const cJSON *part, struct reply *r)
{
    const char *type = json_text(part, "type");
    const char *text = json_text(part, "text");

    if (!type ||
        !listed("|text|image|tool_use|tool_result|document|thinking|redacted_thinking|", type))
        return refuse("messages: Input tag found using 'type' does not match the expected tags", r);
    if (strcmp(type, "text") == 0 && (!text || !text[0]))
        return refuse("messages: text content blocks must be non-empty", r);
    if (strcmp(type, "tool_result") == 0 && !json_text(part, "tool_use_id"))
        return refuse("messages: tool_result.tool_use_id: Field required", r);
    if (strcmp(type, "tool_use") == 0 &&
        !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(part, "input")))
        return refuse("messages: tool_use.input: Input should be a valid dictionary", r);
    return true;
}

static bool check_message(const cJSON *m, struct reply *r)
{
    const char *role = json_text(m, "role");
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
    const cJSON *part;

    if (!role || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0))
        return refuse("messages: Unexpected role. The Messages API accepts a top-level `system` "
                      "parameter, not \"system\" as an input message role.",
                      r);
    if (cJSON_IsString(content))
        return content->valuestring[0] || refuse("messages: content must be non-empty", r);
    if (!cJSON_IsArray(content))
        return refuse("messages: content: Input should be a valid list", r);
    cJSON_ArrayForEach(part, content)
    {
        if (!check_part(part, r))
            return false;
    }
    return true;
}

static bool check_messages(const cJSON *messages, struct reply *r)
{
    const cJSON *m;

    if (!messages)
        return refuse("messages: Field required", r);
    if (!cJSON_IsArray(messages))
        return refuse("messages: Input should be a valid list", r);
    if (cJSON_GetArraySize(messages) == 0)
        return refuse("messages: at least one message is required", r);
    cJSON_ArrayForEach(m, messages)
    {
        if (!check_message(m, r))
            return false;
    }
    return true;
}

static bool check_tools(const cJSON *tools, struct reply *r)
{
    const cJSON *tool;

    cJSON_ArrayForEach(tool, tools)
    {
        if (!json_text(tool, "name"))
            return refuse("tools: name: Field required", r);
        if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(tool, "input_schema")))
            return refuse("tools: input_schema: Field required", r);
    }
    return true;
}

static bool check_key(const struct ask *a, struct reply *r)
{
    char version[64];

    ask_header(a, "anthropic-version", version, sizeof(version));
    if (!a->key[0])
        error(401, "x-api-key header is required", NULL, r);
    else if (!version[0])
        error(400, "anthropic-version: header is required", NULL, r);
    return a->key[0] && version[0];
}

/* Vertex AI has the model in the path, and the version in the body. */
static bool at_vertex(const struct ask *a)
{
    return strstr(a->route, "/publishers/anthropic/models/") != NULL;
}

static void read_ask(struct ask *a)
{
    const char *name = strstr(a->route, "/models/"), *colon = strrchr(a->route, ':');

    ask_read(a);
    if (at_vertex(a) && name && colon)
        path_name(a, name + strlen("/models/"), colon);
}

static bool check_vertex(const struct ask *a, struct reply *r)
{
    const char *version = json_text(a->json, "anthropic_version");
    bool streams = strstr(a->route, ":streamRawPredict") != NULL;

    if (!version || strcmp(version, "vertex-2023-10-16") != 0)
        return refuse("anthropic_version: must be vertex-2023-10-16", r);
    if (cJSON_HasObjectItem(a->json, "model"))
        return refuse("model: Extra inputs are not permitted", r);
    if (streams != a->stream)
        return refuse("stream: does not fit the method", r);
    cJSON_DeleteItemFromObjectCaseSensitive(a->json, "anthropic_version");
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *max = cJSON_GetObjectItemCaseSensitive(a->json, "max_tokens");
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(a->json, "temperature");

    if (!check_key(a, r) || !check_json(&anthropic, a, r) || (at_vertex(a) && !check_vertex(a, r)))
        return false;
    if (!a->model[0])
        return refuse("model: Field required", r);
    if (!max)
        return refuse("max_tokens: Field required", r);
    if (!cJSON_IsNumber(max) || max->valuedouble < 1)
        return refuse("max_tokens: Input should be greater than or equal to 1", r);
    if (t && !(cJSON_IsNumber(t) && t->valuedouble >= 0 && t->valuedouble <= 1))
        return refuse("temperature: range: 0..1", r);
    return check_fields(a->json, r) &&
           check_tools(cJSON_GetObjectItemCaseSensitive(a->json, "tools"), r) &&
           check_messages(cJSON_GetObjectItemCaseSensitive(a->json, "messages"), r);
}

static const char *stop_reason(const char *finish)
{
    if (strcmp(finish, "length") == 0)
        return "max_tokens";
    return strcmp(finish, "tool_calls") == 0 ? "tool_use" : "end_turn";
}

/* Here input_tokens do not count what came from the cache. */
static void usage(const struct ask *a, const struct content *c, int output, struct text *out)
{
    int input = a->prompt_tokens > c->cached ? a->prompt_tokens - c->cached : 0;

    text_addf(out,
              "{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,"
              "\"cache_read_input_tokens\":%d,\"output_tokens\":%d}",
              input, c->cached, output);
}

static void head(const struct ask *a, int64_t id, struct text *out)
{
    text_addf(out, "{\"id\":\"msg_mock_%06lld\",\"type\":\"message\",\"role\":\"assistant\",",
              (long long)id);
    text_adds(out, "\"model\":");
    text_quote(out, a->model, strlen(a->model));
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    head(a, id, &r->body);
    if (c->tool) {
        text_addf(&r->body, ",\"content\":[{\"type\":\"tool_use\",\"id\":\"toolu_mock_%lld\",",
                  (long long)id);
        text_addf(&r->body, "\"name\":\"%s\",\"input\":%s}]", c->tool, c->arguments);
    } else {
        text_adds(&r->body, ",\"content\":[{\"type\":\"text\",\"text\":");
        text_quote(&r->body, c->text, c->len);
        text_adds(&r->body, "}]");
    }
    text_addf(&r->body, ",\"stop_reason\":\"%s\",\"stop_sequence\":null", stop_reason(c->finish));
    if (!c->no_usage) {
        text_adds(&r->body, ",\"usage\":");
        usage(a, c, content_tokens(c), &r->body);
    }
    text_adds(&r->body, "}");
}

static void delta(struct reply *r, const char *type, const char *field, const char *s, size_t len)
{
    text_addf(&r->body,
              "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
              "\"delta\":{\"type\":\"%s\",\"%s\":",
              type, field);
    text_quote(&r->body, s, len);
    text_adds(&r->body, "}}\n\n");
    reply_event(r);
}

static void stream_block(const struct content *c, int64_t id, struct reply *r)
{
    size_t at = 0, total = strlen(c->tool ? c->arguments : "");

    text_adds(&r->body, "event: content_block_start\ndata: {\"type\":\"content_block_start\","
                        "\"index\":0,\"content_block\":");
    if (c->tool)
        text_addf(&r->body,
                  "{\"type\":\"tool_use\",\"id\":\"toolu_mock_%lld\",\"name\":\"%s\","
                  "\"input\":{}}}\n\n",
                  (long long)id, c->tool);
    else
        text_adds(&r->body, "{\"type\":\"text\",\"text\":\"\"}}\n\n");
    reply_event(r);
    event(r, "ping", "{\"type\": \"ping\"}");
    for (; at < total; at += 5)
        delta(r, "input_json_delta", "partial_json", c->arguments + at,
              total - at < 5 ? total - at : 5);
    for (at = 0; !c->tool && at < c->len;) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);
        delta(r, "text_delta", "text", c->text + at, len);
        at += len;
    }
    event(r, "content_block_stop", "{\"type\":\"content_block_stop\",\"index\":0}");
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    r->type = "text/event-stream; charset=utf-8";
    text_adds(&r->body, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
    head(a, id, &r->body);
    text_adds(&r->body, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    usage(a, c, 1, &r->body);
    text_adds(&r->body, "}}\n\n");
    reply_event(r);
    stream_block(c, id, r);
    text_addf(&r->body,
              "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
              "\"%s\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}\n\n",
              stop_reason(c->finish), content_tokens(c));
    reply_event(r);
    event(r, "message_stop", "{\"type\":\"message_stop\"}");
}

static void models(struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body, "{\"data\":[{\"type\":\"model\",\"id\":\"claude-sonnet-4-5\","
                        "\"display_name\":\"Mock\",\"created_at\":\"2025-01-01T00:00:00Z\"}],"
                        "\"has_more\":false,\"first_id\":\"claude-sonnet-4-5\","
                        "\"last_id\":\"claude-sonnet-4-5\"}");
}

const struct dialect anthropic = {"anthropic", read_ask, check,       answer,
                                  stream,      error,    error_event, models};
