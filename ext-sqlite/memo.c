/* memo.c - see memo.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "memo.h"

#include "secret.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES_START = 64 }; /* always a power of two */

struct place {
    uint64_t hash;
    pk_str question; /* at == NULL: nobody is here */
    struct pk_value_kept value;
};

struct pk_memo {
    struct pk_arena arena;
    struct place *places;
    size_t count, used;
    uint8_t key
        [PK_SECRET_HASH_BYTES]; /* rows may have what a stranger wrote: nobody knows where that is put */
};

struct pk_memo *pk_memo_new(void)
{
    struct pk_memo *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    pk_arena_init(&m->arena, pk_allocator_malloc(), PK_MEMO_BYTES_MAX);
    pk_secret_random(m->key, sizeof m->key);
    return m;
}

void pk_memo_free(struct pk_memo *m)
{
    if (!m)
        return;
    pk_arena_free(&m->arena);
    free(m->places);
    free(m);
}

/* The place of the question, or the empty one where it belongs. */
static struct place *place_of(const struct pk_memo *m, uint64_t hash, pk_str question)
{
    for (size_t at = hash & (m->count - 1);; at = (at + 1) & (m->count - 1)) {
        struct place *p = &m->places[at];

        if (!p->question.at || (p->hash == hash && pk_str_eq(p->question, question)))
            return p;
    }
}

const struct pk_value_kept *pk_memo_get(const struct pk_memo *m, pk_str question)
{
    if (m->count == 0)
        return NULL;
    const struct place *p = place_of(m, pk_secret_number(m->key, question), question);
    return p->question.at ? &p->value : NULL;
}

static void forget(struct pk_memo *m)
{
    pk_arena_free(&m->arena);
    pk_arena_init(&m->arena, pk_allocator_malloc(), PK_MEMO_BYTES_MAX);
    if (m->places)
        memset(m->places, 0, m->count * sizeof *m->places);
    m->used = 0;
}

/* Room for one more. */
static bool make_room(struct pk_memo *m)
{
    struct pk_memo old = *m;

    if (m->used < m->count / 2)
        return true;
    if (m->used >= PK_MEMO_VALUES_MAX) {
        forget(m);
        return true;
    }
    size_t count = m->count ? m->count * 2 : PLACES_START;
    struct place *places = calloc(count, sizeof *places);
    if (!places)
        return false;
    m->places = places;
    m->count = count;
    for (size_t i = 0; i < old.count; i++)
        if (old.places[i].question.at)
            *place_of(m, old.places[i].hash, old.places[i].question) = old.places[i];
    free(old.places);
    return true;
}

void pk_memo_put(struct pk_memo *m, pk_str question, const struct pk_value_kept *value)
{
    size_t bytes = question.len + value->bytes.len + 1024;

    if (bytes > PK_MEMO_BYTES_MAX / 8)
        return;
    if (m->arena.used + bytes > PK_MEMO_BYTES_MAX)
        forget(m);
    if (!make_room(m))
        return;
    uint64_t hash = pk_secret_number(m->key, question);
    pk_str copy = pk_copy(&m->arena, question);
    struct pk_value_kept kept = {value->kind, pk_copy(&m->arena, value->bytes)};
    if (m->arena.failed) {
        forget(m);
        return;
    }
    struct place *p = place_of(m, hash, copy);
    m->used += !p->question.at;
    *p = (struct place){hash, copy, kept};
}
