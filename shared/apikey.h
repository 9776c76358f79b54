/* apikey.h - keys for the gateway itself: what they look like, what they may do, whose one is.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A key is "pk-" and 256 random bits. The store has only its hash; being random, it needs no salt. All keys
 * are loaded at once and found by their hash, so that how long that takes tells nothing about them.
 */
#ifndef PK_APIKEY_H
#define PK_APIKEY_H

#include "arena.h"

enum {
    PK_API_KEY_HASH_BYTES = 32,
    PK_API_KEY_TEXT = 46,      /* letters of a key */
    PK_API_KEYS_MAX = 1 << 16, /* keys of one store */
};

/* What a key may do; any of them together. */
enum {
    PK_SCOPE_CALL = 1,  /* call models, say what it thinks of the answers */
    PK_SCOPE_ADMIN = 2, /* change configs, keys, limits */
    PK_SCOPE_LOGS = 4,  /* read what was logged */
};

struct pk_api_key {
    pk_str name;
    unsigned scopes;
    pk_str config;      /* of calls that name none; empty: none */
    bool config_fixed;  /* they may not name any */
    pk_str metadata;    /* JSON object that stands over a call's own; empty: none */
    int64_t expires_us; /* 0 = never */
    bool revoked;
};

/* A hash and whose it is; of a key that was rotated there are two for a while. */
struct pk_api_hash {
    uint8_t hash[PK_API_KEY_HASH_BYTES];
    int key;
    int64_t until_us; /* INT64_MAX: as long as the key itself */
};

struct pk_api_keys {
    struct pk_api_key *keys;
    struct pk_api_hash *hashes; /* as pk_api_keys_sort() leaves them */
    int count, hash_count;
};

/* "call logs" and back; false when a word is none. */
bool pk_scopes_read(pk_str text, unsigned *scopes);
void pk_scopes_print(unsigned scopes, char out[32]);

/* A new key; out holds PK_API_KEY_TEXT letters and a NUL. Wipe it after use. */
void pk_api_key_make(char out[PK_API_KEY_TEXT + 1]);
/* Whether `key` has the form of one: "pk-" and 43 to 125 of A-Z a-z 0-9 - _; PK_BAD_REQUEST, without the key. */
bool pk_api_key_check(pk_str key, struct pk_error *err) PK_MUST_CHECK;
void pk_api_key_hash(pk_str key, uint8_t out[PK_API_KEY_HASH_BYTES]);

void pk_api_keys_sort(struct pk_api_keys *keys);
/* The key with that hash. NULL: PK_UNAUTHORIZED, when it is not known, revoked or expired. */
const struct pk_api_key *pk_api_keys_find(const struct pk_api_keys *keys,
                                          const uint8_t hash[PK_API_KEY_HASH_BYTES], int64_t now_us,
                                          struct pk_error *err) PK_MUST_CHECK;

#endif
