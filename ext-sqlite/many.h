/* many.h - a batch of calls on one connection: what pk_map and pk_batch scan.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_MANY_H
#define PK_MANY_H

#include "batch.h"
#include "conn.h"
#include "forecast.h"

/* What a row asks with. */
enum pk_ask_kind { PK_ASK_PROMPT, PK_ASK_MESSAGES, PK_ASK_VARS };

/* One row of input, borrowed until the next is read. */
struct pk_many_row {
    bool has_key, key_is_int, has_text; /* no text: the row's answer is NULL, without a call */
    pk_str key, text;
    enum pk_ask_kind kind;
};

/* Where rows come from: false with *err, or *more says whether there was one. What is wrong with one row is that
 * row's result (row_error is filled), what is wrong with the source ends the statement. */
struct pk_many_source {
    bool (*next)(void *ctx, struct pk_many_row *row, bool *more, struct pk_error *row_error,
                 struct pk_error *err);
    void *ctx;
    const char *name; /* of the function that asks: pk_map, pk_batch, ... */
    int64_t count;    /* of all rows; -1: not known */
    bool estimates;   /* no call is made for them */
};

struct pk_many;

/* Reads config and params, and makes no call yet. NULL with *err filled. */
struct pk_many *pk_many_new(struct pk_conn *c, pk_str config, pk_str params,
                            struct pk_many_source source, struct pk_error *err) PK_MUST_CHECK;
/* Makes all calls, and answers only with what became of them, as JSON (prefetch.h) in `arena`. */
bool pk_many_prefetch(struct pk_many *m, struct pk_arena *arena, pk_str *counts,
                      struct pk_error *err) PK_MUST_CHECK;
/* Makes none, and says what all would use and cost; *f is the caller's to free. */
bool pk_many_forecast(struct pk_many *m, struct pk_forecast *f, struct pk_error *err) PK_MUST_CHECK;
/* Cancels what still runs. NULL is fine. */
void pk_many_free(struct pk_many *m);

/* The next row with its result, valid until the next call; *item is NULL at the end. False: the statement was
 * interrupted, or the source failed. */
bool pk_many_next(struct pk_many *m, const struct pk_item **item,
                  struct pk_error *err) PK_MUST_CHECK;

#endif
