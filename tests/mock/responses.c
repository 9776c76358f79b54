/* responses.c - OpenAI's responses, as platform.openai.com/docs/api-reference/responses has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static void take_message(struct ask *a, const cJSON *item)
{
    const char *role = json_text(item, "role");

    a->prompt_tokens += ask_words(item);
    if (!role || strcmp(role, "user") != 0)
        return;
    text_free(&a->user);
    content_text(cJSON_GetObjectItemCaseSensitive(item, "content"), &a->user);
}

static void read(struct ask *a)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(a->json, "input"), *item;
    const char *model = json_text(a->json, "model");

    a->model = model ? model : "";
    a->n = 1;
    a->usage = true;
    a->stream = json_true(a->json, "stream");
    a->prompt_tokens = ask_words(cJSON_GetObjectItemCaseSensitive(a->json, "instructions"));
    if (cJSON_IsString(input)) {
        a->prompt_tokens += ask_words(input);
        content_text(input, &a->user);
    }
    if (cJSON_IsArray(input)) {
        cJSON_ArrayForEach(item, input)
        {
            take_message(a, item);
        }
    }
}

static bool refuse(const char *message, const char *param, struct reply *r)
{
    openai.error(400, message, param, r);
    return false;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(a->json, "input");
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(a->json, "messages");

    if (!a->key[0]) {
        openai.error(401, "You didn't provide an API key.", NULL, r);
        return false;
    }
    if (!check_json(&openai, a, r))
        return false;
    if (!a->model[0])
        return refuse("Missing required parameter: 'model'.", "model", r);
    if (messages)
        return refuse("Unsupported parameter: 'messages'. In the Responses API, this parameter has "
                      "moved to 'input'.",
                      "messages", r);
    if (cJSON_GetObjectItemCaseSensitive(
            cJSON_GetObjectItemCaseSensitive(a->json, "stream_options"), "include_usage"))
        return refuse("Unknown parameter: 'stream_options.include_usage'.",
                      "stream_options.include_usage", r);
    return cJSON_IsString(input) || cJSON_IsArray(input) ||
           refuse("Missing required parameter: 'input'.", "input", r);
}

/* The one item of the output; empty when it only begins. */
static void item(const struct content *c, int64_t id, bool whole, struct text *out)
{
    const char *status = whole ? "completed" : "in_progress";

    if (c->tool) {
        text_addf(out, "{\"id\":\"fc_mock_%lld\",\"type\":\"function_call\",\"status\":\"%s\",",
                  (long long)id, status);
        text_addf(out,
                  "\"call_id\":\"call_mock_%lld\",\"name\":\"%s\",\"arguments\":", (long long)id,
                  c->tool);
        text_quote(out, c->arguments, whole ? strlen(c->arguments) : 0);
        text_adds(out, "}");
        return;
    }
    text_addf(out,
              "{\"id\":\"msg_mock_%lld\",\"type\":\"message\",\"status\":\"%s\","
              "\"role\":\"assistant\",\"content\":[",
              (long long)id, status);
    if (whole) {
        text_adds(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":");
        text_quote(out, c->text, c->len);
        text_adds(out, "}");
    }
    text_adds(out, "]}");
}

static void usage(const struct ask *a, const struct content *c, struct text *out)
{
    int output = content_tokens(c);

    text_addf(out,
              "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":%d},"
              "\"output_tokens\":%d,\"output_tokens_details\":{\"reasoning_tokens\":%d},"
              "\"total_tokens\":%d}",
              a->prompt_tokens, c->cached, output, c->reasoning, a->prompt_tokens + output);
}

/* `c` NULL: it only begins. */
static void response(const struct ask *a, const struct content *c, int64_t id, struct text *out)
{
    bool cut = c && strcmp(c->finish, "length") == 0;

    text_addf(out,
              "{\"id\":\"resp_mock_%06lld\",\"object\":\"response\",\"created_at\":1700000000,"
              "\"status\":\"%s\",\"error\":null,\"incomplete_details\":%s,\"model\":",
              (long long)id,
              !c    ? "in_progress"
              : cut ? "incomplete"
                    : "completed",
              cut ? "{\"reason\":\"max_output_tokens\"}" : "null");
    text_quote(out, a->model, strlen(a->model));
    text_adds(out, ",\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],"
                   "\"store\":true,\"output\":[");
    if (c)
        item(c, id, true, out);
    text_adds(out, "],\"usage\":");
    if (c && !c->no_usage)
        usage(a, c, out);
    else
        text_adds(out, "null");
    text_adds(out, "}");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    reply_reset(r, 200);
    response(a, c, answer_number(), &r->body);
}

/* --- streams --------------------------------------------------------------------------------- */

static void open_event(struct reply *r, const char *type, int number)
{
    text_addf(&r->body, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d", type, type,
              number);
}

static void close_event(struct reply *r)
{
    text_adds(&r->body, "}\n\n");
    reply_event(r);
}

/* The pieces of a text or of arguments. */
static int pieces(const struct content *c, int64_t id, int number, struct reply *r)
{
    const char *text = c->tool ? c->arguments : c->text;
    size_t all = c->tool ? strlen(text) : c->len;

    for (size_t at = 0; at < all;) {
        size_t len = c->one_event ? all : word_len(text + at, all - at);

        open_event(
            r, c->tool ? "response.function_call_arguments.delta" : "response.output_text.delta",
            number++);
        text_addf(&r->body, ",\"item_id\":\"%s_mock_%lld\",\"output_index\":0,\"delta\":",
                  c->tool ? "fc" : "msg", (long long)id);
        text_quote(&r->body, text + at, len);
        if (!c->tool)
            text_adds(&r->body, ",\"content_index\":0,\"logprobs\":[]");
        close_event(r);
        at += len;
    }
    return number;
}

static void item_event(const struct content *c, int64_t id, int number, bool whole, struct reply *r)
{
    open_event(r, whole ? "response.output_item.done" : "response.output_item.added", number);
    text_adds(&r->body, ",\"output_index\":0,\"item\":");
    item(c, id, whole, &r->body);
    close_event(r);
}

static void stream(const struct ask *a, const struct content *c, struct reply *r)
{
    int64_t id = answer_number();
    bool cut = strcmp(c->finish, "length") == 0;
    int number = 0;

    reply_reset(r, 200);
    r->type = "text/event-stream";
    open_event(r, "response.created", number++);
    text_adds(&r->body, ",\"response\":");
    response(a, NULL, id, &r->body);
    close_event(r);
    item_event(c, id, number++, false, r);
    if (!c->tool) {
        open_event(r, "response.content_part.added", number++);
        text_addf(&r->body,
                  ",\"item_id\":\"msg_mock_%lld\",\"output_index\":0,\"content_index\":0,"
                  "\"part\":{\"type\":\"output_text\",\"text\":\"\",\"annotations\":[]}",
                  (long long)id);
        close_event(r);
    }
    number = pieces(c, id, number, r);
    item_event(c, id, number++, true, r);
    open_event(r, cut ? "response.incomplete" : "response.completed", number);
    text_adds(&r->body, ",\"response\":");
    response(a, c, id, &r->body);
    close_event(r);
}

static void error(int status, const char *message, const char *param, struct reply *r)
{
    openai.error(status, message, param, r);
}

static void error_event(struct reply *r)
{
    text_adds(&r->body, "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\","
                        "\"message\":\"The server had an error while processing your request.\","
                        "\"param\":null,\"sequence_number\":9}\n\n");
    reply_event(r);
}

static void models(struct reply *r)
{
    openai.models(r);
}

const struct dialect responses = {"responses", read,  check,       answer,
                                  stream,      error, error_event, models};
