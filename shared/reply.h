/* reply.h - what the SQL doors return for a call that is over.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_REPLY_H
#define PK_REPLY_H

#include "call.h"

/* The OpenAI-shaped answer `body`, which *doc borrows: PK_BAD_ANSWER when it is no object. */
bool pk_reply_read(struct pk_arena *arena, pk_str body, struct pk_json *doc,
                   struct pk_error *err) PK_MUST_CHECK;

/* The answer with a member "pk" {trace_id, provider, model, cost_usd, cache_status,
 * attempts, latency_ms} spliced in; for pk_chat. */
bool pk_reply_chat(struct pk_arena *arena, const struct pk_record *r, const struct pk_json *doc,
                   pk_str *out, struct pk_error *err) PK_MUST_CHECK;

/* The text of choices[0].message.content; *is_null when there is none (a tool call). For pk_ask. */
bool pk_reply_text(struct pk_arena *arena, const struct pk_json *doc, pk_str *out, bool *is_null,
                   struct pk_error *err) PK_MUST_CHECK;

/* The numbers of data[0].embedding; `request` is the body that was answered: PK_BAD_ANSWER when it asked for
 * another number of dimensions. For pk_embed. */
bool pk_reply_vector(struct pk_arena *arena, pk_str request, pk_str body, float **at, int *dims,
                     struct pk_error *err) PK_MUST_CHECK;

/* {"flagged", "categories", "scores"} of results[0]; for pk_moderate. */
bool pk_reply_verdict(struct pk_arena *arena, pk_str body, pk_str *out,
                      struct pk_error *err) PK_MUST_CHECK;

/* {ok, response, error{code,type,message,http_status,retryable}, usage, trace_id}; for pk_try_chat.
 * `e` is PK_OK for a success; `body` is then the answer, else the error's document, or empty: when guardrails ran,
 * what they said of the call is passed on as hook_results. */
bool pk_reply_try(struct pk_arena *arena, const struct pk_record *r, const struct pk_error *e,
                  pk_str body, pk_str *out, struct pk_error *err) PK_MUST_CHECK;

#endif
