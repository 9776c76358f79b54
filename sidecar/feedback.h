/* feedback.h - /v1/feedback, in Portkey's shape.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_FEEDBACK_H
#define PKD_FEEDBACK_H

#include "errand.h"

/* One object {trace_id, value, weight, metadata, label} or an array of them; all are taken or none. Answers
 * {"status":"success","message":...,"feedback_ids":[...]}. Uses t->scratch. */
void pkd_feedback_take(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

/* PUT /v1/feedback/{id}: value, weight, metadata, label; what it does not name stays as it was. */
pkd_errand_fn pkd_feedback_change;

#endif
