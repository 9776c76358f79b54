/* answer.h - from a whole HTTP request to the bytes that answer it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_ANSWER_H
#define MOCK_ANSWER_H

#include "ask.h"
#include "reply.h"

/* `headers` are "name: value\n" lines with names in lower case. */
void answer(const char *method, const char *path, const struct text *headers,
            const struct text *body, int64_t at_ms, struct wire *w);

/* What a request like `path` and `body` would be answered, in `r`; `user` is what the user says in it. */
void answer_line(const char *path, const struct text *headers, const struct text *body,
                 struct reply *r, struct text *user);

#endif
