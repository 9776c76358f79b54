/* tls_load.h - libssl, opened when TLS is served, or asked for (late.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_TLS_LOAD_H
#define PKD_TLS_LOAD_H

#include "base.h"

/* And libcrypto. Before there are threads. */
bool pkd_tls_load(struct pk_error *err) PK_MUST_CHECK;

#endif
