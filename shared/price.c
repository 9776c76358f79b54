/* price.c - see price.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "price.h"

#include "provider.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 6 }; /* a dollar per million tokens is 10^6 pico-dollars a token */

static int compare(pk_str a, pk_str b)
{
    int c = memcmp(a.at ? a.at : "", b.at ? b.at : "", a.len < b.len ? a.len : b.len);

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* What rows are looked up by: the model is `stem` and then `end`, which is "*" for a prefix. */
struct name {
    pk_str provider, stem, end;
};

static int stands(const struct pk_price *p, const struct name *n)
{
    int c = compare(p->provider, n->provider);

    if (c == 0)
        c = compare(pk_str_sub(p->model, 0, n->stem.len), n->stem);
    return c ? c : compare(pk_str_sub(p->model, n->stem.len, p->model.len), n->end);
}

static int in_order(const void *a, const void *b)
{
    const struct pk_price *x = a, *y = b;

    return stands(x, &(struct name){y->provider, y->model, PK_NONE});
}

void pk_price_sort(struct pk_price *rows, int count)
{
    if (count)
        qsort(rows, (size_t)count, sizeof *rows, in_order);
}

static bool in_effect(const struct pk_price *p, int64_t input_tokens, int64_t at_us)
{
    if (at_us < p->from_us || (p->to_us && at_us >= p->to_us))
        return false;
    return p->above_tokens == 0 || input_tokens > p->above_tokens;
}

static bool supersedes(const struct pk_price *p, const struct pk_price *best)
{
    if (p->above_tokens != best->above_tokens)
        return p->above_tokens > best->above_tokens;
    return p->from_us > best->from_us;
}

/* The first row that does not stand before `n`. */
static int lower_bound(const struct pk_prices *prices, const struct name *n)
{
    int from = 0, to = prices->count;

    while (from < to) {
        int middle = from + (to - from) / 2;

        if (stands(&prices->rows[middle], n) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Of the rows of one name, the one in effect. */
static const struct pk_price *row_of(const struct pk_prices *prices, const struct name *n,
                                     int64_t input_tokens, int64_t at_us)
{
    const struct pk_price *best = NULL;

    for (int i = lower_bound(prices, n); i < prices->count; i++) {
        const struct pk_price *p = &prices->rows[i];

        if (stands(p, n) != 0)
            break;
        if (in_effect(p, input_tokens, at_us) && (!best || supersedes(p, best)))
            best = p;
    }
    return best;
}

const struct pk_price *pk_price_find(const struct pk_prices *prices, pk_str provider, pk_str model,
                                     int64_t input_tokens, int64_t at_us)
{
    struct name n = {provider, model, PK_NONE};
    const struct pk_price *p = row_of(prices, &n, input_tokens, at_us);

    n.end = PK_STR("*");
    model = pk_str_sub(model, 0, PK_SLUG_BYTES_MAX);
    for (size_t cut = 0; !p && cut <= model.len; cut++) {
        n.stem = pk_str_sub(model, 0, model.len - cut);
        p = row_of(prices, &n, input_tokens, at_us);
    }
    return p;
}

/* One bucket of tokens: how many, at what price, and what to say when that is not known. */
struct bucket {
    int64_t tokens, pusd;
    const char *why;
};

static bool add_buckets(const struct bucket *buckets, size_t count, int64_t *sum, const char **why)
{
    *sum = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t part;

        if (buckets[i].tokens == 0)
            continue;
        *why = buckets[i].pusd < 0 ? buckets[i].why : "the token counts are out of range";
        if (buckets[i].pusd < 0 || buckets[i].tokens < 0 ||
            __builtin_mul_overflow(buckets[i].tokens, buckets[i].pusd, &part) ||
            __builtin_add_overflow(*sum, part, sum))
            return false;
    }
    *why = NULL;
    return true;
}

static bool all_input(const struct pk_usage *u, int64_t *sum)
{
    return !__builtin_add_overflow(u->input, u->cache_read, sum) &&
           !__builtin_add_overflow(*sum, u->cache_write, sum) &&
           !__builtin_add_overflow(*sum, u->cache_write_1h, sum);
}

bool pk_price_cost(const struct pk_prices *prices, pk_str provider, pk_str model,
                   const struct pk_usage *usage, int64_t at_us, int64_t *cost_pusd,
                   const char **why)
{
    int64_t input;

    *why = "the provider reported no usage";
    if (usage->source == PK_USAGE_NONE)
        return false;
    *why = "the token counts are out of range";
    if (!all_input(usage, &input))
        return false;
    const struct pk_price *p = pk_price_find(prices, provider, model, input, at_us);
    *why = "no price for this model";
    if (!p)
        return false;
    const struct bucket buckets[] = {
        {usage->input, p->input, "no input price for this model"},
        {usage->cache_read, p->cache_read, "no cache read price for this model"},
        {usage->cache_write, p->cache_write, "no cache write price for this model"},
        {usage->cache_write_1h, p->cache_write_1h, "no 1 h cache write price for this model"},
        {usage->output, p->output, "no output price for this model"},
        {usage->reasoning, p->reasoning, "no reasoning price for this model"},
    };
    return add_buckets(buckets, PK_COUNT(buckets), cost_pusd, why);
}

bool pk_price_parse(pk_str per_million, int64_t *pusd)
{
    int64_t n = 0;
    int places = -1; /* digits behind the point; -1 before it */

    if (per_million.len == 0 || per_million.at[0] == '.' || pk_str_ends(per_million, "."))
        return false;
    for (size_t i = 0; i < per_million.len; i++) {
        char c = per_million.at[i];

        if (c == '.' && places < 0) {
            places = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        if (places == PLACES) { /* finer than a pico-dollar: only zeros are exact */
            if (c != '0')
                return false;
            continue;
        }
        places += places >= 0;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, c - '0', &n))
            return false;
    }
    for (int i = places < 0 ? 0 : places; i < PLACES; i++)
        if (__builtin_mul_overflow(n, 10, &n))
            return false;
    *pusd = n;
    return true;
}

pk_str pk_price_provider(const struct pk_prices *prices, pk_str *model, int64_t input,
                         int64_t now_us)
{
    int slash = pk_str_find(*model, '/');
    const struct pk_provider *p;

    if (slash > 0) {
        p = pk_provider_find(pk_str_sub(*model, 0, (size_t)slash));
        if (p) {
            *model = pk_str_sub(*model, (size_t)slash + 1, model->len);
            return pk_str_of(p->name);
        }
    }
    for (int i = 0; (p = pk_provider_at(i)) != NULL; i++)
        if (pk_price_find(prices, pk_str_of(p->name), *model, input, now_us))
            return pk_str_of(p->name);
    return PK_NONE;
}
