/* web.h - the dashboard: GET / and what it loads. The files are in sidecar/web/, and in this program.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_WEB_H
#define PKD_WEB_H

#include "thread.h"

/* The file of the request's path, or 404. No key is needed: what it shows, it asks the control APIs for. */
void pkd_web_serve(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req);

#endif
