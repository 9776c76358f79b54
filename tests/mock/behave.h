/* behave.h - what the mock provider does with a request: the name of the model decides.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_BEHAVE_H
#define MOCK_BEHAVE_H

#include "dialect.h"

/* Fills the reply as the request's plan wants it. */
void behave(const struct ask *a, struct reply *r);
/* Forgets where every sequence stands. */
void behave_reset(void);
/* The table of behaviours and options, for --help. */
void behave_help(void);

#endif
