/* names.c - see names.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Tables with open addressing, at most half full.
 */
#include "names.h"

#include <limits.h>
#include <string.h>

enum { SLOTS_MIN = 16 };

/* --- names ---------------------------------------------------------------------------------- */

static uint32_t free_slot(const struct pkd_names *n, uint32_t hash)
{
    uint32_t at = hash & (n->slot_count - 1);

    while (n->slots[at] >= 0)
        at = (at + 1) & (n->slot_count - 1);
    return at;
}

static bool more_slots(struct pkd_names *n, uint32_t count)
{
    size_t old = n->slot_count * sizeof *n->slots;
    int32_t *slots = pk_alloc_grow(n->arena, n->slots, old, count * sizeof *slots);

    if (!slots)
        return false;
    memset(slots, -1, count * sizeof *slots);
    n->slots = slots;
    n->slot_count = count;
    for (int i = 0; i < n->count; i++)
        slots[free_slot(n, n->hashes[i])] = i;
    return true;
}

static int add_name(struct pkd_names *n, pk_str text, uint32_t hash)
{
    if (n->count == INT_MAX / 4 ||
        (2 * (uint32_t)n->count >= n->slot_count && !more_slots(n, n->slot_count * 2)))
        return -1;
    pk_str *at = pk_alloc_row(n->arena, n->at, n->count, sizeof *at);
    n->at = at ? at : n->at;
    uint32_t *hashes = pk_alloc_row(n->arena, n->hashes, n->count, sizeof *hashes);
    n->hashes = hashes ? hashes : n->hashes;
    if (!at || !hashes)
        return -1;
    at[n->count] = pk_copy(n->arena, text);
    hashes[n->count] = hash;
    n->slots[free_slot(n, hash)] = n->count;
    return n->arena->failed ? -1 : n->count++;
}

/* -1: it has none. */
static int number_of(const struct pkd_names *n, pk_str text, uint32_t hash)
{
    for (uint32_t at = hash;; at++) {
        int number = n->slots[at & (n->slot_count - 1)];

        if (number < 0 || (n->hashes[number] == hash && pk_str_eq(n->at[number], text)))
            return number;
    }
}

int pkd_names_find(const struct pkd_names *n, pk_str text)
{
    return n->slot_count ? number_of(n, text, (uint32_t)pk_secret_number(n->key, text)) : -1;
}

int pkd_names_number(struct pkd_names *n, pk_str text)
{
    if (n->slot_count == 0) {
        pk_secret_random(n->key, sizeof n->key);
        if (!more_slots(n, SLOTS_MIN))
            return -1;
    }
    uint32_t hash = (uint32_t)pk_secret_number(n->key, text);
    int number = number_of(n, text, hash);

    return number < 0 ? add_name(n, text, hash) : number;
}

/* --- counts --------------------------------------------------------------------------------- */

static struct pkd_count *slot_of(const struct pkd_counts *c, uint64_t key)
{
    uint64_t state = key ^ c->seed;
    uint64_t at = pk_random_next(&state);

    while (c->slots[at & (c->slot_count - 1)].count &&
           c->slots[at & (c->slot_count - 1)].key != key)
        at++;
    return &c->slots[at & (c->slot_count - 1)];
}

static bool more_counts(struct pkd_counts *c)
{
    struct pkd_counts old = *c;

    if (c->slot_count > UINT32_MAX / 4)
        return false;
    if (c->slot_count == 0)
        pk_secret_random(&c->seed, sizeof c->seed);
    c->slot_count = old.slot_count ? old.slot_count * 2 : SLOTS_MIN;
    c->slots = pk_alloc_room(c->arena, c->slot_count * sizeof *c->slots);
    if (!c->slots) {
        *c = old;
        return false;
    }
    memset(c->slots, 0, c->slot_count * sizeof *c->slots);
    for (uint32_t i = 0; i < old.slot_count; i++)
        if (old.slots[i].count)
            *slot_of(c, old.slots[i].key) = old.slots[i];
    pk_give_room(c->arena, old.slots);
    return true;
}

int64_t pkd_counts_add(struct pkd_counts *c, uint64_t key)
{
    if (2 * c->used >= c->slot_count && !more_counts(c))
        return -1;
    struct pkd_count *slot = slot_of(c, key);

    c->used += slot->count == 0;
    slot->key = key;
    return ++slot->count;
}
