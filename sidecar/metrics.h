/* metrics.h - GET /metrics: what all threads counted, in Prometheus' text format 0.0.4.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_METRICS_H
#define PKD_METRICS_H

#include "thread.h"

void pkd_metrics_serve(struct pkd_thread *t, struct pkd_conn *c);

/* Brings the gauges of the thread's meter up to date: once a turn of its loop. */
void pkd_metrics_note(struct pkd_thread *t);

#endif
