/* limit.h - what may be used of what: budgets and rate limits. Pure.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A limit says whose use it counts (all calls, a virtual key, an API key, a config, a user, a role, a
 * member of the metadata), what of it (requests, tokens, dollars), how much is allowed, and in which
 * window of time. A value that is not given means that each value has a count of its own.
 *
 * Use is counted in slots. A calendar window (UTC; weeks begin on Monday) is one slot, "total" is one for
 * ever. A rolling window is made of PK_LIMIT_SLOTS slots, and a slot counts until all of it has left the
 * window, so that no window of that length, wherever it begins, has more in it than is allowed.
 *
 * A call sets aside the most that it may use before it is sent, and gives back what it did not use when
 * it is over; store_limit.h does both.
 */
#ifndef PK_LIMIT_H
#define PK_LIMIT_H

#include "arena.h"
#include "buf.h"
#include "json.h"

enum {
    PK_LIMIT_SLOTS = 60,       /* of a rolling window */
    PK_LIMIT_SLUG_BYTES = 320, /* of a limit's own name: that of an owner, and what it counts */
    PK_SUBJECT_BYTES = 256,    /* of whose count it is; what is longer is cut */
    PK_LIMITS_MAX = 4096,      /* limits of one store */
    PK_OWNED_MAX = 16,         /* limits in one rate_limits or usage_limits */
    PK_HOLDS_MAX = 32,         /* limits that one call may come under */
};

/* The most that a limit may allow: 4 million dollars, or that many tokens. Sums of two stay in int64. */
#define PK_LIMIT_AMOUNT_MAX INT64_C(4000000000000000000)

enum pk_limit_scope {
    PK_LS_ALL,
    PK_LS_API_KEY,
    PK_LS_CONFIG,
    PK_LS_METADATA,
    PK_LS_ROLE,
    PK_LS_USER,
    PK_LS_VIRTUAL_KEY,
};

enum pk_limit_counts { PK_LC_REQUESTS, PK_LC_TOKENS, PK_LC_COST };

enum pk_limit_window {
    PK_LW_SECOND,
    PK_LW_MINUTE,
    PK_LW_HOUR,
    PK_LW_DAY,
    PK_LW_WEEK,
    PK_LW_MONTH,
    PK_LW_TOTAL,
    PK_LW_DAYS, /* this and all that follow: every so many days from some day on, as pk_limit_days() makes them */
};
enum { PK_LW_DAYS_MAX = 365, PK_LW_TEXT = 48 };

/* The window of `days` days, 1 to PK_LW_DAYS_MAX, of which one begins with the day (UTC) of from_us. */
enum pk_limit_window pk_limit_days(int days, int64_t from_us);
/* How many days that are; 0: it is another window. */
int pk_limit_days_of(enum pk_limit_window window);
/* Whether there is such a window. */
bool pk_limit_is_window(int64_t number);

struct pk_limit {
    pk_str slug;
    enum pk_limit_scope scope;
    pk_str key;   /* METADATA: the member's name */
    pk_str value; /* of whom; empty: of each on its own, or of all calls */
    enum pk_limit_counts counts;
    enum pk_limit_window window;
    bool rolling; /* else by the calendar */
    bool budget;  /* refuses as a spent budget, not as a rate */
    int64_t amount;
    int64_t alert; /* use from which pk_alerts shows it; -1 = none */
};

struct pk_limits {
    const struct pk_limit *rows; /* as pk_limits_sort() leaves them */
    int count;
};

/* "virtual_key", "tokens", "minute": as the store spells them. */
const char *pk_limit_scope_name(enum pk_limit_scope scope);
const char *pk_limit_counts_name(enum pk_limit_counts counts);
/* "minute", "30 days from 2026-02-01". */
void pk_limit_window_print(enum pk_limit_window window, char text[PK_LW_TEXT]);
/* False when there is no such word. */
bool pk_limit_scope_of(pk_str name, enum pk_limit_scope *scope);
bool pk_limit_counts_of(pk_str name, enum pk_limit_counts *counts);
bool pk_limit_window_of(pk_str name, enum pk_limit_window *window);

/* "60 requests a minute", "5 dollars in all". */
void pk_limit_print(struct pk_buf *out, enum pk_limit_counts counts, enum pk_limit_window window,
                    int64_t amount);

/* The slot that `now_us` (since 1970) falls into, and when it stops to count: INT64_MAX = never. */
struct pk_slot {
    int64_t from_us, until_us;
};
struct pk_slot pk_limit_slot(enum pk_limit_window window, bool rolling, int64_t now_us);

/* --- documents: limit_read.c ------------------------------------------------------------- */

/* What pk_limit_put() takes: {"counts", "amount", "per" [, "rolling", "alert_threshold"] [, one of
 * "virtual_key", "api_key", "config", "user", "role": a name, or "*" for each on its own; or "metadata":
 * {"member": "value"}]}. Dollars for "cost". Strings go to `arena`. PK_BAD_REQUEST names the member. */
bool pk_limit_read(struct pk_arena *arena, pk_str slug, pk_str text, struct pk_limit *out,
                   struct pk_error *err) PK_MUST_CHECK;

struct pk_limit_list {
    struct pk_limit rows[2 * PK_OWNED_MAX];
    int count;
};

/* Portkey's rate_limits [{type, unit, value}] and usage_limits {credit_limit, type, alert_threshold,
 * periodic_reset or periodic_reset_days, next_usage_reset_at}, or a list of them, as limits of `owner`, which is a virtual key or an API key. A
 * rate counts in a rolling window, a budget by the calendar. `value` -1: none. */
struct pk_limit_owner {
    enum pk_limit_scope scope;
    pk_str slug;
    int64_t now_us; /* budgets of some days that say no date begin now */
};
bool pk_limit_read_rates(struct pk_arena *arena, const struct pk_json *doc, int value,
                         const struct pk_limit_owner *owner, struct pk_limit_list *list,
                         struct pk_error *err) PK_MUST_CHECK;
bool pk_limit_read_budgets(struct pk_arena *arena, const struct pk_json *doc, int value,
                           const struct pk_limit_owner *owner, struct pk_limit_list *list,
                           struct pk_error *err) PK_MUST_CHECK;

/* The window of a budget's periodic_reset ("daily", "weekly", "monthly"), periodic_reset_days and next_usage_reset_at,
 * each a value of the document or -1; `total` when there is none. Errors begin with the member. */
struct pk_limit_reset {
    int word, days, next;
    int64_t now_us;
};
bool pk_limit_read_reset(struct pk_arena *arena, const struct pk_json *doc,
                         const struct pk_limit_reset *reset, enum pk_limit_window *window,
                         struct pk_error *err) PK_MUST_CHECK;

/* Takes the budgets, or else the rates, out of the list. */
void pk_limits_drop(struct pk_limit_list *list, bool budgets);

/* --- which limits a call comes under ------------------------------------------------------ */

/* By what they count. */
void pk_limits_sort(struct pk_limit *rows, int count);
/* Whether some are of that scope. */
bool pk_limits_any(const struct pk_limits *limits, enum pk_limit_scope scope);

/* Who makes a call; empty: nobody in particular. */
struct pk_caller {
    pk_str virtual_key, api_key, config, user, role;
    pk_str metadata; /* JSON object or empty */
};

/* What a call has set aside of one limit, and what it used. A call has at most one of a limit and subject;
 * it stays in the slot in which it began. */
struct pk_hold {
    pk_str limit;   /* its slug */
    pk_str subject; /* whose count; empty: there is one for all */
    enum pk_limit_counts counts;
    enum pk_limit_window window;
    bool rolling, budget;
    bool of_target;      /* the target's virtual key is why: another target may do */
    bool applies;        /* to the attempt that is being made */
    struct pk_slot slot; /* set with the first grant */
    int64_t amount;      /* set aside now */
    int64_t want;        /* to be set aside: the most that the call will have used */
    int64_t used;        /* so far */
    bool leased;         /* set aside by the reservation `lease`, not by the call's own (lease.h) */
    uint8_t lease[16];
    int64_t ahead; /* of a question: to be set aside besides, for other calls, under `lease` */
    int64_t spare; /* what was */
};

/* By limit and subject: everybody locks in this order. At most PK_HOLDS_MAX. */
struct pk_holds {
    int count;
    struct pk_hold *rows;
};

/* Marks in `holds` what applies to `caller`, adding what is not there yet (in `arena`), and nothing else as applying.
 * PK_TOO_LARGE when a call comes under more than PK_HOLDS_MAX. */
bool pk_limits_match(struct pk_arena *arena, const struct pk_limits *limits,
                     const struct pk_caller *caller, struct pk_holds *holds,
                     struct pk_error *err) PK_MUST_CHECK;

#endif
