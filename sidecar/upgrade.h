/* upgrade.h - a client's request for a realtime session: GET with a WebSocket handshake.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_UPGRADE_H
#define PKD_UPGRADE_H

#include "request.h"
#include "server.h"

/* Whether `req` is a handshake (RFC 6455, 4.2.1). PK_BAD_REQUEST, as 426 when it asks for no upgrade. */
bool pkd_upgrade_check(const struct pkd_request *req, struct pk_error *err) PK_MUST_CHECK;

/* The query as a call's body: its model, where configs and limits look for one. What else it says goes to
 * *tail, as it is: "?intent=transcription". PK_BAD_REQUEST. */
bool pkd_upgrade_body(struct pk_arena *arena, pk_str query, pk_str *body, pk_str *tail,
                      struct pk_error *err) PK_MUST_CHECK;

#endif
