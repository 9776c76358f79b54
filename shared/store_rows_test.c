/* store_rows_test.c - rows of a group are what they would be alone.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "journal.h"
#include "store_cache.h"
#include "store_group.h"
#include "test_store.h"

enum { CALLS = 61 };

static struct pk_arena arena;
static struct pk_error err;
static const int64_t start_us = 1763725112123456;
static const uint8_t key[PK_CACHE_KEY_BYTES] = {1, 2, 3};

static const char rows[] =
    "select group_concat(json_array(id, trace_id, span_id, parent_span_id, "
    "started_at, operation, provider, "
    "request_model, model, config, target_path, attempts, retries, stream, "
    "status, http_status, finish_reason, "
    "usage_source, input_tokens, output_tokens, cache_read_tokens, "
    "cost_usd, cost_saved_usd, cache_status, "
    "virtual_key, api_key, user_id, prompt, latency_ms, ttft_ms, overhead_ms, "
    "metadata, request, response, source), '\n') "
    "from (select * from pk_logs order by id)";

static struct pk_record hit(int i)
{
    static char trace[CALLS][64];
    struct pk_record r = {.id = {1, (uint8_t)(i / 7), (uint8_t)i},
                          .span_id = PK_STR("00f067aa0ba902b7"),
                          .started_us = start_us + i,
                          .ended_us = start_us + i + i % 3,
                          .operation = PK_STR("chat"),
                          .source = PK_STR("http"),
                          .provider = PK_STR("openai"),
                          .model = PK_STR("gpt-4o"),
                          .metadata = PK_STR("{\"a\":1}"),
                          .http_status = 200,
                          .usage = {.source = PK_USAGE_PROVIDER, .input = 9, .output = 2},
                          .cost_known = true,
                          .cost_saved_pusd = 77,
                          .cache_status = PK_CS_HIT,
                          .cache_key = {(const char *)key, sizeof key},
                          .request = PK_STR("{\"q\":1}"),
                          .response = PK_STR("{\"a\":1}")};

    (void)snprintf(trace[i], sizeof trace[i], "trace %d", i);
    r.trace_id = pk_str_of(trace[i]);
    return r;
}

/* Now and then one that is another's repetition only nearly, or not at all. */
static struct pk_record call(int i)
{
    struct pk_record r = hit(i);

    switch (i) {
    case 20: r.user_id = PK_STR("u"); break;
    case 21: r.cache_key = PK_NONE; break;
    case 22: r.cache_key = PK_NONE; break;
    case 31: r.trace_id = PK_STR("not \xff UTF-8"); break;
    case 32: r.span_id = PK_NONE; break;
    case 33: r.started_us += 3600000000; break;
    case 40: r.model = PK_STR("\xff"); break;
    case 41: r.model = PK_STR("\xff"); break;
    case 44: r.prompt = PK_STR("p"); break;
    case 45: r.prompt = PK_STR("p"); break;
    case 46: r.prompt = PK_STR("p"); break;
    case 50: r.metadata = PK_STR("{\"b\":2}"); break;
    default: break;
    }
    return r;
}

static pk_str entry(int i)
{
    struct pk_buf out = pk_buf_in(&arena, 1 << 16);
    struct pk_record r = call(i);

    pk_journal_record(&out, &r);
    return pk_buf_str(&out);
}

static void put_entry(struct pk_store *s)
{
    struct pk_cache_entry e = {.body = PK_STR("{\"a\":1}"), .provider = PK_STR("openai")};

    EXPECT(pk_store_cache_put(s, key, &e, start_us, 3600, &err));
}

/* What each call's row is when it is written by itself, in `answer`. */
static void write_alone(char *answer, size_t size)
{
    struct pk_store *s = test_store(":memory:");

    put_entry(s);
    for (int i = 0; i < CALLS; i++)
        EXPECT(pk_journal_apply(s, entry(i), &err));
    (void)snprintf(answer, size, "%s", test_ask(s, rows));
    EXPECT(test_says(s, "select hits from pk_cache_entry", "59"));
    pk_store_close(s);
}

static bool write_group(struct pk_store *s, int from, int to)
{
    bool ok = pk_store_group_begin(s, true, &err);

    s->unseen = true;
    for (int i = from; ok && i < to; i++)
        ok = pk_journal_apply(s, entry(i), &err);
    ok = ok && pk_store_group_settle(s, &err);
    s->unseen = false;
    ok = pk_store_group_end(s, ok, &err) && ok;
    pk_arena_free(&arena); /* the texts were there until now */
    return ok;
}

static void rows_of_a_group_are_those_of_single_calls(void)
{
    static char alone[65536];
    struct pk_store *s = test_store(":memory:");

    write_alone(alone, sizeof alone);
    pk_store_group_init(s);
    put_entry(s);
    EXPECT(write_group(s, 0, 19) && write_group(s, 19, 48) && write_group(s, 48, CALLS));
    EXPECT(test_says(s, rows, alone));
    EXPECT(test_says(s, "select hits from pk_cache_entry", "59"));
    EXPECT(test_says(s, "select count(*) from pk_log where trace_id = 'trace 17'", "1"));
    pk_store_group_free(s);
    pk_store_close(s);
}

/* A group that failed leaves nothing for the next; one that is tried again counts no hit twice. */
static void groups_that_are_undone_leave_nothing(void)
{
    struct pk_store *s = test_store(":memory:");

    pk_store_group_init(s);
    put_entry(s);
    EXPECT(pk_store_group_begin(s, true, &err));
    s->unseen = true;
    for (int i = 0; i < 13; i++)
        EXPECT(pk_journal_apply(s, entry(i), &err));
    EXPECT(!pk_store_group_end(s, false, &err));
    EXPECT(pk_store_group_begin(s, false, &err) && pk_store_group_settle(s, &err) &&
           pk_store_group_end(s, true, &err));
    EXPECT(test_says(s, "select count(*) from pk_log", "0"));
    EXPECT(write_group(s, 0, 13));
    EXPECT(pk_store_group_begin(s, true, &err));
    s->unseen = false;
    for (int i = 0; i < 19; i++) /* of a group that is tried again, some may come twice */
        EXPECT(pk_journal_apply(s, entry(i), &err) && pk_journal_apply(s, entry(i), &err));
    EXPECT(pk_store_group_settle(s, &err) && pk_store_group_end(s, true, &err));
    EXPECT(test_says(s, "select count(*) || ' ' || hits from pk_log, pk_cache_entry", "19 19"));
    pk_store_group_free(s);
    pk_store_close(s);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(rows_of_a_group_are_those_of_single_calls);
    RUN(groups_that_are_undone_leave_nothing);
    pk_arena_free(&arena);
    return test_end();
}
