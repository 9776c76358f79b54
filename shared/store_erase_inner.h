/* store_erase_inner.h - what the files that erase share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_ERASE_INNER_H
#define PK_STORE_ERASE_INNER_H

#include "store_erase_text.h"
#include "store_value.h"

#include <string.h>

/* A call that was found. */
struct pk_erase_call {
    uint8_t id[PK_UUID_BYTES];
    int64_t places[2];
};

struct pk_erasure {
    struct pk_erase_filter filter;
    bool dry;
    int64_t began_us;
    int stage;
    uint8_t after[PK_UUID_BYTES];        /* the last row that was looked at */
    uint8_t looked_upto[PK_UUID_BYTES];  /* the same for calls, round after round */
    uint8_t end[PK_UUID_BYTES];          /* calls from here on come later */
    int64_t first_hour_us, last_hour_us; /* that something went from; 0: none */
    int rows;                            /* calls that a step deletes */
    bool ended, deleted;                 /* the log is at its end; the last step deleted calls */
    struct pk_erase_call *found;
    int count, next; /* found ones; the first that is not deleted */
    struct pk_erase_texts texts;
    struct pk_erased counts;
};

/* One step. The arena is the stage's own. */
struct pk_erase_step {
    struct pk_store *store;
    struct pk_erasure *e;
    struct pk_arena arena;
    struct pk_error *err;
};

/* Counts the rows that a statement returns; `rows` may be NULL. */
bool pk_erase_exec(const struct pk_erase_step *st, enum pk_stmt stmt, const struct pk_value *args,
                   int count, int64_t *rows);
/* Ends a transaction: what a dry one did is undone. */
bool pk_erase_end(const struct pk_erase_step *st, bool ok);

/* Copies the id that is the first column to ctx. */
static inline bool pk_erase_read_id(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    PK_ASSERT(columns[0].s.len == PK_UUID_BYTES);
    memcpy(ctx, columns[0].s.at, PK_UUID_BYTES);
    return true;
}

/* Stages (store_erase_rest.c): *done when there is nothing left. */
bool pk_erase_feedback(const struct pk_erase_step *st, bool *done);
bool pk_erase_jobs(const struct pk_erase_step *st, bool *done);
bool pk_erase_limits(const struct pk_erase_step *st, bool *done);

#endif
