/* result.h - what pk_map() and pk_batch() say of one call that is over.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_RESULT_H
#define PK_RESULT_H

#include "batch.h"
#include "call.h"

/* Fills *out with copies in `arena`; the call may go. `body` is the client's answer. */
void pk_result_of_call(struct pk_arena *arena, const struct pk_call *call, pk_str body,
                       struct pk_result *out);
/* A row that no call was made for, because of what is wrong with it. */
void pk_result_of_error(struct pk_arena *arena, const struct pk_error *err, struct pk_result *out);

/* Why a result that is none failed; of one without text, that. */
void pk_result_why(const struct pk_result *r, struct pk_error *err);

#endif
