/* store_audit.h - administrative changes: each leaves one row that says who, what and when.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A verb that administers begins a transaction (ops->begin), changes what it changes, and ends with
 * pk_store_change_end(), which adds the row and moves the epoch: whoever sees the change sees both.
 */
#ifndef PK_STORE_AUDIT_H
#define PK_STORE_AUDIT_H

#include "store.h"

struct pk_change {
    int64_t at_us;
    const char *verb; /* the SQL function without "pk_": "key_put" */
    pk_str object;    /* its slug */
    pk_str detail;    /* JSON object, without secrets; empty: nothing to add */
};

/* Who administers through this store from now on: "role:alice", "key:ci", "os:root". Cut to
 * PK_ACTOR_BYTES. */
void pk_store_act_as(struct pk_store *s, const char *kind, pk_str name);
/* The user of the process, with whom an engine of a process' own begins. */
void pk_store_act_as_user(struct pk_store *s);

pk_str pk_store_actor_name(const struct pk_store *s); /* without its kind */

/* Ends what ops->begin() began. When `ok`, commits; with `change`, its row and a new epoch as well; NULL:
 * nothing changed. Otherwise undoes, and *err stays as it is. Returns whether it was `ok` and is kept. */
bool pk_store_change_end(struct pk_store *s, bool ok, const struct pk_change *change,
                         struct pk_error *err) PK_MUST_CHECK;

#endif
