/* embed_more.c - embeddings as Google and Cohere have them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * As strict as the real ones: ai.google.dev/api/embeddings (batchEmbedContents), docs.cohere.com/reference/embed.
 */
#include "dialect.h"

#include <stdio.h>
#include <string.h>

static int number_of(const cJSON *object, const char *name, int otherwise)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(n) ? n->valueint : otherwise;
}

static bool fewer(const struct content *c)
{
    return c->vectors && strcmp(c->vectors, "fewer") == 0;
}

/* The first field that is not in the list, or NULL. */
static const char *unknown(const cJSON *object, const char *known)
{
    const cJSON *f;

    cJSON_ArrayForEach(f, object)
    {
        if (!listed(known, f->string))
            return f->string;
    }
    return NULL;
}

/* --- Google ---------------------------------------------------------------------------------- */

/* The model stands in the path, escaped. */
static void gemini_read(struct ask *a)
{
    const char *from = strstr(a->route, "/models/");
    size_t len = 0;

    for (from = from ? from + strlen("/models/") : ""; *from && *from != ':'; from++) {
        unsigned byte;

        if (len + 1 == sizeof(a->name))
            break;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
            a->name[len++] = (char)byte;
            from += 2;
        } else {
            a->name[len++] = *from;
        }
    }
    a->name[len] = 0;
    a->model = a->name;
}

static bool gemini_refuse(const char *message, struct reply *r)
{
    gemini.error(400, message, NULL, r);
    return false;
}

static bool gemini_check(const struct ask *a, struct reply *r)
{
    const cJSON *requests = cJSON_GetObjectItemCaseSensitive(a->json, "requests"), *one;
    char name[600];

    if (!a->key[0]) {
        gemini.error(403, "Method doesn't allow unregistered callers.", NULL, r);
        return false;
    }
    if (!check_json(&gemini, a, r))
        return false;
    if (unknown(a->json, "|requests|") || !cJSON_IsArray(requests) ||
        cJSON_GetArraySize(requests) == 0)
        return gemini_refuse("* BatchEmbedContentsRequest.requests: at least one request is needed",
                             r);
    (void)snprintf(name, sizeof(name), "models/%s", a->model);
    cJSON_ArrayForEach(one, requests)
    {
        const char *model = json_text(one, "model");
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(one, "content");

        if (unknown(one, "|model|content|taskType|title|outputDimensionality|"))
            return gemini_refuse("Invalid JSON payload received. Unknown name.", r);
        if (!model || strcmp(model, name) != 0)
            return gemini_refuse("Model in request does not match the model of the batch.", r);
        if (!cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(content, "parts")))
            return gemini_refuse("* EmbedContentRequest.content: contents is not specified", r);
    }
    return true;
}

static void gemini_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    const cJSON *one;
    int index = 0;

    reply_reset(r, 200);
    text_adds(&r->body, "{\"embeddings\":[");
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(a->json, "requests"))
    {
        const cJSON *content = cJSON_GetObjectItemCaseSensitive(one, "content");
        struct text text = {0};

        if (fewer(c) && index)
            break;
        content_text(cJSON_GetObjectItemCaseSensitive(content, "parts"), &text);
        text_adds(&r->body, index++ ? ",{\"values\":" : "{\"values\":");
        embed_vector(a, c, text.at ? text.at : "",
                     number_of(one, "outputDimensionality", EMBED_DIMS_DEFAULT), &r->body);
        text_adds(&r->body, "}");
        text_free(&text);
    }
    text_adds(&r->body, "]}");
}

static void gemini_error(int status, const char *message, const char *param, struct reply *r)
{
    gemini.error(status, message, param, r);
}

static void gemini_error_event(struct reply *r)
{
    gemini.error_event(r);
}

static void gemini_models(struct reply *r)
{
    gemini.models(r);
}

const struct dialect gemini_embeddings = {"gemini embeddings", gemini_read,   gemini_check,
                                          gemini_answer,       gemini_answer, gemini_error,
                                          gemini_error_event,  gemini_models};

/* --- Cohere ---------------------------------------------------------------------------------- */

static bool cohere_refuse(const char *message, struct reply *r)
{
    cohere.error(400, message, NULL, r);
    return false;
}

static bool cohere_check(const struct ask *a, struct reply *r)
{
    const cJSON *texts = cJSON_GetObjectItemCaseSensitive(a->json, "texts");
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(a->json, "embedding_types");
    const char *kind = json_text(a->json, "input_type");

    if (!a->key[0]) {
        cohere.error(401, "no api key supplied", NULL, r);
        return false;
    }
    if (!check_json(&cohere, a, r))
        return false;
    if (unknown(a->json, "|model|texts|images|inputs|input_type|embedding_types|truncate|"
                         "output_dimension|max_tokens|priority|"))
        return cohere_refuse("invalid request: unknown field", r);
    if (!kind || !listed("|search_document|search_query|classification|clustering|image|", kind))
        return cohere_refuse("invalid request: valid input_type must be provided", r);
    if (!cJSON_IsArray(texts) || !cJSON_IsArray(types))
        return cohere_refuse("invalid request: texts and embedding_types must be lists", r);
    return true;
}

static void cohere_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    const cJSON *one;
    int index = 0, tokens = 0;

    reply_reset(r, 200);
    text_addf(&r->body, "{\"id\":\"e_mock_%06lld\",\"embeddings\":{\"float\":[",
              (long long)answer_number());
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(a->json, "texts"))
    {
        const char *text = cJSON_IsString(one) ? one->valuestring : "";

        if (fewer(c) && index)
            break;
        text_adds(&r->body, index++ ? "," : "");
        embed_vector(a, c, text, number_of(a->json, "output_dimension", EMBED_DIMS_DEFAULT),
                     &r->body);
        tokens += words_in(text, strlen(text));
    }
    text_adds(&r->body, "]},\"response_type\":\"embeddings_by_type\",\"meta\":{\"api_version\":{"
                        "\"version\":\"2\"}");
    if (!c->no_usage)
        text_addf(&r->body, ",\"billed_units\":{\"input_tokens\":%d}", tokens);
    text_adds(&r->body, "}}");
}

static void cohere_error(int status, const char *message, const char *param, struct reply *r)
{
    cohere.error(status, message, param, r);
}

static void cohere_error_event(struct reply *r)
{
    cohere.error_event(r);
}

static void cohere_models(struct reply *r)
{
    cohere.models(r);
}

const struct dialect cohere_embeddings = {"cohere embeddings", ask_read,      cohere_check,
                                          cohere_answer,       cohere_answer, cohere_error,
                                          cohere_error_event,  cohere_models};
