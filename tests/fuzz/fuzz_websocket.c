/* fuzz_websocket.c - WebSocket frames mean the same however the network cuts them, and a session's sums are sane.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces are.
 */
#include "fuzz.h"
#include "realtime.h"

struct seen {
    struct pk_buf messages;
    bool closed, between;
    int64_t unread;
};

static struct seen read_all(struct pk_arena *arena, pk_str bytes, size_t step)
{
    struct seen seen = {.messages = pk_buf_in(arena, 64 << 20)};
    struct pk_wsframes w;
    pk_str text;

    pk_wsframes_init(&w, arena);
    for (size_t at = 0; at < bytes.len; at += step) {
        pk_str piece = pk_str_sub(bytes, at, step);

        while (pk_wsframes_next(&w, &piece, &text)) {
            PK_ASSERT(text.len <= PK_WS_MESSAGE_BYTES_MAX);
            pk_buf_addf(&seen.messages, "%zu:", text.len);
            pk_buf_add(&seen.messages, text);
        }
        PK_ASSERT(piece.len == 0);
        PK_ASSERT(!w.broken || !pk_wsframes_between(&w));
    }
    seen.closed = w.closed;
    seen.between = pk_wsframes_between(&w);
    seen.unread = w.unread;
    return seen;
}

static void compare(struct pk_arena *arena, pk_str bytes, size_t step)
{
    struct seen whole = read_all(arena, bytes, bytes.len), cut = read_all(arena, bytes, step);

    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.messages), pk_buf_str(&cut.messages)));
    PK_ASSERT(whole.closed == cut.closed && whole.between == cut.between);
    PK_ASSERT(whole.unread == cut.unread);
}

static void add_up(struct pk_arena *arena, pk_str bytes)
{
    struct pk_realtime *r = pk_realtime_new(arena);

    PK_ASSERT(r);
    pk_realtime_feed(r, bytes);
    PK_ASSERT(r->usage.input >= 0 && r->usage.cache_read >= 0 && r->usage.output >= 0);
    PK_ASSERT(r->usage.source == PK_USAGE_NONE || r->frames.unread == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();

    if (size > 1) {
        pk_str text = fuzz_text(bytes + 1, size - 1);

        compare(&arena, text, 1);
        compare(&arena, text, (size_t)bytes[0] + 1);
        add_up(&arena, text);
    }
    pk_arena_free(&arena);
    return 0;
}
