/* fuzz_machine.c - the lives of a call that any bytes choose, with what providers say in them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The choices, a byte each, and then what providers say, each behind 0xff.
 */
#include "walk.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    enum { SAID_MAX = 16 };
    static struct walk w;
    pk_str said[SAID_MAX], rest = fuzz_text(bytes, size);

    w = (struct walk){.choices = fuzz_part(&rest), .said = said};
    while (rest.len && w.said_count < SAID_MAX)
        said[w.said_count++] = fuzz_part(&rest);
    test_failed = false;
    (void)live(&w, w.choices.len ? (unsigned char)w.choices.at[0] : 1);
    PK_ASSERT(!test_failed);
    return 0;
}
