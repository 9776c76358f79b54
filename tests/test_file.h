/* test_file.h - for test programs that read their cases from files.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_TEST_FILE_H
#define PK_TEST_FILE_H

#include "buf.h"

#include <stdio.h>

/* The whole file, in the arena; false when it cannot be read. */
static inline bool test_read_file(struct pk_arena *arena, const char *path, pk_str *out)
{
    struct pk_buf b = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    FILE *f = fopen(path, "rb");
    size_t n = 1;

    if (!f)
        return false;
    while (n > 0) {
        char *room = pk_buf_room(&b, 4096);

        n = room ? fread(room, 1, 4096, f) : 0;
        b.len += n;
    }
    (void)fclose(f);
    *out = pk_buf_str(&b);
    return !b.failed;
}

#endif
