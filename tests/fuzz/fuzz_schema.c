/* fuzz_schema.c - any text as a schema, any other as a value: refused with a place, or judged.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The schema, 0xff, the value.
 */
#include "fuzz.h"
#include "schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size), text = fuzz_part(&rest);
    const struct pk_schema *schema = NULL;
    struct pk_error err = {0};
    struct pk_json doc;

    if (!pk_schema_compile(&arena, text, size & 1 ? PK_SCHEMA_FORMATS : 0, &schema, &err)) {
        PK_ASSERT(err.code != PK_OK && err.msg[0] && !strchr(err.msg, '\n'));
    } else if (pk_json_parse(&arena, rest, "value", &doc, &err)) {
        enum pk_schema_verdict verdict = pk_schema_check(&arena, schema, &doc, 0, &err);

        PK_ASSERT((verdict == PK_SCHEMA_VALID) == (err.code == PK_OK));
        PK_ASSERT(verdict == PK_SCHEMA_VALID || (err.msg[0] && !strchr(err.msg, '\n')));
    }
    pk_arena_free(&arena);
    return 0;
}
