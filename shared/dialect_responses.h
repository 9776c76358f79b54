/* dialect_responses.h - what the files of the Responses API's dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_RESPONSES_H
#define PK_DIALECT_RESPONSES_H

#include "dialect.h"

/* The member of a custom tool's arguments that its input stands in, where the provider has functions only. */
#define PK_RESPONSES_INPUT "input"

/* dialect_responses_pivot.c: the body of a chat completion for a Responses request's. */
bool pk_responses_pivot(const struct pk_json *body, const struct pk_pivot *to,
                        struct pk_error *err);

/* dialect_responses_print.c: as the front of a provider without that API. */
void pk_responses_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out);
void pk_responses_print_answer(const struct pk_stream *s, struct pk_buf *out);

/* dialect_responses_replay.c: a complete Response as the events of a stream. */
bool pk_responses_replay(const struct pk_json *answer, bool with_usage, struct pk_buf *out);

#endif
