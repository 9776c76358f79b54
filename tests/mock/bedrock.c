/* bedrock.c - Amazon Bedrock's Converse and ConverseStream, as the API reference of bedrock-runtime has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * As strict as the real one: unknown fields, blocks of no or several kinds, roles that do not alternate,
 * and results that do not fit the calls before them are errors. The model, and whether to stream, stand in
 * the path. A stream is of real frames, with both checksums. Signatures are checked in auth.c.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static const char fields[] =
    "|messages|system|inferenceConfig|toolConfig|guardrailConfig|additionalModelRequestFields|"
    "additionalModelResponseFieldPaths|promptVariables|requestMetadata|performanceConfig|"
    "serviceTier|"
    "outputConfig|projectIdentifier|";
static const char config_fields[] = "|maxTokens|temperature|topP|stopSequences|";
static const char blocks[] =
    "|text|image|document|video|audio|toolUse|toolResult|guardContent|cachePoint|reasoningContent|"
    "citationsContent|searchResult|";

static const struct {
    int status;
    const char *type;
} errors[] = {
    {400, "ValidationException"},       {403, "AccessDeniedException"},
    {404, "ResourceNotFoundException"}, {408, "ModelTimeoutException"},
    {424, "ModelErrorException"},       {429, "ThrottlingException"},
    {500, "InternalServerException"},   {503, "ServiceUnavailableException"},
};

static void error(int status, const char *message, const char *param, struct reply *r)
{
    const char *type = errors[0].type;

    (void)param;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].status <= status)
            type = errors[i].type;
    reply_reset(r, status);
    text_addf(&r->headers, "x-amzn-ErrorType: %s:http://internal.amazon.com/coral/\r\n", type);
    text_adds(&r->body, "{\"message\":");
    text_quote(&r->body, message, strlen(message));
    text_adds(&r->body, "}");
}

static bool refuse(const char *message, struct reply *r)
{
    error(400, message, NULL, r);
    return false;
}

/* --- frames -------------------------------------------------------------------------------- */

static uint32_t crc32(const char *bytes, size_t len)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void number(struct text *out, uint32_t n, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        char c = (char)(n >> (8 * i));

        text_add(out, &c, 1);
    }
}

static void header(struct text *out, const char *name, const char *value)
{
    number(out, (uint32_t)strlen(name), 1);
    text_adds(out, name);
    number(out, 7, 1);
    number(out, (uint32_t)strlen(value), 2);
    text_adds(out, value);
}

/* A message of the kind "event" or "exception". */
static void frame(struct text *out, const char *kind, const char *name, const struct text *payload)
{
    struct text headers = {0};
    char type[32];
    size_t from = out->len;

    (void)snprintf(type, sizeof(type), ":%s-type", kind);
    header(&headers, type, name);
    header(&headers, ":content-type", "application/json");
    header(&headers, ":message-type", kind);
    number(out, (uint32_t)(headers.len + payload->len + 16), 4);
    number(out, (uint32_t)headers.len, 4);
    number(out, crc32(out->at + from, 8), 4);
    text_add(out, headers.at, headers.len);
    text_add(out, payload->at, payload->len);
    number(out, crc32(out->at + from, out->len - from), 4);
    text_free(&headers);
}

/* Takes the payload. */
static void event(struct reply *r, const char *name, struct text *payload)
{
    frame(&r->body, "event", name, payload);
    payload->len = 0;
}

static void error_event(struct reply *r)
{
    struct text payload = {0};

    r->type = "application/vnd.amazon.eventstream";
    text_adds(&payload, "{\"message\":\"The system encountered an unexpected error.\"}");
    frame(&r->body, "exception", "internalServerException", &payload);
    reply_event(r);
    text_free(&payload);
}

/* --- reading ------------------------------------------------------------------------------- */

static void read_ask(struct ask *a)
{
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->json, "messages"), *m;
    const char *name = strstr(a->route, "/model/"), *end = strrchr(a->route, '/');

    if (name)
        path_name(a, name + strlen("/model/"), end);
    a->stream = strcmp(end, "/converse-stream") == 0;
    cJSON_ArrayForEach(m, messages)
    {
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content");
        const char *role = json_text(m, "role");

        a->prompt_tokens += ask_words(content);
        if (!role || strcmp(role, "user") != 0)
            continue;
        text_free(&a->user);
        content_text(content, &a->user);
    }
    a->prompt_tokens += ask_words(cJSON_GetObjectItemCaseSensitive(a->json, "system"));
    a->n = 1;
    a->usage = true;
}

/* --- checks -------------------------------------------------------------------------------- */

static bool check_fields(const cJSON *object, const char *known, struct reply *r)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, object)
    {
        char message[160];

        (void)snprintf(message, sizeof(message), "Unexpected field type: %.70s", f->string);
        if (!listed(known, f->string))
            return refuse(message, r);
    }
    return true;
}

/* What the blocks of a message are, counted. */
struct counts {
    int all, calls, results;
};

static bool count_blocks(const cJSON *content, struct counts *n, struct reply *r)
{
    const cJSON *block;

    *n = (struct counts){0};
    cJSON_ArrayForEach(block, content)
    {
        const char *text = json_text(block, "text");

        if (cJSON_GetArraySize(block) != 1)
            return refuse("Invalid union structure for messages.content.", r);
        if (!check_fields(block, blocks, r))
            return false;
        if (text && !*text)
            return refuse("The text field in the ContentBlock object is blank.", r);
        n->all++;
        n->calls += cJSON_HasObjectItem(block, "toolUse");
        n->results += cJSON_HasObjectItem(block, "toolResult");
    }
    return n->all > 0 || refuse("The content field in the Message object is empty.", r);
}

static bool check_messages(const struct ask *a, struct reply *r)
{
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->json, "messages"), *m;
    bool user = true, tools = cJSON_HasObjectItem(a->json, "toolConfig");
    int calls = 0;

    if (!cJSON_IsArray(messages) || cJSON_GetArraySize(messages) == 0)
        return refuse("A conversation must start with a user message.", r);
    cJSON_ArrayForEach(m, messages)
    {
        const char *role = json_text(m, "role");
        struct counts n;

        if (!role || strcmp(role, user ? "user" : "assistant") != 0)
            return refuse("A conversation must alternate between user and assistant roles.", r);
        if (!check_fields(m, "|role|content|", r) ||
            !count_blocks(cJSON_GetObjectItemCaseSensitive(m, "content"), &n, r))
            return false;
        if (n.results != calls)
            return refuse("The number of toolResult blocks exceeds the number of toolUse blocks "
                          "of previous turn.",
                          r);
        if ((n.results || n.calls) && !tools)
            return refuse("The toolConfig field must be defined when using toolUse and toolResult "
                          "content blocks.",
                          r);
        calls = n.calls;
        user = !user;
    }
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(a->json, "inferenceConfig");
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(config, "temperature");
    char accept[128];

    if (!a->key[0]) {
        error(403, "Missing Authentication Token", NULL, r);
        return false;
    }
    if (!check_json(&bedrock, a, r))
        return false;
    ask_header(a, "accept", accept, sizeof(accept));
    if (!a->model[0])
        return refuse("The provided model identifier is invalid.", r);
    if (a->stream && !strstr(accept, "application/vnd.amazon.eventstream"))
        return refuse("the mock streams only to who accepts its frames", r);
    if (t && !(cJSON_IsNumber(t) && t->valuedouble >= 0 && t->valuedouble <= 1))
        return refuse(
            "1 validation error detected: Value at 'inferenceConfig.temperature' failed to "
            "satisfy constraint: Member must have value less than or equal to 1",
            r);
    return check_fields(a->json, fields, r) && check_fields(config, config_fields, r) &&
           check_messages(a, r);
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *stop_reason(const char *finish)
{
    if (strcmp(finish, "length") == 0)
        return "max_tokens";
    return strcmp(finish, "tool_calls") == 0 ? "tool_use" : "end_turn";
}

/* Tokens from the cache are not among inputTokens. */
static void usage(const struct ask *a, const struct content *c, struct text *out)
{
    int said = content_tokens(c);

    text_addf(out,
              "\"usage\":{\"inputTokens\":%d,\"outputTokens\":%d,\"totalTokens\":%d,"
              "\"cacheReadInputTokens\":%d,\"cacheWriteInputTokens\":0}",
              a->prompt_tokens - c->cached, said, a->prompt_tokens + said, c->cached);
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    text_adds(&r->body, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[");
    if (c->tool) {
        text_addf(
            &r->body,
            "{\"toolUse\":{\"toolUseId\":\"tooluse_mock_%lld\",\"name\":\"%s\",\"input\":%s}}",
            (long long)id, c->tool, c->arguments);
    } else {
        text_adds(&r->body, "{\"text\":");
        text_quote(&r->body, c->text, c->len);
        text_adds(&r->body, "}");
    }
    text_addf(&r->body, "]}},\"stopReason\":\"%s\",\"metrics\":{\"latencyMs\":7}",
              stop_reason(c->finish));
    if (!c->no_usage) {
        text_adds(&r->body, ",");
        usage(a, c, &r->body);
    }
    text_adds(&r->body, "}");
}

static void stream_tool(const struct content *c, struct reply *r, struct text *payload)
{
    size_t len = strlen(c->arguments);

    text_addf(
        payload,
        "{\"contentBlockIndex\":0,\"start\":{\"toolUse\":{\"toolUseId\":\"tooluse_mock_%lld\","
        "\"name\":\"%s\"}}}",
        (long long)answer_number(), c->tool);
    event(r, "contentBlockStart", payload);
    reply_event(r);
    for (size_t at = 0; at < len; at += 5) {
        text_adds(payload, "{\"contentBlockIndex\":0,\"delta\":{\"toolUse\":{\"input\":");
        text_quote(payload, c->arguments + at, len - at < 5 ? len - at : 5);
        text_adds(payload, "}},\"p\":\"abcdefghij\"}");
        event(r, "contentBlockDelta", payload);
        reply_event(r);
    }
}

static void stream_text(const struct content *c, struct reply *r, struct text *payload)
{
    for (size_t at = 0; at < c->len;) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);

        text_adds(payload, "{\"contentBlockIndex\":0,\"delta\":{\"text\":");
        text_quote(payload, c->text + at, len);
        text_adds(payload, "},\"p\":\"abc\"}");
        event(r, "contentBlockDelta", payload);
        reply_event(r);
        at += len;
    }
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    struct text payload = {0};

    reply_reset(r, 200);
    r->type = "application/vnd.amazon.eventstream";
    text_adds(&payload, "{\"role\":\"assistant\"}");
    event(r, "messageStart", &payload);
    reply_event(r);
    if (c->tool)
        stream_tool(c, r, &payload);
    else
        stream_text(c, r, &payload);
    text_adds(&payload, "{\"contentBlockIndex\":0}");
    event(r, "contentBlockStop", &payload);
    text_addf(&payload, "{\"stopReason\":\"%s\"}", stop_reason(c->finish));
    event(r, "messageStop", &payload);
    text_adds(&payload, "{\"metrics\":{\"latencyMs\":7}");
    if (!c->no_usage) {
        text_adds(&payload, ",");
        usage(a, c, &payload);
    }
    text_adds(&payload, "}");
    event(r, "metadata", &payload);
    reply_event(r);
    text_free(&payload);
}

static void models(struct reply *r)
{
    error(404, "UnknownOperationException", NULL, r);
}

const struct dialect bedrock = {"bedrock", read_ask, check,       answer,
                                stream,    error,    error_event, models};

/* --- Anthropic's own dialect, by InvokeModel ------------------------------------------------- */

static void claude_read(struct ask *a)
{
    const char *name = strstr(a->route, "/model/"), *end = strrchr(a->route, '/');

    anthropic.read(a);
    if (name)
        path_name(a, name + strlen("/model/"), end);
    a->stream = strcmp(end, "/invoke-with-response-stream") == 0;
}

static bool claude_check(const struct ask *a, struct reply *r)
{
    const char *version = json_text(a->json, "anthropic_version");

    if (!a->key[0]) {
        error(403, "Missing Authentication Token", NULL, r);
        return false;
    }
    if (!check_json(&bedrock, a, r))
        return false;
    if (!version || strcmp(version, "bedrock-2023-05-31") != 0)
        return refuse("anthropic_version: Field required", r);
    if (cJSON_HasObjectItem(a->json, "model") || cJSON_HasObjectItem(a->json, "stream"))
        return refuse("Malformed input request: #: extraneous key [model] is not permitted", r);
    if (!cJSON_HasObjectItem(a->json, "max_tokens"))
        return refuse("max_tokens: Field required", r);
    return true;
}

static void base64(struct text *out, const char *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3) {
        uint32_t n = 0;
        char four[4];

        for (size_t k = 0; k < 3; k++)
            n = n << 8 | (i + k < len ? (unsigned char)bytes[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            four[k] = i + k > len ? '=' : digits[n >> (18 - 6 * k) & 63];
        text_add(out, four, 4);
    }
}

/* Each event of the stream becomes a chunk. */
static void claude_stream(const struct ask *a, const struct content *c, struct reply *r)
{
    struct reply events = {.keep = SIZE_MAX};
    struct text payload = {0};
    size_t from = 0;

    anthropic.stream(a, c, &events);
    reply_reset(r, 200);
    r->type = "application/vnd.amazon.eventstream";
    for (int i = 0; i < events.events; from = reply_event_end(&events, i++)) {
        const char *json = strstr(events.body.at + from, "data: ") + strlen("data: ");
        size_t len = reply_event_end(&events, i) - (size_t)(json - events.body.at);

        text_adds(&payload, "{\"bytes\":\"");
        base64(&payload, json, len - strlen("\n\n"));
        text_adds(&payload, "\",\"p\":\"abcdef\"}");
        event(r, "chunk", &payload);
        reply_event(r);
    }
    text_free(&payload);
    reply_free(&events);
}

static void claude_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    anthropic.answer(a, c, r);
}

const struct dialect bedrock_claude = {"bedrock_claude", claude_read, claude_check, claude_answer,
                                       claude_stream,    error,       error_event,  models};
