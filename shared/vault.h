/* vault.h - memory for secrets while they are in use.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What is taken from a vault is left out of core dumps (MADV_DONTDUMP), is kept out of swap as far as
 * the process may lock memory, and is wiped when it is given back. Small pieces share pages, so that
 * thousands of them cost neither a system call nor a page each.
 */
#ifndef PK_VAULT_H
#define PK_VAULT_H

#include "arena.h"

enum {
    PK_VAULT_SLOT_BYTES = 1024,    /* a piece up to this size is a slot of a shared page */
    PK_VAULT_SLAB_BYTES = 64 << 10 /* pages that are asked for at a time */
};

/* Zeroed at first. One thread at a time uses it. */
struct pk_vault {
    struct pk_vault_slab *slabs;
    void *free; /* slots, each beginning with the next one's address */
};

/* `size` bytes, 1 or more, aligned for any type, not cleared; NULL when there is no memory. */
void *pk_vault_take(struct pk_vault *v, size_t size) PK_MUST_CHECK;
/* Wipes and gives back what was taken with that `size`. NULL is fine. */
void pk_vault_give(struct pk_vault *v, void *piece, size_t size);
/* For arenas: what is in one is in the vault. The vault must outlive it. */
struct pk_allocator pk_vault_allocator(struct pk_vault *v);
/* Wipes and frees every slab. Larger pieces must have been given back. */
void pk_vault_free(struct pk_vault *v);

#endif
