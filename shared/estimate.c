/* estimate.c - see estimate.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "estimate.h"

#include "limit.h"

#include <string.h>

enum { ANSWERS_MAX = 128 };

/* More than any model gives or takes: keeps products in range. */
static const int64_t tokens_max = INT64_C(1) << 40;

/* The types of message parts, in all dialects, whose size in tokens their bytes do not tell. */
static bool is_attachment(const struct pk_json *doc, int object)
{
    static const char *const types[] = {"image_url",  "image",     "input_image", "input_audio",
                                        "audio",      "video_url", "video",       "file",
                                        "input_file", "document"};
    int type = pk_json_get(doc, object, "type");

    for (size_t i = 0; type >= 0 && i < PK_COUNT(types); i++)
        if (pk_json_is(doc, type, types[i]))
            return true;
    return false;
}

/* Whether the text of a member is encoded content: not read as text by the model. */
static bool is_encoded(const struct pk_json *doc, int object, int key)
{
    pk_str raw = pk_json_raw(doc, key + 1);

    if (pk_json_type(doc, key + 1) != PK_JSON_STRING)
        return false;
    if (pk_str_starts(raw, "\"data:"))
        return pk_json_is(doc, key, "url") || pk_json_is(doc, key, "image_url") ||
               pk_json_is(doc, key, "file_data");
    return (pk_json_is(doc, key, "data") &&
            (pk_json_is(doc, pk_json_get(doc, object, "type"), "base64") ||
             pk_json_get(doc, object, "format") >= 0)) ||
           pk_json_is(doc, key, "file_data");
}

/* What is attached: how many, and the bytes of their encoded content. */
struct attached {
    int64_t count;
    size_t bytes;
};

static struct attached attached_to(const struct pk_json *doc)
{
    struct attached a = {0, 0};

    for (int i = 0; i < doc->count; i++) {
        if (doc->nodes[i].type != PK_JSON_OBJECT)
            continue;
        a.count += is_attachment(doc, i);
        for (int k = pk_json_first(doc, i); k >= 0; k = pk_json_next(doc, i, k))
            if (is_encoded(doc, i, k))
                a.bytes += pk_json_raw(doc, k + 1).len;
    }
    return a;
}

/* The largest of the members that limit the output; 0: there is none. */
static int64_t output_limit(const struct pk_json *body)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens", "max_output_tokens"};
    int64_t most = 0, n;

    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_json_int(body, pk_json_get(body, 0, names[i]), &n) && n > most)
            most = n;
    return most;
}

static int64_t answers_of(const struct pk_json *body)
{
    static const char *const names[] = {"n", "best_of"};
    int64_t most = 1, n;

    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_json_int(body, pk_json_get(body, 0, names[i]), &n) && n > most)
            most = n;
    return most > ANSWERS_MAX ? ANSWERS_MAX : most;
}

static int64_t capped(int64_t n)
{
    return n < 0 ? 0 : n > tokens_max ? tokens_max : n;
}

struct pk_bound pk_estimate_bound(const struct pk_json *body, int64_t assumed)
{
    struct attached a = attached_to(body);
    int64_t output = capped(output_limit(body));
    pk_str text = pk_json_raw(body, 0);

    if (output == 0)
        output = assumed > 0 ? capped(assumed) : PK_OUTPUT_ASSUMED;
    return (struct pk_bound){
        .input = capped((int64_t)(text.len - a.bytes) + a.count * PK_ATTACHMENT_TOKENS),
        .output = output * answers_of(body),
        .writes_cache = text.len && memmem(text.at, text.len, "cache_control", 13) != NULL,
    };
}

static int64_t dearest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* A model that gives no tokens, as of embeddings, has no price for them. */
static bool add(int64_t tokens, int64_t pusd, int64_t *sum)
{
    int64_t part;

    if (pusd < 0)
        return tokens == 0;
    if (__builtin_mul_overflow(tokens, pusd, &part) || part > PK_LIMIT_AMOUNT_MAX - *sum)
        *sum = PK_LIMIT_AMOUNT_MAX;
    else
        *sum += part;
    return true;
}

bool pk_estimate_cost(const struct pk_prices *prices, pk_str provider, pk_str model,
                      const struct pk_bound *bound, int64_t at_us, int64_t *pusd)
{
    const struct pk_price *p = pk_price_find(prices, provider, model, bound->input, at_us);

    *pusd = 0;
    if (!p)
        return false;
    const struct pk_price price = bound->batched ? pk_price_batched(p) : *p;
    int64_t input = price.input, output = dearest(price.output, price.reasoning);
    if (bound->writes_cache)
        input = dearest(input, dearest(price.cache_write, price.cache_write_1h));
    return add(bound->input, input, pusd) && add(bound->output, output, pusd);
}

/* --- after the fact ---------------------------------------------------------------------- */

/* The values that are no text to the model; NULL when there is no memory. */
static bool *encoded_values(struct pk_arena *arena, const struct pk_json *doc)
{
    bool *encoded = pk_alloc(arena, (size_t)doc->count * sizeof *encoded);

    for (int i = 0; encoded && i < doc->count; i++) {
        if (doc->nodes[i].type != PK_JSON_OBJECT)
            continue;
        for (int k = pk_json_first(doc, i); k >= 0; k = pk_json_next(doc, i, k))
            encoded[k + 1] = is_encoded(doc, i, k);
    }
    return encoded;
}

int64_t pk_estimate_tokens_of(struct pk_arena *arena, const struct pk_json *doc,
                              enum pk_family family)
{
    int64_t tokens = attached_to(doc).count * PK_ATTACHMENT_USUAL;
    const bool *encoded = encoded_values(arena, doc);

    for (int i = 0; encoded && i < doc->count; i++)
        if (doc->nodes[i].type == PK_JSON_STRING && !encoded[i])
            tokens += pk_tokens_count(family, pk_json_str(arena, doc, i));
    return capped(tokens);
}
