/* analytics.h - /v1/analytics: what the log adds up to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The store adds up; a graph, group or summary is a row of a table: its path, its statement, and which column goes
 * out under which name. All take the filters of logs_filter.h. Cost is in cents, as Portkey has it, and beside it
 * in dollars, where the name says so.
 */
#ifndef PKD_ANALYTICS_H
#define PKD_ANALYTICS_H

#include "errand.h"

pkd_errand_fn pkd_analytics_requests;

#endif
