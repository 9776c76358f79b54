/* price.h - what tokens cost. Money is int64 pico-USD (1e-12 dollars), never a double.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A price list is a snapshot that the host loads from the store (pk_prices) and shares
 * among calls. The list that pk ships is sql/prices.csv; the store is seeded with it.
 */
#ifndef PK_PRICE_H
#define PK_PRICE_H

#include "buf.h"
#include "usage.h"

/* pico-USD a token; -1 = not known, and a call that used such tokens has no known cost. */
struct pk_price {
    pk_str provider; /* providers.def name */
    pk_str model;    /* exact, or a prefix of PK_SLUG_BYTES_MAX that ends in '*' */
    int64_t input, cache_read, cache_write, cache_write_1h, output, reasoning;
    int64_t above_tokens;   /* applies when all input tokens exceed this; 0 = the base tier */
    int64_t from_us, to_us; /* in effect in [from, to); to 0 = still */
    int64_t max_output;     /* tokens that the model gives at most; 0 = not known */
    int64_t context_window; /* and takes at most; 0 = not known */
    int64_t input_batch, cache_read_batch, output_batch; /* through the provider's batch API */
};

struct pk_prices {
    const struct pk_price *rows; /* as pk_price_sort() leaves them */
    int count;
    const int *
        slots; /* of pk_prices_index(): where the rows of a name begin, or -1; NULL: there is none */
    size_t slot_count; /* a power of two */
};

/* By provider, then by model. */
void pk_price_sort(struct pk_price *rows, int count);
/* So that a name is found at once in a long list; it is searched for otherwise. */
void pk_prices_index(struct pk_arena *arena, struct pk_prices *prices);

/* The row in effect: exact model before the longest prefix; of those that are not older than its base tier in
 * effect the highest tier that input_tokens reaches; NULL when there is none. */
const struct pk_price *pk_price_find(const struct pk_prices *prices, pk_str provider, pk_str model,
                                     int64_t input_tokens, int64_t at_us);

/* False, with *why for people, when a bucket that was used has no price, or the sum overflows. */
bool pk_price_cost(const struct pk_prices *prices, pk_str provider, pk_str model,
                   const struct pk_usage *usage, int64_t at_us, int64_t *cost_pusd,
                   const char **why);

/* The price through the provider's batch API: half of the usual one where no other is known. */
struct pk_price pk_price_batched(const struct pk_price *p);
/* The same at that price. */
bool pk_price_cost_batched(const struct pk_prices *prices, pk_str provider, pk_str model,
                           const struct pk_usage *usage, int64_t at_us, int64_t *cost_pusd,
                           const char **why);

/* Whose price pk_cost() means: "openai/gpt-4o" names the provider, and loses the prefix; otherwise the
 * first provider that has a price for the model; empty when none has. */
pk_str pk_price_provider(const struct pk_prices *prices, pk_str *model, int64_t input,
                         int64_t now_us);

/* A decimal number as it is written in JSON ("2.50", "1.5e-07") times 10^places, to the nearest integer: no
 * double is on the way, and what others computed with doubles (7.499999999999999e-08) is what they meant.
 * False when it is no such number, negative, out of range, or not 0 but would become 0. */
bool pk_price_decimal(pk_str text, int places, int64_t *out);

/* Dollars as pico-dollars; the same. */
bool pk_usd_parse(pk_str text, int64_t *pusd);

/* pico-USD a token as dollars per million tokens, exactly: "0.075". */
void pk_price_print(struct pk_buf *out, int64_t pusd);

#endif
