/* dialect_anthropic.h - what the files of Anthropic's dialect share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_ANTHROPIC_H
#define PK_DIALECT_ANTHROPIC_H

#include "dialect.h"

/* dialect_anthropic_request.c: the body of a Messages request for a chat completion's. */
bool pk_anthropic_request(const struct pk_json *body, struct pk_buf *out, struct pk_buf *dropped,
                          struct pk_error *err);

/* dialect_anthropic_pivot.c: the other way round. */
bool pk_anthropic_pivot(const struct pk_json *body, const struct pk_pivot *to,
                        struct pk_error *err);

/* dialect_anthropic_turns.c: its messages, and the end of a part or tool with what it says of caching. */
struct pk_maker;
bool pk_anthropic_turns(struct pk_maker *m);
void pk_anthropic_close_part(struct pk_maker *m, int block);

/* dialect_anthropic_tidy.c: a body of its own clients, without what only other providers gave them. */
bool pk_anthropic_wants_tidying(pk_str body); /* it may hold some of that */
void pk_anthropic_tidy(const struct pk_json *body, struct pk_buf *out);

/* dialect_anthropic.c: the message that a stream of Anthropic's own events makes. */
void pk_anthropic_assembled(const struct pk_stream *s, struct pk_buf *out);

/* dialect_anthropic_print.c: as the front. */
void pk_anthropic_print_delta(struct pk_stream *s, const struct pk_delta *d, struct pk_buf *out);
void pk_anthropic_print_answer(const struct pk_stream *s, struct pk_buf *out);
void pk_anthropic_print_error(const struct pk_fault *f, pk_str provider, struct pk_buf *out);
bool pk_anthropic_replay(const struct pk_json *answer, bool with_usage, struct pk_buf *out);

#endif
