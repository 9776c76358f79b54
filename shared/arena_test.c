/* arena_test.c - memory and growing text: contents survive, limits hold, foreign objects go.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "buf.h"
#include "test.h"

#include <string.h>

static int released;

static void release(void *object)
{
    (void)object;
    released++;
}

static void what_is_allocated_is_zeroed_and_apart(void)
{
    struct pk_arena a;
    unsigned char *p[300];

    pk_arena_init(&a, pk_allocator_malloc(), 64 << 20);
    for (size_t i = 0; i < PK_COUNT(p); i++) {
        size_t size = (i * 977) % 50000;

        p[i] = pk_alloc(&a, size);
        EXPECT(p[i] && (size == 0 || (p[i][0] == 0 && p[i][size - 1] == 0)));
        memset(p[i], (int)i, size);
    }
    for (size_t i = 0; i < PK_COUNT(p); i++) {
        size_t size = (i * 977) % 50000;

        EXPECT(size == 0 || (p[i][0] == (unsigned char)i && p[i][size - 1] == (unsigned char)i));
    }
    pk_arena_free(&a);
}

/* Gives from one static block, so that what was given back can be looked at. */
static char pool[1 << 20];
static size_t pool_used;

static void *from_pool(void *ctx, size_t size)
{
    char *at = pool + pool_used;

    (void)ctx;
    pool_used += (size + 63) / 64 * 64;
    PK_ASSERT(pool_used <= sizeof pool);
    return at;
}

static void to_pool(void *ctx, void *block)
{
    (void)ctx;
    (void)block;
}

static bool pool_has(const char *text)
{
    return memmem(pool, sizeof pool, text, strlen(text)) != NULL;
}

static void an_arena_that_held_a_secret_is_wiped(void)
{
    const struct pk_allocator allocator = {NULL, from_pool, to_pool};

    for (int wipe = 0; wipe < 2; wipe++) {
        struct pk_arena a;

        pk_arena_init(&a, allocator, 1 << 20);
        a.wipe = wipe;
        (void)pk_copy(&a, PK_STR("sk-in-a-small-block"));
        char *large = pk_alloc(&a, 40000);
        memcpy(large + 39000, "sk-in-a-large-one", 18);
        EXPECT(pk_alloc_grow(&a, large, 40000, 90000)); /* the first is given back */
        EXPECT(pool_has("sk-in-a-small-block") && pool_has("sk-in-a-large-one"));
        pk_arena_free(&a);
        EXPECT(pool_has("sk-in-a-small-block") == !wipe && pool_has("sk-in-a-large-one") == !wipe);
        memset(pool, 0, pool_used);
        pool_used = 0;
    }
}

static void growing_keeps_what_was_there(void)
{
    for (int torture = 0; torture < 2; torture++) {
        struct pk_arena a;
        char *p = NULL;
        size_t size = 0;

        pk_arena_init(&a, pk_allocator_malloc(), 16 << 20);
        a.torture = torture;
        for (size_t next = 10; next < 2 << 20; next = next * 3 / 2) {
            p = pk_alloc_grow(&a, p, size, next);
            if (!EXPECT(p && (size == 0 || (p[0] == 'x' && p[size - 1] == 'x'))))
                break;
            memset(p, 'x', next);
            size = next;
            if (next % 2)
                EXPECT(pk_alloc(&a, 7));
        }
        EXPECT(a.used < 8 << 20); /* what was outgrown has been given back */
        pk_arena_free(&a);
    }
}

static void the_limit_is_an_error_that_stays(void)
{
    struct pk_arena a;

    pk_arena_init(&a, pk_allocator_malloc(), 100000);
    EXPECT(pk_alloc(&a, 90000) && !a.failed);
    EXPECT(!pk_alloc(&a, 90000) && a.failed);
    EXPECT(!pk_alloc(&a, SIZE_MAX - 3) && !pk_alloc(&a, SIZE_MAX / 2));
    EXPECT(pk_copy(&a, PK_STR("small")).len == 5 && a.failed);
    pk_arena_free(&a);
}

static void deferred_objects_go_with_the_arena(void)
{
    struct pk_arena a;

    released = 0;
    pk_arena_init(&a, pk_allocator_malloc(), 1000);
    EXPECT(pk_defer(&a, release, &a) && pk_defer(&a, release, &a) && released == 0);
    pk_arena_free(&a);
    EXPECT(released == 2);
    pk_arena_init(&a, pk_allocator_malloc(), 0);
    EXPECT(!pk_defer(&a, release, &a) && released == 3);
    pk_arena_free(&a);
}

static void text_grows_to_its_ceiling(void)
{
    struct pk_arena a;

    pk_arena_init(&a, pk_allocator_malloc(), 1 << 20);
    struct pk_buf b = pk_buf_in(&a, 1000);
    for (int i = 0; i < 99; i++)
        pk_buf_addf(&b, "%010d", i);
    EXPECT(b.len == 990 && !b.failed);
    EXPECT(pk_str_starts(pk_buf_str(&b), "0000000000") &&
           pk_str_ends(pk_buf_str(&b), "0000000098"));
    pk_buf_add(&b, (pk_str){(char[2000]){0}, 2000});
    EXPECT(b.failed && b.len == 990);
    pk_arena_free(&a);
}

static void integers_are_read_exactly(void)
{
    int64_t n = 0;

    EXPECT(pk_str_int(PK_STR("9223372036854775807"), &n) && n == INT64_MAX);
    EXPECT(pk_str_int(PK_STR("-9223372036854775808"), &n) && n == INT64_MIN);
    EXPECT(!pk_str_int(PK_STR("9223372036854775808"), &n) && !pk_str_int(PK_STR("-"), &n));
    EXPECT(!pk_str_int(PK_NONE, &n) && !pk_str_int(PK_STR("1x"), &n) &&
           !pk_str_int(PK_STR("+1"), &n));
}

int main(void)
{
    RUN(what_is_allocated_is_zeroed_and_apart);
    RUN(an_arena_that_held_a_secret_is_wiped);
    RUN(growing_keeps_what_was_there);
    RUN(the_limit_is_an_error_that_stays);
    RUN(deferred_objects_go_with_the_arena);
    RUN(text_grows_to_its_ceiling);
    RUN(integers_are_read_exactly);
    return test_end();
}
