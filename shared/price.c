/* price.c - see price.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "price.h"

#include "provider.h"

#include <stdlib.h>
#include <string.h>

enum { USD_PLACES = 12, DIGITS_MAX = 40, EXPONENT_MAX = 400 };

static int compare(pk_str a, pk_str b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    int c = both ? memcmp(a.at, b.at, both) : 0;

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

static bool is_named(const struct pk_price *p, const struct name *n)
{
    return p->model.len == n->stem.len + n->end.len && stands(p, n) == 0;
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

/* --- the index ------------------------------------------------------------------------------ */

static uint32_t hash_on(uint32_t hash, pk_str s)
{
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.at[i]) * 16777619u; /* FNV-1a */
    return hash;
}

static size_t slot_of(const struct pk_prices *prices, const struct name *n)
{
    uint32_t hash = hash_on(hash_on(pk_str_fnv(n->provider), n->stem), n->end);

    return (hash ^ hash >> 16) & (prices->slot_count - 1);
}

void pk_prices_index(struct pk_arena *arena, struct pk_prices *prices)
{
    size_t room = 2;

    while (room < 2 * (size_t)prices->count) /* half of it is free at least: no search is long */
        room *= 2;
    int *slots = pk_alloc(arena, room * sizeof *slots);
    if (!slots)
        return;
    memset(slots, -1, room * sizeof *slots);
    prices->slot_count = room;
    for (int i = 0; i < prices->count; i++) {
        const struct name n = {prices->rows[i].provider, prices->rows[i].model, PK_NONE};
        size_t at = slot_of(prices, &n);

        if (i > 0 && is_named(&prices->rows[i - 1], &n))
            continue;
        while (slots[at] >= 0)
            at = (at + 1) & (room - 1);
        slots[at] = i;
    }
    prices->slots = slots;
}

/* The first row of that name, or any other where there is none. */
static int first_row(const struct pk_prices *prices, const struct name *n)
{
    if (!prices->slots)
        return lower_bound(prices, n);
    size_t at = slot_of(prices, n);
    while (prices->slots[at] >= 0 && !is_named(&prices->rows[prices->slots[at]], n))
        at = (at + 1) & (prices->slot_count - 1);
    return prices->slots[at] < 0 ? prices->count : prices->slots[at];
}

/* --- finding -------------------------------------------------------------------------------- */

/* When the price of one name changed last: all its tiers of before are no longer in force, also those that
 * there are no successors of. */
static int64_t since(const struct pk_price *rows, int count, int64_t at_us)
{
    int64_t latest = 0;

    for (int i = 0; i < count; i++)
        if (in_effect(&rows[i], 0, at_us) && rows[i].from_us > latest)
            latest = rows[i].from_us;
    return latest;
}

/* Of the rows of one name, the one in effect. */
static const struct pk_price *row_of(const struct pk_prices *prices, const struct name *n,
                                     int64_t input_tokens, int64_t at_us)
{
    const struct pk_price *best = NULL;
    int count = 0;

    if (prices->count == 0)
        return NULL;
    int first = first_row(prices, n);
    const struct pk_price *rows = prices->rows + first;
    while (first + count < prices->count && is_named(&rows[count], n))
        count++;
    int64_t since_us = since(rows, count, at_us);
    for (int i = 0; i < count; i++)
        if (rows[i].from_us >= since_us && in_effect(&rows[i], input_tokens, at_us) &&
            (!best || supersedes(&rows[i], best)))
            best = &rows[i];
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

static int64_t half(int64_t pusd)
{
    return pusd < 0 ? -1 : pusd / 2;
}

/* All providers that have batches charge half for what they do not list. Hidden thinking is output. */
struct pk_price pk_price_batched(const struct pk_price *p)
{
    struct pk_price b = *p;

    b.input = p->input_batch >= 0 ? p->input_batch : half(p->input);
    b.cache_read = p->cache_read_batch >= 0 ? p->cache_read_batch : half(p->cache_read);
    b.cache_write = half(p->cache_write);
    b.cache_write_1h = half(p->cache_write_1h);
    b.output = p->output_batch >= 0 ? p->output_batch : half(p->output);
    b.reasoning =
        p->output_batch >= 0 && p->reasoning == p->output ? p->output_batch : half(p->reasoning);
    return b;
}

/* The price of a model for a call. */
struct asked_price {
    const struct pk_prices *prices;
    pk_str provider, model;
    int64_t at_us;
    bool batched;
};

static bool find_cost(const struct asked_price *a, const struct pk_usage *usage, int64_t *cost_pusd,
                      const char **why)
{
    int64_t input;

    *why = "the provider reported no usage";
    if (usage->source == PK_USAGE_NONE)
        return false;
    *why = "the token counts are out of range";
    if (!all_input(usage, &input))
        return false;
    const struct pk_price *p = pk_price_find(a->prices, a->provider, a->model, input, a->at_us);
    *why = "no price for this model";
    if (!p)
        return false;
    const struct pk_price price = a->batched ? pk_price_batched(p) : *p;
    const struct bucket buckets[] = {
        {usage->input, price.input, "no input price for this model"},
        {usage->cache_read, price.cache_read, "no cache read price for this model"},
        {usage->cache_write, price.cache_write, "no cache write price for this model"},
        {usage->cache_write_1h, price.cache_write_1h, "no 1 h cache write price for this model"},
        {usage->output, price.output, "no output price for this model"},
        {usage->reasoning, price.reasoning, "no reasoning price for this model"},
    };
    return add_buckets(buckets, PK_COUNT(buckets), cost_pusd, why);
}

bool pk_price_cost(const struct pk_prices *prices, pk_str provider, pk_str model,
                   const struct pk_usage *usage, int64_t at_us, int64_t *cost_pusd,
                   const char **why)
{
    const struct asked_price a = {prices, provider, model, at_us, false};

    return find_cost(&a, usage, cost_pusd, why);
}

bool pk_price_cost_batched(const struct pk_prices *prices, pk_str provider, pk_str model,
                           const struct pk_usage *usage, int64_t at_us, int64_t *cost_pusd,
                           const char **why)
{
    const struct asked_price a = {prices, provider, model, at_us, true};

    return find_cost(&a, usage, cost_pusd, why);
}

/* --- decimals ------------------------------------------------------------------------------- */

/* The digits of a number without zeros in front, and where its point is. */
struct digits {
    char at[DIGITS_MAX]; /* those behind the last place are beyond any rounding */
    int count;
    int64_t whole; /* how many of them stand before the point; negative: zeros follow it first */
};

static bool take_digit(struct digits *d, char c, bool fraction)
{
    if (c < '0' || c > '9')
        return false;
    if (d->count == 0 && c == '0') {
        d->whole -= fraction;
        return true;
    }
    if (d->count < DIGITS_MAX)
        d->at[d->count++] = c;
    d->whole += !fraction;
    return true;
}

/* "-07" behind the e; what is beyond EXPONENT_MAX is none. */
static bool take_exponent(pk_str text, int64_t *exponent)
{
    bool minus = pk_str_starts(text, "-");

    if (minus || pk_str_starts(text, "+"))
        text = pk_str_sub(text, 1, text.len);
    *exponent = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || *exponent > EXPONENT_MAX)
            return false;
        *exponent = *exponent * 10 + (text.at[i] - '0');
    }
    if (text.len == 0 || *exponent > EXPONENT_MAX)
        return false;
    *exponent = minus ? -*exponent : *exponent;
    return true;
}

static bool read_digits(pk_str text, struct digits *d)
{
    bool fraction = false, any = false;
    int64_t exponent = 0;
    size_t i = 0;

    *d = (struct digits){.count = 0};
    for (; i < text.len && text.at[i] != 'e' && text.at[i] != 'E'; i++) {
        if (text.at[i] == '.' && any && !fraction) {
            fraction = true;
            any = false; /* a digit must follow */
            continue;
        }
        if (!take_digit(d, text.at[i], fraction))
            return false;
        any = true;
    }
    if (i < text.len && !take_exponent(pk_str_sub(text, i + 1, text.len), &exponent))
        return false;
    d->whole += exponent;
    return any;
}

bool pk_price_decimal(pk_str text, int places, int64_t *out)
{
    struct digits d;
    int64_t n = 0;

    if (!read_digits(text, &d))
        return false;
    *out = 0;
    if (d.count == 0)
        return true;
    d.whole += places;
    for (int64_t i = 0; i < d.whole; i++)
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, i < d.count ? d.at[i] - '0' : 0, &n))
            return false;
    bool up = d.whole >= 0 && d.whole < d.count && d.at[d.whole] >= '5';
    return !__builtin_add_overflow(n, up, out) && *out > 0;
}

bool pk_usd_parse(pk_str text, int64_t *pusd)
{
    return pk_price_decimal(text, USD_PLACES, pusd);
}

void pk_price_print(struct pk_buf *out, int64_t pusd)
{
    const int64_t one = 1000000; /* a dollar per million tokens is so many pico-dollars a token */

    pk_buf_addf(out, "%lld.%06lld", (long long)(pusd / one), (long long)(pusd % one));
    while (out->len && out->at[out->len - 1] == '0')
        out->len--;
    if (out->len && out->at[out->len - 1] == '.')
        out->len--;
}

/* Whether some row is of that provider; *next is behind the last of them. */
static bool has_provider(const struct pk_prices *prices, pk_str provider, int *next)
{
    struct name n = {provider, PK_NONE, PK_NONE};
    int i = lower_bound(prices, &n);

    for (*next = i; *next < prices->count && pk_str_eq(prices->rows[*next].provider, provider);)
        ++*next;
    return *next > i;
}

/* Of the providers that are in no table of ours, but have prices. */
static pk_str other_provider(const struct pk_prices *prices, pk_str model, int64_t input,
                             int64_t now_us)
{
    for (int i = 0; i < prices->count;) {
        pk_str provider = prices->rows[i].provider;

        if (pk_price_find(prices, provider, model, input, now_us))
            return provider;
        (void)has_provider(prices, provider, &i);
    }
    return PK_NONE;
}

pk_str pk_price_provider(const struct pk_prices *prices, pk_str *model, int64_t input,
                         int64_t now_us)
{
    int slash = pk_str_find(*model, '/'), next;
    pk_str first = pk_str_sub(*model, 0, slash < 0 ? 0 : (size_t)slash);
    const struct pk_provider *p;

    if (first.len && (pk_provider_find(first) || has_provider(prices, first, &next))) {
        *model = pk_str_sub(*model, first.len + 1, model->len);
        return first;
    }
    for (int i = 0; (p = pk_provider_at(i)) != NULL; i++)
        if (pk_price_find(prices, pk_str_of(p->name), *model, input, now_us))
            return pk_str_of(p->name);
    return other_provider(prices, *model, input, now_us);
}
