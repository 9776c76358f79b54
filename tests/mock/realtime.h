/* realtime.h - the mock provider's sessions over WebSocket.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_REALTIME_H
#define MOCK_REALTIME_H

#include "ask.h"
#include "reply.h"

struct realtime {
    struct text message; /* a text message of which fragments have come */
    int responses;
    bool dropped; /* to be cut now */
    bool over;    /* to be closed when all is sent */
};

/* Answers a handshake into `out`; false when it is none that succeeds: then realtime_refuse() says why. */
bool realtime_begin(struct realtime *r, struct ask *a, struct text *out);
void realtime_refuse(struct ask *a, struct reply *r);

/* Takes whole frames from `in` and appends what comes of them to `out`. Every data frame comes back as it is; a
 * text message {"type":"response.create"} is answered with events and usage, {"type":"drop"} cuts the
 * connection, {"type":"bye"} closes it properly. */
void realtime_read(struct realtime *r, struct text *in, struct text *out);

#endif
