/* batch_test.c - batches: order, equals, bounds, and what slows or stops them.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "batch.h"

#include "test.h"

#include <stdio.h>
#include <string.h>

static struct pk_batch_options usual(int concurrency)
{
    return (struct pk_batch_options){
        .concurrency = concurrency, .dedup = true, .max_error_ratio = 0.5};
}

static struct pk_batch *begin(struct pk_batch_options o)
{
    return pk_batch_new(pk_allocator_malloc(), &o);
}

static struct pk_item *add(struct pk_batch *b, const char *body)
{
    struct pk_item *item = pk_batch_add(b);
    struct pk_error err;

    item->req.body = pk_copy(&item->arena, pk_str_of(body));
    EXPECT(pk_batch_ready(b, item, false, &err));
    return item;
}

static void end_ok(struct pk_batch *b, struct pk_item *item, int64_t cost_pusd)
{
    item->result =
        (struct pk_result){.ok = true,
                           .has_content = true,
                           .content = pk_copyf(&item->arena, "to %.*s", PK_FMT(item->req.body)),
                           .http_status = 200,
                           .cost_known = cost_pusd >= 0,
                           .cost_pusd = cost_pusd,
                           .attempts = 1};
    pk_batch_end(b, item, 0, 0);
}

static void end_bad(struct pk_batch *b, struct pk_item *item, int status, int64_t now_ms,
                    int64_t after_ms)
{
    item->result = (struct pk_result){
        .error_code = "x", .http_status = status, .retryable = status == 429, .cost_known = true};
    pk_batch_end(b, item, now_ms, after_ms);
}

/* The next row that is due, as "ord:content" or "ord!code"; "-" when none is. */
static const char *next(struct pk_batch *b)
{
    static char text[128];
    struct pk_item *item = pk_batch_take(b);

    if (!item)
        return "-";
    (void)snprintf(text, sizeof text, "%lld%s%.*s", (long long)item->ord,
                   item->result.ok ? ":" : "!",
                   item->result.ok ? (int)item->result.content.len : 24,
                   item->result.ok ? item->result.content.at : item->result.error_code);
    pk_batch_drop(b, item);
    return text;
}

static bool gives(struct pk_batch *b, const char *expected)
{
    const char *text = next(b);

    if (strcmp(text, expected) == 0)
        return true;
    printf("# got %s, not %s\n", text, expected);
    return false;
}

static void rows_leave_in_the_order_in_which_they_came(void)
{
    struct pk_batch *b = begin(usual(2));

    add(b, "a");
    add(b, "b");
    add(b, "c");
    pk_batch_eof(b);
    struct pk_item *first = pk_batch_start(b, 0), *second = pk_batch_start(b, 0);
    EXPECT(first && second && !pk_batch_start(b, 0));
    end_ok(b, second, 0);
    EXPECT(gives(b, "-"));
    end_ok(b, first, 0);
    EXPECT(gives(b, "1:to a"));
    EXPECT(gives(b, "2:to b"));
    EXPECT(!pk_batch_over(b));
    end_ok(b, pk_batch_start(b, 0), 0);
    EXPECT(gives(b, "3:to c"));
    EXPECT(pk_batch_over(b));
    pk_batch_free(b);
}

static void by_completion_they_leave_as_they_end(void)
{
    struct pk_batch_options o = usual(2);

    o.by_completion = true;
    struct pk_batch *b = begin(o);
    add(b, "a");
    add(b, "b");
    struct pk_item *first = pk_batch_start(b, 0), *second = pk_batch_start(b, 0);
    end_ok(b, second, 0);
    EXPECT(gives(b, "2:to b"));
    end_ok(b, first, 0);
    EXPECT(gives(b, "1:to a"));
    pk_batch_free(b);
}

static void equal_requests_are_one_call(void)
{
    struct pk_batch *b = begin(usual(8));

    for (int i = 0; i < 6; i++)
        add(b, i % 2 ? "odd" : "even");
    struct pk_item *first = pk_batch_start(b, 0), *second = pk_batch_start(b, 0);
    EXPECT(first && second && !pk_batch_start(b, 0));
    end_ok(b, first, 7);
    end_ok(b, second, 7);
    EXPECT(gives(b, "1:to even"));
    struct pk_item *third = pk_batch_take(b);
    EXPECT(third && third->ord == 2);
    pk_batch_drop(b, third);
    struct pk_item *follower = pk_batch_take(b);
    EXPECT(follower->ord == 3 && follower->result.ok && !follower->result.called &&
           follower->result.cost_pusd == 0);
    pk_batch_drop(b, follower);
    while (strcmp(next(b), "-") != 0)
        continue;
    add(b, "odd"); /* long after the one that asked it is gone */
    EXPECT(gives(b, "7:to odd"));
    EXPECT(pk_batch_progress(b).calls == 2 && pk_batch_progress(b).cost_pusd == 14);
    pk_batch_free(b);
}

static void without_dedup_each_is_a_call(void)
{
    struct pk_batch_options o = usual(8);

    o.dedup = false;
    struct pk_batch *b = begin(o);
    add(b, "a");
    add(b, "a");
    EXPECT(pk_batch_start(b, 0) && pk_batch_start(b, 0));
    pk_batch_free(b);
}

static void a_call_may_be_equal_to_no_other(void)
{
    struct pk_batch *b = begin(usual(8));

    add(b, "a");
    struct pk_item *item = pk_batch_add(b);
    struct pk_error err;
    item->req.body = pk_copy(&item->arena, PK_STR("a"));
    item->req.alone = true;
    EXPECT(pk_batch_ready(b, item, false, &err));
    EXPECT(pk_batch_start(b, 0) && pk_batch_start(b, 0) == item);
    pk_batch_free(b);
}

static void what_equal_calls_share_is_more_than_the_body(void)
{
    static const char *const same[] = {"one", "two", "one"};
    struct pk_batch *b = begin(usual(8));
    struct pk_error err;

    for (size_t i = 0; i < PK_COUNT(same); i++) {
        struct pk_item *item = pk_batch_add(b);

        item->req.body = pk_copy(&item->arena, PK_STR("a"));
        item->same = pk_str_of(same[i]);
        EXPECT(pk_batch_ready(b, item, false, &err));
    }
    EXPECT(pk_batch_start(b, 0) && pk_batch_start(b, 0) && !pk_batch_start(b, 0));
    pk_batch_free(b);
}

static void calls_may_begin_as_rows_came(void)
{
    struct pk_batch_options o = usual(8);

    o.as_they_came = true;
    struct pk_batch *b = begin(o);
    add(b, "b");
    add(b, "a");
    EXPECT(pk_str_eq(pk_batch_start(b, 0)->req.body, PK_STR("b")));
    pk_batch_free(b);
}

static void a_failure_is_not_remembered(void)
{
    struct pk_batch *b = begin(usual(8));

    add(b, "a");
    add(b, "a");
    end_bad(b, pk_batch_start(b, 0), 400, 0, 0);
    EXPECT(gives(b, "1!x"));
    EXPECT(gives(b, "2!x"));
    add(b, "a");
    EXPECT(pk_batch_start(b, 0) != NULL);
    pk_batch_free(b);
}

static void what_is_held_is_bounded(void)
{
    struct pk_batch *b = begin(usual(2));
    int rows = 0;
    char text[16];

    for (; pk_batch_wants(b); rows++) {
        (void)snprintf(text, sizeof text, "%d", rows);
        add(b, text);
    }
    EXPECT(rows == 2 * PK_BATCH_AHEAD);
    end_ok(b, pk_batch_start(b, 0), 0);
    EXPECT(!pk_batch_wants(b));
    EXPECT(gives(b, "1:to 0"));
    EXPECT(pk_batch_wants(b));
    pk_batch_free(b);
}

static void rows_with_equal_beginnings_follow_each_other(void)
{
    struct pk_batch *b = begin(usual(1));

    add(b, "b1");
    add(b, "a1");
    add(b, "b2");
    add(b, "a2");
    const char *order[] = {"a1", "a2", "b1", "b2"};
    for (int i = 0; i < 4; i++) {
        struct pk_item *item = pk_batch_start(b, 0);
        EXPECT(pk_str_is(item->req.body, order[i]));
        end_ok(b, item, 0);
    }
    pk_batch_free(b);
}

static void too_many_requests_slow_it_down(void)
{
    struct pk_batch *b = begin(usual(4));

    for (const char *c = "abcdefgh"; *c; c++)
        add(b, (const char[]){*c, 0});
    struct pk_item *items[4];
    for (int i = 0; i < 4; i++)
        items[i] = pk_batch_start(b, 10);
    end_bad(b, items[0], 429, 20, 500);
    end_bad(b, items[1], 429, 21, 0); /* began before the cut: no second one */
    EXPECT(!pk_batch_start(b, 500));
    end_ok(b, items[2], 0);
    end_ok(b, items[3], 0);
    int64_t wake_ms = pk_batch_wake_ms(b);
    EXPECT(wake_ms >= 520 && wake_ms < INT64_MAX);
    EXPECT(pk_batch_start(b, wake_ms) && pk_batch_start(b, wake_ms));
    EXPECT(pk_batch_start(b, wake_ms) == NULL || pk_batch_progress(b).running <= 3);
    EXPECT(pk_batch_progress(b).failed == 0);
    pk_batch_free(b);
}

static void a_row_is_not_asked_for_ever(void)
{
    struct pk_batch *b = begin(usual(1));
    int64_t now_ms = 0;
    int tries = 0;

    add(b, "a");
    for (struct pk_item *item; (item = pk_batch_start(b, now_ms)); tries++) {
        end_bad(b, item, 429, now_ms, 0);
        now_ms += 1000000;
    }
    EXPECT(tries == PK_BATCH_TRIES && pk_batch_progress(b).calls == 1);
    EXPECT(gives(b, "1!x"));
    pk_batch_free(b);
}

static void too_many_failures_end_it(void)
{
    struct pk_batch *b = begin(usual(1));
    char text[16];
    int calls = 0;

    for (int i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        add(b, text);
    }
    for (struct pk_item *item; (item = pk_batch_start(b, 0)); calls++)
        end_bad(b, item, 401, 0, 0);
    EXPECT(calls == PK_BATCH_SAMPLE);
    struct pk_item *item;
    int stopped = 0;
    while ((item = pk_batch_take(b))) {
        stopped += strcmp(item->result.error_code, "max_error_ratio") == 0;
        EXPECT(!item->result.ok);
        pk_batch_drop(b, item);
    }
    EXPECT(stopped == 100 - PK_BATCH_SAMPLE);
    add(b, "later");
    EXPECT(gives(b, "101!max_error_ratio"));
    pk_batch_free(b);
}

static void no_more_calls_are_made_than_allowed(void)
{
    struct pk_batch_options o = usual(8);

    o.max_calls = 2;
    struct pk_batch *b = begin(o);
    for (const char *c = "abcab"; *c; c++)
        add(b, (const char[]){*c, 0});
    struct pk_item *first = pk_batch_start(b, 0), *second = pk_batch_start(b, 0);
    EXPECT(first && second && !pk_batch_start(b, 0));
    end_ok(b, first, 0);
    end_ok(b, second, 0);
    const char *expected[] = {"1:to a", "2:to b", "3!max_calls", "4:to a", "5:to b"};
    for (int i = 0; i < 5; i++)
        EXPECT(gives(b, expected[i]));
    pk_batch_free(b);
}

static void no_more_is_spent_than_allowed(void)
{
    struct pk_batch_options o = usual(8);
    int64_t spent = 0;
    char text[16];

    o.max_cost_pusd = 100;
    struct pk_batch *b = begin(o);
    for (int i = 0; i < 30; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        add(b, text);
    }
    for (;;) {
        struct pk_item *running[8];
        int n = 0;
        while (n < 8 && (running[n] = pk_batch_start(b, 0)))
            n++;
        if (n == 0)
            break;
        for (int i = 0; i < n; i++) {
            end_ok(b, running[i], 9);
            spent += 9;
        }
    }
    EXPECT(spent <= 100 && spent > 80);
    pk_batch_free(b);
}

static void nobody_wakes_for_a_call_that_may_be_too_dear(void)
{
    struct pk_batch_options o = usual(8);

    o.max_cost_pusd = 25;
    struct pk_batch *b = begin(o);
    for (const char *at = "a\0b\0c\0d\0"; *at; at += 2)
        add(b, at);
    end_ok(b, pk_batch_start(b, 0), 10);
    struct pk_item *second = pk_batch_start(b, 0);
    EXPECT(second && !pk_batch_start(b, 0));
    EXPECT(pk_batch_wake_ms(b) == INT64_MAX);
    end_ok(b, second, 1);
    EXPECT(pk_batch_wake_ms(b) == 0);
    pk_batch_free(b);
}

static void a_cost_that_is_not_known_ends_a_batch_with_a_bound(void)
{
    struct pk_batch_options o = usual(8);

    o.max_cost_pusd = 100;
    struct pk_batch *b = begin(o);
    add(b, "a");
    add(b, "b");
    struct pk_item *probe = pk_batch_start(b, 0);
    EXPECT(probe && !pk_batch_start(b, 0));
    EXPECT(pk_batch_wake_ms(b) == INT64_MAX); /* not before the probe ends */
    end_ok(b, probe, -1);
    EXPECT(gives(b, "1:to a"));
    EXPECT(gives(b, "2!max_cost"));
    pk_batch_free(b);
}

static void options_are_read_and_taken_out(void)
{
    struct pk_batch_options o = usual(PK_BATCH_CONCURRENCY);
    struct pk_arena arena;
    struct pk_error err;
    pk_str rest;

    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    EXPECT(pk_batch_options_read(
        &arena,
        PK_STR("{\"model\":\"m\",\"pk\":{\"concurrency\":64,\"dedup\":false,"
               "\"order\":\"completion\",\"max_cost_usd\":0.25,\"trace_id\":\"t\"}}"),
        &o, &rest, &err));
    EXPECT(o.concurrency == 64 && !o.dedup && o.by_completion && o.max_cost_pusd == 250000000000);
    EXPECT(pk_str_is(rest, "{\"model\":\"m\",\"pk\":{\"trace_id\":\"t\"}}"));
    const char *bad[] = {"{\"pk\":{\"concurrency\":0}}",     "{\"pk\":{\"concurrency\":1025}}",
                         "{\"pk\":{\"dedup\":1}}",           "{\"pk\":{\"order\":\"x\"}}",
                         "{\"pk\":{\"max_calls\":0}}",       "{\"pk\":{\"max_cost_usd\":-1}}",
                         "{\"pk\":{\"max_error_ratio\":2}}", "{\"pk\":{\"executor\":\"batch\"}}",
                         "{\"pk\":{\"max_attempts\":2}}"};
    for (size_t i = 0; i < PK_COUNT(bad); i++)
        EXPECT(!pk_batch_options_read(&arena, pk_str_of(bad[i]), &o, &rest, &err) &&
               strstr(err.msg, "params.pk."));
    o.estimates = true;
    EXPECT(pk_batch_options_read(
        &arena, PK_STR("{\"pk\":{\"executor\":\"batch\",\"max_attempts\":2}}"), &o, &rest, &err));
    EXPECT(o.batched && pk_str_is(rest, "{\"pk\":{}}"));
    pk_arena_free(&arena);
}

int main(void)
{
    RUN(rows_leave_in_the_order_in_which_they_came);
    RUN(by_completion_they_leave_as_they_end);
    RUN(equal_requests_are_one_call);
    RUN(without_dedup_each_is_a_call);
    RUN(a_call_may_be_equal_to_no_other);
    RUN(what_equal_calls_share_is_more_than_the_body);
    RUN(calls_may_begin_as_rows_came);
    RUN(a_failure_is_not_remembered);
    RUN(what_is_held_is_bounded);
    RUN(rows_with_equal_beginnings_follow_each_other);
    RUN(too_many_requests_slow_it_down);
    RUN(a_row_is_not_asked_for_ever);
    RUN(too_many_failures_end_it);
    RUN(no_more_calls_are_made_than_allowed);
    RUN(no_more_is_spent_than_allowed);
    RUN(nobody_wakes_for_a_call_that_may_be_too_dear);
    RUN(a_cost_that_is_not_known_ends_a_batch_with_a_bound);
    RUN(options_are_read_and_taken_out);
    return test_end();
}
