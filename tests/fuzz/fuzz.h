/* fuzz.h - what every fuzz target shares.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput(); its seeds are in corpus/NAME/. A line " * Links FILE..."
 * in it names what it needs beside the core, and " * Seeds FOLDER..." more seeds.
 * What must hold is said with PK_ASSERT: it ends the program, which the fuzzer takes for a finding.
 */
#ifndef PK_FUZZ_H
#define PK_FUZZ_H

#include "arena.h"
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#ifndef PK_TEST_H /* which has one */
_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}
#endif

/* An arena with a limit that no input of a fuzzer should need. */
static inline struct pk_arena fuzz_arena(void)
{
    struct pk_arena a;

    pk_arena_init(&a, pk_allocator_malloc(), (size_t)256 << 20);
    return a;
}

static inline pk_str fuzz_text(const uint8_t *bytes, size_t size)
{
    return (pk_str){(const char *)bytes, size};
}

/* Takes what stands before the first 0xff (which JSON never has) off the front of *rest. */
static inline pk_str fuzz_part(pk_str *rest)
{
    const char *end = rest->len ? memchr(rest->at, 0xff, rest->len) : NULL;
    pk_str part = {rest->at, end ? (size_t)(end - rest->at) : rest->len};

    *rest = end ? (pk_str){end + 1, rest->len - part.len - 1} : PK_NONE;
    return part;
}

#endif
