/* sticky.h - which requests belong together for a sticky loadbalance.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Requests with the same values in the rule's fields have the same hash, in every process and on every
 * machine; route.c then gives a hash the same target as long as that is there. Nothing is remembered.
 */
#ifndef PK_STICKY_H
#define PK_STICKY_H

#include "field.h"

enum { PK_STICKY_FIELDS_MAX = 8, PK_STICKY_TTL_S_DEFAULT = 3600 };

struct pk_sticky {
    struct pk_field fields[PK_STICKY_FIELDS_MAX];
    int count;
    int64_t ttl_s; /* a hash changes this often, each at a moment of its own; 0: never */
};

/* The hash of the request at `now_s` (seconds since 1970). False when none of the fields has a value:
 * such requests do not belong together. */
bool pk_sticky_hash(const struct pk_sticky *rule, const struct pk_field_source *from, int64_t now_s,
                    uint64_t *hash);

/* FNV-1a over `s`, going on from `hash`; start with PK_HASH_START. Only spreads, keeps no secret. */
#define PK_HASH_START 0xcbf29ce484222325u
uint64_t pk_hash_add(uint64_t hash, pk_str s);

#endif
