/* shelf.h - what OpenAI keeps between requests: files, batches, fine-tuning jobs; and /anything.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_SHELF_H
#define MOCK_SHELF_H

#include "dialect.h"

/* Answers a request for one of these; false when it is for none. */
bool shelf_answer(const struct ask *a, struct reply *r);
void shelf_reset(void);

#endif
