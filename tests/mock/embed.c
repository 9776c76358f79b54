/* embed.c - OpenAI's embeddings, as platform.openai.com/docs/api-reference/embeddings has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The vector of a text is made of its words, each a direction of its own, so that texts with the same words
 * are near, in whatever order. Words that say little count little. The model's name turns the directions.
 */
#include "dialect.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DIMS_MAX = 4096, WORD_MAX = 32 };

static const char fillers[] =
    "|a|an|the|how|do|does|i|can|my|me|to|of|is|are|what|which|please|in|on|for|tell|"
    "it|and|you|your|could|would|should|want|way|be|with|we|us|s|so|at|by|this|";

static void error(int status, const char *message, const char *param, struct reply *r)
{
    openai.error(status, message, param, r);
}

static bool refuse(const char *message, const char *param, struct reply *r)
{
    error(400, message, param, r);
    return false;
}

static int wanted_dims(const struct ask *a)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(a->json, "dimensions");

    if (!n) /* Voyage's and Mistral's name */
        n = cJSON_GetObjectItemCaseSensitive(a->json, "output_dimension");
    return n ? n->valueint : EMBED_DIMS_DEFAULT;
}

static bool check(const struct ask *a, struct reply *r)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(a->json, "input");

    if (!a->key[0]) {
        error(401, "You didn't provide an API key.", NULL, r);
        return false;
    }
    if (!check_json(&openai, a, r))
        return false;
    if (!a->model[0])
        return refuse("you must provide a model parameter", NULL, r);
    if (!cJSON_IsString(input) && !cJSON_IsArray(input))
        return refuse("Missing required parameter: 'input'.", "input", r);
    if (cJSON_IsString(input) && !input->valuestring[0])
        return refuse("'input' cannot be an empty string.", "input", r);
    if (wanted_dims(a) < 1 || wanted_dims(a) > DIMS_MAX)
        return refuse("Invalid value for 'dimensions'.", "dimensions", r);
    return true;
}

static uint32_t hash(uint32_t seed, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ (unsigned char)s[i]) * 16777619U;
    return seed ^ seed >> 15;
}

/* A few numbers of the vector for each word, up and down. */
static void add_word(const struct ask *a, const char *word, double *v, int dims)
{
    double weight = listed(fillers, word) ? 0.03 : 1;
    uint32_t h = hash(hash(2166136261U, a->model, strlen(a->model)), word, strlen(word));

    for (int i = 0; i < 4; i++) {
        h = h * 1664525U + 1013904223U;
        v[(h >> 8) % (uint32_t)dims] += h >> 31 ? weight : -weight;
    }
}

/* Runs of letters and digits, in lower case, without the s of a plural; other bytes than ASCII are letters. */
static void add_text(const struct ask *a, const char *s, double *v, int dims)
{
    char word[WORD_MAX + 1];
    size_t len = 0;

    for (;; s++) {
        unsigned char c = (unsigned char)*s;
        bool part =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;

        if (part && len < WORD_MAX)
            word[len++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
        if (part)
            continue;
        if (len > 3 && word[len - 1] == 's')
            len--;
        word[len] = 0;
        if (len)
            add_word(a, word, v, dims);
        len = 0;
        if (!c)
            return;
    }
}

/* The numbers, of length 1 together. */
static void directions(const struct ask *a, const char *text, double *v, int dims)
{
    double length = 0;

    add_text(a, text, v, dims);
    for (int i = 0; i < dims; i++)
        length += v[i] * v[i];
    for (int i = 0; i < dims; i++)
        v[i] = length > 0 ? v[i] / sqrt(length) : 0;
}

static bool wrong(const struct content *c, const char *how)
{
    return c->vectors && strcmp(c->vectors, how) == 0;
}

void embed_vector(const struct ask *a, const struct content *c, const char *text, int dims,
                  struct text *out)
{
    double v[DIMS_MAX] = {0};

    if (dims < 1 || dims > DIMS_MAX)
        dims = EMBED_DIMS_DEFAULT;
    directions(a, text, v, dims);
    text_adds(out, "[");
    for (int i = 0; i < dims && !wrong(c, "empty"); i++) {
        if (i == dims / 2 && wrong(c, "text"))
            text_adds(out, ",\"0.5\"");
        else if (i == dims / 2 && wrong(c, "large"))
            text_adds(out, ",1e999");
        else
            text_addf(out, "%s%.7g", i ? "," : "", v[i]);
    }
    text_adds(out, "]");
}

/* The floats as they are in memory, which here is little-endian. */
static void base64_vector(const struct ask *a, const char *text, int dims, struct text *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    double v[DIMS_MAX] = {0};
    unsigned char bytes[DIMS_MAX * sizeof(float) + 2] = {0};
    size_t len = (size_t)dims * sizeof(float);

    directions(a, text, v, dims);
    for (int i = 0; i < dims; i++) {
        float f = (float)v[i];
        memcpy(bytes + (size_t)i * sizeof f, &f, sizeof f);
    }
    text_adds(out, "\"");
    for (size_t i = 0; i < len; i += 3) {
        unsigned n = (unsigned)bytes[i] << 16 | (unsigned)bytes[i + 1] << 8 | bytes[i + 2];
        text_addf(out, "%c%c%c%c", digits[n >> 18], digits[n >> 12 & 63],
                  i + 1 < len ? digits[n >> 6 & 63] : '=', i + 2 < len ? digits[n & 63] : '=');
    }
    text_adds(out, "\"");
}

static void item(const struct ask *a, const struct content *c, const char *text, int index,
                 struct text *out)
{
    const char *format = json_text(a->json, "encoding_format");

    text_addf(out, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", index ? "," : "",
              index);
    if (format && strcmp(format, "base64") == 0 && !c->vectors)
        base64_vector(a, text, wanted_dims(a), out);
    else
        embed_vector(a, c, text, wanted_dims(a), out);
    text_adds(out, "}");
}

static void answer(const struct ask *a, const struct content *c, struct reply *r)
{
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(a->json, "input"), *one;
    int index = 0, tokens = 0;

    reply_reset(r, 200);
    text_adds(&r->body, "{\"object\":\"list\",\"data\":[");
    if (cJSON_IsString(input)) {
        item(a, c, input->valuestring, index++, &r->body);
        tokens = words_in(input->valuestring, strlen(input->valuestring));
    } else if (cJSON_IsNumber(cJSON_GetArrayItem(input, 0))) { /* tokens of one text */
        item(a, c, "tokens", index++, &r->body);
        tokens = cJSON_GetArraySize(input);
        input = NULL;
    }
    cJSON_ArrayForEach(one, input)
    {
        const char *text = cJSON_IsString(one) ? one->valuestring : "";

        if (wrong(c, "fewer") && index > 0)
            break;
        item(a, c, text, index++, &r->body);
        tokens += words_in(text, strlen(text));
    }
    text_adds(&r->body, "],\"model\":");
    text_quote(&r->body, a->model, strlen(a->model));
    if (!c->no_usage)
        text_addf(&r->body, ",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}", tokens,
                  tokens);
    text_adds(&r->body, "}");
}

static void error_event(struct reply *r)
{
    openai.error_event(r);
}

static void models(struct reply *r)
{
    openai.models(r);
}

/* There are no streams of them: a request for one gets the whole. */
const struct dialect embeddings = {"embeddings", ask_read, check,       answer,
                                   answer,       error,    error_event, models};
