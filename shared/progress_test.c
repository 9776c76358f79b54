/* progress_test.c - when a batch tells of itself, and what.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "progress.h"

#include "test.h"

static const int64_t now_us = 1800000000000000;

static void a_row_is_due_once_a_second_and_its_end_once(void)
{
    struct pk_progress p = {.row = {.kind = PK_STR("pk_map"), .pid = 7}};
    struct pk_batch_progress c = {
        .rows = 9, .done = 5, .failed = 2, .running = 3, .cost_pusd = 11, .ended = 4};

    pk_progress_begin(&p, -1, now_us, 5000, 7);
    EXPECT(p.row.started_us == now_us && !pk_progress_next(&p, &c, now_us, 5999));
    EXPECT(!pk_progress_end(&p)); /* nobody has heard of it */
    pk_progress_begin(&p, -1, now_us, 5000, 7);
    EXPECT(pk_progress_next(&p, &c, now_us + 1, 6000) && !pk_progress_next(&p, &c, now_us, 6999));
    EXPECT(p.row.done == 3 && p.row.failed == 2 && p.row.in_flight == 3 && p.row.cost_pusd == 11);
    EXPECT(p.row.total == -1 && p.row.updated_us == now_us + 1 && !p.row.over);
    c.complete = true;
    EXPECT(pk_progress_next(&p, &c, now_us + 2, 7000) && p.row.total == 9);
    EXPECT(pk_progress_end(&p) && p.row.over && p.row.kind.len == 0 && !pk_progress_end(&p));
    pk_progress_begin(&p, 40, now_us, 5000, 7);
    EXPECT(pk_progress_next(&p, &c, now_us, 6000) && p.row.total == 40);
}

static void two_parts_count_as_one(void)
{
    struct pk_batch_progress
        a = {.rows = 4, .done = 4, .failed = 1, .ended = 3, .cost_pusd = 5, .complete = true},
        b = {.rows = 2, .done = 1, .running = 1, .unpriced = 1, .complete = true}, none = {0};
    struct pk_batch_progress sum = pk_batch_progress_add(a, b);

    EXPECT(sum.rows == 6 && sum.done == 5 && sum.failed == 1 && sum.running == 1 && sum.ended == 3);
    EXPECT(sum.cost_pusd == 5 && sum.unpriced == 1 && !sum.complete);
    EXPECT(pk_batch_progress_add(none, a).complete);
}

static void a_line_comes_after_a_second_and_goes_for_what_is_printed(void)
{
    struct pk_progress_line l = {.began_ms = 1000};
    struct pk_batch_progress c = {.rows = 20, .done = 10, .ended = 10, .cost_pusd = 25000000000};
    char out[PK_PROGRESS_LINE];

    pk_progress_line(&l, &c, 1999, out);
    EXPECT(out[0] == 0 && !l.ever && pk_progress_line_hide(&l)[0] == 0);
    pk_progress_line(&l, &c, 3000, out);
    EXPECT(strcmp(out, "\r\033[Krows 10, calls 10, from the cache 0, failed 0, cost $0.025, "
                       "5.0 rows a second") == 0);
    pk_progress_line(&l, &c, 3199, out);
    EXPECT(out[0] == 0);
    EXPECT(strcmp(pk_progress_line_hide(&l), "\r\033[K") == 0 && pk_progress_line_hide(&l)[0] == 0);
    pk_progress_line(&l, &c, 3200, out);
    EXPECT(out[0] == '\r');
    pk_progress_line_last(&l, &c, 6000, out);
    EXPECT(strstr(out, "2.0 rows a second\n") && out[0] == 'r' && l.ever);
}

int main(void)
{
    RUN(a_row_is_due_once_a_second_and_its_end_once);
    RUN(two_parts_count_as_one);
    RUN(a_line_comes_after_a_second_and_goes_for_what_is_printed);
    return test_end();
}
