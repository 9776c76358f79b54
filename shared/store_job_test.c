/* store_job_test.c - what becomes of a job's items, with the time in hand.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_job.h"
#include "store_sweep.h"
#include "test_store.h"

static const int64_t second_us = 1000000, start_us = 1800000000000000;
static const uint8_t ann[PK_WORKER_BYTES] = {1}, bob[PK_WORKER_BYTES] = {2};

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static struct pk_job job;
static struct pk_job_turns turns;

static void fresh_store(void)
{
    pk_store_close(s);
    s = test_store(":memory:");
}

/* A job of `count` prompts, of which every `different` are so, for a provider that is pk's own. */
static void enqueue_some(int count, int different, const char *params)
{
    static uint64_t number;
    uint64_t random = ++number << 8; /* past the bits that are not random */

    pk_arena_free(&arena);
    EXPECT(
        pk_store_job_check(s, &arena, PK_STR("openai"), pk_str_of(params), start_us, &job, &err));
    pk_uuid7(start_us, random, job.id);
    bool ok = EXPECT(pk_store_job_put(s, &job, start_us, &err));
    for (int i = 1; ok && i <= count; i++) {
        const pk_str text = pk_copyf(&arena, "hi %d", i % different);
        const struct pk_job_input in = {.ord = i, .has_text = true, .text = text};

        ok = EXPECT(pk_store_job_add(s, &job, &in, start_us, &err));
    }
    EXPECT(pk_store_job_enqueued(s, &job, ok, count, count, start_us, &err));
}

static void enqueue(int count, const char *params)
{
    enqueue_some(count, PK_JOB_ROWS_MAX, params);
}

struct claims {
    struct pk_job_claim at[64];
    int count;
};

static bool take(void *ctx, const struct pk_job_claim *claim)
{
    struct claims *c = ctx;

    c->at[c->count++] = *claim;
    return true;
}

static struct claims claim(const uint8_t *worker, int64_t now_us, int count)
{
    struct claims c = {.count = 0};

    EXPECT(pk_store_job_claim(s, &turns, worker, now_us, now_us + 10 * second_us, count, take, &c,
                              &err));
    return c;
}

static bool is(const char *state, const char *counts)
{
    struct pk_buf out = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);
    char want[160];
    bool found = false;

    (void)snprintf(want, sizeof want, "\"state\":\"%s\",%s", state, counts);
    if (!pk_store_job_status(s, job.id, PK_NONE, &out, &found, &err) || !found)
        return false;
    pk_buf_addc(&out, 0);
    bool same = strstr(out.at, want) != NULL;
    if (!same)
        printf("# %s\n", out.at);
    return same;
}

static struct pk_result answer(void)
{
    return (struct pk_result){.ok = true,
                              .has_content = true,
                              .content = PK_STR("ho"),
                              .cost_known = true,
                              .cost_pusd = 7};
}

static void an_item_is_with_one_worker_until_its_lease_ends(void)
{
    enqueue(3, "{}");
    struct claims first = claim(ann, start_us, 2);
    EXPECT(first.count == 2 && first.at[0].ord != first.at[1].ord);
    EXPECT(claim(bob, start_us, 9).count == 1);
    EXPECT(claim(bob, start_us + 9 * second_us, 9).count == 0);
    EXPECT(pk_store_job_renew(s, ann, start_us + 19 * second_us, &err));
    EXPECT(claim(ann, start_us + 11 * second_us, 9).count == 1); /* bob's */
    EXPECT(claim(bob, start_us + 20 * second_us, 9).count == 2); /* ann's */
    EXPECT(pk_store_job_give_back(s, bob, start_us, &err));
    EXPECT(pk_store_job_give_back(s, ann, start_us, &err));
    EXPECT(is("running", "\"total\":3,\"queued\":3,\"running\":0"));
}

static void an_answer_counts_whoever_has_the_item_and_once(void)
{
    struct pk_result r = answer();
    struct pk_result late = {.error_code = "provider_error", .retryable = true, .cost_known = true};

    enqueue(1, "{}");
    struct claims a = claim(ann, start_us, 1);
    struct claims b = claim(bob, start_us + 11 * second_us, 1);
    EXPECT(a.count == 1 && b.count == 1);
    EXPECT(pk_store_job_end(s, &a.at[0], 0, &r, &err));
    EXPECT(pk_store_job_again(s, &b.at[0], bob, 1, start_us, &late, &err));
    EXPECT(pk_store_job_end(s, &b.at[0], 1, &late, &err));
    EXPECT(pk_store_job_finish(s, start_us, &err));
    EXPECT(is("done", "\"total\":1,\"queued\":0,\"running\":0,\"done\":1"));
    EXPECT(claim(ann, start_us + 99 * second_us, 1).count == 0);
}

static void an_item_waits_until_it_is_due_again(void)
{
    struct pk_result r = {.error_code = "timeout_error", .retryable = true, .cost_known = true};

    enqueue(1, "{\"pk\":{\"max_attempts\":2}}");
    EXPECT(job.tries_max == 2 && pk_str_is(job.params, "{\"pk\":{}}"));
    struct claims a = claim(ann, start_us, 1);
    EXPECT(pk_store_job_again(s, &a.at[0], ann, 1, start_us + 5 * second_us, &r, &err));
    EXPECT(claim(ann, start_us + 4 * second_us, 1).count == 0);
    a = claim(ann, start_us + 5 * second_us, 1);
    EXPECT(a.count == 1 && a.at[0].tries == 1);
    EXPECT(pk_store_job_end(s, &a.at[0], 2, &r, &err));
    EXPECT(pk_store_job_finish(s, start_us, &err) && is("failed", "\"total\":1"));
    int64_t count = 0;
    EXPECT(pk_store_job_retry(s, job.id, PK_NONE, start_us, &count, &err) && count == 1);
    a = claim(ann, start_us, 1);
    EXPECT(a.count == 1 && a.at[0].tries == 0);
    EXPECT(pk_store_job_give_back(s, ann, start_us, &err));
}

static void an_item_that_outlives_too_many_workers_is_parked(void)
{
    int64_t at_us = start_us;

    enqueue(1, "{}");
    for (int i = 0; i <= PK_JOB_LOSSES_MAX; i++, at_us += 11 * second_us) {
        EXPECT(pk_store_job_tidy(s, at_us, &err));
        EXPECT(claim(ann, at_us, 1).count == 1);
    }
    EXPECT(claim(ann, at_us, 1).count == 0);
    EXPECT(pk_store_job_tidy(s, at_us, &err) && is("failed", "\"total\":1"));
    EXPECT(
        test_says(s, "select error_code from pk_job_item where state = 'failed'", "worker_lost"));
}

/* All that wait for another's answer and can have it. */
static void share(void)
{
    bool more = true;

    while (more && EXPECT(pk_store_job_share(s, &more, &err))) {
    }
}

static void of_equal_items_one_is_asked_and_all_have_its_answer(void)
{
    struct pk_result r = answer();

    r.trace_id = PK_STR("t1");
    r.attempts = 1;
    enqueue_some(2500, 2, "{}");
    struct claims a = claim(ann, start_us, 9);
    EXPECT(a.count == 2 && a.at[0].ord + a.at[1].ord == 3);
    share();
    EXPECT(is("running", "\"total\":2500,\"queued\":2498,\"running\":2"));
    EXPECT(pk_store_job_end(s, &a.at[0], 0, &r, &err));
    share();
    EXPECT(is("running", "\"total\":2500,\"queued\":1249,\"running\":1,\"done\":1250"));
    r = (struct pk_result){.error_code = "provider_error", .http_status = 400, .cost_known = true};
    EXPECT(pk_store_job_end(s, &a.at[1], 1, &r, &err));
    EXPECT(pk_store_job_tidy(s, start_us, &err)); /* as another worker does */
    share();
    EXPECT(pk_store_job_finish(s, start_us, &err));
    EXPECT(is("done", "\"total\":2500,\"queued\":0,\"running\":0,\"done\":1250,\"failed\":1250"));
    EXPECT(test_says(
        s,
        "select sum(cost_pusd) || ' ' || count(distinct trace_id) || ' ' || sum(attempts = 0) "
        "|| ' ' || group_concat(distinct content) from pk_job_item where state = 'done'",
        "7 1 1249 ho"));
    EXPECT(test_says(s, "select count(*) from pk_job_item where http_status = 400", "1250"));
    EXPECT(test_says(s, "select count(*) from pk_job_item where twins = 1", "0"));
}

static void equal_items_that_failed_are_asked_again_together(void)
{
    struct pk_result bad = {.error_code = "provider_error", .cost_known = true}, r = answer();
    int64_t count = 0;

    enqueue_some(3, 1, "{}");
    struct claims a = claim(ann, start_us, 9);
    EXPECT(a.count == 1 && pk_store_job_end(s, &a.at[0], 1, &bad, &err));
    share();
    EXPECT(pk_store_job_finish(s, start_us, &err) && is("failed", "\"total\":3"));
    EXPECT(pk_store_job_retry(s, job.id, PK_NONE, start_us, &count, &err) && count == 3);
    a = claim(ann, start_us, 9);
    EXPECT(a.count == 1 && a.at[0].ord == 1);
    share();
    EXPECT(is("running", "\"total\":3,\"queued\":2"));
    EXPECT(pk_store_job_end(s, &a.at[0], 0, &r, &err));
    share();
    EXPECT(pk_store_job_finish(s, start_us, &err) && is("done", "\"total\":3"));
}

static void equal_items_are_drawn_anew_where_a_job_says_so(void)
{
    enqueue_some(3, 1, "{\"pk\":{\"dedup\":false}}");
    EXPECT(claim(ann, start_us, 9).count == 3);
}

static int of_job(const struct claims *c, const uint8_t *id)
{
    int count = 0;

    for (int i = 0; i < c->count; i++)
        count += memcmp(c->at[i].job, id, PK_UUID_BYTES) == 0;
    return count;
}

static void jobs_of_an_actor_are_served_alike(void)
{
    uint8_t ids[5][PK_UUID_BYTES];

    for (int i = 0; i < 5; i++) {
        enqueue(i == 0 ? 900 : 30, "{}");
        memcpy(ids[i], job.id, sizeof ids[i]);
    }
    struct claims c = claim(ann, start_us, 20);
    EXPECT(c.count == 20);
    for (int i = 0; i < 5; i++)
        EXPECT(of_job(&c, ids[i]) == 4);
    int served[5] = {0};
    for (int k = 0; k < 10; k++) { /* fewer at a time than there are jobs */
        c = claim(ann, start_us, 2);
        for (int i = 0; i < 5; i++)
            served[i] += of_job(&c, ids[i]);
    }
    for (int i = 0; i < 5; i++)
        EXPECT(served[i] == 4);
}

static void actors_take_turns_however_many_jobs_they_have(void)
{
    uint8_t of_bob[PK_UUID_BYTES];
    int bobs = 0, all = 0;

    (void)snprintf(s->actor, sizeof s->actor, "role:ann");
    for (int i = 0; i < 100; i++)
        enqueue(9, "{}");
    (void)snprintf(s->actor, sizeof s->actor, "role:bob");
    enqueue(40, "{}");
    memcpy(of_bob, job.id, sizeof of_bob);
    for (int i = 0; i < 4; i++) {
        struct claims c = claim(ann, start_us, 20);

        all += c.count;
        bobs += of_job(&c, of_bob);
    }
    EXPECT(all == 40 && bobs == 20);
    EXPECT(claim(ann, start_us, 40).count == 20 && claim(ann, start_us, 40).count == 20);
    EXPECT(claim(ann, start_us, 40).count == 40); /* ann alone is left */
}

static void what_ran_when_its_job_was_cancelled_ends_with_its_worker(void)
{
    struct pk_result r = answer();
    bool cancelled = false;

    enqueue(3, "{}");
    struct claims a = claim(ann, start_us, 2);
    EXPECT(pk_store_job_cancel(s, job.id, PK_NONE, start_us, &cancelled, &err) && cancelled);
    EXPECT(is("cancelled", "\"total\":3,\"queued\":0,\"running\":2,\"done\":0"));
    EXPECT(pk_store_job_end(s, &a.at[0], 0, &r, &err));
    EXPECT(claim(bob, start_us + 11 * second_us, 1).count == 0);
    EXPECT(pk_store_job_tidy(s, start_us + 11 * second_us, &err));
    EXPECT(is("cancelled",
              "\"total\":3,\"queued\":0,\"running\":0,\"done\":1,\"failed\":0,\"cancelled\":2"));
    bool over = false;
    EXPECT(pk_store_job_over(s, job.id, PK_NONE, &over, &err) && over);
    int64_t count;
    EXPECT(pk_store_job_retry(s, job.id, PK_NONE, start_us, &count, &err) && count == 2);
    EXPECT(is("running", "\"total\":3,\"queued\":2,\"running\":0,\"done\":1"));
    EXPECT(claim(bob, start_us + 12 * second_us, 9).count == 2);
}

static void others_see_nothing_of_it(void)
{
    const pk_str other = PK_STR("role:somebody");
    struct pk_buf out = pk_buf_in(&arena, PK_CONFIG_BYTES_MAX);
    bool found = true, done;

    enqueue(1, "{}");
    EXPECT(pk_store_job_status(s, job.id, other, &out, &found, &err) && !found);
    EXPECT(!pk_store_job_over(s, job.id, other, &done, &err) && err.code == PK_NOT_FOUND);
    EXPECT(!pk_store_job_cancel(s, job.id, other, start_us, &done, &err));
    EXPECT(is("queued", "\"total\":1"));
}

static void bounds_are_kept(void)
{
    const struct pk_job_input far = {.ord = PK_JOB_ROWS_MAX + 1, .has_text = true};
    const struct pk_job_input large = {
        .ord = 1, .has_text = true, .text = {"x", PK_JOB_ITEM_BYTES_MAX + 1}};

    enqueue(0, "{}");
    EXPECT(is("done", "\"total\":0"));
    EXPECT(!pk_store_job_add(s, &job, &far, start_us, &err) && err.code == PK_TOO_LARGE);
    EXPECT(!pk_store_job_add(s, &job, &large, start_us, &err) && err.code == PK_TOO_LARGE);
}

static void jobs_that_are_over_go_with_the_log(void)
{
    struct pk_sweep w = {0};
    struct pk_result r = answer();
    enum pk_sweep_then then = PK_SWEEP_ON;
    const int64_t later_us = start_us + 20 * 86400 * second_us;

    EXPECT(
        pk_store_setting_put(s, &arena, PK_STR("retention_logs"), PK_STR("10d"), start_us, &err));
    enqueue(0, "{}");
    enqueue(3, "{}");
    struct claims a = claim(ann, start_us, 3);
    for (int i = 0; i < a.count; i++)
        EXPECT(pk_store_job_end(s, &a.at[i], 0, &r, &err));
    EXPECT(pk_store_job_finish(s, start_us, &err));
    enqueue(2, "{}"); /* and one that is not over */
    for (int i = 0; then != PK_SWEEP_OVER && EXPECT(i < 1000); i++)
        EXPECT(pk_store_sweep(s, &w, later_us, &then, &err));
    EXPECT(w.swept.jobs == 2 + 3);
    EXPECT(test_says(s, "select count(*) from pk_job", "1"));
    EXPECT(test_says(s, "select count(*) from pk_job_item", "2"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    fresh_store();
    RUN(an_item_is_with_one_worker_until_its_lease_ends);
    fresh_store();
    RUN(an_answer_counts_whoever_has_the_item_and_once);
    fresh_store();
    RUN(an_item_waits_until_it_is_due_again);
    fresh_store();
    RUN(an_item_that_outlives_too_many_workers_is_parked);
    fresh_store();
    RUN(of_equal_items_one_is_asked_and_all_have_its_answer);
    fresh_store();
    RUN(equal_items_that_failed_are_asked_again_together);
    fresh_store();
    RUN(equal_items_are_drawn_anew_where_a_job_says_so);
    fresh_store();
    RUN(jobs_of_an_actor_are_served_alike);
    fresh_store();
    RUN(actors_take_turns_however_many_jobs_they_have);
    fresh_store();
    RUN(what_ran_when_its_job_was_cancelled_ends_with_its_worker);
    fresh_store();
    RUN(bounds_are_kept);
    fresh_store();
    RUN(others_see_nothing_of_it);
    fresh_store();
    RUN(jobs_that_are_over_go_with_the_log);
    pk_store_close(s);
    pk_arena_free(&arena);
    return test_end();
}
