/* lines.c - see lines.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lines.h"

#include <string.h>

void pk_lines_init(struct pk_lines *s, struct pk_arena *arena)
{
    *s = (struct pk_lines){.line = pk_buf_in(arena, PK_EVENT_BYTES_MAX)};
}

/* Hands the gathered line out, unless it is blank. */
static bool hand_out(struct pk_lines *s, struct pk_sse_event *ev)
{
    pk_str raw = pk_buf_str(&s->line);

    *ev = (struct pk_sse_event){.data = pk_str_trim(raw), .raw = raw};
    if (ev->data.len == 0) {
        pk_buf_reset(&s->line);
        return false;
    }
    s->ready = true;
    return true;
}

static void forget(struct pk_lines *s)
{
    if (s->ready)
        pk_buf_reset(&s->line);
    s->ready = false;
}

bool pk_lines_next(struct pk_lines *s, pk_str *bytes, struct pk_sse_event *ev, struct pk_error *err)
{
    forget(s);
    while (bytes->len && !s->line.failed) {
        const char *end = memchr(bytes->at, '\n', bytes->len);
        size_t len = end ? (size_t)(end - bytes->at) + 1 : bytes->len;

        pk_buf_add(&s->line, pk_str_sub(*bytes, 0, len));
        *bytes = pk_str_sub(*bytes, len, bytes->len);
        if (!s->line.failed && end && hand_out(s, ev))
            return true;
    }
    if (s->line.failed && s->line.arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "lines: out of memory");
    if (s->line.failed)
        return pk_fail(err, PK_TOO_LARGE, "lines: a line is larger than %d MiB",
                       PK_EVENT_BYTES_MAX >> 20);
    return false;
}

bool pk_lines_end(struct pk_lines *s, struct pk_sse_event *ev)
{
    forget(s);
    return !s->line.failed && hand_out(s, ev);
}
