/* eventstream.h - AWS's event stream (application/vnd.amazon.eventstream), incrementally.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Follows "Event stream encoding" of the AWS SDKs' specification (Smithy: Amazon Event Stream). A
 * message is, all numbers big-endian:
 *
 *   total length u32 | headers length u32 | CRC-32 of these 8 bytes
 *   headers: name length u8, name, type u8, value ...
 *   payload
 *   CRC-32 of everything before
 *
 * Both checksums are checked, and every header must lie within its message. A message may be cut
 * anywhere between two feeds. Time is linear in the bytes fed.
 */
#ifndef PK_EVENTSTREAM_H
#define PK_EVENTSTREAM_H

#include "sse.h"

enum { PK_EVENTSTREAM_HEADERS_MAX = 128 << 10, PK_EVENTSTREAM_OVERHEAD = 16 };

struct pk_eventstream {
    struct pk_buf raw;  /* the message being read */
    struct pk_buf told; /* the data of an error that is told in headers alone */
    size_t total;       /* its length; 0: not known yet */
    size_t headers;     /* of its headers */
    bool ready;         /* a message was handed out: its strings go at the next call */
    bool failed;        /* malformed: nothing more can be read */
};

/* `arena` bounds the state to one message of PK_EVENT_BYTES_MAX. */
void pk_eventstream_init(struct pk_eventstream *s, struct pk_arena *arena);

/* Takes bytes from the front of *bytes until a message is complete (true; valid until the next call)
 * or they are used up (false). The name is that of :event-type, :exception-type or :error-code; the
 * two latter set `error`, and an error that has only an :error-message has it as {"message":...}.
 * False, with PK_BAD_ANSWER in *err, for a wrong checksum, a length or header that cannot be, or a
 * message of no known type; with PK_TOO_LARGE for one over the limit. */
bool pk_eventstream_next(struct pk_eventstream *s, pk_str *bytes, struct pk_sse_event *ev,
                         struct pk_error *err);

/* The end of the bytes: PK_BAD_ANSWER is in *err in the middle of a message. */
void pk_eventstream_end(const struct pk_eventstream *s, struct pk_error *err);

/* CRC-32 as in gzip and PNG (reflected, polynomial 0x04c11db7). */
uint32_t pk_crc32(pk_str bytes);

#endif
