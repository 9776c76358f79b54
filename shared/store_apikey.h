/* store_apikey.h - the verbs over API keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_APIKEY_H
#define PK_STORE_APIKEY_H

#include "apikey.h"
#include "store.h"

/* `options` is a JSON object or empty: description, scopes (a list of call, admin, logs; default call),
 * expires_at, rate_limits, usage_limits (limit.h), defaults {config, metadata, allow_config_override}.
 * *key, which nobody can ask for again, is in `arena`. A name that is in force is PK_BAD_REQUEST: rotate
 * it. */
bool pk_store_api_key_create(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, pk_str *key,
                             struct pk_error *err) PK_MUST_CHECK;
/* The first key of a store, in letters that somebody else has made: *adopted is false, and nothing changes, when
 * the store has had one before. PK_BAD_REQUEST when `key` is no key: "pk-" and at least 43 of A-Z a-z 0-9 - _. */
struct pk_first_key {
    pk_str name, key, options;
    int64_t at_us;
};
bool pk_store_api_key_adopt(struct pk_store *s, struct pk_arena *arena,
                            const struct pk_first_key *first, bool *adopted,
                            struct pk_error *err) PK_MUST_CHECK;
/* Changes what `options` says and leaves the rest as it is; null takes an option away. PK_NOT_FOUND. */
bool pk_store_api_key_update(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
/* A new key under the same name. `options`: key_transition_period_ms, how long the old one holds as
 * well (default 0, at most 90 days). */
bool pk_store_api_key_rotate(struct pk_store *s, struct pk_arena *arena, pk_str name,
                             pk_str options, int64_t now_us, pk_str *key,
                             struct pk_error *err) PK_MUST_CHECK;
bool pk_store_api_key_revoke(struct pk_store *s, pk_str name, int64_t now_us, bool *existed,
                             struct pk_error *err) PK_MUST_CHECK;
bool pk_store_api_key_known(struct pk_store *s, pk_str name, bool *known,
                            struct pk_error *err) PK_MUST_CHECK;

/* All of them, revoked and expired ones too; in `arena`. */
bool pk_store_api_keys_load(struct pk_store *s, struct pk_arena *arena, struct pk_api_keys *keys,
                            struct pk_error *err) PK_MUST_CHECK;

#endif
