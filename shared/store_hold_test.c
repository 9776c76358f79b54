/* store_hold_test.c - what is set aside ahead of calls, and what several calls used, adds up.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_hold.h"
#include "store_limit.h"
#include "test_store.h"
#include "writer.h"
#include "xfer.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 3, THREADS = 3, CALLS = 2000, OPEN_MAX = 40 };

static const int64_t second = 1000000;

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static struct pk_leases leases, ended;
static struct pk_limits limits;
static int64_t now = 1772360430000000; /* 2026-03-01T10:20:30Z */
static int64_t epoch;
static char folder[64];

static void begin(const char *path, int64_t amount)
{
    char text[96];

    (void)snprintf(text, sizeof text, "{\"counts\":\"tokens\",\"amount\":%lld,\"per\":\"total\"}",
                   (long long)amount);
    pk_store_close(s);
    s = test_store(path);
    leases = (struct pk_leases){0};
    EXPECT(pk_store_limit_put(s, &arena, PK_STR("l"), pk_str_of(text), now, &err));
    EXPECT(pk_store_limits_load(s, &arena, &limits, &err));
}

static struct pk_reserve ask(int64_t number, int64_t want)
{
    struct pk_reserve r = {.expires_us = now + 60 * second, .refused = -1};

    memcpy(r.id + 1, &number, sizeof number);
    EXPECT(pk_store_epoch(s, &r.epoch, &err));
    EXPECT(pk_limits_match(&arena, &limits, &(struct pk_caller){0}, &r.holds, &err));
    r.holds.rows[0].want = want;
    return r;
}

/* As the hosts do it. */
static bool reserve(struct pk_reserve *r)
{
    now++;
    if (pk_lease_take(&leases, r, now))
        return true;
    pk_lease_plan(&leases, r, now);
    pk_store_reserve(s, &r, 1, now);
    pk_lease_keep(&leases, r, now);
    return r->granted;
}

static struct pk_record record_of(const struct pk_reserve *r, int64_t used)
{
    struct pk_record record = {.started_us = now,
                               .ended_us = now,
                               .trace_id = PK_STR("t"),
                               .operation = PK_STR("chat"),
                               .source = PK_STR("sqlite"),
                               .holds = r->holds};

    memcpy(record.id, r->id, sizeof record.id);
    record.holds.rows[0].used = used;
    return record;
}

static void settle(const struct pk_reserve *r, int64_t used)
{
    struct pk_record record = record_of(r, used);

    EXPECT(pk_store_record_add(s, &record, &err));
}

static bool stands(const char *expected)
{
    const char *is = test_ask(s, "select coalesce(sum(used), 0) || '+' || coalesce(sum(reserved), "
                                 "0) from pk_limit_use");
    if (strcmp(is, expected) == 0)
        return true;
    printf("# used+reserved is %s\n", is);
    return false;
}

static void end_leases(bool every)
{
    pk_lease_end(&leases, now, every, &ended);
    EXPECT(pk_store_leases_end(s, &ended, now, &err));
}

/* --- one process ------------------------------------------------------------------------- */

static void calls_share_what_one_has_set_aside(void)
{
    begin(":memory:", 1000000);
    struct pk_reserve a = ask(1, 10), b = ask(2, 10), c = ask(3, 10);

    EXPECT(reserve(&a) && stands("0+10"));
    EXPECT(reserve(&b) && stands("0+100") && b.holds.rows[0].leased);
    EXPECT(reserve(&c) && stands("0+100") && c.holds.rows[0].leased);
    EXPECT(test_says(s, "select group_concat(amount) from pk_reservation", "10,90"));
    settle(&c, 4);
    EXPECT(stands("4+90"));
    settle(&b, 5);
    settle(&b, 5); /* written twice */
    EXPECT(stands("9+80"));
    end_leases(true);
    EXPECT(stands("9+10"));
    settle(&a, 1);
    EXPECT(stands("10+0") && test_says(s, "select count(*) from pk_reservation", "0"));
}

/* So that nothing is charged when it is there by the time that the record is written. */
static void a_limit_that_is_not_there_is_held_nothing_of(void)
{
    begin(":memory:", 100);
    EXPECT(pk_store_limit_delete(s, PK_STR("l"), now, &(bool){false}, &err));
    struct pk_reserve a = ask(1, 10);

    EXPECT(reserve(&a) && a.holds.rows[0].slot.until_us == 0 && !a.holds.rows[0].leased);
    EXPECT(stands("0+0") && !pk_lease_any(&leases));
}

static void a_lease_that_ends_leaves_what_calls_hold_of_it(void)
{
    begin(":memory:", 1000000);
    struct pk_reserve a = ask(1, 10), b = ask(2, 10);

    EXPECT(reserve(&a) && reserve(&b));
    end_leases(true);
    EXPECT(stands("0+20"));
    b.holds.rows[0].want = 30; /* another target */
    EXPECT(reserve(&b) && stands("0+40"));
    b.holds.rows[0].want = 5;
    EXPECT(reserve(&b) && stands("0+15"));
    settle(&b, 2);
    settle(&a, 2);
    EXPECT(stands("4+0") && test_says(s, "select count(*) from pk_reservation", "0"));
}

static void a_lease_whose_process_was_killed_expires(void)
{
    begin(":memory:", 20000);
    struct pk_reserve a = ask(1, 10), b = ask(2, 10), all = ask(3, 20000), c = ask(4, 10);

    EXPECT(reserve(&a) && reserve(&b) && stands("0+100"));
    leases = (struct pk_leases){0};
    settle(&a, 0);
    now += 69 * second;
    EXPECT(!reserve(&all));
    now += second;
    all.holds.rows[0].want = 20000;
    EXPECT(reserve(&all) && stands("0+20000"));
    settle(&b, 7); /* it lives */
    settle(&all, 0);
    EXPECT(stands("7+0"));
    EXPECT(reserve(&c) && stands("7+90"));
}

static void little_is_used_to_its_last_unit(void)
{
    int granted = 0;

    begin(":memory:", 30000);
    for (int i = 0; i < 4000; i++) {
        struct pk_reserve r = ask(i, 10);

        if (reserve(&r))
            granted++;
        else
            end_leases(true);
    }
    EXPECT(granted == 3000 && stands("0+30000"));
}

static void a_lease_of_another_epoch_is_not_made(void)
{
    begin(":memory:", 1000000);
    struct pk_reserve a = ask(1, 10), b = ask(2, 10);

    EXPECT(reserve(&a));
    EXPECT(pk_store_limit_put(s, &arena, PK_STR("m"),
                              PK_STR("{\"counts\":\"cost\",\"amount\":1,\"per\":\"day\"}"), now,
                              &err));
    EXPECT(reserve(&b) && !b.holds.rows[0].leased && stands("0+20"));
}

static void a_refusal_by_another_limit_takes_the_lease_back(void)
{
    begin(":memory:", 1000000);
    EXPECT(pk_store_limit_put(s, &arena, PK_STR("m"),
                              PK_STR("{\"counts\":\"tokens\",\"amount\":15,\"per\":\"day\"}"), now,
                              &err));
    EXPECT(pk_store_limits_load(s, &arena, &limits, &err));
    for (int i = 0; i < 3; i++) {
        struct pk_reserve r = ask(i, 10);

        r.holds.rows[1].want = 10;
        EXPECT(reserve(&r) == (i == 0));
    }
    EXPECT(stands("0+20") && !pk_lease_any(&leases));
    EXPECT(test_says(s, "select count(*) || ' ' || sum(amount) from pk_reservation", "2 20"));
}

/* --- many at once, as the hosts' batches --------------------------------------------------- */

static void a_batch_shares_too(void)
{
    struct pk_reserve rows[20], *asked[20];

    begin(":memory:", 1000000);
    rows[0] = ask(100, 10);
    EXPECT(reserve(&rows[0]));
    now++;
    for (int i = 0; i < 20; i++) {
        rows[i] = ask(i, 10);
        asked[i] = &rows[i];
        pk_lease_plan(&leases, &rows[i], now);
    }
    pk_store_reserve(s, asked, 20, now);
    for (int i = 0; i < 20; i++) {
        EXPECT(rows[i].granted);
        pk_lease_keep(&leases, &rows[i], now);
    }
    s->settling = pk_settling_new();
    EXPECT(s->ops->begin(s, &err));
    for (int i = 0; i < 20; i++)
        settle(&rows[i], 3);
    EXPECT(stands("0+280")); /* 10, and three times 90: nothing is settled yet */
    EXPECT(pk_store_settle_end(s, &err) && s->ops->end(s, true, &err));
    EXPECT(stands("60+80"));
    end_leases(true);
    EXPECT(stands("60+10"));
    pk_settling_free(s->settling);
    s->settling = NULL;
}

/* Whatever happens in whatever order, never more than there is, and in the end what was used. */
static void everything_adds_up(uint64_t seed)
{
    struct pk_reserve open[OPEN_MAX];
    uint64_t random = seed;
    int64_t used = 0;
    int count = 0, granted = 0;

    begin(":memory:", 200000);
    s->settling = seed % 2 ? pk_settling_new() : NULL;
    for (int i = 0; i < 6000; i++) {
        uint64_t dice = pk_random_next(&random) % 100;

        now += (int64_t)(pk_random_next(&random) % 20000);
        if (dice < 48 && count < OPEN_MAX) {
            open[count] = ask(i, 1 + (int64_t)(pk_random_next(&random) % 60));
            granted += reserve(&open[count]);
            count += open[count].granted;
        } else if (dice < 55 && count > 0) { /* another target: more, or less */
            struct pk_reserve *r = &open[pk_random_next(&random) % (uint64_t)count];
            r->holds.rows[0].want = 1 + (int64_t)(pk_random_next(&random) % 90);
            r->expires_us = now + 60 * second;
            (void)reserve(r);
        } else if (dice < 98 && count > 0) {
            int64_t is = (int64_t)(pk_random_next(&random) %
                                   (uint64_t)(open[--count].holds.rows[0].amount + 1));
            settle(&open[count], is);
            used += is;
        } else {
            EXPECT(pk_store_settle_end(s, &err));
            end_leases(dice == 99);
        }
        if (!EXPECT(test_says(
                s, "select coalesce(sum(used + reserved), 0) <= 200000 from pk_limit_use", "1")))
            break;
    }
    while (count > 0)
        settle(&open[--count], 0);
    EXPECT(pk_store_settle_end(s, &err));
    end_leases(true);
    char expected[40];
    (void)snprintf(expected, sizeof expected, "%lld+0", (long long)used);
    EXPECT(stands(expected) && granted > 100);
    EXPECT(test_says(s, "select count(*) from pk_reservation", "0"));
    pk_settling_free(s->settling);
    s->settling = NULL;
}

static void everything_adds_up_one_way_or_the_other(void)
{
    for (uint64_t seed = 1; seed <= 6; seed++)
        everything_adds_up(seed);
}

/* Another process is in the middle of a transaction, for longer than the writer waits. */
static void a_lease_that_cannot_be_given_back_is_later(void)
{
    char path[128];

    (void)snprintf(path, sizeof path, "%s/locked.pkdb", folder);
    now = pk_clock_us();
    begin(path, 1000000);
    struct pk_store *own = test_store(path);
    own->ops->patience(own, 10);
    struct pk_writer *w = pk_writer_new(own, &err);
    struct pk_reserve a = ask(1, 10), b = ask(2, 10), *each[] = {&a, &b};
    for (int i = 0; i < 2; i++)
        pk_writer_reserve(w, s, &each[i], 1, 1000);
    EXPECT(b.holds.rows[0].leased && stands("0+100"));
    EXPECT(s->ops->begin(s, &err));
    EXPECT(pk_writer_flush(w, 30000) && pk_writer_stats(w).last_error[0]);
    EXPECT(s->ops->end(s, true, &err) && stands("0+100"));
    EXPECT(pk_writer_flush(w, 30000) && stands("0+20"));
    pk_writer_free(w);
}

/* --- processes of several threads ---------------------------------------------------------- */

struct caller {
    pthread_t thread;
    struct pk_writer *writer;
    const char *path;
    int64_t number, used;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct pk_store *own = test_store(c->path);
    struct pk_reserve start, *r = &start;
    struct pk_hold hold;

    for (int i = 0; i < CALLS; i++) {
        start = (struct pk_reserve){.epoch = epoch, .expires_us = now + 60 * second, .refused = -1};
        c->number++;
        memcpy(start.id + 1, &c->number, sizeof c->number);
        start.holds = (struct pk_holds){1, &hold};
        hold = (struct pk_hold){
            .limit = PK_STR("l"), .counts = PK_LC_TOKENS, .window = PK_LW_TOTAL, .want = 10};
        pk_writer_reserve(c->writer, own, &r, 1, 1000);
        if (!start.granted)
            continue;
        c->used += 9;
        struct pk_record record = record_of(&start, 9);
        struct pk_arena memory;
        pk_arena_init(&memory, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
        struct pk_buf entry = pk_buf_in(&memory, PK_CALL_BYTES_MAX);
        pk_journal_record(&entry, &record);
        (void)pk_writer_add(c->writer, pk_buf_str(&entry), 0, 1000);
        pk_arena_free(&memory);
    }
    pk_store_close(own);
    return NULL;
}

static void in_child(const char *path, int number, int out)
{
    struct caller callers[THREADS];
    struct pk_writer *w = pk_writer_new(test_store(path), &err);
    int64_t used = 0;

    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){
            .writer = w, .path = path, .number = ((int64_t)number * THREADS + i) << 32};
        (void)pthread_create(&callers[i].thread, NULL, call_often, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        used += callers[i].used;
    }
    pk_writer_free(w);
    _exit(write(out, &used, sizeof used) != (ssize_t)sizeof used);
}

/* What PROCESSES * THREADS * CALLS calls have used. */
static int64_t race(const char *path)
{
    int64_t total = 0, used;
    int ends[2];

    if (!EXPECT(pipe(ends) == 0))
        return -1;
    (void)fflush(stdout);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            in_child(path, i, ends[1]);
    for (int i = 0; i < PROCESSES; i++)
        if (EXPECT(read(ends[0], &used, sizeof used) == (ssize_t)sizeof used))
            total += used;
    for (int i = 0; i < PROCESSES; i++)
        (void)wait(NULL);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return total;
}

static void many_threads_of_many_processes_use_exactly_what_they_say(int64_t amount)
{
    char path[128], expected[40];
    int64_t total;

    now = pk_clock_us();
    (void)snprintf(path, sizeof path, "%s/%lld.pkdb", folder, (long long)amount);
    begin(path, amount);
    EXPECT(pk_store_epoch(s, &epoch, &err));
    pk_store_close(s);
    s = NULL;
    total = race(path);
    s = test_store(path);
    (void)snprintf(expected, sizeof expected, "%lld+0", (long long)total);
    EXPECT(total <= amount && stands(expected));
    EXPECT(test_says(s, "select count(*) from pk_reservation", "0"));
}

static void many_processes_never_use_more_than_there_is(void)
{
    many_threads_of_many_processes_use_exactly_what_they_say(100000);
}

static void many_processes_use_all_that_they_want_where_there_is_enough(void)
{
    many_threads_of_many_processes_use_exactly_what_they_say(100000000);
    EXPECT(test_says(s, "select count(*) from pk_log", "18000"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), SIZE_MAX);
    (void)snprintf(folder, sizeof folder, "/tmp/pk-hold-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    RUN(calls_share_what_one_has_set_aside);
    RUN(a_limit_that_is_not_there_is_held_nothing_of);
    RUN(a_lease_that_ends_leaves_what_calls_hold_of_it);
    RUN(a_lease_whose_process_was_killed_expires);
    RUN(little_is_used_to_its_last_unit);
    RUN(a_lease_of_another_epoch_is_not_made);
    RUN(a_refusal_by_another_limit_takes_the_lease_back);
    RUN(a_batch_shares_too);
    RUN(everything_adds_up_one_way_or_the_other);
    RUN(a_lease_that_cannot_be_given_back_is_later);
    RUN(many_processes_never_use_more_than_there_is);
    RUN(many_processes_use_all_that_they_want_where_there_is_enough);
    pk_store_close(s);
    (void)!system(pk_copyf(&arena, "rm -r '%s'", folder).at);
    pk_arena_free(&arena);
    return test_end();
}
