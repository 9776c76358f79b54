/* iso.c - see iso.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "iso.h"

static const int64_t us_per_s = 1000000;

/* Takes exactly `digits` digits off the front; false when they are not there or not in min..max. */
static bool take(pk_str *rest, int digits, int min, int max, int *out)
{
    *out = 0;
    if (rest->len < (size_t)digits)
        return false;
    for (int i = 0; i < digits; i++) {
        char c = rest->at[i];

        if (c < '0' || c > '9')
            return false;
        *out = *out * 10 + (c - '0');
    }
    *rest = pk_str_sub(*rest, (size_t)digits, rest->len);
    return *out >= min && *out <= max;
}

static bool skip(pk_str *rest, const char *one_of)
{
    if (rest->len == 0 || pk_str_find(pk_str_of(one_of), rest->at[0]) < 0)
        return false;
    *rest = pk_str_sub(*rest, 1, rest->len);
    return true;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(pk_str *rest, int64_t *days)
{
    int year, month, day;

    if (!take(rest, 4, 1970, 9999, &year) || !skip(rest, "-") || !take(rest, 2, 1, 12, &month) ||
        !skip(rest, "-") || !take(rest, 2, 1, days_in(year, month), &day))
        return false;
    *days = day - 1;
    for (int y = 1970; y < year; y++)
        *days += 337 + days_in(y, 2);
    for (int m = 1; m < month; m++)
        *days += days_in(year, m);
    return true;
}

/* ".123456": more digits are cut. */
static bool take_fraction(pk_str *rest, int64_t *us)
{
    int64_t worth = us_per_s / 10;
    int digit;

    if (!take(rest, 1, 0, 9, &digit))
        return false;
    do {
        *us += digit * worth;
        worth /= 10;
    } while (rest->len && rest->at[0] >= '0' && rest->at[0] <= '9' && take(rest, 1, 0, 9, &digit));
    return true;
}

static bool take_clock(pk_str *rest, int64_t *us)
{
    int hour, minute, second = 0;

    *us = 0;
    if (!take(rest, 2, 0, 23, &hour) || !skip(rest, ":") || !take(rest, 2, 0, 59, &minute))
        return false;
    if (skip(rest, ":") &&
        (!take(rest, 2, 0, 60, &second) || (skip(rest, ".") && !take_fraction(rest, us))))
        return false;
    *us += (hour * 3600 + minute * 60 + second) * us_per_s;
    return true;
}

static bool take_zone(pk_str *rest, int64_t *us)
{
    int hour, minute;

    *us = 0;
    if (rest->len == 0 || skip(rest, "Zz"))
        return true;
    bool behind = rest->at[0] == '-';
    if (!skip(rest, "+-") || !take(rest, 2, 0, 23, &hour) || !skip(rest, ":") ||
        !take(rest, 2, 0, 59, &minute))
        return false;
    *us = (hour * 3600 + minute * 60) * us_per_s * (behind ? -1 : 1);
    return true;
}

bool pk_iso_us(pk_str text, int64_t *at_us)
{
    int64_t days, clock = 0, zone = 0;

    if (!take_date(&text, &days))
        return false;
    if (text.len && (!skip(&text, "Tt ") || !take_clock(&text, &clock) || !take_zone(&text, &zone)))
        return false;
    *at_us = days * 86400 * us_per_s + clock - zone;
    return text.len == 0;
}

/* Writes `digits` digits and then `mark`. */
static char *put(char *to, int64_t value, int digits, char mark)
{
    for (int i = digits - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
    to[digits] = mark;
    return to + digits + 1;
}

bool pk_expiry_read(pk_str text, int64_t now_us, int64_t *at_us, struct pk_error *err)
{
    if (!pk_iso_us(text, at_us))
        return pk_fail(err, PK_BAD_REQUEST,
                       "options.expires_at: must be a time like 2030-01-31T12:00:00Z");
    return *at_us > now_us || pk_fail(err, PK_BAD_REQUEST, "options.expires_at: is in the past");
}

void pk_iso_print(int64_t at_us, char out[PK_ISO_BYTES])
{
    int64_t s = at_us / us_per_s, days = s / 86400, of_day = s % 86400;
    int year = 1970, month = 1;
    char *to = out;

    for (; days >= 337 + days_in(year, 2); year++)
        days -= 337 + days_in(year, 2);
    for (; days >= days_in(year, month); month++)
        days -= days_in(year, month);
    to = put(to, year, 4, '-');
    to = put(to, month, 2, '-');
    to = put(to, days + 1, 2, 'T');
    to = put(to, of_day / 3600, 2, ':');
    to = put(to, of_day / 60 % 60, 2, ':');
    to = put(to, of_day % 60, 2, '.');
    to = put(to, at_us % us_per_s / 1000, 3, 'Z');
    *to = 0;
}
