/* drive.h - runs one call to its end while SQLite waits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DRIVE_H
#define PK_DRIVE_H

#include "conn.h"

/* Needs pk_conn_ready() and pk_conn_online(). What the client would get is in *body, in `arena`. The call is
 * at PK_OP_DONE afterwards and its record is on its way to the log, whatever became of it: an
 * interrupted statement ends it as cancelled. False only when it could not be run at all. */
bool pk_drive(struct pk_conn *c, struct pk_call *call, struct pk_arena *arena, pk_str *body,
              struct pk_error *err) PK_MUST_CHECK;

#endif
