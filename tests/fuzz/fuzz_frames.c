/* fuzz_frames.c - a stream in any framing means the same however the network cuts it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces are. Any bytes are read as they are in each framing; and, as
 * no fuzzer guesses a checksum, as the headers and the payload of messages of AWS's event stream.
 */
#include "framing.h"
#include "fuzz.h"
#include "test_frames.h"

struct seen {
    struct pk_buf events;
    enum pk_code code;
};

static void add(struct seen *seen, const struct pk_sse_event *ev)
{
    pk_buf_addf(&seen->events, "%zu %zu %d\n", ev->name.len, ev->data.len, ev->error);
    pk_buf_add(&seen->events, ev->name);
    pk_buf_add(&seen->events, ev->data);
}

static struct seen read_all(struct pk_arena *arena, enum pk_framing framing, pk_str text,
                            size_t step)
{
    struct seen seen = {.events = pk_buf_in(arena, 64 << 20)};
    struct pk_error err = {0};
    struct pk_sse_event ev;
    struct pk_frames f;

    pk_frames_init(&f, framing, arena);
    for (size_t at = 0; at < text.len && err.code == PK_OK; at += step) {
        pk_str piece = pk_str_sub(text, at, step);
        while (pk_frames_next(&f, &piece, &ev, &err))
            add(&seen, &ev);
        PK_ASSERT(piece.len == 0 || err.code != PK_OK);
    }
    if (err.code == PK_OK && pk_frames_end(&f, &ev, &err))
        add(&seen, &ev);
    seen.code = err.code;
    return seen;
}

static void compare(enum pk_framing framing, pk_str text, size_t step)
{
    struct pk_arena arena = fuzz_arena();
    struct seen whole = read_all(&arena, framing, text, text.len + 1);
    struct seen cut = read_all(&arena, framing, text, step);

    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.events), pk_buf_str(&cut.events)));
    PK_ASSERT(whole.code == cut.code);
    PK_ASSERT(whole.code == PK_OK || whole.code == PK_BAD_ANSWER || whole.code == PK_TOO_LARGE);
    pk_arena_free(&arena);
}

static void messages(pk_str text, size_t step)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_buf out = pk_buf_in(&arena, 64 << 20);

    while (text.len) {
        pk_str headers = fuzz_part(&text), payload = fuzz_part(&text);

        frame_message(&out, headers, payload);
    }
    compare(PK_FRAMED_EVENTSTREAM, pk_buf_str(&out), step);
    pk_arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    pk_str text = fuzz_text(bytes + 1, size ? size - 1 : 0);

    if (size < 2)
        return 0;
    for (size_t step = 1; step <= (size_t)bytes[0] + 1; step += bytes[0] ? bytes[0] : 1) {
        compare(PK_FRAMED_SSE, text, step);
        compare(PK_FRAMED_EVENTSTREAM, text, step);
        compare(PK_FRAMED_LINES, text, step);
        messages(text, step);
    }
    return 0;
}
