/* sse.c - see sse.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Bytes are taken line by line. A blank line completes an event; what has been gathered stays
 * in the buffers until the next call, so that the event's strings can point there.
 */
#include "sse.h"

void pk_sse_init(struct pk_sse *s, struct pk_arena *arena)
{
    *s = (struct pk_sse){
        .line = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
        .data = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
        .event = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
        .raw = pk_buf_in(arena, PK_EVENT_BYTES_MAX),
    };
}

static void forget(struct pk_sse *s)
{
    pk_buf_reset(&s->data);
    pk_buf_reset(&s->event);
    pk_buf_reset(&s->raw);
    s->has_data = false;
}

/* One field; `id` and `retry` serve reconnecting, which a gateway does not do. */
static void take_field(struct pk_sse *s, pk_str name, pk_str value)
{
    if (pk_str_is(name, "data")) {
        if (s->has_data)
            pk_buf_addc(&s->data, '\n');
        pk_buf_add(&s->data, value);
        s->has_data = true;
    } else if (pk_str_is(name, "event")) {
        pk_buf_reset(&s->event);
        pk_buf_add(&s->event, value);
    }
}

/* A whole line without its end. True when it completes an event that has data. */
static bool take_line(struct pk_sse *s, pk_str line)
{
    if (!s->started && pk_str_starts(line, "\xef\xbb\xbf"))
        line = pk_str_sub(line, 3, line.len);
    s->started = true;
    if (line.len == 0) {
        if (!s->has_data)
            forget(s);
        return s->has_data;
    }
    int colon = pk_str_find(line, ':');
    if (colon == 0)
        return false;
    size_t name_len = colon < 0 ? line.len : (size_t)colon;
    pk_str value = pk_str_sub(line, name_len + 1, line.len);
    if (pk_str_starts(value, " "))
        value = pk_str_sub(value, 1, value.len);
    take_field(s, pk_str_sub(line, 0, name_len), value);
    return false;
}

/* The bytes in front of the first CR or LF; all of them when there is none. */
static size_t line_len(pk_str bytes)
{
    size_t n = 0;

    while (n < bytes.len && bytes.at[n] != '\n' && bytes.at[n] != '\r')
        n++;
    return n;
}

static void skip(pk_str *bytes, size_t len)
{
    bytes->at += len;
    bytes->len -= len;
}

/* The LF of a CRLF whose CR ended a line before. It goes with that line; when the event was handed
 * out already, it opens the next one's raw bytes, so that all of them put together are the bytes as
 * they came. With an event that was skipped it is skipped. */
static void take_lf(struct pk_sse *s, pk_str *bytes)
{
    if (!s->after_cr || bytes->len == 0)
        return;
    if (bytes->at[0] == '\n') {
        if (s->raw.len || s->owes_lf)
            pk_buf_addc(&s->raw, '\n');
        skip(bytes, 1);
    }
    s->after_cr = false;
    s->owes_lf = false;
}

/* Takes a line with its end from the front of *bytes, which is not empty. True when an event
 * is complete. */
static bool take(struct pk_sse *s, pk_str *bytes)
{
    size_t len = line_len(*bytes);
    pk_str line = {bytes->at, len};
    bool ended = len < bytes->len, complete;

    pk_buf_add(&s->raw, pk_str_sub(*bytes, 0, len + ended));
    if (s->line.len || !ended)
        pk_buf_add(&s->line, line);
    if (!ended) {
        skip(bytes, len);
        return false;
    }
    s->after_cr = bytes->at[len] == '\r';
    skip(bytes, len + 1);
    complete = take_line(s, s->line.len ? pk_buf_str(&s->line) : line);
    pk_buf_reset(&s->line);
    take_lf(s, bytes);
    return complete;
}

static bool over_limit(const struct pk_sse *s)
{
    return s->line.failed || s->data.failed || s->event.failed || s->raw.failed;
}

bool pk_sse_next(struct pk_sse *s, pk_str *bytes, struct pk_sse_event *ev, struct pk_error *err)
{
    if (s->ready) {
        forget(s);
        s->ready = false;
        s->owes_lf = s->after_cr;
    }
    take_lf(s, bytes);
    while (bytes->len && !over_limit(s)) {
        if (!take(s, bytes))
            continue;
        if (over_limit(s))
            break;
        s->ready = true;
        *ev = (struct pk_sse_event){.name = pk_buf_str(&s->event),
                                    .data = pk_buf_str(&s->data),
                                    .raw = pk_buf_str(&s->raw)};
        return true;
    }
    if (over_limit(s) && s->raw.arena->failed)
        (void)pk_fail(err, PK_NO_MEMORY, "event stream: out of memory");
    else if (over_limit(s))
        (void)pk_fail(err, PK_TOO_LARGE, "event stream: an event is larger than %d MiB",
                      PK_EVENT_BYTES_MAX >> 20);
    return false;
}

void pk_sse_print(struct pk_buf *out, pk_str name, pk_str data)
{
    if (name.len) {
        pk_buf_adds(out, "event: ");
        pk_buf_add(out, name);
        pk_buf_addc(out, '\n');
    }
    pk_buf_adds(out, "data: ");
    pk_buf_add(out, data);
    pk_buf_adds(out, "\n\n");
}
