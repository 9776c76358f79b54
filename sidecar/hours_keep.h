/* hours_keep.h - columns of hours (hours.h) on their way into the store, and back.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What the store has of a column is the text of it, compressed, behind four bytes that tell whether that is still what
 * was written, and of which hour.
 */
#ifndef PKD_HOURS_KEEP_H
#define PKD_HOURS_KEEP_H

#include "block.h"
#include "errand.h"

struct pkd_kept_column {
    int64_t hour_us, what;
    int part;
    struct pk_payload payload;
};

struct pkd_kept_hour {
    int64_t hour_us, calls;
    uint8_t first_id[PK_UUID_BYTES];
};

/* What is to be written. */
struct pkd_kept {
    struct pk_arena arena;
    struct pkd_kept_hour *hours;
    struct pkd_kept_column *columns;
    int hour_count, column_count;
    size_t bytes;
    /* Of the hour that is being kept. */
    int first_column;
    size_t metadata_bytes;
    bool bare;
};

void pkd_kept_init(struct pkd_kept *k);
void pkd_kept_free(struct pkd_kept *k);

/* An hour begins. */
void pkd_kept_begin(struct pkd_kept *k);
/* Its next part. False: it cannot be kept. When only its metadata cannot, that is kept as an empty text, in all parts. */
struct pkd_kept_part {
    int64_t hour_us;
    int part;
};
bool pkd_kept_block(struct pkd_kept *k, struct pk_store *s, struct pkd_block *b,
                    struct pkd_kept_part of);
/* The hour is over; NULL: its columns are forgotten. */
void pkd_kept_hour(struct pkd_kept *k, const struct pkd_kept_hour *hour);

/* Writes all of it, in a short transaction, and forgets it. A store that does not take it will be asked again. */
void pkd_kept_save(struct pkd_kept *k, struct pkd_errand *e);
/* Deletes the columns of an hour: they are damaged. */
void pkd_kept_drop(struct pkd_errand *e, int64_t hour_us);

/* The text of a column, for as long as the block has it: v is hour, part, what, encoding and bytes. PK_STORE when it is
 * damaged. */
bool pkd_kept_text(struct pk_store *s, struct pkd_block *b, const struct pk_value *v, pk_str *text,
                   struct pk_error *err) PK_MUST_CHECK;

#endif
