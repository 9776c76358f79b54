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

/* Keeps a file; its number. */
int shelf_keep(const char *name, const char *purpose, const char *at, size_t len);
/* The bytes of "file-N"; NULL: there is none. */
const struct text *shelf_file(const char *id);
/* The number behind `prefix` at the front of `path`, of `count`; *rest is what follows. -1: none. */
int shelf_id(const char *path, const char *prefix, int count, const char **rest);

#endif
