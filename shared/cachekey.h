/* cachekey.h - when two requests are the same request.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The key covers all that shapes the answer: the canonical body; of each target that the route may come
 * to, what it changes in the body, its provider, base URL and key and the client headers that it is sent
 * (so that no two tenants share an answer); the front's dialect, and the namespace, or without one the
 * gateway's own key that the request came with. It leaves out what does not shape it: stream,
 * stream_options, who the user is, metadata, retries, timeouts, weights. What metadata decided by a condition
 * is in it, as the targets that were chosen.
 */
#ifndef PK_CACHEKEY_H
#define PK_CACHEKEY_H

#include "config.h"
#include "form.h"
#include "request.h"
#include "traits.h"

enum {
    PK_CACHE_KEY_BYTES = 32,
    PK_LIKE_MESSAGES_MAX = 4,         /* messages of a request whose like may be looked for */
    PK_LIKE_TEXT_BYTES_MAX = 8 << 10, /* longer texts are alike whatever they differ in */
};

/* Which answer is asked for. */
struct pk_cache_question {
    const struct pk_config *config;
    uint64_t targets; /* bit i: targets[i] may give the answer, as the conditionals have chosen */
    const struct pk_cache_policy *policy; /* of the target that is to be asked */
    const struct pk_request *req;
    const struct pk_json *body;
    const struct pk_form *form; /* which the body is the fields of; NULL: none */
};

/* BLAKE2b-256 over the canonical form. False when memory runs out. */
bool pk_cache_key(struct pk_arena *arena, const struct pk_cache_question *q,
                  uint8_t key[PK_CACHE_KEY_BYTES], struct pk_error *err) PK_MUST_CHECK;

/* The last user text of the body, whose messages stand in the member `list` (a text there is all of them), when the answer to a similar one would do: the last message is the user's
 * and text alone, there are few messages and no tools, and the text is neither empty nor long. *node is its
 * value in the body, -1 when it would not. */
pk_str pk_cache_like(struct pk_arena *arena, const struct pk_json *body, const char *list,
                     int *node);

/* The hash of all that must be equal before texts may be compared: the key without the text at `node`, the
 * embedder, and how many numbers its vectors have. */
bool pk_cache_gate(struct pk_arena *arena, const struct pk_cache_question *q, int node, int dims,
                   uint8_t gate[PK_CACHE_KEY_BYTES], struct pk_error *err) PK_MUST_CHECK;

#endif
