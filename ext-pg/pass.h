/* pass.h - work in transactions of its own: one after the other, by a worker.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Include pk_pg.h first.
 */
#ifndef PK_PASS_H
#define PK_PASS_H

#include "storage/dsm.h"

/* Does something with the store; false when it did not work, or is not to be kept. */
typedef bool pk_transact_fn(void *ctx, struct pk_store *s, struct pk_error *err);

/* In a worker: `work` in a transaction of its own, which is kept when it returns true. False with *err when there is no
 * extension, too. What it allocates goes with the transaction; the caller's memory context stays. */
bool pk_transact(enum pk_access access, pk_transact_fn *work, void *ctx, struct pk_error *err);

/* What a function asks a worker for; it is at the begin of what the two share. */
struct pk_pass {
    bool done;
    char why[256]; /* it is not done */
};

/* A function cannot commit. So it makes a segment of `size` bytes, all zero, says in it what is to be done, and has a
 * worker whose main function is `function` do it. `what`: "retention". */
dsm_segment *pk_pass_new(size_t size);
/* Returns when it is done; throws when it cannot be, with the worker's reason behind `failed`, and when
 * interrupted. */
void pk_pass_make(dsm_segment *segment, const char *what, const char *function, const char *failed);
/* All of such a main function. `run` sets pass->done, or pass->why; `activity` is what others see meanwhile. */
_Noreturn void pk_pass_main(Datum handle, const char *activity, void (*run)(struct pk_pass *pass));

#endif
