/* map.h - many calls of the extension's own making, for fn_map.c to run.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_MAP_H
#define PK_MAP_H

#include "pk_pg.h"

#include "batch.h"

struct pk_given;

struct pk_map_list {
    int count;
    pk_str (*messages)(void *ctx, int i); /* JSON, in the current memory context */
    /* `why`: what to say with the error when the call failed, or NULL. Both may throw. */
    void (*answer)(void *ctx, int i, const struct pk_result *result, const struct pk_given *why);
    void *ctx;
};

/* Asks all of them, many in flight, and tells of each answer. Throws what is wrong with config and params, and when
 * the statement is cancelled: then, and when `answer` throws, calls in flight are logged as cancelled. */
void pk_map_list(struct pk_home home, pk_str config, pk_str params, const struct pk_map_list *list);

#endif
