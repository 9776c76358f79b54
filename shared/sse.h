/* sse.h - server-sent events, incrementally (WHATWG HTML, section 9.2).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Lines may end in LF, CR or CRLF, mixed; a leading BOM is skipped; an event may be cut
 * anywhere between two feeds. Time is linear in the bytes fed.
 */
#ifndef PK_SSE_H
#define PK_SSE_H

#include "buf.h"

struct pk_sse {
    struct pk_buf line;  /* an unfinished line */
    struct pk_buf data;  /* data of the event being read, lines joined by \n */
    struct pk_buf event; /* its name */
    struct pk_buf raw;   /* the event's bytes as they came, the empty line included */
    bool after_cr;       /* the last byte was a CR: a LF that follows belongs to it */
    bool started;        /* past the place where a BOM may stand */
    bool has_data;
    bool ready;   /* an event was handed out: its strings go at the next call */
    bool owes_lf; /* ... and its last CR may still be followed by a LF */
};

struct pk_sse_event {
    pk_str name; /* empty when the event has none */
    pk_str data;
    pk_str raw;
    bool error; /* the framing itself says that it is one; never so here */
};

/* `arena` bounds the state to one event of PK_EVENT_BYTES_MAX. */
void pk_sse_init(struct pk_sse *s, struct pk_arena *arena);

/* Takes bytes from the front of *bytes until an event is complete (true; valid until the
 * next call) or they are used up (false). Events without data, such as comments, are
 * skipped. PK_TOO_LARGE is in *err when an event is over its limit (false too). */
bool pk_sse_next(struct pk_sse *s, pk_str *bytes, struct pk_sse_event *ev, struct pk_error *err);

/* Appends "event: name\ndata: data\n\n"; no event line when `name` is empty. `data` must
 * hold no line break, as JSON from json.h does. */
void pk_sse_print(struct pk_buf *out, pk_str name, pk_str data);

#endif
