/* reports.h - what else is told of the store: alerts, the audit, a model's price.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_REPORTS_H
#define PKD_REPORTS_H

#include "errand.h"

pkd_errand_fn pkd_alerts, pkd_audit, pkd_model_price;

#endif
