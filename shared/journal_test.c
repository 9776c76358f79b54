/* journal_test.c - what is handed over as bytes arrives in the store.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "journal.h"

#include "store_cache.h"
#include "test_store.h"

static struct pk_arena arena;
static struct pk_error err;
static const int64_t now_us = 1763725112123456;
static const uint8_t key[PK_CACHE_KEY_BYTES] = {1, 2, 3};

static struct pk_record record(void)
{
    static struct pk_span span;
    struct pk_record r = {.id = {1},
                          .trace_id = PK_STR("t"),
                          .started_us = now_us,
                          .ended_us = now_us + 1000,
                          .operation = PK_STR("chat"),
                          .source = PK_STR("http"),
                          .request = PK_STR("{\"q\":1}"),
                          .span_count = 1,
                          .spans = &span};

    span = (struct pk_span){.started_us = now_us, .ended_us = now_us + 1000, .status = 200};
    return r;
}

static struct pk_buf record_entry(void)
{
    struct pk_record r = record();
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);

    pk_journal_record(&out, &r);
    return out;
}

static struct pk_buf cache_entry(void)
{
    struct pk_cache_entry e = {.body = PK_STR("{\"a\":1}"),
                               .provider = PK_STR("openai"),
                               .usage = {.source = PK_USAGE_PROVIDER, .input = 3},
                               .cost_known = true,
                               .cost_pusd = 9};
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);

    pk_journal_cache(&out, key, &e, now_us, 60);
    return out;
}

static struct pk_buf feedback_entry(void)
{
    struct pk_feedback f = {{7}, now_us, PK_STR("t"), -3, 0.25, PK_STR("{\"k\":true}")};
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);

    pk_journal_feedback(&out, &f);
    return out;
}

/* Behind the entry that it belongs to. */
static struct pk_buf vector_entry(void)
{
    struct pk_cache_vector v = {.gate = {5}, .at = (const float[]){0.6F, 0.8F}, .dims = 2};
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);

    pk_journal_vector(&out, key, &v);
    return out;
}

static struct pk_buf progress_entry(void)
{
    struct pk_progress_row r = {.id = {9},
                                .started_us = now_us,
                                .updated_us = now_us + 5,
                                .kind = PK_STR("pk_map"),
                                .source = PK_STR("sqlite"),
                                .query_id = PK_STR("q"),
                                .actor = PK_STR("os:ann"),
                                .host = PK_STR("h"),
                                .pid = 4,
                                .total = -1,
                                .done = 3};
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);

    pk_journal_progress(&out, &r);
    return out;
}

static struct pk_buf (*const makers[])(void) = {record_entry, cache_entry, feedback_entry,
                                                vector_entry, progress_entry};

static void every_kind_arrives_once_however_often_it_is_applied(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_cache_entry e;
    bool found;

    for (int i = 0; i < 2; i++)
        for (size_t m = 0; m < PK_COUNT(makers); m++) {
            struct pk_buf entry = makers[m]();

            EXPECT(pk_journal_apply(s, pk_buf_str(&entry), &err));
        }
    EXPECT(test_says(s, "select count(*) || ' ' || (request ->> 'q') from pk_logs", "1 1"));
    EXPECT(test_says(s, "select count(*) || ' ' || http_status from pk_spans", "1 200"));
    EXPECT(test_says(s, "select count(*) || ' ' || value || ' ' || weight from pk_feedback",
                     "1 -3 0.25"));
    EXPECT(test_says(s, "select count(*) || ' ' || hex(vector) from pk_cache_vector",
                     "1 9A99193FCDCC4C3F"));
    EXPECT(test_says(s, "select count(*) || kind || done || (total is null) from pk_progress",
                     "1pk_map31"));
    EXPECT(pk_store_cache_get(s, &arena, key, now_us, 60, &e, &found, &err) && found);
    EXPECT(pk_str_is(e.body, "{\"a\":1}") && e.usage.input == 3 && e.cost_pusd == 9);
    EXPECT(!pk_store_cache_get(s, &arena, key, now_us + 60000000, 90, &e, &found, &err) || !found);
    pk_store_close(s);
}

/* Older ones that come late change nothing; the end removes it, whatever else comes behind. */
static void what_a_batch_tells_takes_the_place_of_what_it_told(void)
{
    struct pk_progress_row r = {
        .id = {9}, .updated_us = now_us, .kind = PK_STR("pk_map"), .total = 7};
    struct pk_store *s = test_store(":memory:");

    r.source = r.query_id = r.actor = r.host = r.kind;
    for (int i = 0; i < 3; i++) {
        struct pk_buf entry = pk_buf_in(&arena, 1 << 16);

        r.done = i;
        r.updated_us = i == 2 ? now_us : now_us + i;
        pk_journal_progress(&entry, &r);
        EXPECT(pk_journal_apply(s, pk_buf_str(&entry), &err));
    }
    EXPECT(test_says(s, "select group_concat(done || ' ' || total) from pk_progress", "1 7"));
    EXPECT(test_says(s, "select count(*) from pk_running", "0")); /* its time is not ours */
    r = (struct pk_progress_row){.id = {9}, .over = true};
    struct pk_buf entry = pk_buf_in(&arena, 1 << 16);
    pk_journal_progress(&entry, &r);
    EXPECT(pk_journal_apply(s, pk_buf_str(&entry), &err));
    EXPECT(test_says(s, "select count(*) from pk_progress", "0"));
    pk_store_close(s);
}

static void every_truncation_is_refused(void)
{
    struct pk_store *s = test_store(":memory:");

    for (size_t m = 0; m < PK_COUNT(makers); m++) {
        struct pk_buf entry = makers[m]();

        for (size_t len = 0; len < entry.len; len++)
            EXPECT(!pk_journal_apply(s, (pk_str){entry.at, len}, &err) && err.code == PK_STORE);
    }
    EXPECT(
        test_says(s,
                  "select (select count(*) from pk_log) + (select count(*) from pk_cache_entry) "
                  "+ (select count(*) from pk_feedback_item) + (select count(*) from pk_progress)",
                  "0"));
    pk_store_close(s);
}

static void other_versions_and_kinds_are_refused(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_buf entry = record_entry();

    entry.at[0] = 0;
    EXPECT(!pk_journal_apply(s, pk_buf_str(&entry), &err));
    entry.at[0] = 4;
    EXPECT(!pk_journal_apply(s, pk_buf_str(&entry), &err));
    entry.at[0] = 2;
    entry.at[1] = 6;
    EXPECT(!pk_journal_apply(s, pk_buf_str(&entry), &err));
    entry.at[1] = 0;
    EXPECT(pk_journal_apply(s, pk_buf_str(&entry), &err));
    pk_buf_addc(&entry, 'x');
    EXPECT(!pk_journal_apply(s, pk_buf_str(&entry), &err));
    pk_store_close(s);
}

/* Damage never crashes; what is still an entry may be stored. */
static void damaged_entries_do_no_harm(void)
{
    struct pk_store *s = test_store(":memory:");
    uint64_t seed = 3;
    int applied = 0;

    for (int i = 0; i < 6000; i++) {
        struct pk_buf entry = makers[i % (int)PK_COUNT(makers)]();
        char *bytes = malloc(entry.len);

        if (!EXPECT(bytes))
            break;
        memcpy(bytes, entry.at, entry.len);
        for (int n = 0; n < 2; n++)
            bytes[pk_random_next(&seed) % entry.len] = (char)pk_random_next(&seed);
        applied += pk_journal_apply(s, (pk_str){bytes, entry.len}, &err);
        free(bytes);
        pk_arena_free(&arena);
    }
    EXPECT(applied > 0 && applied < 6000);
    EXPECT(test_says(s, "pragma integrity_check", "ok"));
    pk_store_close(s);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(every_kind_arrives_once_however_often_it_is_applied);
    RUN(what_a_batch_tells_takes_the_place_of_what_it_told);
    RUN(every_truncation_is_refused);
    RUN(other_versions_and_kinds_are_refused);
    RUN(damaged_entries_do_no_harm);
    pk_arena_free(&arena);
    return test_end();
}
