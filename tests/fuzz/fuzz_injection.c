/* fuzz_injection.c - any bytes scored: between 0 and 1, with a name when there is a score.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "fuzz.h"
#include "injection.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pk_injection found;

    pk_injection_score(fuzz_text(bytes, size), &found);
    PK_ASSERT(found.score >= 0 && found.score <= 1);
    PK_ASSERT(found.count >= 0 && found.count <= PK_INJECTION_MATCHES_MAX);
    PK_ASSERT((found.score > 0) == (found.count > 0));
    for (int i = 0; i < found.count; i++)
        PK_ASSERT(found.matches[i][0]);
    return 0;
}
