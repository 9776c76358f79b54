/* batch.c - batches of requests, as platform.openai.com/docs/api-reference/batch and
 * docs.anthropic.com/en/api/creating-message-batches have them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A batch is in progress when it is made, and over when it was looked at often enough: then each of its requests is
 * answered as if it had come alone, the last one first, and counted as paid for. POST /__mock/batches says how the next ones
 * go:
 *   looks        at which look it is over (1)
 *   end          completed, expired (every other request has no answer), failed, or never
 *   drop         so many requests that nothing is said of
 *   garbage      lines that are none, of nobody, and twice the same, are among the answers
 *   make_status  making one is answered with this, and nothing is made
 *   lose         it is made, but the answer is a 500
 *   wait_upload, wait_make, wait_read   milliseconds before what was done is answered
 */
#include "batch.h"

#include "answer.h"
#include "shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCHES_MAX = 512 };

static struct batch {
    bool anthropic, cancelled, over;
    const char *state; /* of an OpenAI one that is over */
    cJSON *requests;   /* [{custom_id, url?, body|params}] */
    struct text headers, results;
    char input[64], mark[80];
    int output, errors, looks, answered, expired, canceled;
    int64_t made_s;
} batches[BATCHES_MAX];
static int batch_count, told_to_cancel;
static cJSON *settings, *paid;

static int64_t number(const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, name);

    return cJSON_IsNumber(v) ? (int64_t)v->valuedouble : 0;
}

static bool ends_as(const char *word)
{
    const char *end = json_text(settings, "end");

    return strcmp(end ? end : "completed", word) == 0;
}

int64_t batch_wait(const char *what)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "wait_%s", what);
    return number(name);
}

void batch_reset(void)
{
    for (int i = 0; i < batch_count; i++) {
        cJSON_Delete(batches[i].requests);
        text_free(&batches[i].headers);
        text_free(&batches[i].results);
    }
    memset(batches, 0, sizeof(batches));
    cJSON_Delete(settings);
    cJSON_Delete(paid);
    settings = paid = NULL;
    batch_count = told_to_cancel = 0;
}

/* --- answers --------------------------------------------------------------------------------- */

static void pay(const char *user)
{
    cJSON *v;

    if (!paid)
        paid = cJSON_CreateObject();
    v = cJSON_GetObjectItemCaseSensitive(paid, user);
    if (v)
        cJSON_SetNumberValue(v, v->valuedouble + 1);
    else
        cJSON_AddNumberToObject(paid, user, 1);
}

/* One request as if it had come alone. */
static void answer_request(const struct batch *b, const cJSON *request, struct reply *r)
{
    const char *url = json_text(request, "url");
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(request, b->anthropic ? "params" : "body");
    char *printed = cJSON_PrintUnformatted(json);
    struct text body = {0}, user = {0}, headers = {0};

    if (!json) /* nothing was asked */
        text_adds(&r->body, "{}");
    text_adds(&body, printed ? printed : "");
    free(printed);
    text_adds(&headers, "content-type: application/json\n");
    text_add(&headers, b->headers.at, b->headers.len);
    if (json)
        answer_line(b->anthropic ? "/v1/messages"
                    : url        ? url
                                 : "/v1/chat/completions",
                    &headers, &body, r, &user);
    if (json && r->status < 300)
        pay(user.at ? user.at : "");
    text_free(&headers);
    text_free(&body);
    text_free(&user);
}

static void add_id(struct text *out, const cJSON *request)
{
    const char *id = json_text(request, "custom_id");

    text_adds(out, "{\"custom_id\":");
    text_quote(out, id ? id : "", id ? strlen(id) : 0);
}

static void add_openai(const cJSON *request, const struct reply *r, struct text *out)
{
    add_id(out, request);
    text_addf(
        out,
        ",\"id\":\"batch_req_1\",\"response\":{\"status_code\":%d,\"request_id\":\"r\",\"body\":",
        r->status);
    text_add(out, r->body.at ? r->body.at : "null", r->body.at ? r->body.len : 4);
    text_adds(out, "},\"error\":null}\n");
}

static void add_anthropic(const cJSON *request, const struct reply *r, struct text *out)
{
    add_id(out, request);
    text_addf(out,
              ",\"result\":{\"type\":\"%s\",\"%s\":", r->status < 300 ? "succeeded" : "errored",
              r->status < 300 ? "message" : "error");
    text_add(out, r->body.at ? r->body.at : "null", r->body.at ? r->body.len : 4);
    text_adds(out, "}}\n");
}

static void add_unanswered(struct batch *b, const cJSON *request, const char *why, struct text *out)
{
    add_id(out, request);
    if (b->anthropic)
        text_addf(out, ",\"result\":{\"type\":\"%s\"}}\n", why);
    else
        text_addf(out,
                  ",\"id\":\"batch_req_1\",\"response\":null,\"error\":{\"code\":\"batch_%s\","
                  "\"message\":\"This request could not be executed before the completion window "
                  "expired.\"}}\n",
                  why);
}

static void add_garbage(struct text *out)
{
    struct text twice = {0};

    text_add(&twice, out->at ? out->at : "", out->len);
    text_add(out, twice.at ? twice.at : "", twice.len);
    text_adds(out, "{\"custom_id\": this is no JSON\n\n");
    text_adds(
        out,
        "{\"custom_id\":\"somebody-else-1\",\"response\":{\"status_code\":200,\"body\":{}}}\n");
    text_adds(out, "[1,2]\n");
    text_free(&twice);
}

static void run(struct batch *b)
{
    struct text bad = {0}, *good = &b->results;
    int drop = (int)number("drop"), count = cJSON_GetArraySize(b->requests);

    for (int i = count - 1; i >= 0; i--) {
        const cJSON *request = cJSON_GetArrayItem(b->requests, i);
        struct reply r;

        if (drop-- > 0)
            continue;
        if (b->cancelled || (ends_as("expired") && i % 2)) {
            *(b->cancelled ? &b->canceled : &b->expired) += 1;
            if (b->anthropic || !b->cancelled)
                add_unanswered(b, request, b->cancelled ? "canceled" : "expired",
                               b->anthropic ? good : &bad);
            continue;
        }
        reply_init(&r);
        answer_request(b, request, &r);
        if (b->anthropic)
            add_anthropic(request, &r, good);
        else
            add_openai(request, &r, r.status < 300 ? good : &bad);
        b->answered++;
        reply_free(&r);
    }
    if (number("garbage"))
        add_garbage(good);
    b->output = b->errors = -1;
    if (!b->anthropic && good->len)
        b->output = shelf_keep("output", "batch_output", good->at, good->len);
    if (!b->anthropic && bad.len)
        b->errors = shelf_keep("errors", "batch_output", bad.at, bad.len);
    text_free(&bad);
}

static void look(struct batch *b)
{
    int64_t looks = number("looks");

    b->looks++;
    if (b->over || (!b->cancelled && (ends_as("never") || b->looks < (looks ? looks : 1))))
        return;
    b->over = true;
    b->state = b->cancelled         ? "cancelled"
               : ends_as("failed")  ? "failed"
               : ends_as("expired") ? "expired"
                                    : "completed";
    if (strcmp(b->state, "failed") != 0)
        run(b);
}

/* --- pages ----------------------------------------------------------------------------------- */

static void print_openai(const struct batch *b, struct text *out)
{
    const char *code = json_text(settings, "code");
    int total = cJSON_GetArraySize(b->requests);

    text_addf(out,
              "{\"id\":\"batch_%d\",\"object\":\"batch\",\"endpoint\":\"/v1/chat/completions\","
              "\"input_file_id\":\"%s\",\"completion_window\":\"24h\",\"status\":\"%s\","
              "\"created_at\":%lld,\"metadata\":{\"pk_batch\":\"%s\"},",
              (int)(b - batches), b->input,
              b->over        ? b->state
              : b->cancelled ? "cancelling"
                             : "in_progress",
              (long long)b->made_s, b->mark);
    if (b->over && strcmp(b->state, "failed") == 0)
        text_addf(out,
                  "\"errors\":{\"object\":\"list\",\"data\":[{\"code\":\"%s\",\"line\":1,"
                  "\"message\":\"The batch is not to our liking.\"}]},",
                  code ? code : "invalid_json_line");
    else if (b->over && b->output >= 0)
        text_addf(out, "\"output_file_id\":\"file-%d\",", b->output);
    if (b->over && b->errors >= 0 && strcmp(b->state, "failed") != 0)
        text_addf(out, "\"error_file_id\":\"file-%d\",", b->errors);
    text_addf(out,
              "\"request_counts\":{\"total\":%d,\"completed\":%d,\"failed\":0},"
              "\"usage\":{\"input_tokens\":5000,\"output_tokens\":7000,\"total_tokens\":12000}}",
              total, b->answered);
}

static void print_anthropic(const struct batch *b, struct text *out)
{
    int total = cJSON_GetArraySize(b->requests);
    char made[40];
    time_t at = (time_t)b->made_s;

    (void)strftime(made, sizeof(made), "%Y-%m-%dT%H:%M:%S.000000Z", gmtime(&at));
    text_addf(
        out,
        "{\"id\":\"msgbatch_%d\",\"type\":\"message_batch\",\"processing_status\":\"%s\","
        "\"request_counts\":{\"processing\":%d,\"succeeded\":%d,\"errored\":0,\"canceled\":%d,"
        "\"expired\":%d},\"created_at\":\"%s\",\"results_url\":%s}",
        (int)(b - batches),
        b->over        ? "ended"
        : b->cancelled ? "canceling"
                       : "in_progress",
        b->over ? total - b->answered - b->expired - b->canceled : total, b->answered, b->canceled,
        b->expired, made, b->over ? "\"http://elsewhere.example/results\"" : "null");
}

static void print(const struct batch *b, struct text *out)
{
    if (b->anthropic)
        print_anthropic(b, out);
    else
        print_openai(b, out);
}

/* A file's lines as a list; what is no JSON is an empty request. */
static cJSON *lines_of(const struct text *file)
{
    cJSON *list = cJSON_CreateArray();
    const char *at = file->at, *end = file->at + file->len;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);

        if (len) {
            cJSON *line = cJSON_ParseWithLength(at, len);
            (void)cJSON_AddItemToArray(list, line ? line : cJSON_CreateObject());
        }
        at += len + 1;
    }
    return list;
}

static struct batch *new_batch(const struct ask *a, cJSON *requests)
{
    struct batch *b = &batches[batch_count++];
    char key[ASK_KEY_MAX];

    *b = (struct batch){.requests = requests, .output = -1, .errors = -1, .made_s = time(NULL)};
    b->anthropic = a->dialect == &anthropic;
    ask_header(a, "authorization", key, sizeof(key));
    if (key[0])
        text_addf(&b->headers, "authorization: %s\n", key);
    ask_header(a, "x-api-key", key, sizeof(key));
    if (key[0])
        text_addf(&b->headers, "x-api-key: %s\n", key);
    if (b->anthropic)
        text_adds(&b->headers, "anthropic-version: 2023-06-01\n");
    return b;
}

static void make(const struct ask *a, struct reply *r)
{
    const char *input = json_text(a->json, "input_file_id");
    const struct text *file = input ? shelf_file(input) : NULL;
    cJSON *requests = cJSON_GetObjectItemCaseSensitive(a->json, "requests");
    int status = (int)number("make_status");
    struct batch *b;

    if (status || batch_count == BATCHES_MAX) {
        a->dialect->error(status ? status : 500, "no batches now", NULL, r);
        return;
    }
    if (a->dialect == &anthropic ? !cJSON_IsArray(requests) : !file) {
        a->dialect->error(400, "Invalid 'input_file_id' or 'requests'.", "input_file_id", r);
        return;
    }
    b = new_batch(a, file ? lines_of(file) : cJSON_Duplicate(requests, true));
    const char *mark = json_text(cJSON_GetObjectItemCaseSensitive(a->json, "metadata"), "pk_batch");
    (void)snprintf(b->input, sizeof(b->input), "%s", input ? input : "");
    (void)snprintf(b->mark, sizeof(b->mark), "%s", mark ? mark : "");
    if (number("lose"))
        a->dialect->error(500, "lost", NULL, r);
    else
        print(b, &r->body);
    r->wait_ms = number("wait_make");
}

static void list(const struct ask *a, struct reply *r)
{
    const char *comma = "";

    text_adds(&r->body, "{\"object\":\"list\",\"data\":[");
    for (int i = batch_count - 1; i >= 0; i--) {
        if (batches[i].anthropic != (a->dialect == &anthropic))
            continue;
        text_adds(&r->body, comma);
        print(&batches[i], &r->body);
        comma = ",";
    }
    text_adds(&r->body, "],\"has_more\":false}");
}

static void one(const struct ask *a, const char *path, struct reply *r)
{
    bool post = strcmp(a->method, "POST") == 0;
    const char *rest = "", *prefix = a->dialect == &anthropic ? "/msgbatch_" : "/batch_";
    int i = shelf_id(path, prefix, batch_count, &rest);

    if (i < 0) {
        a->dialect->error(404, "No such object.", "id", r);
        return;
    }
    struct batch *b = &batches[i];
    if (strcmp(rest, "/results") == 0 && b->over) {
        r->type = "application/x-jsonl";
        text_add(&r->body, b->results.at ? b->results.at : "", b->results.len);
        r->wait_ms = batch_wait("read");
        return;
    }
    if (post && strcmp(rest, "/cancel") == 0) {
        b->cancelled = b->cancelled || !b->over;
        told_to_cancel++;
    } else {
        look(b);
    }
    print(b, &r->body);
}

void batch_answer(const struct ask *a, const char *rest, struct reply *r)
{
    if (!a->key[0])
        a->dialect->error(401, "You didn't provide an API key.", NULL, r);
    else if (*rest)
        one(a, rest, r);
    else if (strcmp(a->method, "POST") == 0)
        make(a, r);
    else
        list(a, r);
}

void batch_page(const struct ask *a, struct reply *r)
{
    char *printed;

    if (strcmp(a->method, "POST") == 0) {
        cJSON_Delete(settings);
        settings = cJSON_ParseWithLength(a->body->at ? a->body->at : "", a->body->len);
    }
    printed = paid ? cJSON_PrintUnformatted(paid) : NULL;
    text_addf(&r->body, "{\"made\":%d,\"cancelled\":%d,\"paid\":%s}", batch_count, told_to_cancel,
              printed ? printed : "{}");
    free(printed);
}
