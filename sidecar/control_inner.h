/* control_inner.h - between control.c and control_held.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_CONTROL_INNER_H
#define PKD_CONTROL_INNER_H

#include "control.h"
#include "store_audit.h"

/* Loads the limits that pkd_print_limits() shows: those of `slug`; empty: of all. */
bool pkd_held_load(struct pkd_control *c, pk_str slug) PK_MUST_CHECK;

#endif
