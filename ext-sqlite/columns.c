/* columns.c - see columns.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "columns.h"

/* In the order of PK_COLUMN_TYPES. */
enum column {
    C_ORD,
    C_KEY,
    C_CONTENT,
    C_RESPONSE,
    C_OK,
    C_ERROR_CODE,
    C_ERROR_MESSAGE,
    C_RETRYABLE,
    C_HTTP_STATUS,
    C_PROVIDER,
    C_MODEL,
    C_INPUT_TOKENS,
    C_OUTPUT_TOKENS,
    C_COST_USD,
    C_LATENCY_MS,
    C_ATTEMPTS,
    C_CACHE_STATUS,
    C_TRACE_ID,
};

static void give_text(sqlite3_context *ctx, pk_str text)
{
    if (text.len)
        pk_result_text(ctx, text);
}

static void give_int(sqlite3_context *ctx, bool known, int64_t n)
{
    if (known)
        sqlite3_result_int64(ctx, n);
}

static void give_real(sqlite3_context *ctx, bool known, double x)
{
    if (known)
        sqlite3_result_double(ctx, x);
}

/* As the query had it. */
static void give_key(sqlite3_context *ctx, const struct pk_row *row)
{
    int64_t n;

    if (row->key_is_int && pk_str_int(row->key, &n))
        sqlite3_result_int64(ctx, n);
    else if (row->has_key)
        pk_result_text(ctx, row->key);
}

void pk_column_give(sqlite3_context *ctx, int i, const struct pk_row *row)
{
    const struct pk_result *r = row->result;

    switch ((enum column)i) {
    case C_ORD: sqlite3_result_int64(ctx, row->ord); break;
    case C_KEY: give_key(ctx, row); break;
    case C_CONTENT:
        if (r->has_content)
            pk_result_text(ctx, r->content);
        break;
    case C_RESPONSE: give_text(ctx, r->response); break;
    case C_OK: sqlite3_result_int(ctx, r->ok); break;
    case C_ERROR_CODE: give_text(ctx, pk_str_of(r->error_code)); break;
    case C_ERROR_MESSAGE: give_text(ctx, r->error_message); break;
    case C_RETRYABLE: give_int(ctx, !r->ok, r->retryable); break;
    case C_HTTP_STATUS: give_int(ctx, r->http_status != 0, r->http_status); break;
    case C_PROVIDER: give_text(ctx, r->provider); break;
    case C_MODEL: give_text(ctx, r->model); break;
    case C_INPUT_TOKENS: give_int(ctx, r->has_usage, r->input_tokens); break;
    case C_OUTPUT_TOKENS: give_int(ctx, r->has_usage, r->output_tokens); break;
    case C_COST_USD: give_real(ctx, r->cost_known, (double)r->cost_pusd / 1e12); break;
    case C_LATENCY_MS: give_real(ctx, true, (double)r->latency_us / 1e3); break;
    case C_ATTEMPTS: sqlite3_result_int(ctx, r->attempts); break;
    case C_CACHE_STATUS: give_text(ctx, r->cache_status); break;
    case C_TRACE_ID: give_text(ctx, r->trace_id); break;
    }
}
