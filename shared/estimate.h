/* estimate.h - what a call may use before it is made, and what it used when nobody says.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The bound is for limits, so it errs on the high side. A token stands for at least one byte of text, so
 * the bytes of the request are enough for its input; what the bytes cannot tell (an image, a sound, a
 * file, inline or by reference) counts PK_ATTACHMENT_TOKENS. The output is what the request allows, for
 * each answer that it asks for; when it allows any, what is assumed.
 */
#ifndef PK_ESTIMATE_H
#define PK_ESTIMATE_H

#include "json.h"
#include "price.h"
#include "tokens.h"

enum {
    PK_ATTACHMENT_TOKENS = 50000, /* an image, a sound or a file */
    PK_ATTACHMENT_USUAL = 1500,   /* what it is in hindsight, when nobody says */
    PK_OUTPUT_ASSUMED = 4096,     /* output tokens of a request that sets no limit */
};

struct pk_bound {
    int64_t input, output; /* tokens */
    bool writes_cache;     /* some of the input may be written to the provider's cache */
    bool batched;          /* at the price of the provider's batch API */
};

/* The most that the request `body`, as it is sent, may use. `assumed` 0: PK_OUTPUT_ASSUMED. */
struct pk_bound pk_estimate_bound(const struct pk_json *body, int64_t assumed);

/* What that costs at most, at most PK_LIMIT_AMOUNT_MAX; false when the price is not known. */
bool pk_estimate_cost(const struct pk_prices *prices, pk_str provider, pk_str model,
                      const struct pk_bound *bound, int64_t at_us, int64_t *pusd);

/* About how many tokens all text in a request or an answer has (tokens.h); names of members count too: about
 * what a message costs besides its text. */
int64_t pk_estimate_tokens_of(struct pk_arena *arena, const struct pk_json *doc,
                              enum pk_family family);

#endif
