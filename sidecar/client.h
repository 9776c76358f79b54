/* client.h - one model call on behalf of one HTTP client, from request to log entry.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_CLIENT_H
#define PKD_CLIENT_H

#include "thread.h"

/* Begins the call that `req` asks for, or answers why not. */
void pkd_call_begin(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                    const struct pk_operation *operation);

/* The same through the prompt `ref`: the body has variables, and parameters over the prompt's. */
void pkd_call_begin_prompt(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                           pk_str ref);

/* The loop has returned the task of a call: takes what it has for the client and does what it asks. */
void pkd_call_step(struct pk_task *task);

/* Reads on from clients of sessions whose provider takes more. */
void pkd_call_read_on(struct pkd_thread *t);
/* Ends every open session: its client is told so. */
void pkd_call_end_tunnels(struct pkd_thread *t);

/* Asks the limits for all calls that wait for it, up to a number in one transaction. */
void pkd_call_reserve(struct pkd_thread *t);

/* Answers calls whose log rows are on disk now; in durable mode. */
void pkd_call_logged(struct pkd_thread *t);

/* Goes on with calls whose wait for another's answer is over. */
void pkd_call_woken(struct pkd_thread *t);
/* Ends waits that have passed their call's deadline; t->next_overdue_ms says when to look again. */
void pkd_call_overdue(struct pkd_thread *t, int64_t now_ms);

/* Ends every call of the thread, and tells its client; each still comes back as done. */
void pkd_call_stop_all(struct pkd_thread *t);
/* Frees what is kept for reuse; no call may be in progress. */
void pkd_call_free_spares(struct pkd_thread *t);

#endif
