/* lease_test.c - what is set aside ahead: when, for whom, and when it is given back.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "lease.h"

#include "test.h"

#include <string.h>

static struct pk_arena arena;
static struct pk_leases all, ended;
static int64_t now = 1772360430000000; /* 2026-03-01T10:20:30Z */
static const int64_t second = 1000000;

static void begin(void)
{
    all = (struct pk_leases){0};
}

static struct pk_reserve ask(const char *subject, int64_t want)
{
    struct pk_reserve r = {.epoch = 1, .expires_us = now + 60 * second, .refused = -1};

    r.id[0] = 7;
    r.holds.rows = pk_alloc_row(&arena, NULL, 0, sizeof *r.holds.rows);
    PK_ASSERT(r.holds.rows);
    r.holds.rows[r.holds.count++] = (struct pk_hold){
        .limit = PK_STR("l"), .subject = pk_str_of(subject), .window = PK_LW_DAY, .want = want};
    return r;
}

/* As the store answers a question that was planned. */
static void grant(struct pk_reserve *r, bool room)
{
    for (int i = 0; i < r->holds.count; i++) {
        struct pk_hold *h = &r->holds.rows[i];

        h->slot = pk_limit_slot(h->window, h->rolling, now);
        h->amount = h->want;
        h->leased = room && h->ahead > 0;
        h->spare = h->leased ? h->ahead : 0;
    }
    r->granted = true;
    pk_lease_keep(&all, r, now);
}

/* Asks the store a moment later; returns how much it is to set aside ahead. */
static int64_t go(const char *subject, int64_t want, bool room)
{
    struct pk_reserve r = ask(subject, want);

    now++;
    pk_lease_plan(&all, &r, now);
    grant(&r, room);
    return r.holds.rows[0].ahead;
}

static bool take(const char *subject, int64_t want)
{
    struct pk_reserve r = ask(subject, want);

    return pk_lease_take(&all, &r, now);
}

static void those_who_come_often_get_more_and_more(void)
{
    begin();
    EXPECT(go("", 10, true) == 0);
    EXPECT(!take("", 10));
    EXPECT(go("", 10, true) == 80);
    for (int i = 0; i < 8; i++)
        EXPECT(take("", 10));
    EXPECT(!take("", 10));
    EXPECT(go("", 10, true) == 160 && go("", 10, true) == 320 && go("", 10, true) == 640);
    now += second;
    EXPECT(go("", 10, true) == 0); /* it was quiet */
}

/* Asks so often, each time after so long; returns what the last is to set aside ahead. */
static int64_t go_on(int times, int64_t every_us)
{
    int64_t ahead = 0;

    for (int i = 0; i < times; i++, now += every_us)
        ahead = go("", 10, true);
    return ahead;
}

static void those_who_are_busy_get_most(void)
{
    begin();
    EXPECT(go_on(12, PK_LEASE_BUSY_US) == (int64_t)10 * PK_LEASE_CALLS_MAX);
    EXPECT(go_on(5, PK_LEASE_BUSY_US / 2) == (int64_t)10 * PK_LEASE_BUSY_CALLS_MAX);
    now += PK_LEASE_BUSY_US;
    EXPECT(go("", 10, true) == (int64_t)10 * PK_LEASE_CALLS_MAX);
}

static void those_who_come_together_get_one(void)
{
    struct pk_reserve rows[3];

    begin();
    (void)go("", 10, true);
    now++;
    for (int i = 0; i < 3; i++) {
        rows[i] = ask("", 10);
        pk_lease_plan(&all, &rows[i], now);
        EXPECT(rows[i].holds.rows[0].ahead == 80);
    }
}

static void what_is_taken_is_told(void)
{
    struct pk_reserve r;

    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    r = ask("ann", 30);
    EXPECT(pk_lease_take(&all, &r, now) && r.granted && r.refused == -1);
    EXPECT(r.holds.rows[0].amount == 30 && r.holds.rows[0].leased);
    EXPECT(r.holds.rows[0].lease[0] == (7 ^ 0x80) && r.holds.rows[0].slot.from_us > 0);
    EXPECT(!take("ann", 60) && take("ann", 50) && !take("ann", 1));
}

static void only_calls_of_the_same_terms_take(void)
{
    struct pk_reserve r;

    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    EXPECT(!take("bob", 10) && !take("", 10));
    r = ask("ann", 10);
    r.epoch = 2;
    EXPECT(!pk_lease_take(&all, &r, now));
    r = ask("ann", 10);
    r.expires_us += PK_LEASE_LIFE_US + 1; /* it may run for longer than the reservation stands */
    EXPECT(!pk_lease_take(&all, &r, now));
    r = ask("ann", 10);
    r.holds.rows[0].window = PK_LW_MONTH;
    EXPECT(!pk_lease_take(&all, &r, now));
    r = ask("ann", 10);
    r.holds.rows[0].amount = 5; /* it holds of something else already */
    EXPECT(!pk_lease_take(&all, &r, now));
    EXPECT(!pk_lease_take(&all, &(struct pk_reserve){.epoch = 1, .holds = ask("ann", 10).holds},
                          now + 86400 * second));
    EXPECT(take("ann", 10));
}

static void all_of_a_calls_limits_or_none(void)
{
    struct pk_reserve r;

    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    r = ask("ann", 10);
    r.holds.rows[r.holds.count++] = ask("bob", 10).holds.rows[0];
    EXPECT(!pk_lease_take(&all, &r, now));
    EXPECT(r.holds.rows[0].amount == 0 && !r.holds.rows[0].leased && take("ann", 80));
}

static void where_little_is_left_nothing_is_set_aside_for_a_while(void)
{
    struct pk_hold h = {.want = 3, .ahead = 24};

    begin();
    (void)go("", 10, true);
    EXPECT(go("", 10, false) == 80);
    EXPECT(go("", 10, true) == 0);
    for (int i = 0; i < 4; i++, now += second / 4)
        EXPECT(go("", 10, true) == 0);
    EXPECT(go("", 10, true) == 80);
    EXPECT(pk_lease_room(&h) == 3072);
    h.ahead = 768;
    EXPECT(pk_lease_room(&h) == 12288);
}

static void large_leases_shrink_before_they_stop(void)
{
    begin();
    EXPECT(go_on(10, 1) == 20480);
    EXPECT(go("", 10, false) == 40960);
    EXPECT(go("", 10, true) == 10240);
}

static void what_nobody_takes_is_given_back(void)
{
    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    EXPECT(take("ann", 10));
    pk_lease_end(&all, now + PK_LEASE_IDLE_US - 1, false, &ended);
    EXPECT(ended.count == 0 && pk_lease_any(&all));
    pk_lease_end(&all, now + PK_LEASE_IDLE_US, false, &ended);
    EXPECT(ended.count == 1 && ended.rows[0].free == 70 && !pk_lease_any(&all) && all.count == 0);
    EXPECT(pk_str_is(pk_lease_limit(&ended.rows[0]), "l") &&
           pk_str_is(pk_lease_subject(&ended.rows[0]), "ann"));
    EXPECT(!take("ann", 10));
}

static void all_are_given_back_when_asked_for(void)
{
    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    pk_lease_end(&all, now, true, &ended);
    EXPECT(ended.count == 1 && ended.rows[0].free == 80 && !take("ann", 1));
    EXPECT(go("ann", 10, true) == 160); /* it still comes often */
    EXPECT(take("ann", 160));
}

static void what_the_store_does_not_take_back_ends_again(void)
{
    begin();
    (void)go("ann", 10, true);
    (void)go("ann", 10, true);
    pk_lease_end(&all, now, true, &ended);
    pk_lease_restore(&all, &ended);
    EXPECT(all.count == 1 && take("ann", 10));
    pk_lease_end(&all, now + PK_LEASE_IDLE_US, false, &ended);
    EXPECT(all.count == 0 && ended.rows[0].free == 70);
    pk_lease_restore(&all, &ended);
    EXPECT(all.count == 1 && pk_lease_any(&all));
    pk_lease_end(&all, now + PK_LEASE_IDLE_US, false, &ended);
    EXPECT(ended.count == 1 && ended.rows[0].free == 70 && !pk_lease_any(&all));
}

static void a_new_slot_has_a_lease_of_its_own(void)
{
    begin();
    (void)go("", 10, true);
    now = (now / (86400 * second) + 1) * 86400 * second - second / 2;
    (void)go("", 10, true);
    (void)go("", 10, true);
    now += second / 2;
    EXPECT(!take("", 10));
    EXPECT(go("", 10, true) == 160 && all.count == 2); /* and goes on at its pace */
    EXPECT(take("", 160) && !take("", 10));
    pk_lease_end(&all, now + second - 1, false, &ended);
    EXPECT(ended.count == 1 && ended.rows[0].free == 80);
}

static void there_is_place_for_those_in_use(void)
{
    char name[2 * PK_LEASES_MAX][16];

    begin();
    for (int i = 0; i < 2 * PK_LEASES_MAX; i++) {
        (void)snprintf(name[i], sizeof name[i], "u%d", i);
        (void)go(name[i], 10, true);
        (void)go(name[i], 10, true);
    }
    EXPECT(all.count == PK_LEASES_MAX && take(name[PK_LEASES_MAX - 1], 80));
    EXPECT(!take(name[PK_LEASES_MAX], 10));
    now += PK_LEASE_IDLE_US;
    EXPECT(go(name[PK_LEASES_MAX], 10, true) == 0); /* takes an idle place that has nothing */
    EXPECT(go(name[PK_LEASES_MAX], 10, true) == 80 && take(name[PK_LEASES_MAX], 10));
    EXPECT(all.count == PK_LEASES_MAX);
}

static void long_names_are_not_kept(void)
{
    static char name[PK_SUBJECT_BYTES + 2];

    begin();
    memset(name, 'a', sizeof name - 1);
    (void)go(name, 10, true);
    EXPECT(go(name, 10, true) == 0 && all.count == 0);
    EXPECT(go("", PK_LIMIT_AMOUNT_MAX / 4000, true) == 0);
    EXPECT(go("", PK_LIMIT_AMOUNT_MAX / 4000, true) == 0);
}

int main(void)
{
    pk_arena_init(&arena, pk_allocator_malloc(), 64 << 20);
    RUN(those_who_come_often_get_more_and_more);
    RUN(those_who_are_busy_get_most);
    RUN(those_who_come_together_get_one);
    RUN(what_is_taken_is_told);
    RUN(only_calls_of_the_same_terms_take);
    RUN(all_of_a_calls_limits_or_none);
    RUN(where_little_is_left_nothing_is_set_aside_for_a_while);
    RUN(large_leases_shrink_before_they_stop);
    RUN(what_nobody_takes_is_given_back);
    RUN(all_are_given_back_when_asked_for);
    RUN(what_the_store_does_not_take_back_ends_again);
    RUN(a_new_slot_has_a_lease_of_its_own);
    RUN(there_is_place_for_those_in_use);
    RUN(long_names_are_not_kept);
    pk_arena_free(&arena);
    return test_end();
}
