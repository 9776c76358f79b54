/* job_equals.h - which rows of a job ask the same, found while they are enqueued.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * 16 bytes a row, whatever its length: rows are known by a hash with a key that nobody else has.
 */
#ifndef PK_JOB_EQUALS_H
#define PK_JOB_EQUALS_H

#include "arena.h"

struct pk_job_equals;

/* In `arena`, and so are rows. NULL: no memory. */
struct pk_job_equals *pk_job_equals_new(struct pk_arena *arena);

/* The number (from 1, below 2^31) of the row that asked the same first; 0: `ord` does. *first_time: no other has met it
 * before. */
int64_t pk_job_equals_meet(struct pk_job_equals *e, unsigned char kind, pk_str text, int64_t ord,
                           bool *first_time);

#endif
