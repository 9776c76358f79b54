/* dialect_cohere.h - what the files of Cohere's dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_COHERE_H
#define PK_DIALECT_COHERE_H

#include "dialect_make.h"

/* dialect_cohere_request.c: the body of v2/chat. */
bool pk_cohere_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err);

#endif
