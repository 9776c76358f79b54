/* analytics.h - /v1/analytics: what the log adds up to.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A graph, a group or a summary is a row of a table: its path, what is counted for it (tally.h), or its statement, and
 * which column goes out under which name. All take the filters of logs_filter.h.
 *
 * Units: cost is in cents, as Portkey has it, and in dollars where a name ends in _usd; latency is in
 * milliseconds, a rate in percent.
 */
#ifndef PKD_ANALYTICS_H
#define PKD_ANALYTICS_H

#include "errand.h"

pkd_errand_fn pkd_analytics_requests, pkd_analytics_graph, pkd_analytics_group, pkd_analytics_cache;

#endif
