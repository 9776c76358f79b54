/* account.c - see account.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "account.h"

#include "record.h"

static enum pk_account_answer no_calls_left(const struct pk_account *a, struct pk_error *err)
{
    (void)pk_fail(err, PK_QUERY_LIMIT,
                  "max_calls_per_query: the statement has made %lld calls, as many as it may",
                  (long long)a->calls);
    return PK_ACCOUNT_NO;
}

static enum pk_account_answer too_dear(const struct pk_account *a, int64_t most_pusd,
                                       struct pk_error *err)
{
    char max[32], spent[32], most[32];

    pk_usd_print(a->max_cost_pusd, max);
    pk_usd_print(a->cost_pusd, spent);
    pk_usd_print(most_pusd, most);
    (void)pk_fail(
        err, PK_QUERY_LIMIT,
        "max_cost_per_query: %s dollars, of which %s are spent, and another call may cost "
        "%s; max_tokens bounds what a call costs",
        max, spent, most);
    return PK_ACCOUNT_NO;
}

enum pk_account_answer pk_account_ask(struct pk_account *a, struct pk_account_share *s,
                                      int64_t most_pusd, struct pk_error *err)
{
    int64_t others_pusd = a->held_pusd - s->held_pusd;
    int64_t left_pusd = a->max_cost_pusd - a->cost_pusd;

    PK_ASSERT(others_pusd >= 0);
    if (!s->counted && a->max_calls > 0 && a->calls >= a->max_calls)
        return no_calls_left(a, err);
    if (a->max_cost_pusd > 0 && most_pusd > left_pusd)
        return too_dear(a, most_pusd, err);
    if (a->max_cost_pusd > 0 && most_pusd > left_pusd - others_pusd)
        return PK_ACCOUNT_WAIT;
    a->calls += !s->counted;
    a->held_pusd = others_pusd + most_pusd;
    s->held_pusd = most_pusd;
    s->counted = true;
    return PK_ACCOUNT_YES;
}

void pk_account_settle(struct pk_account *a, struct pk_account_share *s, int64_t cost_pusd)
{
    if (!s->counted)
        return;
    a->held_pusd -= s->held_pusd;
    a->cost_pusd += cost_pusd;
    *s = (struct pk_account_share){0};
}
