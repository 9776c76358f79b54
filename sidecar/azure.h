/* azure.h - the paths of Azure OpenAI, which AzureOpenAI of OpenAI's SDKs asks for, as those of OpenAI.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   /openai/deployments/gpt-4o/chat/completions?api-version=...  ─▶ /v1/chat/completions, of the model gpt-4o
 *   /openai/responses?api-version=...                            ─▶ /v1/responses
 *   /openai/v1/responses                                         ─▶ /v1/responses
 *
 * All of it may stand below /v1. The version is of the client's way to pk: what a target is asked in, it says itself.
 */
#ifndef PKD_AZURE_H
#define PKD_AZURE_H

#include "form.h"

struct pkd_azure {
    pk_str path, query; /* as OpenAI has them; made in the arena */
    pk_str deployment;  /* unescaped; empty: the path has none */
};

/* False when it is no path of Azure's. */
bool pkd_azure_read(struct pk_arena *arena, pk_str path, pk_str query, struct pkd_azure *a);

/* The body, JSON or a form of this content type, with the deployment as its model; one that is neither stays. */
bool pkd_azure_body(struct pk_arena *arena, pk_str type, pk_str deployment, pk_str *body,
                    struct pk_error *err) PK_MUST_CHECK;

#endif
