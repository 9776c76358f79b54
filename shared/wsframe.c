/* wsframe.c - see wsframe.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "wsframe.h"

#include <string.h>

enum {
    FIN = 0x80,
    RESERVED = 0x70, /* bits that belong to extensions */
    OPCODE = 0x0f,
    MASKED = 0x80,
    LENGTH = 0x7f,
    CONTROL = 0x08, /* in the opcode: never fragmented, and short */
    CONTROL_BYTES_MAX = 125,
};

enum opcode { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

void pk_wsframes_init(struct pk_wsframes *w, struct pk_arena *arena)
{
    *w = (struct pk_wsframes){.text = pk_buf_in(arena, PK_WS_MESSAGE_BYTES_MAX)};
}

static enum opcode opcode_of(const struct pk_wsframes *w)
{
    return (enum opcode)(w->head[0] & OPCODE);
}

static bool is_control(const struct pk_wsframes *w)
{
    return w->head[0] & CONTROL;
}

/* How long the head is, as far as its first two bytes are there. */
static size_t head_size(const struct pk_wsframes *w)
{
    int length = w->head_len < 2 ? 0 : w->head[1] & LENGTH;

    return length == 126 ? 4 : length == 127 ? 10 : 2;
}

static uint64_t payload_size(const struct pk_wsframes *w)
{
    size_t size = head_size(w);
    uint64_t n = 0;

    if (size == 2)
        return w->head[1] & LENGTH;
    for (size_t i = 2; i < size; i++)
        n = n << 8 | w->head[i];
    return n;
}

/* Whether a server may send this head. */
static bool is_sound(const struct pk_wsframes *w)
{
    bool fin = w->head[0] & FIN;

    if (w->head[0] & RESERVED || w->head[1] & MASKED || payload_size(w) > INT64_MAX)
        return false;
    switch (opcode_of(w)) {
    case CONTINUATION:
    case TEXT:
    case BINARY: return true;
    case CLOSE:
    case PING:
    case PONG: return fin && payload_size(w) <= CONTROL_BYTES_MAX;
    }
    return false;
}

static void give_up(struct pk_wsframes *w)
{
    w->broken = true;
    w->unread++;
    w->reading = false;
}

static void open_frame(struct pk_wsframes *w)
{
    w->inside = true;
    w->left = payload_size(w);
    if (!is_sound(w)) {
        give_up(w);
        return;
    }
    if (opcode_of(w) == TEXT) {
        w->reading = true;
        w->too_long = false;
        pk_buf_reset(&w->text);
    } else if (opcode_of(w) == BINARY) {
        w->reading = false;
    }
}

/* Takes head bytes until the head is complete. */
static void take_head(struct pk_wsframes *w, pk_str *bytes)
{
    while (bytes->len && w->head_len < head_size(w)) {
        w->head[w->head_len++] = (uint8_t)bytes->at[0];
        *bytes = pk_str_sub(*bytes, 1, bytes->len);
    }
    if (w->head_len >= 2 && w->head_len == head_size(w))
        open_frame(w);
}

static void take_payload(struct pk_wsframes *w, pk_str *bytes)
{
    pk_str part = pk_str_sub(*bytes, 0, w->left < bytes->len ? (size_t)w->left : bytes->len);

    *bytes = pk_str_sub(*bytes, part.len, bytes->len);
    w->left -= part.len;
    if (!w->reading || is_control(w) || w->too_long)
        return;
    w->too_long = part.len > PK_WS_MESSAGE_BYTES_MAX - w->text.len;
    if (!w->too_long)
        pk_buf_add(&w->text, part);
}

/* The frame is complete; true: and with it a text message that can be read. */
static bool close_frame(struct pk_wsframes *w)
{
    bool last = w->head[0] & FIN;

    w->closed = w->closed || opcode_of(w) == CLOSE;
    w->inside = false;
    w->head_len = 0;
    if (is_control(w) || !last || !w->reading)
        return false;
    w->reading = false;
    if (!w->too_long && !w->text.failed)
        return true;
    w->unread++;
    return false;
}

bool pk_wsframes_next(struct pk_wsframes *w, pk_str *bytes, pk_str *text)
{
    for (;;) {
        if (w->broken) {
            *bytes = PK_NONE;
            return false;
        }
        if (!w->inside)
            take_head(w, bytes);
        if (!w->inside && bytes->len == 0)
            return false;
        if (w->broken || !w->inside)
            continue;
        take_payload(w, bytes);
        if (w->left)
            return false;
        if (!close_frame(w))
            continue;
        *text = pk_buf_str(&w->text);
        return true;
    }
}

bool pk_wsframes_between(const struct pk_wsframes *w)
{
    return !w->broken && !w->inside && w->head_len == 0;
}
