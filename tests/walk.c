/* walk.c - lives of a call by the dice: see walk.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "walk.h"

int main(int argc, char **argv)
{
    long walks = argc > 1 ? strtol(argv[1], NULL, 10) : 100000, steps = 0;
    static struct walk w;

    for (long i = 0; i < walks && !test_failed; i++) {
        w = (struct walk){0};
        steps += live(&w, (uint64_t)i * 2654435761u + 1);
        if (test_failed)
            printf("# walk %ld\n", i);
    }
    printf("# %ld walks, %ld steps\n", walks, steps);
    printf("%s random legal walks end and keep every promise\n", test_failed ? "not ok" : "ok");
    return test_failed;
}
