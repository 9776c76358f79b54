/* store_users.h - who names a stored thing: it is not deleted from under them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_USERS_H
#define PK_STORE_USERS_H

#include "store.h"

enum pk_used {
    PK_USED_CONFIG,
    PK_USED_GUARDRAIL,
    PK_USED_VIRTUAL_KEY,
    PK_USED_PROMPT,
    PK_USED_PROVIDER
};

enum { PK_USERS_NAMED_MAX = 5 };

/* `names`: "config a", "API key b", "prompt c@2", the first few of them, in `arena`. Those count that are in force: configs,
 * guardrails, virtual keys, the default configs of API keys, and versions of prompts that are the latest or have a label.
 * A prompt is named by the templates of others, which makes it a partial. */
struct pk_users {
    pk_str names[PK_USERS_NAMED_MAX];
    int count;
};
bool pk_store_users(struct pk_store *s, struct pk_arena *arena, enum pk_used what, pk_str slug,
                    struct pk_users *users, struct pk_error *err) PK_MUST_CHECK;

/* "virtual key "k": is named by config a, prompt c@2 and 3 more", in `arena`; of whom there is at least one. */
const char *pk_users_told(struct pk_arena *arena, enum pk_used what, pk_str slug,
                          const struct pk_users *users);

/* Prints used_by, the first few of them, and used_by_total, as members; nothing when there are none. */
void pk_users_print(struct pk_buf *out, const struct pk_users *users);

/* PK_IN_USE, which says that, when there are any. */
bool pk_store_unused(struct pk_store *s, enum pk_used what, pk_str slug,
                     struct pk_error *err) PK_MUST_CHECK;

#endif
