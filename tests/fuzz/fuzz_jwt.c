/* fuzz_jwt.c - any text as a token, any other as the keys: refused, with a reason that quotes nothing.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The token, 0xff, the key set.
 */
#include "fuzz.h"
#include "jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_arena arena = fuzz_arena();
    pk_str rest = fuzz_text(bytes, size), token = fuzz_part(&rest);
    struct pk_jwt_rules rules = {.now_s = 1300819000, .clock_tolerance_s = (int64_t)size % 7};
    struct pk_error err = {0};

    if (!pk_jwt_verify(&arena, token, rest, &rules, &err))
        PK_ASSERT(err.code != PK_OK && err.msg[0] && !strchr(err.msg, '\n'));
    pk_arena_free(&arena);
    return 0;
}
