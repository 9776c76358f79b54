/* rank.c - rerankers, as Jina, Cohere and Voyage have them, and OpenAI's moderations.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A document's score is the share of the query's words that it has. A text is flagged when it has a word of
 * violence.
 */
#include "dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENTS_MAX = 1000, WORD_MAX = 64 };

struct ranked {
    int index;
    double score;
    const char *text;
};

static const char *text_of(const cJSON *document)
{
    const char *text =
        cJSON_IsString(document) ? document->valuestring : json_text(document, "text");

    return text ? text : "";
}

static double score_of(const char *query, const char *text)
{
    int words = 0, found = 0;

    for (const char *p = query; *p; p += strspn(p, " ")) {
        char word[WORD_MAX];
        size_t len = strcspn(p, " ");

        (void)snprintf(word, sizeof(word), "%.*s", (int)len, p);
        words++;
        found += strstr(text, word) != NULL;
        p += len;
    }
    return words ? (double)found / words : 0;
}

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    return x->score != y->score ? (x->score < y->score) - (x->score > y->score)
                                : x->index - y->index;
}

static int rank(const struct ask *a, struct ranked *list)
{
    const cJSON *document;
    const char *query = json_text(a->json, "query");
    int count = 0;

    cJSON_ArrayForEach(document, cJSON_GetObjectItemCaseSensitive(a->json, "documents"))
    {
        if (count == DOCUMENTS_MAX)
            break;
        list[count] = (struct ranked){.index = count, .text = text_of(document)};
        list[count].score = score_of(query ? query : "", list[count].text);
        count++;
    }
    qsort(list, (size_t)count, sizeof list[0], by_score);
    return count;
}

static int limit(const struct ask *a, const char *name, int count)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(a->json, name);

    return cJSON_IsNumber(n) && n->valueint < count ? n->valueint : count;
}

static bool check(const struct dialect *d, const struct ask *a, const char *known, bool texts,
                  struct reply *r)
{
    const cJSON *documents = cJSON_GetObjectItemCaseSensitive(a->json, "documents"), *one;

    if (!a->key[0]) {
        d->error(401, "You didn't provide an API key.", NULL, r);
        return false;
    }
    if (!check_json(d, a, r))
        return false;
    cJSON_ArrayForEach(one, a->json)
    {
        if (!listed(known, one->string)) {
            d->error(400, "invalid request: unknown field", one->string, r);
            return false;
        }
    }
    cJSON_ArrayForEach(one, documents)
    {
        if (texts && !cJSON_IsString(one)) {
            d->error(400, "invalid request: documents must be strings", "documents", r);
            return false;
        }
    }
    if (cJSON_IsArray(documents) && json_text(a->json, "query") && a->model[0])
        return true;
    d->error(400, "model, query and documents are required", NULL, r);
    return false;
}

static void error_event(struct reply *r)
{
    openai.error_event(r);
}

static void models(struct reply *r)
{
    openai.models(r);
}

static void openai_error(int status, const char *message, const char *param, struct reply *r)
{
    openai.error(status, message, param, r);
}

static void cohere_error(int status, const char *message, const char *param, struct reply *r)
{
    cohere.error(status, message, param, r);
}

/* --- Jina, and those like it ------------------------------------------------------------------- */

static void results(const struct ask *a, const char *top, bool documents, const char *form,
                    struct text *out)
{
    static struct ranked list[DOCUMENTS_MAX];
    int count = limit(a, top, rank(a, list));

    for (int i = 0; i < count; i++) {
        text_addf(out, "%s{\"index\":%d,\"relevance_score\":%.6f", i ? "," : "", list[i].index,
                  list[i].score);
        if (documents) {
            text_addf(out, ",\"document\":%s", form);
            text_quote(out, list[i].text, strlen(list[i].text));
            text_adds(out, *form ? "}" : "");
        }
        text_adds(out, "}");
    }
}

/* Tokens are words of the query and of all documents. */
static int tokens(const struct ask *a)
{
    const char *query = json_text(a->json, "query");

    return (query ? words_in(query, strlen(query)) : 0) +
           ask_words(cJSON_GetObjectItemCaseSensitive(a->json, "documents"));
}

static bool jina_check(const struct ask *a, struct reply *r)
{
    return check(&openai, a, "|model|query|documents|top_n|return_documents|", false, r);
}

static void jina_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    (void)c;
    reply_reset(r, 200);
    text_adds(&r->body, "{\"model\":");
    text_quote(&r->body, a->model, strlen(a->model));
    text_adds(&r->body, ",\"results\":[");
    results(a, "top_n", json_true(a->json, "return_documents"), "{\"text\":", &r->body);
    text_addf(&r->body, "],\"usage\":{\"total_tokens\":%d}}", tokens(a));
}

const struct dialect reranker = {"rerank",    ask_read,     jina_check,  jina_answer,
                                 jina_answer, openai_error, error_event, models};

/* --- Voyage ------------------------------------------------------------------------------------ */

static bool voyage_check(const struct ask *a, struct reply *r)
{
    return check(&openai, a, "|model|query|documents|top_k|return_documents|truncation|", true, r);
}

static void voyage_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    (void)c;
    reply_reset(r, 200);
    text_adds(&r->body, "{\"object\":\"list\",\"data\":[");
    results(a, "top_k", json_true(a->json, "return_documents"), "", &r->body);
    text_adds(&r->body, "],\"model\":");
    text_quote(&r->body, a->model, strlen(a->model));
    text_addf(&r->body, ",\"usage\":{\"total_tokens\":%d}}", tokens(a));
}

const struct dialect voyage_reranker = {"voyage rerank", ask_read,     voyage_check, voyage_answer,
                                        voyage_answer,   openai_error, error_event,  models};

/* --- Cohere ------------------------------------------------------------------------------------ */

static bool cohere_check(const struct ask *a, struct reply *r)
{
    return check(&cohere, a, "|model|query|documents|top_n|max_tokens_per_doc|priority|", true, r);
}

static void cohere_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    (void)c;
    reply_reset(r, 200);
    text_addf(&r->body, "{\"id\":\"r_mock_%06lld\",\"results\":[", (long long)answer_number());
    results(a, "top_n", false, "", &r->body);
    text_adds(&r->body, "],\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{"
                        "\"search_units\":1}}}");
}

const struct dialect cohere_reranker = {"cohere rerank", ask_read,     cohere_check, cohere_answer,
                                        cohere_answer,   cohere_error, error_event,  models};

/* --- moderations ------------------------------------------------------------------------------- */

static bool moderate_check(const struct ask *a, struct reply *r)
{
    if (!a->key[0]) {
        openai.error(401, "You didn't provide an API key.", NULL, r);
        return false;
    }
    if (!check_json(&openai, a, r))
        return false;
    if (cJSON_GetObjectItemCaseSensitive(a->json, "input"))
        return true;
    openai.error(400, "Missing required parameter: 'input'.", "input", r);
    return false;
}

static void verdict(const char *text, struct text *out)
{
    bool violent = strstr(text, "kill") || strstr(text, "bomb");

    text_addf(out,
              "{\"flagged\":%s,\"categories\":{\"violence\":%s,\"hate\":false},"
              "\"category_scores\":{\"violence\":%s,\"hate\":0.0001}}",
              violent ? "true" : "false", violent ? "true" : "false", violent ? "0.97" : "0.0002");
}

static void moderate_answer(const struct ask *a, const struct content *c, struct reply *r)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(a->json, "input"), *one;
    int index = 0;

    (void)c;
    reply_reset(r, 200);
    text_addf(&r->body, "{\"id\":\"modr-%lld\",\"model\":", (long long)answer_number());
    text_quote(&r->body, a->model[0] ? a->model : "omni-moderation-latest",
               strlen(a->model[0] ? a->model : "omni-moderation-latest"));
    text_adds(&r->body, ",\"results\":[");
    if (cJSON_IsString(input))
        verdict(input->valuestring, &r->body);
    cJSON_ArrayForEach(one, input)
    {
        text_adds(&r->body, index++ ? "," : "");
        verdict(text_of(one), &r->body);
    }
    text_adds(&r->body, "]}");
}

const struct dialect moderations = {"moderations",   ask_read,     moderate_check, moderate_answer,
                                    moderate_answer, openai_error, error_event,    models};
