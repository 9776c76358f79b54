/* store_cache_test.c - the cache stays within bounds, and goes by what is purged.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_cache.h"

#include "store_group.h"
#include "store_near.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static const int64_t start_us = 1763725112123456, second_us = 1000000;

static void key_of(int i, uint8_t key[PK_CACHE_KEY_BYTES])
{
    memset(key, 0, PK_CACHE_KEY_BYTES);
    memcpy(key, &i, sizeof i);
}

static struct pk_cache_entry entry_of(const char *ns, const char *provider, const char *model)
{
    return (struct pk_cache_entry){.body = PK_STR("{\"a\":1}"),
                                   .ns = pk_str_of(ns),
                                   .provider = pk_str_of(provider),
                                   .model = pk_str_of(model)};
}

/* As the writer does it. */
static void put(struct pk_store *s, int i, int64_t at_us, int64_t max_age_s)
{
    struct pk_cache_entry e = entry_of(NULL, "openai", "gpt-4o");
    uint8_t key[PK_CACHE_KEY_BYTES];

    key_of(i, key);
    EXPECT(pk_store_cache_put(s, key, &e, at_us, max_age_s, &err));
    EXPECT(pk_store_cache_trim(s, at_us, &err));
}

static bool is_there(struct pk_store *s, int i, int64_t at_us)
{
    struct pk_cache_entry e;
    uint8_t key[PK_CACHE_KEY_BYTES];
    bool found = false;

    key_of(i, key);
    EXPECT(pk_store_cache_get(s, &arena, key, at_us, INT64_MAX, &e, &found, &err));
    return found;
}

static int64_t entries_of(struct pk_store *s)
{
    int64_t entries, bytes;

    EXPECT(pk_store_cache_size(s, &entries, &bytes, &err));
    return entries;
}

/* What is kept up equals what is there. */
static void size_is_right(struct pk_store *s)
{
    EXPECT(test_says(
        s, "select (select sum(entries) from pk_cache_size) - count(*) from pk_cache_entry", "0"));
    EXPECT(test_says(
        s,
        "select (select sum(bytes) from pk_cache_size) - coalesce(sum(bytes), 0) - "
        "(select coalesce(sum(length(vector)), 0) from pk_cache_vector) from pk_cache_entry",
        "0"));
}

static void hit_by(struct pk_store *s, int call, int i, int64_t at_us)
{
    uint8_t key[PK_CACHE_KEY_BYTES];
    struct pk_record r = {.id = {9, (uint8_t)call, (uint8_t)(call >> 8)},
                          .started_us = at_us,
                          .ended_us = at_us,
                          .trace_id = PK_STR("t"),
                          .operation = PK_STR("chat"),
                          .source = PK_STR("http")};

    key_of(i, key);
    r.cache_key = (pk_str){(const char *)key, sizeof key};
    EXPECT(pk_store_record_add(s, &r, &err));
}

static void hit(struct pk_store *s, int i, int64_t at_us)
{
    hit_by(s, i, i, at_us);
}

/* Of more entries than are added up at once, three hits each, one of them told twice. */
static void hits_of_a_group_add_up(void)
{
    enum { ENTRIES = 100 };
    struct pk_store *s = test_store(":memory:");

    pk_store_group_init(s);
    for (int i = 0; i < ENTRIES; i++)
        put(s, i, start_us, 3600);
    EXPECT(pk_store_group_begin(s, true, &err));
    hit_by(s, 999, 0, start_us + second_us);
    EXPECT(!pk_store_group_end(s, false, &err)); /* undone with its row */
    EXPECT(pk_store_group_begin(s, false, &err));
    for (int call = 0; call < 3 * ENTRIES; call++)
        hit_by(s, call, call % ENTRIES, start_us + (call + 1) * second_us);
    hit_by(s, 299, 99, start_us + 300 * second_us);
    EXPECT(test_says(s, "select count(*) > 0 from pk_cache_entry where hits < 3", "1"));
    EXPECT(pk_store_group_settle(s, &err) && pk_store_group_end(s, true, &err));
    EXPECT(test_says(s,
                     "select count(*) || ' ' || min(hits) || ' ' || max(hits) from pk_cache_entry",
                     "100 3 3"));
    EXPECT(test_says(
        s, "select (max(last_hit_us) - 1763725112123456) / 1000000 from pk_cache_entry", "300"));
    pk_store_group_free(s);
    pk_store_close(s);
}

static void what_was_used_longest_ago_goes_first(void)
{
    struct pk_store *s = test_store(":memory:");

    s->cache_max.entries = 20;
    for (int i = 0; i < 20; i++)
        put(s, i, start_us + i * second_us, 3600);
    hit(s, 0, start_us + 100 * second_us);
    for (int i = 20; i < 30; i++)
        put(s, i, start_us + i * second_us, 3600);
    EXPECT(entries_of(s) <= 20 && entries_of(s) >= 12);
    EXPECT(is_there(s, 0, start_us) && is_there(s, 29, start_us) && !is_there(s, 1, start_us));
    size_is_right(s);
    pk_store_close(s);
}

static void what_has_expired_goes_before_that(void)
{
    struct pk_store *s = test_store(":memory:");

    s->cache_max.entries = 10;
    put(s, 0, start_us, 3600);
    for (int i = 1; i < 10; i++)
        put(s, i, start_us + second_us, 5);
    put(s, 10, start_us + 60 * second_us, 3600);
    put(s, 11, start_us + 60 * second_us, 3600);
    EXPECT(is_there(s, 0, start_us) && !is_there(s, 1, start_us + 2 * second_us));
    EXPECT(entries_of(s) == 3);
    size_is_right(s);
    pk_store_close(s);
}

static void bytes_are_bounded_too(void)
{
    struct pk_store *s = test_store(":memory:");
    int64_t entries, bytes;

    s->cache_max.bytes = 10000;
    for (int i = 0; i < 200; i++) {
        put(s, i, start_us + i * second_us, 3600);
        EXPECT(pk_store_cache_size(s, &entries, &bytes, &err) && bytes <= 10000 && entries > 0);
    }
    size_is_right(s);
    pk_store_close(s);
}

static void an_entry_larger_than_the_cache_is_not_kept(void)
{
    struct pk_store *s = test_store(":memory:");

    s->cache_max.bytes = PK_CACHE_ENTRY_BYTES;
    put(s, 1, start_us, 3600);
    EXPECT(!is_there(s, 1, start_us) && entries_of(s) == 0);
    pk_store_close(s);
}

/* A limit that is lowered is reached in steps, not at once. */
static void one_step_deletes_a_few(void)
{
    struct pk_store *s = test_store(":memory:");

    for (int i = 0; i < 200; i++)
        put(s, i, start_us, 3600);
    s->cache_max.entries = 10;
    EXPECT(pk_store_cache_trim(s, start_us, &err));
    EXPECT(entries_of(s) >= 200 - PK_CACHE_EVICT_MAX && entries_of(s) < 200);
    for (int i = 0; i < 20; i++)
        EXPECT(pk_store_cache_trim(s, start_us, &err));
    EXPECT(entries_of(s) <= 10);
    size_is_right(s);
    pk_store_close(s);
}

static void an_entry_put_again_counts_once(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_cache_entry larger = entry_of("n", "openai", "m");
    uint8_t key[PK_CACHE_KEY_BYTES];

    for (int i = 0; i < 100; i++)
        put(s, i % 3, start_us + i, 3600);
    key_of(1, key);
    larger.body = PK_STR("{\"a\":\"a body that is longer than the one before it was\"}");
    EXPECT(pk_store_cache_put(s, key, &larger, start_us + 200, 3600, &err));
    EXPECT(pk_store_cache_put(s, key, &larger, start_us - 200, 3600, &err)); /* older: nothing */
    EXPECT(entries_of(s) == 3);
    size_is_right(s);
    EXPECT(test_says(s, "select count(*) <= 66 from pk_cache_size", "1"));
    pk_store_close(s);
}

static int64_t purge(struct pk_store *s, const char *filter, int64_t now_us)
{
    struct pk_cache_filter f = {0};
    int64_t count = -1;

    if (*filter && !EXPECT(pk_cache_filter_read(&arena, pk_str_of(filter), now_us, &f, &err)))
        printf("# %s\n", err.msg);
    EXPECT(pk_store_cache_purge(s, &f, now_us, &count, &err));
    size_is_right(s);
    return count;
}

static void purging_takes_what_the_filter_says(void)
{
    static const struct {
        const char *ns, *provider, *model;
        int64_t max_age_s;
    } rows[] = {
        {NULL, "openai", "gpt-4o", 10},       {NULL, "openai", "gpt-4o-mini", 3600},
        {"a", "openai", "gpt-4o", 3600},      {"a", "anthropic", "claude", 3600},
        {"b", "anthropic", "claude-x", 3600}, {"b", "groq", "llama", 3600},
        {NULL, "groq", "llama", 3600},
    };
    struct pk_store *s = test_store(":memory:");
    uint8_t key[PK_CACHE_KEY_BYTES];

    for (size_t i = 0; i < PK_COUNT(rows); i++) {
        struct pk_cache_entry e = entry_of(rows[i].ns, rows[i].provider, rows[i].model);

        key_of((int)i, key);
        EXPECT(pk_store_cache_put(s, key, &e, start_us + (int64_t)i * second_us, rows[i].max_age_s,
                                  &err));
    }
    EXPECT(purge(s, "", start_us + 60 * second_us) == 1); /* the expired one */
    EXPECT(purge(s, "{\"namespace\":\"a\",\"provider\":\"anthropic\"}", start_us) == 1);
    EXPECT(purge(s, "{\"model\":\"gpt-4o\"}", start_us) == 1);
    EXPECT(purge(s, "{\"model\":\"gpt-4o*\"}", start_us) == 1);
    EXPECT(purge(s, "{\"older_than\":55}", start_us + 60 * second_us) == 1);
    EXPECT(purge(s, "{\"namespace\":\"b\"}", start_us) == 1);
    EXPECT(purge(s, "{\"all\":true}", start_us) == 1 && entries_of(s) == 0);
    EXPECT(test_says(s, "select count(*) from pk_audit where verb = 'cache_purge'", "7"));
    EXPECT(test_says(s, "select detail from pk_audit where detail like '%*%'",
                     "{\"entries\":1,\"model\":\"gpt-4o*\"}"));
    pk_store_close(s);
}

static void filters_are_strict(void)
{
    static const char *const bad[][2] = {
        {"{}", "filter: must be an object with"},
        {"[]", "filter: must be an object with"},
        {"{\"name\":\"x\"}", "unknown key \"name\"; there are"},
        {"{\"namespace\":\"\"}", "namespace: must be a string of 1 to 128 bytes"},
        {"{\"model\":7}", "model: must be a string of 1 to 128 bytes"},
        {"{\"older_than\":\"1d\"}", "older_than: must be seconds, 0 or more"},
        {"{\"older_than\":-1}", "older_than: must be seconds, 0 or more"},
        {"{\"all\":false}", "all: must be true when it is given"},
        {"{", "filter: not valid JSON"},
    };
    struct pk_cache_filter f;

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        if (!EXPECT(!pk_cache_filter_read(&arena, pk_str_of(bad[i][0]), start_us, &f, &err) &&
                    pk_str_starts(pk_str_of(err.msg), bad[i][1])))
            printf("# %s: %s\n", bad[i][0], err.msg);
}

static void a_purge_of_thousands_goes_in_steps(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_cache_entry e = entry_of("n", "openai", "m");
    uint8_t key[PK_CACHE_KEY_BYTES];

    EXPECT(s->ops->begin(s, &err));
    for (int i = 0; i < 3500; i++) {
        key_of(i, key);
        e.ns = i % 2 ? PK_STR("n") : PK_STR("m");
        EXPECT(pk_store_cache_put(s, key, &e, start_us, 3600, &err));
    }
    EXPECT(s->ops->end(s, true, &err));
    EXPECT(purge(s, "{\"namespace\":\"n\"}", start_us) == 1750);
    EXPECT(purge(s, "{\"all\":true}", start_us) == 1750);
    pk_store_close(s);
}

static void sizes_have_units(void)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } cases[] = {
        {"64MB", 64 << 20},
        {"1GB", 1 << 30},
        {" 100 kB ", 102400},
        {"7", 7 << 20},
        {"2TB", 2LL << 40},
        {"0", -1},
        {"", -1},
        {"MB", -1},
        {"1.5GB", -1},
        {"9999999999999GB", -1},
        {"-1", -1},
        {"10mb", -1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        int64_t bytes = -1;
        bool ok = pk_cache_size_parse(pk_str_of(cases[i].text), &bytes);

        if (!EXPECT(ok == (cases[i].bytes > 0) && (!ok || bytes == cases[i].bytes)))
            printf("# %s\n", cases[i].text);
    }
}

/* --- vectors ----------------------------------------------------------------------------------- */

static void a_vector_goes_with_its_entry(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_cache_vector v = {.gate = {1}, .at = (const float[]){1, 0}, .dims = 2};
    uint8_t key[PK_CACHE_KEY_BYTES];

    key_of(1, key);
    EXPECT(pk_store_near_put(s, key, &v, &err)); /* no entry, no vector */
    EXPECT(test_says(s, "select count(*) from pk_cache_vector", "0"));
    put(s, 1, start_us, 3600);
    put(s, 2, start_us, 3600);
    EXPECT(pk_store_near_put(s, key, &v, &err) && pk_store_near_put(s, key, &v, &err));
    v.gate[0] = 2; /* made by another embedder */
    EXPECT(pk_store_near_put(s, key, &v, &err));
    EXPECT(test_says(s, "select count(*) from pk_cache_vector", "2"));
    EXPECT(test_says(s, "select sum(semantic) || ' of ' || count(*) from pk_cache", "1 of 2"));
    size_is_right(s);
    put(s, 1, start_us + 1, 3600);
    EXPECT(test_says(s, "select count(*) from pk_cache_vector", "2"));
    EXPECT(purge(s, "{\"all\":true}", start_us) == 2);
    EXPECT(test_says(s, "select count(*) from pk_cache_vector", "0"));
    pk_store_close(s);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(hits_of_a_group_add_up);
    RUN(what_was_used_longest_ago_goes_first);
    RUN(what_has_expired_goes_before_that);
    RUN(bytes_are_bounded_too);
    RUN(an_entry_larger_than_the_cache_is_not_kept);
    RUN(one_step_deletes_a_few);
    RUN(an_entry_put_again_counts_once);
    RUN(purging_takes_what_the_filter_says);
    RUN(filters_are_strict);
    RUN(a_purge_of_thousands_goes_in_steps);
    RUN(sizes_have_units);
    RUN(a_vector_goes_with_its_entry);
    pk_arena_free(&arena);
    return test_end();
}
