/* fn_pure.c - functions without a network: pk_cost, pk_count_tokens and pk_version.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "price.h"
#include "provider.h"
#include "tokens.h"
#include "value.h"

#define TOKENS_MAX ((int64_t)1 << 50)

static bool read_count(struct pk_args args, int i, const char *name, int64_t *out,
                       struct pk_error *err)
{
    bool given;

    return pk_arg_int(args, i, name, out, &given, err) &&
           ((*out >= 0 && *out <= TOKENS_MAX) ||
            pk_fail(err, PK_BAD_REQUEST, "%s: must be 0..2^50", name));
}

static bool cost(struct pk_conn *c, struct pk_args args, sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_usage usage = {.source = PK_USAGE_PROVIDER};
    int64_t now = pk_clock_us(), pusd;
    const char *why;
    pk_str model;

    if (!pk_arg_text(args, 0, "model", PK_SLUG_BYTES_MAX, &model, err) ||
        !read_count(args, 1, "input_tokens", &usage.input, err) ||
        !read_count(args, 2, "output_tokens", &usage.output, err) ||
        !read_count(args, 3, "cached", &usage.cache_read, err) || !pk_conn_ready(c, err))
        return false;
    const struct pk_prices *prices = pk_resolver_prices(c->resolver, c->store, err);
    if (!prices)
        return false;
    pk_str provider = pk_price_provider(prices, &model, usage.input + usage.cache_read, now);
    if (pk_price_cost(prices, provider, model, &usage, now, &pusd, &why))
        sqlite3_result_double(ctx, (double)pusd / 1e12);
    return true;
}

/* Dollars by the prices in force; NULL when they are not known. `cached` tokens come on top of
 * input_tokens, as the columns of pk_logs count them. */
void pk_fn_cost(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_args args = {values, count};
    struct pk_error err;

    if (pk_args_null(args, 3))
        return;
    c->busy++;
    if (!cost(c, args, ctx, &err))
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
}

/* pk_count_tokens(model, text): about how many tokens the text is to the model, as tokens.h has it. */
void pk_fn_count_tokens(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_args args = {values, count};
    struct pk_error err;
    pk_str model, text;

    if (pk_args_null(args, 2))
        return;
    if (pk_arg_text(args, 0, "model", PK_SLUG_BYTES_MAX, &model, &err) &&
        pk_arg_text(args, 1, "text", PK_STREAM_BYTES_MAX, &text, &err))
        sqlite3_result_int64(ctx, pk_tokens_count(pk_tokens_family(model), text));
    else
        pk_result_error(ctx, &err, PK_NONE);
}

void pk_fn_version(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    (void)count;
    (void)values;
    pk_result_text(ctx, PK_STR(PK_VERSION));
}
