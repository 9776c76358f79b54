/* limit_test.c - windows, documents, and who comes under which limit.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "limit.h"

#include "iso.h"
#include "record_wire.h"
#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_error err;

static int64_t us(const char *text)
{
    int64_t at = -1;

    EXPECT(pk_iso_us(pk_str_of(text), &at));
    return at;
}

/* --- windows ----------------------------------------------------------------------------- */

static const struct {
    enum pk_limit_window window;
    const char *now, *from, *until;
} calendar[] = {
    {PK_LW_SECOND, "2026-03-01T10:20:30.9Z", "2026-03-01T10:20:30Z", "2026-03-01T10:20:31Z"},
    {PK_LW_MINUTE, "2026-03-01T10:20:30Z", "2026-03-01T10:20:00Z", "2026-03-01T10:21:00Z"},
    {PK_LW_MINUTE, "2026-03-01T10:20:00Z", "2026-03-01T10:20:00Z", "2026-03-01T10:21:00Z"},
    {PK_LW_MINUTE, "2026-12-31T23:59:59.999999Z", "2026-12-31T23:59:00Z", "2027-01-01"},
    {PK_LW_HOUR, "2026-03-01T10:20:30Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"},
    {PK_LW_DAY, "2024-02-29T23:59:59Z", "2024-02-29", "2024-03-01"},
    {PK_LW_WEEK, "2026-03-01T10:00:00Z", "2026-02-23", "2026-03-02"}, /* a Sunday */
    {PK_LW_WEEK, "2026-03-02T00:00:00Z", "2026-03-02", "2026-03-09"}, /* a Monday */
    {PK_LW_WEEK, "2026-01-01T00:00:00Z", "2025-12-29", "2026-01-05"},
    {PK_LW_MONTH, "2026-01-31T23:59:59.999999Z", "2026-01-01", "2026-02-01"},
    {PK_LW_MONTH, "2026-02-01", "2026-02-01", "2026-03-01"},
    {PK_LW_MONTH, "2024-02-29", "2024-02-01", "2024-03-01"},
    {PK_LW_MONTH, "2026-12-31T12:00:00Z", "2026-12-01", "2027-01-01"},
    {PK_LW_MONTH, "1970-01-01", "1970-01-01", "1970-02-01"},
    {PK_LW_MONTH, "2100-03-01", "2100-03-01", "2100-04-01"},
};

static void calendar_windows_begin_and_end_in_utc(void)
{
    for (size_t i = 0; i < PK_COUNT(calendar); i++) {
        struct pk_slot s = pk_limit_slot(calendar[i].window, false, us(calendar[i].now));

        if (!EXPECT(s.from_us == us(calendar[i].from) && s.until_us == us(calendar[i].until)))
            printf("# %s\n", calendar[i].now);
    }
}

static void every_day_of_the_calendar_is_in_one_month(void)
{
    int64_t day_us = INT64_C(86400000000), next = 0;

    for (int64_t d = 0; d < 60000; d++) { /* to 2134 */
        struct pk_slot s = pk_limit_slot(PK_LW_MONTH, false, d * day_us + 1);

        if (d * day_us == next) {
            EXPECT(s.from_us == next);
            next = s.until_us;
        }
        if (!EXPECT(s.from_us <= d * day_us && s.until_us == next))
            return;
    }
}

static void the_total_has_one_slot_for_ever(void)
{
    struct pk_slot s = pk_limit_slot(PK_LW_TOTAL, false, us("2026-03-01"));

    EXPECT(s.from_us == 0 && s.until_us == INT64_MAX);
}

/* Whatever falls into a slot leaves the window no sooner than one window after the slot's end. */
static void a_rolling_slot_counts_until_all_of_it_has_left(void)
{
    static const struct {
        enum pk_limit_window window;
        int64_t length_s;
    } rolling[] = {{PK_LW_SECOND, 1},  {PK_LW_MINUTE, 60},   {PK_LW_HOUR, 3600},
                   {PK_LW_DAY, 86400}, {PK_LW_WEEK, 604800}, {PK_LW_MONTH, 2592000}};

    for (size_t i = 0; i < PK_COUNT(rolling); i++) {
        int64_t length = rolling[i].length_s * 1000000, now = us("2026-02-28T13:14:15.161718Z");
        struct pk_slot s = pk_limit_slot(rolling[i].window, true, now);
        struct pk_slot later = pk_limit_slot(rolling[i].window, true, now + length);

        EXPECT(s.from_us <= now && s.from_us + length / PK_LIMIT_SLOTS > now);
        EXPECT(s.until_us > now + length - 1 && s.until_us <= now + length + length / 59);
        EXPECT(later.from_us > s.from_us && later.from_us <= s.until_us);
    }
}

/* A budget of some days begins anew on its day, whatever is before or behind it. */
static void days_are_counted_from_a_date(void)
{
    static const struct {
        int days;
        const char *first, *now, *from, *until, *text;
    } cases[] = {
        {30, "2026-02-01", "2026-02-01", "2026-02-01", "2026-03-03", "30 days from 2026-02-01"},
        {30, "2026-02-01", "2026-03-02T23:59:59Z", "2026-02-01", "2026-03-03",
         "30 days from 2026-02-01"},
        {30, "2026-02-01", "2026-03-03", "2026-03-03", "2026-04-02", "30 days from 2026-02-01"},
        {7, "2026-02-10", "2026-02-09T12:00:00Z", "2026-02-03", "2026-02-10",
         "7 days from 2026-02-10"},
        {1, "1970-01-01", "2026-02-09T12:00:00Z", "2026-02-09", "2026-02-10",
         "1 days from 1970-01-01"},
        {365, "2099-12-31", "2026-02-09", "2026-01-18", "2027-01-18", "365 days from 2099-12-31"},
    };

    for (size_t i = 0; i < PK_COUNT(cases); i++) {
        enum pk_limit_window window = pk_limit_days(cases[i].days, us(cases[i].first)), read;
        struct pk_slot s = pk_limit_slot(window, false, us(cases[i].now));
        char text[PK_LW_TEXT];

        pk_limit_window_print(window, text);
        EXPECT(pk_limit_days_of(window) == cases[i].days && strcmp(text, cases[i].text) == 0);
        EXPECT(pk_limit_window_of(pk_str_of(text), &read) && read == window);
        if (!EXPECT(s.from_us == us(cases[i].from) && s.until_us == us(cases[i].until)))
            printf("# %s %s\n", text, cases[i].now);
    }
}

static void what_are_no_days_is_no_window(void)
{
    static const char *const texts[] = {"0 days from 2026-01-01",
                                        "366 days from 2026-01-01",
                                        "30 days from 2026-02-30",
                                        "30 days from tomorrow",
                                        "30 days",
                                        " days from 2026-01-01",
                                        "30 days from 2026-01-01 ",
                                        "-1 days from 2026-01-01"};
    enum pk_limit_window window;

    for (size_t i = 0; i < PK_COUNT(texts); i++)
        if (!EXPECT(!pk_limit_window_of(pk_str_of(texts[i]), &window)))
            printf("# %s\n", texts[i]);
    EXPECT(pk_limit_days_of(PK_LW_TOTAL) == 0 && pk_limit_days_of(PK_LW_SECOND) == 0);
}

/* --- documents --------------------------------------------------------------------------- */

static bool reads(const char *text, struct pk_limit *l)
{
    bool ok = pk_limit_read(&arena, PK_STR("l"), pk_str_of(text), l, &err);

    if (!ok)
        printf("# %s\n", err.msg);
    return ok;
}

static void a_limit_says_what_it_counts_of_whom(void)
{
    struct pk_limit l;

    EXPECT(reads("{\"counts\":\"requests\",\"amount\":5,\"per\":\"minute\",\"rolling\":true}", &l));
    EXPECT(l.scope == PK_LS_ALL && l.counts == PK_LC_REQUESTS && l.amount == 5 && l.rolling);
    EXPECT(l.window == PK_LW_MINUTE && !l.budget && l.alert == -1);
    EXPECT(reads("{\"counts\":\"cost\",\"amount\":2.5,\"per\":\"day\",\"alert_threshold\":2,"
                 "\"metadata\":{\"team\":\"red\"}}",
                 &l));
    EXPECT(l.scope == PK_LS_METADATA && pk_str_is(l.key, "team") && pk_str_is(l.value, "red"));
    EXPECT(l.budget && !l.rolling && l.amount == 2500000000000 && l.alert == 2000000000000);
    EXPECT(reads("{\"counts\":\"tokens\",\"amount\":1000,\"per\":\"total\",\"user\":\"*\"}", &l));
    EXPECT(l.scope == PK_LS_USER && l.value.len == 0 && l.budget && l.window == PK_LW_TOTAL);
    EXPECT(reads("{\"counts\":\"tokens\",\"amount\":1000,\"per\":\"hour\",\"role\":\"ann\"}", &l));
    EXPECT(l.scope == PK_LS_ROLE && pk_str_is(l.value, "ann") && !l.budget);
}

static const struct {
    const char *text;
    int64_t pusd; /* -1: refused */
} dollars[] = {
    {"1", 1000000000000},
    {"0.000000000001", 1},
    {"1e-12", 1},
    {"1.50", 1500000000000},
    {"2.5E+2", 250000000000000},
    {"1e-06", 1000000},
    {"0.10e1", 1000000000000},
    {"4000000", PK_LIMIT_AMOUNT_MAX},
    {"4000001", -1},
    {"0", -1},
    {"-1", -1},
    {"1e-13", -1},
    {"1e400", -1},
    {"0.0000000000001", -1},
    {"\"1\"", -1},
    {"1e30", -1},
    {"10000000000000000000000", -1},
};

static void dollars_are_exact(void)
{
    for (size_t i = 0; i < PK_COUNT(dollars); i++) {
        struct pk_limit l;
        pk_str text = pk_copyf(&arena, "{\"counts\":\"cost\",\"amount\":%s,\"per\":\"day\"}",
                               dollars[i].text);
        bool ok = pk_limit_read(&arena, PK_STR("l"), text, &l, &err);

        if (!EXPECT(ok == (dollars[i].pusd >= 0) && (!ok || l.amount == dollars[i].pusd)))
            printf("# %s\n", dollars[i].text);
    }
}

static const struct {
    const char *text, *why;
} refused[] = {
    {"[]", "limit: must be an object"},
    {"{}", "limit.counts: must be"},
    {"{\"counts\":\"calls\"}", "limit.counts: must be"},
    {"{\"counts\":\"requests\",\"per\":\"day\"}", "limit.amount: must be an integer"},
    {"{\"counts\":\"requests\",\"amount\":1.5,\"per\":\"day\"}",
     "limit.amount: must be an integer"},
    {"{\"counts\":\"requests\",\"amount\":0,\"per\":\"day\"}", "limit.amount: must be an integer"},
    {"{\"counts\":\"cost\",\"amount\":\"5\",\"per\":\"day\"}", "limit.amount: must be dollars"},
    {"{\"counts\":\"requests\",\"amount\":1}", "limit.per: must be"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"year\"}", "limit.per: must be"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"rolling\":1}", "limit.rolling: must"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"total\",\"rolling\":true}", "limit.rolling:"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"alert_threshold\":2}",
     "limit.alert_threshold: must not"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"team\":\"x\"}", "no member \"team\""},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"user\":\"x\",\"config\":\"y\"}",
     "limit.user: a limit counts one thing"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"user\":\"\"}", "limit.user: must be"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"metadata\":{}}",
     "limit.metadata: must"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"metadata\":{\"a\":\"x\",\"b\":"
     "\"y\"}}",
     "limit.metadata: must"},
    {"{\"counts\":\"requests\",\"amount\":1,\"per\":\"day\",\"metadata\":{\"a\":1}}",
     "limit.metadata: must"},
};

static void what_is_wrong_is_named(void)
{
    for (size_t i = 0; i < PK_COUNT(refused); i++) {
        struct pk_limit l;
        bool ok = pk_limit_read(&arena, PK_STR("l"), pk_str_of(refused[i].text), &l, &err);

        if (!EXPECT(!ok && err.code == PK_BAD_REQUEST && strstr(err.msg, refused[i].why)))
            printf("# %s: %s\n", refused[i].text, ok ? "taken" : err.msg);
    }
}

/* --- of a key ---------------------------------------------------------------------------- */

static const struct pk_limit_owner owner = {PK_LS_VIRTUAL_KEY, {"k1", 2}, 0};

static bool read_owned(const char *text, struct pk_limit_list *list)
{
    struct pk_json doc;

    *list = (struct pk_limit_list){.count = 0};
    return pk_json_parse(&arena, pk_str_of(text), "options", &doc, &err) &&
           pk_limit_read_rates(&arena, &doc, pk_json_get(&doc, 0, "rate_limits"), &owner, list,
                               &err) &&
           pk_limit_read_budgets(&arena, &doc, pk_json_get(&doc, 0, "usage_limits"), &owner, list,
                                 &err);
}

static void a_key_has_rates_and_budgets(void)
{
    struct pk_limit_list list;
    const struct pk_limit *l = list.rows;

    EXPECT(read_owned("{\"rate_limits\":[{\"type\":\"requests\",\"unit\":\"rpm\",\"value\":60},"
                      "{\"type\":\"tokens\",\"unit\":\"rpd\",\"value\":100000}],\"usage_limits\":"
                      "{\"credit_limit\":10,\"type\":\"cost\",\"alert_threshold\":8,"
                      "\"periodic_reset\":\"monthly\"}}",
                      &list));
    EXPECT(list.count == 3);
    EXPECT(pk_str_is(l[0].slug, "virtual_key:k1:requests:minute") && l[0].rolling && !l[0].budget);
    EXPECT(l[0].scope == PK_LS_VIRTUAL_KEY && pk_str_is(l[0].value, "k1") && l[0].amount == 60);
    EXPECT(pk_str_is(l[1].slug, "virtual_key:k1:tokens:day") && l[1].window == PK_LW_DAY);
    EXPECT(pk_str_is(l[2].slug, "virtual_key:k1:cost:month") && l[2].budget && !l[2].rolling);
    EXPECT(l[2].alert == 8000000000000);
    EXPECT(read_owned("{\"usage_limits\":[{\"credit_limit\":5,\"type\":\"tokens\"},"
                      "{\"credit_limit\":1,\"periodic_reset\":\"weekly\"}],\"rate_limits\":"
                      "{\"type\":\"requests\",\"unit\":\"rpw\",\"value\":1}}",
                      &list));
    EXPECT(list.count == 3 && l[1].window == PK_LW_TOTAL && l[1].counts == PK_LC_TOKENS);
    EXPECT(l[2].counts == PK_LC_COST && l[2].window == PK_LW_WEEK);
    EXPECT(l[0].window == PK_LW_WEEK && !l[0].budget);
    EXPECT(read_owned("{\"rate_limits\":null}", &list) && list.count == 0);
}

static const struct {
    const char *text, *why;
} bad_owned[] = {
    {"{\"rate_limits\":[{\"type\":\"cost\",\"unit\":\"rpm\",\"value\":1}]}",
     "options.rate_limits[0].type"},
    {"{\"rate_limits\":[{\"type\":\"tokens\",\"unit\":\"rpx\",\"value\":1}]}",
     "rate_limits[0].unit"},
    {"{\"rate_limits\":[{\"type\":\"tokens\",\"unit\":\"rpm\"}]}", "rate_limits[0].value"},
    {"{\"rate_limits\":[{\"type\":\"tokens\",\"unit\":\"rpm\",\"value\":1,\"x\":1}]}", "\"x\""},
    {"{\"rate_limits\":7}", "options.rate_limits: must be an object"},
    {"{\"rate_limits\":[{\"type\":\"tokens\",\"unit\":\"rpm\",\"value\":1},"
     "{\"type\":\"tokens\",\"unit\":\"rpm\",\"value\":2}]}",
     "another limit of tokens a minute"},
    {"{\"usage_limits\":{\"credit_limit\":-1}}", "options.usage_limits.credit_limit"},
    {"{\"usage_limits\":{\"credit_limit\":1,\"type\":\"requests\"}}", "options.usage_limits.type"},
    {"{\"usage_limits\":{\"credit_limit\":1,\"periodic_reset\":\"yearly\"}}", "periodic_reset"},
};

static void what_is_wrong_with_a_keys_limits_is_named(void)
{
    for (size_t i = 0; i < PK_COUNT(bad_owned); i++) {
        struct pk_limit_list list;
        bool ok = read_owned(bad_owned[i].text, &list);

        if (!EXPECT(!ok && strstr(err.msg, bad_owned[i].why)))
            printf("# %s: %s\n", bad_owned[i].text, ok ? "taken" : err.msg);
    }
}

/* --- matching ---------------------------------------------------------------------------- */

static struct pk_limit rows[] = {
    {.slug = {"z-all", 5}, .scope = PK_LS_ALL},
    {.slug = {"vk", 2}, .scope = PK_LS_VIRTUAL_KEY, .value = {"k1", 2}},
    {.slug = {"vk-each", 7}, .scope = PK_LS_VIRTUAL_KEY},
    {.slug = {"user", 4}, .scope = PK_LS_USER, .value = {"ann", 3}, .counts = PK_LC_COST},
    {.slug = {"user-each", 9}, .scope = PK_LS_USER},
    {.slug = {"team-red", 8}, .scope = PK_LS_METADATA, .key = {"team", 4}, .value = {"red", 3}},
    {.slug = {"team-each", 9}, .scope = PK_LS_METADATA, .key = {"team", 4}},
    {.slug = {"level-7", 7}, .scope = PK_LS_METADATA, .key = {"level", 5}, .value = {"7", 1}},
    {.slug = {"conf", 4}, .scope = PK_LS_CONFIG, .value = {"prod", 4}},
    {.slug = {"api", 3}, .scope = PK_LS_API_KEY, .value = {"ci", 2}},
    {.slug = {"role", 4}, .scope = PK_LS_ROLE, .value = {"analyst", 7}},
};

/* "limit/subject" of what applies. */
static pk_str applying(const struct pk_holds *holds)
{
    struct pk_buf out = pk_buf_in(&arena, 4096);

    for (int i = 0; i < holds->count; i++)
        if (holds->rows[i].applies)
            pk_buf_addf(&out, "%s%.*s/%.*s", out.len ? " " : "", PK_FMT(holds->rows[i].limit),
                        PK_FMT(holds->rows[i].subject));
    return pk_buf_str(&out);
}

static bool applies(const struct pk_caller *caller, const char *expected)
{
    struct pk_limits limits = {rows, PK_COUNT(rows)};
    struct pk_holds holds = {.count = 0};
    bool ok = pk_limits_match(&arena, &limits, caller, &holds, &err);
    pk_str got = applying(&holds);

    if (ok && pk_str_is(got, expected))
        return true;
    printf("# %.*s\n", PK_FMT(got));
    return false;
}

static void a_call_comes_under_what_names_it_in_the_order_of_slugs(void)
{
    pk_limits_sort(rows, PK_COUNT(rows));
    EXPECT(applies(&(struct pk_caller){.user = PK_NONE}, "z-all/"));
    EXPECT(applies(&(struct pk_caller){.virtual_key = PK_STR("k1"), .user = PK_STR("ann")},
                   "user/ann user-each/ann vk/k1 vk-each/k1 z-all/"));
    EXPECT(applies(&(struct pk_caller){.virtual_key = PK_STR("k2"), .user = PK_STR("bob")},
                   "user-each/bob vk-each/k2 z-all/"));
    EXPECT(applies(&(struct pk_caller){.config = PK_STR("prod"),
                                       .api_key = PK_STR("ci"),
                                       .role = PK_STR("analyst")},
                   "api/ci conf/prod role/analyst z-all/"));
    EXPECT(applies(
        &(struct pk_caller){.metadata = PK_STR("{\"team\":\"red\",\"level\":7,\"x\":null}")},
        "level-7/7 team-each/red team-red/red z-all/"));
    EXPECT(applies(&(struct pk_caller){.metadata = PK_STR("{\"team\":\"a\",\"team\":\"blue\"}")},
                   "team-each/blue z-all/"));
    EXPECT(applies(&(struct pk_caller){.metadata = PK_STR("{\"team\":[\"red\"],\"level\":\"\"}")},
                   "z-all/"));
}

static void another_target_brings_its_own_and_keeps_the_calls(void)
{
    struct pk_limits limits = {rows, PK_COUNT(rows)};
    struct pk_holds holds = {.count = 0};
    struct pk_caller caller = {.virtual_key = PK_STR("k1"), .user = PK_STR("ann")};

    EXPECT(pk_limits_match(&arena, &limits, &caller, &holds, &err) && holds.count == 5);
    for (int i = 0; i < holds.count; i++)
        holds.rows[i].amount = 100 + i;
    caller.virtual_key = PK_STR("k2");
    EXPECT(pk_limits_match(&arena, &limits, &caller, &holds, &err) && holds.count == 6);
    EXPECT(pk_str_is(applying(&holds), "user/ann user-each/ann vk-each/k2 z-all/"));
    EXPECT(holds.rows[0].amount == 100 && holds.rows[2].amount == 102 && holds.rows[4].amount == 0);
    EXPECT(holds.rows[2].of_target && !holds.rows[2].applies && !holds.rows[0].of_target);
    EXPECT(holds.rows[0].counts == PK_LC_COST);
}

static void too_many_are_an_error_and_long_values_are_cut(void)
{
    static struct pk_limit many[PK_HOLDS_MAX + 1];
    struct pk_limits limits = {many, PK_HOLDS_MAX};
    struct pk_holds holds = {.count = 0};
    char name[600];

    for (int i = 0; i <= PK_HOLDS_MAX; i++)
        many[i] = (struct pk_limit){.slug = pk_copyf(&arena, "l%02d", i)};
    EXPECT(pk_limits_match(&arena, &limits, &(struct pk_caller){.user = PK_NONE}, &holds, &err));
    limits.count++;
    EXPECT(!pk_limits_match(&arena, &limits, &(struct pk_caller){.user = PK_NONE}, &holds, &err));
    EXPECT(err.code == PK_TOO_LARGE);
    memset(name, 'x', sizeof name);
    memcpy(name + PK_SUBJECT_BYTES - 1, "\xc3\xa9", 2);
    many[0] = (struct pk_limit){.slug = PK_STR("u"), .scope = PK_LS_USER};
    limits.count = 1;
    holds.count = 0;
    EXPECT(pk_limits_match(&arena, &limits, &(struct pk_caller){.user = {name, sizeof name}},
                           &holds, &err));
    EXPECT(holds.count == 1 && holds.rows[0].subject.len == PK_SUBJECT_BYTES - 1);
}

static void a_limit_is_printed_for_people(void)
{
    struct pk_buf out = pk_buf_in(&arena, 1000);

    pk_limit_print(&out, PK_LC_REQUESTS, PK_LW_HOUR, 5);
    pk_buf_addc(&out, '|');
    pk_limit_print(&out, PK_LC_COST, PK_LW_TOTAL, 2500000000000);
    pk_buf_addc(&out, '|');
    pk_limit_print(&out, PK_LC_TOKENS, PK_LW_MINUTE, 1000);
    EXPECT(
        pk_str_is(pk_buf_str(&out), "5 requests an hour|2.5 dollars in all|1000 tokens a minute"));
    pk_buf_reset(&out);
    pk_limit_print(&out, PK_LC_REQUESTS, PK_LW_DAY, 1);
    pk_limit_print(&out, PK_LC_COST, PK_LW_DAY, 1000000000000);
    EXPECT(pk_str_is(pk_buf_str(&out), "1 request a day1 dollar a day"));
}

static bool passes(enum pk_limit_window window)
{
    struct pk_hold hold = {.limit = PK_STR("l"), .window = window}, again[PK_HOLDS_MAX];
    struct pk_holds holds = {.rows = &hold, .count = 1}, read = {.rows = again};
    struct pk_buf out = pk_buf_in(&arena, 1024);
    struct pk_wire to = pk_wire_to(&out);

    pk_holds_wire(&to, &holds);
    (void)pk_wire_end(&to);
    struct pk_wire from = pk_wire_from(pk_buf_str(&out));
    pk_holds_wire(&from, &read);
    return pk_wire_end(&from) && read.count == 1 && read.rows[0].window == window;
}

static void a_hold_is_of_a_window_that_there_is(void)
{
    EXPECT(passes(PK_LW_SECOND) && passes(PK_LW_TOTAL));
    EXPECT(passes(pk_limit_days(1, 0)) &&
           passes(pk_limit_days(PK_LW_DAYS_MAX, us("2026-02-01T00:00:00Z"))));
    EXPECT(!passes(PK_LW_DAYS) && !passes((enum pk_limit_window)(PK_LW_DAYS + PK_LW_DAYS_MAX + 1)));
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    RUN(calendar_windows_begin_and_end_in_utc);
    RUN(every_day_of_the_calendar_is_in_one_month);
    RUN(the_total_has_one_slot_for_ever);
    RUN(days_are_counted_from_a_date);
    RUN(what_are_no_days_is_no_window);
    RUN(a_rolling_slot_counts_until_all_of_it_has_left);
    RUN(a_limit_says_what_it_counts_of_whom);
    RUN(dollars_are_exact);
    RUN(what_is_wrong_is_named);
    RUN(a_key_has_rates_and_budgets);
    RUN(what_is_wrong_with_a_keys_limits_is_named);
    RUN(a_call_comes_under_what_names_it_in_the_order_of_slugs);
    RUN(another_target_brings_its_own_and_keeps_the_calls);
    RUN(too_many_are_an_error_and_long_values_are_cut);
    RUN(a_limit_is_printed_for_people);
    RUN(a_hold_is_of_a_window_that_there_is);
    pk_arena_free(&arena);
    return test_end();
}
