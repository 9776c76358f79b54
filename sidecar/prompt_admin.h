/* prompt_admin.h - /v1/prompts and /v1/prompts/partials: the administration of prompts, in Portkey's shapes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An id is the slug, the id of a version is "slug@3". Lists are {"object":"list","total":n,"data":[...]}, which
 * Portkey's SDKs read everywhere. The store is written by the serving thread: that waits for the log
 * writer's transaction at most, and prompts are changed rarely.
 */
#ifndef PKD_PROMPT_ADMIN_H
#define PKD_PROMPT_ADMIN_H

#include "thread.h"

enum pkd_prompt_verb {
    PKD_PROMPT_create,
    PKD_PROMPT_list,
    PKD_PROMPT_get,
    PKD_PROMPT_update,
    PKD_PROMPT_delete,
    PKD_PROMPT_publish,
    PKD_PROMPT_versions,
    PKD_PROMPT_label,
};

/* Answers `req`, whose path says prompt or partial, slug and version. Uses t->scratch. */
void pkd_prompt_admin(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                      enum pkd_prompt_verb verb);

#endif
