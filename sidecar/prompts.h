/* prompts.h - /v1/prompts: calls through stored prompts, in Portkey's shapes.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_PROMPTS_H
#define PKD_PROMPTS_H

#include "ask.h"
#include "thread.h"

/* The "{ref}" of /v1/prompts/{ref}/..., unescaped; empty when it is no reference. */
pk_str pkd_prompt_ref(struct pk_arena *arena, const struct pkd_request *req);

/* Makes the request of {"variables": {...}, "stream", and parameters over the prompt's}. *reference is the
 * prompt; afterwards what pk_resolve() is to look for: what headers or the model name, as in
 * pkd_ask_reference(), else the prompt's own. A header config that names no target is completed with the
 * prompt's virtual key. */
bool pkd_prompt_request(struct pk_arena *arena, struct pk_store *store, const struct pkd_ask *ask,
                        struct pk_request *req, pk_str *reference,
                        struct pk_error *err) PK_MUST_CHECK;

/* Answers {"success":true,"data":{what would be sent}}. Uses t->scratch. */
void pkd_prompt_render(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

#endif
