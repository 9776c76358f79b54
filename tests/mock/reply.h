/* reply.h - an answer and the manner of its delivery.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A dialect fills status, type and body (a stream event by event), a behaviour bends the delivery,
 * reply_wire() turns both into bytes with a time to wait before each piece.
 */
#ifndef MOCK_REPLY_H
#define MOCK_REPLY_H

#include "text.h"

enum ending {
    END_KEEP,  /* the connection stays open for the next request */
    END_CLOSE, /* closed after the last piece */
    END_STALL, /* open, silent, for ever */
};

struct reply {
    int status;
    const char *type;    /* content type; NULL: application/json */
    struct text headers; /* further lines, each ended by \r\n */
    struct text body;
    size_t *ends; /* where each event of a stream ends in `body` */
    int events;
    bool stream;       /* chunked, one chunk an event */
    bool silent;       /* not even a head */
    bool unterminated; /* a stream without its last chunk */
    enum ending ending;
    int64_t wait_ms; /* before the head */
    int64_t tick_ms; /* before each event but the first */
    int64_t slow_ms; /* one byte of the body at a time, this far apart */
    size_t keep;     /* bytes of the body that are sent; SIZE_MAX: all */
};

/* `bytes` of the wire after a pause. */
struct piece {
    int64_t wait_ms;
    size_t bytes;
};

struct wire {
    struct text bytes;
    struct piece *pieces;
    int count, cap;
    enum ending ending;
};

void reply_init(struct reply *r);
void reply_free(struct reply *r);
/* Ends an event of a stream: all of the body since the last one. */
void reply_event(struct reply *r);
/* Where event `i` ends, clipped to what is there. */
size_t reply_event_end(const struct reply *r, int i);
/* The reply becomes a plain one, with nothing in it. */
void reply_reset(struct reply *r, int status);

void reply_wire(const struct reply *r, struct wire *w);
void wire_free(struct wire *w);

#endif
