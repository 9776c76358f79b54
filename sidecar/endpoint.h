/* endpoint.h - the one gate that every request passes, and the small endpoints behind it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_ENDPOINT_H
#define PKD_ENDPOINT_H

#include "thread.h"

/* Answers `req`, or begins the call that will. Uses t->scratch, which the caller empties. */
void pkd_endpoint_serve(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

#endif
