/* hits.c - adds up cache hits, so that an entry that is hit all the time is not written all the time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An update leaves the old version of the row behind until no transaction can need it. A statement that
 * makes a hundred thousand calls against one entry would walk a hundred thousand versions at each
 * lookup. So the worker writes an entry's hits once a second. A worker that dies takes the count of
 * that second with it; nothing else depends on it.
 */
#include "pk_pg.h"

#include "utils/timestamp.h"

enum { KEYS_MAX = 256, HOLD_MS = 1000 };

static struct hit {
    char key[PK_CACHE_KEY_BYTES];
    int64_t at_us, count;
} hits[KEYS_MAX];
static int hit_count;
static TimestampTz first_at; /* when the first of them came */

bool pk_hits_add(const struct pk_value *args)
{
    int i = 0;

    PK_ASSERT(args[0].s.len == PK_CACHE_KEY_BYTES);
    while (i < hit_count && memcmp(hits[i].key, args[0].s.at, PK_CACHE_KEY_BYTES) != 0)
        i++;
    if (i == KEYS_MAX)
        return false;
    if (hit_count == 0)
        first_at = GetCurrentTimestamp();
    if (i == hit_count) {
        hits[hit_count++] = (struct hit){.count = 0};
        memcpy(hits[i].key, args[0].s.at, PK_CACHE_KEY_BYTES);
    }
    hits[i].at_us = Max(hits[i].at_us, args[1].i);
    hits[i].count += args[2].i;
    return true;
}

bool pk_hits_due(bool now)
{
    return hit_count > 0 &&
           (now || TimestampDifferenceExceeds(first_at, GetCurrentTimestamp(), HOLD_MS));
}

bool pk_hits_write(struct pk_store *s, struct pk_error *err)
{
    int count = hit_count;

    hit_count = 0;
    for (int i = 0; i < count; i++) {
        const struct pk_value args[] = {
            {.type = PK_V_BLOB, .s = {hits[i].key, PK_CACHE_KEY_BYTES}},
            {.type = PK_V_INT, .i = hits[i].at_us},
            {.type = PK_V_INT, .i = hits[i].count},
        };
        if (!s->ops->exec(s, PK_SQL_cache_hit, args, PK_COUNT(args), NULL, NULL, err))
            return false;
    }
    return true;
}
