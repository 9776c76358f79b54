/* store_title.h - what people call a thing that is stored under a slug, and what they note about it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nothing goes by it: a config works the same whatever its name is. It is not in the audit log.
 */
#ifndef PK_STORE_TITLE_H
#define PK_STORE_TITLE_H

#include "store.h"

struct pk_title {
    const char *kind; /* "config", as schema.sql lists them */
    pk_str slug;
    pk_str name, note;
    pk_str details; /* JSON object, or empty */
    int64_t created_us, updated_us;
};

/* Title of `kind` and `slug`; empty when there is none. Strings in `arena`. */
bool pk_store_title_get(struct pk_store *s, struct pk_arena *arena, const char *kind, pk_str slug,
                        struct pk_title *title, struct pk_error *err) PK_MUST_CHECK;
/* At title->updated_us; the time of creation stays. */
bool pk_store_title_put(struct pk_store *s, const struct pk_title *title,
                        struct pk_error *err) PK_MUST_CHECK;
bool pk_store_title_delete(struct pk_store *s, const char *kind, pk_str slug, bool *existed,
                           struct pk_error *err) PK_MUST_CHECK;

#endif
