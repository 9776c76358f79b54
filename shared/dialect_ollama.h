/* dialect_ollama.h - what the files of Ollama's own dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_OLLAMA_H
#define PK_DIALECT_OLLAMA_H

#include "dialect_make.h"

/* dialect_ollama_request.c: the body of /api/chat. */
bool pk_ollama_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                       struct pk_error *err);

#endif
