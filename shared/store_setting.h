/* store_setting.h - settings that are kept in the store, so that whoever opens it goes by them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They say how long rows are kept: "retention_logs" and its like. A value is a number of seconds, or a number
 * with a unit, "45s", "90m", "12h", "30d", "52w"; "off" is for ever, which is also what holds when nothing is
 * stored.
 */
#ifndef PK_STORE_SETTING_H
#define PK_STORE_SETTING_H

#include "store.h"

/* What has a retention of its own. */
enum pk_kept {
    PK_KEPT_LOGS,     /* log rows with their spans */
    PK_KEPT_PAYLOADS, /* requests and answers, since they were last used */
    PK_KEPT_CACHE,    /* answers, whatever max_age they were stored with */
    PK_KEPT_FEEDBACK,
    PK_KEPT_AUDIT,
    PK_KEPT_COUNT
};

/* Microseconds; 0 = for ever. */
struct pk_retention {
    int64_t keep_us[PK_KEPT_COUNT];
};

const char *pk_kept_setting(enum pk_kept kept); /* "retention_logs" */

/* Whether `name` is a setting of the store. */
bool pk_store_setting_known(pk_str name);

/* Microseconds that `value` says, 0 = for ever; false when it says nothing, or more than a century. */
bool pk_keep_parse(pk_str value, int64_t *keep_us) PK_MUST_CHECK;

/* Changes a setting; an empty value forgets it. PK_NOT_FOUND, PK_BAD_REQUEST. A value that is there already
 * changes nothing. */
bool pk_store_setting_put(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str value,
                          int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
/* *value is empty when it is not set. */
bool pk_store_setting_get(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str *value,
                          struct pk_error *err) PK_MUST_CHECK;

bool pk_store_retention(struct pk_store *s, struct pk_retention *r,
                        struct pk_error *err) PK_MUST_CHECK;

#endif
