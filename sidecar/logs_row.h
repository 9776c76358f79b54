/* logs_row.h - a call of the log, as the control APIs show it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One flat object: the columns of pk_logs, and behind them the same under Portkey's names. Request and response
 * are not among them: they may be large, may not have been kept, and are printed by pkd_log_payload().
 */
#ifndef PKD_LOGS_ROW_H
#define PKD_LOGS_ROW_H

#include "cell.h"
#include "errand.h"

/* The columns of the part "log_columns". */
enum pkd_log_column {
    PKD_L_id,
    PKD_L_trace_id,
    PKD_L_span_id,
    PKD_L_parent_span_id,
    PKD_L_span_name,
    PKD_L_started_us,
    PKD_L_operation,
    PKD_L_provider,
    PKD_L_request_model,
    PKD_L_model,
    PKD_L_config,
    PKD_L_target_path,
    PKD_L_attempts,
    PKD_L_retries,
    PKD_L_fallback_index,
    PKD_L_stream,
    PKD_L_status,
    PKD_L_http_status,
    PKD_L_error_type,
    PKD_L_error_message,
    PKD_L_finish_reason,
    PKD_L_input_tokens,
    PKD_L_output_tokens,
    PKD_L_cache_read_tokens,
    PKD_L_cache_write_tokens,
    PKD_L_reasoning_tokens,
    PKD_L_usage_source,
    PKD_L_cost_pusd,
    PKD_L_cost_reason,
    PKD_L_cost_saved_pusd,
    PKD_L_cache_status,
    PKD_L_cache_similarity,
    PKD_L_virtual_key,
    PKD_L_api_key,
    PKD_L_user_id,
    PKD_L_prompt,
    PKD_L_guardrail_verdict,
    PKD_L_duration_us,
    PKD_L_ttft_us,
    PKD_L_overhead_us,
    PKD_L_metadata,
    PKD_L_source,
    PKD_L_query_id,
    PKD_L_dropped,
    PKD_L_is_success,
    PKD_L_inputs,
    PKD_L_outputs,
    PKD_L_units,
    PKD_L_request_encoding, /* then its place, then its bytes */
    PKD_L_response_encoding = PKD_L_request_encoding + 3,
    PKD_LOG_COLUMNS = PKD_L_response_encoding + 3
};

/* Ends with a cell without a name. */
extern const struct pkd_cell pkd_log_cells[];

/* The payload whose encoding is in column `at`, which is JSON; empty when it was not kept. It is in `room`, which is
 * emptied first, or in the row. */
bool pkd_log_payload(struct pk_store *s, const struct pk_value *row, int at, struct pk_buf *room,
                     pk_str *text, struct pk_error *err) PK_MUST_CHECK;

#endif
