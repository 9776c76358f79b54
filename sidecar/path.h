/* path.h - what stands in a request's path and query.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_PATH_H
#define PKD_PATH_H

#include "arena.h"

/* The n-th segment of a path, counted from 0, unescaped; empty when there is none or it is no valid text. */
pk_str pkd_path_segment(struct pk_arena *arena, pk_str path, int n);

/* The value of the first `name` in a query ("a=1&b=2"), unescaped; empty when there is none. */
pk_str pkd_query_value(struct pk_arena *arena, pk_str query, const char *name);
/* The same as a number from 0 to `max`; *number stays as it is when there is none. */
bool pkd_query_number(struct pk_arena *arena, pk_str query, const char *name, int64_t max,
                      int64_t *number, struct pk_error *err) PK_MUST_CHECK;
/* Takes the first "name=value" off a query, both unescaped. False when one of them is no valid text; *name then is
 * what was written. */
bool pkd_query_next(struct pk_arena *arena, pk_str *query, pk_str *name,
                    pk_str *value) PK_MUST_CHECK;

#endif
