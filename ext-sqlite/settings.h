/* settings.h - what pk_set() may change for one connection.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_SETTINGS_H
#define PK_SETTINGS_H

#include "account.h"
#include "request.h"
#include "store.h"

enum pk_on_error { PK_RAISE, PK_GIVE_NULL, PK_GIVE_JSON };

/* Whether a batch that takes long shows a line at the terminal: AUTO is in the sqlite3 shell. */
enum pk_progress_shown { PK_PROGRESS_AUTO, PK_PROGRESS_ON, PK_PROGRESS_OFF };

enum { PK_SETTINGS_MAX = 20 };

struct pk_settings {
    char *text[PK_SETTINGS_MAX]; /* as they were set; NULL: not set */
    char *stored;                /* the one of the store that was read last */

    /* what they mean */
    char *store;               /* path of the open store, or NULL while none is open */
    int64_t timeout_ms;        /* 0 = as configured */
    enum pk_on_error on_error; /* what scalars do when a provider fails */
    int64_t output_assumed;    /* output tokens of a request that sets no limit; 0 = as usual */
    bool lenient;              /* limits that cannot be asked hold nobody */
    struct pk_privacy privacy; /* what the log may hold at most */
    struct pk_cache_max cache_max;
    enum pk_progress_shown progress;
    struct pk_account account; /* of the statements that are running */
};

struct pk_conn;

void pk_settings_init(struct pk_settings *s);
void pk_settings_free(struct pk_settings *s);

/* Sets `name`, or what it was at first when value.at is NULL. Those of store_setting.h are kept in the store, and
 * hold for everybody who opens it. The error names the setting. */
bool pk_setting_set(struct pk_conn *c, pk_str name, pk_str value,
                    struct pk_error *err) PK_MUST_CHECK;
/* Its value now; at == NULL: none. Valid until the next set. */
bool pk_setting_get(struct pk_conn *c, pk_str name, pk_str *value,
                    struct pk_error *err) PK_MUST_CHECK;

/* Tells a store that has just been opened. */
bool pk_settings_opened(struct pk_conn *c, struct pk_error *err) PK_MUST_CHECK;

/* What the settings say of a call, and its own options do not. */
bool pk_settings_request(struct pk_settings *s, struct pk_arena *arena, struct pk_request *req,
                         struct pk_error *err) PK_MUST_CHECK;

const char *pk_setting_store(const struct pk_settings *s); /* NULL: not set */
/* "" when not set. */
const char *pk_setting_allowed_hosts(const struct pk_settings *s);

#endif
