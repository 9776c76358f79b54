/* gemini.c - Google's generateContent, as ai.google.dev/api/generate-content has it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * As strict as the real one: an unknown field, results that do not fit the calls before them, and a call
 * without the signature of its thought (from Gemini 3 on) are errors. The model, and whether to stream,
 * stand in the path.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static const char fields[] = "|contents|systemInstruction|generationConfig|safetySettings|tools|"
                             "toolConfig|cachedContent|";
static const char config_fields[] =
    "|temperature|topP|topK|maxOutputTokens|stopSequences|seed|candidateCount|presencePenalty|"
    "frequencyPenalty|responseLogprobs|logprobs|responseModalities|responseMimeType|"
    "responseSchema|responseJsonSchema|thinkingConfig|imageConfig|mediaResolution|speechConfig|";
static const char part_fields[] = "|text|inlineData|fileData|functionCall|functionResponse|thought|"
                                  "thoughtSignature|";

static const struct {
    int status;
    const char *word;
} errors[] = {
    {400, "INVALID_ARGUMENT"}, {401, "UNAUTHENTICATED"},    {403, "PERMISSION_DENIED"},
    {404, "NOT_FOUND"},        {429, "RESOURCE_EXHAUSTED"}, {500, "INTERNAL"},
    {503, "UNAVAILABLE"},      {504, "DEADLINE_EXCEEDED"},
};

static void error(int status, const char *message, const char *param, struct reply *r)
{
    const char *word = errors[0].word;

    (void)param;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].status <= status)
            word = errors[i].word;
    reply_reset(r, status);
    text_addf(&r->body, "{\"error\":{\"code\":%d,\"message\":", status);
    text_quote(&r->body, message, strlen(message));
    text_addf(&r->body, ",\"status\":\"%s\"}}", word);
}

static void error_event(struct reply *r)
{
    text_adds(&r->body, "data: {\"error\":{\"code\":503,\"message\":\"The model is overloaded. "
                        "Please try again later.\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n");
    reply_event(r);
}

static bool refuse(const char *message, struct reply *r)
{
    error(400, message, NULL, r);
    return false;
}

/* --- reading ------------------------------------------------------------------------------- */

/* /models/NAME:METHOD, with NAME percent-escaped. */
static void read_path(struct ask *a)
{
    const char *name = strstr(a->route, "/models/"), *colon = strrchr(a->route, ':');

    path_name(a, name ? name + strlen("/models/") : colon, colon);
    a->stream = strcmp(colon, ":streamGenerateContent") == 0;
}

static void read_ask(struct ask *a)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(a->json, "generationConfig");
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(config, "candidateCount");
    const cJSON *contents = cJSON_GetObjectItemCaseSensitive(a->json, "contents");
    const cJSON *system = cJSON_GetObjectItemCaseSensitive(a->json, "systemInstruction");
    const cJSON *content;

    read_path(a);
    cJSON_ArrayForEach(content, contents)
    {
        const cJSON *parts = cJSON_GetObjectItemCaseSensitive(content, "parts");
        const char *role = json_text(content, "role");

        a->prompt_tokens += ask_words(parts);
        if (!role || strcmp(role, "user") != 0)
            continue;
        text_free(&a->user);
        content_text(parts, &a->user);
    }
    a->prompt_tokens += ask_words(cJSON_GetObjectItemCaseSensitive(system, "parts"));
    a->n = cJSON_IsNumber(n) && n->valueint > 0 && n->valueint <= 8 ? n->valueint : 1;
    a->usage = true;
}

/* --- checks -------------------------------------------------------------------------------- */

static bool check_fields(const cJSON *object, const char *known, const char *where, struct reply *r)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, object)
    {
        char message[256];

        (void)snprintf(message, sizeof(message),
                       "Invalid JSON payload received. Unknown name \"%.70s\" at '%s': Cannot find "
                       "field.",
                       f->string, where);
        if (!listed(known, f->string))
            return refuse(message, r);
    }
    return true;
}

/* What the parts of a content are, counted. */
struct parts {
    int all, calls, responses, signatures;
};

static bool count_parts(const cJSON *content, struct parts *n, struct reply *r)
{
    const cJSON *parts = cJSON_GetObjectItemCaseSensitive(content, "parts"), *part;

    *n = (struct parts){0};
    cJSON_ArrayForEach(part, parts)
    {
        if (!check_fields(part, part_fields, "contents.parts", r))
            return false;
        n->all++;
        n->calls += cJSON_HasObjectItem(part, "functionCall");
        n->responses += cJSON_HasObjectItem(part, "functionResponse");
        n->signatures += cJSON_HasObjectItem(part, "functionCall") &&
                         cJSON_HasObjectItem(part, "thoughtSignature");
    }
    return n->all > 0 ||
           refuse("Unable to submit request because it must have a text parameter.", r);
}

static bool check_contents(const struct ask *a, struct reply *r)
{
    const cJSON *contents = cJSON_GetObjectItemCaseSensitive(a->json, "contents"), *c;
    int calls = 0;

    if (!cJSON_IsArray(contents) || cJSON_GetArraySize(contents) == 0)
        return refuse("* GenerateContentRequest.contents: contents is not specified", r);
    cJSON_ArrayForEach(c, contents)
    {
        const char *role = json_text(c, "role");
        struct parts n;

        if (!role || !listed("|user|model|function|", role))
            return refuse("Please use a valid role: user, model.", r);
        if (!count_parts(c, &n, r))
            return false;
        if (n.responses != calls)
            return refuse(
                "Please ensure that the number of function response parts is equal to the "
                "number of function call parts of the function call turn.",
                r);
        if (n.calls && !n.signatures && strncmp(a->model, "gemini-3", 8) == 0)
            return refuse("Function call is missing a thought_signature in functionCall parts.", r);
        calls = n.calls;
    }
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *config = cJSON_GetObjectItemCaseSensitive(a->json, "generationConfig");
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(config, "temperature");

    if (!a->key[0]) {
        error(403, "Method doesn't allow unregistered callers.", NULL, r);
        return false;
    }
    if (!check_json(&gemini, a, r))
        return false;
    if (a->stream && !strstr(a->path, "?alt=sse"))
        return refuse("the mock streams only server-sent events", r);
    if (t && !(cJSON_IsNumber(t) && t->valuedouble >= 0 && t->valuedouble <= 2))
        return refuse("* GenerateContentRequest.generation_config.temperature: must be in 0..2", r);
    return check_fields(a->json, fields, "", r) &&
           check_fields(config, config_fields, "generation_config", r) && check_contents(a, r);
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *finish_reason(const char *finish)
{
    return strcmp(finish, "length") == 0 ? "MAX_TOKENS" : "STOP";
}

static void usage(const struct ask *a, const struct content *c, struct text *out)
{
    int said = (content_tokens(c) - c->reasoning) * a->n;

    text_addf(out, ",\"usageMetadata\":{\"promptTokenCount\":%d,\"candidatesTokenCount\":%d",
              a->prompt_tokens, said);
    if (c->cached)
        text_addf(out, ",\"cachedContentTokenCount\":%d", c->cached);
    if (c->reasoning)
        text_addf(out, ",\"thoughtsTokenCount\":%d", c->reasoning);
    text_addf(out, ",\"totalTokenCount\":%d}", a->prompt_tokens + said + c->reasoning);
}

static void tail(const struct ask *a, int64_t id, struct text *out)
{
    text_adds(out, ",\"modelVersion\":");
    text_quote(out, a->model, strlen(a->model));
    text_addf(out, ",\"responseId\":\"r_mock_%06lld\"}", (long long)id);
}

static void call_part(const struct content *c, struct text *out)
{
    text_addf(out,
              "{\"functionCall\":{\"name\":\"%s\",\"args\":%s},\"thoughtSignature\":\"bW9jaw==\"}",
              c->tool, c->arguments);
}

static void text_part(const char *s, size_t len, struct text *out)
{
    text_adds(out, "{\"text\":");
    text_quote(out, s, len);
    text_adds(out, "}");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    text_adds(&r->body, "{\"candidates\":[");
    for (int i = 0; i < a->n; i++) {
        text_addf(&r->body, "%s{\"content\":{\"parts\":[", i ? "," : "");
        if (c->tool)
            call_part(c, &r->body);
        else
            text_part(c->text, c->len, &r->body);
        text_addf(&r->body, "],\"role\":\"model\"},\"finishReason\":\"%s\",\"index\":%d}",
                  finish_reason(c->finish), i);
    }
    text_adds(&r->body, "]");
    if (!c->no_usage)
        usage(a, c, &r->body);
    tail(a, id, &r->body);
}

/* An event with a part; the last one has the reason and the usage. */
static void event(const struct ask *a, const struct content *c, int64_t id, const struct text *part,
                  bool last, struct reply *r)
{
    text_adds(&r->body, "data: {\"candidates\":[");
    for (int i = 0; i < a->n; i++) {
        text_addf(&r->body, "%s{\"content\":{\"parts\":[%s],\"role\":\"model\"}", i ? "," : "",
                  part->at);
        if (last)
            text_addf(&r->body, ",\"finishReason\":\"%s\"", finish_reason(c->finish));
        text_addf(&r->body, ",\"index\":%d}", i);
    }
    text_adds(&r->body, "]");
    if (last && !c->no_usage)
        usage(a, c, &r->body);
    tail(a, id, &r->body);
    text_adds(&r->body, "\r\n\r\n");
    reply_event(r);
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();
    struct text part = {0};

    reply_reset(r, 200);
    r->type = "text/event-stream";
    for (size_t at = 0; !c->tool && at < c->len;) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);

        part.len = 0;
        text_part(c->text + at, len, &part);
        event(a, c, id, &part, false, r);
        at += len;
    }
    part.len = 0;
    if (c->tool)
        call_part(c, &part);
    else
        text_part("", 0, &part);
    event(a, c, id, &part, true, r);
    text_free(&part);
}

static void models(struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body, "{\"models\":[{\"name\":\"models/gemini-2.5-flash\",\"version\":\"001\","
                        "\"displayName\":\"Mock\",\"supportedGenerationMethods\":["
                        "\"generateContent\"]}]}");
}

const struct dialect gemini = {"gemini", read_ask, check,       answer,
                               stream,   error,    error_event, models};
