/* memo.h - what the functions of one statement have answered, for when SQLite asks the same again.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A table may hold equal prompts, and SQLite evaluates an expression of a subquery once for each place that uses it.
 * When there is too much to remember, all of it is forgotten.
 */
#ifndef PK_MEMO_H
#define PK_MEMO_H

#include "value.h"

enum { PK_MEMO_BYTES_MAX = 64 << 20, PK_MEMO_VALUES_MAX = 1 << 18 };

/* A value that a function gave; of floats the bytes. */
struct pk_value_kept {
    enum pk_heard kind;
    pk_str bytes;
};

struct pk_memo;

struct pk_memo *pk_memo_new(void); /* NULL: no memory */
void pk_memo_free(struct pk_memo *m);
/* NULL: it is not known. Valid until the next put. */
const struct pk_value_kept *pk_memo_get(const struct pk_memo *m, pk_str question);
/* Copies both; without memory nothing is kept. */
void pk_memo_put(struct pk_memo *m, pk_str question, const struct pk_value_kept *value);

#endif
