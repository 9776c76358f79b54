/* answer.h - answers that are not a provider's: errors, small JSON documents, and the headers of a call.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_ANSWER_H
#define PKD_ANSWER_H

#include "call.h"
#include "server.h"

void pkd_answer_json(struct pkd_conn *c, int status, pk_str body);
void pkd_answer_text(struct pkd_conn *c, int status, pk_str headers, const char *text);

/* The error in the shape of `front`, memory from `arena`. */
void pkd_answer_error(struct pkd_conn *c, struct pk_arena *arena, const struct pk_dialect *front,
                      const struct pk_error *err);

/* "name: value\r\n" lines for a call's answer: what Portkey's clients read, the provider's relayed ones, and
 * ours. `elapsed_us` is the time since the request came; `done`: the record is final. Empty when memory
 * runs out. */
pk_str pkd_answer_headers(struct pk_arena *arena, const struct pk_record *r,
                          const struct pk_reply *reply, int64_t elapsed_us, bool done);

#endif
