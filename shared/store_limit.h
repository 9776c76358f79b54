/* store_limit.h - the documents of limits in the store. What is used of them: store_hold.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_LIMIT_H
#define PK_STORE_LIMIT_H

#include "limit.h"
#include "store.h"

/* All of them, sorted; strings in `arena`. PK_STORE when there are more than PK_LIMITS_MAX. */
bool pk_store_limits_load(struct pk_store *s, struct pk_arena *arena, struct pk_limits *limits,
                          struct pk_error *err) PK_MUST_CHECK;

/* Stores what pk_limit_read() reads. Use so far stays when a limit of this slug is replaced. PK_BAD_REQUEST;
 * PK_NOT_FOUND when it is for a virtual key, API key or config that is not there. */
bool pk_store_limit_put(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str text,
                        int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
/* Forgets its use too. A limit that belongs to a key is changed with the key: PK_BAD_REQUEST. */
bool pk_store_limit_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                           struct pk_error *err) PK_MUST_CHECK;

/* Forgets what `subject` has used of one limit; empty: of one that has a count for all. */
bool pk_store_limit_forget(struct pk_store *s, pk_str slug, pk_str subject, int64_t now_us,
                           struct pk_error *err) PK_MUST_CHECK;

/* The limits of a key; strings in `arena`. */
bool pk_store_limits_owned(struct pk_store *s, struct pk_arena *arena,
                           const struct pk_limit_owner *owner, struct pk_limit_list *list,
                           struct pk_error *err) PK_MUST_CHECK;
/* Drops those of an owner that is no more, with what was used of them; within a transaction. */
bool pk_store_limits_disown(struct pk_store *s, const struct pk_limit_owner *owner,
                            struct pk_error *err) PK_MUST_CHECK;
/* Forgets what was used of them so far; what runs stays set aside. */
bool pk_store_limits_forget(struct pk_store *s, const struct pk_limit_owner *owner, int64_t now_us,
                            struct pk_error *err) PK_MUST_CHECK;
/* Makes `list` the limits of a key, inside the transaction that changes the key. */
bool pk_store_limits_own(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_limit_owner *owner, const struct pk_limit_list *list,
                         int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

#endif
