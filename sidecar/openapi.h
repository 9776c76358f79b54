/* openapi.h - GET /openapi.json: docs/openapi.json as it was when pkd was built.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * tests/regress/pkd_openapi.py holds it against endpoints.def and against what pkd answers.
 */
#ifndef PKD_OPENAPI_H
#define PKD_OPENAPI_H

#include "base.h"

pk_str pkd_openapi(void);

#endif
