/* blocks.c - see blocks.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A shelf for every size up to SHELVES units; blocks of other sizes come and go by malloc().
 */
#include "blocks.h"

#include <stdalign.h>
#include <stdlib.h>

enum {
    UNIT_BYTES = 1024,
    SHELVES = 32,
    ODD_BYTES =
        64, /* a size of so many bytes above whole units is not rounded up: arenas ask for such */
#ifdef __SANITIZE_ADDRESS__
    KEPT_BYTES_MAX = 0, /* what is used after it was given back is to be found */
#else
    KEPT_BYTES_MAX = 2 << 20,
#endif
};

struct block {
    alignas(max_align_t) size_t units;
    struct block *next; /* of those that are kept */
};

struct pkd_blocks {
    struct block *shelves[SHELVES];
    size_t kept; /* bytes */
};

static size_t units_of(size_t size)
{
    return size <= ODD_BYTES ? 1 : (size - ODD_BYTES + UNIT_BYTES - 1) / UNIT_BYTES;
}

static size_t bytes_of(size_t units)
{
    return sizeof(struct block) + units * UNIT_BYTES + ODD_BYTES;
}

static void *take(void *ctx, size_t size)
{
    struct pkd_blocks *b = ctx;
    size_t units = units_of(size);
    struct block *k = units < SHELVES ? b->shelves[units] : NULL;

    if (k) {
        b->shelves[units] = k->next;
        __builtin_prefetch(k->next); /* the one that is asked for next */
        b->kept -= bytes_of(units);
        return k + 1;
    }
    k = size < SIZE_MAX / 2 ? malloc(bytes_of(units)) : NULL;
    if (!k)
        return NULL;
    k->units = units;
    return k + 1;
}

static void give(void *ctx, void *bytes)
{
    struct pkd_blocks *b = ctx;
    struct block *k = (struct block *)bytes - 1;

    if (k->units >= SHELVES || b->kept + bytes_of(k->units) > KEPT_BYTES_MAX) {
        free(k);
        return;
    }
    k->next = b->shelves[k->units];
    b->shelves[k->units] = k;
    b->kept += bytes_of(k->units);
}

struct pk_allocator pkd_blocks_allocator(struct pkd_blocks *b)
{
    return (struct pk_allocator){b, take, give};
}

struct pkd_blocks *pkd_blocks_new(void)
{
    return calloc(1, sizeof(struct pkd_blocks));
}

void pkd_blocks_free(struct pkd_blocks *b)
{
    for (int i = 0; b && i < SHELVES; i++) {
        for (struct block *k = b->shelves[i], *next; k; k = next) {
            next = k->next;
            free(k);
        }
    }
    free(b);
}
