/* dialect_openai.h - what the files of the OpenAI dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_OPENAI_H
#define PK_DIALECT_OPENAI_H

#include "dialect.h"

/* dialect_openai_print.c: as the front. */
void pk_openai_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out);
void pk_openai_print_answer(const struct pk_stream *s, struct pk_buf *out);
void pk_openai_print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out);
bool pk_openai_replay(const struct pk_json *doc, bool with_usage, struct pk_buf *out);

#endif
