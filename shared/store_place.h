/* store_place.h - what the environment of the process says of a target, and where that leaves it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_PLACE_H
#define PK_STORE_PLACE_H

#include "place.h"

/* The variable that holds the provider's key, if it is set; NULL: it is not, or the provider needs none. */
const char *pk_environment_key(const struct pk_provider *provider);

/* Ends the binding of a target: its place (pk_place_settle), and when it has no key of its own the one in the
 * environment, if it goes to an address that is the provider's and ours: that key is nobody else's. Fields that
 * the config does not say come from the environment along with it. */
bool pk_store_place(struct pk_arena *arena, struct pk_target *t,
                    struct pk_error *err) PK_MUST_CHECK;

#endif
