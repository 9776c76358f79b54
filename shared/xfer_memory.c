/* xfer_memory.c - what curl allocates, so that nothing is left of what it sent.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Curl copies a request, the key in it, into buffers of its own. Those that it frees when the request is
 * out are wiped. One stays until the answer is complete: what OpenSSL takes its bytes from. It is known by
 * its size, and lies in a range of addresses that is left out of core dumps; how many slots of that are
 * usable grows with need. When all are in use the next buffer is an ordinary one.
 *
 * The lock is only tried, and not for long: in a child of fork() it may be held by nobody.
 */
#include "xfer_inner.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
    SLOT_BYTES = 20 << 10, /* whole pages */
    SLOTS_MAX = 4096,
    SLOTS_STEP = 64, /* made usable at a time */
    LOCK_TRIES = 1000,
};

_Static_assert((int)XFER_UPLOAD_BYTES <= (int)SLOT_BYTES, "a buffer fits into a slot");

static struct {
    pthread_mutex_t lock;
    char *at;            /* addresses for SLOTS_MAX slots; NULL: none */
    size_t usable, used; /* slots that may be written to, and those that ever were */
    void *free;          /* slots, each beginning with the next one's address */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool lock(void)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (pthread_mutex_trylock(&pool.lock) == 0)
            return true;
        (void)sched_yield();
    }
    return false;
}

static void *fresh_slot(void)
{
    if (pool.used == pool.usable) {
        if (pool.usable == SLOTS_MAX ||
            mprotect(pool.at + pool.usable * SLOT_BYTES, (size_t)SLOTS_STEP * SLOT_BYTES,
                     PROT_READ | PROT_WRITE) != 0)
            return NULL;
        pool.usable += SLOTS_STEP;
    }
    return pool.at + pool.used++ * SLOT_BYTES;
}

static void *take_slot(void)
{
    if (!pool.at || !lock())
        return NULL;
    void *slot = pool.free;
    if (slot)
        memcpy(&pool.free, slot, sizeof pool.free);
    else
        slot = fresh_slot();
    (void)pthread_mutex_unlock(&pool.lock);
    return slot;
}

static bool is_slot(const void *at)
{
    uintptr_t from = (uintptr_t)pool.at, there = (uintptr_t)at;

    return from && there >= from && there < from + (size_t)SLOTS_MAX * SLOT_BYTES;
}

static void give_slot(void *slot)
{
    pk_secret_wipe(slot, SLOT_BYTES);
    if (!lock())
        return; /* the slot is lost */
    memcpy(slot, &pool.free, sizeof pool.free);
    pool.free = slot;
    (void)pthread_mutex_unlock(&pool.lock);
}

/* --- what curl calls ---------------------------------------------------------------------------- */

static void *take(size_t size)
{
    void *slot = size == XFER_UPLOAD_BYTES ? take_slot() : NULL;

    return slot ? slot : malloc(size);
}

static size_t held_by(void *at)
{
    return is_slot(at) ? SLOT_BYTES : malloc_usable_size(at);
}

static void give(void *at)
{
    if (!at)
        return;
    if (is_slot(at)) {
        give_slot(at);
        return;
    }
    pk_secret_wipe(at, malloc_usable_size(at));
    free(at);
}

static void *grow(void *old, size_t size)
{
    size_t held = old ? held_by(old) : 0;

    if (old && size <= held)
        return old;
    void *grown = malloc(size);
    if (grown && old) {
        memcpy(grown, old, held);
        give(old);
    }
    return grown;
}

CURLcode pk_curl_init(void)
{
    const size_t size = (size_t)SLOTS_MAX * SLOT_BYTES;
    void *at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at != MAP_FAILED) {
        (void)madvise(at, size, MADV_DONTDUMP);
        pool.at = at;
    }
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, give, grow, strdup, calloc);
}
