/* crypto.h - libcrypto, opened when the first token is verified or signed (late.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever calls it includes OpenSSL's headers, and opens it first. What else is sealed, hashed or compared here is
 * libsodium's.
 */
#ifndef PK_CRYPTO_H
#define PK_CRYPTO_H

#include "base.h"

/* From any thread, any number of times. False: it is not there. */
bool pk_crypto_open(struct pk_error *err) PK_MUST_CHECK;

#endif
