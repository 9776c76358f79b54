/* arena.c - see arena.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Small requests are carved from blocks that double in size up to BLOCK_BYTES_MAX.
 * A request that the next block would not hold, or a large one, gets a block of its own behind the one that is
 * being filled: it does not make the next block larger, and growing a large one can hand the old one back.
 */
#include "arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES_MIN = 4096,
    BLOCK_BYTES_MAX = 256 << 10,
    LARGE_BYTES = 32 << 10,
    SMALL_BYTES = 128,
    ROWS_MIN = 2, /* of a list */
};

struct pk_block {
    struct pk_block *next;
    size_t used, size; /* of bytes[] */
    bool room;         /* see pk_alloc_room() */
    alignas(max_align_t) char bytes[];
};

struct pk_cleanup {
    struct pk_cleanup *next;
    void (*release)(void *);
    void *object;
};

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}

static void give(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

struct pk_allocator pk_allocator_malloc(void)
{
    return (struct pk_allocator){NULL, take, give};
}

void pk_arena_init(struct pk_arena *a, struct pk_allocator from, size_t limit)
{
    *a = (struct pk_arena){.from = from, .limit = limit};
}

static void drop_block(struct pk_arena *a, struct pk_block *b)
{
    if (a->wipe && !b->room)
        explicit_bzero(b->bytes, b->used);
    a->from.free(a->from.ctx, b);
}

void pk_arena_free(struct pk_arena *a)
{
    for (struct pk_cleanup *c = a->cleanups; c; c = c->next)
        c->release(c->object);
    for (struct pk_block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        drop_block(a, b);
    }
    a->blocks = NULL;
    a->cleanups = NULL;
    a->used = a->next_size = 0;
    a->failed = false;
}

static struct pk_block *new_block(struct pk_arena *a, size_t size)
{
    struct pk_block *b = NULL;

    if (size <= a->limit && a->used <= a->limit - size)
        b = a->from.alloc(a->from.ctx, sizeof *b + size);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    *b = (struct pk_block){.size = size};
    a->used += size;
    return b;
}

/* A block of its own for one large allocation; the block being filled stays first. */
static struct pk_block *add_large(struct pk_arena *a, size_t size)
{
    struct pk_block *b = new_block(a, size);

    if (!b)
        return NULL;
    b->used = size;
    if (a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
    } else {
        a->blocks = b;
    }
    return b;
}

static size_t next_size(const struct pk_arena *a)
{
    return a->next_size ? a->next_size : BLOCK_BYTES_MIN;
}

static struct pk_block *add_block(struct pk_arena *a, size_t need)
{
    size_t size = next_size(a);

    if (size > a->limit - a->used)
        size = need;
    struct pk_block *b = new_block(a, size);
    if (!b)
        return NULL;
    if (a->next_size == 0)
        a->next_size = size; /* the first two are alike: many calls need little more than one */
    else
        a->next_size = size < BLOCK_BYTES_MAX ? size * 2 : BLOCK_BYTES_MAX;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

/* Rounds up to the alignment of any type; false when that overflows. */
static bool rounded(size_t *size)
{
    const size_t align = alignof(max_align_t);

    if (__builtin_add_overflow(*size ? *size : 1, align - 1, size))
        return false;
    *size -= *size % align;
    return true;
}

/* Not cleared: pk_alloc() clears, growing copies. */
static void *carve(struct pk_arena *a, size_t size)
{
    struct pk_block *b = a->blocks;

    if (!rounded(&size)) {
        a->failed = true;
        return NULL;
    }
    if (size >= LARGE_BYTES || size > next_size(a) || a->torture) {
        b = add_large(a, size);
        return b ? b->bytes : NULL;
    }
    if (!b || b->size - b->used < size)
        b = add_block(a, size);
    if (!b)
        return NULL;
    b->used += size;
    return b->bytes + b->used - size;
}

void *pk_alloc(struct pk_arena *a, size_t size)
{
    void *p = carve(a, size);

    return p ? memset(p, 0, size) : NULL;
}

void *pk_alloc_room(struct pk_arena *a, size_t size)
{
    struct pk_block *b = rounded(&size) ? add_large(a, size) : NULL;

    if (!b) {
        a->failed = true;
        return NULL;
    }
    b->room = true;
    return b->bytes;
}

static void give_back(struct pk_arena *a, void *bytes)
{
    for (struct pk_block **link = &a->blocks; *link; link = &(*link)->next) {
        struct pk_block *b = *link;

        if (b->bytes != bytes)
            continue;
        *link = b->next;
        a->used -= b->size;
        drop_block(a, b);
        return;
    }
}

void pk_give_room(struct pk_arena *a, void *room)
{
    give_back(a, room);
}

void *pk_alloc_grow(struct pk_arena *a, void *old, size_t old_size, size_t size)
{
    size_t held = old_size;
    struct pk_block *b = a->blocks;

    PK_ASSERT(size >= old_size);
    if (old && !a->torture && rounded(&held) && b && held < LARGE_BYTES &&
        (char *)old + held == b->bytes + b->used && rounded(&size) &&
        size - held <= b->size - b->used && size < LARGE_BYTES) {
        b->used += size - held; /* the newest allocation grows where it is */
        return old;
    }
    char *p = carve(a, size);
    if (!p)
        return NULL;
    if (old)
        memcpy(p, old, old_size);
    if (old && held >= LARGE_BYTES)
        give_back(a, old);
    return p;
}

/* Room is 2, 4, 8, ... rows: it is full when the count is one of these. */
void *pk_alloc_row(struct pk_arena *a, void *rows, int count, size_t size)
{
    size_t used = (size_t)count;

    PK_ASSERT(count >= 0 && (count == 0 || rows));
    if (rows && (count < ROWS_MIN || (used & (used - 1)) != 0))
        return rows;
    return pk_alloc_grow(a, rows, used * size, (count ? used * 2 : ROWS_MIN) * size);
}

pk_str pk_copy(struct pk_arena *a, pk_str s)
{
    char *p = carve(a, s.len + 1);

    if (!p)
        return PK_NONE;
    if (s.len)
        memcpy(p, s.at, s.len);
    p[s.len] = 0;
    return (pk_str){p, s.len};
}

pk_str pk_copyf(struct pk_arena *a, const char *fmt, ...)
{
    va_list args, again;
    char small[SMALL_BYTES], *p = NULL; /* most texts need no second round */

    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(small, sizeof small, fmt, args);
    if (len >= 0)
        p = carve(a, (size_t)len + 1);
    if (p && len < SMALL_BYTES)
        memcpy(p, small, (size_t)len + 1);
    else if (p)
        (void)vsnprintf(p, (size_t)len + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p ? (pk_str){p, (size_t)len} : PK_NONE;
}

bool pk_defer(struct pk_arena *a, void (*release)(void *), void *object)
{
    struct pk_cleanup *c = pk_alloc(a, sizeof *c);

    if (!c) {
        release(object);
        return false;
    }
    *c = (struct pk_cleanup){a->cleanups, release, object};
    a->cleanups = c;
    return true;
}
