/* store_catalog_inner.h - an import while it goes on: what the list and the store have, what of it differs, and the diff.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_CATALOG_INNER_H
#define PK_STORE_CATALOG_INNER_H

#include "store_catalog.h"

enum { IMPORT_DIFF_BYTES_MAX = PK_BODY_BYTES_MAX };

/* A price of the store, or of the list as the store would have it. */
struct pk_import_price {
    pk_str provider, model;
    int64_t above_tokens, from_us, to_us;
    int64_t rates[PK_RATES];
    pk_str units;
};

struct pk_import_model {
    pk_str provider, model, mode;
    int64_t context_window, max_output_tokens;
    pk_str deprecation_date, capabilities, source;
    bool seen; /* in the list */
};

struct pk_import {
    struct pk_store *store;
    struct pk_arena *arena;
    const struct pk_catalog_source *source;
    struct pk_catalog catalog;
    bool dry_run;
    struct pk_import_price *prices;
    int price_count;
    struct pk_import_model *models;
    int model_count;
    pk_str *own; /* providers */
    int own_count;
    struct pk_buf added, changed, missing, warnings;
    int added_count, changed_count, missing_count, unchanged_count;
    struct pk_error *err;
};

/* Both sides of one model, and what becomes of it. */
struct pk_import_match {
    const struct pk_catalog_model *m;
    const struct pk_import_price *known; /* all rows of the store of that name */
    int known_count;
    struct pk_import_model *facts;                                               /* NULL: none */
    struct pk_import_price old[PK_CATALOG_TIERS_MAX], new[PK_CATALOG_TIERS_MAX]; /* in force now */
    int old_count, new_count;
    struct pk_import_model merged;
    bool repriced, corrected; /* its price now; what it is and can do */
};

/* store_catalog.c */

/* A price of the list as the store would have it; its text is in `arena`. */
struct pk_import_price pk_import_tier(struct pk_arena *arena, const struct pk_catalog_model *m,
                                      const struct pk_tier *t);
/* Whether both are the same but for their times. */
bool pk_import_same_price(const struct pk_import_price *a, const struct pk_import_price *b);
/* Whether it is a price with a date of its own that the store does not have so. */
bool pk_import_is_dated(const struct pk_import_match *x, const struct pk_import_price *p);

/* store_catalog_diff.c: each notes one model, and counts it. */
void pk_import_note_change(struct pk_import *im, const struct pk_import_match *x);
void pk_import_note_addition(struct pk_import *im, const struct pk_import_match *x);
void pk_import_note_missing(struct pk_import *im, const struct pk_import_model *m);
/* The diff, and the counts in it, in im->arena; PK_TOO_LARGE. */
bool pk_import_print_diff(struct pk_import *im, pk_str *counts, pk_str *diff);

#endif
