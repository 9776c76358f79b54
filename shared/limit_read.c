/* limit_read.c - limits as people write them. See limit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "limit.h"

#include "iso.h"

#include <stdio.h>
#include <string.h>

enum { USD_PLACES = 12, DIGITS_MAX = 40, EXPONENT_MAX = 30 };

/* --- numbers ----------------------------------------------------------------------------- */

/* The digits of a decimal number and where its point is: "1.5e-3" is "15" and -4. */
struct decimal {
    char digits[DIGITS_MAX];
    int count;
    int64_t exponent;
};

static bool read_mantissa(pk_str *rest, struct decimal *d)
{
    bool point = false;

    for (; rest->len; *rest = pk_str_sub(*rest, 1, rest->len)) {
        char c = rest->at[0];

        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        if (d->count == DIGITS_MAX)
            return false;
        if (d->count || c != '0')
            d->digits[d->count++] = c;
        d->exponent -= point;
    }
    return true;
}

static bool read_decimal(pk_str text, struct decimal *d)
{
    int64_t exponent = 0;

    *d = (struct decimal){.count = 0};
    if (text.len == 0 || text.at[0] == '-' || !read_mantissa(&text, d))
        return false;
    if (text.len) {
        if (text.at[0] != 'e' && text.at[0] != 'E')
            return false;
        text = pk_str_sub(text, text.len > 1 && text.at[1] == '+' ? 2 : 1, text.len);
        if (!pk_str_int(text, &exponent) || exponent < -EXPONENT_MAX || exponent > EXPONENT_MAX)
            return false;
    }
    d->exponent += exponent;
    return true;
}

/* The number `text` times 10^places; false when that is no integer, or more than a limit may allow. */
static bool scaled(pk_str text, int places, int64_t *out)
{
    struct decimal d;
    int64_t n = 0;

    if (!read_decimal(text, &d))
        return false;
    d.exponent += places;
    for (; d.exponent < 0 && d.count && d.digits[d.count - 1] == '0'; d.exponent++)
        d.count--;
    if (d.exponent < 0 && d.count)
        return false;
    for (int i = 0; d.count && i < d.count + d.exponent; i++) {
        if (n > PK_LIMIT_AMOUNT_MAX / 10)
            return false;
        n = n * 10 + (i < d.count ? d.digits[i] - '0' : 0);
    }
    *out = n;
    return n <= PK_LIMIT_AMOUNT_MAX;
}

/* --- members ----------------------------------------------------------------------------- */

struct reader {
    struct pk_arena *arena;
    const struct pk_json *doc;
    const char *path; /* of the object that is read */
    struct pk_error *err;
};

static bool read_amount(const struct reader *r, const char *name, int value,
                        enum pk_limit_counts counts, int64_t *out)
{
    enum pk_json_type type = pk_json_type(r->doc, value);
    pk_str text = type == PK_JSON_NUMBER ? pk_json_raw(r->doc, value) : PK_NONE;

    if (scaled(text, counts == PK_LC_COST ? USD_PLACES : 0, out) && *out > 0)
        return true;
    if (counts == PK_LC_COST)
        return pk_fail(r->err, PK_BAD_REQUEST,
                       "%s.%s: must be dollars, more than 0 and at most 4 million", r->path, name);
    return pk_fail(r->err, PK_BAD_REQUEST, "%s.%s: must be an integer, 1 or more", r->path, name);
}

static bool read_alert(const struct reader *r, int value, struct pk_limit *l)
{
    l->alert = -1;
    if (value < 0 || pk_json_type(r->doc, value) == PK_JSON_NULL)
        return true;
    if (!read_amount(r, "alert_threshold", value, l->counts, &l->alert))
        return false;
    return l->alert <= l->amount ||
           pk_fail(r->err, PK_BAD_REQUEST, "%s.alert_threshold: must not exceed the limit",
                   r->path);
}

static bool known_members(const struct reader *r, int object, const char *const *names)
{
    for (int k = pk_json_first(r->doc, object); k >= 0; k = pk_json_next(r->doc, object, k)) {
        int i = 0;

        while (names[i] && !pk_json_is(r->doc, k, names[i]))
            i++;
        if (!names[i])
            return pk_fail(r->err, PK_BAD_REQUEST, "%s: there is no member \"%.*s\"", r->path,
                           PK_FMT(pk_str_sub(pk_json_str(r->arena, r->doc, k), 0, 64)));
    }
    return true;
}

static bool is_object(const struct reader *r, int value)
{
    return pk_json_type(r->doc, value) == PK_JSON_OBJECT ||
           pk_fail(r->err, PK_BAD_REQUEST, "%s: must be an object, not %s", r->path,
                   pk_json_type_name(pk_json_type(r->doc, value)));
}

/* --- pk_limit_put() ---------------------------------------------------------------------- */

/* A value to count the use of; "*" becomes the empty string: each on its own. */
static bool read_whom(const struct reader *r, const char *name, int value, struct pk_limit *l)
{
    pk_str text = pk_json_str(r->arena, r->doc, value);

    if (text.len == 0 || text.len > PK_SUBJECT_BYTES)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.%s: must be a text of 1..%d bytes, or \"*\"",
                       r->path, name, PK_SUBJECT_BYTES);
    l->value = pk_str_is(text, "*") ? PK_NONE : text;
    return true;
}

static bool read_member(const struct reader *r, int object, struct pk_limit *l)
{
    int key = pk_json_first(r->doc, object);

    if (pk_json_type(r->doc, object) != PK_JSON_OBJECT || pk_json_count(r->doc, object) != 1)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.metadata: must be an object with one member",
                       r->path);
    l->key = pk_json_str(r->arena, r->doc, key);
    if (l->key.len == 0 || l->key.len > PK_SUBJECT_BYTES)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.metadata: a member's name has 1..%d bytes",
                       r->path, PK_SUBJECT_BYTES);
    return read_whom(r, "metadata", key + 1, l);
}

static bool read_scope(const struct reader *r, struct pk_limit *l)
{
    for (int s = PK_LS_API_KEY; s <= PK_LS_VIRTUAL_KEY; s++) {
        const char *name = pk_limit_scope_name((enum pk_limit_scope)s);
        int value = pk_json_get(r->doc, 0, name);

        if (value < 0)
            continue;
        if (l->scope != PK_LS_ALL)
            return pk_fail(r->err, PK_BAD_REQUEST,
                           "%s.%s: a limit counts one thing, and this one has \"%s\" already",
                           r->path, name, pk_limit_scope_name(l->scope));
        l->scope = (enum pk_limit_scope)s;
        if (l->scope == PK_LS_METADATA ? !read_member(r, value, l) : !read_whom(r, name, value, l))
            return false;
    }
    return true;
}

/* Days and shorter ones tell a rate; what counts for longer, or money, is a budget. */
static bool is_budget(const struct pk_limit *l)
{
    return l->counts == PK_LC_COST || l->window >= PK_LW_WEEK;
}

static bool read_window(const struct reader *r, struct pk_limit *l)
{
    int rolling = pk_json_get(r->doc, 0, "rolling");
    enum pk_json_type type = pk_json_type(r->doc, rolling);

    if (!pk_limit_window_of(pk_json_str(r->arena, r->doc, pk_json_get(r->doc, 0, "per")),
                            &l->window))
        return pk_fail(
            r->err, PK_BAD_REQUEST,
            "%s.per: must be second, minute, hour, day, week, month, total or \"N days from "
            "2026-01-31\"",
            r->path);
    if (rolling >= 0 && type != PK_JSON_TRUE && type != PK_JSON_FALSE)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.rolling: must be true or false", r->path);
    l->rolling = type == PK_JSON_TRUE;
    l->budget = is_budget(l);
    if (l->rolling && pk_limit_days_of(l->window))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.rolling: days from a date do not roll", r->path);
    return !(l->rolling && l->window == PK_LW_TOTAL) ||
           pk_fail(r->err, PK_BAD_REQUEST, "%s.rolling: \"total\" has no end to roll to", r->path);
}

bool pk_limit_read(struct pk_arena *arena, pk_str slug, pk_str text, struct pk_limit *out,
                   struct pk_error *err)
{
    static const char *const names[] = {
        "counts", "amount",   "per",  "rolling", "alert_threshold", "api_key",
        "config", "metadata", "role", "user",    "virtual_key",     NULL};
    struct pk_json doc;
    struct reader r = {arena, &doc, "limit", err};

    *out = (struct pk_limit){.slug = slug};
    if (!pk_json_parse(arena, text, "limit", &doc, err) || !is_object(&r, 0) ||
        !known_members(&r, 0, names))
        return false;
    if (!pk_limit_counts_of(pk_json_str(arena, &doc, pk_json_get(&doc, 0, "counts")), &out->counts))
        return pk_fail(err, PK_BAD_REQUEST, "limit.counts: must be requests, tokens or cost");
    if (!read_amount(&r, "amount", pk_json_get(&doc, 0, "amount"), out->counts, &out->amount) ||
        !read_alert(&r, pk_json_get(&doc, 0, "alert_threshold"), out) || !read_window(&r, out) ||
        !read_scope(&r, out))
        return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "limit: out of memory");
}

/* --- when a budget begins anew ------------------------------------------------------------ */

static bool is_given(const struct pk_json *doc, int value)
{
    return value >= 0 && pk_json_type(doc, value) != PK_JSON_NULL;
}

static bool read_word(const struct pk_json *doc, int value, enum pk_limit_window *window,
                      struct pk_error *err)
{
    static const char *const words[] = {"daily", "weekly", "monthly"};

    for (size_t i = 0; i < PK_COUNT(words); i++) {
        if (!pk_json_is(doc, value, words[i]))
            continue;
        *window = (enum pk_limit_window)(PK_LW_DAY + (int)i);
        return true;
    }
    return pk_fail(err, PK_BAD_REQUEST, "periodic_reset: must be daily, weekly or monthly");
}

/* The day of next_usage_reset_at; as it is when there is none. */
static bool read_next(struct pk_arena *arena, const struct pk_json *doc, int value, int64_t *at_us,
                      struct pk_error *err)
{
    static const int64_t day_us = INT64_C(86400) * 1000000, last_us = INT64_C(4102444800) * 1000000;

    return !is_given(doc, value) ||
           (pk_iso_us(pk_json_str(arena, doc, value), at_us) && *at_us >= 0 && *at_us < last_us &&
            *at_us % day_us == 0) ||
           pk_fail(
               err, PK_BAD_REQUEST,
               "next_usage_reset_at: must be a midnight (UTC) before 2100: 2026-01-31T00:00:00Z");
}

bool pk_limit_read_reset(struct pk_arena *arena, const struct pk_json *doc,
                         const struct pk_limit_reset *reset, enum pk_limit_window *window,
                         struct pk_error *err)
{
    bool word = is_given(doc, reset->word), next = is_given(doc, reset->next);
    int64_t days = 0, from_us = reset->now_us;

    *window = PK_LW_TOTAL;
    if ((word && !read_word(doc, reset->word, window, err)) ||
        !read_next(arena, doc, reset->next, &from_us, err))
        return false;
    if (is_given(doc, reset->days)) {
        if (!pk_json_int(doc, reset->days, &days) || days < 1 || days > PK_LW_DAYS_MAX)
            return pk_fail(err, PK_BAD_REQUEST, "periodic_reset_days: must be 1..%d",
                           PK_LW_DAYS_MAX);
        if (word)
            return pk_fail(err, PK_BAD_REQUEST,
                           "periodic_reset_days: stands in the place of periodic_reset");
    } else if (next && *window == PK_LW_WEEK) {
        days = 7;
    } else if (next && *window != PK_LW_DAY) {
        bool first =
            *window == PK_LW_MONTH && pk_limit_slot(PK_LW_MONTH, false, from_us).from_us == from_us;
        return first ||
               pk_fail(
                   err, PK_BAD_REQUEST, "next_usage_reset_at: %s",
                   word
                       ? "a monthly budget begins anew with the month; periodic_reset_days does not"
                       : "needs periodic_reset or periodic_reset_days");
    }
    if (days)
        *window = pk_limit_days((int)days, from_us);
    return true;
}

/* --- rate_limits, usage_limits ------------------------------------------------------------ */

static bool add(const struct reader *r, const struct pk_limit_owner *owner, struct pk_limit *l,
                struct pk_limit_list *list)
{
    l->scope = owner->scope;
    l->value = owner->slug;
    int days = pk_limit_days_of(l->window);
    char per[PK_LW_TEXT];

    pk_limit_window_print(l->window, per);
    if (days) /* what was used counts on whatever day they are counted from */
        (void)snprintf(per, sizeof per, "%ddays", days);
    l->slug = pk_copyf(r->arena, "%s:%.*s:%s:%s", pk_limit_scope_name(owner->scope),
                       PK_FMT(owner->slug), pk_limit_counts_name(l->counts), per);
    for (int i = 0; i < list->count; i++)
        if (pk_str_eq(list->rows[i].slug, l->slug))
            return pk_fail(r->err, PK_BAD_REQUEST, "%s: there is another limit of %s a %s", r->path,
                           pk_limit_counts_name(l->counts), per);
    if (list->count == (int)PK_COUNT(list->rows))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: more than %d", r->path, PK_OWNED_MAX);
    list->rows[list->count++] = *l;
    return true;
}

static bool read_rate(const struct reader *r, int value, const struct pk_limit_owner *owner,
                      struct pk_limit_list *list)
{
    static const char *const names[] = {"type", "unit", "value", NULL};
    static const char *const units[] = {"rps", "rpm", "rph", "rpd", "rpw", NULL};
    struct pk_limit l = {.rolling = true, .alert = -1};
    int unit = pk_json_get(r->doc, value, "unit"), i = 0;

    if (!is_object(r, value) || !known_members(r, value, names))
        return false;
    if (!pk_limit_counts_of(pk_json_str(r->arena, r->doc, pk_json_get(r->doc, value, "type")),
                            &l.counts) ||
        l.counts == PK_LC_COST)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.type: must be requests or tokens", r->path);
    while (units[i] && !pk_json_is(r->doc, unit, units[i]))
        i++;
    if (!units[i])
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.unit: must be rps, rpm, rph, rpd or rpw",
                       r->path);
    l.window = (enum pk_limit_window)i;
    return read_amount(r, "value", pk_json_get(r->doc, value, "value"), l.counts, &l.amount) &&
           add(r, owner, &l, list);
}

static bool read_budget(const struct reader *r, int value, const struct pk_limit_owner *owner,
                        struct pk_limit_list *list)
{
    static const char *const names[] = {
        "credit_limit",        "type", "alert_threshold", "periodic_reset", "periodic_reset_days",
        "next_usage_reset_at", NULL};
    struct pk_limit l = {.counts = PK_LC_COST, .budget = true};
    int type = pk_json_get(r->doc, value, "type");
    const struct pk_limit_reset reset = {pk_json_get(r->doc, value, "periodic_reset"),
                                         pk_json_get(r->doc, value, "periodic_reset_days"),
                                         pk_json_get(r->doc, value, "next_usage_reset_at"),
                                         owner->now_us};
    struct pk_error why = {0};

    if (!is_object(r, value) || !known_members(r, value, names))
        return false;
    if (pk_json_is(r->doc, type, "tokens"))
        l.counts = PK_LC_TOKENS;
    else if (type >= 0 && !pk_json_is(r->doc, type, "cost"))
        return pk_fail(r->err, PK_BAD_REQUEST, "%s.type: must be cost or tokens", r->path);
    if (!pk_limit_read_reset(r->arena, r->doc, &reset, &l.window, &why))
        return pk_fail(r->err, why.code, "%s.%s", r->path, why.msg);
    return read_amount(r, "credit_limit", pk_json_get(r->doc, value, "credit_limit"), l.counts,
                       &l.amount) &&
           read_alert(r, pk_json_get(r->doc, value, "alert_threshold"), &l) &&
           add(r, owner, &l, list);
}

typedef bool read_one(const struct reader *r, int value, const struct pk_limit_owner *owner,
                      struct pk_limit_list *list);

/* One, or a list of them. */
static bool read_all(struct reader *r, int value, const struct pk_limit_owner *owner,
                     struct pk_limit_list *list, read_one *read)
{
    const char *name = r->path;
    int i = 0;

    if (value < 0 || pk_json_type(r->doc, value) == PK_JSON_NULL)
        return true;
    if (pk_json_type(r->doc, value) != PK_JSON_ARRAY)
        return read(r, value, owner, list);
    if (pk_json_count(r->doc, value) > PK_OWNED_MAX)
        return pk_fail(r->err, PK_BAD_REQUEST, "%s: more than %d", name, PK_OWNED_MAX);
    for (int v = pk_json_first(r->doc, value); v >= 0; v = pk_json_next(r->doc, value, v)) {
        pk_str path = pk_copyf(r->arena, "%s[%d]", name, i++);

        if (!path.at)
            return pk_fail(r->err, PK_NO_MEMORY, "%s: out of memory", name);
        r->path = path.at;
        if (!read(r, v, owner, list))
            return false;
    }
    return true;
}

bool pk_limit_read_rates(struct pk_arena *arena, const struct pk_json *doc, int value,
                         const struct pk_limit_owner *owner, struct pk_limit_list *list,
                         struct pk_error *err)
{
    struct reader r = {arena, doc, "options.rate_limits", err};

    return read_all(&r, value, owner, list, read_rate);
}

bool pk_limit_read_budgets(struct pk_arena *arena, const struct pk_json *doc, int value,
                           const struct pk_limit_owner *owner, struct pk_limit_list *list,
                           struct pk_error *err)
{
    struct reader r = {arena, doc, "options.usage_limits", err};

    return read_all(&r, value, owner, list, read_budget);
}

void pk_limits_drop(struct pk_limit_list *list, bool budgets)
{
    int kept = 0;

    for (int i = 0; i < list->count; i++)
        if (list->rows[i].budget != budgets)
            list->rows[kept++] = list->rows[i];
    list->count = kept;
}
