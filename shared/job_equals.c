/* job_equals.c - see job_equals.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "job_equals.h"

#include "secret.h"

#include <sodium.h>
#include <string.h>

enum { START = 256, HASH_BYTES = 12, SUM_BYTES = 16 };

struct row {
    uint8_t hash[HASH_BYTES];
    uint32_t met : 1, ord : 31; /* ord 0: the place is free */
};

struct pk_job_equals {
    struct pk_arena *arena;
    struct row *rows;
    size_t places, used; /* places: a power of two */
    uint8_t key[crypto_generichash_KEYBYTES];
};

struct pk_job_equals *pk_job_equals_new(struct pk_arena *arena)
{
    struct pk_job_equals *e = pk_alloc(arena, sizeof *e);

    if (!e)
        return NULL;
    e->arena = arena;
    pk_secret_random(e->key, sizeof e->key);
    return e;
}

/* The place of the hash, or the free one where it belongs. */
static struct row *place_of(const struct pk_job_equals *e, const uint8_t *hash)
{
    size_t at;

    memcpy(&at, hash, sizeof at);
    for (;; at++) {
        struct row *row = &e->rows[at & (e->places - 1)];

        if (row->ord == 0 || memcmp(row->hash, hash, HASH_BYTES) == 0)
            return row;
    }
}

/* Room for one more. */
static bool make_room(struct pk_job_equals *e)
{
    struct row *old = e->rows;
    size_t count = e->places;

    if (e->used + 1 <= e->places / 4 * 3)
        return true;
    size_t places = count ? count * 2 : START;
    struct row *rows = pk_alloc_room(e->arena, places * sizeof *rows);
    if (!rows)
        return false;
    memset(rows, 0, places * sizeof *rows);
    e->rows = rows;
    e->places = places;
    for (size_t i = 0; i < count; i++)
        if (old[i].ord)
            *place_of(e, old[i].hash) = old[i];
    pk_give_room(e->arena, old);
    return true;
}

int64_t pk_job_equals_meet(struct pk_job_equals *e, unsigned char kind, pk_str text, int64_t ord,
                           bool *first_time)
{
    crypto_generichash_state h;
    uint8_t sum[SUM_BYTES];

    if (!make_room(e))
        return 0;
    (void)crypto_generichash_init(&h, e->key, sizeof e->key, sizeof sum);
    (void)crypto_generichash_update(&h, &kind, sizeof kind);
    (void)crypto_generichash_update(&h, (const unsigned char *)text.at, text.len);
    (void)crypto_generichash_final(&h, sum, sizeof sum);
    struct row *row = place_of(e, sum);
    if (row->ord) {
        *first_time = !row->met;
        row->met = 1;
        return row->ord;
    }
    memcpy(row->hash, sum, HASH_BYTES);
    row->ord = (uint32_t)ord & INT32_MAX;
    e->used++;
    return 0;
}
