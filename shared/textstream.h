/* textstream.h - OpenAI's text completions as streams: put together from the events of one, and told as one.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The events pass to the client as they come (call_pass.c); what is put together here is for the log and the cache.
 */
#ifndef PK_TEXTSTREAM_H
#define PK_TEXTSTREAM_H

#include "json.h"

enum { PK_TEXT_CHOICES_MAX = 128, PK_TEXT_BYTES_MAX = 4 << 20 };

struct pk_text_choice {
    bool given;
    struct pk_buf text;
    pk_str finish; /* empty: it has not ended */
};

struct pk_text_stream {
    struct pk_arena *arena;
    struct pk_text_choice choices[PK_TEXT_CHOICES_MAX];
    pk_str head;  /* the members around the choices, of the first event */
    pk_str usage; /* JSON; empty: none was told */
    bool lossy;   /* an event had what cannot be put together: log probabilities, too much text */
};

/* NULL: no memory. What it keeps is in `arena`. */
struct pk_text_stream *pk_text_new(struct pk_arena *arena);

/* One event; `scratch` may be emptied behind it. */
void pk_text_take(struct pk_text_stream *t, struct pk_arena *scratch, const struct pk_json *event);

/* All of it as one answer, and why its first choice ended. False when it is not whole, or more than could be kept. */
bool pk_text_answer(const struct pk_text_stream *t, pk_str *body, pk_str *finish_reason);

/* An answer as the events of a stream. False when it is no text completion. */
bool pk_text_replay(const struct pk_json *answer, bool with_usage, struct pk_buf *out);

#endif
