/* store_limit.h - limits in the store: their documents, what is set aside, what was used.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A call reserves the most that it may use, and its record settles what it did use: neither can
 * exceed a limit, however many processes do so at once. Each is one short transaction. Both lock the limit,
 * then change one row of its use with a condition, in the order in which holds are sorted.
 *
 * A reservation expires when its call cannot be running any more: its process was killed. It is given back
 * by the next reservation of anybody. A record that comes later still charges what was used.
 */
#ifndef PK_STORE_LIMIT_H
#define PK_STORE_LIMIT_H

#include "reserve.h"
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

/* Makes `list` the limits of a key, inside the transaction that changes the key. */
bool pk_store_limits_own(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_limit_owner *owner, const struct pk_limit_list *list,
                         int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

/* Answers all in one transaction. When the store fails all are told so (refused -1). */
void pk_store_reserve(struct pk_store *s, struct pk_reserve *const *asked, int count,
                      int64_t now_us);

/* Ends what a call has set aside and charges what it used; inside the transaction that writes its record,
 * once. */
bool pk_store_settle(struct pk_store *s, const struct pk_record *r,
                     struct pk_error *err) PK_MUST_CHECK;

#endif
