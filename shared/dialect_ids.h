/* dialect_ids.h - the names of tool calls, for providers that take only their own kind.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_IDS_H
#define PK_DIALECT_IDS_H

#include "arena.h"
#include "base.h"

/* *body, a chat completion's, with nine letters and digits for every tool call's id, as Mistral wants them: another
 * provider's ("call_…", "toolu_…") are made into such, the same ones alike. As it is when all are. */
bool pk_dialect_short_ids(struct pk_arena *arena, pk_str *body, struct pk_error *err) PK_MUST_CHECK;

#endif
