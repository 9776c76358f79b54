/* account_test.c - what calls of one statement may use.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "account.h"

#include "test.h"

#include <string.h>

static void so_many_calls_and_no_more(void)
{
    struct pk_account a = {.max_calls = 2};
    struct pk_account_share one = {0}, two = {0}, three = {0};
    struct pk_error err = {0};

    EXPECT(pk_account_ask(&a, &one, 0, &err) == PK_ACCOUNT_YES);
    EXPECT(pk_account_ask(&a, &one, 0, &err) == PK_ACCOUNT_YES); /* its second attempt */
    EXPECT(pk_account_ask(&a, &two, 0, &err) == PK_ACCOUNT_YES);
    EXPECT(pk_account_ask(&a, &three, 0, &err) == PK_ACCOUNT_NO && err.code == PK_QUERY_LIMIT);
    pk_account_settle(&a, &one, 5);
    pk_account_settle(&a, &three, 5); /* was never on it */
    EXPECT(a.cost_pusd == 5 && a.calls == 2);
    EXPECT(pk_account_ask(&a, &three, 0, &err) == PK_ACCOUNT_NO);
}

static void what_is_in_flight_is_waited_for_and_what_is_spent_is_gone(void)
{
    struct pk_account a = {.max_cost_pusd = 100};
    struct pk_account_share one = {0}, two = {0};
    struct pk_error err = {0};

    EXPECT(pk_account_ask(&a, &one, 101, &err) == PK_ACCOUNT_NO && strstr(err.msg, "max_tokens"));
    EXPECT(pk_account_ask(&a, &one, 60, &err) == PK_ACCOUNT_YES);
    EXPECT(pk_account_ask(&a, &two, 60, &err) == PK_ACCOUNT_WAIT && !two.counted);
    EXPECT(pk_account_ask(&a, &one, 90, &err) == PK_ACCOUNT_YES && a.held_pusd == 90);
    pk_account_settle(&a, &one, 30);
    EXPECT(a.held_pusd == 0 && a.cost_pusd == 30);
    EXPECT(pk_account_ask(&a, &two, 60, &err) == PK_ACCOUNT_YES);
    pk_account_settle(&a, &two, 60);
    pk_account_settle(&a, &two, 60);
    EXPECT(a.cost_pusd == 90);
    EXPECT(pk_account_ask(&a, &one, 11, &err) == PK_ACCOUNT_NO);
}

int main(void)
{
    RUN(so_many_calls_and_no_more);
    RUN(what_is_in_flight_is_waited_for_and_what_is_spent_is_gone);
    return test_end();
}
