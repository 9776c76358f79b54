/* framing.h - how a provider's stream is cut into events: bytes in, events out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A dialect names its framing; whatever it is, an event has the shape of a server-sent one.
 */
#ifndef PK_FRAMING_H
#define PK_FRAMING_H

#include "eventstream.h"
#include "lines.h"

enum pk_framing {
    PK_FRAMED_SSE,         /* server-sent events */
    PK_FRAMED_EVENTSTREAM, /* AWS's messages */
    PK_FRAMED_LINES,       /* JSON, one document a line */
};

struct pk_frames {
    enum pk_framing framing;
    union {
        struct pk_sse sse;
        struct pk_eventstream eventstream;
        struct pk_lines lines;
    };
};

/* The content type of such a stream. */
const char *pk_framing_type(enum pk_framing framing);

/* `arena` bounds the state to one event of PK_EVENT_BYTES_MAX. */
void pk_frames_init(struct pk_frames *f, enum pk_framing framing, struct pk_arena *arena);

/* Takes bytes from the front of *bytes until an event is complete (true; valid until the next call) or
 * they are used up (false). PK_TOO_LARGE or PK_BAD_ANSWER is in *err (false too) for an event that is
 * over its limit or malformed. */
bool pk_frames_next(struct pk_frames *f, pk_str *bytes, struct pk_sse_event *ev,
                    struct pk_error *err);

/* The end of the bytes: whether it completes an event. PK_BAD_ANSWER is in *err (false) when they end
 * where they cannot. An unfinished server-sent event is none. */
bool pk_frames_end(struct pk_frames *f, struct pk_sse_event *ev, struct pk_error *err);

#endif
