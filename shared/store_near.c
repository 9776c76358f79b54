/* store_near.c - see store_near.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_near.h"

#include "store_cache.h"
#include "store_value.h"

#include <string.h>

enum { ROUNDS_MAX = 4 }; /* searches in one look-up, when what is found is gone */

/* --- putting ---------------------------------------------------------------------------------- */

static bool put(struct pk_store *s, const uint8_t *key, const struct pk_cache_vector *v,
                struct pk_error *err)
{
    size_t len = (size_t)v->dims * sizeof *v->at;
    uint8_t traits[PK_TRAITS_BYTES];
    const struct pk_value args[] = {
        pk_v_blob(v->gate, PK_CACHE_KEY_BYTES),
        pk_v_blob(key, PK_CACHE_KEY_BYTES),
        pk_v_blob(traits, sizeof traits),
        pk_v_blob(v->at, len),
    };
    const struct pk_value more[] = {pk_v_int(0), pk_v_int((int64_t)len)};
    bool is_new = false;

    pk_traits_pack(&v->traits, traits);
    return s->ops->exec(s, PK_SQL_near_put, args, PK_COUNT(args), pk_row_mark, &is_new, err) &&
           (!is_new ||
            s->ops->exec(s, PK_SQL_cache_size_add, more, PK_COUNT(more), NULL, NULL, err));
}

bool pk_store_near_put(struct pk_store *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                       const struct pk_cache_vector *v, struct pk_error *err)
{
    struct pk_error ignored;

    if (!s->ops->begin(s, err))
        return false;
    if (put(s, key, v, err))
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &ignored);
    return false;
}

/* --- following the store ----------------------------------------------------------------------- */

struct reading {
    struct pk_near *near;
    const struct pk_cache_vector *like;
    struct pk_near_range range;
    int count;
    bool full;
    float vector[PK_EMBEDDING_DIMS_MAX];
};

/* A row as the search wants it; false when it is damaged or of another length. */
static bool item_of(struct reading *r, const struct pk_value *columns, struct pk_near_item *item)
{
    size_t len = (size_t)r->like->dims * sizeof *r->vector;

    if (columns[1].s.len != PK_NEAR_KEY_BYTES || columns[2].s.len != PK_TRAITS_BYTES ||
        columns[3].s.len != len)
        return false;
    memcpy(r->vector, columns[3].s.at, len);
    *item = (struct pk_near_item){.id = columns[0].i, .vector = r->vector, .dims = r->like->dims};
    memcpy(item->key, columns[1].s.at, sizeof item->key);
    item->traits = pk_traits_unpack((const uint8_t *)columns[2].s.at);
    return true;
}

static bool read_row(void *ctx, const struct pk_value *columns, int count)
{
    struct reading *r = ctx;
    int64_t id = columns[0].i;
    struct pk_near_item item;

    PK_ASSERT(count == 4);
    r->count++;
    if (item_of(r, columns, &item) && !pk_near_add(r->near, r->like->gate, &item))
        r->full = true;
    r->range.low = id < r->range.low ? id : r->range.low;
    r->range.high = id > r->range.high ? id : r->range.high;
    return !r->full;
}

static bool read_rows(struct pk_store *s, struct reading *r, enum pk_stmt stmt, int64_t from,
                      struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_blob(r->like->gate, PK_CACHE_KEY_BYTES), pk_v_int(from),
                                    pk_v_int(PK_NEAR_ROWS_MAX)};

    r->count = 0;
    r->full = false;
    return s->ops->exec(s, stmt, args, PK_COUNT(args), read_row, r, err);
}

bool pk_store_near_refresh(struct pk_store *s, struct pk_near *n, const struct pk_cache_vector *v,
                           struct pk_error *err)
{
    struct reading r = {.near = n, .like = v, .range = pk_near_range(n, v->gate)};
    bool first = r.range.low == INT64_MAX;

    if (!first && !read_rows(s, &r, PK_SQL_near_newer, r.range.high, err))
        return false;
    if (!r.range.whole) {
        if (!read_rows(s, &r, PK_SQL_near_older, r.range.low, err))
            return false;
        r.range.whole = r.full || r.count < PK_NEAR_ROWS_MAX;
        r.range.low = r.range.low == INT64_MAX ? 1 : r.range.low; /* there are none yet */
    }
    pk_near_looked(n, v->gate, r.range);
    return true;
}

/* --- searching --------------------------------------------------------------------------------- */

void pk_store_near_search(const struct pk_near *n, const struct pk_cache_vector *v,
                          double threshold, struct pk_near_matches *m)
{
    const struct pk_near_item like = {.traits = v->traits, .vector = v->at, .dims = v->dims};

    pk_near_find(n, v->gate, &like, threshold, m);
}

struct measure {
    const struct pk_cache_vector *v;
    double cosine;
};

static bool read_vector(void *ctx, const struct pk_value *columns, int count)
{
    struct measure *m = ctx;
    float vector[PK_EMBEDDING_DIMS_MAX];
    size_t len = (size_t)m->v->dims * sizeof *vector;

    (void)count;
    if (columns[0].s.len != len)
        return false;
    memcpy(vector, columns[0].s.at, len);
    m->cosine = pk_near_cosine(vector, m->v->at, m->v->dims);
    return false;
}

static void put_in_order(struct pk_near_matches *m, struct pk_near_match match)
{
    int i = m->count++;

    for (; i > 0 && m->list[i - 1].similarity < match.similarity; i--)
        m->list[i] = m->list[i - 1];
    m->list[i] = match;
}

bool pk_store_near_measure(struct pk_store *s, const struct pk_cache_vector *v, double threshold,
                           struct pk_near_matches *m, struct pk_error *err)
{
    struct pk_near_matches found = *m;

    m->count = 0;
    for (int i = 0; i < found.count; i++) {
        struct pk_near_match *match = &found.list[i];
        const struct pk_value id[] = {pk_v_int(match->id)};
        struct measure exact = {v, (double)PK_NEAR_GONE};

        if (match->id == 0)
            exact.cosine = (double)match->similarity;
        else if (!s->ops->exec(s, PK_SQL_near_vector, id, PK_COUNT(id), read_vector, &exact, err))
            return false;
        match->similarity = (float)exact.cosine;
        match->error = 0;
        if (match->similarity <= PK_NEAR_GONE || pk_near_enough(exact.cosine, threshold))
            put_in_order(m, *match);
    }
    return true;
}

bool pk_store_near_fetch(const struct pk_near_question *q, const struct pk_near_matches *m,
                         struct pk_cache_entry *entry)
{
    for (int i = 0; i < m->count; i++) {
        const struct pk_near_match *match = &m->list[i];

        if (match->similarity <= PK_NEAR_GONE || !q->fetch(q->ctx, match->key, entry))
            continue;
        entry->similarity = (double)match->similarity;
        return true;
    }
    return false;
}

/* Whether there were any. */
static bool forget_gone(struct pk_near *n, const uint8_t *gate, const struct pk_near_matches *m)
{
    bool any = false;

    for (int i = 0; i < m->count; i++) {
        if (m->list[i].similarity > PK_NEAR_GONE)
            continue;
        pk_near_forget(n, gate, &m->list[i]);
        any = true;
    }
    return any;
}

bool pk_store_near_find(struct pk_store *s, struct pk_near *n, const struct pk_near_question *q,
                        struct pk_cache_entry *entry)
{
    struct pk_near_matches m;
    struct pk_error unused;
    bool gone = true;

    if (!pk_store_near_refresh(s, n, q->vector, &unused))
        return false;
    for (int round = 0; round < ROUNDS_MAX && gone; round++) {
        pk_store_near_search(n, q->vector, q->threshold, &m);
        if (!pk_store_near_measure(s, q->vector, q->threshold, &m, &unused))
            return false;
        if (pk_store_near_fetch(q, &m, entry))
            return true;
        gone = forget_gone(n, q->vector->gate, &m);
    }
    return false;
}
