/* store_test.c - the SQLite store: its file, its verbs, its views, and what it withstands.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * With the argument "bench" it prints figures instead.
 */
#include "store_cache.h"
#include "test_store.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct pk_arena arena;
static struct pk_error err;
static char folder[64], path[128];
static const int64_t now_us = 1763725112123456; /* 2025-11-21T11:38:32.123456Z */

static const char *in_folder(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct pk_record record(uint64_t n)
{
    uint64_t random = n << 8; /* past the bits that are not random */
    struct pk_record r = {
        .trace_id = PK_STR("trace-1"),
        .span_id = PK_STR("5f1c2a7d9e3b4c60"),
        .started_us = now_us,
        .ended_us = now_us + 250500,
        .upstream_us = 250000,
        .operation = PK_STR("chat"),
        .source = PK_STR("sqlite"),
        .provider = PK_STR("openai"),
        .request_model = PK_STR("gpt-4o-mini"),
        .model = PK_STR("gpt-4o-mini-2024-07-18"),
        .config = PK_STR("prod"),
        .target_path = PK_STR("config.targets[1]"),
        .attempts = 2,
        .fallback_index = 1,
        .status = PK_ST_SUCCESS,
        .http_status = 200,
        .finish_reason = PK_STR("stop"),
        .usage = {PK_USAGE_PROVIDER, 10, 20, 3, 4, 30, 5},
        .cost_known = true,
        .cost_pusd = 420000000,
        .cache_status = PK_CS_MISS,
        .metadata = PK_STR("{\"team\":\"a\"}"),
        .span_count = 2,
        .spans = pk_alloc(&arena, 2 * sizeof(struct pk_span)),
    };

    PK_ASSERT(r.spans);
    pk_uuid7(now_us, random, r.id);
    r.spans[0] = (struct pk_span){.target_path = PK_STR("config.targets[0]"),
                                  .provider = PK_STR("openai"),
                                  .model = PK_STR("gpt-4o"),
                                  .started_us = now_us,
                                  .first_byte_us = now_us + 900,
                                  .ended_us = now_us + 1000,
                                  .status = 503,
                                  .code = PK_UPSTREAM,
                                  .message = PK_STR("overloaded")};
    r.spans[1] = (struct pk_span){.target_path = PK_STR("config.targets[1]"),
                                  .provider = PK_STR("openai"),
                                  .model = PK_STR("gpt-4o-mini"),
                                  .started_us = now_us + 1000,
                                  .first_byte_us = now_us + 5000,
                                  .ended_us = now_us + 250500,
                                  .status = 200};
    return r;
}

/* --- the file -------------------------------------------------------------------------- */

static void a_new_file_and_its_folder_are_private(void)
{
    struct stat st;
    struct pk_store *s = test_store(in_folder("new/deep/a.pkdb"));

    EXPECT(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    EXPECT(stat(in_folder("new/deep"), &st) == 0 && (st.st_mode & 0777) == 0700);
    EXPECT(test_says(s, "pragma journal_mode", "wal"));
    EXPECT(test_says(s, "pragma synchronous", "1"));
    EXPECT(test_says(s, "pragma integrity_check", "ok"));
    pk_store_close(s);
}

static void what_is_in_the_file_is_there_when_it_opens_again(void)
{
    struct pk_record r = record(1);
    struct pk_store *s = test_store(in_folder("again.pkdb"));

    EXPECT(pk_store_record_add(s, &r, &err));
    pk_store_close(s);
    s = test_store(path);
    EXPECT(test_says(s, "select count(*) from pk_logs", "1"));
    EXPECT(test_says(s, "select count(*) > 20 from pk_prices", "1"));
    pk_store_close(s);
}

static bool refused(const char *why)
{
    struct pk_store *s = pk_store_sqlite(test_api(), path, &err);

    if (s)
        pk_store_close(s);
    if (!s && strstr(err.msg, why) && strstr(err.msg, path) && err.code == PK_STORE)
        return true;
    printf("# opened, or for another reason: %s\n", s ? "opened" : err.msg);
    return false;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "w");

    if (EXPECT(f)) {
        (void)fputs(text, f);
        (void)fclose(f);
    }
}

/* Opening writes nothing: it need not wait until a writer is done. */
static void a_store_that_is_written_to_opens(void)
{
    struct pk_store *first = test_store(in_folder("written.pkdb"));

    EXPECT(first->ops->begin(first, &err));
    struct pk_store *second = pk_store_sqlite(test_api(), in_folder("written.pkdb"), &err);
    EXPECT(second);
    EXPECT(first->ops->end(first, true, &err));
    pk_store_close(second);
    pk_store_close(first);
}

static void the_default_path_follows_the_environment(void)
{
    char out[128];

    (void)setenv("HOME", "/h", 1);
    (void)unsetenv("PK_STORE");
    (void)unsetenv("XDG_DATA_HOME");
    EXPECT(pk_store_default_path(out, sizeof out, &err));
    EXPECT(strcmp(out, "/h/.local/share/pk/default.pkdb") == 0);
    (void)setenv("XDG_DATA_HOME", "relative", 1); /* the specification says: ignore it */
    EXPECT(pk_store_default_path(out, sizeof out, &err) && strncmp(out, "/h/", 3) == 0);
    (void)setenv("XDG_DATA_HOME", "/x", 1);
    EXPECT(pk_store_default_path(out, sizeof out, &err));
    EXPECT(strcmp(out, "/x/pk/default.pkdb") == 0);
    (void)setenv("PK_STORE", "mine.pkdb", 1);
    EXPECT(pk_store_default_path(out, sizeof out, &err) && strcmp(out, "mine.pkdb") == 0);
    EXPECT(!pk_store_default_path(out, 9, &err) && err.code == PK_STORE);
}

static void what_cannot_be_a_store_is_refused_by_name(void)
{
    char target[160];

    write_file("text.pkdb", "this is certainly no database, however long one looks at it ........."
                            "...................................................................");
    EXPECT(refused("not a pk store"));
    EXPECT(mkdir(in_folder("dir.pkdb"), 0700) == 0);
    EXPECT(refused("is a directory"));
    (void)snprintf(target, sizeof target, "%s/again.pkdb", folder);
    EXPECT(symlink(target, in_folder("link.pkdb")) == 0);
    EXPECT(refused("symbolic link"));
    EXPECT(mkfifo(in_folder("fifo.pkdb"), 0600) == 0);
    EXPECT(refused("not a regular file"));
    (void)snprintf(path, sizeof path, "file:%s/uri.pkdb", folder);
    EXPECT(refused("is a URI"));
    (void)snprintf(path, sizeof path, "postgresql://pk:secret@127.0.0.1/x");
    EXPECT(!pk_store_sqlite(test_api(), path, &err) && !strstr(err.msg, "secret"));
    EXPECT(strstr(err.msg, "a URL, where a file is wanted"));
    in_folder("text.pkdb/x.pkdb");
    EXPECT(refused("Not a directory"));
}

static void the_database_of_somebody_else_is_left_alone(void)
{
    sqlite3 *db = NULL;
    struct stat before, after;

    EXPECT(sqlite3_open(in_folder("theirs.db"), &db) == SQLITE_OK);
    EXPECT(sqlite3_exec(db, "create table t (x)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    EXPECT(stat(path, &before) == 0);
    EXPECT(refused("not a pk store"));
    EXPECT(stat(path, &after) == 0 && before.st_mtime == after.st_mtime &&
           before.st_size == after.st_size);
}

static void a_newer_store_is_refused(void)
{
    struct pk_store *s = test_store(in_folder("newer.pkdb"));

    (void)test_ask(s, "update pk_meta set value = 999 where name = 'schema_version'");
    pk_store_close(s);
    EXPECT(refused("version 999"));
}

static void looking_at_a_store_migrates_nothing(void)
{
    struct pk_store *s = test_store(in_folder("older.pkdb"));
    struct pk_schema_versions v;
    struct stat before, after;

    (void)test_ask(s, "update pk_meta set value = 1 where name = 'schema_version'");
    pk_store_close(s);
    EXPECT(stat(path, &before) == 0);
    EXPECT(pk_store_sqlite_look(test_api(), path, &v, &err));
    EXPECT(v.there == 1 && v.here > 1);
    EXPECT(stat(path, &after) == 0 && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    EXPECT(!pk_store_sqlite_look(test_api(), in_folder("none.pkdb"), &v, &err));
    EXPECT(access(path, F_OK) != 0);
}

static void a_damaged_store_is_refused(void)
{
    struct pk_store *s = test_store(in_folder("damaged.pkdb"));
    char junk[4096];

    pk_store_close(s);
    memset(junk, 0x5a, sizeof junk);
    int fd = open(path, O_WRONLY);
    if (!EXPECT(fd >= 0))
        return;
    EXPECT(pwrite(fd, junk, sizeof junk, 100) == sizeof junk);
    (void)close(fd);
    EXPECT(refused(""));
}

/* In a child, since root may write anywhere. */
static void a_file_that_may_not_be_written_is_refused(void)
{
    struct pk_store *s = test_store(in_folder("readonly.pkdb"));
    int status = 1;

    pk_store_close(s);
    EXPECT(chmod(path, 0444) == 0 && chmod(folder, 0755) == 0);
    pid_t child = fork();
    if (child == 0) {
        bool ordinary = getuid() != 0 || (setgid(65534) == 0 && setuid(65534) == 0);

        _exit(ordinary && refused("may not be written") ? 0 : 1);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
}

static void a_store_does_not_cross_fork(void)
{
    struct pk_store *s = test_store(in_folder("fork.pkdb"));
    int status = 1;

    pid_t child = fork();
    if (child == 0) {
        int64_t epoch;
        bool ok = !pk_store_epoch(s, &epoch, &err) && strstr(err.msg, "fork()");

        pk_store_close(s);
        _exit(ok ? 0 : 1);
    }
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
    EXPECT(test_says(s, "select count(*) from pk_logs", "0"));
    pk_store_close(s);
}

static void every_statement_is_valid(void)
{
    static const char *const texts[] = {
#define STATEMENT(name, types, sqlite_text, postgres_text) sqlite_text,
#include "statements.def"
#undef STATEMENT
    };
    struct pk_store *s = test_store(":memory:");

    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        sqlite3_stmt *st = NULL;

        if (!EXPECT(sqlite3_prepare_v2(pk_store_sqlite_db(s), texts[i], -1, &st, NULL) ==
                    SQLITE_OK))
            printf("# %s\n# %s\n", texts[i], sqlite3_errmsg(pk_store_sqlite_db(s)));
        (void)sqlite3_finalize(st);
    }
    pk_store_close(s);
}

/* --- records --------------------------------------------------------------------------- */

static bool count_row(void *ctx, const struct pk_value *v, int count)
{
    (void)v;
    (void)count;
    ++*(int *)ctx;
    return true;
}

static bool says(void *ctx)
{
    return *(bool *)ctx;
}

static void a_statement_that_nobody_wants_ends(void)
{
    struct pk_store *s = test_store(":memory:");
    bool stop = false;
    int rows = 0;

    (void)test_ask(s, "insert into pk_setting with recursive n(i) as (select 1 union all "
                      "select i + 1 from n where i < 50000) select 'n' || i, '', 1 from n");
    s->stop = says;
    s->stop_ctx = &stop;
    EXPECT(s->ops->exec(s, PK_SQL_settings, NULL, 0, count_row, &rows, &err) && rows >= 50000);
    rows = 0;
    stop = true;
    EXPECT(!s->ops->exec(s, PK_SQL_settings, NULL, 0, count_row, &rows, &err));
    EXPECT(err.code == PK_CANCELLED && rows < 50000);
    s->stop = NULL;
    rows = 0;
    EXPECT(s->ops->exec(s, PK_SQL_settings, NULL, 0, count_row, &rows, &err) && rows >= 50000);
    pk_store_close(s);
}

static void a_record_reads_in_public_units(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    r.request = PK_STR("{\"model\":\"gpt-4o-mini\"}");
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select id from pk_logs", "019aa635-733b-774b-8001-000000000000"));
    EXPECT(test_says(s, "select started_at from pk_logs", "2025-11-21T11:38:32.123Z"));
    EXPECT(test_says(s, "select cost_usd from pk_logs", "0.00042"));
    EXPECT(test_says(s, "select latency_ms || ' ' || overhead_ms from pk_logs", "250.5 0.5"));
    EXPECT(test_says(s, "select ttft_ms is null from pk_logs", "1"));
    EXPECT(test_says(s, "select status || ' ' || cache_status || ' ' || usage_source from pk_logs",
                     "success MISS provider"));
    EXPECT(test_says(s,
                     "select input_tokens + output_tokens + cache_read_tokens + "
                     "cache_write_tokens + reasoning_tokens from pk_logs",
                     "72"));
    EXPECT(test_says(s, "select metadata ->> 'team' from pk_logs", "a"));
    EXPECT(test_says(s, "select request ->> 'model' from pk_logs", "gpt-4o-mini"));
    EXPECT(test_says(s, "select response is null from pk_logs", "1"));
    EXPECT(test_says(s,
                     "select group_concat(http_status || ' ' || coalesce(error_type, '-') || ' ' "
                     "|| latency_ms) from (select * from pk_spans order by ord)",
                     "503 provider_error 1.0,200 - 249.5"));
    EXPECT(test_says(s,
                     "select sum(requests) || ' ' || sum(errors) || ' ' || sum(cost_usd) || ' ' "
                     "|| max(day) from pk_usage_daily",
                     "1 0 0.00042 2025-11-21T00:00:00.000Z"));
    EXPECT(test_says(s, "select hour from pk_usage_hourly", "2025-11-21T11:00:00.000Z"));
    pk_store_close(s);
}

static void the_same_record_twice_is_one_row(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);
    struct pk_feedback feedback;

    r.spans[1].name = PK_STR("no-pii");
    r.spans[1].used = r.spans[1].cost_known = true;
    r.spans[1].input_tokens = 7;
    r.spans[1].output_tokens = 3;
    r.spans[1].cost_pusd = 2000000;
    r.feedback_count = 1;
    r.feedback = &feedback;
    feedback = (struct pk_feedback){
        .at_us = now_us, .trace_id = PK_STR("t"), .value = -5, .weight = 0.5, .metadata = PK_NONE};
    EXPECT(pk_store_record_add(s, &r, &err) && pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select count(*) from pk_logs", "1"));
    EXPECT(test_says(s, "select count(*) || ' ' || max(name) from pk_spans", "2 no-pii"));
    EXPECT(test_says(s,
                     "select input_tokens || ' ' || output_tokens || ' ' || cost_usd from pk_spans "
                     "where ord = 1",
                     "7 3 2.0e-06"));
    EXPECT(test_says(s, "select cost_usd is null from pk_spans where ord = 0", "1"));
    EXPECT(test_says(s, "select trace_id || ' ' || value || ' ' || weight from pk_feedback",
                     "t -5 0.5"));
    pk_store_close(s);
}

static void an_unknown_cost_is_null_and_says_why(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    r.cost_known = false;
    r.cost_reason = PK_STR("no price for this model");
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select cost_usd is null from pk_logs", "1"));
    EXPECT(test_says(s, "select cost_reason from pk_log", "no price for this model"));
    EXPECT(test_says(s, "select unpriced from pk_usage_hourly", "1"));
    pk_store_close(s);
}

static void a_failed_call_counts_for_the_model_that_was_asked(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    r.status = PK_ST_ERROR;
    r.request_model = PK_STR("asked");
    r.model = PK_NONE;
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select model || ' ' || errors from pk_usage_daily", "asked 1"));
    pk_store_close(s);
}

/* A JSON text of `bytes` bytes that does not shrink to nothing. */
static pk_str long_json(size_t bytes, uint64_t seed)
{
    struct pk_buf b = pk_buf_in(&arena, bytes + 32);

    pk_buf_adds(&b, "{\"text\":\"");
    while (b.len < bytes - 2)
        pk_buf_addc(&b, "etaoin shrdlu"[pk_random_next(&seed) % 13]);
    pk_buf_adds(&b, "\"}");
    return pk_buf_str(&b);
}

static void equal_payloads_are_stored_once_and_compressed(void)
{
    struct pk_store *s = test_store(":memory:");
    pk_str text = long_json(5000, 1);

    for (uint64_t i = 0; i < 3; i++) {
        struct pk_record r = record(i);

        r.request = text;
        r.response = PK_STR("{}");
        EXPECT(pk_store_record_add(s, &r, &err));
    }
    EXPECT(test_says(s, "select count(*) from pk_payload", "2"));
    EXPECT(test_says(s, "select length(bytes) < 3500 from pk_payload where encoding = 1", "1"));
    EXPECT(strncmp(test_ask(s, "select request from pk_logs"), text.at, text.len) == 0);
    pk_store_close(s);
}

static void a_payload_in_use_stays_young(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    r.request = PK_STR("{}");
    EXPECT(pk_store_record_add(s, &r, &err));
    r = record(2);
    r.request = PK_STR("{}");
    r.started_us += 86400000000;
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select created_us from pk_payload", "1763811512123456"));
    pk_store_close(s);
}

static void hostile_text_becomes_harmless(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    r.error_message = PK_STR("bad \xff\xfe bytes");
    r.span_name = (pk_str){"a\0b", 3};
    r.user_id = long_json(5000, 1);
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select error_message from pk_logs", "bad ?? bytes"));
    EXPECT(test_says(s, "select span_name from pk_logs", "a?b"));
    EXPECT(test_says(s, "select length(user_id) from pk_logs", "1024"));
    pk_store_close(s);
}

/* A call with one attempt that went well, as most do. */
static struct pk_record simple(uint64_t n)
{
    struct pk_record r = record(n);

    r.spans[0] = r.spans[1];
    r.span_count = 1;
    r.spans[0].used = true;
    r.spans[0].input_tokens = 10 + 20 + 3 + 4;
    r.spans[0].output_tokens = 30 + 5;
    r.spans[0].cost_known = true;
    r.spans[0].cost_pusd = r.cost_pusd;
    return r;
}

static void a_single_attempt_is_in_its_calls_row_and_reads_alike(void)
{
    static const char columns[] =
        "select group_concat(trace_id || ord || kind || started_at || latency_ms || ttfb_ms || "
        "coalesce(name, '-') || target_path || provider || model || http_status || "
        "coalesce(error_type, '-') || coalesce(error_message, '-') || input_tokens || "
        "output_tokens || cost_usd) from pk_spans";
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = simple(1);

    EXPECT(pk_store_record_add(s, &r, &err) && pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select count(*) from pk_span", "0"));
    EXPECT(test_says(s, "select count(*) || max(wait_ms) from pk_spans", "10"));
    const char *folded = pk_copy(&arena, pk_str_of(test_ask(s, columns))).at;
    EXPECT(strstr(folded, "trace-10attempt2025-11-21T11:38:32.124Z249.5"));
    (void)test_ask(s, "delete from pk_log");
    r.spans[0].wait_ms = 7;
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select count(*) || max(wait_ms) from pk_spans", "17"));
    EXPECT(test_says(s, columns, folded));
    pk_store_close(s);
}

static void a_step_that_the_row_does_not_tell_is_a_row_of_its_own(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record odd[] = {simple(1), simple(2), simple(3), simple(4), simple(5), simple(6)};

    odd[0].spans[0].model = PK_STR("another");
    odd[1].spans[0].status = 201;
    odd[2].spans[0].cost_pusd++;
    odd[3].spans[0].output_tokens++;
    odd[4].spans[0].kind = PK_SPAN_CACHE;
    odd[5].span_count = 0; /* and one without any has none */
    for (size_t i = 0; i < PK_COUNT(odd); i++)
        EXPECT(pk_store_record_add(s, &odd[i], &err));
    EXPECT(test_says(s, "select count(*) from pk_span", "5"));
    EXPECT(test_says(s, "select group_concat(model || http_status || kind) from pk_spans",
                     "another200attempt,gpt-4o-mini201attempt,gpt-4o-mini200attempt,"
                     "gpt-4o-mini200attempt,gpt-4o-mini200cache"));
    pk_store_close(s);
}

static void a_failed_record_leaves_nothing_and_undoes_its_batch(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    (void)test_ask(s, "create trigger no before insert on pk_span when new.ord = 1 and "
                      "new.model = 'bad' begin select raise(abort, 'no'); end");
    EXPECT(s->ops->begin(s, &err));
    EXPECT(pk_store_record_add(s, &r, &err));
    r = record(2);
    r.request = PK_STR("{}");
    r.spans[1].model = PK_STR("bad");
    EXPECT(!pk_store_record_add(s, &r, &err));
    EXPECT(!s->ops->end(s, true, &err));
    EXPECT(test_says(s, "select count(*) from pk_logs", "0"));
    EXPECT(!pk_store_record_add(s, &r, &err));
    r = record(3);
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select count(*) from pk_logs", "1"));
    EXPECT(test_says(s, "select count(*) from pk_spans", "2"));
    EXPECT(test_says(s, "select count(*) from pk_payload", "0"));
    pk_store_close(s);
}

/* As when there was no memory for its rollback. */
static void a_transaction_that_was_left_open_is_undone_by_the_next(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_record r = record(1);

    EXPECT(sqlite3_exec(pk_store_sqlite_db(s), "begin; delete from pk_price", NULL, NULL, NULL) ==
           SQLITE_OK);
    EXPECT(pk_store_record_add(s, &r, &err));
    EXPECT(sqlite3_get_autocommit(pk_store_sqlite_db(s)));
    EXPECT(test_says(s, "select count(*) > 0 from pk_price", "1"));
    EXPECT(test_says(s, "select count(*) from pk_logs", "1"));
    pk_store_close(s);
}

/* --- cache, feedback, epoch ------------------------------------------------------------ */

static struct pk_cache_entry entry(pk_str body)
{
    return (struct pk_cache_entry){.body = body,
                                   .provider = PK_STR("openai"),
                                   .model = PK_STR("gpt-4o"),
                                   .finish_reason = PK_STR("stop"),
                                   .usage = {PK_USAGE_PROVIDER, 1, 2, 3, 4, 5, 6},
                                   .cost_known = true,
                                   .cost_pusd = 42};
}

static bool lookup(struct pk_store *s, int64_t at_us, int64_t max_age_s, struct pk_cache_entry *e)
{
    uint8_t key[PK_CACHE_KEY_BYTES] = {7};
    bool found = false;

    EXPECT(pk_store_cache_get(s, &arena, key, at_us, max_age_s, e, &found, &err));
    return found;
}

static void a_cached_answer_comes_back_whole_until_it_expires(void)
{
    struct pk_store *s = test_store(":memory:");
    uint8_t key[PK_CACHE_KEY_BYTES] = {7};
    pk_str bodies[] = {PK_STR("{\"small\":1}"), long_json(3000, 5)};
    struct pk_cache_entry e, back;

    EXPECT(!lookup(s, now_us, 100, &back));
    for (size_t i = 0; i < PK_COUNT(bodies); i++) {
        e = entry(bodies[i]);
        EXPECT(pk_store_cache_put(s, key, &e, now_us, 60, &err));
        EXPECT(lookup(s, now_us + 59999999, 100, &back));
        EXPECT(pk_str_eq(back.body, bodies[i]) && pk_str_is(back.model, "gpt-4o"));
        EXPECT(back.cost_known && back.cost_pusd == 42 && back.usage.reasoning == 6);
        EXPECT(back.usage.cache_write_1h == 4 && back.usage.source == PK_USAGE_PROVIDER);
    }
    EXPECT(!lookup(s, now_us + 60000000, 100, &back));
    EXPECT(!lookup(s, now_us + 30000000, 20, &back));
    EXPECT(lookup(s, now_us + 30000000, INT64_MAX, &back));
    pk_store_close(s);
}

static void a_hit_is_counted_with_its_record(void)
{
    struct pk_store *s = test_store(":memory:");
    uint8_t key[PK_CACHE_KEY_BYTES] = {7};
    struct pk_cache_entry e = entry(PK_STR("{}"));
    struct pk_record r = record(1);

    EXPECT(pk_store_cache_put(s, key, &e, now_us, 60, &err));
    r.cache_key = (pk_str){(const char *)key, sizeof key};
    EXPECT(pk_store_record_add(s, &r, &err) && pk_store_record_add(s, &r, &err));
    EXPECT(test_says(s, "select hits || ' ' || last_hit_at from pk_cache",
                     "1 2025-11-21T11:38:32.123Z"));
    pk_store_close(s);
}

static bool feedback_error(struct pk_feedback f, const char *start)
{
    return !pk_feedback_check(&arena, &f, &err) && pk_str_starts(pk_str_of(err.msg), start);
}

static void feedback_is_checked_and_kept(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_feedback f = {{1}, now_us, PK_STR("trace-1"), -10, 0.5, PK_STR("{\"by\":\"ann\"}")};
    struct pk_feedback bad = f;

    EXPECT(pk_feedback_check(&arena, &f, &err));
    EXPECT(pk_store_feedback_add(s, &f, &err) && pk_store_feedback_add(s, &f, &err));
    EXPECT(test_says(s,
                     "select value || ' ' || weight || ' ' || (metadata ->> 'by') || ' ' || "
                     "created_at from pk_feedback",
                     "-10 0.5 ann 2025-11-21T11:38:32.123Z"));
    bad.value = 11;
    EXPECT(feedback_error(bad, "value:"));
    bad = f;
    bad.weight = 1.01;
    EXPECT(feedback_error(bad, "weight:"));
    bad = f;
    bad.trace_id = PK_NONE;
    EXPECT(feedback_error(bad, "trace_id:"));
    bad = f;
    bad.metadata = PK_STR("[1]");
    EXPECT(feedback_error(bad, ""));
    pk_store_close(s);
}

static void the_price_list_that_pk_ships_is_loaded(void)
{
    struct pk_store *s = test_store(":memory:");
    struct pk_prices prices = {0}, some = {0};
    struct pk_usage u = {PK_USAGE_PROVIDER, 1000000, 0, 0, 0, 1000000, 0};
    const char *why;
    int64_t pusd;

    EXPECT(pk_store_prices_load(s, &arena, PK_NONE, &prices, &err) && prices.count > 20);
    EXPECT(pk_store_prices_load(s, &arena, PK_STR("openai"), &some, &err) &&
           pk_store_prices_load(s, &arena, PK_STR("anthropic"), &some, &err));
    EXPECT(some.count > 20 && some.count < prices.count);
    EXPECT(pk_price_cost(&some, PK_STR("openai"), PK_STR("gpt-4o-mini-2024-07-18"), &u, now_us,
                         &pusd, &why));
    EXPECT(pk_price_cost(&some, PK_STR("anthropic"), PK_STR("claude-3-haiku-20240307"), &u, now_us,
                         &pusd, &why));
    EXPECT(!pk_price_cost(&some, PK_STR("google"), PK_STR("gemini-2.0-flash"), &u, now_us, &pusd,
                          &why));
    EXPECT(pk_price_cost(&prices, PK_STR("openai"), PK_STR("gpt-4o-mini-2024-07-18"), &u, now_us,
                         &pusd, &why));
    EXPECT(pusd == 750000000000); /* 0.15 + 0.60 dollars */
    EXPECT(test_says(s,
                     "select input_usd || ' ' || output_usd from pk_prices where provider = "
                     "'anthropic' and model = 'claude-3-haiku*'",
                     "0.25 1.25"));
    EXPECT(test_says(s, "select value > 20250000 from pk_meta where name = 'prices_as_of'", "1"));
    pk_store_close(s);
}

/* An owner's own price survives; a list price that was changed by a newer program is replaced. */
static void an_older_price_list_is_replaced_when_the_store_opens(void)
{
    struct pk_store *s = test_store(in_folder("prices.pkdb"));
    int64_t before = 0, after = 0;

    (void)test_ask(s, "update pk_meta set value = 20200101 where name = 'prices_as_of'");
    (void)test_ask(s, "update pk_price set input = 1 where origin = 'list'");
    (void)test_ask(
        s, "insert into pk_price (provider, model, above_tokens, from_us, to_us, input, origin) "
           "values ('own', 'm', 0, 0, 0, 7, 'import');");
    (void)test_ask(s, "update pk_model set origin = 'import', mode = 'own' where model = 'gpt-4o'");
    EXPECT(pk_store_epoch(s, &before, &err));
    pk_store_close(s);
    s = test_store(path);
    EXPECT(pk_store_epoch(s, &after, &err) && after > before);
    EXPECT(test_says(s, "select count(*) from pk_price where input = 1", "0"));
    EXPECT(test_says(s, "select count(*) from pk_price where origin = 'import'", "1"));
    EXPECT(test_says(s, "select mode from pk_models where model = 'gpt-4o'", "own"));
    EXPECT(test_says(s, "select mode from pk_models where model = 'gpt-4o-mini'", "chat"));
    pk_store_close(s);
}

/* --- several processes ----------------------------------------------------------------- */

static void add_many(const char *file, uint64_t from, uint64_t count)
{
    struct pk_store *s = test_store(file);

    for (uint64_t i = from; i < from + count; i++) {
        struct pk_record r = record(i);

        if (!pk_store_record_add(s, &r, &err)) {
            printf("# %s\n", err.msg);
            _exit(1);
        }
    }
    pk_store_close(s);
    _exit(0);
}

/* The file does not exist yet: they make it at the same time, too. */
static void four_processes_lose_nothing(void)
{
    pid_t children[4];
    const char *file = in_folder("four.pkdb");

    for (uint64_t i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0)
            add_many(file, i * 1000, 500);
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;

        EXPECT(waitpid(children[i], &status, 0) == children[i] && status == 0);
    }
    struct pk_store *s = test_store(file);
    EXPECT(test_says(s, "select count(*) from pk_logs", "2000"));
    EXPECT(test_says(s, "select count(*) from pk_spans", "4000"));
    EXPECT(test_says(s, "pragma integrity_check", "ok"));
    pk_store_close(s);
}

static void a_killed_writer_leaves_a_clean_file(void)
{
    const char *file = in_folder("killed.pkdb");

    pk_store_close(test_store(file)); /* else they may all be killed while they make it */
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0)
            add_many(file, (uint64_t)i * 1000000, 1000000);
        (void)usleep(50000);
        (void)kill(child, SIGKILL);
        (void)waitpid(child, NULL, 0);
    }
    struct pk_store *s = test_store(file);
    EXPECT(test_says(s, "pragma integrity_check", "ok"));
    EXPECT(test_says(s, "select count(*) > 0 from pk_logs", "1"));
    EXPECT(test_says(
        s, "select count(*) from pk_logs where id not in (select log_id from pk_spans)", "0"));
    pk_store_close(s);
}

/* --- figures --------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void measure(const char *what, int batch, bool payloads, uint64_t count)
{
    struct pk_store *s = test_store(in_folder(what));
    pk_str requests[64];

    for (uint64_t i = 0; i < PK_COUNT(requests); i++)
        requests[i] = long_json(600, i);
    double start = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < count; i++) {
        struct pk_record r = record(i);
        char trace[40], request[700];

        uint64_t random = i << 8;

        r.started_us += (int64_t)i * 40;
        pk_uuid7(r.started_us, random, r.id);
        pk_uuid_print(r.id, trace); /* what a call without a trace id gets */
        r.trace_id = pk_str_of(trace);
        r.ended_us += (int64_t)i * 40;
        if (payloads) {
            pk_str x = requests[i % PK_COUNT(requests)];

            (void)snprintf(request, sizeof request, "{\"n\":%llu,\"x\":%.*s}",
                           (unsigned long long)i, (int)x.len, x.at);
            r.request = r.response = pk_str_of(request);
            r.response.len -= 1;
        }
        if (batch > 1 && i % (uint64_t)batch == 0 && !s->ops->begin(s, &err))
            abort();
        if (!pk_store_record_add(s, &r, &err))
            abort();
        if (batch > 1 && (i + 1) % (uint64_t)batch == 0 && !s->ops->end(s, true, &err))
            abort();
    }
    double took = seconds(CLOCK_MONOTONIC) - start;

    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    (void)test_ask(s, "pragma wal_checkpoint(truncate)");
    printf("%-26s %7.0f rows/s, %5.1f us of CPU a row", what, (double)count / took,
           cpu / (double)count * 1e6);
    printf(", %s bytes a row of pk_log and its indexes\n",
           test_ask(
               s, "select sum(pgsize) / (select count(*) from pk_log) from dbstat where name like "
                  "'pk\\_log%' escape '\\'"));
    pk_store_close(s);
}

static void measure_reads(uint64_t count)
{
    struct pk_store *s = test_store(in_folder("reads"));
    struct pk_cache_entry e = entry(long_json(600, 1)), back;
    uint8_t cache_key[PK_CACHE_KEY_BYTES] = {7};
    double start;
    int64_t epoch;

    double opening = 0;
    for (int i = 0; i < 20; i++) {
        pk_store_close(s);
        start = seconds(CLOCK_MONOTONIC);
        s = test_store(path);
        opening += seconds(CLOCK_MONOTONIC) - start;
    }
    printf("%-26s %7.2f ms\n", "open an existing store", opening * 50);
    if (!pk_store_cache_put(s, cache_key, &e, now_us, 60, &err))
        abort();
    start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < count; i++) {
        if (!lookup(s, now_us, 60, &back))
            abort();
        pk_arena_free(&arena);
    }
    printf("%-26s %7.1f us of CPU\n", "cache hit of 600 bytes",
           (seconds(CLOCK_PROCESS_CPUTIME_ID) - start) / (double)count * 1e6);
    start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < count; i++)
        if (!pk_store_epoch(s, &epoch, &err))
            abort();
    printf("%-26s %7.1f us of CPU\n", "epoch",
           (seconds(CLOCK_PROCESS_CPUTIME_ID) - start) / (double)count * 1e6);
    pk_store_close(s);
}

static void bench(void)
{
    measure("batches of 100, metadata", 100, false, 50000);
    measure("batches of 100, payloads", 100, true, 50000);
    measure("single, metadata", 1, false, 20000);
    measure_reads(20000);
}

int main(int argc, char **argv)
{
    char template[] = "/tmp/pk-store-XXXXXX", remove[128];

    if (!mkdtemp(template))
        return 1;
    (void)snprintf(folder, sizeof folder, "%s", template);
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        bench();
    else {
        RUN(a_new_file_and_its_folder_are_private);
        RUN(what_is_in_the_file_is_there_when_it_opens_again);
        RUN(a_store_that_is_written_to_opens);
        RUN(the_default_path_follows_the_environment);
        RUN(what_cannot_be_a_store_is_refused_by_name);
        RUN(the_database_of_somebody_else_is_left_alone);
        RUN(a_newer_store_is_refused);
        RUN(looking_at_a_store_migrates_nothing);
        RUN(a_damaged_store_is_refused);
        RUN(a_file_that_may_not_be_written_is_refused);
        RUN(a_store_does_not_cross_fork);
        RUN(every_statement_is_valid);
        RUN(a_statement_that_nobody_wants_ends);
        RUN(a_record_reads_in_public_units);
        RUN(the_same_record_twice_is_one_row);
        RUN(an_unknown_cost_is_null_and_says_why);
        RUN(a_failed_call_counts_for_the_model_that_was_asked);
        RUN(equal_payloads_are_stored_once_and_compressed);
        RUN(a_payload_in_use_stays_young);
        RUN(hostile_text_becomes_harmless);
        RUN(a_single_attempt_is_in_its_calls_row_and_reads_alike);
        RUN(a_step_that_the_row_does_not_tell_is_a_row_of_its_own);
        RUN(a_failed_record_leaves_nothing_and_undoes_its_batch);
        RUN(a_transaction_that_was_left_open_is_undone_by_the_next);
        RUN(a_cached_answer_comes_back_whole_until_it_expires);
        RUN(a_hit_is_counted_with_its_record);
        RUN(feedback_is_checked_and_kept);
        RUN(the_price_list_that_pk_ships_is_loaded);
        RUN(an_older_price_list_is_replaced_when_the_store_opens);
        RUN(four_processes_lose_nothing);
        RUN(a_killed_writer_leaves_a_clean_file);
    }
    pk_arena_free(&arena);
    (void)snprintf(remove, sizeof remove, "rm -rf '%s'", folder);
    return system(remove) != 0 || test_end();
}
