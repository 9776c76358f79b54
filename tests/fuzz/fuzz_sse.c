/* fuzz_sse.c - server-sent events mean the same however the network cuts them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The first byte says how long the pieces are.
 */
#include "fuzz.h"
#include "sse.h"

/* All events one after the other: what they say, and their bytes as they came. */
struct seen {
    struct pk_buf events, raw;
};

static struct seen read_all(struct pk_arena *arena, pk_str text, size_t step)
{
    struct seen seen = {pk_buf_in(arena, 64 << 20), pk_buf_in(arena, 64 << 20)};
    struct pk_error err = {0};
    struct pk_sse_event ev;
    struct pk_sse s;

    pk_sse_init(&s, arena);
    for (size_t at = 0; at < text.len && err.code == PK_OK; at += step) {
        pk_str piece = pk_str_sub(text, at, step);
        while (pk_sse_next(&s, &piece, &ev, &err)) {
            pk_buf_addf(&seen.events, "%zu %zu\n", ev.name.len, ev.data.len);
            pk_buf_add(&seen.events, ev.name);
            pk_buf_add(&seen.events, ev.data);
            pk_buf_add(&seen.raw, ev.raw);
        }
        PK_ASSERT(piece.len == 0 || err.code != PK_OK);
    }
    return seen;
}

/* However it is cut, it says the same; and so do the bytes that a client gets of it. */
static void compare(struct pk_arena *arena, pk_str text, size_t step)
{
    struct seen whole = read_all(arena, text, text.len), cut = read_all(arena, text, step);
    pk_str raw = pk_buf_str(&cut.raw);

    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.events), pk_buf_str(&cut.events)));
    if (raw.len == 0 || pk_str_starts(raw, "\xef\xbb\xbf"))
        return; /* a BOM may come to the front when what was before it is skipped */
    struct seen again = read_all(arena, raw, raw.len);
    PK_ASSERT(pk_str_eq(pk_buf_str(&whole.events), pk_buf_str(&again.events)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();

    if (size > 1) {
        compare(&arena, fuzz_text(bytes + 1, size - 1), 1);
        compare(&arena, fuzz_text(bytes + 1, size - 1), (size_t)bytes[0] + 1);
    }
    pk_arena_free(&arena);
    return 0;
}
