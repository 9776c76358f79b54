/* arena.h - memory that lives exactly as long as one call.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Allocate freely, free nothing: pk_arena_free() releases it all, after running
 * the cleanups in reverse order. A failed allocation sets `failed` for good, so
 * code that builds many small things checks once, at the end.
 */
#ifndef PK_ARENA_H
#define PK_ARENA_H

#include "base.h"

/* The one thing that a host must provide. May return NULL; must not longjmp. */
struct pk_allocator {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *block);
};

struct pk_arena {
    struct pk_allocator from;
    struct pk_block *blocks;     /* newest first; the first one is being filled */
    struct pk_cleanup *cleanups; /* newest first */
    size_t next_size;            /* of the next block to be filled; 0: none has been yet */
    size_t used, limit;          /* bytes held from the host now, and the most allowed */
    bool failed;                 /* sticky: some allocation did not succeed */
    bool wipe;                   /* blocks are wiped before they go back: they hold a secret */
    bool torture;                /* tests: one block an allocation, so that each can fail */
};

/* An allocator over malloc, for hosts that have nothing better. */
struct pk_allocator pk_allocator_malloc(void);

void pk_arena_init(struct pk_arena *a, struct pk_allocator from, size_t limit);
void pk_arena_free(struct pk_arena *a); /* leaves an empty arena that may be used again */

/* Zeroed, aligned for any type, or NULL with a->failed set. */
void *pk_alloc(struct pk_arena *a, size_t size) PK_MUST_CHECK;

/* A large structure, most of which is room that few calls need, in a block of its own: not cleared, and not wiped
 * either, so that nothing in it may be a secret. */
void *pk_alloc_room(struct pk_arena *a, size_t size) PK_MUST_CHECK;
void pk_give_room(struct pk_arena *a, void *room); /* goes back at once; NULL is fine */

/* `old` (of `old_size` bytes, from this arena, or NULL) with at least `size` bytes; the
 * content up to old_size is kept, what follows is not cleared. NULL leaves `old` valid.
 * A large block that was outgrown goes back to the host at once. */
void *pk_alloc_grow(struct pk_arena *a, void *old, size_t old_size, size_t size) PK_MUST_CHECK;

/* A list of which `count` rows of `size` bytes are in use, with room for one more; not cleared. It must have been made
 * by this, or be NULL: its room doubles as it fills, so that most lists stay small. NULL leaves `rows` valid. */
void *pk_alloc_row(struct pk_arena *a, void *rows, int count, size_t size) PK_MUST_CHECK;

/* Copies into the arena, with a NUL after the last byte. On failure: the empty
 * string, with a->failed set. */
pk_str pk_copy(struct pk_arena *a, pk_str s);
pk_str pk_copyf(struct pk_arena *a, const char *fmt, ...) PK_PRINTF(2, 3);

/* Runs `release(object)` when the arena goes: how foreign objects join a call's
 * lifetime. Releases at once, and returns false, if it cannot be noted. */
bool pk_defer(struct pk_arena *a, void (*release)(void *), void *object) PK_MUST_CHECK;

#endif
