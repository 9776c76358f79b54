/* fuzz_record.c - bytes that claim to be a flattened log row.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * They come out of shared memory or a queue: refused, or whole; and what was read is written alike.
 */
#include "fuzz.h"
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_record_room *room = pk_alloc(&arena, sizeof *room);
    struct pk_record_room *more = pk_alloc(&arena, sizeof *more);
    struct pk_record read, *r = &read, reread, *again = &reread;
    struct pk_buf once = pk_buf_in(&arena, 64 << 20), twice = pk_buf_in(&arena, 64 << 20);

    PK_ASSERT(room && more);
    if (pk_record_decode(fuzz_text(bytes, size), r, room)) {
        pk_record_encode(r, &once);
        PK_ASSERT(!once.failed && pk_record_decode(pk_buf_str(&once), again, more));
        pk_record_encode(again, &twice);
        PK_ASSERT(pk_str_eq(pk_buf_str(&once), pk_buf_str(&twice)));
        PK_ASSERT(r->span_count >= 0 && r->span_count <= PK_SPANS_MAX);
        PK_ASSERT(pk_status_name(r->status) && pk_cache_status_name(r->cache_status));
    }
    pk_arena_free(&arena);
    return 0;
}
