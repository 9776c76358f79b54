/* fn_pure.c - functions without a network: pk_cost, pk_count_tokens, pk_payload_text and pk_version.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pk_pg.h"

#include "tokens.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#define TOKENS_MAX ((int64_t)1 << 50)

static int64_t tokens(FunctionCallInfo fcinfo, int arg, const char *name)
{
    struct pk_error err;
    int64_t count = PG_ARGISNULL(arg) ? 0 : PG_GETARG_INT64(arg);

    if (count < 0 || count > TOKENS_MAX) {
        (void)pk_fail(&err, PK_BAD_REQUEST, "%s: must be 0..2^50", name);
        pk_throw(&err, PK_NONE, NULL);
    }
    return count;
}

static Datum usd(int64_t pusd)
{
    char text[32];

    pk_usd_print(pusd, text);
    return DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid),
                               Int32GetDatum(-1));
}

static const struct pk_prices *prices_now(FunctionCallInfo fcinfo)
{
    struct pk_store *s = pk_store_spi(pk_home_of(fcinfo), PK_READ);
    struct pk_error err;
    const struct pk_prices *prices = pk_resolver_prices(pk_backend_resolver(), s, &err);

    pk_store_spi_check(s);
    if (!prices)
        pk_throw(&err, PK_NONE, NULL);
    return prices;
}

/* Dollars by the prices in force; NULL when they are not known. `cached` tokens come on top of
 * input_tokens, as the columns of pk_logs count them. */
PK_FUNCTION(pk_sql_cost);
Datum pk_sql_cost(PG_FUNCTION_ARGS)
{
    int64_t now = pk_clock_us(), pusd;
    const char *why;

    if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2))
        PG_RETURN_NULL();
    pk_str model = pk_arg_text(fcinfo, 0);
    struct pk_usage usage = {
        .source = PK_USAGE_PROVIDER,
        .input = tokens(fcinfo, 1, "input_tokens"),
        .output = tokens(fcinfo, 2, "output_tokens"),
        .cache_read = tokens(fcinfo, 3, "cached"),
    };
    const struct pk_prices *prices = prices_now(fcinfo);
    pk_str provider = pk_price_provider(prices, &model, usage.input + usage.cache_read, now);
    if (!pk_price_cost(prices, provider, model, &usage, now, &pusd, &why))
        PG_RETURN_NULL();
    return usd(pusd);
}

/* About how many tokens the text is to the model, as tokens.h has it. STRICT. */
PK_FUNCTION(pk_sql_count_tokens);
Datum pk_sql_count_tokens(PG_FUNCTION_ARGS)
{
    enum pk_family family = pk_tokens_family(pk_arg_text(fcinfo, 0));

    PG_RETURN_INT64(pk_tokens_count(family, pk_arg_text(fcinfo, 1)));
}

/* A payload as it was before the store packed it; for the views. */
PK_FUNCTION(pk_sql_payload_text);
Datum pk_sql_payload_text(PG_FUNCTION_ARGS)
{
    static struct pk_packer *packer; /* of this backend: many rows refer to one pack */
    struct pk_buf out = pk_buf_in(pk_arena_here(), PK_STREAM_BYTES_MAX);
    const struct pk_stored stored = {PG_GETARG_INT16(0),
                                     PG_NARGS() > 2 && !PG_ARGISNULL(2) ? PG_GETARG_INT64(2) : 0,
                                     pk_arg_text(fcinfo, 1)};
    struct pk_error err;
    pk_str text;

    if (!pk_payload_unpack(&packer, &stored, &out, &text, &err))
        pk_throw(&err, PK_NONE, NULL);
    if (text.len == 0) /* erased from a pack */
        PG_RETURN_NULL();
    return pk_text_datum(text);
}

PK_FUNCTION(pk_sql_version);
Datum pk_sql_version(PG_FUNCTION_ARGS)
{
    return CStringGetTextDatum(PK_VERSION);
}
