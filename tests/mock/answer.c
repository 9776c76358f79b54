/* answer.c - the endpoints: each dialect's chat, the list of models, the mock's own pages.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A path is recognised by its end, so that any base URL works: /v1, /openai/v1, /v1beta/openai.
 */
#include "answer.h"

#include "auth.h"
#include "batch.h"
#include "behave.h"
#include "realtime.h"
#include "shelf.h"
#include "stats.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool ends(const char *path, const char *end)
{
    size_t len = strlen(path), n = strlen(end);

    return len >= n && strcmp(path + len - n, end) == 0;
}

/* The key as any of the dialects sends it. */
static void read_key(struct ask *a)
{
    char value[ASK_KEY_MAX];

    ask_header(a, "x-api-key", a->key, sizeof(a->key));
    if (!a->key[0])
        ask_header(a, "x-goog-api-key", a->key, sizeof(a->key));
    if (!a->key[0])
        ask_header(a, "api-key", a->key, sizeof(a->key));
    ask_header(a, "authorization", value, sizeof(value));
    if (!a->key[0] && strncasecmp(value, "Bearer ", 7) == 0)
        (void)snprintf(a->key, sizeof(a->key), "%s", value + 7);
    if (!a->key[0] && strncmp(value, "AWS4-HMAC-SHA256 ", 17) == 0)
        (void)snprintf(a->key, sizeof(a->key), "%s", "signed");
}

static void chat(struct ask *a, struct reply *r)
{
    if (strcmp(a->method, "POST") != 0)
        a->dialect->error(405, "Only POST requests are accepted.", NULL, r);
    else if (auth_check(a, r) && a->dialect->check(a, r))
        behave(a, r);
}

static void models(struct ask *a, struct reply *r)
{
    if (a->key[0])
        a->dialect->models(r);
    else
        a->dialect->error(401, "You didn't provide an API key.", NULL, r);
}

static void own_page(struct ask *a, struct reply *r)
{
    if (strcmp(a->method, "POST") == 0 && strcmp(a->route, "/__mock/reset") == 0) {
        stats_reset();
        behave_reset();
        shelf_reset();
        batch_reset();
        auth_reset();
        text_adds(&r->body, "{}");
    } else if (strcmp(a->route, "/__mock/service-key") == 0) {
        auth_service_key(a->body);
        text_adds(&r->body, "{}");
    } else if (strcmp(a->route, "/__mock/batches") == 0) {
        batch_page(a, r);
    } else if (!stats_answer(a->route, &r->body)) {
        openai.error(404, "no such page of the mock", NULL, r);
    }
}

static bool predicts(const struct ask *a)
{
    return ends(a->route, ":rawPredict") || ends(a->route, ":streamRawPredict");
}

static bool generates(const struct ask *a)
{
    return ends(a->route, ":generateContent") || ends(a->route, ":streamGenerateContent");
}

static bool converses(const struct ask *a)
{
    return ends(a->route, "/converse") || ends(a->route, "/converse-stream");
}

static bool invokes(const struct ask *a)
{
    return ends(a->route, "/invoke") || ends(a->route, "/invoke-with-response-stream");
}

/* What is no chat; NULL: it is one, or something else again. Voyage has a "top_k" of its own. */
static const struct dialect *other_operation(const struct ask *a)
{
    if (ends(a->route, ":batchEmbedContents"))
        return &gemini_embeddings;
    if (ends(a->route, "/v2/embed"))
        return &cohere_embeddings;
    if (ends(a->route, "/embeddings"))
        return &embeddings;
    if (ends(a->route, "/v2/rerank"))
        return &cohere_reranker;
    if (ends(a->route, "/rerank"))
        return a->body->at && strstr(a->body->at, "\"top_k\"") ? &voyage_reranker : &reranker;
    return ends(a->route, "/moderations") ? &moderations : NULL;
}

static void choose_dialect(struct ask *a)
{
    char version[64], google[ASK_KEY_MAX];

    ask_header(a, "anthropic-version", version, sizeof(version));
    ask_header(a, "x-goog-api-key", google, sizeof(google));
    a->dialect = media_find(a);
    if (!a->dialect)
        a->dialect = other_operation(a);
    if (a->dialect)
        return;
    a->dialect = &openai;
    if (generates(a) || (google[0] && ends(a->route, "/models")))
        a->dialect = &gemini;
    else if (version[0] || ends(a->route, "/messages") || predicts(a))
        a->dialect = &anthropic;
    else if (ends(a->route, "/responses"))
        a->dialect = &responses;
    else if (ends(a->route, "/v2/chat"))
        a->dialect = &cohere;
    else if (converses(a))
        a->dialect = &bedrock;
    else if (invokes(a))
        a->dialect = &bedrock_claude;
    else if (ends(a->route, "/api/chat"))
        a->dialect = &ollama;
}

static void parse(struct ask *a)
{
    a->json = cJSON_ParseWithLength(a->body->at ? a->body->at : "", a->body->len);
    if (generates(a) || a->dialect != &gemini)
        a->dialect->read(a);
    if (!a->plan[0])
        (void)snprintf(a->plan, sizeof(a->plan), "%s", a->model);
}

static void endpoint(struct ask *a, struct reply *r)
{
    char message[200];

    if (media_find(a)) {
        chat(a, r);
        return;
    }
    if (generates(a) || predicts(a) || ends(a->route, "/messages") ||
        ends(a->route, "/chat/completions") || other_operation(a) || ends(a->route, "/v2/chat") ||
        ends(a->route, "/api/chat") || ends(a->route, "/responses") || converses(a) || invokes(a)) {
        chat(a, r);
    } else if (strstr(a->route, "/messages/batches")) {
        batch_answer(a, strstr(a->route, "/messages/batches") + strlen("/messages/batches"), r);
    } else if (ends(a->route, "/messages/count_tokens")) {
        reply_reset(r, 200);
        text_addf(&r->body, "{\"input_tokens\":%d}", a->prompt_tokens);
    } else if (ends(a->route, "/realtime")) {
        realtime_refuse(a, r);
    } else if (ends(a->route, "/models")) {
        models(a, r);
    } else if (!shelf_answer(a, r)) {
        (void)snprintf(message, sizeof(message), "Invalid URL (%s %.150s)", a->method, a->route);
        a->dialect->error(404, message, NULL, r);
    }
}

void answer_line(const char *path, const struct text *headers, const struct text *body,
                 struct reply *r, struct text *user)
{
    struct ask a = {.method = "POST", .path = path, .headers = headers, .body = body, .model = ""};

    ask_route(&a);
    read_key(&a);
    choose_dialect(&a);
    parse(&a);
    endpoint(&a, r);
    text_add(user, a.user.at ? a.user.at : "", a.user.len);
    ask_free(&a);
}

void answer(const char *method, const char *path, const struct text *headers,
            const struct text *body, int64_t at_ms, struct wire *w)
{
    struct ask a = {.method = method, .path = path, .headers = headers, .body = body, .model = ""};
    struct reply r;

    reply_init(&r);
    ask_route(&a);
    read_key(&a);
    if (strncmp(a.route, "/__mock/", 8) == 0) {
        own_page(&a, &r);
    } else {
        choose_dialect(&a);
        parse(&a);
        stats_note(&a, at_ms);
        text_addf(&r.headers, "x-request-id: req_mock_%lld\r\n", (long long)stats.requests);
        if (auth_issues(&a, &r))
            r.wait_ms = a.wait_ms;
        else
            endpoint(&a, &r);
    }
    reply_wire(&r, w);
    reply_free(&r);
    ask_free(&a);
}
