/* limit.c - words, windows, and which limits a call comes under. See limit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "limit.h"

#include "iso.h"
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t us_per_s = 1000000, s_per_day = 86400;

static const char *const scope_names[] = {"all",  "api_key", "config",     "metadata",
                                          "role", "user",    "virtual_key"};
static const char *const counts_names[] = {"requests", "tokens", "cost"};
static const char *const window_names[] = {"second", "minute", "hour", "day",
                                           "week",   "month",  "total"};

const char *pk_limit_scope_name(enum pk_limit_scope scope)
{
    return scope_names[scope];
}

const char *pk_limit_counts_name(enum pk_limit_counts counts)
{
    return counts_names[counts];
}

/* Days since 1970 and the length, in one number. */
enum {
    DAYS_RADIX = PK_LW_DAYS_MAX + 1,
    LAST_DAY = 2932896,
    LW_MAX = PK_LW_DAYS + LAST_DAY * DAYS_RADIX
};

enum pk_limit_window pk_limit_days(int days, int64_t from_us)
{
    int64_t day = from_us / (s_per_day * us_per_s);

    PK_ASSERT(days > 0 && days <= PK_LW_DAYS_MAX);
    PK_ASSERT(day >= 0 && day < LAST_DAY);
    return (enum pk_limit_window)(PK_LW_DAYS + day * DAYS_RADIX + days);
}

int pk_limit_days_of(enum pk_limit_window window)
{
    return window < PK_LW_DAYS ? 0 : (int)(window - PK_LW_DAYS) % DAYS_RADIX;
}

bool pk_limit_is_window(int64_t number)
{
    return number >= 0 && number <= LW_MAX &&
           (number < PK_LW_DAYS || (number - PK_LW_DAYS) % DAYS_RADIX != 0);
}

static int64_t first_day(enum pk_limit_window window)
{
    return (int)(window - PK_LW_DAYS) / DAYS_RADIX;
}

void pk_limit_window_print(enum pk_limit_window window, char text[PK_LW_TEXT])
{
    char date[PK_ISO_BYTES];

    if (window < PK_LW_DAYS) {
        (void)snprintf(text, PK_LW_TEXT, "%s", window_names[window]);
        return;
    }
    pk_iso_print(first_day(window) * s_per_day * us_per_s, date);
    (void)snprintf(text, PK_LW_TEXT, "%d days from %.10s", pk_limit_days_of(window), date);
}

/* "30 days from 2026-02-01" */
static bool read_days(pk_str text, enum pk_limit_window *window)
{
    static const char words[] = " days from ";
    int blank = pk_str_find(text, ' ');
    pk_str rest = pk_str_sub(text, blank < 0 ? text.len : (size_t)blank, text.len);
    int64_t days, from_us;

    if (!pk_str_starts(rest, words) ||
        !pk_str_int(pk_str_sub(text, 0, text.len - rest.len), &days) || days < 1 ||
        days > PK_LW_DAYS_MAX)
        return false;
    pk_str date = pk_str_sub(rest, sizeof words - 1, rest.len);
    if (date.len != 10 || !pk_iso_us(date, &from_us) || from_us < 0 ||
        from_us / (s_per_day * us_per_s) >= LAST_DAY)
        return false;
    *window = pk_limit_days((int)days, from_us);
    return true;
}

static int index_of(const char *const *names, size_t count, pk_str name)
{
    for (size_t i = 0; i < count; i++)
        if (pk_str_is(name, names[i]))
            return (int)i;
    return -1;
}

bool pk_limit_scope_of(pk_str name, enum pk_limit_scope *scope)
{
    int i = index_of(scope_names, PK_COUNT(scope_names), name);

    *scope = i < 0 ? PK_LS_ALL : (enum pk_limit_scope)i;
    return i >= 0;
}

bool pk_limit_counts_of(pk_str name, enum pk_limit_counts *counts)
{
    int i = index_of(counts_names, PK_COUNT(counts_names), name);

    *counts = i < 0 ? PK_LC_REQUESTS : (enum pk_limit_counts)i;
    return i >= 0;
}

bool pk_limit_window_of(pk_str name, enum pk_limit_window *window)
{
    int i = index_of(window_names, PK_COUNT(window_names), name);

    *window = i < 0 ? PK_LW_TOTAL : (enum pk_limit_window)i;
    return i >= 0 || read_days(name, window);
}

void pk_limit_print(struct pk_buf *out, enum pk_limit_counts counts, enum pk_limit_window window,
                    int64_t amount)
{
    char usd[32];

    if (counts == PK_LC_COST) {
        pk_usd_print(amount, usd);
        pk_buf_addf(out, "%s dollar%s", usd, strcmp(usd, "1") == 0 ? "" : "s");
    } else {
        int letters = (int)strlen(counts_names[counts]) - (amount == 1); /* "1 request" */
        pk_buf_addf(out, "%lld %.*s", (long long)amount, letters, counts_names[counts]);
    }
    int days = pk_limit_days_of(window);
    char word[PK_LW_TEXT];

    pk_limit_window_print(window, word);
    if (window == PK_LW_TOTAL)
        pk_buf_adds(out, " in all");
    else if (days)
        pk_buf_addf(out, " in %d day%s", days, days == 1 ? "" : "s");
    else
        pk_buf_addf(out, " %s %s", window == PK_LW_HOUR ? "an" : "a", word);
}

/* --- windows ----------------------------------------------------------------------------- */

/* Days since 1970 to the first of the month, `months` later; by the calendar of eras of 400 years. */
static int64_t month_start(int64_t days, int months)
{
    int64_t z = days + 719468, era = z / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t m = (5 * doy + 2) / 153 + months; /* from March */

    yoe += m / 12;
    m %= 12;
    era += yoe / 400;
    yoe %= 400;
    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + (153 * m + 2) / 5 - 719468;
}

static int64_t seconds_of(enum pk_limit_window window)
{
    switch (window) {
    case PK_LW_SECOND: return 1;
    case PK_LW_MINUTE: return 60;
    case PK_LW_HOUR: return 3600;
    case PK_LW_DAY: return s_per_day;
    case PK_LW_WEEK: return 7 * s_per_day;
    case PK_LW_MONTH: return 30 * s_per_day; /* when it rolls */
    case PK_LW_TOTAL:
    case PK_LW_DAYS: break;
    }
    return 0;
}

static struct pk_slot days_slot(enum pk_limit_window window, int64_t now_us)
{
    int64_t day_us = s_per_day * us_per_s, today = now_us / day_us;
    int64_t days = pk_limit_days_of(window);

    PK_ASSERT(days > 0);
    int64_t over = (today - first_day(window)) % days;
    int64_t from = today - (over < 0 ? over + days : over);

    return (struct pk_slot){from * day_us, (from + days) * day_us};
}

static struct pk_slot rolling_slot(int64_t window_us, int64_t now_us)
{
    int64_t width = window_us / PK_LIMIT_SLOTS;
    int64_t from = now_us / width * width;

    return (struct pk_slot){from, from + width + window_us};
}

struct pk_slot pk_limit_slot(enum pk_limit_window window, bool rolling, int64_t now_us)
{
    int64_t length = seconds_of(window) * us_per_s, day_us = s_per_day * us_per_s;
    /* 1970 began on a Thursday, three days into its week. */
    int64_t shift = window == PK_LW_WEEK ? 3 * day_us : 0;

    PK_ASSERT(now_us >= 0);
    if (window == PK_LW_TOTAL)
        return (struct pk_slot){0, INT64_MAX};
    if (pk_limit_days_of(window))
        return days_slot(window, now_us);
    PK_ASSERT(length >= us_per_s);
    if (rolling)
        return rolling_slot(length, now_us);
    if (window == PK_LW_MONTH)
        return (struct pk_slot){month_start(now_us / day_us, 0) * day_us,
                                month_start(now_us / day_us, 1) * day_us};
    int64_t from = (now_us + shift) / length * length - shift;
    return (struct pk_slot){from, from + length};
}

/* --- which limits apply ------------------------------------------------------------------ */

static int compare(pk_str a, pk_str b)
{
    int c = memcmp(a.at ? a.at : "", b.at ? b.at : "", a.len < b.len ? a.len : b.len);

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* What limits are looked up by. */
struct place {
    enum pk_limit_scope scope;
    pk_str key, value;
};

static int stands(const struct pk_limit *l, const struct place *p)
{
    int c = ((int)l->scope > (int)p->scope) - ((int)l->scope < (int)p->scope);

    if (c == 0)
        c = compare(l->key, p->key);
    return c ? c : compare(l->value, p->value);
}

static int in_order(const void *a, const void *b)
{
    const struct pk_limit *x = a, *y = b;
    int c = stands(x, &(struct place){y->scope, y->key, y->value});

    return c ? c : compare(x->slug, y->slug);
}

void pk_limits_sort(struct pk_limit *rows, int count)
{
    if (count)
        qsort(rows, (size_t)count, sizeof *rows, in_order);
}

/* The first row that does not stand before `p`. */
static int lower_bound(const struct pk_limits *limits, const struct place *p)
{
    int from = 0, to = limits->count;

    while (from < to) {
        int middle = from + (to - from) / 2;

        if (stands(&limits->rows[middle], p) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

bool pk_limits_any(const struct pk_limits *limits, enum pk_limit_scope scope)
{
    if (limits->count == 0 || limits->rows[limits->count - 1].scope < scope)
        return false; /* they stand by scope */
    return limits->rows[lower_bound(limits, &(struct place){.scope = scope})].scope == scope;
}

struct match {
    struct pk_arena *arena;
    const struct pk_limits *limits;
    struct pk_holds *holds;
    struct pk_error *err;
};

/* A new one at place i. NULL: there are too many, or no memory. */
static struct pk_hold *insert(struct match *m, int i)
{
    struct pk_holds *holds = m->holds;
    struct pk_hold *rows;

    if (holds->count == PK_HOLDS_MAX) {
        (void)pk_fail(m->err, PK_TOO_LARGE, "limits: more than %d apply to one call", PK_HOLDS_MAX);
        return NULL;
    }
    rows = pk_alloc_row(m->arena, holds->rows, holds->count, sizeof *rows);
    if (!rows) {
        (void)pk_fail(m->err, PK_NO_MEMORY, "limits: out of memory");
        return NULL;
    }
    memmove(&rows[i + 1], &rows[i], (size_t)(holds->count - i) * sizeof *rows);
    holds->rows = rows;
    holds->count++;
    return &rows[i];
}

/* The hold of a limit and subject; made, in its place, when there is none. NULL with m->err: it cannot be. */
static struct pk_hold *hold_of(struct match *m, pk_str limit, pk_str subject)
{
    struct pk_holds *holds = m->holds;
    int i = 0;

    for (; i < holds->count; i++) {
        const struct pk_hold *h = &holds->rows[i];
        int c = compare(h->limit, limit);

        if (c == 0)
            c = compare(h->subject, subject);
        if (c == 0)
            return &holds->rows[i];
        if (c > 0)
            break;
    }
    struct pk_hold *h = insert(m, i);
    if (h)
        *h = (struct pk_hold){.limit = limit, .subject = subject};
    return h;
}

/* At most PK_SUBJECT_BYTES, whole characters. */
static pk_str cut(pk_str s)
{
    if (s.len <= PK_SUBJECT_BYTES)
        return s;
    s.len = PK_SUBJECT_BYTES;
    while (s.len && ((unsigned char)s.at[s.len] & 0xc0) == 0x80)
        s.len--;
    return s;
}

/* Takes the limits that stand at `p`, for `subject`. */
static bool take(struct match *m, const struct place *p, pk_str subject)
{
    for (int i = lower_bound(m->limits, p); i < m->limits->count; i++) {
        const struct pk_limit *l = &m->limits->rows[i];

        if (stands(l, p) != 0)
            break;
        struct pk_hold *h = hold_of(m, l->slug, subject);
        if (!h)
            return false;
        h->counts = l->counts;
        h->window = l->window;
        h->rolling = l->rolling;
        h->budget = l->budget;
        h->of_target = p->scope == PK_LS_VIRTUAL_KEY;
        h->applies = true;
    }
    return true;
}

/* The limits on this very value, and those that count each value on its own. */
static bool take_both(struct match *m, enum pk_limit_scope scope, pk_str key, pk_str value)
{
    const struct place exact = {scope, key, value}, each = {scope, key, PK_NONE};

    if (value.len == 0 || !pk_limits_any(m->limits, scope))
        return true;
    return take(m, &exact, cut(value)) && take(m, &each, cut(value));
}

/* The text of a member: a string's content, or a number or word as it is spelled. */
static pk_str member_text(struct pk_arena *arena, const struct pk_json *doc, int value)
{
    switch (pk_json_type(doc, value)) {
    case PK_JSON_STRING: return pk_json_str(arena, doc, value);
    case PK_JSON_NUMBER:
    case PK_JSON_TRUE:
    case PK_JSON_FALSE: return pk_json_raw(doc, value);
    case PK_JSON_NONE:
    case PK_JSON_NULL:
    case PK_JSON_ARRAY:
    case PK_JSON_OBJECT: break;
    }
    return PK_NONE;
}

static bool take_metadata(struct match *m, struct pk_arena *arena, pk_str metadata)
{
    struct pk_json doc;

    if (metadata.len == 0 || !pk_limits_any(m->limits, PK_LS_METADATA))
        return true;
    if (!pk_json_parse(arena, metadata, "metadata", &doc, m->err))
        return false;
    for (int k = pk_json_first(&doc, 0); k >= 0; k = pk_json_next(&doc, 0, k)) {
        pk_str name = pk_copy(arena, pk_json_str(arena, &doc, k));

        if (name.at && pk_json_get(&doc, 0, name.at) == k + 1 && /* the last of its name */
            !take_both(m, PK_LS_METADATA, name, member_text(arena, &doc, k + 1)))
            return false;
    }
    return true;
}

bool pk_limits_match(struct pk_arena *arena, const struct pk_limits *limits,
                     const struct pk_caller *caller, struct pk_holds *holds, struct pk_error *err)
{
    struct match m = {arena, limits, holds, err};
    const struct place all = {.scope = PK_LS_ALL};

    for (int i = 0; i < holds->count; i++)
        holds->rows[i].applies = false;
    if (!take(&m, &all, PK_NONE) ||
        !take_both(&m, PK_LS_VIRTUAL_KEY, PK_NONE, caller->virtual_key) ||
        !take_both(&m, PK_LS_API_KEY, PK_NONE, caller->api_key) ||
        !take_both(&m, PK_LS_CONFIG, PK_NONE, caller->config) ||
        !take_both(&m, PK_LS_USER, PK_NONE, caller->user) ||
        !take_both(&m, PK_LS_ROLE, PK_NONE, caller->role) ||
        !take_metadata(&m, arena, caller->metadata))
        return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "limits: out of memory");
}
