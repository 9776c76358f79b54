/* openai.c - OpenAI's chat completions, as platform.openai.com/docs/api-reference/chat has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect.h"

#include <string.h>

static const struct {
    int status;
    const char *type, *code;
} errors[] = {
    {400, "invalid_request_error", NULL},
    {401, "invalid_request_error", "invalid_api_key"},
    {403, "invalid_request_error", "unsupported_country_region_territory"},
    {404, "invalid_request_error", "model_not_found"},
    {429, "requests", "rate_limit_exceeded"},
    {500, "server_error", NULL},
};

static void quote_or_null(struct text *out, const char *s)
{
    if (s)
        text_quote(out, s, strlen(s));
    else
        text_adds(out, "null");
}

/* The row of the status; of the nearest one below when it has none. */
static size_t error_row(int status)
{
    size_t row = 0;

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
        if (errors[i].status <= status)
            row = i;
    return row;
}

static void error(int status, const char *message, const char *param, struct reply *r)
{
    size_t row = error_row(status);

    reply_reset(r, status);
    text_adds(&r->body, "{\"error\":{\"message\":");
    text_quote(&r->body, message, strlen(message));
    text_adds(&r->body, ",\"type\":");
    quote_or_null(&r->body, errors[row].type);
    text_adds(&r->body, ",\"param\":");
    quote_or_null(&r->body, param);
    text_adds(&r->body, ",\"code\":");
    quote_or_null(&r->body, errors[row].code);
    text_adds(&r->body, "}}");
}

static void error_event(struct reply *r)
{
    text_adds(&r->body, "data: {\"error\":{\"message\":\"The server had an error while processing "
                        "your request.\",\"type\":\"server_error\",\"param\":null,"
                        "\"code\":null}}\n\n");
    reply_event(r);
}

static bool refuse(const char *message, const char *param, struct reply *r)
{
    error(400, message, param, r);
    return false;
}

static bool check_messages(const cJSON *messages, struct reply *r)
{
    const cJSON *m;

    if (!messages)
        return refuse("Missing required parameter: 'messages'.", "messages", r);
    if (!cJSON_IsArray(messages))
        return refuse("Invalid type for 'messages': expected an array of objects.", "messages", r);
    if (cJSON_GetArraySize(messages) == 0)
        return refuse("Invalid 'messages': empty array. Expected an array with minimum length 1.",
                      "messages", r);
    cJSON_ArrayForEach(m, messages)
    {
        const char *role = json_text(m, "role");
        if (!role || !listed("|system|user|assistant|tool|developer|function|", role))
            return refuse("Invalid value for 'messages[].role'.", "messages", r);
    }
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(a->json, "temperature");

    if (!a->key[0]) {
        error(401, "You didn't provide an API key.", NULL, r);
        return false;
    }
    if (!check_json(&openai, a, r))
        return false;
    if (!a->model[0])
        return refuse("you must provide a model parameter", NULL, r);
    if (t && !(cJSON_IsNumber(t) && t->valuedouble >= 0 && t->valuedouble <= 2))
        return refuse("Invalid 'temperature': must be a number from 0 to 2.", "temperature", r);
    return check_messages(cJSON_GetObjectItemCaseSensitive(a->json, "messages"), r);
}

static void usage(const struct ask *a, const struct content *c, struct text *out)
{
    int completion = content_tokens(c) * a->n;

    text_addf(out,
              "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d,"
              "\"prompt_tokens_details\":{\"cached_tokens\":%d,\"audio_tokens\":0},"
              "\"completion_tokens_details\":{\"reasoning_tokens\":%d,\"audio_tokens\":0,"
              "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
              a->prompt_tokens, completion, a->prompt_tokens + completion, c->cached, c->reasoning);
}

static void tool_call(const struct content *c, int64_t id, const char *index, struct text *out)
{
    text_addf(out,
              "[{%s\"id\":\"call_mock_%lld\",\"type\":\"function\",\"function\":{\"name\":", index,
              (long long)id);
    text_quote(out, c->tool, strlen(c->tool));
    text_adds(out, ",\"arguments\":");
}

static void choice(const struct content *c, int i, int64_t id, struct text *out)
{
    text_addf(out, "%s{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", i ? "," : "",
              i);
    if (c->tool) {
        text_adds(out, "null,\"tool_calls\":");
        tool_call(c, id, "", out);
        text_quote(out, c->arguments, strlen(c->arguments));
        text_adds(out, "}}]");
    } else {
        text_quote(out, c->text, c->len);
    }
    text_addf(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":\"%s\"}", c->finish);
}

static void head(const struct ask *a, int64_t id, const char *object, struct text *out)
{
    text_addf(out, "{\"id\":\"chatcmpl-mock-%06lld\",\"object\":\"%s\",\"created\":1700000000,",
              (long long)id, object);
    text_adds(out, "\"model\":");
    text_quote(out, a->model, strlen(a->model));
    text_adds(out, ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    head(a, id, "chat.completion", &r->body);
    text_adds(&r->body, ",\"choices\":[");
    for (int i = 0; i < a->n; i++)
        choice(c, i, id, &r->body);
    text_adds(&r->body, "]");
    if (!c->no_usage) {
        text_adds(&r->body, ",\"usage\":");
        usage(a, c, &r->body);
    }
    text_adds(&r->body, "}");
}

/* Opens a chunk for every choice; `delta` and `finish` are JSON text. */
static void chunk(const struct ask *a, int64_t id, const char *delta, const char *finish,
                  struct reply *r)
{
    for (int i = 0; i < a->n; i++) {
        text_adds(&r->body, "data: ");
        head(a, id, "chat.completion.chunk", &r->body);
        text_addf(&r->body, ",\"choices\":[{\"index\":%d,\"delta\":%s,\"logprobs\":null,", i,
                  delta);
        text_addf(&r->body, "\"finish_reason\":%s}]%s}\n\n", finish,
                  a->usage ? ",\"usage\":null" : "");
        reply_event(r);
    }
}

static void stream_text(const struct ask *a, const struct content *c, int64_t id, struct reply *r)
{
    struct text delta = {0};
    size_t at = 0;

    while (at < c->len) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);
        delta.len = 0;
        text_adds(&delta, "{\"content\":");
        text_quote(&delta, c->text + at, len);
        text_adds(&delta, "}");
        chunk(a, id, delta.at, "null", r);
        at += len;
    }
    text_free(&delta);
}

/* The name first, then the arguments in pieces of five bytes. */
static void stream_tool(const struct ask *a, const struct content *c, int64_t id, struct reply *r)
{
    struct text delta = {0};
    size_t len = strlen(c->arguments);

    text_adds(&delta, "{\"tool_calls\":");
    tool_call(c, id, "\"index\":0,", &delta);
    text_adds(&delta, "\"\"}}]}");
    chunk(a, id, delta.at, "null", r);
    for (size_t at = 0; at < len; at += 5) {
        delta.len = 0;
        text_adds(&delta, "{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":");
        text_quote(&delta, c->arguments + at, len - at < 5 ? len - at : 5);
        text_adds(&delta, "}}]}");
        chunk(a, id, delta.at, "null", r);
    }
    text_free(&delta);
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();
    struct text finish = {0};

    reply_reset(r, 200);
    r->type = "text/event-stream; charset=utf-8";
    chunk(a, id, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null", r);
    if (c->tool)
        stream_tool(a, c, id, r);
    else
        stream_text(a, c, id, r);
    text_addf(&finish, "\"%s\"", c->finish);
    chunk(a, id, "{}", finish.at, r);
    text_free(&finish);
    if (a->usage && !c->no_usage) {
        text_adds(&r->body, "data: ");
        head(a, id, "chat.completion.chunk", &r->body);
        text_adds(&r->body, ",\"choices\":[],\"usage\":");
        usage(a, c, &r->body);
        text_adds(&r->body, "}\n\n");
        reply_event(r);
    }
    text_adds(&r->body, "data: [DONE]\n\n");
    reply_event(r);
}

static void models(struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body,
              "{\"object\":\"list\",\"data\":["
              "{\"id\":\"echo\",\"object\":\"model\",\"created\":1700000000,\"owned_by\":\"mock\"},"
              "{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1700000000,"
              "\"owned_by\":\"mock\"}]}");
}

const struct dialect openai = {"openai", ask_read, check,       answer,
                               stream,   error,    error_event, models};
