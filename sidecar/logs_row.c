/* logs_row.c - see logs_row.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs_row.h"

/* clang-format off */
const struct pkd_cell pkd_log_cells[] = {
    {"id",                 PKD_L_id,                 PKD_CELL_UUID},
    {"trace_id",           PKD_L_trace_id,           PKD_CELL_TEXT},
    {"span_id",            PKD_L_span_id,            PKD_CELL_TEXT},
    {"parent_span_id",     PKD_L_parent_span_id,     PKD_CELL_TEXT},
    {"span_name",          PKD_L_span_name,          PKD_CELL_TEXT},
    {"started_at",         PKD_L_started_us,         PKD_CELL_TIME},
    {"operation",          PKD_L_operation,          PKD_CELL_TEXT},
    {"provider",           PKD_L_provider,           PKD_CELL_TEXT},
    {"request_model",      PKD_L_request_model,      PKD_CELL_TEXT},
    {"model",              PKD_L_model,              PKD_CELL_TEXT},
    {"config",             PKD_L_config,             PKD_CELL_TEXT},
    {"target_path",        PKD_L_target_path,        PKD_CELL_TEXT},
    {"attempts",           PKD_L_attempts,           PKD_CELL_INT},
    {"retries",            PKD_L_retries,            PKD_CELL_INT},
    {"fallback_index",     PKD_L_fallback_index,     PKD_CELL_INT},
    {"stream",             PKD_L_stream,             PKD_CELL_BOOL},
    {"status",             PKD_L_status,             PKD_CELL_TEXT},
    {"http_status",        PKD_L_http_status,        PKD_CELL_INT},
    {"error_type",         PKD_L_error_type,         PKD_CELL_TEXT},
    {"error_message",      PKD_L_error_message,      PKD_CELL_TEXT},
    {"finish_reason",      PKD_L_finish_reason,      PKD_CELL_TEXT},
    {"input_tokens",       PKD_L_input_tokens,       PKD_CELL_INT},
    {"output_tokens",      PKD_L_output_tokens,      PKD_CELL_INT},
    {"cache_read_tokens",  PKD_L_cache_read_tokens,  PKD_CELL_INT},
    {"cache_write_tokens", PKD_L_cache_write_tokens, PKD_CELL_INT},
    {"reasoning_tokens",   PKD_L_reasoning_tokens,   PKD_CELL_INT},
    {"usage_source",       PKD_L_usage_source,       PKD_CELL_TEXT},
    {"cost_usd",           PKD_L_cost_pusd,          PKD_CELL_USD},
    {"cost_reason",        PKD_L_cost_reason,        PKD_CELL_TEXT},
    {"cost_saved_usd",     PKD_L_cost_saved_pusd,    PKD_CELL_USD},
    {"cache_status",       PKD_L_cache_status,       PKD_CELL_TEXT},
    {"cache_similarity",   PKD_L_cache_similarity,   PKD_CELL_REAL},
    {"virtual_key",        PKD_L_virtual_key,        PKD_CELL_TEXT},
    {"api_key",            PKD_L_api_key,            PKD_CELL_TEXT},
    {"user_id",            PKD_L_user_id,            PKD_CELL_TEXT},
    {"prompt",             PKD_L_prompt,             PKD_CELL_TEXT},
    {"guardrail_verdict",  PKD_L_guardrail_verdict,  PKD_CELL_TEXT},
    {"latency_ms",         PKD_L_duration_us,        PKD_CELL_MILLI},
    {"ttft_ms",            PKD_L_ttft_us,            PKD_CELL_MILLI},
    {"overhead_ms",        PKD_L_overhead_us,        PKD_CELL_MILLI},
    {"metadata",           PKD_L_metadata,           PKD_CELL_JSON},
    {"source",             PKD_L_source,             PKD_CELL_TEXT},
    {"query_id",           PKD_L_query_id,           PKD_CELL_TEXT},
    {"dropped_params",     PKD_L_dropped,            PKD_CELL_TEXT},
    /* Portkey's names */
    {"created_at",           PKD_L_started_us,     PKD_CELL_TIME},
    {"is_success",           PKD_L_is_success,     PKD_CELL_BOOL},
    {"ai_org",               PKD_L_provider,       PKD_CELL_TEXT},
    {"ai_model",             PKD_L_model,          PKD_CELL_TEXT},
    {"req_units",            PKD_L_inputs,         PKD_CELL_INT},
    {"res_units",            PKD_L_outputs,        PKD_CELL_INT},
    {"total_units",          PKD_L_units,          PKD_CELL_INT},
    {"cost",                 PKD_L_cost_pusd,      PKD_CELL_CENTS},
    {"cost_currency",        PKD_L_cost_pusd,      PKD_CELL_CURRENCY},
    {"response_time",        PKD_L_duration_us,    PKD_CELL_MILLI},
    {"response_status_code", PKD_L_http_status,    PKD_CELL_INT},
    {"stream_mode",          PKD_L_stream,         PKD_CELL_INT},
    {"retry_success_count",  PKD_L_retries,        PKD_CELL_INT},
    {"last_used_option_index", PKD_L_fallback_index, PKD_CELL_INT},
    {"mode",                 PKD_L_operation,      PKD_CELL_TEXT},
    {"prompt_slug",          PKD_L_prompt,         PKD_CELL_TEXT},
    {0},
};
/* clang-format on */

bool pkd_log_payload(struct pk_store *s, const struct pk_value *row, int at, struct pk_buf *room,
                     pk_str *text, struct pk_error *err)
{
    const struct pk_stored stored = {row[at].i, row[at + 1].i, row[at + 2].s};

    *text = PK_NONE;
    pk_buf_reset(room);
    return row[at].type == PK_V_NULL || pk_payload_unpack(&s->packer, &stored, room, text, err);
}
