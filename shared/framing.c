/* framing.c - see framing.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "framing.h"

const char *pk_framing_type(enum pk_framing framing)
{
    switch (framing) {
    case PK_FRAMED_SSE: return "text/event-stream";
    case PK_FRAMED_EVENTSTREAM: return "application/vnd.amazon.eventstream";
    case PK_FRAMED_LINES: return "application/x-ndjson";
    }
    return NULL;
}

void pk_frames_init(struct pk_frames *f, enum pk_framing framing, struct pk_arena *arena)
{
    *f = (struct pk_frames){.framing = framing};
    switch (framing) {
    case PK_FRAMED_SSE: pk_sse_init(&f->sse, arena); break;
    case PK_FRAMED_EVENTSTREAM: pk_eventstream_init(&f->eventstream, arena); break;
    case PK_FRAMED_LINES: pk_lines_init(&f->lines, arena); break;
    }
}

bool pk_frames_next(struct pk_frames *f, pk_str *bytes, struct pk_sse_event *ev,
                    struct pk_error *err)
{
    switch (f->framing) {
    case PK_FRAMED_SSE: return pk_sse_next(&f->sse, bytes, ev, err);
    case PK_FRAMED_EVENTSTREAM: return pk_eventstream_next(&f->eventstream, bytes, ev, err);
    case PK_FRAMED_LINES: return pk_lines_next(&f->lines, bytes, ev, err);
    }
    return false;
}

bool pk_frames_end(struct pk_frames *f, struct pk_sse_event *ev, struct pk_error *err)
{
    switch (f->framing) {
    case PK_FRAMED_SSE: return false;
    case PK_FRAMED_EVENTSTREAM: pk_eventstream_end(&f->eventstream, err); return false;
    case PK_FRAMED_LINES: return pk_lines_end(&f->lines, ev);
    }
    return false;
}
