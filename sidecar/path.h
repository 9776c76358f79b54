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
/* "page_size", from 1; *rows stays as it is when there is none. "current_page", from 0. */
bool pkd_query_page(struct pk_arena *arena, pk_str query, int64_t *rows, int64_t *page,
                    struct pk_error *err) PK_MUST_CHECK;
/* Whether `text` has what is searched for in it; an empty `part` is in every text. */
bool pkd_query_finds(pk_str text, pk_str part);
/* Whether the query has no parameters but those that are `known`, separated by blanks, and Portkey's workspace_id and
 * organisation_id, of which there is one each. PK_BAD_REQUEST names another. */
bool pkd_query_check(struct pk_arena *arena, pk_str query, const char *known,
                     struct pk_error *err) PK_MUST_CHECK;
/* Takes the first "name=value" off a query, both unescaped. False when one of them is no valid text; *name then is
 * what was written. */
bool pkd_query_next(struct pk_arena *arena, pk_str *query, pk_str *name,
                    pk_str *value) PK_MUST_CHECK;

#endif
