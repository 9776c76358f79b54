/* account.h - what the calls of one statement may use together.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The host has one for each statement, and every request of the statement points to it. A call is on it from before
 * its first attempt until its end: first with the most that it may cost (estimate.h), then with what it has cost. So
 * the bound holds however many calls are in flight; one that would fit if those in flight turn out cheaper waits.
 * What the cache answers costs nothing and is no call.
 */
#ifndef PK_ACCOUNT_H
#define PK_ACCOUNT_H

#include "base.h"

enum { PK_ACCOUNT_WAIT_MS = 25 }; /* before a call that must wait asks again */

struct pk_account {
    int64_t max_calls, max_cost_pusd; /* 0 = any */
    int64_t calls, cost_pusd;         /* so far */
    int64_t held_pusd;                /* by calls in flight, at most */
};

/* One call's part of it, zeroed at first. */
struct pk_account_share {
    bool counted;
    int64_t held_pusd;
};

enum pk_account_answer { PK_ACCOUNT_YES, PK_ACCOUNT_WAIT, PK_ACCOUNT_NO };

/* Whether an attempt may be made after which the call will have cost at most `most_pusd`. The first YES counts the
 * call. NO fills *err with PK_QUERY_LIMIT. */
enum pk_account_answer pk_account_ask(struct pk_account *a, struct pk_account_share *s,
                                      int64_t most_pusd, struct pk_error *err);
/* The call is over, and has cost so much; again does nothing. */
void pk_account_settle(struct pk_account *a, struct pk_account_share *s, int64_t cost_pusd);

#endif
