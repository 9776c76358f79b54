/* lines.h - JSON, one document a line (application/x-ndjson), incrementally.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Lines end in LF or CRLF; the last one may have no end. Blank lines are skipped. A line may be cut
 * anywhere between two feeds. Time is linear in the bytes fed.
 */
#ifndef PK_LINES_H
#define PK_LINES_H

#include "sse.h"

struct pk_lines {
    struct pk_buf line; /* an unfinished line */
    bool ready;         /* it was handed out, and goes at the next call */
};

/* `arena` bounds the state to one line of PK_EVENT_BYTES_MAX. */
void pk_lines_init(struct pk_lines *s, struct pk_arena *arena);

/* Takes bytes from the front of *bytes until a line is complete (true; its data is valid until the next
 * call) or they are used up (false). PK_TOO_LARGE is in *err when a line is over the limit (false
 * too). */
bool pk_lines_next(struct pk_lines *s, pk_str *bytes, struct pk_sse_event *ev,
                   struct pk_error *err);

/* The end of the bytes: whether it completes a line. */
bool pk_lines_end(struct pk_lines *s, struct pk_sse_event *ev);

#endif
