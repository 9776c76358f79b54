/* reduce.h - one answer about many texts, in as many steps as the model's context window makes it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   items --> prompts of a level --> answers --> prompts of the next level ... --> one prompt --> the value
 *
 * Items go into a prompt in their order, as many as fit; one that is larger than a prompt is cut into pieces. When all
 * fit, there is one prompt. Else each is answered for its own items (all of a level at once), and the answers
 * are the items of the next level. A level has fewer prompts than the one before, or the reduction fails.
 *
 * Pure: the host makes the calls.
 */
#ifndef PK_REDUCE_H
#define PK_REDUCE_H

#include "config.h"
#include "price.h"

enum {
    PK_REDUCE_BYTES_MAX = 64 << 20, /* items of one group */
    PK_REDUCE_WINDOW = 8192,        /* tokens, of a model whose context window is not known */
    PK_REDUCE_WINDOW_MIN = 256,
};

/* What call options say of a reduction. */
struct pk_reduce_options {
    pk_str params;  /* for the calls: with what is the batch's, without the rest */
    int64_t window; /* pk.window: tokens; 0: the model's */
};

/* Takes pk.window out of `params`, and checks what is left: pk.concurrency, and options of a request. */
bool pk_reduce_options_read(struct pk_arena *arena, pk_str params, struct pk_reduce_options *o,
                            struct pk_error *err) PK_MUST_CHECK;

struct pk_reduce;

/* The items are borrowed, and so are config and prices for this call: the smallest context window of its targets
 * decides, unless the options do. NULL with *err. */
struct pk_reduce *pk_reduce_new(struct pk_arena *arena, pk_str instruction, const pk_str *items,
                                int count, const struct pk_reduce_options *o,
                                struct pk_error *err) PK_MUST_CHECK;
bool pk_reduce_fit(struct pk_reduce *r, const struct pk_config *config,
                   const struct pk_prices *prices, int64_t now_us,
                   struct pk_error *err) PK_MUST_CHECK;

/* Lays out the next level: how many prompts it has. */
bool pk_reduce_level(struct pk_reduce *r, int *prompts, struct pk_error *err) PK_MUST_CHECK;
/* The messages of prompt `i` of the level, as JSON in `arena`. */
bool pk_reduce_messages(struct pk_reduce *r, int i, struct pk_arena *arena, pk_str *messages,
                        struct pk_error *err) PK_MUST_CHECK;
/* What it was answered with, which is copied; of a level of one this is the value. */
void pk_reduce_answer(struct pk_reduce *r, int i, pk_str text);
pk_str pk_reduce_value(const struct pk_reduce *r);

#endif
