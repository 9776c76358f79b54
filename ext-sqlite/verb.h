/* verb.h - what a function that makes one call a row is: it builds a request, and gives what came of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_VERB_H
#define PK_VERB_H

#include "conn.h"
#include "store_prompt.h"
#include "store_replay.h"
#include "value.h"

/* One evaluation of one function. */
struct pk_query {
    struct pk_conn *conn;
    struct pk_arena arena;
    struct pk_request req;
    pk_str config;
    bool no_call;             /* the value is NULL without one */
    struct pk_prompt_use use; /* pk_prompt, pk_replay: what the request is made from, */
    struct pk_replay replay;  /* once the store is open */
    const struct pk_snapshot *snapshot;
    const struct pk_record *record; /* of the call, once it is over */
    struct pk_error outcome;        /* of the call: PK_OK, or why it failed */
    pk_str body;
};

struct pk_verb {
    int required; /* NULL when one of so many arguments is */
    /* Builds the request from the arguments, and q->config. */
    bool (*build)(struct pk_query *q, struct pk_args args, struct pk_error *err);
    /* The rest of it, once the store is open; NULL: nothing is in the store. */
    bool (*load)(struct pk_query *q, struct pk_error *err);
    /* Turns what came of the call into the function's value. */
    bool (*give)(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err);
};

void pk_verb_answer(sqlite3_context *ctx, struct pk_args args, const struct pk_verb *verb);

/* The function ends with q->outcome. */
void pk_verb_raise(struct pk_query *q, sqlite3_context *ctx);
/* A call that failed, as on_error wishes. An interrupted statement always ends. */
bool pk_verb_failure(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err);
/* The same of a function whose value has no place for an error's document: on_error "json" raises. */
bool pk_verb_bare_failure(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err);

#endif
