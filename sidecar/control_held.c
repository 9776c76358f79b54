/* control_held.c - rate_limits, usage_limits and what is used of them, in the answers of the control APIs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "control_inner.h"
#include "member.h"
#include "record.h"
#include "store_limit.h"
#include "store_value.h"

enum { FOREVER_US_BITS = 62 };

/* One limit of a key. */
struct pkd_held {
    pk_str owner; /* the key's slug */
    enum pk_limit_counts counts;
    enum pk_limit_window window;
    bool budget;
    int64_t amount, alert, used; /* alert -1: none */
    int64_t until_us;            /* when the count begins anew; 0: it does not */
};

int64_t pkd_resets_us(enum pk_limit_window window, bool rolling, int64_t until_us, int64_t now_us)
{
    if (until_us == 0 && !rolling)
        until_us = pk_limit_slot(window, false, now_us).until_us;
    return until_us < INT64_C(1) << FOREVER_US_BITS ? until_us : 0;
}

static bool read_held(void *ctx, const struct pk_value *v, int count)
{
    struct pkd_control *c = ctx;

    PK_ASSERT(count == 9);
    struct pkd_held *rows = pk_alloc_row(c->arena, c->held, c->held_count, sizeof *rows);
    if (!rows)
        return false;
    c->held = rows;
    struct pkd_held *h = &c->held[c->held_count];
    *h = (struct pkd_held){
        .owner = pk_copy(c->arena, v[0].s),
        .budget = v[3].i,
        .amount = v[4].i,
        .alert = v[5].type == PK_V_NULL ? -1 : v[5].i,
        .used = v[6].i,
    };
    if (!pk_limit_counts_of(v[1].s, &h->counts) || !pk_limit_window_of(v[2].s, &h->window))
        return true;
    bool days = pk_limit_days_of(h->window) >
                0; /* what was used before another date was set has another end */
    h->until_us = pkd_resets_us(h->window, v[8].i, days ? 0 : v[7].i, c->now_us);
    c->held_count++;
    return true;
}

bool pkd_held_load(struct pkd_control *c, pk_str slug)
{
    pk_str scope = pk_str_of(pk_limit_scope_name(c->is->limited));
    const struct pk_value args[] = {pk_v_required(scope), pk_v_text(slug), pk_v_int(c->now_us)};

    if (c->is->limited == PK_LS_ALL)
        return true;
    return c->store->ops->exec(c->store, PK_SQL_limit_page, args, PK_COUNT(args), read_held, c,
                               c->err) &&
           (!c->arena->failed || pk_fail(c->err, PK_NO_MEMORY, "limits: out of memory"));
}

/* Dollars, or a count. */
static void print_amount(struct pk_buf *out, const char *name, const struct pkd_held *h,
                         int64_t amount)
{
    char dollars[32];

    if (h->counts != PK_LC_COST) {
        pk_member_int(out, name, amount);
        return;
    }
    pk_usd_print(amount, dollars);
    pk_member_raw(out, name, pk_str_of(dollars));
}

static void print_rate(struct pk_buf *out, const struct pkd_held *h)
{
    static const char *const units[] = {"rps", "rpm", "rph", "rpd", "rpw"};
    size_t unit = (size_t)h->window; /* no rate is for longer than a week (limit_read.c) */

    pk_member_text(out, "type", pk_str_of(pk_limit_counts_name(h->counts)));
    pk_member_text(out, "unit", unit < PK_COUNT(units) ? pk_str_of(units[unit]) : PK_NONE);
    pk_member_int(out, "value", h->amount);
}

static void print_budget(struct pk_buf *out, const struct pkd_held *h)
{
    static const char *const resets[] = {
        [PK_LW_DAY] = "daily", [PK_LW_WEEK] = "weekly", [PK_LW_MONTH] = "monthly"};
    bool resets_ever = h->window >= PK_LW_DAY && h->window <= PK_LW_MONTH;

    print_amount(out, "credit_limit", h, h->amount);
    pk_member_text(out, "type", pk_str_of(pk_limit_counts_name(h->counts)));
    if (h->alert >= 0)
        print_amount(out, "alert_threshold", h, h->alert);
    if (resets_ever)
        pk_member_text(out, "periodic_reset", pk_str_of(resets[h->window]));
    if (pk_limit_days_of(h->window)) {
        pk_member_int(out, "periodic_reset_days", pk_limit_days_of(h->window));
        pk_member_time(out, "next_usage_reset_at", h->until_us);
    }
}

static void print_use(struct pk_buf *out, const struct pkd_held *h)
{
    char per[PK_LW_TEXT];

    pk_limit_window_print(h->window, per);
    pk_member_text(out, "counts", pk_str_of(pk_limit_counts_name(h->counts)));
    pk_member_text(out, "per", pk_str_of(per));
    print_amount(out, "amount", h, h->amount);
    print_amount(out, "used", h, h->used);
    print_amount(out, "remaining", h, h->used < h->amount ? h->amount - h->used : 0);
    pk_member_time(out, "resets_at", h->until_us);
}

/* The limits of `slug` that `which` asks for (0: rates, 1: budgets, 2: all), each in braces. */
static int print_each(struct pkd_control *c, pk_str slug, int which, struct pk_buf *out,
                      void (*print)(struct pk_buf *out, const struct pkd_held *h))
{
    int count = 0;

    for (int i = 0; i < c->held_count; i++) {
        if (!pk_str_eq(c->held[i].owner, slug) || (which < 2 && c->held[i].budget != which))
            continue;
        pk_member_item(out);
        print(out, &c->held[i]);
        pk_buf_addc(out, '}');
        count++;
    }
    return count;
}

static const char *status_of(const struct pkd_control *c, pk_str slug, int64_t expires_us)
{
    if (expires_us && expires_us <= c->now_us)
        return "expired";
    for (int i = 0; i < c->held_count; i++) {
        const struct pkd_held *h = &c->held[i];

        if (h->budget && h->used >= h->amount && pk_str_eq(h->owner, slug))
            return "exhausted";
    }
    return "active";
}

/* [{...},{...}]; as `one`, {...} where there is but one, and null where there is none. */
static void print_list(struct pkd_control *c, const char *name, pk_str slug, bool budgets, bool one)
{
    struct pk_buf items = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);
    int count = print_each(c, slug, budgets, &items, budgets ? print_budget : print_rate);
    pk_str text = pk_buf_str(&items);

    if (!one || count > 1)
        text = pk_copyf(c->arena, "[%.*s]", PK_FMT(text));
    pk_member_raw(c->out, name, text.len ? text : PK_STR("null"));
}

void pkd_print_limits(struct pkd_control *c, pk_str slug, int64_t expires_us, bool one_rate)
{
    pk_member_text(c->out, "status", pk_str_of(status_of(c, slug, expires_us)));
    print_list(c, "rate_limits", slug, false, one_rate);
    print_list(c, "usage_limits", slug, true, true);
    pk_member_raw(c->out, "usage", PK_STR("["));
    (void)print_each(c, slug, 2, c->out, print_use);
    pk_buf_addc(c->out, ']');
    pk_member_raw(c->out, "reset_usage", PK_STR("null"));
    pk_member_time(c->out, "expires_at", expires_us);
}

bool pkd_control_reset(struct pkd_control *c)
{
    const struct pk_limit_owner owner = {c->is->limited, c->slug, 0};
    int value = pkd_control_at(c, "reset_usage");
    enum pk_json_type type = pk_json_type(&c->body, value);
    int64_t number = 0;

    if (value < 0 || type == PK_JSON_NULL || type == PK_JSON_FALSE)
        return true;
    if (type != PK_JSON_TRUE && (!pk_json_int(&c->body, value, &number) || number < 0))
        return pk_fail(c->err, PK_BAD_REQUEST, "reset_usage: must be true or false");
    return (type != PK_JSON_TRUE && number == 0) ||
           pk_store_limits_forget(c->store, &owner, c->now_us, c->err);
}
