/* writer_test.c - the log writer over a store that notes what it is asked and fails when told to.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "writer.h"

#include "test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Rows live in `pending` until their transaction ends well. */
struct fake {
    struct pk_store head;
    atomic_int rows, commits, opened, closed;
    int pending;
    atomic_int fail_begins; /* that many begins fail */
    atomic_int poison;      /* the row with this value is always refused */
    atomic_bool for_good;   /* and the error says that it always will be */
    atomic_bool no_memory;  /* or that there is no memory for it */
    atomic_int slow_ms;     /* a commit takes this long */
    atomic_int old;         /* rows of feedback that may go */
    atomic_int pages;       /* in the log with the next commit */
    atomic_bool copy_waits; /* copying it takes as long as this is set */
    atomic_int copied, copied_beside, copying;
    atomic_bool keeps_log;
};

static struct fake fake;

/* The statements of a sweep, as if feedback had a retention while there is old one. */
static bool fake_sweep(enum pk_stmt stmt, const struct pk_value *args, pk_row_fn *on_row, void *ctx)
{
    const struct pk_value setting[] = {{.type = PK_V_TEXT, .s = PK_STR("retention_feedback")},
                                       {.type = PK_V_TEXT, .s = PK_STR("1d")}};
    const struct pk_value one = {.type = PK_V_INT, .i = 1};

    if (stmt == PK_SQL_settings && fake.old)
        (void)on_row(ctx, setting, 2);
    else if (stmt == PK_SQL_sweep_feedback && fake.old)
        (void)on_row(ctx, &one, 1);
    for (int64_t i = 0; stmt == PK_SQL_sweep_feedback_delete && i < args[2].i && fake.old; i++) {
        PK_ASSERT(fake.opened == 1);
        fake.old--;
        (void)on_row(ctx, &one, 1);
    }
    return stmt == PK_SQL_settings || stmt == PK_SQL_cache_due || stmt == PK_SQL_sweep_feedback ||
           stmt == PK_SQL_sweep_feedback_delete;
}

static bool fake_exec(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args, int count,
                      pk_row_fn *on_row, void *ctx, struct pk_error *err)
{
    (void)s;
    if (fake_sweep(stmt, args, on_row, ctx))
        return true;
    if (stmt != PK_SQL_feedback_put)
        return pk_fail(err, PK_STORE, "unexpected statement %d", (int)stmt);
    if (count > 3 && fake.poison && args[3].i == fake.poison) {
        if (fake.no_memory)
            return pk_fail(err, PK_NO_MEMORY, "no memory");
        (void)pk_fail(err, PK_STORE, "poison");
        err->retryable = !fake.for_good;
        return false;
    }
    fake.pending++;
    return true;
}

static bool fake_begin(struct pk_store *s, struct pk_error *err)
{
    (void)s;
    if (fake.fail_begins > 0) {
        fake.fail_begins--;
        return pk_fail(err, PK_STORE, "locked");
    }
    PK_ASSERT(fake.opened == 0);
    fake.opened++;
    fake.pending = 0;
    return true;
}

static bool fake_end(struct pk_store *s, bool commit, struct pk_error *err)
{
    (void)err;
    PK_ASSERT(fake.opened == 1);
    fake.opened--;
    s->logged = fake.pages;
    if (fake.slow_ms)
        (void)usleep((unsigned)fake.slow_ms * 1000);
    if (commit) {
        fake.rows += fake.pending;
        fake.commits++;
    }
    return true;
}

static void fake_close(struct pk_store *s)
{
    (void)s;
    fake.closed++;
}

static bool fake_settle(struct pk_store *s, int64_t *behind, struct pk_error *err)
{
    (void)err;
    PK_ASSERT(s != &fake.head || fake.opened == 0);
    *behind = 0;
    fake.copying++;
    while (fake.copy_waits)
        (void)usleep(1000);
    fake.copying--;
    (*(s == &fake.head ? &fake.copied : &fake.copied_beside))++;
    return true;
}

static void fake_keep_log(struct pk_store *s)
{
    (void)s;
    fake.keeps_log = true;
}

static const struct pk_store_ops fake_ops = {.exec = fake_exec,
                                             .begin = fake_begin,
                                             .end = fake_end,
                                             .close = fake_close,
                                             .settle = fake_settle,
                                             .keep_log = fake_keep_log};

static struct pk_writer *start(void)
{
    struct pk_error err;

    memset(&fake, 0, sizeof fake);
    fake.head.ops = &fake_ops;
    struct pk_writer *w = pk_writer_new(&fake.head, &err);
    if (!EXPECT(w != NULL))
        exit(1);
    return w;
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Adds feedback of that value; `padding` makes it larger. */
static bool add(struct pk_writer *w, int value, size_t padding, uint64_t tag, int64_t wait_ms)
{
    struct pk_arena arena;
    struct pk_feedback f = {.trace_id = PK_STR("t"), .value = value, .weight = 1};

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    struct pk_buf entry = pk_buf_in(&arena, PK_CALL_BYTES_MAX);
    char *text = padding ? pk_alloc(&arena, padding) : NULL;
    if (text) {
        memset(text, 'x', padding);
        f.metadata = (pk_str){text, padding};
    }
    pk_journal_feedback(&entry, &f);
    bool added = pk_writer_add(w, pk_buf_str(&entry), tag, wait_ms);
    pk_arena_free(&arena);
    return added;
}

static void entries_are_written_in_groups_within_the_window(void)
{
    struct pk_writer *w = start();

    for (int i = 0; i < 100; i++)
        EXPECT(add(w, 1, 0, 0, 0));
    int64_t until = now_ms() + 30000;
    while (fake.rows < 100 && now_ms() < until)
        (void)usleep(1000);
    EXPECT(fake.rows == 100);
    EXPECT(fake.commits <= 20); /* one or two, unless adding was held up */
    pk_writer_free(w);
    EXPECT(fake.closed == 1);
}

static void a_flush_waits_for_what_came_before_it(void)
{
    struct pk_writer *w = start();

    for (int i = 0; i < 1000; i++)
        EXPECT(add(w, 1, 0, 0, 1000));
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 1000);
    EXPECT(pk_writer_stats(w).pending == 0);
    EXPECT(pk_writer_stats(w).written == 1000);
    EXPECT(pk_writer_flush(w, 0)); /* nothing to wait for */
    pk_writer_free(w);
}

static void a_flush_gives_up_in_time(void)
{
    struct pk_writer *w = start();
    int64_t began = now_ms();

    fake.slow_ms = 2000;
    EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(!pk_writer_flush(w, 50));
    EXPECT(now_ms() - began < 1900);
    pk_writer_free(w);
    EXPECT(fake.rows == 1);
}

static void settling_waits_for_its_tag_alone(void)
{
    struct pk_writer *w = start();

    EXPECT(pk_writer_settle(w, 7, 0)); /* nothing of that name */
    EXPECT(add(w, 1, 0, 7, 0));
    EXPECT(pk_writer_settle(w, 8, 0));
    EXPECT(fake.rows == 0);
    EXPECT(pk_writer_settle(w, 7, 5000));
    EXPECT(fake.rows == 1);
    pk_writer_free(w);
}

static void closing_writes_what_is_left(void)
{
    struct pk_writer *w = start();

    for (int i = 0; i < 10; i++)
        EXPECT(add(w, 1, 0, 0, 0));
    pk_writer_free(w);
    EXPECT(fake.rows == 10);
    EXPECT(fake.closed == 1);
}

static void a_locked_store_is_tried_again(void)
{
    struct pk_writer *w = start();

    fake.fail_begins = PK_WRITER_ROUNDS_MAX - 1;
    EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 1);
    struct pk_writer_stats s = pk_writer_stats(w);
    EXPECT(s.dropped == 0);
    EXPECT(strcmp(s.last_error, "locked") == 0);
    pk_writer_free(w);
}

static void a_store_that_stays_locked_costs_the_entries_but_no_more(void)
{
    struct pk_writer *w = start();

    fake.fail_begins = 100;
    for (int i = 0; i < 5; i++)
        EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(pk_writer_stats(w).dropped == 5);
    EXPECT(fake.fail_begins == 100 - PK_WRITER_ROUNDS_MAX - 1);
    fake.fail_begins = 0;
    EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 1);
    pk_writer_free(w);
}

static void a_bad_entry_does_not_take_the_others_with_it(void)
{
    struct pk_writer *w = start();

    fake.poison = 9;
    for (int i = 0; i < 10; i++)
        EXPECT(add(w, i, 0, 0, 0));
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 9);
    EXPECT(pk_writer_stats(w).dropped == 1);
    pk_writer_free(w);
}

static void a_full_queue_drops_and_counts(void)
{
    struct pk_writer *w = start();

    fake.slow_ms = 500;
    EXPECT(add(w, 1, PK_WRITER_BYTES_MAX + 1, 0, 0)); /* alone, however large */
    EXPECT(!add(w, 2, 0, 0, 10));
    EXPECT(pk_writer_stats(w).dropped == 1);
    EXPECT(add(w, 3, 0, 0, 30000)); /* waits for room */
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 2);
    pk_writer_free(w);
}

static void adding_waits_for_a_thread_that_falls_behind(void)
{
    struct pk_writer *w = start();
    int64_t began;

    fake.slow_ms = 1000;
    EXPECT(add(w, 1, 0, 0, 0));
    (void)usleep((PK_WRITER_WINDOW_MS + PK_WRITER_AGE_MS + 30) * 1000);
    began = now_ms();
    EXPECT(add(w, 2, 0, 0, 40)); /* there is room: it waited in vain, and is taken */
    EXPECT(now_ms() - began >= 35);
    EXPECT(add(w, 3, 0, 0, 30000));
    EXPECT(now_ms() - began < 20000);
    pk_writer_free(w);
    EXPECT(fake.rows == 3);
}

static void a_long_log_is_copied_once_nobody_waits(void)
{
    struct pk_writer *w = start();

    EXPECT(fake.keeps_log);
    fake.pages = PK_WRITER_LOG_PAGES - 1;
    EXPECT(add(w, 1, 0, 0, 0) && pk_writer_flush(w, 30000));
    EXPECT(pk_writer_hold(w, 30000) && fake.copied == 0);
    pk_writer_let_go(w);
    fake.pages = PK_WRITER_LOG_PAGES;
    fake.copy_waits = true;
    EXPECT(add(w, 2, 0, 0, 0) && pk_writer_flush(w, 30000));
    EXPECT(fake.copied == 0); /* who waits for an entry does not wait for that */
    while (fake.copying == 0)
        (void)usleep(1000);
    EXPECT(!pk_writer_hold(w, 10)); /* but who forks does */
    fake.pages = 0;
    fake.copy_waits = false;
    EXPECT(pk_writer_hold(w, 30000) && fake.copied == 1);
    pk_writer_let_go(w);
    EXPECT(add(w, 3, 0, 0, 0) && pk_writer_flush(w, 30000) && fake.copied == 1);
    pk_writer_free(w);
    EXPECT(fake.rows == 3);
}

static void entries_are_written_while_the_log_is_copied(void)
{
    static struct pk_store beside = {.ops = &fake_ops};
    struct pk_writer *w = start();
    struct pk_error err;

    EXPECT(pk_writer_copier(w, &beside, &err));
    fake.pages = PK_WRITER_LOG_PAGES;
    fake.copy_waits = true;
    EXPECT(add(w, 1, 0, 0, 0) && pk_writer_flush(w, 30000));
    while (fake.copying == 0)
        (void)usleep(1000);
    EXPECT(add(w, 2, 0, 0, 0) && pk_writer_flush(w, 30000)); /* and the log is long again */
    EXPECT(!pk_writer_hold(w, 10));
    fake.copy_waits = false;
    while (fake.copied_beside < 2)
        (void)usleep(1000);
    EXPECT(fake.copied == 0);
    fake.pages = PK_WRITER_LOG_PAGES_MAX; /* the other is too slow */
    EXPECT(add(w, 3, 0, 0, 0) && pk_writer_flush(w, 30000));
    while (fake.copied == 0)
        (void)usleep(1000);
    pk_writer_free(w);
    EXPECT(fake.rows == 3 && fake.closed == 2);
}

static void what_there_is_no_memory_for_counts_as_dropped(void)
{
    struct pk_writer *w = start();

    pk_writer_lose(w);
    EXPECT(add(w, 1, 0, 0, 0) && pk_writer_flush(w, 30000));
    EXPECT(pk_writer_stats(w).dropped == 1 && pk_writer_stats(w).written == 1);
    pk_writer_free(w);
}

static void a_held_writer_writes_nothing_until_it_is_let_go(void)
{
    struct pk_writer *w = start();

    EXPECT(pk_writer_hold(w, 1000));
    EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(!pk_writer_flush(w, 60));
    EXPECT(fake.rows == 0);
    pk_writer_let_go(w);
    EXPECT(pk_writer_flush(w, 30000));
    EXPECT(fake.rows == 1);
    fake.slow_ms = 300;
    EXPECT(add(w, 1, 0, 0, 0));
    EXPECT(!pk_writer_flush(w, 50));
    EXPECT(!pk_writer_hold(w, 10)); /* in the middle of a transaction */
    pk_writer_free(w);
}

static bool within(int64_t ms, bool (*good)(void))
{
    int64_t until = now_ms() + ms;

    while (!good() && now_ms() < until)
        (void)usleep(1000);
    return good();
}

static bool swept(void)
{
    return fake.old == 0;
}

static void old_rows_go_while_nothing_waits(void)
{
    struct pk_writer *w = start();

    fake.old = 2000;
    pk_writer_sweep(w);
    EXPECT(within(30000, swept));
    EXPECT(fake.commits >= 2000 / 512); /* in steps, each a transaction */
    pk_writer_free(w);
}

static void old_rows_go_while_entries_come(void)
{
    struct pk_writer *w = start();
    int64_t until = now_ms() + 30000;
    int added = 0;

    fake.old = 2000;
    pk_writer_sweep(w);
    while (fake.old && now_ms() < until)
        added += add(w, 1, 0, 0, 5000);
    EXPECT(fake.old == 0);
    pk_writer_free(w);
    EXPECT(fake.rows == added);
}

static void a_short_lived_writer_sweeps_at_its_end(void)
{
    struct pk_writer *w = start();

    fake.old = 10;
    EXPECT(add(w, 1, 0, 0, 0));
    pk_writer_free(w);
    EXPECT(fake.rows == 1 && fake.old == 0);
}

/* --- the spool ------------------------------------------------------------------------------- */

static char folder[] = "/tmp/pk-writer-XXXXXX", spool[64];

static struct pk_writer *start_with_spool(int64_t bytes_max)
{
    struct pk_writer *w = start();

    pk_writer_spool(w, spool, bytes_max);
    return w;
}

static bool is_there(const char *suffix)
{
    char path[80];

    (void)snprintf(path, sizeof path, "%s%s", spool, suffix);
    return access(path, F_OK) == 0;
}

static void what_a_store_does_not_take_comes_later(void)
{
    struct pk_writer *w = start_with_spool(1 << 20);

    fake.fail_begins = 1 << 20;
    for (int i = 0; i < 100; i++)
        EXPECT(add(w, 1, 0, 0, 1000));
    while (!is_there(""))
        (void)usleep(1000);
    EXPECT(!pk_writer_flush(w, 100));
    fake.fail_begins = 0;
    EXPECT(pk_writer_flush(w, 30000));
    struct pk_writer_stats s = pk_writer_stats(w);
    EXPECT(fake.rows == 100 && s.written == 100 && s.spooled == 100 && s.dropped == 0);
    EXPECT(strcmp(s.last_error, "locked") == 0 && s.spool_bytes == 0);
    EXPECT(!is_there("") && !is_there(".taken"));
    pk_writer_free(w);
}

static void what_a_process_left_the_next_one_writes(void)
{
    struct pk_writer *w = start_with_spool(1 << 20);

    fake.fail_begins = 1 << 20;
    EXPECT(add(w, 1, 0, 0, 0) && add(w, 2, 0, 0, 0));
    pk_writer_free(w);
    EXPECT(fake.rows == 0 && is_there(""));
    w = start_with_spool(1 << 20);
    EXPECT(pk_writer_flush(w, 30000) && fake.rows == 2);
    EXPECT(pk_writer_stats(w).written == 2);
    pk_writer_free(w);
}

static void an_entry_that_will_never_do_is_parked(void)
{
    struct pk_writer *w = start_with_spool(1 << 20);

    fake.poison = 7;
    fake.for_good = true;
    for (int i = 1; i <= 10; i++)
        EXPECT(add(w, i, 0, 0, 1000));
    EXPECT(pk_writer_flush(w, 30000));
    struct pk_writer_stats s = pk_writer_stats(w);
    EXPECT(fake.rows == 9 && s.written == 9 && s.parked == 1 && s.dropped == 1);
    EXPECT(is_there(".bad"));
    pk_writer_free(w);
    (void)snprintf(spool + strlen(spool), 5, ".bad");
    EXPECT(unlink(spool) == 0);
    spool[strlen(spool) - 4] = 0;
}

static void hold_up_none(bool no_memory)
{
    struct pk_writer *w = start_with_spool(1 << 20);

    fake.poison = 7;
    fake.no_memory = no_memory;
    for (int i = 1; i <= 10; i++)
        EXPECT(add(w, i, 0, 0, 1000));
    EXPECT(!pk_writer_flush(w, 700) && fake.rows == 9);
    fake.poison = 0;
    EXPECT(pk_writer_flush(w, 30000) && fake.rows == 10);
    EXPECT(pk_writer_stats(w).dropped == 0);
    pk_writer_free(w);
}

static void an_entry_that_fails_for_now_does_not_hold_up_the_others(void)
{
    hold_up_none(false);
}

static void an_entry_that_there_is_no_memory_for_comes_later(void)
{
    hold_up_none(true);
}

static void nobody_waits_twice_for_a_store_that_hangs(void)
{
    struct pk_writer *w = start_with_spool(1 << 20);

    fake.slow_ms = 1500;
    EXPECT(add(w, 1, 0, 0, 0));
    (void)usleep(200 * 1000);
    int64_t began = now_ms();
    for (int i = 0; i < 50; i++)
        EXPECT(add(w, 1, 0, 0, 100));
    EXPECT(now_ms() - began < 3000); /* one after the other: five seconds */
    fake.slow_ms = 0;
    EXPECT(pk_writer_flush(w, 30000) && fake.rows == 51);
    EXPECT(pk_writer_stats(w).spooled >= 49);
    pk_writer_free(w);
}

static void what_the_spool_does_not_take_waits_in_memory(void)
{
    struct pk_writer *w = start_with_spool(4096);

    fake.fail_begins = 1 << 20;
    for (int i = 0; i < 10; i++)
        EXPECT(add(w, 1, 1000, 0, 1000));
    EXPECT(!pk_writer_flush(w, 700));
    struct pk_writer_stats s = pk_writer_stats(w);
    EXPECT(s.spooled > 0 && s.spooled < 5 && s.dropped == 0 && s.pending == 10);
    EXPECT(add(w, 1, 1000, 0, 0));
    fake.fail_begins = 0;
    EXPECT(pk_writer_flush(w, 30000));
    s = pk_writer_stats(w);
    EXPECT(fake.rows == 11 && s.written == 11 && s.dropped == 0 && s.pending == 0);
    pk_writer_free(w);
}

static void what_nothing_has_room_for_is_dropped_and_counted(void)
{
    struct pk_writer *w = start_with_spool(4096);
    int taken = 0;

    fake.fail_begins = 1 << 20;
    while (taken < 100 && add(w, 1, 1 << 20, 0, 0))
        taken++;
    EXPECT(taken == 15 && pk_writer_stats(w).dropped == 1);
    fake.fail_begins = 0;
    EXPECT(pk_writer_flush(w, 30000) && fake.rows == taken);
    fake.fail_begins = 1 << 20;
    EXPECT(add(w, 1, 1 << 20, 0, 0));
    int64_t began = now_ms();
    pk_writer_free(w); /* nobody is left to wait */
    EXPECT(now_ms() - began < 400 && fake.rows == taken);
}

static void a_durable_entry_is_safe_when_it_is_written_or_aside(void)
{
    struct pk_writer *w = start_with_spool(1 << 20);
    struct pk_error err;

    EXPECT(pk_writer_durable(w, NULL, NULL, &err));
    fake.fail_begins = 1;
    for (int i = 1; i <= 2; i++) {
        EXPECT(add(w, 1, 0, 0, 0));
        EXPECT(pk_writer_settle(w, 0, 0));
        int64_t until = now_ms() + 30000;
        while (pk_writer_fate(w, i) == PK_UNSETTLED && now_ms() < until)
            (void)usleep(1000);
        EXPECT(pk_writer_fate(w, i) == PK_SAFE);
    }
    EXPECT(pk_writer_fate(w, 3) == PK_UNSETTLED && pk_writer_stats(w).spooled > 0);
    EXPECT(pk_writer_flush(w, 30000) && fake.rows == 2);
    pk_writer_free(w);
    w = start(); /* no spool */
    fake.poison = 7;
    fake.for_good = true;
    EXPECT(add(w, 7, 0, 0, 0) && pk_writer_flush(w, 30000));
    EXPECT(pk_writer_fate(w, 1) == PK_LOST);
    pk_writer_free(w);
}

static void every_loss_is_known_not_the_last_alone(void)
{
    struct pk_writer *w = start(); /* no spool */

    fake.poison = 7;
    fake.for_good = true;
    for (int i = 0; i < 100; i++)
        EXPECT(add(w, i % 3 == 0 ? 7 : 1, 0, 0, 0) && pk_writer_flush(w, 30000));
    for (int i = 0; i < 100; i++) {
        enum pk_fate fate = pk_writer_fate(w, i + 1);
        EXPECT(fate == PK_LOST || (i % 3 != 0 && fate == PK_SAFE));
    }
    EXPECT(pk_writer_fate(w, 99) == PK_SAFE);
    pk_writer_free(w);
}

int main(void)
{
    if (!mkdtemp(folder))
        return 1;
    (void)snprintf(spool, sizeof spool, "%s/spool", folder);
    RUN(entries_are_written_in_groups_within_the_window);
    RUN(a_flush_waits_for_what_came_before_it);
    RUN(a_flush_gives_up_in_time);
    RUN(settling_waits_for_its_tag_alone);
    RUN(closing_writes_what_is_left);
    RUN(a_locked_store_is_tried_again);
    RUN(a_store_that_stays_locked_costs_the_entries_but_no_more);
    RUN(a_bad_entry_does_not_take_the_others_with_it);
    RUN(a_full_queue_drops_and_counts);
    RUN(adding_waits_for_a_thread_that_falls_behind);
    RUN(a_long_log_is_copied_once_nobody_waits);
    RUN(entries_are_written_while_the_log_is_copied);
    RUN(what_there_is_no_memory_for_counts_as_dropped);
    RUN(a_held_writer_writes_nothing_until_it_is_let_go);
    RUN(old_rows_go_while_nothing_waits);
    RUN(old_rows_go_while_entries_come);
    RUN(a_short_lived_writer_sweeps_at_its_end);
    RUN(what_a_store_does_not_take_comes_later);
    RUN(what_a_process_left_the_next_one_writes);
    RUN(an_entry_that_will_never_do_is_parked);
    RUN(an_entry_that_fails_for_now_does_not_hold_up_the_others);
    RUN(an_entry_that_there_is_no_memory_for_comes_later);
    RUN(nobody_waits_twice_for_a_store_that_hangs);
    RUN(what_the_spool_does_not_take_waits_in_memory);
    RUN(what_nothing_has_room_for_is_dropped_and_counted);
    RUN(a_durable_entry_is_safe_when_it_is_written_or_aside);
    RUN(every_loss_is_known_not_the_last_alone);
    EXPECT(rmdir(folder) == 0);
    return test_end();
}
