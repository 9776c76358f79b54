/* tally.c - see tally.h: adding.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each thing that is counted goes through the calls of a block by itself, over the few columns that it is about.
 */
#include "tally_inner.h"

#include <limits.h>
#include <string.h>

enum { SLOTS_MIN = 64 };

static const int64_t hour_us = INT64_C(3600000000);

/* --- points --------------------------------------------------------------------------------- */

static uint32_t slot_of(const struct pkd_tally *t, int64_t at_us)
{
    uint64_t state = (uint64_t)at_us ^ t->seed;
    uint32_t slot = (uint32_t)pk_random_next(&state) & (t->slot_count - 1);

    while (t->slots[slot] >= 0 && t->points[t->slots[slot]].at_us != at_us)
        slot = (slot + 1) & (t->slot_count - 1);
    return slot;
}

static bool more_slots(struct pkd_tally *t)
{
    uint32_t count = t->slot_count ? t->slot_count * 2 : SLOTS_MIN;
    int32_t *slots =
        pk_alloc_grow(t->arena, t->slots, t->slot_count * sizeof *slots, count * sizeof *slots);

    if (!slots)
        return false;
    memset(slots, -1, count * sizeof *slots);
    t->slots = slots;
    t->slot_count = count;
    for (int i = 0; i < t->point_count; i++)
        slots[slot_of(t, t->points[i].at_us)] = i;
    return true;
}

/* The number of the point that begins then; -1: no memory. */
static int point_at(struct pkd_tally *t, int64_t at_us)
{
    if (2 * (uint32_t)t->point_count >= t->slot_count && !more_slots(t))
        return -1;
    uint32_t slot = slot_of(t, at_us);

    if (t->slots[slot] >= 0)
        return t->slots[slot];
    struct pkd_point *points = pk_alloc_row(t->arena, t->points, t->point_count, sizeof *points);
    if (!points)
        return -1;
    t->points = points;
    points[t->point_count] =
        (struct pkd_point){.at_us = at_us, .first_us = INT64_MAX, .end_us = INT64_MIN};
    t->slots[slot] = t->point_count;
    return t->point_count++;
}

static int64_t bucket_of(const struct pkd_tally *t, int64_t at_us)
{
    return t->bucket_us == INT64_MAX ? 0 : at_us / t->bucket_us * t->bucket_us;
}

static bool find_points(struct pkd_tally *t, const struct pkd_block *b)
{
    const int64_t *started = b->has & PKD_C(started) ? b->of[PKD_C_started] : NULL;
    int64_t last_us = PKD_NOTHING;
    int point = -1;

    for (int i = 0; i < b->picked_count; i++) {
        int64_t at_us = bucket_of(t, started ? started[b->picked[i]] : b->hour_us);

        if (at_us != last_us)
            point = point_at(t, at_us);
        if (point < 0)
            return false;
        last_us = at_us;
        t->point_of[i] = point;
        t->points[point].calls++;
    }
    return true;
}

/* --- what is counted ------------------------------------------------------------------------ */

static struct pkd_point *point_of(struct pkd_tally *t, int i)
{
    return &t->points[t->point_of[i]];
}

int64_t pkd_plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static bool count_errors(struct pkd_tally *t, struct pkd_block *b)
{
    int64_t success = pkd_block_word(b, PKD_C_status, "success");

    for (int i = 0; i < b->picked_count; i++)
        point_of(t, i)->errors += b->of[PKD_C_status][b->picked[i]] != success;
    return true;
}

static bool count_cost(struct pkd_tally *t, struct pkd_block *b)
{
    for (int i = 0; i < b->picked_count; i++) {
        int64_t cost = b->of[PKD_C_cost][b->picked[i]];
        struct pkd_point *p = point_of(t, i);

        if (cost == PKD_NOTHING)
            continue;
        p->cost = pkd_plus(p->cost, cost);
        p->priced++;
    }
    return true;
}

static bool count_units(struct pkd_tally *t, struct pkd_block *b)
{
    for (int i = 0; i < b->picked_count; i++) {
        int64_t inputs = b->of[PKD_C_inputs][b->picked[i]];
        int64_t outputs = b->of[PKD_C_outputs][b->picked[i]];
        struct pkd_point *p = point_of(t, i);

        p->inputs = pkd_plus(p->inputs, inputs == PKD_NOTHING ? 0 : inputs);
        p->outputs = pkd_plus(p->outputs, outputs == PKD_NOTHING ? 0 : outputs);
        if (inputs == PKD_NOTHING || outputs == PKD_NOTHING)
            continue;
        p->units = pkd_plus(p->units, pkd_plus(inputs, outputs));
        p->unit_calls++;
    }
    return true;
}

static bool count_rescued(struct pkd_tally *t, struct pkd_block *b)
{
    int64_t success = pkd_block_word(b, PKD_C_status, "success");

    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];

        if (b->of[PKD_C_status][call] != success)
            continue;
        point_of(t, i)->retried += b->of[PKD_C_retries][call] > 0;
        point_of(t, i)->fallen += b->of[PKD_C_fallback_index][call] > 0;
    }
    return true;
}

/* By a point and something of 32 bits. */
static uint64_t key_of(int point, int64_t what)
{
    return (uint64_t)point << PKD_KEY_BITS | (uint32_t)what;
}

/* The numbers that the tally has for a block's words, as they are asked for: -1 until then. */
static int *numbers_for(struct pkd_block *b, enum pkd_column c)
{
    size_t size = (size_t)b->words[c].count * sizeof(int);
    int *numbers = pk_alloc(&b->texts, size + 1);

    if (numbers)
        memset(numbers, -1, size);
    return numbers;
}

static int number_of(struct pkd_tally *t, const struct pkd_block *b, enum pkd_column c,
                     int64_t word, int *numbers)
{
    if (numbers[word] < 0)
        numbers[word] = pkd_names_number(&t->names, b->words[c].at[word]);
    return numbers[word];
}

static bool count_users(struct pkd_tally *t, struct pkd_block *b)
{
    int *numbers = numbers_for(b, PKD_C_user_id);

    for (int i = 0; numbers && i < b->picked_count; i++) {
        int64_t user = b->of[PKD_C_user_id][b->picked[i]];

        if (user == PKD_NOTHING)
            continue;
        int number = number_of(t, b, PKD_C_user_id, user, numbers);
        int64_t seen = number < 0 ? -1 : pkd_counts_add(&t->seen, key_of(t->point_of[i], number));

        if (seen < 0)
            return false;
        point_of(t, i)->user_calls++;
        point_of(t, i)->users += seen == 1;
    }
    return numbers != NULL;
}

static bool count_latency(struct pkd_tally *t, struct pkd_block *b)
{
    for (int i = 0; i < b->picked_count; i++)
        point_of(t, i)->us += b->of[PKD_C_duration][b->picked[i]];
    return true;
}

static bool count_spread(struct pkd_tally *t, struct pkd_block *b)
{
    for (int i = 0; i < b->picked_count; i++) {
        struct pkd_point *p = point_of(t, i);
        int64_t *spread = p->spread_count == INT_MAX
                              ? NULL
                              : pk_alloc_row(t->arena, p->spread, p->spread_count, sizeof *spread);

        if (!spread)
            return false;
        p->spread = spread;
        spread[p->spread_count++] = b->of[PKD_C_duration][b->picked[i]];
    }
    return true;
}

static void count_hit(struct pkd_point *p, enum pkd_hit kind, int64_t saved, int64_t us)
{
    p->hits[kind]++;
    p->hit_us += us;
    if (saved != PKD_NOTHING)
        p->saved[kind] = pkd_plus(p->saved[kind], saved);
}

static bool count_cache(struct pkd_tally *t, struct pkd_block *b)
{
    int64_t simple = pkd_block_word(b, PKD_C_cache_status, "HIT");
    int64_t semantic = pkd_block_word(b, PKD_C_cache_status, "SEMANTIC HIT");
    int64_t miss = pkd_block_word(b, PKD_C_cache_status, "MISS");
    int64_t semantic_miss = pkd_block_word(b, PKD_C_cache_status, "SEMANTIC MISS");
    int64_t disabled = pkd_block_word(b, PKD_C_cache_status, "DISABLED");
    int64_t refresh = pkd_block_word(b, PKD_C_cache_status, "REFRESH");

    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t word = b->of[PKD_C_cache_status][call], us = b->of[PKD_C_duration][call];
        struct pkd_point *p = point_of(t, i);

        p->asked += word != disabled && word != refresh;
        if (word == simple || word == semantic)
            count_hit(p, word == simple ? PKD_HIT_SIMPLE : PKD_HIT_SEMANTIC,
                      b->of[PKD_C_saved][call], us);
        if (word != miss && word != semantic_miss)
            continue;
        p->misses++;
        p->miss_us += us;
    }
    return true;
}

static bool count_codes(struct pkd_tally *t, struct pkd_block *b)
{
    int64_t success = pkd_block_word(b, PKD_C_status, "success");

    for (int i = 0; i < b->picked_count; i++) {
        int64_t status = b->of[PKD_C_http_status][b->picked[i]];

        if (b->of[PKD_C_status][b->picked[i]] == success)
            continue;
        if (pkd_counts_add(&t->codes, key_of(t->point_of[i], status == PKD_NOTHING ? 0 : status)) <
            0)
            return false;
    }
    return true;
}

static bool count_retries(struct pkd_tally *t, struct pkd_block *b)
{
    int64_t success = pkd_block_word(b, PKD_C_status, "success");

    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t retries = b->of[PKD_C_retries][call];

        if (b->of[PKD_C_status][call] != success ||
            (retries <= 0 && b->of[PKD_C_fallback_index][call] <= 0))
            continue;
        if (pkd_counts_add(&t->codes, key_of(t->point_of[i], retries)) < 0)
            return false;
    }
    return true;
}

static bool count_span(struct pkd_tally *t, struct pkd_block *b)
{
    for (int i = 0; i < b->picked_count; i++) {
        struct pkd_point *p = point_of(t, i);
        int64_t started_us = b->of[PKD_C_started][b->picked[i]];
        int64_t end_us = started_us + b->of[PKD_C_duration][b->picked[i]];

        p->first_us = started_us < p->first_us ? started_us : p->first_us;
        p->end_us = end_us > p->end_us ? end_us : p->end_us;
    }
    return true;
}

/* --- groups --------------------------------------------------------------------------------- */

/* NULL: no memory. */
static struct pkd_group *count_group(struct pkd_tally *t, int number, int64_t cost)
{
    while (number >= t->group_count) {
        struct pkd_group *groups =
            pk_alloc_row(t->arena, t->groups, t->group_count, sizeof *groups);

        if (!groups)
            return NULL;
        t->groups = groups;
        groups[t->group_count++] = (struct pkd_group){0};
    }
    if (number < 0)
        return NULL;
    struct pkd_group *g = &t->groups[number];

    g->calls++;
    if (cost == PKD_NOTHING)
        return g;
    g->cost = pkd_plus(g->cost, cost);
    g->priced++;
    return g;
}

static bool count_by_user(struct pkd_tally *t, struct pkd_block *b)
{
    int *numbers = numbers_for(b, PKD_C_user_id);

    for (int i = 0; numbers && i < b->picked_count; i++) {
        int64_t user = b->of[PKD_C_user_id][b->picked[i]];

        if (user != PKD_NOTHING && !count_group(t, number_of(t, b, PKD_C_user_id, user, numbers),
                                                b->of[PKD_C_cost][b->picked[i]]))
            return false;
    }
    return numbers != NULL;
}

/* The model that answered, else that was asked for. */
static bool count_by_model(struct pkd_tally *t, struct pkd_block *b)
{
    int *answered = numbers_for(b, PKD_C_model), *asked = numbers_for(b, PKD_C_request_model);

    for (int i = 0; answered && asked && i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t model = b->of[PKD_C_model][call], other = b->of[PKD_C_request_model][call];

        if (model == PKD_NOTHING && other == PKD_NOTHING)
            continue;
        int number = model == PKD_NOTHING ? number_of(t, b, PKD_C_request_model, other, asked)
                                          : number_of(t, b, PKD_C_model, model, answered);

        if (!count_group(t, number, b->of[PKD_C_cost][call]))
            return false;
    }
    return answered && asked;
}

static void add_call(struct pkd_group *g, const struct pkd_block *b, int call)
{
    int64_t inputs = b->of[PKD_C_inputs][call], outputs = b->of[PKD_C_outputs][call];
    int64_t started_us = b->of[PKD_C_started][call];

    g->last_us = started_us > g->last_us ? started_us : g->last_us;
    if (inputs == PKD_NOTHING || outputs == PKD_NOTHING)
        return;
    g->units = pkd_plus(g->units, pkd_plus(inputs, outputs));
    g->unit_calls++;
}

static bool count_by_member(struct pkd_tally *t, struct pkd_block *b)
{
    const struct pkd_member *m = &b->members[b->group];
    size_t size = (size_t)m->words.count * sizeof(int);
    int *numbers = pk_alloc(&b->texts, size + 1);

    if (!numbers)
        return false;
    memset(numbers, -1, size);
    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t word = m->of[call];

        if (word == PKD_NOTHING)
            continue;
        if (numbers[word] < 0)
            numbers[word] = pkd_names_number(&t->names, m->words.at[word]);
        struct pkd_group *g = count_group(t, numbers[word], b->of[PKD_C_cost][call]);
        if (!g)
            return false;
        add_call(g, b, call);
    }
    return true;
}

void pkd_tally_opinion(struct pkd_tally *t, pk_str group, double mean, int64_t calls)
{
    int number = pkd_names_find(&t->names, group);

    if (number < 0)
        return;
    t->groups[number].opinion = mean;
    t->groups[number].opinions = calls;
}

/* --- all of it ------------------------------------------------------------------------------ */

/* clang-format off */
static const struct counting {
    unsigned which, needs;
    bool (*count)(struct pkd_tally *t, struct pkd_block *b);
} countings[] = {
    {PKD_N_ERRORS,   PKD_C(status), count_errors},
    {PKD_N_COST,     PKD_C(cost), count_cost},
    {PKD_N_UNITS,    PKD_C(inputs) | PKD_C(outputs), count_units},
    {PKD_N_RESCUED,  PKD_C(status) | PKD_C(retries) | PKD_C(fallback_index), count_rescued},
    {PKD_N_USERS,    PKD_C(user_id), count_users},
    {PKD_N_LATENCY,  PKD_C(duration), count_latency},
    {PKD_N_SPREAD,   PKD_C(duration), count_spread},
    {PKD_N_CACHE,    PKD_C(cache_status) | PKD_C(saved) | PKD_C(duration), count_cache},
    {PKD_N_CODES,    PKD_C(status) | PKD_C(http_status), count_codes},
    {PKD_N_RETRIES,  PKD_C(status) | PKD_C(retries) | PKD_C(fallback_index), count_retries},
    {PKD_N_SPAN,     PKD_C(started) | PKD_C(duration), count_span},
    {PKD_N_BY_USER,  PKD_C(user_id) | PKD_C(cost), count_by_user},
    {PKD_N_BY_MODEL, PKD_C(model) | PKD_C(request_model) | PKD_C(cost), count_by_model},
    {PKD_N_BY_MEMBER, PKD_C(cost) | PKD_C(inputs) | PKD_C(outputs) | PKD_C(started), count_by_member},
};
/* clang-format on */

unsigned pkd_tally_needs(unsigned counting, int64_t bucket_us)
{
    unsigned needs = bucket_us == INT64_MAX || bucket_us % hour_us == 0 ? 0 : PKD_C(started);

    for (size_t i = 0; i < PK_COUNT(countings); i++)
        if (counting & countings[i].which)
            needs |= countings[i].needs;
    return needs;
}

struct pkd_tally *pkd_tally_new(struct pk_arena *arena, unsigned counting, int64_t bucket_us)
{
    struct pkd_tally *t = pk_alloc(arena, sizeof *t);
    int32_t *point_of = pk_alloc_room(arena, PKD_BLOCK_CALLS * sizeof *point_of);

    if (!t || !point_of)
        return NULL;
    *t = (struct pkd_tally){.arena = arena,
                            .counting = counting,
                            .bucket_us = bucket_us,
                            .point_of = point_of,
                            .names = {.arena = arena},
                            .seen = {.arena = arena},
                            .codes = {.arena = arena}};
    pk_secret_random(&t->seed, sizeof t->seed);
    return t;
}

bool pkd_tally_add(struct pkd_tally *t, struct pkd_block *b)
{
    bool ok = find_points(t, b);

    for (size_t i = 0; ok && i < PK_COUNT(countings); i++)
        if (t->counting & countings[i].which)
            ok = countings[i].count(t, b);
    return ok;
}
