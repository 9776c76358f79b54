/* stream.h - a streamed answer on its way from the provider to the client.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bytes -> framing.h -> back->event -> deltas -+-> assembled: the answer for log and cache
 *                                                +-> front->print_delta -> bytes for the client
 *
 * When front and back are the same dialect (dialect.h: like) the client gets each event's own bytes, but for
 * characters at which some readers end a line (json.h). Only a
 * terminal delta makes the answer complete: a stream that merely ends is cut, unless its dialect can
 * tell from what came that it is whole.
 */
#ifndef PK_STREAM_H
#define PK_STREAM_H

#include "dialect.h"

enum { PK_STREAM_CHOICES_MAX = 16, PK_STREAM_TOOLS_MAX = 128, PK_STREAM_MEMBERS_MAX = 8 };

struct pk_stream_tool {
    int choice, index;
    pk_str id, name, extra;
    struct pk_buf arguments;
};

struct pk_stream_member {
    pk_str name;
    struct pk_buf json;
};

/* What few answers have. */
struct pk_stream_more {
    struct pk_buf images, logprobs; /* their items as JSON, separated by commas */
    pk_str extra;                   /* the message's extra_content */
    struct pk_stream_member members[PK_STREAM_MEMBERS_MAX];
    int member_count;
};

struct pk_stream_choice {
    bool used;
    struct pk_buf text, reasoning, refusal;
    struct pk_buf thinking;      /* whole thinking blocks as JSON, separated by commas */
    struct pk_stream_more *more; /* NULL: nothing of it has come */
    pk_str finish_reason;
    pk_str ended; /* the provider's word for it, where more may follow */
};

/* An Anthropic message while its events come: blocks are put together one after the other. */
struct pk_stream_message {
    pk_str start;          /* the message of message_start */
    pk_str end;            /* the delta of message_delta */
    pk_str usage;          /* the counts so far, later ones in place of earlier ones */
    struct pk_buf content; /* whole blocks as JSON, separated by commas */
    bool open;             /* a block is being read: */
    int64_t index;         /* which */
    int kind;              /* of what kind, in the dialect's own numbers */
    int tool;              /* tool calls up to it */
    pk_str block;          /* its content_block */
    struct pk_buf text, signature, citations; /* of its deltas; `text` is JSON in a tool's block */
};

struct pk_stream {
    struct pk_arena *arena;
    struct pk_arena scratch; /* what one event needs */
    const struct pk_dialect *front, *back;
    bool passes;                   /* the client speaks what comes */
    bool with_usage;               /* the client asked for usage in the stream */
    int64_t created_s;             /* seconds since 1970, for fronts that print it */
    pk_str asked;                  /* the model asked for; may be set after pk_stream_new() */
    pk_str made_id;                /* likewise: for an answer whose provider names none */
    const struct pk_json *request; /* the client's body, likewise; or NULL */
    struct pk_frames frames;
    struct pk_buf *out; /* where deltas are printed during a feed */

    /* The answer so far. */
    pk_str id, model;
    struct pk_usage usage;
    struct pk_stream_choice *choices; /* as far as any has been met; the first always is there */
    int choice_count;
    struct pk_stream_tool *tools;
    int tool_count;
    struct pk_stream_member kept[PK_STREAM_MEMBERS_MAX]; /* of the answer, beside its choices */
    int kept_count;
    struct pk_fault fault; /* of an error event */
    bool content;  /* something that a client can see has come: text, a tool call, a finish */
    bool complete; /* the terminal event has come, */
    size_t end_at; /* and what it printed begins here in the `out` of that feed */
    bool failed;   /* an error event has come */
    bool lossy;    /* `body` would not show all that came: keep it out of the cache */

    /* For the dialects' own use while reading and printing. */
    struct pk_stream_message message;
    bool withhold; /* this event is not for the client, */
    pk_str shown;  /* or as these bytes, when its own are in other frames */
    pk_str head;   /* what every chunk starts with */
    void *printer; /* the front's own */
};

struct pk_stream *pk_stream_new(struct pk_arena *arena, const struct pk_dialect *front,
                                const struct pk_dialect *back, bool with_usage, int64_t created_s);

/* A stream to put a complete answer together with, in OpenAI's shape: id, model and usage are in `a`. */
struct pk_stream *pk_stream_of(struct pk_arena *arena, const struct pk_dialect *back,
                               const struct pk_answer *a);

/* Takes upstream bytes and appends the client's to `out`. False when the stream is malformed
 * (PK_BAD_ANSWER), over a limit (PK_TOO_LARGE), or carried the provider's error (PK_UPSTREAM;
 * s->failed and s->fault are set): what came before in the same bytes is in `out`. */
bool pk_stream_feed(struct pk_stream *s, pk_str bytes, struct pk_buf *out,
                    struct pk_error *err) PK_MUST_CHECK;

/* Takes the end of the upstream bytes, and appends what it means for the client. Fails as
 * pk_stream_feed() does; s->complete says whether the answer is whole. */
bool pk_stream_end(struct pk_stream *s, struct pk_buf *out, struct pk_error *err) PK_MUST_CHECK;

/* Takes one delta: adds it to the answer and, while bytes are fed across dialects, prints it. */
void pk_stream_take(struct pk_stream *s, const struct pk_delta *d);

/* Keeps a member of the whole answer, JSON, that stands beside its choices; a later one of the name replaces it. */
void pk_stream_keep(struct pk_stream *s, pk_str name, pk_str json);

/* Choice i, below PK_STREAM_CHOICES_MAX, which is there from now on: others may move. NULL: no memory. */
struct pk_stream_choice *pk_stream_choice(struct pk_stream *s, int i);

/* How many tool calls a choice has so far. */
int pk_stream_tools(const struct pk_stream *s, int choice);

/* The assembled answer; of a stream that was cut, as far as it came. */
bool pk_stream_answer(struct pk_stream *s, struct pk_answer *a, struct pk_error *err) PK_MUST_CHECK;

/* Tells the client that the stream broke: an error event, never a clean end. */
void pk_stream_abort(const struct pk_dialect *front, const struct pk_fault *f, pk_str provider,
                     struct pk_buf *out);

#endif
