/* hours.h - the calls that a filter lets through, in blocks, at little cost however many there are.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows of the log are read where they must be: what filters blocks do not know (sieve.h), the ends of a range, the hour
 * that is not over. Of other hours the columns that are needed are read instead (pk_log_column), which is a hundredth of
 * the bytes. They are kept when an hour is first read, and again when its calls are no longer the same ones.
 *
 *   range     ----[------------------------------------)
 *   hours       |     |     |     |     |     |     |
 *               rows  columns ................  rows
 *
 * Columns that turn out to be damaged are dropped, and everything is read once more.
 *
 * Whether they are the same is looked at in the statement that reads the columns: as many ids, and the same first one.
 * So nobody who writes or deletes calls must know of this, nor may two who keep the same hour at once do harm.
 */
#ifndef PKD_HOURS_H
#define PKD_HOURS_H

#include "block.h"
#include "errand.h"
#include "logs_filter.h"

/* Is given each block, with the wanted calls picked. False: no memory. */
typedef bool pkd_block_fn(void *ctx, struct pkd_block *b);

struct pkd_hours {
    unsigned needs; /* columns: PKD_C(x) | ... */
    pk_str member;  /* of the metadata: b->group is its number; empty: none */
    bool (*begin)(
        void *ctx); /* before the first block: what came before does not count. False: no memory */
    pkd_block_fn *on_block;
    void *ctx;
};

/* Each call once, as it is at some moment of the reading. */
bool pkd_hours_read(struct pkd_errand *e, const struct pkd_filter *f, const struct pkd_hours *what,
                    struct pk_error *err) PK_MUST_CHECK;

#endif
