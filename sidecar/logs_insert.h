/* logs_insert.h - POST /v1/logs: calls that went by another way.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * One {request, response, metadata} or an array of them, in Portkey's shape; all are taken or none. They go the way
 * of every call's record: through the journal, by the rules of privacy.h.
 */
#ifndef PKD_LOGS_INSERT_H
#define PKD_LOGS_INSERT_H

#include "errand.h"

pkd_errand_fn pkd_logs_insert;

#endif
