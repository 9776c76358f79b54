/* store_limit_test.c - what is set aside, what is used, and that neither exceeds a limit.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_limit.h"

#include "store_hold.h"
#include "test_store.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 6, CALLS = 300 };

static const int64_t second = 1000000, minute = 60000000;

static struct pk_arena arena;
static struct pk_error err;
static struct pk_store *s;
static char folder[64];
static int64_t now = 1772360430000000; /* 2026-03-01T10:20:30Z, a Sunday */
static uint16_t last_id;

/* A store with one limit. */
static void begin(const char *slug, const char *text)
{
    pk_store_close(s);
    s = test_store(":memory:");
    if (!EXPECT(pk_store_limit_put(s, &arena, pk_str_of(slug), pk_str_of(text), now, &err)))
        printf("# %s\n", err.msg);
}

/* What a call asks that comes under every limit of the store, `want` of each. */
static struct pk_reserve ask(const char *user, int64_t want)
{
    struct pk_reserve r = {.expires_us = now + minute};
    struct pk_limits limits;
    struct pk_caller caller = {.user = pk_str_of(user)};

    last_id++;
    memcpy(r.id, &last_id, sizeof last_id);
    EXPECT(pk_store_limits_load(s, &arena, &limits, &err));
    EXPECT(pk_limits_match(&arena, &limits, &caller, &r.holds, &err));
    for (int i = 0; i < r.holds.count; i++)
        r.holds.rows[i].want = want;
    return r;
}

static bool reserve(struct pk_reserve *r)
{
    struct pk_reserve *const asked[] = {r};

    pk_store_reserve(s, asked, 1, now);
    return r->granted;
}

static void settle(const struct pk_reserve *r, int64_t used)
{
    struct pk_record record = {.started_us = now,
                               .ended_us = now,
                               .trace_id = PK_STR("t"),
                               .operation = PK_STR("chat"),
                               .source = PK_STR("sqlite"),
                               .holds = r->holds};

    memcpy(record.id, r->id, sizeof record.id);
    for (int i = 0; i < record.holds.count; i++)
        record.holds.rows[i].used = used;
    EXPECT(pk_store_record_add(s, &record, &err));
}

static const char *in_force(void)
{
    return test_ask(s, "select coalesce(sum(used), 0) || '+' || coalesce(sum(reserved), 0) from "
                       "pk_limit_use");
}

static bool stands(const char *expected)
{
    if (strcmp(in_force(), expected) == 0)
        return true;
    printf("# used+reserved is %s\n", in_force());
    return false;
}

/* --- one process ------------------------------------------------------------------------- */

static void what_is_set_aside_becomes_what_was_used(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"day\"}");
    struct pk_reserve a = ask("", 60), b = ask("", 60), c = ask("", 40);

    EXPECT(reserve(&a) && stands("0+60"));
    EXPECT(a.holds.rows[0].amount == 60);
    EXPECT(!reserve(&b) && b.refused == 0 && b.in_use && b.error.code == PK_RATE);
    EXPECT(stands("0+60") && b.holds.rows[0].amount == 0);
    EXPECT(reserve(&c) && stands("0+100"));
    settle(&a, 10);
    EXPECT(stands("10+40"));
    settle(&c, 40);
    EXPECT(stands("50+0"));
    EXPECT(test_says(s, "select count(*) from pk_reservation", "0"));
    EXPECT(!reserve(&b) && !b.in_use);
    b.holds.rows[0].want = 50;
    EXPECT(reserve(&b) && stands("50+50"));
}

static void a_record_that_is_written_twice_pays_once(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"day\"}");
    struct pk_reserve a = ask("", 60);

    EXPECT(reserve(&a));
    settle(&a, 10);
    settle(&a, 10);
    EXPECT(stands("10+0"));
}

static void all_of_a_calls_limits_or_none(void)
{
    begin("a", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"day\"}");
    EXPECT(pk_store_limit_put(s, &arena, PK_STR("b"),
                              PK_STR("{\"counts\":\"tokens\",\"amount\":50,\"per\":\"day\"}"), now,
                              &err));
    struct pk_reserve r = ask("", 60);

    EXPECT(!reserve(&r) && r.refused == 1);
    EXPECT(test_says(s, "select sum(reserved) || ' ' || sum(refused) from pk_limit_use", "0 1"));
    EXPECT(test_says(s, "select count(*) from pk_reservation", "0"));
    r.holds.rows[0].want = r.holds.rows[1].want = 50;
    EXPECT(reserve(&r) && stands("0+100"));
}

static void a_hold_is_raised_and_lowered(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"day\"}");
    struct pk_reserve r = ask("", 60);

    EXPECT(reserve(&r));
    r.holds.rows[0].want = 101;
    EXPECT(!reserve(&r) && stands("0+60") && r.holds.rows[0].amount == 60);
    r.holds.rows[0].want = 100;
    EXPECT(reserve(&r) && stands("0+100"));
    r.holds.rows[0].want = 5;
    EXPECT(reserve(&r) && stands("0+5"));
    EXPECT(test_says(s, "select amount from pk_reservation", "5"));
    r.holds.rows[0].want = 0;
    EXPECT(reserve(&r) && stands("0+0"));
    EXPECT(test_says(s, "select count(*) from pk_reservation", "0"));
}

static void each_subject_has_a_count_of_its_own(void)
{
    begin("l", "{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"user\":\"*\"}");
    struct pk_reserve ann = ask("ann", 1), bob = ask("bob", 1), again = ask("ann", 1);

    EXPECT(reserve(&ann) && reserve(&bob) && !reserve(&again));
    EXPECT(test_says(s, "select group_concat(subject) from pk_limit_use", "ann,bob"));
    EXPECT(strstr(again.error.msg, "limit \"l\" of ann: 1 request a day") != NULL);
}

static void a_calendar_window_begins_with_nothing_used(void)
{
    begin("l", "{\"counts\":\"requests\",\"amount\":1,\"per\":\"minute\"}");
    struct pk_reserve a = ask("", 1), b = ask("", 1);

    EXPECT(reserve(&a));
    settle(&a, 1);
    EXPECT(!reserve(&b) && b.retry_after_ms == 30000);
    now += 29999999;
    EXPECT(!reserve(&b) && b.retry_after_ms == 1);
    now += 1;
    EXPECT(reserve(&b));
    now += 30 * second;
}

/* Nothing that is used in a rolling window is forgotten before it has left the window. */
static void a_rolling_window_never_has_more_than_is_allowed(void)
{
    int64_t used[400], count = 0;
    uint64_t random = 7;

    begin("l", "{\"counts\":\"requests\",\"amount\":5,\"per\":\"minute\",\"rolling\":true}");
    for (int i = 0; i < 400; i++) {
        struct pk_reserve r = ask("", 1);

        now += (int64_t)(pk_random_next(&random) % 8000000);
        if (!reserve(&r)) {
            EXPECT(r.retry_after_ms > 0 && r.retry_after_ms <= 61000);
            continue;
        }
        settle(&r, 1);
        used[count++] = now;
        EXPECT(count <= 5 || used[count - 1] - used[count - 6] >= minute);
    }
    EXPECT(count > 60); /* and nearly that much */
    EXPECT(test_says(s, "select count(*) < 70 from pk_limit_use", "1"));
}

static void what_frees_the_room_is_told(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":10,\"per\":\"minute\",\"rolling\":true}");
    struct pk_reserve a = ask("", 4), b = ask("", 6), c = ask("", 1), d = ask("", 5);

    now = now / minute * minute;
    EXPECT(reserve(&a));
    settle(&a, 4);
    now += 10 * second;
    EXPECT(reserve(&b));
    settle(&b, 6);
    EXPECT(!reserve(&c) && c.retry_after_ms == 51000);
    EXPECT(!reserve(&d) && d.retry_after_ms == 61000);
    d.holds.rows[0].want = 11;
    EXPECT(!reserve(&d) && d.retry_after_ms == 0 && strstr(d.error.msg, "alone may need more"));
}

static void what_a_killed_process_set_aside_is_given_back(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"total\"}");
    struct pk_reserve dead = ask("", 100), b = ask("", 100);

    EXPECT(reserve(&dead));
    now += minute - 1;
    EXPECT(!reserve(&b));
    now += 1;
    EXPECT(reserve(&b) && stands("0+100"));
    settle(&dead, 30); /* it lives: the truth counts all the same */
    EXPECT(stands("30+100"));
    settle(&b, 10);
    EXPECT(stands("40+0"));
}

static void what_was_not_set_aside_is_charged(void)
{
    begin("l", "{\"counts\":\"tokens\",\"amount\":100,\"per\":\"total\"}");
    struct pk_reserve r = ask("", 10), more = ask("", 1);

    r.holds.rows[0].slot = pk_limit_slot(PK_LW_TOTAL, false, now);
    settle(&r, 250);
    EXPECT(stands("250+0") && !reserve(&more));
}

static void a_limit_that_is_gone_holds_nobody(void)
{
    bool existed;

    begin("l", "{\"counts\":\"tokens\",\"amount\":1,\"per\":\"total\"}");
    struct pk_reserve r = ask("", 10), fits = ask("", 1);

    EXPECT(reserve(&fits));
    EXPECT(pk_store_limit_delete(s, PK_STR("l"), now, &existed, &err) && existed);
    EXPECT(reserve(&r));
    settle(&r, 10);
    settle(&fits, 1);
    EXPECT(test_says(s, "select count(*) from pk_limit_use", "0"));
    EXPECT(pk_store_limit_delete(s, PK_STR("l"), now, &existed, &err) && !existed);
}

static void alerts_tell_of_thresholds_and_spent_budgets(void)
{
    begin("l", "{\"counts\":\"cost\",\"amount\":2,\"alert_threshold\":1.5,\"per\":\"month\"}");
    struct pk_reserve a = ask("", 1000000000000), b = ask("", 900000000000),
                      c = ask("", 500000000000);

    EXPECT(reserve(&a) && reserve(&b));
    settle(&a, 1000000000000);
    EXPECT(test_says(s, "select count(*) from pk_alerts", "0"));
    now += second;
    settle(&b, 600000000000);
    EXPECT(test_says(s, "select kind || ' ' || slug || ' ' || alert_threshold from pk_alerts",
                     "threshold l 1.5"));
    EXPECT(!reserve(&c) && c.error.code == PK_BUDGET && c.error.status == 412);
    EXPECT(test_says(s, "select group_concat(kind) from pk_alerts", "threshold,exhausted"));
}

static void the_views_show_dollars(void)
{
    int64_t was = now;
    struct pk_reserve a;

    now = (int64_t)time(NULL) * second;
    begin("l", "{\"counts\":\"cost\",\"amount\":2.5,\"per\":\"total\",\"user\":\"ann\"}");
    a = ask("ann", 1000000000000);
    EXPECT(reserve(&a));
    settle(&a, 400000000000);
    a = ask("ann", 600000000000);
    EXPECT(reserve(&a));
    EXPECT(test_says(
        s,
        "select applies_to || ' ' || value || ' ' || amount || ' ' || used || ' ' || "
        "reserved || ' ' || remaining || ' ' || coalesce(resets_at, 'never') from pk_limits",
        "user ann 2.5 0.4 0.6 1.5 never"));
    begin("m", "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\"}");
    EXPECT(
        test_says(s, "select amount || ' ' || used || ' ' || remaining from pk_limits", "5 0 5"));
    now = was;
}

/* --- documents --------------------------------------------------------------------------- */

static void a_limit_on_what_is_not_there_is_refused(void)
{
    static const char *const texts[] = {
        "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\",\"virtual_key\":\"none\"}",
        "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\",\"config\":\"none\"}",
    };

    begin("l", "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\"}");
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        EXPECT(!pk_store_limit_put(s, &arena, PK_STR("x"), pk_str_of(texts[i]), now, &err) &&
               err.code == PK_NOT_FOUND && strstr(err.msg, "none called \"none\""));
    EXPECT(!pk_store_limit_put(s, &arena, PK_STR("a:b"), pk_str_of(texts[0]), now, &err));
    EXPECT(test_says(s, "select group_concat(verb || ' ' || object) from pk_audit", "limit_put l"));
}

static void the_limits_of_a_key_are_replaced_with_it(void)
{
    const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, PK_STR("k"), 0};
    struct pk_limit_list list = {.count = 2};
    struct pk_limits limits;

    begin("l", "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\"}");
    list.rows[0] = (struct pk_limit){.slug = PK_STR("virtual_key:k:requests:minute"),
                                     .scope = PK_LS_VIRTUAL_KEY,
                                     .value = PK_STR("k"),
                                     .window = PK_LW_MINUTE,
                                     .amount = 1,
                                     .alert = -1};
    list.rows[1] = list.rows[0];
    list.rows[1].slug = PK_STR("virtual_key:k:requests:day");
    EXPECT(pk_store_limits_own(s, &arena, &owner, &list, now, &err));
    EXPECT(pk_store_limits_load(s, &arena, &limits, &err) && limits.count == 3);
    list.count = 1;
    list.rows[0].amount = 7;
    EXPECT(pk_store_limits_own(s, &arena, &owner, &list, now, &err));
    EXPECT(test_says(s, "select group_concat(slug || ' ' || amount, ', ') from pk_limit",
                     "l 5, virtual_key:k:requests:minute 7"));
    bool existed;
    EXPECT(!pk_store_limit_delete(s, list.rows[0].slug, now, &existed, &err));
}

static bool put_key(const char *options)
{
    return pk_store_key_put(s, &arena, NULL, PK_STR("k"), PK_STR("openai"), PK_STR("env:K"),
                            pk_str_of(options), now, &err);
}

static void a_key_brings_its_limits_and_models(void)
{
    struct pk_virtual_key k;
    bool found;

    begin("l", "{\"counts\":\"requests\",\"amount\":5,\"per\":\"hour\"}");
    EXPECT(
        put_key("{\"allowed_models\":[\"gpt-4o*\"],\"denied_models\":[\"*-pro\"],\"rate_limits\":[{"
                "\"type\":\"requests\",\"unit\":\"rpm\",\"value\":60}],\"usage_limits\":{"
                "\"credit_limit\":10,\"periodic_reset\":\"monthly\"}}"));
    EXPECT(test_says(s,
                     "select group_concat(slug || ' ' || amount, ', ') from (select * from "
                     "pk_limits order by slug)",
                     "l 5, virtual_key:k:cost:month 10.0, virtual_key:k:requests:minute 60"));
    EXPECT(test_says(s, "select allowed_models || denied_models from pk_virtual_keys",
                     "[\"gpt-4o*\"][\"*-pro\"]"));
    EXPECT(pk_store_key_get(s, &arena, PK_STR("k"), &k, &found, &err) && found);
    EXPECT(pk_models_allow(&k.models, PK_STR("gpt-4o-mini")));
    EXPECT(!pk_models_allow(&k.models, PK_STR("gpt-4o-pro")));
    EXPECT(put_key("{}"));
    EXPECT(test_says(s, "select group_concat(slug) from pk_limit", "l"));
    EXPECT(pk_store_key_get(s, &arena, PK_STR("k"), &k, &found, &err) &&
           k.models.allowed_count == 0);
    EXPECT(!put_key("{\"allowed_models\":[]}") && strstr(err.msg, "options.allowed_models"));
    EXPECT(!put_key("{\"colour\":1}") && strstr(err.msg, "no option \"colour\""));
}

/* --- several processes ------------------------------------------------------------------- */

static void in_child(const char *path, int number, int out, bool settles)
{
    int granted = 0;

    s = test_store(path);
    for (int i = 0; i < CALLS; i++) {
        struct pk_reserve r = ask("", 10);

        memcpy(r.id + 2, &number, sizeof number);
        memcpy(r.id + 8, &i, sizeof i);
        if (!reserve(&r)) {
            if (r.refused < 0)
                printf("# %s\n", r.error.msg);
            continue;
        }
        granted++;
        if (settles)
            settle(&r, 9);
    }
    if (write(out, &granted, sizeof granted) != (ssize_t)sizeof granted)
        _exit(1);
    _exit(0);
}

/* How many of PROCESSES * CALLS calls at once were let through. */
static int race(const char *path, bool settles)
{
    int ends[2], total = 0, granted;

    if (!EXPECT(pipe(ends) == 0))
        return -1;
    (void)fflush(stdout);
    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            in_child(path, i, ends[1], settles);
    for (int i = 0; i < PROCESSES; i++)
        if (EXPECT(read(ends[0], &granted, sizeof granted) == (ssize_t)sizeof granted))
            total += granted;
    for (int i = 0; i < PROCESSES; i++)
        (void)wait(NULL);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return total;
}

static const char *fresh_file(const char *name, const char *text)
{
    static char path[128];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    pk_store_close(s);
    s = test_store(path);
    EXPECT(pk_store_limit_put(s, &arena, PK_STR("l"), pk_str_of(text), now, &err));
    pk_store_close(s);
    s = NULL;
    return path;
}

static void many_processes_never_set_aside_more_than_there_is(void)
{
    const char *path =
        fresh_file("held.pkdb", "{\"counts\":\"tokens\",\"amount\":5000,\"per\":\"total\"}");
    int granted = race(path, false);

    s = test_store(path);
    EXPECT(granted == 500);
    EXPECT(stands("0+5000"));
}

static void many_processes_never_use_more_than_there_is(void)
{
    const char *path =
        fresh_file("used.pkdb", "{\"counts\":\"tokens\",\"amount\":5000,\"per\":\"total\"}");
    int granted = race(path, true);

    s = test_store(path);
    EXPECT(granted == 555); /* 9 of each 10 were used: the last few do not fit any more */
    EXPECT(stands("4995+0"));
    EXPECT(test_says(s, "select count(*) from pk_log", "555"));
}

static void a_process_that_is_killed_loses_what_it_set_aside(void)
{
    const char *path =
        fresh_file("killed.pkdb", "{\"counts\":\"tokens\",\"amount\":5000,\"per\":\"total\"}");
    int ends[2], status;

    if (!EXPECT(pipe(ends) == 0))
        return;
    pid_t child = fork();
    if (child == 0) {
        s = test_store(path);
        struct pk_reserve r = ask("", 4000);
        bool granted = reserve(&r);
        (void)!write(ends[1], &granted, sizeof granted);
        for (;;)
            (void)pause();
    }
    bool granted = false;
    EXPECT(read(ends[0], &granted, sizeof granted) == (ssize_t)sizeof granted && granted);
    (void)kill(child, SIGKILL);
    (void)waitpid(child, &status, 0);
    s = test_store(path);
    EXPECT(stands("0+4000") && test_says(s, "pragma integrity_check", "ok"));
    struct pk_reserve r = ask("", 5000);
    EXPECT(!reserve(&r));
    now += minute;
    EXPECT(reserve(&r) && stands("0+5000"));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    (void)snprintf(folder, sizeof folder, "/tmp/pk-limits-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    RUN(what_is_set_aside_becomes_what_was_used);
    RUN(a_record_that_is_written_twice_pays_once);
    RUN(all_of_a_calls_limits_or_none);
    RUN(a_hold_is_raised_and_lowered);
    RUN(each_subject_has_a_count_of_its_own);
    RUN(a_calendar_window_begins_with_nothing_used);
    RUN(a_rolling_window_never_has_more_than_is_allowed);
    RUN(what_frees_the_room_is_told);
    RUN(what_a_killed_process_set_aside_is_given_back);
    RUN(what_was_not_set_aside_is_charged);
    RUN(a_limit_that_is_gone_holds_nobody);
    RUN(alerts_tell_of_thresholds_and_spent_budgets);
    RUN(the_views_show_dollars);
    RUN(a_limit_on_what_is_not_there_is_refused);
    RUN(the_limits_of_a_key_are_replaced_with_it);
    RUN(a_key_brings_its_limits_and_models);
    RUN(many_processes_never_set_aside_more_than_there_is);
    RUN(many_processes_never_use_more_than_there_is);
    RUN(a_process_that_is_killed_loses_what_it_set_aside);
    pk_store_close(s);
    pk_arena_free(&arena);
    (void)!system(pk_copyf(&arena, "rm -r '%s'", folder).at);
    pk_arena_free(&arena);
    return test_end();
}
