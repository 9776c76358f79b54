/* vault.c - see vault.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "vault.h"

#include <string.h>
#include <sys/mman.h>

struct pk_vault_slab {
    struct pk_vault_slab *next;
};

/* Whether memory can be locked, and dumps be told apart, is the system's affair: it works without. */
static void *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    (void)madvise(at, size, MADV_DONTDUMP);
    (void)mlock(at, size);
    return at;
}

static void unmap(void *at, size_t size)
{
    explicit_bzero(at, size);
    (void)munmap(at, size);
}

/* The first slot holds the slab's own link. */
static bool add_slab(struct pk_vault *v)
{
    char *at = map(PK_VAULT_SLAB_BYTES);
    struct pk_vault_slab *slab = (struct pk_vault_slab *)(void *)at;

    if (!at)
        return false;
    slab->next = v->slabs;
    v->slabs = slab;
    for (size_t from = PK_VAULT_SLOT_BYTES; from < PK_VAULT_SLAB_BYTES;
         from += PK_VAULT_SLOT_BYTES) {
        memcpy(at + from, &v->free, sizeof v->free);
        v->free = at + from;
    }
    return true;
}

void *pk_vault_take(struct pk_vault *v, size_t size)
{
    PK_ASSERT(size > 0);
    if (size > PK_VAULT_SLOT_BYTES)
        return map(size);
    if (!v->free && !add_slab(v))
        return NULL;
    void *slot = v->free;
    memcpy(&v->free, slot, sizeof v->free);
    return slot;
}

void pk_vault_give(struct pk_vault *v, void *piece, size_t size)
{
    if (!piece)
        return;
    if (size > PK_VAULT_SLOT_BYTES) {
        unmap(piece, size);
        return;
    }
    explicit_bzero(piece, PK_VAULT_SLOT_BYTES);
    memcpy(piece, &v->free, sizeof v->free);
    v->free = piece;
}

/* The size goes before the block, which stays aligned. */
enum { SIZE_BYTES = 16 };

static void *allocate(void *ctx, size_t size)
{
    char *at = pk_vault_take(ctx, size + SIZE_BYTES);

    if (!at)
        return NULL;
    memcpy(at, &size, sizeof size);
    return at + SIZE_BYTES;
}

static void release(void *ctx, void *block)
{
    char *at = (char *)block - SIZE_BYTES;
    size_t size;

    memcpy(&size, at, sizeof size);
    pk_vault_give(ctx, at, size + SIZE_BYTES);
}

struct pk_allocator pk_vault_allocator(struct pk_vault *v)
{
    return (struct pk_allocator){v, allocate, release};
}

void pk_vault_free(struct pk_vault *v)
{
    for (struct pk_vault_slab *slab = v->slabs, *next; slab; slab = next) {
        next = slab->next;
        unmap(slab, PK_VAULT_SLAB_BYTES);
    }
    *v = (struct pk_vault){0};
}
