/* store_job_batch_test.c - who has a batch, and what becomes of its items.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_job_batch.h"
#include "test_store.h"

static const int64_t second_us = 1000000, start_us = 1800000000000000;
static const uint8_t ann[PK_WORKER_BYTES] = {1}, bob[PK_WORKER_BYTES] = {2};

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static struct pk_job job;
static struct pk_job_turns turns;

static bool check(const char *config, const char *params)
{
    err = (struct pk_error){0};
    return pk_store_job_check(s, &arena, pk_str_of(config), pk_str_of(params), start_us, &job,
                              &err);
}

static void enqueue(int count)
{
    static uint64_t number;
    uint64_t random = ++number << 8;

    pk_store_close(s);
    s = test_store(":memory:");
    pk_arena_free(&arena);
    EXPECT(check("openai", "{\"pk\":{\"executor\":\"batch\"}}"));
    pk_uuid7(start_us, random, job.id);
    bool ok = EXPECT(pk_store_job_put(s, &job, start_us, &err));
    for (int i = 1; ok && i <= count; i++) {
        const struct pk_job_input in = {
            .ord = i, .has_text = true, .text = pk_copyf(&arena, "hi %d", i)};

        ok = EXPECT(pk_store_job_add(s, &job, &in, start_us, &err));
    }
    EXPECT(pk_store_job_enqueued(s, &job, ok, count, count, start_us, &err));
}

static bool count_claim(void *ctx, const struct pk_job_claim *claim)
{
    (void)claim;
    ++*(int *)ctx;
    return true;
}

static int claim(const uint8_t *worker, int64_t now_us, int count)
{
    const struct pk_job_batch_claim c = {worker, job.id, now_us, now_us + 10 * second_us, count};
    int claimed = 0;

    EXPECT(pk_store_job_batch_claim(s, &c, count_claim, &claimed, &err));
    return claimed;
}

static int open_items(const struct pk_job_batch *b)
{
    int count = 0;

    EXPECT(pk_store_job_batch_items(s, b, count_claim, &count, &err));
    return count;
}

static struct pk_job_batch put(const uint8_t *worker, int items)
{
    struct pk_job_batch b = {.id = {7, 7},
                             .created_us = start_us,
                             .provider = PK_STR("openai"),
                             .target_path = PK_STR("config"),
                             .model = PK_STR("m"),
                             .items = items};

    memcpy(b.job, job.id, sizeof b.job);
    EXPECT(pk_store_job_batch_put(s, &b, worker, start_us + 10 * second_us, &err));
    return b;
}

static void what_cannot_be_batched_is_refused(void)
{
    enqueue(1);
    EXPECT(job.batched && pk_str_is(job.params, "{\"pk\":{}}"));
    EXPECT(check("openai", "{\"pk\":{\"executor\":\"call\"}}") && !job.batched);
    EXPECT(!check("openai", "{\"pk\":{\"executor\":\"soon\"}}") && err.code == PK_BAD_REQUEST);
    EXPECT(!check("google", "{\"pk\":{\"executor\":\"batch\"}}") &&
           strstr(err.msg, "params.pk.executor: provider \"google\" has no batch API"));
}

static void calls_do_not_get_what_is_for_batches(void)
{
    uint8_t id[PK_UUID_BYTES];
    bool found = false, wanted = false;
    int calls = 0;

    enqueue(3);
    EXPECT(pk_store_job_claim(s, &turns, ann, start_us, start_us + second_us, 9, count_claim,
                              &calls, &err) &&
           calls == 0);
    EXPECT(pk_store_job_batch_wanted(s, &wanted, &err) && wanted);
    EXPECT(pk_store_job_batch_next(s, start_us, id, &found, &err) && found &&
           memcmp(id, job.id, sizeof id) == 0);
    EXPECT(claim(ann, start_us, 2) == 2 && claim(bob, start_us, 9) == 1);
    EXPECT(claim(bob, start_us + 9 * second_us, 9) == 0);
    EXPECT(claim(bob, start_us + 11 * second_us, 9) == 3);
}

static void a_batch_has_all_that_its_worker_had_or_is_not_there(void)
{
    struct pk_job_batch b, taken;
    bool found = false;

    enqueue(3);
    EXPECT(claim(ann, start_us, 2) == 2);
    b = put(ann, 2);
    EXPECT(open_items(&b) == 2);
    EXPECT(claim(bob, start_us + 1000 * second_us, 9) == 1);
    b.id[0] = 8;
    b.items = 2; /* one is another's by now */
    EXPECT(!pk_store_job_batch_put(s, &b, bob, start_us, &err) && open_items(&b) == 0);
    EXPECT(test_says(s, "select count(*) from pk_job_batch", "1"));
    EXPECT(pk_store_job_batch_take(s, &arena, bob, start_us + 9 * second_us, 0, &taken, &found,
                                   &err) &&
           !found);
}

static void a_batch_is_with_one_worker_at_a_time(void)
{
    struct pk_job_batch b, taken;
    bool had = false, found = false;

    enqueue(2);
    EXPECT(claim(ann, start_us, 2) == 2);
    b = put(ann, 2);
    EXPECT(pk_store_job_batch_take(s, &arena, bob, start_us + 11 * second_us,
                                   start_us + 20 * second_us, &taken, &found, &err) &&
           found && taken.items == 2 && taken.state == PK_JB_NEW && pk_str_is(taken.model, "m") &&
           taken.created_us == start_us);
    b.asks = 1;
    EXPECT(pk_store_job_batch_save(s, &b, ann, true, &had, &err) && !had);
    taken.state = PK_JB_SENT;
    taken.remote_id = PK_STR("batch_1");
    taken.due_us = start_us + 30 * second_us;
    EXPECT(pk_store_job_batch_save(s, &taken, bob, false, &had, &err) && had);
    EXPECT(pk_store_job_batch_known(s, PK_STR("batch_1"), &found, &err) && found);
    EXPECT(pk_store_job_batch_known(s, PK_STR("batch_2"), &found, &err) && !found);
    EXPECT(
        pk_store_job_batch_take(s, &arena, ann, start_us + 29 * second_us, 0, &b, &found, &err) &&
        !found);
    EXPECT(pk_store_job_batch_take(s, &arena, ann, start_us + 31 * second_us,
                                   start_us + 41 * second_us, &b, &found, &err) &&
           found && b.state == PK_JB_SENT && pk_str_is(b.remote_id, "batch_1"));
    b.state = PK_JB_OVER;
    EXPECT(pk_store_job_batch_save(s, &b, ann, false, &had, &err) && had);
    EXPECT(pk_store_job_batch_take(s, &arena, bob, INT64_MAX, INT64_MAX, &b, &found, &err) &&
           !found);
}

static void a_cancelled_job_hurries_its_batch_and_drops_the_rest(void)
{
    struct pk_job_batch b, taken;
    bool had = false, found = false, stopped = true, cancelled = false;

    enqueue(3);
    EXPECT(claim(ann, start_us, 2) == 2);
    b = put(ann, 2);
    b.state = PK_JB_SENT;
    b.due_us = start_us + 60 * second_us;
    EXPECT(pk_store_job_batch_save(s, &b, ann, false, &had, &err) && had);
    EXPECT(pk_store_job_batch_stopped(s, job.id, &stopped, &err) && !stopped);
    EXPECT(pk_store_job_batch_hurry(s, start_us, &err) &&
           pk_store_job_batch_take(s, &arena, bob, start_us, 0, &taken, &found, &err) && !found);
    EXPECT(pk_store_job_cancel(s, job.id, PK_NONE, start_us, &cancelled, &err) && cancelled);
    EXPECT(pk_store_job_batch_stopped(s, job.id, &stopped, &err) && stopped);
    EXPECT(pk_store_job_batch_hurry(s, start_us, &err) &&
           pk_store_job_batch_take(s, &arena, bob, start_us, 0, &taken, &found, &err) && found);
    EXPECT(pk_store_job_batch_drop(s, &taken, &err) && open_items(&taken) == 0);
    EXPECT(pk_store_job_finish(s, start_us, &err));
    EXPECT(test_says(s, "select state || ' ' || cancelled from pk_jobs", "cancelled 3"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(what_cannot_be_batched_is_refused);
    RUN(calls_do_not_get_what_is_for_batches);
    RUN(a_batch_has_all_that_its_worker_had_or_is_not_there);
    RUN(a_batch_is_with_one_worker_at_a_time);
    RUN(a_cancelled_job_hurries_its_batch_and_drops_the_rest);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
