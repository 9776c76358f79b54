/* store_near_test.c - a search finds what is in the store, also what came after it looked last.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_near.h"

#include "store_cache.h"
#include "test_store.h"

enum { DIMS = 8 };

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *store;
static struct pk_near *near;
static uint64_t random_state = 3;
static const int64_t now_us = 1763725112123456;

static struct pk_cache_vector question(const float *at, const char *text)
{
    return (struct pk_cache_vector){
        .gate = {1}, .traits = pk_traits_of(pk_str_of(text)), .at = at, .dims = DIMS};
}

static void key_of(int i, uint8_t key[PK_CACHE_KEY_BYTES])
{
    memset(key, 0, PK_CACHE_KEY_BYTES);
    memcpy(key, &i, sizeof i);
}

static void draw(float *v)
{
    for (int i = 0; i < DIMS; i++)
        v[i] = (float)(int32_t)(uint32_t)pk_random_next(&random_state);
    EXPECT(pk_near_normalise(v, DIMS));
}

static void put(int i, const float *at, const char *text, int64_t max_age_s)
{
    struct pk_cache_vector v = question(at, text);
    struct pk_cache_entry e = {.body = pk_copyf(&arena, "{\"n\":%d}", i)};
    uint8_t key[PK_CACHE_KEY_BYTES];

    key_of(i, key);
    EXPECT(pk_store_cache_put(store, key, &e, now_us, max_age_s, &err));
    EXPECT(pk_store_near_put(store, key, &v, &err));
}

static bool fetch(void *ctx, const uint8_t key[PK_CACHE_KEY_BYTES], struct pk_cache_entry *entry)
{
    bool found = false;

    return pk_store_cache_get(ctx, &arena, key, now_us, INT64_MAX, entry, &found, &err) && found;
}

/* The number of the entry that is found; 0: none. */
static int find(const float *at, const char *text, double threshold, double *similarity)
{
    struct pk_cache_vector v = question(at, text);
    struct pk_near_question q = {&v, threshold, fetch, store};
    struct pk_cache_entry entry;
    int i;

    if (!pk_store_near_find(store, near, &q, &entry))
        return 0;
    memcpy(&i, entry.key, sizeof i);
    EXPECT(pk_str_eq(entry.body, pk_copyf(&arena, "{\"n\":%d}", i)));
    *similarity = entry.similarity;
    return i;
}

static void fresh(void)
{
    store = test_store(":memory:");
    near = pk_near_new(pk_allocator_malloc(), 8 << 20);
}

static void over(void)
{
    pk_near_free(near);
    pk_store_close(store);
}

static void the_nearest_is_found_with_its_exact_cosine(void)
{
    float a[DIMS] = {0.6F, 0.8F}, b[DIMS] = {0.8F, 0.6F}, q[DIMS] = {1, 0};
    double similarity = 0;

    fresh();
    EXPECT(find(q, "x", 0.5, &similarity) == 0);
    put(1, a, "x", 60);
    put(2, b, "x", 60);
    EXPECT(find(q, "x", 0.5, &similarity) == 2 && similarity > 0.79999 && similarity < 0.80001);
    EXPECT(find(q, "x", 0.81, &similarity) == 0);
    EXPECT(find(a, "x", 1, &similarity) == 1);
    EXPECT(find(q, "not x", 0.5, &similarity) == 0);
    over();
}

static void what_comes_later_is_found_and_what_goes_is_not(void)
{
    static float vectors[200][DIMS];
    struct pk_cache_filter all = {.all = true};
    double similarity;
    int64_t count;

    fresh();
    for (int i = 0; i < 200; i++) {
        draw(vectors[i]);
        EXPECT(find(vectors[i], "x", 0.9999, &similarity) == 0);
        put(i + 1, vectors[i], "x", 60);
        EXPECT(find(vectors[i], "x", 0.9999, &similarity) == i + 1);
    }
    EXPECT(pk_store_cache_purge(store, &all, now_us, &count, &err) && count == 200);
    for (int i = 0; i < 200; i++)
        EXPECT(find(vectors[i], "x", 0.9999, &similarity) == 0);
    put(1000, vectors[7], "x", 60); /* its id is not one that was before */
    EXPECT(find(vectors[7], "x", 0.9999, &similarity) == 1000);
    over();
}

static void an_entry_that_is_gone_does_not_hide_the_next(void)
{
    float a[DIMS] = {1}, b[DIMS] = {0.99F, 0.14F};
    double similarity;

    fresh();
    EXPECT(pk_near_normalise(b, DIMS));
    for (int i = 1; i <= 20; i++)
        put(i, a, "x", 60);
    put(21, b, "x", 60);
    EXPECT(find(a, "x", 0.9, &similarity) > 0);
    for (int i = 1; i <= 20; i++) {
        struct pk_value key[] = {{.type = PK_V_BLOB}};
        uint8_t bytes[PK_CACHE_KEY_BYTES];

        key_of(i, bytes);
        key[0].s = (pk_str){(const char *)bytes, sizeof bytes};
        EXPECT(store->ops->exec(store, PK_SQL_near_drop, key, 1, NULL, NULL, &err));
    }
    EXPECT(find(a, "x", 0.9, &similarity) == 21);
    over();
}

static void a_large_gate_is_taken_over_in_steps(void)
{
    enum { MANY = 2 * PK_NEAR_ROWS_MAX + 100 };
    float first[DIMS], v[DIMS];
    double similarity;

    fresh();
    draw(first);
    EXPECT(store->ops->begin(store, &err));
    for (int i = 1; i <= MANY; i++) {
        draw(v);
        put(i, i == 1 ? first : v, "x", 60);
    }
    EXPECT(store->ops->end(store, true, &err));
    EXPECT(find(v, "x", 0.99999, &similarity) == MANY); /* the newest are there first */
    EXPECT(find(first, "x", 0.99999, &similarity) == 0);
    EXPECT(find(first, "x", 0.99999, &similarity) == 1);
    over();
}

static void damaged_rows_are_passed_over(void)
{
    float a[DIMS] = {1};
    double similarity;
    struct pk_value args[] = {
        {.type = PK_V_BLOB}, {.type = PK_V_BLOB}, {.type = PK_V_BLOB}, {.type = PK_V_BLOB}};
    uint8_t gate[PK_CACHE_KEY_BYTES] = {1}, key[PK_CACHE_KEY_BYTES];

    fresh();
    put(1, a, "x", 60);
    put(2, a, "x", 60);
    key_of(2, key);
    EXPECT(store->ops->exec(store, PK_SQL_near_drop,
                            &(struct pk_value){.type = PK_V_BLOB, .s = {(char *)key, sizeof key}},
                            1, NULL, NULL, &err));
    args[0].s = (pk_str){(const char *)gate, sizeof gate};
    args[1].s = (pk_str){(const char *)key, sizeof key};
    args[2].s = PK_STR("no traits");
    args[3].s = PK_STR("no floats");
    EXPECT(store->ops->exec(store, PK_SQL_near_put, args, 4, NULL, NULL, &err));
    EXPECT(find(a, "x", 0.9, &similarity) == 1);
    over();
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(the_nearest_is_found_with_its_exact_cosine);
    RUN(what_comes_later_is_found_and_what_goes_is_not);
    RUN(an_entry_that_is_gone_does_not_hide_the_next);
    RUN(a_large_gate_is_taken_over_in_steps);
    RUN(damaged_rows_are_passed_over);
    pk_arena_free(&arena);
    return test_end();
}
