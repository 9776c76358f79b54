/* writer.c - what the log writer costs a row, beside a bare INSERT of the same columns.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   bench-writer FOLDER [ROWS [TRAFFIC]]
 *   bench-writer --spool PATH ROWS TRAFFIC      the same rows as a spool, for a database to replay
 *
 * Rows go through the writer's thread into SQLite files that are made in FOLDER.
 *
 * Prints a line of JSON for each kind of traffic. A row is a call with one attempt: 500 bytes asked, 600 answered.
 * distinct: no two texts are equal. system: each is asked behind the same 4 KB. same: all are equal.
 * `cpu_us` is that of the writer's thread, `session_us` that of whoever makes the rows; `row_bytes` are the pages of
 * pk_log and pk_span, `indexed_bytes` with their indexes, `payload_bytes` those of pk_payload.
 */
#include "test_store.h"

#include "journal.h"
#include "spool.h"
#include "writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { ASKED = 500, ANSWERED = 600, SYSTEM = 4096, WAIT_MS = 60000, PEER_GROUP = 256 };

enum traffic { DISTINCT, SYSTEM_PROMPT, SAME, TRAFFICS };
static const char *const traffic_names[] = {"distinct", "system", "same"};

static double seconds(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- rows ---------------------------------------------------------------------------------- */

/* Words as they are in a text: few are frequent. */
static void add_words(struct pk_buf *out, uint64_t *random, size_t upto)
{
    static const char syllables[16][5] = {"ti",  "on",  "er", "in", "re", "al", "the", "and",
                                          "of ", "ing", "co", "de", "le", "st", "ar",  "men"};

    while (out->len < upto) {
        uint64_t n = pk_random_next(random);
        /* of 4096 words the smaller numbers are the more frequent */
        uint64_t word = (n & 4095) * (n >> 12 & 4095) >> 12;

        for (; word; word >>= 4)
            pk_buf_add(out, pk_str_of(syllables[word & 15]));
        pk_buf_addc(out, ' ');
    }
    out->len = upto;
}

static void make_request(struct pk_buf *out, enum traffic traffic, uint64_t *random)
{
    uint64_t always = 7;

    pk_buf_reset(out);
    pk_buf_adds(out, "{\"model\":\"gpt-4o-mini\",\"temperature\":0.2,\"messages\":[");
    if (traffic == SYSTEM_PROMPT) {
        pk_buf_adds(out, "{\"role\":\"system\",\"content\":\"");
        add_words(out, &always, SYSTEM);
        pk_buf_adds(out, "\"},");
    }
    pk_buf_adds(out, "{\"role\":\"user\",\"content\":\"");
    add_words(out, random, (traffic == SYSTEM_PROMPT ? SYSTEM : 0) + ASKED - 4);
    pk_buf_adds(out, "\"}]}");
}

static void make_response(struct pk_buf *out, uint64_t *random)
{
    pk_buf_reset(out);
    pk_buf_addf(out,
                "{\"id\":\"chatcmpl-%016" PRIx64 "\",\"object\":\"chat.completion\","
                "\"created\":1763811512,\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{"
                "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
                pk_random_next(random));
    add_words(out, random, ANSWERED - 110);
    pk_buf_adds(out, "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":120,"
                     "\"completion_tokens\":90,\"total_tokens\":210}}");
}

static struct pk_span span_of(int64_t at_us)
{
    return (struct pk_span){.kind = PK_SPAN_ATTEMPT,
                            .target_path = PK_STR("targets[0]"),
                            .provider = PK_STR("openai"),
                            .model = PK_STR("gpt-4o-mini"),
                            .started_us = at_us + 40,
                            .first_byte_us = at_us + 480000,
                            .ended_us = at_us + 812000,
                            .status = 200,
                            .used = true,
                            .input_tokens = 120,
                            .output_tokens = 90,
                            .cost_known = true,
                            .cost_pusd = 72000000};
}

/* A call, and what its record borrows. */
struct made {
    struct pk_record record;
    struct pk_span span;
    char trace[PK_UUID_TEXT + 1];
};

static void make_call(struct made *m, enum traffic traffic, int64_t at_us, uint64_t *random)
{
    static char request[SYSTEM + 2 * ASKED], response[2 * ANSWERED];
    static struct pk_buf asked = {.at = request, .cap = sizeof request, .max = sizeof request};
    static struct pk_buf answered = {
        .at = response, .cap = sizeof response, .max = sizeof response};
    uint64_t always = 5;
    uint64_t *words = traffic == SAME ? &always : random;
    struct pk_record *r = &m->record;

    m->span = span_of(at_us);
    *r = (struct pk_record){
        .span_id = PK_STR("8f3a61c09d24e7b5"),
        .started_us = at_us,
        .ended_us = at_us + 812345,
        .upstream_us = 812000,
        .operation = PK_STR("chat.completions"),
        .source = PK_STR("http"),
        .provider = PK_STR("openai"),
        .request_model = PK_STR("gpt-4o-mini"),
        .model = PK_STR("gpt-4o-mini-2024-07-18"),
        .target_path = PK_STR("targets[0]"),
        .virtual_key = PK_STR("openai-prod"),
        .api_key = PK_STR("web"),
        .user_id = PK_STR("user-1234"),
        .attempts = 1,
        .http_status = 200,
        .finish_reason = PK_STR("stop"),
        .usage = {.source = PK_USAGE_PROVIDER, .input = 120, .output = 90},
        .cost_known = true,
        .cost_pusd = 72000000,
        .metadata = PK_STR("{\"_user\":\"user-1234\",\"env\":\"prod\"}"),
        .spans = &m->span,
        .span_count = 1,
    };

    make_request(&asked, traffic, words);
    make_response(&answered, words);
    pk_uuid7(at_us, pk_random_next(random), r->id);
    pk_uuid_print(r->id, m->trace);
    r->trace_id = pk_str_of(m->trace);
    r->request = pk_buf_str(&asked);
    r->response = pk_buf_str(&answered);
}

static void make_entry(struct pk_buf *out, enum traffic traffic, int64_t at_us, uint64_t *random)
{
    struct made m;

    make_call(&m, traffic, at_us, random);
    pk_journal_record(out, &m.record);
}

/* CPU microseconds that a session spends on a row: to make its entry, and to copy it for whoever writes. */
static double session_us(enum traffic traffic)
{
    enum { TIMES = 100000, RING = 4 << 20 };
    static char ring[RING];
    struct pk_arena arena;
    struct made m;
    uint64_t random = 1;
    size_t at = 0;

    make_call(&m, traffic, 1763811512123456, &random);
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    double cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < TIMES; i++) {
        struct pk_buf entry = pk_buf_in(&arena, PK_CALL_BYTES_MAX);

        pk_journal_record(&entry, &m.record);
        at = at + entry.len < RING ? at : 0;
        memcpy(ring + at, entry.at, entry.len);
        at += entry.len;
        pk_arena_free(&arena);
        pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    }
    cpu = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    pk_arena_free(&arena);
    return cpu * 1e6 / TIMES;
}

/* --- through the writer ----------------------------------------------------------------------- */

static int64_t size_of(struct pk_store *s, const char *which)
{
    char sql[200];

    (void)snprintf(sql, sizeof sql,
                   "select coalesce(sum(pgsize), 0) from dbstat where name in (select name from "
                   "sqlite_master where %s)",
                   which);
    return strtoll(test_ask(s, sql), NULL, 10);
}

static bool through_writer(const char *path, enum traffic traffic, int rows)
{
    struct pk_error err;
    struct pk_arena arena;
    uint64_t random = 1;
    struct pk_writer *w = pk_writer_new(test_store(path), &err);

    if (!w)
        return false;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_buf entry = pk_buf_in(&arena, PK_CALL_BYTES_MAX);
    double wall = seconds(CLOCK_MONOTONIC), all = seconds(CLOCK_PROCESS_CPUTIME_ID);
    double mine = seconds(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < rows; i++) {
        pk_buf_reset(&entry);
        make_entry(&entry, traffic, 1763811512123456 + (int64_t)i * 50, &random);
        (void)pk_writer_add(w, pk_buf_str(&entry), 0, WAIT_MS);
    }
    bool ok = pk_writer_flush(w, WAIT_MS) && pk_writer_stats(w).written == rows;
    wall = seconds(CLOCK_MONOTONIC) - wall;
    all = seconds(CLOCK_PROCESS_CPUTIME_ID) - all;
    mine = seconds(CLOCK_THREAD_CPUTIME_ID) - mine;
    pk_writer_free(w);
    struct pk_store *s = test_store(path);
    printf("{\"traffic\":\"%s\",\"rows\":%d,\"rows_per_s\":%.0f,\"cpu_us\":%.2f,"
           "\"session_us\":%.2f,\"row_bytes\":%.0f,\"indexed_bytes\":%.0f,\"payload_bytes\":%.0f,",
           traffic_names[traffic], rows, rows / wall, (all - mine) * 1e6 / rows,
           session_us(traffic), (double)size_of(s, "name in ('pk_log','pk_span')") / rows,
           (double)size_of(s, "tbl_name in ('pk_log','pk_span')") / rows,
           (double)size_of(s, "tbl_name = 'pk_payload'") / rows);
    pk_store_close(s);
    pk_arena_free(&arena);
    return ok;
}

/* --- the peer ----------------------------------------------------------------------------------- */

/* What one would write first: a table with every column, texts as they are, an index by time and one by
 * trace, and one prepared statement in transactions of as many rows. */
static void bind_columns(sqlite3_stmt *st, const struct pk_record *r)
{
    const pk_str texts[] = {
        r->trace_id,      r->span_id,        r->operation,   r->source,  r->provider, r->model,
        r->request_model, r->target_path,    r->virtual_key, r->api_key, r->user_id,  r->metadata,
        r->finish_reason, PK_STR("success"), PK_STR("MISS"), r->request, r->response};
    const int64_t numbers[] = {
        r->started_us,   r->ended_us - r->started_us, r->upstream_us,     r->attempts,
        r->retries,      r->fallback_index,           r->http_status,     r->usage.input,
        r->usage.output, r->usage.cache_read,         r->usage.reasoning, r->cost_pusd};
    int at = 1;

    (void)sqlite3_bind_blob(st, at++, r->id, sizeof r->id, SQLITE_STATIC);
    for (size_t i = 0; i < PK_COUNT(numbers); i++)
        (void)sqlite3_bind_int64(st, at++, numbers[i]);
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        (void)sqlite3_bind_text(st, at++, texts[i].at, (int)texts[i].len, SQLITE_STATIC);
}

static const char *const peer_schema[] = {
    "pragma journal_mode = wal",
    "pragma synchronous = normal",
    "create table log (id blob primary key, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, n12, t1, "
    "t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15, t16, t17) without rowid",
    "create index log_started on log (n1)",
    "create index log_trace on log (t1)",
};

static bool through_sqlite(const char *path, enum traffic traffic, int rows)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *st = NULL;
    struct pk_arena arena;
    uint64_t random = 1;
    double cpu = 0;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        return false;
    for (size_t i = 0; i < PK_COUNT(peer_schema); i++)
        (void)sqlite3_exec(db, peer_schema[i], NULL, NULL, NULL);
    if (sqlite3_prepare_v2(db,
                           "insert into log values (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
                           "?,?,?,?,?,?,?)",
                           -1, &st, NULL) != SQLITE_OK)
        return false;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_buf entry = pk_buf_in(&arena, PK_CALL_BYTES_MAX);
    for (int i = 0; i < rows; i++) {
        struct pk_record_room room;
        struct pk_record r;

        pk_buf_reset(&entry);
        make_entry(&entry, traffic, 1763811512123456 + (int64_t)i * 50, &random);
        double before = seconds(CLOCK_THREAD_CPUTIME_ID);
        if (i % PEER_GROUP == 0)
            (void)sqlite3_exec(db, "begin immediate", NULL, NULL, NULL);
        if (!pk_record_decode(pk_str_sub(pk_buf_str(&entry), 2, entry.len), &r, &room))
            return false;
        bind_columns(st, &r);
        (void)sqlite3_step(st);
        (void)sqlite3_reset(st);
        if (i % PEER_GROUP == PEER_GROUP - 1 || i + 1 == rows)
            (void)sqlite3_exec(db, "commit", NULL, NULL, NULL);
        cpu += seconds(CLOCK_THREAD_CPUTIME_ID) - before;
    }
    (void)sqlite3_finalize(st);
    (void)sqlite3_close(db);
    pk_arena_free(&arena);
    printf("\"bare_cpu_us\":%.2f}\n", cpu * 1e6 / rows);
    return true;
}

static bool run(const char *folder, enum traffic traffic, int rows)
{
    char path[200], peer[220];

    (void)snprintf(path, sizeof path, "%s/%s.pkdb", folder, traffic_names[traffic]);
    (void)snprintf(peer, sizeof peer, "%s.bare", path);
    return through_writer(path, traffic, rows) && through_sqlite(peer, traffic, rows);
}

static bool to_spool(const char *path, const char *traffic, int rows)
{
    static struct pk_spool spool;
    struct pk_arena arena;
    uint64_t random = 1;
    bool ok = pk_spool_init(&spool, path, (int64_t)1 << 40);
    int kind = 0;

    while (kind < TRAFFICS - 1 && strcmp(traffic_names[kind], traffic) != 0)
        kind++;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_buf entry = pk_buf_in(&arena, PK_CALL_BYTES_MAX);
    for (int i = 0; ok && i < rows; i++) {
        pk_buf_reset(&entry);
        make_entry(&entry, (enum traffic)kind, 1763811512123456 + (int64_t)i * 50, &random);
        pk_str bytes = pk_buf_str(&entry);
        ok = pk_spool_put(&spool, &bytes, 1);
    }
    pk_arena_free(&arena);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--spool") == 0)
        return !to_spool(argv[2], argv[4], (int)strtol(argv[3], NULL, 10));
    int rows = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 100000;
    bool ok = argc > 1;

    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0); /* as pkd does */
    for (int i = 0; ok && i < TRAFFICS; i++)
        if (argc < 4 || strcmp(argv[3], traffic_names[i]) == 0)
            ok = run(argv[1], (enum traffic)i, rows);
    return ok ? 0 : 1;
}
