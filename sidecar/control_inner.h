/* control_inner.h - between control.c and control_held.c, control_limit.c and control_entity.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_CONTROL_INNER_H
#define PKD_CONTROL_INNER_H

#include "control.h"
#include "store_audit.h"

/* Loads the limits that pkd_print_limits() shows: those of `slug`; empty: of all. */
bool pkd_held_load(struct pkd_control *c, pk_str slug) PK_MUST_CHECK;

/* control_limit.c: what a policy's row counts by, "metadata.team"; empty: by nothing. */
pk_str pkd_policy_key(struct pkd_control *c, const struct pk_value *row);

/* control_entity.c: what each has used of a policy, as a member of its answer. */
void pkd_print_usage_map(struct pkd_control *c, const struct pk_value *row);
/* Forgets what one has used, when the body says reset_usage_for_value. */
bool pkd_policy_reset(struct pkd_control *c) PK_MUST_CHECK;

#endif
