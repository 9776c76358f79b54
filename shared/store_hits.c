/* store_hits.c - see store_hits.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A hit moves its entry in an index, which costs as much as half a log row; most hits of a moment are of few entries.
 */
#include "store_hits.h"

#include "store_cache.h"
#include "store_value.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS_MAX = 64 };

struct hit {
    char key[PK_CACHE_KEY_BYTES];
    int64_t at_us, count;
};

struct pk_hits {
    int count;
    struct hit rows[KEYS_MAX];
};

struct pk_hits *pk_hits_new(void)
{
    return calloc(1, sizeof(struct pk_hits));
}

void pk_hits_free(struct pk_hits *all)
{
    free(all);
}

void pk_hits_forget(struct pk_hits *all)
{
    if (all)
        all->count = 0;
}

static bool put(struct pk_store *s, pk_str key, const struct hit *h, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_blob(key.at, key.len), pk_v_int(h->at_us),
                                    pk_v_int(h->count)};

    return s->ops->exec(s, PK_SQL_cache_hit, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_hits_end(struct pk_store *s, struct pk_error *err)
{
    struct pk_hits *all = s->hits;
    bool ok = true;

    for (int i = 0; all && i < all->count && ok; i++)
        ok = put(s, (pk_str){all->rows[i].key, sizeof all->rows[i].key}, &all->rows[i], err);
    pk_hits_forget(all);
    return ok;
}

bool pk_store_hit(struct pk_store *s, pk_str key, int64_t at_us, struct pk_error *err)
{
    struct pk_hits *all = s->hits;
    int i = 0;

    if (!all || key.len != PK_CACHE_KEY_BYTES)
        return put(s, key, &(struct hit){.at_us = at_us, .count = 1}, err);
    while (i < all->count && memcmp(all->rows[i].key, key.at, key.len) != 0)
        i++;
    if (i == KEYS_MAX) {
        if (!pk_store_hits_end(s, err))
            return false;
        i = 0;
    }
    if (i == all->count) {
        all->rows[all->count++] = (struct hit){.count = 0};
        memcpy(all->rows[i].key, key.at, key.len);
    }
    all->rows[i].at_us = at_us;
    all->rows[i].count++;
    return true;
}
