/* similar.c - see similar.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "similar.h"

#include "xfer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    BYTES_MAX = 256 << 20,
    GATES = 256, /* places for when gates were refreshed */
    ROUNDS_MAX = 4,
};

struct pkd_similar {
    pthread_rwlock_t lock;
    struct pk_near *near;
    struct {
        uint8_t gate[PK_CACHE_KEY_BYTES];
        int64_t at_ms;
    } refreshed[GATES]; /* by the gate's first byte */
};

struct pkd_similar *pkd_similar_new(void)
{
    struct pkd_similar *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->near = pk_near_new(pk_allocator_malloc(), BYTES_MAX);
    if (!s->near) {
        free(s);
        return NULL;
    }
    (void)pthread_rwlock_init(&s->lock, NULL);
    return s;
}

void pkd_similar_free(struct pkd_similar *s)
{
    if (!s)
        return;
    pk_near_free(s->near);
    (void)pthread_rwlock_destroy(&s->lock);
    free(s);
}

/* Whether the gate's rows were looked for a moment ago; with the lock, shared. */
static bool is_fresh(const struct pkd_similar *s, const uint8_t *gate)
{
    return memcmp(s->refreshed[gate[0]].gate, gate, PK_CACHE_KEY_BYTES) == 0 &&
           pk_clock_ms() - s->refreshed[gate[0]].at_ms < PKD_SIMILAR_MS;
}

static bool refresh(struct pkd_similar *s, struct pk_store *store, const struct pk_cache_vector *v)
{
    struct pk_error unused;

    (void)pthread_rwlock_wrlock(&s->lock);
    bool ok = pk_store_near_refresh(store, s->near, v, &unused);
    bool whole = ok && pk_near_range(s->near, v->gate).whole;
    if (whole) {
        memcpy(s->refreshed[v->gate[0]].gate, v->gate, PK_CACHE_KEY_BYTES);
        s->refreshed[v->gate[0]].at_ms = pk_clock_ms();
    }
    (void)pthread_rwlock_unlock(&s->lock);
    return ok;
}

static bool search(struct pkd_similar *s, struct pk_store *store, const struct pk_near_question *q,
                   struct pk_near_matches *m)
{
    (void)pthread_rwlock_rdlock(&s->lock);
    bool fresh = is_fresh(s, q->vector->gate);
    if (fresh)
        pk_store_near_search(s->near, q->vector, q->threshold, m);
    (void)pthread_rwlock_unlock(&s->lock);
    if (fresh)
        return true;
    if (!refresh(s, store, q->vector))
        return false;
    (void)pthread_rwlock_rdlock(&s->lock);
    pk_store_near_search(s->near, q->vector, q->threshold, m);
    (void)pthread_rwlock_unlock(&s->lock);
    return true;
}

/* Whether there were any. */
static bool forget_gone(struct pkd_similar *s, const uint8_t *gate, const struct pk_near_matches *m)
{
    int last = m->count - 1; /* those that are gone are the last */

    if (last < 0 || m->list[last].similarity > PK_NEAR_GONE)
        return false;
    (void)pthread_rwlock_wrlock(&s->lock);
    for (; last >= 0 && m->list[last].similarity <= PK_NEAR_GONE; last--)
        pk_near_forget(s->near, gate, &m->list[last]);
    (void)pthread_rwlock_unlock(&s->lock);
    return true;
}

bool pkd_similar_find(struct pkd_similar *s, struct pk_store *store,
                      const struct pk_near_question *q, struct pk_cache_entry *entry)
{
    struct pk_near_matches m;
    struct pk_error unused;
    bool gone = true;

    for (int round = 0; round < ROUNDS_MAX && gone; round++) {
        if (!search(s, store, q, &m) ||
            !pk_store_near_measure(store, q->vector, q->threshold, &m, &unused))
            return false;
        if (pk_store_near_fetch(q, &m, entry))
            return true;
        gone = forget_gone(s, q->vector->gate, &m);
    }
    return false;
}

void pkd_similar_save(struct pkd_similar *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                      const struct pk_cache_vector *v)
{
    struct pk_near_item item = {.traits = v->traits, .vector = v->at, .dims = v->dims};

    memcpy(item.key, key, sizeof item.key);
    (void)pthread_rwlock_wrlock(&s->lock);
    pk_near_add_young(s->near, v->gate, &item);
    (void)pthread_rwlock_unlock(&s->lock);
}
