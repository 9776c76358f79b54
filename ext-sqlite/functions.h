/* functions.h - the SQL functions, for the table in pk_sqlite.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What each takes and gives is said where it is defined. All have a struct pk_conn as user data.
 */
#ifndef PK_FUNCTIONS_H
#define PK_FUNCTIONS_H

#include "value.h"

typedef void pk_function(sqlite3_context *ctx, int count, sqlite3_value **values);

/* What most functions are: a body that gives its value to `ctx` (none: NULL) or fills *err. */
typedef bool pk_body(struct pk_conn *c, struct pk_arena *arena, struct pk_args args,
                     sqlite3_context *ctx, struct pk_error *err);
/* Runs it with an arena and an open store. NULL when one of the first `required` arguments is. fn_admin.c */
void pk_with_conn(sqlite3_context *ctx, struct pk_args args, int required, pk_body *body);
/* Defines pk_fn_NAME(), which is the body of that name run so. */
#define PK_WITH_CONN(name, required)                                                               \
    void pk_fn_##name(sqlite3_context *ctx, int count, sqlite3_value **values)                     \
    {                                                                                              \
        pk_with_conn(ctx, (struct pk_args){values, count}, required, name);                        \
    }

pk_function pk_fn_chat, pk_fn_ask, pk_fn_try_chat, pk_fn_prompt, pk_fn_replay; /* fn_chat.c */
pk_function pk_fn_embed, pk_fn_moderate;

pk_function pk_fn_json, pk_fn_extract, pk_fn_classify, pk_fn_filter, pk_fn_score; /* fn_typed.c */
pk_function pk_fn_messages;

pk_function pk_fn_reduce_step; /* fn_reduce.c */
void pk_fn_reduce_final(sqlite3_context *ctx);

pk_function pk_fn_prompt_put, pk_fn_prompt_publish, pk_fn_prompt_get; /* fn_prompt.c */
pk_function pk_fn_prompt_delete, pk_fn_render;

pk_function pk_fn_config_put, pk_fn_config_get, pk_fn_config_delete; /* fn_admin.c */
pk_function pk_fn_key_put, pk_fn_key_rotate, pk_fn_key_revoke;
pk_function pk_fn_feedback, pk_fn_cache_purge, pk_fn_flush, pk_fn_health, pk_fn_set, pk_fn_get;

pk_function pk_fn_guardrail_put, pk_fn_guardrail_get, pk_fn_guardrail_delete; /* fn_guard.c */

pk_function pk_fn_provider_put, pk_fn_provider_get, pk_fn_provider_delete; /* fn_provider.c */
pk_function pk_fn_provider_table; /* what the store's views are written with; the next in conn.c */
pk_function pk_fn_payload_text;

pk_function pk_fn_limit_put, pk_fn_limit_delete; /* fn_limit.c */
pk_function pk_fn_api_key_create, pk_fn_api_key_rotate, pk_fn_api_key_revoke;

pk_function pk_fn_enqueue, pk_fn_enqueue_query, pk_fn_job_status; /* fn_queue.c */
pk_function pk_fn_cancel, pk_fn_retry, pk_fn_wait;

pk_function pk_fn_retention_run; /* fn_retention.c */
pk_function pk_fn_logs_erase;    /* fn_erase.c */

pk_function pk_fn_price_import; /* fn_price.c */

pk_function pk_fn_prefetch, pk_fn_content_hash; /* fn_cost.c */

pk_function pk_fn_cost, pk_fn_count_tokens, pk_fn_version; /* fn_pure.c */

/* The relations as read-only virtual tables, vtab.c. An SQLite result code. */
int pk_vtab_register(struct pk_conn *c);
/* pk_estimate, vtab_estimate.c. */
int pk_vtab_estimate_register(struct pk_conn *c);
/* pk_map and pk_batch, vtab_map.c. */
int pk_vtab_map_register(struct pk_conn *c);
/* pk_collect, vtab_job.c. */
int pk_vtab_job_register(struct pk_conn *c);

#endif
