/* store_catalog.h - imports of published price lists.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_CATALOG_H
#define PK_STORE_CATALOG_H

#include "catalog.h"
#include "store.h"

/* Imports a list, all of it or nothing. A price that differs from the one in force ends that and begins a row
 * of its own at now_us; what was before stays, for what was called before. Limits and abilities that the list
 * does not say stay as they are, and so do models that it does not have. `options` is a JSON object or empty:
 * provider (whose prices, where the list does not say), dry_run.
 *
 * *diff is a JSON object: format, at, dry_run, counts, added, changed, missing, ignored, warnings. */
bool pk_store_price_import(struct pk_store *s, struct pk_arena *arena,
                           const struct pk_catalog_source *source, pk_str options, pk_str *diff,
                           struct pk_error *err) PK_MUST_CHECK;

#endif
