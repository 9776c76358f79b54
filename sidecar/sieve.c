/* sieve.c - see sieve.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each filter thins out what those before it have left. What words there are is looked at once a block, not once a
 * call.
 */
#include "sieve.h"

#include <string.h>

enum { SEPARATOR_LEN = 2 }; /* of provider__model */

/* --- lists ---------------------------------------------------------------------------------- */

/* Whether ",a,b," has the item; as in the statements, one with a comma in it may be several. */
static bool lists(pk_str list, pk_str item)
{
    for (size_t at = 0; list.len >= item.len + 2 && at <= list.len - item.len - 2; at++)
        if (list.at[at] == ',' && list.at[at + 1 + item.len] == ',' &&
            (item.len == 0 || memcmp(list.at + at + 1, item.at, item.len) == 0))
            return true;
    return false;
}

/* Which words of a column are listed. */
struct listed {
    bool *yes;
    const int64_t *of;
};

static bool look_up(struct pkd_block *b, enum pkd_column c, pk_str list, struct listed *out)
{
    out->of = b->of[c];
    out->yes = pk_alloc(&b->texts, (size_t)b->words[c].count + 1);
    for (int i = 0; out->yes && i < b->words[c].count; i++)
        out->yes[i] = lists(list, b->words[c].at[i]);
    return out->yes != NULL;
}

static bool has(const struct listed *l, int call)
{
    return l->of[call] != PKD_NOTHING && l->yes[l->of[call]];
}

static bool by_list(struct pkd_block *b, enum pkd_column c, pk_str list)
{
    struct listed l;
    int left = 0;

    if (!look_up(b, c, list, &l))
        return false;
    for (int i = 0; i < b->picked_count; i++)
        if (has(&l, b->picked[i]))
            b->picked[left++] = b->picked[i];
    b->picked_count = left;
    return true;
}

/* The model that answered, or that was asked for. */
static bool by_model(struct pkd_block *b, pk_str list)
{
    struct listed answered, asked;
    int left = 0;

    if (!look_up(b, PKD_C_model, list, &answered) || !look_up(b, PKD_C_request_model, list, &asked))
        return false;
    for (int i = 0; i < b->picked_count; i++)
        if (has(&answered, b->picked[i]) || has(&asked, b->picked[i]))
            b->picked[left++] = b->picked[i];
    b->picked_count = left;
    return true;
}

/* "greet@12" is listed as itself, or as "greet@". */
static bool by_prompt(struct pkd_block *b, pk_str list)
{
    struct listed l;
    int left = 0;

    if (!look_up(b, PKD_C_prompt, list, &l))
        return false;
    for (int i = 0; i < b->words[PKD_C_prompt].count; i++) {
        pk_str word = b->words[PKD_C_prompt].at[i];

        while (word.len && word.at[word.len - 1] >= '0' && word.at[word.len - 1] <= '9')
            word.len--;
        l.yes[i] = l.yes[i] || lists(list, word);
    }
    for (int i = 0; i < b->picked_count; i++)
        if (has(&l, b->picked[i]))
            b->picked[left++] = b->picked[i];
    b->picked_count = left;
    return true;
}

static bool by_org_model(struct pkd_block *b, pk_str list)
{
    struct pk_buf text = pk_buf_in(&b->texts, PK_CONFIG_BYTES_MAX);
    int64_t last[2] = {-1, -1};
    bool yes = false;
    int left = 0;

    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t org = b->of[PKD_C_provider][call], model = b->of[PKD_C_model][call];
        enum pkd_column c = model == PKD_NOTHING ? PKD_C_request_model : PKD_C_model;

        model = b->of[c][call];
        if (org == PKD_NOTHING || model == PKD_NOTHING)
            continue;
        if (org != last[0] || model * 2 + (c == PKD_C_model) != last[1]) {
            pk_buf_reset(&text);
            pk_buf_add(&text, b->words[PKD_C_provider].at[org]);
            pk_buf_add(&text, (pk_str){"__", SEPARATOR_LEN});
            pk_buf_add(&text, b->words[c].at[model]);
            yes = lists(list, pk_buf_str(&text));
            last[0] = org;
            last[1] = model * 2 + (c == PKD_C_model);
        }
        if (yes)
            b->picked[left++] = call;
    }
    b->picked_count = left;
    return !text.failed;
}

static bool by_http_status(struct pkd_block *b, pk_str list)
{
    char digits[PK_DIGITS_BYTES];
    int64_t last = PKD_NOTHING;
    bool yes = false;
    int left = 0;

    for (int i = 0; i < b->picked_count; i++) {
        int64_t status = b->of[PKD_C_http_status][b->picked[i]];

        if (status != last)
            yes = status >= 0 && lists(list, pk_digits((uint64_t)status, digits));
        last = status;
        if (yes)
            b->picked[left++] = b->picked[i];
    }
    b->picked_count = left;
    return true;
}

static bool by_member(struct pkd_block *b, const struct pkd_member *m, pk_str value)
{
    struct listed l = {.of = m->of, .yes = pk_alloc(&b->texts, (size_t)m->words.count + 1)};
    int left = 0;

    if (!l.yes)
        return false;
    for (int i = 0; i < m->words.count; i++)
        l.yes[i] = pk_str_eq(m->words.at[i], value);
    for (int i = 0; i < b->picked_count; i++)
        if (has(&l, b->picked[i]))
            b->picked[left++] = b->picked[i];
    b->picked_count = left;
    return true;
}

/* --- ranges --------------------------------------------------------------------------------- */

/* The sum of two columns, of which the second may be none: not known unless both are. */
static bool by_range(struct pkd_block *b, const int64_t *x, const int64_t *y,
                     const struct pk_value *bounds)
{
    int64_t least = bounds[0].type == PK_V_NULL ? PKD_NOTHING + 1 : bounds[0].i;
    int64_t most = bounds[1].type == PK_V_NULL ? INT64_MAX : bounds[1].i;
    int left = 0;

    for (int i = 0; i < b->picked_count; i++) {
        int call = b->picked[i];
        int64_t amount = x[call];

        if (y)
            amount =
                amount == PKD_NOTHING || y[call] == PKD_NOTHING ? PKD_NOTHING : amount + y[call];
        if (amount >= least && amount <= most)
            b->picked[left++] = call;
    }
    b->picked_count = left;
    return true;
}

/* --- filters -------------------------------------------------------------------------------- */

/* clang-format off */
static const struct {
    enum pkd_filter_arg arg;
    enum pkd_column column;
} plain[] = {
    {PKD_F_status, PKD_C_status},           {PKD_F_provider, PKD_C_provider}, {PKD_F_virtual_key, PKD_C_virtual_key},
    {PKD_F_config, PKD_C_config},           {PKD_F_api_key, PKD_C_api_key},   {PKD_F_user_id, PKD_C_user_id},
    {PKD_F_cache_status, PKD_C_cache_status}, {PKD_F_operation, PKD_C_operation}, {PKD_F_source, PKD_C_source},
};
static const struct {
    enum pkd_filter_arg arg;
    unsigned needs;
    bool (*pick)(struct pkd_block *b, pk_str list);
} special[] = {
    {PKD_F_model, PKD_C(model) | PKD_C(request_model), by_model},
    {PKD_F_ai_org_model, PKD_C(provider) | PKD_C(model) | PKD_C(request_model), by_org_model},
    {PKD_F_prompt, PKD_C(prompt), by_prompt},
    {PKD_F_http_status, PKD_C(http_status), by_http_status},
};
static const struct {
    enum pkd_filter_arg least; /* the most follows it */
    enum pkd_column x, y;      /* y = x: there is none */
} ranges[] = {
    {PKD_F_cost_min, PKD_C_cost, PKD_C_cost},
    {PKD_F_units_min, PKD_C_inputs, PKD_C_outputs},
    {PKD_F_input_min, PKD_C_inputs, PKD_C_inputs},
    {PKD_F_output_min, PKD_C_outputs, PKD_C_outputs},
    {PKD_F_duration_min, PKD_C_duration, PKD_C_duration},
    {PKD_F_http_min, PKD_C_http_status, PKD_C_http_status},
};
static const enum pkd_filter_arg others[] = {
    PKD_F_trace_id, PKD_F_span_id, PKD_F_search, PKD_F_feedback_min, PKD_F_feedback_max,
};
/* clang-format on */

static bool asks(const struct pkd_filter *f, unsigned arg)
{
    return f->args[arg].type != PK_V_NULL;
}

bool pkd_sieve_can(const struct pkd_filter *f, unsigned *needs)
{
    *needs = 0;
    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (asks(f, others[i]))
            return false;
    for (size_t i = 0; i < PK_COUNT(plain); i++)
        if (asks(f, plain[i].arg))
            *needs |= 1u << plain[i].column;
    for (size_t i = 0; i < PK_COUNT(special); i++)
        if (asks(f, special[i].arg))
            *needs |= special[i].needs;
    for (size_t i = 0; i < PK_COUNT(ranges); i++)
        if (asks(f, ranges[i].least) || asks(f, ranges[i].least + 1))
            *needs |= 1u << ranges[i].x | 1u << ranges[i].y;
    return f->after.len == 0;
}

void pkd_sieve_all(struct pkd_block *b)
{
    for (int i = 0; i < b->calls; i++)
        b->picked[i] = i;
    b->picked_count = b->calls;
}

bool pkd_sieve(const struct pkd_filter *f, const struct pkd_wanted *wanted, struct pkd_block *b)
{
    bool ok = true;

    pkd_sieve_all(b);
    for (int i = 0; i < wanted->count && b->picked_count; i++)
        ok = ok && by_member(b, &b->members[wanted->of[i].member], wanted->of[i].value);
    for (size_t i = 0; i < PK_COUNT(plain); i++)
        if (asks(f, plain[i].arg))
            ok = ok && by_list(b, plain[i].column, f->args[plain[i].arg].s);
    for (size_t i = 0; i < PK_COUNT(special); i++)
        if (asks(f, special[i].arg))
            ok = ok && special[i].pick(b, f->args[special[i].arg].s);
    for (size_t i = 0; ok && i < PK_COUNT(ranges); i++) {
        const int64_t *x = b->of[ranges[i].x], *y = b->of[ranges[i].y];

        if (asks(f, ranges[i].least) || asks(f, ranges[i].least + 1))
            ok = by_range(b, x, y == x ? NULL : y, &f->args[ranges[i].least]);
    }
    return ok;
}
