/* near.c - see near.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   near -- gates, by name and by last use -- blocks of vectors, the one that is being filled first
 *
 * A vector v is kept as whole numbers v' with v ~ v' * scale. For the query q it holds that
 *     q.v <= q'.v' + |q - q'| + |q'| |v - v'|          and
 *     q'.v' <= head(q').head(v') + |rest(q')| |rest(v')|,
 * with q' and v' standing for the scaled ones. What cannot reach the threshold by the second line is left
 * there: for the usual thresholds nearly all, after a quarter of the bytes. Heads lie next to each other,
 * because the time goes into reading memory.
 */
#include "near_code.h"

#include <string.h>

enum {
    BUCKETS = 4096,
    BLOCK_MIN = 8,
    BLOCK_MAX = 1024,
};

static const float float_error = 1e-4F; /* of sums of floats, generously */

struct fact {
    int64_t id;
    uint8_t key[PK_NEAR_KEY_BYTES];
    struct pk_traits traits;
};

struct block {
    struct block *next;
    size_t bytes;
    int64_t newest; /* the largest id in it */
    int count, cap;
    uint64_t *exact; /* traits.exact of each: the first look */
    struct pk_near_sizes *sizes;
    struct fact *facts;
    int8_t *heads, *tails;
};

struct young {
    struct young *next;
    size_t bytes;
    struct fact fact;
    float vector[];
};

struct gate {
    uint8_t name[PK_NEAR_KEY_BYTES];
    struct gate *next; /* in its bucket */
    struct gate *older, *newer;
    struct pk_near_range range;
    struct pk_near_shape shape; /* dims 0: no vector has come yet */
    int count;
    struct block *blocks;
    struct young *young;
    int young_count;
};

struct pk_near {
    struct pk_allocator from;
    size_t bytes, bytes_max;
    pk_near_dot_fn *dot;
    struct gate *oldest, *newest;
    struct gate *buckets[BUCKETS];
};

/* A query as the vectors are kept. */
struct coded {
    struct pk_near_sizes sizes;
    int8_t codes[PK_NEAR_DIMS_MAX];
};

_Static_assert(PK_NEAR_DIMS_MAX % PK_NEAR_STEP == 0, "a coded vector has room for its padding");

/* --- memory ---------------------------------------------------------------------------------- */

static void *take(struct pk_near *n, size_t size)
{
    void *at = n->from.alloc(n->from.ctx, size);

    if (at) {
        memset(at, 0, size);
        n->bytes += size;
    }
    return at;
}

static void give_back(struct pk_near *n, void *at, size_t size)
{
    PK_ASSERT(n->bytes >= size);
    n->bytes -= size;
    n->from.free(n->from.ctx, at);
}

static unsigned bucket_of(const uint8_t *name)
{
    return (name[0] | (unsigned)name[1] << 8) % BUCKETS;
}

static struct gate *find_gate(const struct pk_near *n, const uint8_t *name)
{
    struct gate *g = n->buckets[bucket_of(name)];

    while (g && memcmp(g->name, name, sizeof g->name) != 0)
        g = g->next;
    return g;
}

static void unlink_use(struct pk_near *n, struct gate *g)
{
    *(g->older ? &g->older->newer : &n->oldest) = g->newer;
    *(g->newer ? &g->newer->older : &n->newest) = g->older;
}

static void link_newest(struct pk_near *n, struct gate *g)
{
    g->newer = NULL;
    g->older = n->newest;
    *(n->newest ? &n->newest->newer : &n->oldest) = g;
    n->newest = g;
}

static void drop_block(struct pk_near *n, struct gate *g, struct block *b)
{
    struct block **link = &g->blocks;

    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
    g->count -= b->count;
    give_back(n, b, b->bytes);
}

static void drop_young(struct pk_near *n, struct gate *g, struct young **link)
{
    struct young *y = *link;

    *link = y->next;
    g->young_count--;
    give_back(n, y, y->bytes);
}

static void drop_gate(struct pk_near *n, struct gate *g)
{
    struct gate **link = &n->buckets[bucket_of(g->name)];

    while (g->blocks)
        drop_block(n, g, g->blocks);
    while (g->young)
        drop_young(n, g, &g->young);
    while (*link != g)
        link = &(*link)->next;
    *link = g->next;
    unlink_use(n, g);
    give_back(n, g, sizeof *g);
}

static struct block *oldest_block(const struct gate *g)
{
    struct block *oldest = g->blocks;

    for (struct block *b = g->blocks; b; b = b->next)
        if (b->newest < oldest->newest)
            oldest = b;
    return oldest;
}

/* Others go for `g`, the one that was used longest ago first; `own`: in the end its own oldest too. */
static bool make_room(struct pk_near *n, struct gate *g, size_t size, bool own)
{
    while (n->bytes + size > n->bytes_max) {
        if (n->oldest && n->oldest != g)
            drop_gate(n, n->oldest);
        else if (own && g && g->blocks)
            drop_block(n, g, oldest_block(g));
        else
            return false;
    }
    return true;
}

static struct gate *make_gate(struct pk_near *n, const uint8_t *name)
{
    struct gate *g = find_gate(n, name);

    if (g)
        return g;
    g = make_room(n, NULL, sizeof *g, false) ? take(n, sizeof *g) : NULL;
    if (!g)
        return NULL;
    memcpy(g->name, name, sizeof g->name);
    g->range.low = INT64_MAX;
    g->next = n->buckets[bucket_of(name)];
    n->buckets[bucket_of(name)] = g;
    link_newest(n, g);
    return g;
}

/* Where the next array of a block begins, counted from the block. */
static size_t place(size_t *at, size_t count, size_t size)
{
    size_t here = *at;

    *at += (count * size + 15) / 16 * 16;
    return here;
}

/* The size of a block for `cap` vectors; with `b` (of that size), its arrays are set. */
static size_t lay_out(struct block *b, const struct gate *g, size_t cap)
{
    size_t size = 0;

    (void)place(&size, 1, sizeof *b);
    size_t exact = place(&size, cap, sizeof *b->exact);
    size_t sizes = place(&size, cap, sizeof *b->sizes);
    size_t facts = place(&size, cap, sizeof *b->facts);
    size_t heads = place(&size, cap, g->shape.head);
    size_t tails = place(&size, cap, g->shape.tail);
    if (b) {
        char *at = (char *)b;

        b->exact = (void *)(at + exact);
        b->sizes = (void *)(at + sizes);
        b->facts = (void *)(at + facts);
        b->heads = (void *)(at + heads);
        b->tails = (void *)(at + tails);
    }
    return size;
}

/* The block to fill next: as large as all that is there, so that small gates stay small. */
static struct block *add_block(struct pk_near *n, struct gate *g, bool own)
{
    int cap = g->count < BLOCK_MIN ? BLOCK_MIN : g->count > BLOCK_MAX ? BLOCK_MAX : g->count;
    size_t bytes = lay_out(NULL, g, (size_t)cap);
    struct block *b = make_room(n, g, bytes, own) ? take(n, bytes) : NULL;

    if (!b)
        return NULL;
    b->cap = cap;
    b->bytes = bytes;
    (void)lay_out(b, g, (size_t)cap);
    b->next = g->blocks;
    g->blocks = b;
    return b;
}

/* --- adding ---------------------------------------------------------------------------------- */

/* The first vector of a gate decides how long all are. */
static bool fits(struct gate *g, const struct pk_near_item *item)
{
    if (item->dims < 1 || item->dims > PK_NEAR_DIMS_MAX)
        return false;
    if (g->shape.dims == 0)
        g->shape = pk_near_shape_of(item->dims);
    return g->shape.dims == item->dims;
}

static struct fact fact_of(const struct pk_near_item *item)
{
    struct fact f = {.id = item->id, .traits = item->traits};

    memcpy(f.key, item->key, sizeof f.key);
    return f;
}

static void grow_up(struct pk_near *n, struct gate *g, const uint8_t *key)
{
    for (struct young **link = &g->young; *link; link = &(*link)->next)
        if (memcmp((*link)->fact.key, key, sizeof(*link)->fact.key) == 0) {
            drop_young(n, g, link);
            return;
        }
}

bool pk_near_add(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                 const struct pk_near_item *item)
{
    struct gate *g = make_gate(n, gate);

    if (!g || !fits(g, item))
        return false;
    bool own = item->id > g->range.low; /* older ones do not push newer ones out */
    if (g->count >= PK_NEAR_GATE_MAX && own)
        drop_block(n, g, oldest_block(g));
    if (g->count >= PK_NEAR_GATE_MAX)
        return false;
    struct block *b = g->blocks;
    if (!b || b->count == b->cap)
        b = add_block(n, g, own);
    if (!b)
        return false;
    size_t i = (size_t)b->count++;
    g->count++;
    b->newest = item->id > b->newest ? item->id : b->newest;
    b->exact[i] = item->traits.exact;
    b->facts[i] = fact_of(item);
    b->sizes[i] = pk_near_encode(&g->shape, item->vector, b->heads + i * g->shape.head,
                                 b->tails + i * g->shape.tail);
    grow_up(n, g, item->key);
    return true;
}

void pk_near_add_young(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                       const struct pk_near_item *item)
{
    struct gate *g = make_gate(n, gate);
    size_t floats = (size_t)item->dims * sizeof(float);
    size_t bytes = sizeof(struct young) + floats;

    if (!g || !fits(g, item) || g->young_count == PK_NEAR_YOUNG_MAX)
        return; /* it is found once it is in the store */
    grow_up(n, g, item->key);
    struct young *y = make_room(n, g, bytes, true) ? take(n, bytes) : NULL;
    if (!y)
        return;
    y->bytes = bytes;
    y->fact = fact_of(item);
    y->fact.id = 0;
    memcpy(y->vector, item->vector, floats);
    y->next = g->young;
    g->young = y;
    g->young_count++;
}

/* --- finding --------------------------------------------------------------------------------- */

struct search {
    const struct gate *gate;
    const struct pk_near_item *like;
    pk_near_dot_fn *dot;
    float threshold;
    struct coded q;
    struct pk_near_matches *found;
};

static void offer(struct search *s, const struct fact *f, float similarity, float error)
{
    struct pk_near_matches *m = s->found;
    int i = m->count;

    if (i == PK_NEAR_BEST && similarity <= m->list[i - 1].similarity)
        return;
    i -= i == PK_NEAR_BEST;
    m->count = i + 1;
    for (; i > 0 && m->list[i - 1].similarity < similarity; i--)
        m->list[i] = m->list[i - 1];
    m->list[i] = (struct pk_near_match){.id = f->id, .similarity = similarity, .error = error};
    memcpy(m->list[i].key, f->key, sizeof f->key);
}

static void look_at(struct search *s, const struct block *b, size_t i)
{
    const struct gate *g = s->gate;
    const struct pk_near_sizes *v = &b->sizes[i], *q = &s->q.sizes;
    float scale = q->scale * v->scale;
    float error = q->error + (1 + q->error) * v->error + float_error;
    float head = (float)s->dot(s->q.codes, b->heads + i * g->shape.head, g->shape.head) * scale;

    if (head + q->rest * v->rest + error < s->threshold)
        return;
    float tail =
        (float)s->dot(s->q.codes + g->shape.head, b->tails + i * g->shape.tail, g->shape.tail) *
        scale;
    if (head + tail + error < s->threshold ||
        !pk_traits_agree(&s->like->traits, &b->facts[i].traits))
        return;
    offer(s, &b->facts[i], head + tail, error);
}

bool pk_near_enough(double cosine, double threshold)
{
    return cosine + 1e-6 >= threshold;
}

void pk_near_find(const struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                  const struct pk_near_item *like, double threshold, struct pk_near_matches *m)
{
    const struct gate *g = find_gate(n, gate);
    struct search s = {
        .gate = g, .like = like, .dot = n->dot, .threshold = (float)threshold, .found = m};

    m->count = 0;
    if (!g || g->shape.dims != like->dims)
        return;
    s.q.sizes = pk_near_encode(&g->shape, like->vector, s.q.codes, s.q.codes + g->shape.head);
    for (const struct block *b = g->blocks; b; b = b->next)
        for (size_t i = 0; i < (size_t)b->count; i++)
            if (b->exact[i] == like->traits.exact)
                look_at(&s, b, i);
    for (const struct young *y = g->young; y; y = y->next) {
        double exact = pk_near_cosine(y->vector, like->vector, g->shape.dims);

        if (pk_near_enough(exact, threshold) && pk_traits_agree(&like->traits, &y->fact.traits))
            offer(&s, &y->fact, (float)exact, 0);
    }
}

static bool forget_in(struct gate *g, struct block *b, int64_t id)
{
    size_t i = 0, last = (size_t)b->count - 1;

    while (i <= last && b->facts[i].id != id)
        i++;
    if (i > last)
        return false;
    b->exact[i] = b->exact[last];
    b->sizes[i] = b->sizes[last];
    b->facts[i] = b->facts[last];
    memmove(b->heads + i * g->shape.head, b->heads + last * g->shape.head, g->shape.head);
    memmove(b->tails + i * g->shape.tail, b->tails + last * g->shape.tail, g->shape.tail);
    b->count--;
    g->count--;
    return true;
}

void pk_near_forget(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                    const struct pk_near_match *m)
{
    struct gate *g = find_gate(n, gate);

    if (!g)
        return;
    if (m->id == 0) {
        grow_up(n, g, m->key);
        return;
    }
    for (struct block *b = g->blocks; b; b = b->next) {
        if (b->count == 0 || !forget_in(g, b, m->id))
            continue;
        if (b->count == 0)
            drop_block(n, g, b);
        return;
    }
}

/* --- the whole ------------------------------------------------------------------------------- */

struct pk_near_range pk_near_range(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES])
{
    struct gate *g = find_gate(n, gate);

    if (!g)
        return (struct pk_near_range){.low = INT64_MAX};
    unlink_use(n, g);
    link_newest(n, g);
    return g->range;
}

void pk_near_looked(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                    struct pk_near_range range)
{
    struct gate *g = make_gate(n, gate);

    if (g)
        g->range = range;
}

size_t pk_near_bytes(const struct pk_near *n)
{
    return n->bytes;
}

struct pk_near *pk_near_new(struct pk_allocator from, size_t bytes_max)
{
    struct pk_near *n = from.alloc(from.ctx, sizeof *n);

    if (!n)
        return NULL;
    memset(n, 0, sizeof *n);
    n->from = from;
    n->bytes_max = bytes_max;
    n->dot = pk_near_best_dot();
    return n;
}

void pk_near_free(struct pk_near *n)
{
    if (!n)
        return;
    while (n->oldest)
        drop_gate(n, n->oldest);
    n->from.free(n->from.ctx, n);
}
