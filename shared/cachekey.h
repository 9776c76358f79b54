/* cachekey.h - when two requests are the same request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The key covers all that shapes the answer: the canonical body; of each target that the route may come
 * to, what it changes in the body, its provider, base URL and key and the client headers that it is sent
 * (so that no two tenants share an answer); the front's dialect, and the namespace. It leaves out what does
 * not: stream, stream_options, user, metadata, retries, timeouts, weights. What metadata decided by a
 * condition is in it, as the targets that were chosen.
 */
#ifndef PK_CACHEKEY_H
#define PK_CACHEKEY_H

#include "config.h"
#include "request.h"

enum { PK_CACHE_KEY_BYTES = 32 };

/* Which answer is asked for. */
struct pk_cache_question {
    const struct pk_config *config;
    uint64_t targets; /* bit i: targets[i] may give the answer, as the conditionals have chosen */
    const struct pk_request *req;
    const struct pk_json *body;
};

/* BLAKE2b-256 over the canonical form. False when memory runs out. */
bool pk_cache_key(struct pk_arena *arena, const struct pk_cache_question *q,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err) PK_MUST_CHECK;

#endif
