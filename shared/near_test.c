/* near_test.c - a search finds what comparing all vectors finds, within its memory.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "near.h"
#include "test.h"

#include <math.h>
#include <string.h>

enum { DIMS_MAX = 1536, MANY = 3000 };

static const uint8_t gate[PK_NEAR_KEY_BYTES] = "gate", elsewhere[PK_NEAR_KEY_BYTES] = "elsewhere";
static uint64_t random_state = 11;
static int left = INT32_MAX; /* allocations that still succeed */

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return left-- > 0 ? malloc(size) : NULL;
}

static void give(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

static struct pk_near *fresh(size_t bytes_max)
{
    return pk_near_new((struct pk_allocator){NULL, take, give}, bytes_max);
}

/* The matches into `best`; how many. */
static int find(const struct pk_near *n, const uint8_t *where, const struct pk_near_item *like,
                double threshold, struct pk_near_match best[PK_NEAR_BEST])
{
    struct pk_near_matches m;

    pk_near_find(n, where, like, threshold, &m);
    memcpy(best, m.list, sizeof m.list);
    return m.count;
}

static float drawn(void)
{
    return (float)(int32_t)(uint32_t)pk_random_next(&random_state) / 2147483648.0F;
}

/* A vector of length 1; `spread` 1: anywhere, less: around (1, 1, ...). */
static void draw(float *v, int dims, float spread)
{
    for (int i = 0; i < dims; i++)
        v[i] = (1 - spread) + spread * drawn();
    EXPECT(pk_near_normalise(v, dims));
}

static struct pk_near_item item_of(int64_t id, const float *v, int dims, const char *text)
{
    struct pk_near_item item = {
        .id = id, .traits = pk_traits_of(pk_str_of(text)), .vector = v, .dims = dims};

    memcpy(item.key, &id, sizeof id);
    return item;
}

static bool found(const struct pk_near_match *best, int count, int64_t id)
{
    for (int i = 0; i < count; i++)
        if (best[i].id == id)
            return true;
    return false;
}

/* What is here, each once, in the order of adding. */
static float vectors[MANY][DIMS_MAX];

static void compare(const struct pk_near *n, int count, int dims, const float *q, double threshold)
{
    struct pk_near_match best[PK_NEAR_BEST];
    struct pk_near_item like = item_of(0, q, dims, "text");
    int got = find(n, gate, &like, threshold, best), want = 0;

    for (int i = 0; i < count; i++) {
        double exact = pk_near_cosine(q, vectors[i], dims);

        want += exact >= threshold;
        if (exact >= threshold && got < PK_NEAR_BEST)
            EXPECT(found(best, got, i + 1));
    }
    EXPECT(want <= PK_NEAR_BEST ? got >= want : got == PK_NEAR_BEST);
    for (int i = 0; i < got; i++) {
        double exact = pk_near_cosine(q, vectors[best[i].id - 1], dims);

        EXPECT(fabs(exact - (double)best[i].similarity) <= (double)best[i].error);
        EXPECT(i == 0 || best[i - 1].similarity >= best[i].similarity);
    }
}

static void a_search_finds_what_comparing_all_finds(void)
{
    static const int dims[] = {1, 2, 31, 32, 33, 100, 384, 1536};
    static const double thresholds[] = {0.5, 0.8, 0.9, 0.95, 0.99, 1};
    float q[DIMS_MAX];

    for (size_t d = 0; d < PK_COUNT(dims); d++) {
        struct pk_near *n = fresh(64 << 20);
        int count = dims[d] == 1536 ? 300 : MANY;

        for (int i = 0; i < count; i++) {
            draw(vectors[i], dims[d], (float)(i % 5 + 1) / 5);
            struct pk_near_item item = item_of(i + 1, vectors[i], dims[d], "text");
            EXPECT(pk_near_add(n, gate, &item));
        }
        for (int i = 0; i < 60; i++) {
            if (i % 3 == 0)
                memcpy(q, vectors[i * 5], sizeof q);
            else
                draw(q, dims[d], (float)(i % 5 + 1) / 5);
            compare(n, count, dims[d], q, thresholds[(size_t)i % PK_COUNT(thresholds)]);
        }
        pk_near_free(n);
    }
}

static void texts_that_say_something_else_are_not_found(void)
{
    struct pk_near *n = fresh(1 << 20);
    struct pk_near_match best[PK_NEAR_BEST];
    char text[32];
    float v[64];

    draw(v, 64, 1);
    for (int i = 1; i <= 100; i++) {
        (void)snprintf(text, sizeof text, "order %d", i);
        struct pk_near_item item = item_of(i, v, 64, text);
        EXPECT(pk_near_add(n, gate, &item));
    }
    struct pk_near_item like = item_of(0, v, 64, "the order 42");
    EXPECT(find(n, gate, &like, 0.95, best) == 1 && best[0].id == 42);
    like = item_of(0, v, 64, "order 101");
    EXPECT(find(n, gate, &like, 0.95, best) == 0);
    pk_near_free(n);
}

static void gates_and_lengths_are_apart(void)
{
    struct pk_near *n = fresh(1 << 20);
    struct pk_near_match best[PK_NEAR_BEST];
    float v[64];

    draw(v, 64, 1);
    struct pk_near_item item = item_of(1, v, 64, "a"), shorter = item_of(2, v, 32, "a");
    EXPECT(pk_near_add(n, gate, &item) && !pk_near_add(n, gate, &shorter));
    EXPECT(find(n, elsewhere, &item, 0.9, best) == 0);
    EXPECT(find(n, gate, &shorter, 0.9, best) == 0);
    EXPECT(find(n, gate, &item, 0.9, best) == 1);
    shorter.dims = PK_NEAR_DIMS_MAX + 1;
    EXPECT(!pk_near_add(n, elsewhere, &shorter));
    pk_near_free(n);
}

static void a_young_one_is_found_until_its_row_is_there(void)
{
    struct pk_near *n = fresh(1 << 20);
    struct pk_near_match best[PK_NEAR_BEST];
    float v[64];

    draw(v, 64, 1);
    struct pk_near_item item = item_of(7, v, 64, "a");
    pk_near_add_young(n, gate, &item);
    pk_near_add_young(n, gate, &item);
    EXPECT(find(n, gate, &item, 1 - 1e-6, best) == 1);
    EXPECT(best[0].id == 0 && memcmp(best[0].key, item.key, sizeof item.key) == 0);
    EXPECT(pk_near_add(n, gate, &item));
    EXPECT(find(n, gate, &item, 0.999, best) == 1 && best[0].id == 7);
    pk_near_forget(n, gate, &best[0]);
    EXPECT(find(n, gate, &item, 0.999, best) == 0);
    pk_near_add_young(n, gate, &item);
    EXPECT(find(n, gate, &item, 0.999, best) == 1);
    pk_near_forget(n, gate, &best[0]);
    EXPECT(find(n, gate, &item, 0.999, best) == 0);
    pk_near_free(n);
}

static void what_is_forgotten_is_not_found_and_the_rest_is(void)
{
    struct pk_near *n = fresh(8 << 20);
    struct pk_near_match best[PK_NEAR_BEST];

    for (int i = 0; i < 1000; i++) {
        draw(vectors[i], 64, 1);
        struct pk_near_item item = item_of(i + 1, vectors[i], 64, "a");
        EXPECT(pk_near_add(n, gate, &item));
    }
    for (int i = 0; i < 1000; i += 3)
        pk_near_forget(n, gate, &(struct pk_near_match){.id = i + 1});
    for (int i = 0; i < 1000; i++) {
        struct pk_near_item like = item_of(0, vectors[i], 64, "a");
        int count = find(n, gate, &like, 0.999, best);

        EXPECT(count == (i % 3 != 0) && (count == 0 || best[0].id == i + 1));
    }
    pk_near_free(n);
}

static void memory_is_bounded(void)
{
    const size_t max = 3 << 20;
    struct pk_near *n = fresh(max);
    struct pk_near_match best[PK_NEAR_BEST];
    float v[384];

    draw(v, 384, 1);
    for (int i = 1; i <= 20000; i++) {
        struct pk_near_item item = item_of(i, v, 384, "a");

        EXPECT(pk_near_add(n, gate, &item) && pk_near_bytes(n) <= max);
        if (i == 1)
            pk_near_looked(n, gate, (struct pk_near_range){.low = 0, .high = 1, .whole = true});
    }
    struct pk_near_item like = item_of(0, v, 384, "a");
    EXPECT(find(n, gate, &like, 0.9, best) == PK_NEAR_BEST);
    for (int i = 0; i < 20000; i++) { /* another gate pushes this one out */
        struct pk_near_item item = item_of(i + 1, v, 384, "a");

        if (!pk_near_add(n, elsewhere, &item))
            break;
    }
    EXPECT(pk_near_bytes(n) <= max && find(n, gate, &like, 0.9, best) == 0);
    EXPECT(!pk_near_range(n, gate).whole && pk_near_range(n, gate).low == INT64_MAX);
    pk_near_free(n);
}

static void many_small_gates_fit_and_the_last_used_stay(void)
{
    const size_t max = 1 << 20;
    struct pk_near *n = fresh(max);
    struct pk_near_match best[PK_NEAR_BEST];
    float v[64];

    draw(v, 64, 1);
    struct pk_near_item item = item_of(1, v, 64, "a");
    for (int i = 0; i < 5000; i++) {
        uint8_t name[PK_NEAR_KEY_BYTES] = {0};

        memcpy(name, &i, sizeof i);
        EXPECT(pk_near_add(n, name, &item) && pk_near_bytes(n) <= max);
        pk_near_looked(n, name, (struct pk_near_range){.low = 1, .high = 1, .whole = true});
        (void)pk_near_range(n, (const uint8_t[PK_NEAR_KEY_BYTES]){0}); /* the first is in use */
    }
    EXPECT(find(n, (const uint8_t[PK_NEAR_KEY_BYTES]){0}, &item, 0.9, best) == 1);
    EXPECT(find(n, (const uint8_t[PK_NEAR_KEY_BYTES]){1}, &item, 0.9, best) == 0);
    pk_near_free(n);
}

static void only_so_many_of_a_gate_are_kept(void)
{
    struct pk_near *n = fresh(64 << 20);
    float v[2] = {0.6F, 0.8F};

    pk_near_looked(n, gate, (struct pk_near_range){.low = 0, .whole = true});
    for (int i = 1; i <= PK_NEAR_GATE_MAX + 5000; i++) {
        struct pk_near_item item = item_of(i, v, 2, "");

        EXPECT(pk_near_add(n, gate, &item));
    }
    size_t bytes = pk_near_bytes(n);
    struct pk_near_item older = item_of(-1, v, 2, "");
    while (pk_near_add(n, gate, &older)) /* fills what is free and pushes nothing out */
        older.id--;
    EXPECT(pk_near_bytes(n) <= bytes + bytes / 10);
    pk_near_free(n);
}

static void without_memory_nothing_is_kept_and_nothing_breaks(void)
{
    float v[64];

    draw(v, 64, 1);
    struct pk_near_item item = item_of(1, v, 64, "a");
    for (int i = 0; i < 6; i++) {
        left = i;
        struct pk_near *n = fresh(1 << 20);
        bool added = n && pk_near_add(n, gate, &item);
        if (n) {
            pk_near_looked(n, elsewhere, (struct pk_near_range){.low = 1});
            pk_near_add_young(n, elsewhere, &item);
        }
        EXPECT(added == (i >= 3));
        pk_near_free(n);
    }
    left = INT32_MAX;
}

static void what_has_no_length_is_no_vector(void)
{
    float zero[2] = {0, 0}, huge[2] = {1, INFINITY}, small[2] = {3e-20F, 4e-20F};

    EXPECT(!pk_near_normalise(zero, 2) && !pk_near_normalise(huge, 2));
    EXPECT(pk_near_normalise(small, 2) && fabsf(small[0] - 0.6F) < 1e-6F);
}

int main(void)
{
    RUN(a_search_finds_what_comparing_all_finds);
    RUN(texts_that_say_something_else_are_not_found);
    RUN(gates_and_lengths_are_apart);
    RUN(a_young_one_is_found_until_its_row_is_there);
    RUN(what_is_forgotten_is_not_found_and_the_rest_is);
    RUN(memory_is_bounded);
    RUN(many_small_gates_fit_and_the_last_used_stay);
    RUN(only_so_many_of_a_gate_are_kept);
    RUN(without_memory_nothing_is_kept_and_nothing_breaks);
    RUN(what_has_no_length_is_no_vector);
    return test_end();
}
