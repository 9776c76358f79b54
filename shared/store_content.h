/* store_content.h - what a row's call would be, as one short text.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever keeps it beside an answer sees later, without a call, whether the answer is that of today's question.
 */
#ifndef PK_STORE_CONTENT_H
#define PK_STORE_CONTENT_H

#include "resolve.h"

enum { PK_CONTENT_HASH_TEXT = 64 }; /* hexadecimal digits */

struct pk_content {
    pk_str config; /* a reference as pk_resolve() takes it */
    pk_str
        input; /* a prompt; or messages, an array of objects; or, when params name a prompt, its variables */
    pk_str params; /* a JSON object, or empty */
};

/* Changes with whatever shapes the answer: the input, the model and its parameters, the targets of the config, the
 * prompt as it is published now. Not with what does not: names, keys that are rotated, retries, timeouts, limits, the
 * cache. The same in both engines. */
bool pk_store_content_hash(struct pk_store *s, struct pk_resolver *resolver, struct pk_arena *arena,
                           const struct pk_content *c, char hex[PK_CONTENT_HASH_TEXT + 1],
                           struct pk_error *err) PK_MUST_CHECK;

#endif
