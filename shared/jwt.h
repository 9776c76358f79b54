/* jwt.h - verifies a JSON Web Token against a set of public keys (RFC 7515, 7517, 7518, 7519, 8037).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Signatures by public keys only: the algorithm must be allowed by the rules and fit the type of the key, so
 * `none`, HMAC with a public key, and any other algorithm confusion are refused.
 */
#ifndef PK_JWT_H
#define PK_JWT_H

#include "json.h"

enum {
    PK_JWT_BYTES_MAX = 16 << 10,   /* a token */
    PK_JWKS_BYTES_MAX = 256 << 10, /* a set of keys */
    PK_JWKS_KEYS_MAX = 64,         /* keys in a set */
};

/* Algorithms: any of these together. */
enum {
    PK_JWT_RS256 = 1 << 0,
    PK_JWT_RS384 = 1 << 1,
    PK_JWT_RS512 = 1 << 2,
    PK_JWT_PS256 = 1 << 3,
    PK_JWT_PS384 = 1 << 4,
    PK_JWT_PS512 = 1 << 5,
    PK_JWT_ES256 = 1 << 6,
    PK_JWT_ES384 = 1 << 7,
    PK_JWT_ES512 = 1 << 8,
    PK_JWT_EDDSA = 1 << 9, /* Ed25519 */
    PK_JWT_ALL = (1 << 10) - 1,
};

/* The algorithm that `name` ("RS256") means, or 0. */
unsigned pk_jwt_algorithm(pk_str name);

struct pk_jwt_rules {
    unsigned algorithms;       /* those allowed; 0: all */
    int64_t now_s;             /* seconds since 1970 */
    int64_t clock_tolerance_s; /* how far clocks may differ */
    int64_t max_age_s;         /* since `iat`, which must then be there; 0: any */
    pk_str issuer, audience;   /* what `iss` must be, what `aud` must name; empty: anything */
};

/* Whether a key of `jwks` ({"keys":[...]}) signed the token and its claims hold now. The error is
 * PK_NO_PERMISSION ("token: expired"), PK_BAD_CONFIG when the key set is unusable, or PK_NO_MEMORY; it never
 * quotes the token. */
bool pk_jwt_verify(struct pk_arena *arena, pk_str token, pk_str jwks,
                   const struct pk_jwt_rules *rules, struct pk_error *err) PK_MUST_CHECK;

/* A token under `pem`, a private RSA key, with RS256; `claims` is JSON, key_id may be empty. PK_NO_KEY when it is
 * no such key. */
bool pk_jwt_sign(struct pk_arena *arena, pk_str key_id, pk_str pem, pk_str claims, pk_str *token,
                 struct pk_error *err) PK_MUST_CHECK;

#endif
