/* cohere.c - Cohere's v2/chat, as docs.cohere.com/reference/chat has it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * As strict as the real one: unknown fields, numbers out of range and results without their calls are
 * errors. Cohere bills fewer input tokens than a prompt has with what it adds; here both are told.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

enum { ADDED_TOKENS = 66 };

static const char fields[] =
    "|model|messages|tools|documents|citation_options|response_format|safety_mode|max_tokens|"
    "stop_sequences|temperature|seed|frequency_penalty|presence_penalty|k|p|logprobs|tool_choice|"
    "thinking|strict_tools|stream|priority|";
static const char message_fields[] = "|role|content|tool_calls|tool_plan|tool_call_id|citations|";

static void error(int status, const char *message, const char *param, struct reply *r)
{
    (void)param;
    reply_reset(r, status);
    text_adds(&r->body, "{\"id\":\"mock\",\"message\":");
    text_quote(&r->body, message, strlen(message));
    text_adds(&r->body, "}");
}

static void event(struct reply *r, const char *type, const char *rest)
{
    text_addf(&r->body, "event: %s\ndata: {\"type\":\"%s\"%s}\n\n", type, type, rest);
    reply_event(r);
}

static void error_event(struct reply *r)
{
    event(r, "message-end",
          ",\"delta\":{\"finish_reason\":\"ERROR\",\"error\":\"internal server error\"}");
}

static bool refuse(const char *message, struct reply *r)
{
    error(400, message, NULL, r);
    return false;
}

static bool check_fields(const cJSON *object, const char *known, struct reply *r)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, object)
    {
        char message[160];

        (void)snprintf(message, sizeof(message), "invalid request: unknown field %.70s", f->string);
        if (!listed(known, f->string))
            return refuse(message, r);
    }
    return true;
}

static bool check_message(const cJSON *m, struct reply *r)
{
    const char *role = json_text(m, "role");
    const cJSON *content = cJSON_GetObjectItemCaseSensitive(m, "content"), *part;

    if (!role || !listed("|system|user|assistant|tool|", role))
        return refuse("invalid request: unknown role", r);
    if (strcmp(role, "tool") == 0 && !json_text(m, "tool_call_id"))
        return refuse("invalid request: tool message without tool_call_id", r);
    if (strcmp(role, "assistant") != 0 && !content)
        return refuse("invalid request: message must have content", r);
    if (cJSON_IsArray(content)) {
        cJSON_ArrayForEach(part, content)
        {
            const char *type = json_text(part, "type");

            if (!type || !listed("|text|image_url|thinking|document|", type))
                return refuse("invalid request: unknown content type", r);
        }
    }
    return check_fields(m, message_fields, r);
}

static bool check_messages(const struct ask *a, struct reply *r)
{
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->json, "messages"), *m;

    if (!cJSON_IsArray(messages) || cJSON_GetArraySize(messages) == 0)
        return refuse("invalid request: all elements in history must have a message", r);
    cJSON_ArrayForEach(m, messages)
    {
        if (!check_message(m, r))
            return false;
    }
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *p = cJSON_GetObjectItemCaseSensitive(a->json, "p");
    const char *choice = json_text(a->json, "tool_choice");

    if (!a->key[0]) {
        error(401, "no api key supplied", NULL, r);
        return false;
    }
    if (!check_json(&cohere, a, r))
        return false;
    if (!a->model[0])
        return refuse("invalid request: model is required", r);
    if (p && !(cJSON_IsNumber(p) && p->valuedouble >= 0.01 && p->valuedouble <= 0.99))
        return refuse("invalid request: p must be between 0.01 and 0.99", r);
    if (choice && !listed("|REQUIRED|NONE|", choice))
        return refuse("invalid request: tool_choice must be REQUIRED or NONE", r);
    return check_fields(a->json, fields, r) && check_messages(a, r);
}

static const char *finish_reason(const char *finish)
{
    if (strcmp(finish, "length") == 0)
        return "MAX_TOKENS";
    return strcmp(finish, "tool_calls") == 0 ? "TOOL_CALL" : "COMPLETE";
}

static void usage(const struct ask *a, const struct content *c, struct text *out)
{
    int said = content_tokens(c);

    text_addf(out,
              "{\"billed_units\":{\"input_tokens\":%d,\"output_tokens\":%d},"
              "\"tokens\":{\"input_tokens\":%d,\"output_tokens\":%d},\"cached_tokens\":%d}",
              a->prompt_tokens, said, a->prompt_tokens + ADDED_TOKENS, said + 2, c->cached);
}

static void call(const struct content *c, int64_t id, const char *arguments, struct text *out)
{
    text_addf(out,
              "{\"id\":\"%s_mock_%lld\",\"type\":\"function\",\"function\":{\"name\":\"%s\","
              "\"arguments\":",
              c->tool, (long long)id, c->tool);
    text_quote(out, arguments, strlen(arguments));
    text_adds(out, "}}");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    text_addf(&r->body, "{\"id\":\"c_mock_%06lld\",\"finish_reason\":\"%s\",", (long long)id,
              finish_reason(c->finish));
    text_adds(&r->body, "\"message\":{\"role\":\"assistant\",");
    if (c->tool) {
        text_adds(&r->body, "\"tool_plan\":\"I will call it.\",\"tool_calls\":[");
        call(c, id, c->arguments, &r->body);
        text_adds(&r->body, "]}");
    } else {
        text_adds(&r->body, "\"content\":[{\"type\":\"text\",\"text\":");
        text_quote(&r->body, c->text, c->len);
        text_adds(&r->body, "}]}");
    }
    if (!c->no_usage) {
        text_adds(&r->body, ",\"usage\":");
        usage(a, c, &r->body);
    }
    text_adds(&r->body, "}");
}

static void stream_tool(const struct content *c, int64_t id, struct reply *r)
{
    size_t len = strlen(c->arguments);

    event(r, "tool-plan-delta", ",\"delta\":{\"message\":{\"tool_plan\":\"I will call it.\"}}");
    text_adds(&r->body, "event: tool-call-start\ndata: {\"type\":\"tool-call-start\",\"index\":0,"
                        "\"delta\":{\"message\":{\"tool_calls\":");
    call(c, id, "", &r->body);
    text_adds(&r->body, "}}}\n\n");
    reply_event(r);
    for (size_t at = 0; at < len; at += 5) {
        text_adds(&r->body,
                  "event: tool-call-delta\ndata: {\"type\":\"tool-call-delta\",\"index\":0,"
                  "\"delta\":{\"message\":{\"tool_calls\":{\"function\":{\"arguments\":");
        text_quote(&r->body, c->arguments + at, len - at < 5 ? len - at : 5);
        text_adds(&r->body, "}}}}}\n\n");
        reply_event(r);
    }
    event(r, "tool-call-end", ",\"index\":0");
}

static void stream_text(const struct content *c, struct reply *r)
{
    event(r, "content-start",
          ",\"index\":0,\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}");
    for (size_t at = 0; at < c->len;) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);

        text_adds(&r->body, "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,"
                            "\"delta\":{\"message\":{\"content\":{\"text\":");
        text_quote(&r->body, c->text + at, len);
        text_adds(&r->body, "}}}}\n\n");
        reply_event(r);
        at += len;
    }
    event(r, "content-end", ",\"index\":0");
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();

    reply_reset(r, 200);
    r->type = "text/event-stream";
    text_addf(&r->body,
              "event: message-start\ndata: {\"id\":\"c_mock_%06lld\",\"type\":\"message-start\","
              "\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\","
              "\"tool_calls\":[],\"citations\":[]}}}\n\n",
              (long long)id);
    reply_event(r);
    if (c->tool)
        stream_tool(c, id, r);
    else
        stream_text(c, r);
    text_addf(&r->body,
              "event: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":"
              "\"%s\"",
              finish_reason(c->finish));
    if (!c->no_usage) {
        text_adds(&r->body, ",\"usage\":");
        usage(a, c, &r->body);
    }
    text_adds(&r->body, "}}\n\n");
    reply_event(r);
}

static void models(struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body, "{\"models\":[{\"name\":\"command-a-03-2025\",\"endpoints\":[\"chat\"]}]}");
}

const struct dialect cohere = {"cohere", ask_read, check,       answer,
                               stream,   error,    error_event, models};
