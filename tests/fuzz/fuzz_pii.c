/* fuzz_pii.c - any text searched for personal data: spans in order and inside, and none left when they are
 * taken out; as JSON, a document that is JSON still.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "fuzz.h"
#include "pii.h"

static void spans(pk_str text)
{
    struct pk_pii_span span;

    for (size_t at = 0; pk_pii_next(text, PK_PII_ALL, at, &span); at = span.start + span.len) {
        PK_ASSERT(span.start >= at && span.len > 0 && span.len <= text.len - span.start);
        PK_ASSERT(pk_pii_name(span.category)[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    struct pk_buf out = pk_buf_in(&arena, 16 * size + 64);
    pk_str text = fuzz_text(bytes, size), clean;
    struct pk_error err = {0};
    struct pk_json doc;

    spans(text);
    int count = pk_pii_redact(&out, text, PK_PII_ALL);
    PK_ASSERT(!out.failed && (count > 0 || pk_str_eq(pk_buf_str(&out), text)));
    if (pk_pii_redact_json(&arena, text, PK_PII_ALL, &clean, &err))
        PK_ASSERT(pk_json_parse(&arena, clean, "clean", &doc, &err));
    pk_arena_free(&arena);
    return 0;
}
