/* resolve.h - from what a caller names to a config that can be called.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A reference is inline JSON, or the slug of a stored config, or that of a virtual key, or a provider
 * whose key is in the environment, looked for in this order. Resolved configs are kept, and made anew when
 * the store's epoch moves. While the store does not answer, they hold on.
 */
#ifndef PK_RESOLVE_H
#define PK_RESOLVE_H

#include "store.h"

struct pk_resolver;

/* A resolved config and the facts of the same moment; lives until the last release. */
struct pk_snapshot {
    struct pk_config config;
    const struct pk_facts *facts;
};

/* `from` supplies memory for what is kept (it may not be a call's arena). NULL: no memory. */
struct pk_resolver *pk_resolver_new(struct pk_allocator from);
void pk_resolver_free(struct pk_resolver *r);

/* The embedder of semantic caches that name none, as in pk_config_embed(); before the first call it is what
 * PK_EMBEDDER says. */
bool pk_resolver_embedder(struct pk_resolver *r, pk_str embedder, struct pk_error *err);

/* Names what was not found. A config that holds a literal key is kept only as long as somebody has its snapshot.
 * `now_us` decides whether a key has expired. */
const struct pk_snapshot *pk_resolve(struct pk_resolver *r, struct pk_store *s, pk_str reference,
                                     int64_t now_us, struct pk_error *err) PK_MUST_CHECK;
void pk_snapshot_release(struct pk_resolver *r, const struct pk_snapshot *snapshot);
/* Releases what *place has and puts `snapshot` there, unless it is there already; NULL is fine for both. */
void pk_snapshot_hold(struct pk_resolver *r, const struct pk_snapshot **place,
                      const struct pk_snapshot *snapshot);

/* False: what a name that names nothing is told. */
bool pk_resolve_unknown(pk_str reference, struct pk_error *err);

/* The prices in force now, for pk_cost(); valid until the next call of pk_resolve() or this. */
const struct pk_prices *pk_resolver_prices(struct pk_resolver *r, struct pk_store *s,
                                           struct pk_error *err);

#endif
