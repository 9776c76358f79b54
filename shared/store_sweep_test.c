/* store_sweep_test.c - what is too old goes in small steps, and nothing else does.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_cache.h"
#include "store_progress.h"
#include "store_sweep.h"
#include "test_store.h"

#include <sys/stat.h>
#include <unistd.h>

static const int64_t us_per_s = 1000000, us_per_hour = 3600000000, us_per_day = 86400000000;
static const int64_t now_us = 1800000000000000;

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;

static void set(const char *name, const char *value)
{
    if (!EXPECT(pk_store_setting_put(s, &arena, pk_str_of(name), pk_str_of(value), now_us, &err)))
        printf("# %s\n", err.msg);
}

/* A call `ago_us` ago, with one span. */
static void add_call(int64_t ago_us, uint64_t number, const char *request, const char *response)
{
    uint64_t random = number * 7919 << 8;
    struct pk_span span = {
        .started_us = now_us - ago_us,
        .ended_us = now_us - ago_us + 900,
        .wait_ms = 1, /* or the row of the call would have it */
    };
    struct pk_record r = {
        .trace_id = PK_STR("t"),
        .operation = PK_STR("chat"),
        .source = PK_STR("sqlite"),
        .started_us = now_us - ago_us,
        .ended_us = now_us - ago_us + 1000,
        .attempts = 1,
        .request = pk_str_of(request),
        .response = pk_str_of(response),
        .span_count = 1,
        .spans = &span,
    };

    pk_uuid7(r.started_us, random, r.id);
    if (!EXPECT(pk_store_record_add(s, &r, &err)))
        printf("# %s\n", err.msg);
}

static struct pk_swept sweep_at(int64_t at_us)
{
    struct pk_sweep w = {0};
    enum pk_sweep_then then = PK_SWEEP_ON;

    for (int steps = 0; then != PK_SWEEP_OVER && EXPECT(steps < 10000); steps++)
        if (!EXPECT(pk_store_sweep(s, &w, at_us, &then, &err)))
            printf("# %s\n", err.msg);
    return w.swept;
}

static void times_that_rows_are_kept(void)
{
    static const struct {
        const char *value;
        int64_t keep_s; /* -1: not a time; 0: for ever */
    } cases[] = {
        {"30d", 30 * 86400}, {"12h", 43200}, {"90m", 5400},
        {"45s", 45},         {"60", 60},     {" 2 w ", 1209600},
        {"off", 0},          {"0", -1},      {"0d", -1},
        {"-1d", -1},         {"d", -1},      {"", -1},
        {"30 days", -1},     {"1.5d", -1},   {"36600d", 3162240000},
        {"36601d", -1},      {"OFF", 0},     {"999999999999999999w", -1},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        int64_t keep_us;
        bool ok = pk_keep_parse(pk_str_of(cases[i].value), &keep_us);

        if (!EXPECT(ok == (cases[i].keep_s >= 0) && (!ok || keep_us == cases[i].keep_s * us_per_s)))
            printf("# %s\n", cases[i].value);
    }
}

static void a_setting_is_kept_and_told(void)
{
    pk_str value;

    set("retention_logs", "30d");
    EXPECT(pk_store_setting_get(s, &arena, PK_STR("retention_logs"), &value, &err) &&
           pk_str_is(value, "30d"));
    EXPECT(test_says(s, "select detail from pk_audit where verb = 'set'", "{\"value\":\"30d\"}"));
    set("retention_logs", "30d"); /* changes nothing */
    EXPECT(test_says(s, "select count(*) from pk_audit", "1"));
    EXPECT(test_says(s, "select name || '=' || value || updated_at from pk_settings",
                     "retention_logs=30d2027-01-15T08:00:00.000Z"));
    EXPECT(!pk_store_setting_put(s, &arena, PK_STR("retention_logs"), PK_STR("soon"), 1, &err) &&
           err.code == PK_BAD_REQUEST && strstr(err.msg, "retention_logs: must be"));
    EXPECT(!pk_store_setting_put(s, &arena, PK_STR("retention"), PK_STR("1d"), 1, &err) &&
           err.code == PK_NOT_FOUND);
    set("retention_logs", "");
    EXPECT(pk_store_setting_get(s, &arena, PK_STR("retention_logs"), &value, &err) &&
           value.len == 0);
    EXPECT(test_says(s, "select count(*) from pk_settings", "0"));
    EXPECT(test_says(s, "select detail from pk_audit where id = 2", "{\"value\":null}"));
}

static void without_a_retention_everything_stays(void)
{
    add_call(900 * us_per_day, 1, "{\"a\":1}", "{\"b\":1}");
    struct pk_swept n = sweep_at(now_us);
    EXPECT(n.logs == 0 && n.payloads == 0 && n.audit == 0 && n.feedback == 0);
    EXPECT(test_says(s, "select count(*) from pk_logs where request is not null", "1"));
}

static void old_calls_go_with_their_spans_and_texts(void)
{
    static const char shared[] = "{\"system\":\"be brief\"}";

    for (uint64_t i = 0; i < 1000; i++)
        add_call((int64_t)(40 - i / 25) * us_per_day + 1, 100 + i, shared,
                 pk_copyf(&arena, "{\"n\":%d}", (int)i).at);
    set("retention_logs", "30d");
    struct pk_swept n = sweep_at(now_us);
    EXPECT(n.logs == 275 + 1 &&
           n.spans == n.logs); /* of 40 to 30 days ago; the first is of another test */
    EXPECT(test_says(s, "select count(*) from pk_logs", "725"));
    EXPECT(test_says(s, "select count(*) from pk_span", "725"));
    /* Texts go a day later, since their note of last use may be so old; what is in use stays. */
    EXPECT(test_says(s, "select count(*) from pk_logs where request is null or response is null",
                     "0"));
    (void)sweep_at(now_us + us_per_day);
    EXPECT(test_says(s,
                     "select count(*) from pk_log l where not exists (select 1 from pk_payload p"
                     " where p.id = l.response_id)",
                     "0"));
    EXPECT(test_says(s,
                     "select count(*) from pk_payload where id not in (select response_id from "
                     "pk_log union select request_id from pk_log)",
                     "25"));
    (void)sweep_at(now_us + 100 * us_per_day);
    EXPECT(test_says(s, "select count(*) from pk_logs", "0"));
    EXPECT(test_says(s, "select count(*) from pk_payload", "0"));
    set("retention_logs", "off");
}

/* What is kept of hours of which calls are gone. */
static void columns_of_old_hours_go(void)
{
    (void)test_ask(s,
                   "with recursive n(i) as (select -200 union all select i + 1 from n where i < 1) "
                   "insert into pk_log_hour select (1800000000 / 3600 + i) * 3600000000, x'00', "
                   "x'01', x'00', 1 "
                   "from n");
    (void)test_ask(
        s, "insert into pk_log_column select hour_us, p.part, 0, 0, x'00' from pk_log_hour, "
           "(select 0 as part union all select 1) p");
    (void)sweep_at(now_us);
    EXPECT(test_says(s, "select count(*) from pk_log_hour", "202"));
    set("retention_logs", "3d"); /* from the beginning of an hour, which stays */
    (void)sweep_at(now_us);
    EXPECT(test_says(s, "select count(*) from pk_log_hour", "74"));
    EXPECT(test_says(s, "select count(*) from pk_log_column", "148"));
    set("retention_logs", "off");
}

static void texts_may_go_before_their_calls(void)
{
    add_call(3 * us_per_hour, 2001, "{\"old\":1}", "{\"old\":2}");
    add_call(us_per_hour, 2002, "{\"new\":1}", "{\"new\":2}");
    set("retention_payloads", "2h");
    struct pk_swept n = sweep_at(now_us);
    EXPECT(n.payloads == 2 && n.logs == 0);
    EXPECT(test_says(
        s,
        "select group_concat(coalesce(request, 'gone')) from (select * from pk_logs order by id)",
        "gone,{\"new\":1}"));
    /* A number is not given to another text, even when all are gone. */
    (void)sweep_at(now_us + us_per_day);
    EXPECT(test_says(s, "select count(*) from pk_payload", "0"));
    add_call(0, 2003, "{\"other\":1}", "{\"other\":2}");
    EXPECT(test_says(s, "select count(*) from pk_logs where request is not null", "1"));
}

static void a_text_in_use_is_kept(void)
{
    for (int64_t minutes = 600; minutes >= 0; minutes -= 5)
        add_call(minutes * 60 * us_per_s, 3000 + (uint64_t)minutes, "{\"system\":\"always\"}", "");
    for (int64_t minutes = 600; minutes >= 0; minutes -= 30)
        (void)sweep_at(now_us - minutes * 60 * us_per_s);
    EXPECT(test_says(
        s, "select count(*) from pk_payload where pk_payload_text(encoding, bytes) like '%always%'",
        "1"));
    EXPECT(test_says(s, "select count(*) > 24 from pk_logs where request like '%always%'", "1"));
    set("retention_payloads", "off");
}

static void feedback_and_audit_go_too(void)
{
    struct pk_feedback f = {.trace_id = PK_STR("t"), .value = 1, .weight = 1};
    uint64_t random = 2;

    for (int days = 20; days > 0; days--) {
        f.at_us = now_us - days * us_per_day + 1;
        random += 1 << 8;
        pk_uuid7(f.at_us, random, f.id);
        EXPECT(pk_store_feedback_add(s, &f, &err));
    }
    set("retention_feedback", "10d");
    set("retention_audit", "1d");
    struct pk_swept n = sweep_at(now_us);
    EXPECT(n.feedback == 11 - 1 && n.audit == 0); /* the settings are of now */
    EXPECT(test_says(s, "select count(*) from pk_feedback", "10"));
    n = sweep_at(now_us + 2 * us_per_day);
    EXPECT(n.audit > 5 && test_says(s, "select count(*) from pk_audit", "0"));
    set("retention_feedback", "off");
    set("retention_audit", "off");
}

static void what_a_killed_batch_told_goes_after_a_minute(void)
{
    struct pk_progress_row r = {.kind = PK_STR("pk_map"), .total = -1};

    r.source = r.query_id = r.actor = r.host = r.kind;
    for (int i = 0; i < 4; i++) {
        r.id[0] = (uint8_t)i;
        r.updated_us = now_us - i * 25 * us_per_s;
        EXPECT(pk_store_progress_put(s, &r, &err));
    }
    EXPECT(sweep_at(now_us).progress == 1);
    EXPECT(test_says(s, "select count(*) from pk_progress", "3"));
    EXPECT(sweep_at(now_us + 100 * us_per_s).progress == 3);
}

static void cached_answers_go_when_they_expire_or_are_old(void)
{
    struct pk_cache_entry e = {.body = PK_STR("{}"), .provider = PK_STR("openai")};
    uint8_t key[PK_CACHE_KEY_BYTES] = {0};
    int64_t entries, bytes;

    for (int i = 0; i < 100; i++) {
        key[0] = (uint8_t)i;
        EXPECT(pk_store_cache_put(s, key, &e, now_us - i * us_per_hour, 50 * 3600, &err));
    }
    struct pk_swept n = sweep_at(now_us + 1);
    EXPECT(n.cache == 50 && test_says(s, "select count(*) from pk_cache", "50"));
    set("retention_cache", "10h");
    n = sweep_at(now_us + 1);
    EXPECT(n.cache == 40 && test_says(s, "select count(*) from pk_cache", "10"));
    EXPECT(pk_store_cache_size(s, &entries, &bytes, &err) && entries == 10);
    set("retention_cache", "off");
    n = sweep_at(now_us + 100 * us_per_hour);
    EXPECT(n.cache == 10 && pk_store_cache_size(s, &entries, &bytes, &err) && entries == 0 &&
           bytes == 0);
}

static void a_step_is_small_and_adapts(void)
{
    struct pk_sweep w = {0};
    int64_t before = 0;
    enum pk_sweep_then then = PK_SWEEP_ON;

    for (uint64_t i = 0; i < 1500; i++)
        add_call(50 * us_per_day, 5000 + i, "", "");
    set("retention_logs", "40d");
    for (int steps = 0; then != PK_SWEEP_OVER && EXPECT(steps < 1000); steps++) {
        EXPECT(pk_store_sweep(s, &w, now_us, &then, &err));
        EXPECT(w.swept.logs - before <= w.rows && w.rows <= PK_SWEEP_ROWS_MAX);
        EXPECT(then == PK_SWEEP_OVER || w.swept.logs > before || w.swept.payloads || w.swept.pages);
        before = w.swept.logs;
        pk_sweep_took(&w, steps < 2 ? 20 * 1000 : 100);
    }
    EXPECT(before == 1500);
    w.rows = PK_SWEEP_ROWS_MIN;
    pk_sweep_took(&w, 1000 * 1000);
    EXPECT(w.rows == PK_SWEEP_ROWS_MIN);
    set("retention_logs", "off");
}

/* As bytes: a step may not be about many large texts. */
static void a_step_over_large_texts_has_a_bound_too(void)
{
    struct pk_sweep w = {0};
    static char text[2 << 20];
    enum pk_sweep_then then = PK_SWEEP_ON;
    int64_t before = 0;

    for (int i = 0; i < 10; i++) {
        uint64_t random = (uint64_t)i + 99;

        for (size_t at = 0; at + 8 < sizeof text; at += 8) { /* that zstd cannot pack */
            uint64_t bits = pk_random_next(&random);
            (void)snprintf(text + at, 9, "%08x", (unsigned)bits);
        }
        add_call(50 * us_per_day, 8000 + (uint64_t)i, text, "");
    }
    set("retention_payloads", "1d");
    for (int steps = 0; then != PK_SWEEP_OVER && EXPECT(steps < 1000); steps++) {
        EXPECT(pk_store_sweep(s, &w, now_us, &then, &err));
        EXPECT(w.swept.payloads - before <= 6);
        before = w.swept.payloads;
    }
    EXPECT(before >= 10);
    set("retention_payloads", "off");
}

static int64_t file_bytes(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static void the_file_gives_its_space_back(void)
{
    char folder[] = "/tmp/pk-sweep-XXXXXX", path[64], wal[80], shm[80], text[4000];
    struct pk_store *memory = s;

    EXPECT(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/s.pkdb", folder);
    s = test_store(path);
    EXPECT(s->ops->begin(s, &err));
    for (uint64_t i = 0; i < 3000; i++) {
        uint64_t random = i;

        for (size_t at = 0; at + 8 < sizeof text; at += 8)
            (void)snprintf(text + at, 9, "%08x", (unsigned)pk_random_next(&random));
        add_call((i < 2900 ? 20 : 1) * us_per_day, 9000 + i, text, "");
    }
    EXPECT(s->ops->end(s, true, &err));
    (void)test_ask(s, "pragma wal_checkpoint(truncate)");
    int64_t full = file_bytes(path);
    set("retention_logs", "10d");
    struct pk_swept n = sweep_at(now_us + us_per_day);
    EXPECT(n.logs == 2900 && n.payloads == 2900 && n.pages > 1000);
    (void)snprintf(wal, sizeof wal, "%s-wal", path);
    (void)test_ask(s, "pragma wal_checkpoint(truncate)");
    EXPECT(file_bytes(path) < full / 3);
    EXPECT(test_says(s, "select count(*) from pk_logs where request is not null", "100"));
    EXPECT(test_says(s, "pragma integrity_check", "ok"));
    pk_store_close(s);
    (void)snprintf(shm, sizeof shm, "%s-shm", path);
    (void)unlink(wal);
    (void)unlink(shm);
    EXPECT(unlink(path) == 0 && rmdir(folder) == 0);
    s = memory;
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    s = test_store(":memory:");
    RUN(times_that_rows_are_kept);
    RUN(a_setting_is_kept_and_told);
    RUN(without_a_retention_everything_stays);
    RUN(old_calls_go_with_their_spans_and_texts);
    RUN(columns_of_old_hours_go);
    RUN(texts_may_go_before_their_calls);
    RUN(a_text_in_use_is_kept);
    RUN(feedback_and_audit_go_too);
    RUN(what_a_killed_batch_told_goes_after_a_minute);
    RUN(cached_answers_go_when_they_expire_or_are_old);
    RUN(a_step_is_small_and_adapts);
    RUN(a_step_over_large_texts_has_a_bound_too);
    RUN(the_file_gives_its_space_back);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
