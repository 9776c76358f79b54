/* first_key.h - the administrator's API key of a new store: `pkd serve --admin-key-file`.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_FIRST_KEY_H
#define PKD_FIRST_KEY_H

#include "options.h"
#include "store.h"

/* When the store has never had an API key, it gets one called "admin" with every scope before anybody is
 * served: the one that the file has, or when there is no such file a new one, which is written to it with mode
 * 0600. Otherwise nothing happens. Of several processes that do this at once, one's key is taken. */
bool pkd_first_key(const struct pkd_options *o, struct pk_store *store,
                   struct pk_error *err) PK_MUST_CHECK;

#endif
