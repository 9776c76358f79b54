/* ollama.c - Ollama's own /api/chat, as docs.ollama.com/api/chat has it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * It streams unless it is told not to, as lines of JSON, and needs no key. Content that is no text, and
 * arguments of calls that are no object, are errors; unknown fields are not.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static const char created[] = "2026-11-21T10:11:12.131415Z";

static void error(int status, const char *message, const char *param, struct reply *r)
{
    (void)param;
    reply_reset(r, status);
    text_adds(&r->body, "{\"error\":");
    text_quote(&r->body, message, strlen(message));
    text_adds(&r->body, "}");
}

static void error_event(struct reply *r)
{
    r->type = "application/x-ndjson";
    text_adds(&r->body, "{\"error\":\"an error was encountered while running the model\"}\n");
    reply_event(r);
}

static bool refuse(const char *message, struct reply *r)
{
    error(400, message, NULL, r);
    return false;
}

static void read_ask(struct ask *a)
{
    const cJSON *stream = cJSON_GetObjectItemCaseSensitive(a->json, "stream");

    ask_read(a);
    a->stream = !cJSON_IsFalse(stream);
    a->n = 1;
    a->usage = true;
}

static bool check_calls(const cJSON *message, struct reply *r)
{
    const cJSON *call;

    cJSON_ArrayForEach(call, cJSON_GetObjectItemCaseSensitive(message, "tool_calls"))
    {
        const cJSON *function = cJSON_GetObjectItemCaseSensitive(call, "function");

        if (!cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(function, "arguments")))
            return refuse("json: cannot unmarshal string into Go struct field "
                          "ToolCallFunction.messages.tool_calls.function.arguments",
                          r);
    }
    return true;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(a->json, "options");
    const cJSON *stop = cJSON_GetObjectItemCaseSensitive(options, "stop"), *m;

    if (!cJSON_IsObject(a->json))
        return refuse("invalid character in the request", r);
    if (!a->model[0])
        return refuse("model is required", r);
    if (stop && !cJSON_IsArray(stop))
        return refuse("option \"stop\" must be of type array", r);
    cJSON_ArrayForEach(m, cJSON_GetObjectItemCaseSensitive(a->json, "messages"))
    {
        const char *role = json_text(m, "role");

        if (!role || !listed("|system|user|assistant|tool|", role))
            return refuse("invalid role", r);
        if (!json_text(m, "content"))
            return refuse("json: cannot unmarshal array into Go struct field "
                          "ChatRequest.messages.content of type string",
                          r);
        if (!check_calls(m, r))
            return false;
    }
    return true;
}

/* The start of an answer or a line, up to what its message holds. */
static void begin(const struct ask *a, struct text *out)
{
    text_adds(out, "{\"model\":");
    text_quote(out, a->model, strlen(a->model));
    text_addf(out, ",\"created_at\":\"%s\",\"message\":{\"role\":\"assistant\"", created);
}

static void call(const struct content *c, struct text *out)
{
    text_addf(
        out,
        ",\"content\":\"\",\"tool_calls\":[{\"id\":\"call_mock_%lld\",\"function\":{\"index\":0,"
        "\"name\":\"%s\",\"arguments\":%s}}]",
        (long long)answer_number(), c->tool, c->arguments);
}

static void content(const char *s, size_t len, struct text *out)
{
    text_adds(out, ",\"content\":");
    text_quote(out, s, len);
}

static void finish(const struct ask *a, const struct content *c, struct text *out)
{
    text_addf(out, "},\"done\":true,\"done_reason\":\"%s\",\"total_duration\":7000000",
              strcmp(c->finish, "length") == 0 ? "length" : "stop");
    if (!c->no_usage)
        text_addf(out, ",\"prompt_eval_count\":%d,\"eval_count\":%d", a->prompt_tokens,
                  content_tokens(c));
    text_adds(out, "}");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    begin(a, &r->body);
    if (c->tool)
        call(c, &r->body);
    else
        content(c->text, c->len, &r->body);
    finish(a, c, &r->body);
}

static void line(struct reply *r)
{
    text_adds(&r->body, "\n");
    reply_event(r);
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    r->type = "application/x-ndjson";
    for (size_t at = 0; !c->tool && at < c->len;) {
        size_t len = c->one_event ? c->len : word_len(c->text + at, c->len - at);

        begin(a, &r->body);
        content(c->text + at, len, &r->body);
        text_adds(&r->body, "},\"done\":false}");
        line(r);
        at += len;
    }
    if (c->tool) {
        begin(a, &r->body);
        call(c, &r->body);
        text_adds(&r->body, "},\"done\":false}");
        line(r);
    }
    begin(a, &r->body);
    content("", 0, &r->body);
    finish(a, c, &r->body);
    line(r);
}

static void models(struct reply *r)
{
    reply_reset(r, 200);
    text_adds(&r->body, "{\"models\":[{\"name\":\"llama3.2:latest\"}]}");
}

const struct dialect ollama = {"ollama", read_ask, check,       answer,
                               stream,   error,    error_event, models};
