/* wsframe.h - reads a copy of what a WebSocket server sends (RFC 6455, section 5).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The frames themselves pass untouched. Of interest are whole text messages, put together from their
 * fragments, the server's close frame, and whether a frame of our own could be put here. A message that
 * is too long is passed over, and counted; so is everything behind bytes that are no frames, or that an
 * extension has changed.
 */
#ifndef PK_WSFRAME_H
#define PK_WSFRAME_H

#include "buf.h"

enum { PK_WS_MESSAGE_BYTES_MAX = 4 << 20 }; /* a text message that is read */

struct pk_wsframes {
    uint8_t head[10]; /* of the frame that is coming: 2 bytes, and up to 8 of a length */
    size_t head_len;
    bool inside;        /* its head is complete, */
    uint64_t left;      /* and this much of its payload is still to come */
    bool reading;       /* a text message has begun, */
    bool too_long;      /* which is passed over */
    struct pk_buf text; /* what has come of it */
    bool whole;         /* it was returned: the next begins anew */
    int64_t unread;     /* text messages that were too long, and all that is behind `broken` */
    bool broken;        /* not frames, or changed by an extension: nothing more is read */
    bool closed;        /* the server's close frame has come */
};

/* Text is collected in `arena`, which is the caller's to empty (with the next init) once a message is read. */
void pk_wsframes_init(struct pk_wsframes *w, struct pk_arena *arena);

/* Takes bytes off the front of *bytes. True: *text is a whole text message, valid until the next call; there
 * may be more. False: all bytes are taken. */
bool pk_wsframes_next(struct pk_wsframes *w, pk_str *bytes, pk_str *text);

/* Whether the bytes so far end with a frame, so that another may follow. */
bool pk_wsframes_between(const struct pk_wsframes *w);

#endif
