/* store_key_seal.h - another master key.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_KEY_SEAL_H
#define PK_STORE_KEY_SEAL_H

#include "store.h"

struct pk_resealing {
    const struct pk_secrets *from, *to; /* the master key that keys are sealed under, and another */
    int64_t at_us;
    int64_t count; /* of the keys that were sealed anew */
};

/* Seals every sealed key that is in force under the other master key: all of them, or with an error none. */
bool pk_store_key_reseal(struct pk_store *s, struct pk_arena *arena, struct pk_resealing *r,
                         struct pk_error *err) PK_MUST_CHECK;

#endif
