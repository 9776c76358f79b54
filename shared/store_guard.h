/* store_guard.h - the verbs over stored guardrails.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_GUARD_H
#define PK_STORE_GUARD_H

#include "store.h"

struct pk_guardrail_draft {
    pk_str slug, body;
    pk_str
        owner; /* the database role whose rights its predicates have; empty where there are no roles */
    int64_t at_us;
};

/* Stores a checked guardrail as the next version of its slug. */
bool pk_store_guardrail_put(struct pk_store *s, struct pk_arena *arena,
                            const struct pk_guardrail_draft *draft, int64_t *version,
                            struct pk_error *err) PK_MUST_CHECK;
/* *body is empty when there is none. */
bool pk_store_guardrail_get(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str *body,
                            struct pk_error *err) PK_MUST_CHECK;
/* PK_IN_USE while configs name it. */
bool pk_store_guardrail_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                               struct pk_error *err) PK_MUST_CHECK;

/* Fills in the stored ones of a list and binds the providers that its checks ask. PK_BAD_CONFIG names the
 * place of a slug that there is not. */
bool pk_store_guards_bind(struct pk_store_binding *b, struct pk_guards *guards,
                          struct pk_error *err) PK_MUST_CHECK;

/* Answers PK_OP_QUERY. */
struct pk_event pk_store_row(struct pk_store *s, const struct pk_guard_query *q);

#endif
