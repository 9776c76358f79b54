/* vault_test.c - pieces are apart, wiped when given back, and in no core dump.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "vault.h"

#include "test.h"

#include <string.h>

/* Whether the kernel has `flag` ("dd": not dumped) on the mapping that holds `at`. */
static bool mapped_with(const void *at, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, found = false;

    while (smaps && fgets(line, sizeof line, smaps)) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)at >= from && (unsigned long)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    if (smaps)
        (void)fclose(smaps);
    return found;
}

static void pieces_are_apart(void)
{
    struct pk_vault v = {0};
    char *pieces[200];

    for (size_t i = 0; i < PK_COUNT(pieces); i++) {
        pieces[i] = pk_vault_take(&v, i % 7 ? 1 + i * 5 : 3000);
        if (!EXPECT(pieces[i]))
            return;
        memset(pieces[i], (int)i, i % 7 ? 1 + i * 5 : 3000);
    }
    for (size_t i = 0; i < PK_COUNT(pieces); i++) {
        EXPECT(pieces[i][0] == (char)i && pieces[i][i % 7 ? i * 5 : 2999] == (char)i);
        pk_vault_give(&v, pieces[i], i % 7 ? 1 + i * 5 : 3000);
    }
    EXPECT(pk_vault_take(&v, 10) != NULL);
    pk_vault_give(&v, NULL, 10);
    pk_vault_free(&v);
    EXPECT(!v.slabs && !v.free);
}

static void a_piece_is_wiped_when_it_is_given_back(void)
{
    struct pk_vault v = {0};
    char *piece = pk_vault_take(&v, 100);

    if (!EXPECT(piece))
        return;
    memcpy(piece + 50, "sk-secret", 9);
    pk_vault_give(&v, piece, 100);
    EXPECT(piece[50] == 0 && piece[58] == 0);
    EXPECT(pk_vault_take(&v, 100) == piece);
    pk_vault_free(&v);
}

static void the_kernel_leaves_it_out_of_core_dumps(void)
{
    struct pk_vault v = {0};
    char *small = pk_vault_take(&v, 100), *large = pk_vault_take(&v, 100000);
    char *other = malloc(1 << 20);

    if (!EXPECT(small && large && other)) {
        free(other);
        return;
    }
    EXPECT(mapped_with(small, " dd") && mapped_with(large + 99999, " dd"));
    EXPECT(!mapped_with(other, " dd"));
    pk_vault_give(&v, large, 100000);
    pk_vault_free(&v);
    free(other);
}

int main(void)
{
    RUN(pieces_are_apart);
    RUN(a_piece_is_wiped_when_it_is_given_back);
    RUN(the_kernel_leaves_it_out_of_core_dumps);
    return test_end();
}
