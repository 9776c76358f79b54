/* sieve.h - which calls of a block a filter lets through (logs_filter.h): the same ones as the statements do.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_SIEVE_H
#define PKD_SIEVE_H

#include "members.h"

/* Whether blocks have all that the filter asks for, but for the time and the metadata; *needs: which columns. */
bool pkd_sieve_can(const struct pkd_filter *f, unsigned *needs);

/* Picks them. False: no memory. */
bool pkd_sieve(const struct pkd_filter *f, const struct pkd_wanted *wanted,
               struct pkd_block *b) PK_MUST_CHECK;

/* Picks all. */
void pkd_sieve_all(struct pkd_block *b);

#endif
