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
    struct pk_record *r = pk_alloc(&arena, sizeof(*r)), *again = pk_alloc(&arena, sizeof(*again));
    struct pk_buf once = pk_buf_in(&arena, 64 << 20), twice = pk_buf_in(&arena, 64 << 20);

    PK_ASSERT(r && again);
    if (pk_record_decode(fuzz_text(bytes, size), r)) {
        pk_record_encode(r, &once);
        PK_ASSERT(!once.failed && pk_record_decode(pk_buf_str(&once), again));
        pk_record_encode(again, &twice);
        PK_ASSERT(pk_str_eq(pk_buf_str(&once), pk_buf_str(&twice)));
        PK_ASSERT(r->span_count >= 0 && r->span_count <= (int)PK_COUNT(r->spans));
        PK_ASSERT(pk_status_name(r->status) && pk_cache_status_name(r->cache_status));
    }
    pk_arena_free(&arena);
    return 0;
}
