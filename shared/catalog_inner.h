/* catalog_inner.h - what the readers of price lists share; for catalog*.c alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_CATALOG_INNER_H
#define PK_CATALOG_INNER_H

#include "catalog.h"

/* A list being read. */
struct pk_catalog_reader {
    struct pk_arena *arena;
    const struct pk_catalog_source *source;
    const struct pk_json *doc;
    struct pk_catalog *out;
    struct pk_error *err;
};

/* One format each: adds the models of the list. */
bool pk_catalog_read_litellm(struct pk_catalog_reader *r) PK_MUST_CHECK;
bool pk_catalog_read_portkey(struct pk_catalog_reader *r) PK_MUST_CHECK;
bool pk_catalog_read_genai(struct pk_catalog_reader *r) PK_MUST_CHECK;
bool pk_catalog_read_own(struct pk_catalog_reader *r) PK_MUST_CHECK;

/* A value of the list, for errors: the row that it belongs to, and its member there. */
struct pk_cell {
    pk_str row, member;
    int value;
};

/* "gpt-4o.input_cost_per_token: must be WHAT" */
bool pk_cell_fail(struct pk_catalog_reader *r, const struct pk_cell *cell, const char *what);
/* A number of 0 or more, times 10^places; null leaves *out alone. */
bool pk_cell_number(struct pk_catalog_reader *r, const struct pk_cell *cell, int places,
                    int64_t *out) PK_MUST_CHECK;
/* A text, in the arena; null leaves *out alone. */
bool pk_cell_text(struct pk_catalog_reader *r, const struct pk_cell *cell,
                  pk_str *out) PK_MUST_CHECK;
/* YYYY-MM-DD; null leaves *out alone. */
bool pk_cell_date(struct pk_catalog_reader *r, const struct pk_cell *cell,
                  pk_str *out) PK_MUST_CHECK;

/* A new model without tiers; NULL: too many, or no memory. Valid until the next one. */
struct pk_catalog_model *pk_catalog_add(struct pk_catalog_reader *r, pk_str provider, pk_str model);
/* The model's tier, made when there is none; NULL likewise. Valid until the next one is made. */
struct pk_tier *pk_catalog_tier(struct pk_catalog_reader *r, struct pk_catalog_model *m,
                                int64_t above_tokens, int64_t from_us);
/* Sets the rate of that name; any other becomes a unit. */
bool pk_tier_set(struct pk_catalog_reader *r, struct pk_tier *t, pk_str name,
                 int64_t pusd) PK_MUST_CHECK;
/* Notes that a row was left out. `what`: a provider or a member. */
void pk_catalog_leave_out(struct pk_catalog_reader *r, pk_str what, const char *reason,
                          pk_str example);

/* Whether `text` contains `part`; *at is where. */
bool pk_catalog_has(pk_str text, const char *part, size_t *at);

#endif
