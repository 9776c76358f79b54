/* cachekey.h - when two requests are the same request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The key covers all that shapes the answer: the canonical body with each target's
 * default_params, override_params and drop_params, the targets' providers, base URLs and keys and the client headers that they are sent
 * (so that no two tenants share an answer), the front's dialect, and the namespace. It leaves out what does not: stream,
 * stream_options, user, metadata, retries, timeouts, weights.
 */
#ifndef PK_CACHEKEY_H
#define PK_CACHEKEY_H

#include "config.h"
#include "request.h"

enum { PK_CACHE_KEY_BYTES = 32 };

/* BLAKE2b-256 over the canonical form. False when memory runs out. */
bool pk_cache_key(struct pk_arena *arena, const struct pk_config *config,
                  const struct pk_request *req, const struct pk_json *body,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err) PK_MUST_CHECK;

#endif
