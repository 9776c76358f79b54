/* prompt_admin.h - /v1/prompts and /v1/prompts/partials: the administration of prompts, in Portkey's shapes.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An id is the slug, the id of a version is "slug@3". Lists are {"object":"list","total":n,"data":[...]}, which
 * Portkey's SDKs read everywhere.  */
#ifndef PKD_PROMPT_ADMIN_H
#define PKD_PROMPT_ADMIN_H

#include "errand.h"

/* endpoints.def says which paths; each has prompt or partial, slug and version in it. */
pkd_errand_fn pkd_prompt_create, pkd_prompt_list, pkd_prompt_get, pkd_prompt_update,
    pkd_prompt_delete, pkd_prompt_publish, pkd_prompt_versions, pkd_prompt_label;

#endif
