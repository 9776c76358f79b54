/* auth.h - who may do what: the API key of a request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * While the store has no API key, whoever reaches a loopback or Unix socket is let in. With the first, every
 * request but for health needs one: in x-portkey-api-key, x-pk-api-key, Authorization: Bearer pk-..., or
 * x-api-key: pk-.... A key says what it may do (scopes), and may bring a config and metadata for its calls.
 */
#ifndef PKD_AUTH_H
#define PKD_AUTH_H

#include "apikey.h"
#include "ask.h"
#include "secret.h"
#include "store.h"

enum { PKD_KEY_HASHES = 16 };

/* Hashes of the keys that came lately, by a quicker hash of the same. */
struct pkd_key_hashes {
    uint8_t seed[PK_SECRET_HASH_BYTES];
    struct {
        uint8_t by[PK_SECRET_HASH_BYTES], hash[PK_API_KEY_HASH_BYTES];
    } list[PKD_KEY_HASHES];
};

/* The keys of the store, as a thread knows them. Zeroed at first. */
struct pkd_keyring {
    struct pk_arena arena;
    struct pk_api_keys keys;
    struct pkd_key_hashes hashes;
    int64_t epoch;           /* of the store when they were loaded */
    int64_t look_ms;         /* when to look again whether they have changed */
    struct pk_error trouble; /* why they could not be read last; PK_OK: they could */
    bool loaded;
};

void pkd_keyring_free(struct pkd_keyring *k);
/* The keys may have changed: they are looked at with the next request. */
void pkd_keyring_expire(struct pkd_keyring *k);

/* Whether a request that comes with this API key (ask.h; empty: with none) may do what needs one of `scopes`. *who is
 * that key, NULL when none is needed; valid until the next call. `open`: without keys everybody is let in.
 * PK_UNAUTHORIZED, PK_NO_PERMISSION; the store's error when it could not be read and the key is none of those that are
 * known. */
bool pkd_auth(struct pkd_keyring *k, struct pk_store *store, pk_str key, unsigned scopes, bool open,
              const struct pk_api_key **who, struct pk_error *err) PK_MUST_CHECK;

/* Gives a call what its key says: the config, when it names none, and metadata. `prompt`: its prompt may name
 * one. PK_NO_PERMISSION when it names one and may not. NULL: nothing to give. */
bool pkd_auth_apply(const struct pk_api_key *who, struct pk_arena *arena, bool prompt,
                    struct pkd_ask *ask, struct pk_error *err) PK_MUST_CHECK;

/* Whether a key in force lets its holder call: then others than this machine may be listened to. */
bool pkd_auth_needed(struct pk_store *store, bool *needed, struct pk_error *err) PK_MUST_CHECK;

#endif
