/* batch.h - batches of requests: OpenAI's and Anthropic's.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_BATCH_H
#define MOCK_BATCH_H

#include "dialect.h"

/* Answers a request for what follows /batches in its path. */
void batch_answer(const struct ask *a, const char *rest, struct reply *r);
/* The mock's own page about them. */
void batch_page(const struct ask *a, struct reply *r);
void batch_reset(void);
/* How long "upload" or "read" is to take. */
int64_t batch_wait(const char *what);

#endif
