/* schema_format.c - `format` as a rule: dates, addresses, identifiers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "schema_inner.h"
#include "url.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* `count` digits at *at as a number, or -1; moves behind them. */
static int digits(pk_str s, size_t *at, size_t count)
{
    int n = 0;

    for (size_t i = 0; i < count; i++, (*at)++) {
        if (*at >= s.len || !is_digit(s.at[*at]))
            return -1;
        n = n * 10 + (s.at[*at] - '0');
    }
    return n;
}

static bool skip(pk_str s, size_t *at, const char *any)
{
    if (*at >= s.len || !strchr(any, s.at[*at]))
        return false;
    ++*at;
    return true;
}

/* RFC 3339 full-date */
static bool date(pk_str s)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    size_t at = 0;
    int year = digits(s, &at, 4);
    int month = skip(s, &at, "-") ? digits(s, &at, 2) : -1;
    int day = skip(s, &at, "-") ? digits(s, &at, 2) : -1;

    if (year < 0 || month < 1 || month > 12 || day < 1 || at != s.len)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month - 1] + (leap && month == 2);
}

/* RFC 3339 full-time; a leap second only where UTC has it, at 23:59:60 */
static bool time_of_day(pk_str s)
{
    size_t at = 0;
    int hour = digits(s, &at, 2);
    int minute = skip(s, &at, ":") ? digits(s, &at, 2) : -1;
    int second = skip(s, &at, ":") ? digits(s, &at, 2) : -1;
    int sign = 0, h = 0, m = 0;

    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    if (skip(s, &at, ".")) {
        if (digits(s, &at, 1) < 0)
            return false;
        while (at < s.len && is_digit(s.at[at]))
            at++;
    }
    if (!skip(s, &at, "zZ")) {
        sign = at < s.len && s.at[at] == '-' ? -1 : 1;
        h = skip(s, &at, "+-") ? digits(s, &at, 2) : -1;
        m = skip(s, &at, ":") ? digits(s, &at, 2) : -1;
    }
    if (h < 0 || h > 23 || m < 0 || m > 59 || at != s.len)
        return false;
    int utc = (hour * 60 + minute - sign * (h * 60 + m) + 2 * 1440) % 1440;
    return second < 60 || utc == 1439;
}

static bool date_time(pk_str s)
{
    return s.len > 11 && date(pk_str_sub(s, 0, 10)) && strchr("tT", s.at[10]) &&
           time_of_day(pk_str_sub(s, 11, s.len));
}

/* RFC 1123: letters, digits and hyphens in labels of at most 63. */
static bool hostname(pk_str s)
{
    size_t label = 0;

    if (s.len == 0 || s.len > 253)
        return false;
    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && s.at[i] != '.') {
            if (!is_letter(s.at[i]) && !is_digit(s.at[i]) && s.at[i] != '-')
                return false;
            continue;
        }
        if (i == label || i - label > 63 || s.at[label] == '-' || s.at[i - 1] == '-')
            return false;
        label = i + 1;
    }
    return true;
}

static bool ipv4(pk_str s)
{
    size_t at = 0;

    for (int part = 0; part < 4; part++) {
        size_t start = at;
        int n = 0;

        while (at < s.len && is_digit(s.at[at]) && at - start < 3)
            n = n * 10 + (s.at[at++] - '0');
        if (at == start || n > 255 || (at - start > 1 && s.at[start] == '0'))
            return false;
        if (part < 3 && !skip(s, &at, "."))
            return false;
    }
    return at == s.len;
}

/* RFC 4291, section 2.2 */
static bool ipv6(pk_str s)
{
    int groups = 0;
    bool gap = false;
    size_t at = 0;

    while (at < s.len) {
        size_t start;

        if (at + 1 < s.len && s.at[at] == ':' && s.at[at + 1] == ':') {
            if (gap)
                return false;
            gap = true;
            at += 2;
            continue;
        }
        if (groups > 0 && s.at[at - 1] != ':' && !skip(s, &at, ":"))
            return false;
        start = at;
        while (at < s.len && pk_hex_digit(s.at[at]) >= 0 && at - start < 4)
            at++;
        if (at < s.len && s.at[at] == '.' && groups <= 6) {
            groups += 2;
            if (!ipv4(pk_str_sub(s, start, s.len)))
                return false;
            break;
        }
        if (at == start || ++groups > 8)
            return false;
    }
    return gap ? groups <= 7 : groups == 8;
}

/* RFC 5321, without quotes and comments that nobody has. */
static bool email(pk_str s)
{
    int at = pk_str_find(s, '@');
    pk_str local = pk_str_sub(s, 0, at < 0 ? 0 : (size_t)at);
    pk_str domain = pk_str_sub(s, local.len + 1, s.len);

    if (at < 1 || local.len > 64 || local.at[0] == '.' || pk_str_ends(local, "."))
        return false;
    for (size_t i = 0; i < local.len; i++) {
        char c = local.at[i];

        if (!is_letter(c) && !is_digit(c) && !strchr("!#$%&'*+-/=?^_`{|}~.", c) &&
            (unsigned char)c < 0x80)
            return false;
        if (c == '.' && local.at[i + 1] == '.')
            return false;
    }
    if (pk_str_starts(domain, "[IPv6:") && pk_str_ends(domain, "]"))
        return ipv6(pk_str_sub(domain, 6, domain.len - 7));
    if (pk_str_starts(domain, "[") && pk_str_ends(domain, "]"))
        return ipv4(pk_str_sub(domain, 1, domain.len - 2));
    return hostname(domain);
}

/* RFC 9562: 8-4-4-4-12 hexadecimal digits */
static bool uuid(pk_str s)
{
    if (s.len != 36)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? s.at[i] != '-' : pk_hex_digit(s.at[i]) < 0)
            return false;
    }
    return true;
}

/* The characters of RFC 3986, percent-encoding complete. */
static bool uri_characters(pk_str s)
{
    int opened = 0, closed = 0;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i], unused;

        if (c == '%' && pk_url_byte(s, i, &unused) == 1)
            return false;
        if (!is_letter(c) && !is_digit(c) && (!c || !strchr("-._~:/?#[]@!$&'()*+,;=%", c)))
            return false;
        opened += c == '[';
        closed += c == ']';
    }
    return opened <= 1 && opened == closed;
}

static bool uri_reference(pk_str s)
{
    int hash = pk_str_find(s, '#');

    return uri_characters(s) &&
           (hash < 0 || pk_str_find(pk_str_sub(s, (size_t)hash + 1, s.len), '#') < 0);
}

static bool uri(pk_str s)
{
    size_t i = 0;

    while (i < s.len && (is_letter(s.at[i]) || is_digit(s.at[i]) || strchr("+-.", s.at[i])))
        i++;
    return i > 0 && is_letter(s.at[0]) && i < s.len && s.at[i] == ':' && uri_reference(s);
}

static const struct {
    const char *name;
    pk_schema_format *holds;
} formats[] = {
    {"date-time", date_time}, {"date", date},
    {"time", time_of_day},    {"email", email},
    {"hostname", hostname},   {"ipv4", ipv4},
    {"ipv6", ipv6},           {"uri", uri},
    {"uuid", uuid},           {"uri-reference", uri_reference},
};

pk_schema_format *pk_schema_format_of(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(formats); i++)
        if (pk_str_is(name, formats[i].name))
            return formats[i].holds;
    return NULL;
}
