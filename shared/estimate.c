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

/* The members that say, in all dialects, what of a request is more than its text. */
enum telling { FILE_DATA, URL, IMAGE_URL, DATA, TYPE, CACHE_CONTROL, CACHE_POINT };
static const pk_str telling_names[] = {
    [FILE_DATA] = PK_NAME("file_data"),
    [URL] = PK_NAME("url"),
    [IMAGE_URL] = PK_NAME("image_url"),
    [DATA] = PK_NAME("data"),
    [TYPE] = PK_NAME("type"),
    [CACHE_CONTROL] = PK_NAME("cache_control"),
    [CACHE_POINT] = PK_NAME("cachePoint"), /* Bedrock's word for it */
    {0},
};

/* The types of message parts whose size in tokens their bytes do not tell. */
static bool is_attachment(const struct pk_json *doc, int type)
{
    static const pk_str types[] = {PK_NAME("image_url"),
                                   PK_NAME("image"),
                                   PK_NAME("input_image"),
                                   PK_NAME("input_audio"),
                                   PK_NAME("audio"),
                                   PK_NAME("video_url"),
                                   PK_NAME("video"),
                                   PK_NAME("file"),
                                   PK_NAME("input_file"),
                                   PK_NAME("document"),
                                   {0}};

    return pk_json_type(doc, type) == PK_JSON_STRING && pk_json_which(doc, type, types) >= 0;
}

/* Whether the text of a member with this name is encoded content: not read as text by the model. */
static bool is_encoded(const struct pk_json *doc, int object, int value, int name)
{
    bool url = pk_str_starts(pk_json_raw(doc, value), "\"data:");

    if (pk_json_type(doc, value) != PK_JSON_STRING)
        return false;
    if (name == DATA)
        return !url && (pk_json_is(doc, pk_json_get(doc, object, "type"), "base64") ||
                        pk_json_get(doc, object, "format") >= 0);
    return name == FILE_DATA || (url && (name == URL || name == IMAGE_URL));
}

/* What is attached: how many, and the bytes of their encoded content; and whether some of it all is to be cached. */
struct attached {
    int64_t count;
    size_t bytes;
    bool cached;
};

static struct attached attached_to(const struct pk_json *doc)
{
    struct attached a = {0};

    for (int i = 0; i < doc->count; i++) {
        if (doc->nodes[i].type != PK_JSON_OBJECT)
            continue;
        for (int k = pk_json_first(doc, i); k >= 0; k = pk_json_next(doc, i, k)) {
            int name = pk_json_which(doc, k, telling_names);

            if (name == TYPE)
                a.count += is_attachment(doc, k + 1);
            else if (name == CACHE_CONTROL || name == CACHE_POINT)
                a.cached = true;
            else if (name >= 0 && is_encoded(doc, i, k + 1, name))
                a.bytes += pk_json_raw(doc, k + 1).len;
        }
    }
    return a;
}

/* The members that limit the output, and how many answers there are. */
enum { LIMIT, LIMIT_OLD, LIMIT_RESPONSES, N, BEST_OF, OUTPUT_NAMES };
static const pk_str output_names[OUTPUT_NAMES + 1] = {
    [LIMIT] = PK_NAME("max_completion_tokens"),
    [LIMIT_OLD] = PK_NAME("max_tokens"),
    [LIMIT_RESPONSES] = PK_NAME("max_output_tokens"),
    [N] = PK_NAME("n"),
    [BEST_OF] = PK_NAME("best_of"),
};

/* The largest of the numbers at `values`, or `most`. */
static int64_t largest(const struct pk_json *doc, const int *values, int count, int64_t most)
{
    int64_t n;

    for (int i = 0; i < count; i++)
        if (pk_json_int(doc, values[i], &n) && n > most)
            most = n;
    return most;
}

static int64_t capped(int64_t n)
{
    return n < 0 ? 0 : n > tokens_max ? tokens_max : n;
}

struct pk_bound pk_estimate_bound(const struct pk_json *body, int64_t assumed)
{
    struct attached a = attached_to(body);
    int at[OUTPUT_NAMES];

    pk_json_members(body, 0, output_names, at);
    int64_t output = capped(largest(body, at + LIMIT, N - LIMIT, 0)); /* 0: there is none */
    int64_t answers = largest(body, at + N, OUTPUT_NAMES - N, 1);
    if (output == 0)
        output = assumed > 0 ? capped(assumed) : PK_OUTPUT_ASSUMED;
    return (struct pk_bound){
        .input =
            capped((int64_t)(pk_json_raw(body, 0).len - a.bytes) + a.count * PK_ATTACHMENT_TOKENS),
        .output = output * (answers > ANSWERS_MAX ? ANSWERS_MAX : answers),
        .writes_cache = a.cached,
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
            encoded[k + 1] = is_encoded(doc, i, k + 1, pk_json_which(doc, k, telling_names));
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
