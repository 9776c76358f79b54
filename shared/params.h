/* params.h - what a target changes in the client's body before it is sent.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Three steps, in this order: default_params supplies members that the client left out,
 * override_params replaces the client's, drop_params removes. Everything else stays as it came.
 */
#ifndef PK_PARAMS_H
#define PK_PARAMS_H

#include "json.h"

enum { PK_DROPS_MAX = 16, PK_DROP_PARTS_MAX = 8 };

/* All empty: the body is sent as it came. */
struct pk_params {
    pk_str defaults;  /* JSON object, or empty */
    pk_str overrides; /* JSON object, or empty */
    pk_str
        drops[PK_DROPS_MAX]; /* "a", "a.b", "a[0].b", "a[*].b": checked by pk_params_check_drop() */
    int drop_count;
};

bool pk_params_change(const struct pk_params *p); /* whether there is anything to do */

/* Whether `path` can be dropped: names and indexes, a name last, at most PK_DROP_PARTS_MAX parts. */
bool pk_params_check_drop(pk_str path);

/* `body` (a JSON object) with the three steps applied; the same bytes when none applies.
 * PK_TOO_LARGE, PK_NO_MEMORY. */
bool pk_params_apply(struct pk_arena *arena, const struct pk_params *p, pk_str body, pk_str *out,
                     struct pk_error *err) PK_MUST_CHECK;

/* The model that `body` asks for after the steps; empty: none. */
pk_str pk_params_model(struct pk_arena *arena, const struct pk_params *p,
                       const struct pk_json *body);

#endif
