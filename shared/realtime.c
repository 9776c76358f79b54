/* realtime.c - see realtime.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "realtime.h"

#include "dialect_parts.h"

#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 64 << 20 }; /* of memory, for one event and what is read from it */

static void release(void *self)
{
    struct pk_realtime *r = self;

    pk_arena_free(&r->message);
}

struct pk_realtime *pk_realtime_new(struct pk_arena *arena)
{
    struct pk_realtime *r = pk_alloc(arena, sizeof *r);

    if (!r)
        return NULL;
    pk_arena_init(&r->message, arena->from, MESSAGE_BYTES_MAX);
    r->message.wipe = true; /* what people say to each other */
    pk_wsframes_init(&r->frames, &r->message);
    return pk_defer(arena, release, r) ? r : NULL;
}

static bool has(pk_str text, const char *part)
{
    return text.len && memmem(text.at, text.len, part, strlen(part)) != NULL;
}

static void add(int64_t *sum, int64_t n)
{
    if (__builtin_add_overflow(*sum, n, sum))
        *sum = INT64_MAX;
}

/* Whether some of the tokens are no text. */
static bool has_other(const struct pk_json *doc, int details)
{
    return pk_dialect_count(doc, details, "audio_tokens") > 0 ||
           pk_dialect_count(doc, details, "image_tokens") > 0;
}

/* {"input_tokens", "output_tokens", "input_token_details": {"cached_tokens", "audio_tokens", ...}, ...}:
 * cached tokens are part of the input. */
static void read_usage(struct pk_realtime *r, const struct pk_json *doc, int usage)
{
    int in = pk_json_get(doc, usage, "input_token_details");
    int out = pk_json_get(doc, usage, "output_token_details");
    int64_t input = pk_dialect_count(doc, usage, "input_tokens");
    int64_t cached = pk_dialect_count(doc, in, "cached_tokens");

    if (pk_json_type(doc, usage) != PK_JSON_OBJECT)
        return;
    if (cached > input)
        cached = input;
    r->usage.source = PK_USAGE_PROVIDER;
    add(&r->usage.input, input - cached);
    add(&r->usage.cache_read, cached);
    add(&r->usage.output, pk_dialect_count(doc, usage, "output_tokens"));
    if (has_other(doc, in) || has_other(doc, out))
        r->why = "audio and image tokens have no price here";
}

static void note_model(struct pk_realtime *r, pk_str model)
{
    (void)snprintf(r->model, sizeof r->model, "%.*s",
                   PK_FMT(pk_dialect_shorten(model, sizeof r->model - 1)));
}

static void read_event(struct pk_realtime *r, pk_str text)
{
    struct pk_error unused = {0};
    struct pk_json doc;

    if (!pk_json_parse(&r->message, text, "event", &doc, &unused)) {
        r->frames.unread++;
        return;
    }
    int type = pk_json_get(&doc, 0, "type");
    if (pk_json_is(&doc, type, "response.done"))
        read_usage(r, &doc, pk_json_at(&doc, "response.usage"));
    else if (pk_json_is(&doc, type, "conversation.item.input_audio_transcription.completed"))
        r->why = "transcription has a price of its own";
    else if (pk_json_is(&doc, type, "session.created") || pk_json_is(&doc, type, "session.updated"))
        note_model(r, pk_json_str(&r->message, &doc, pk_json_at(&doc, "session.model")));
}

/* Most events are pieces of audio, which are not worth a look. */
static bool is_of_interest(pk_str text)
{
    return has(text, "\"response.done\"") || has(text, "_audio_transcription.completed\"") ||
           has(text, "\"session.created\"") || has(text, "\"session.updated\"");
}

/* A usage that was not read makes the sum a guess: then there is none. */
static void note_unread(struct pk_realtime *r)
{
    r->usage = (struct pk_usage){0};
    r->why = "a message of the session could not be read";
}

void pk_realtime_feed(struct pk_realtime *r, pk_str bytes)
{
    pk_str text;

    while (pk_wsframes_next(&r->frames, &bytes, &text)) {
        if (is_of_interest(text))
            read_event(r, text);
        pk_arena_free(&r->message);
        r->frames.text = pk_buf_in(&r->message, PK_WS_MESSAGE_BYTES_MAX);
    }
    if (r->frames.unread)
        note_unread(r);
}
