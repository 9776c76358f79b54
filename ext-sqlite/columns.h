/* columns.h - the columns of a call that is over, as pk_map(), pk_batch() and pk_collect() have them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_COLUMNS_H
#define PK_COLUMNS_H

#include "batch.h"
#include "value.h"

#define PK_COLUMN_TYPES                                                                            \
    "ord integer, key, content text, response text, ok integer, error_code text, "                 \
    "error_message text, retryable integer, http_status integer, provider text, model text, "      \
    "input_tokens integer, output_tokens integer, cost_usd real, latency_ms real, "                \
    "attempts integer, cache_status text, trace_id text"

enum { PK_COLUMNS = 18 }; /* of them; a table's hidden ones follow */

struct pk_row {
    int64_t ord;
    bool has_key, key_is_int;
    pk_str key;
    const struct pk_result *result;
};

/* The value of column `i`. */
void pk_column_give(sqlite3_context *ctx, int i, const struct pk_row *row);

#endif
