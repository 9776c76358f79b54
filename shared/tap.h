/* tap.h - reads along answers that are passed as they come, in whichever API's words: what was used.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Nothing that is read here changes what the client gets, and nothing that cannot be read is an error: then the
 * usage is not known.
 */
#ifndef PK_TAP_H
#define PK_TAP_H

#include "dialect.h"
#include "framing.h"
#include "json.h"
#include "textstream.h"
#include "usage.h"

/* The tokens that a document names: an answer, or an event of a stream, of OpenAI's, Anthropic's, Google's or
 * Cohere's APIs and of those that are like them. False when it names none. */
bool pk_tap_usage(const struct pk_json *doc, struct pk_usage *u);

struct pk_tap {
    struct pk_arena *arena;  /* of the call */
    struct pk_arena scratch; /* what one event needs; empty between two feeds */
    struct pk_frames frames;
    struct pk_usage usage;       /* the largest counts so far: they grow along a stream */
    int64_t pieces;              /* the events that were JSON without a count: about a token each */
    struct pk_text_stream *text; /* puts a text completion together; NULL: it is none */
    pk_str model;                /* as the provider names it; empty: it has not */
    struct pk_error
        error; /* PK_UPSTREAM: an event was an error; what it says of it is in `fault` */
    struct pk_fault fault;
    bool
        ended; /* an event was one that OpenAI's streams end with: [DONE], "....completed", "....done" */
    bool broken; /* an event could not be read: what follows is not looked at */
};

/* Of a stream with this content type; NULL when it is none whose events could be read, or memory is short. */
struct pk_tap *pk_tap_new(struct pk_arena *arena, pk_str content_type);
void pk_tap_feed(struct pk_tap *t, pk_str bytes);

#endif
