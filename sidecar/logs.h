/* logs.h - /v1/logs: what was logged, for those who may read it.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_LOGS_H
#define PKD_LOGS_H

#include "logs_filter.h"

pkd_errand_fn pkd_logs_list, pkd_log_get;

/* What calls have written so far is in the store, as far as that takes no time worth mentioning. */
void pkd_logs_settle(struct pkd_errand *e);

/* The newest calls that the filter lets through, as `"data":[...]` and what a page has beside it. */
bool pkd_logs_page(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err) PK_MUST_CHECK;

#endif
