/* test.h - what every test program shares: named cases, counted by tests/run.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A program prints "ok NAME", "not ok NAME" or "skip NAME: why" for each case, and exits with 1 when one
 * failed. A case is a function whose name reads as a sentence; it fails when an EXPECT in it does.
 */
#ifndef PK_TEST_H
#define PK_TEST_H

#include "base.h"

#include <stdio.h>
#include <stdlib.h>

static int test_failures;
static bool test_failed; /* an EXPECT of the running case did not hold */

static inline bool test_expect(bool held, const char *file, int line, const char *text)
{
    if (!held) {
        printf("# %s:%d: %s\n", file, line, text);
        test_failed = true;
    }
    return held;
}

/* Notes a failure and goes on; the value says whether it held. */
#define EXPECT(condition) test_expect((condition), __FILE__, __LINE__, #condition)

static inline void test_run(const char *name, void (*test)(void))
{
    test_failed = false;
    test();
    printf("%s %s\n", test_failed ? "not ok" : "ok", name);
    test_failures += test_failed;
}

#define RUN(test) test_run(#test, test)

static inline int test_end(void)
{
    return test_failures != 0;
}

/* Every host supplies pk_bug(); in tests it aborts. */
_Noreturn void pk_bug(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

#endif
