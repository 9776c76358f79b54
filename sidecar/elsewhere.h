/* elsewhere.h - what Portkey's control API has and pk has not, and what does it here.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_ELSEWHERE_H
#define PKD_ELSEWHERE_H

#include "base.h"

/* What to use in place of `path`; NULL: it is none of Portkey's. */
const char *pkd_elsewhere(pk_str path);

#endif
