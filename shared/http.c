/* http.c - see http.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "http.h"

#include <ctype.h>
#include <string.h>

static const pk_str framing[] = {
    PK_NAME("host"),
    PK_NAME("content-length"),
    PK_NAME("transfer-encoding"),
    PK_NAME("connection"),
    PK_NAME("keep-alive"),
    PK_NAME("te"),
    PK_NAME("trailer"),
    PK_NAME("upgrade"),
    PK_NAME("expect"),
    PK_NAME("cookie"),
    PK_NAME("proxy-authorization"),
    PK_NAME("accept-encoding"),
};

static const pk_str credentials[] = {PK_NAME("authorization"), PK_NAME("x-api-key"),
                                     PK_NAME("api-key"), PK_NAME("x-goog-api-key")};

/* What a client may see of a provider's headers: whole names, and names that start so. */
static const pk_str relayed[] = {
    PK_NAME("retry-after"),
    PK_NAME("retry-after-ms"),
    PK_NAME("x-ms-retry-after-ms"),
    PK_NAME("x-should-retry"),
    PK_NAME("request-id"),
    PK_NAME("x-request-id"),
    PK_NAME("x-amzn-requestid"),
    PK_NAME("apim-request-id"),
    PK_NAME("x-ms-request-id"),
    PK_NAME("x-ms-region"),
    PK_NAME("x-goog-request-id"),
    PK_NAME("x-generation-id"),
    PK_NAME("cf-ray"),
    PK_NAME("openai-processing-ms"),
    PK_NAME("openai-model"),
    PK_NAME("openai-version"),
    PK_NAME("x-envoy-upstream-service-time"),
    PK_NAME("x-inference-time"),
    PK_NAME("x-compute-time"),
    PK_NAME("x-groq-region"),
};
static const char *const relayed_prefixes[] = {"x-ratelimit-", "ratelimit-",
                                               "anthropic-ratelimit-"};

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Without the blanks, and what else ends a line, on both sides. */
static pk_str between(const char *from, const char *to)
{
    while (from < to && (blank(*from) || *from == '\r' || *from == '\n'))
        from++;
    while (from < to && (blank(to[-1]) || to[-1] == '\r' || to[-1] == '\n'))
        to--;
    return (pk_str){from, (size_t)(to - from)};
}

/* A line that starts with a blank continues the one before (obsolete folding): nobody needs it. */
static bool split(pk_str line, pk_str *name, pk_str *value)
{
    const char *end = line.at + line.len, *colon = memchr(line.at, ':', line.len);

    if (!colon || colon == line.at || blank(line.at[0]))
        return false;
    *name = between(line.at, colon);
    *value = between(colon + 1, end);
    return name->len > 0;
}

/* Takes a line off the front; false: nothing is left. */
static bool next_line(pk_str *rest, pk_str *line)
{
    const char *end = rest->len ? memchr(rest->at, '\n', rest->len) : NULL;
    size_t len = end ? (size_t)(end - rest->at) + 1 : rest->len;

    if (len == 0)
        return false;
    *line = (pk_str){rest->at, len};
    *rest = (pk_str){rest->at + len, rest->len - len};
    return true;
}

bool pk_http_next_header(pk_str *rest, pk_str *name, pk_str *value)
{
    pk_str line;

    while (next_line(rest, &line))
        if (split(line, name, value))
            return true;
    return false;
}

/* Most lines differ from the name in the first letter. */
pk_str pk_http_header(pk_str headers, const char *name)
{
    pk_str line, n, value;

    while (next_line(&headers, &line))
        if (((line.at[0] ^ name[0]) & ~('a' ^ 'A')) == 0 && split(line, &n, &value) &&
            pk_str_is_nocase(n, name))
            return value;
    return PK_NONE;
}

/* Parses digits of exactly s.len; -1 when there is anything else. */
static int number(pk_str s)
{
    int n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return -1;
        n = n * 10 + (s.at[i] - '0');
    }
    return n;
}

/* The index of the three letters in a list of such, or -1. */
static int position(pk_str s, const char *list)
{
    for (int i = 0; list[i * 3]; i++)
        if (memcmp(list + i * 3, s.at, 3) == 0)
            return i;
    return -1;
}

/* Days since 1970-01-01 of a Gregorian date; years are counted from March, so that a leap day is
 * the last of its year. */
static int64_t days(int year, int month, int day)
{
    int y = year - (month <= 2);
    int era = y / 400, of_era = y % 400;
    int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int month_length(int year, int month)
{
    static const char lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return lengths[month - 1] + (month == 2 && leap);
}

int64_t pk_http_date_us(pk_str date)
{
    static const char shape[] = "???, ?? ??? ???? ??:??:?? GMT";

    if (date.len != sizeof shape - 1)
        return -1;
    for (size_t i = 0; i < date.len; i++)
        if (shape[i] != '?' && date.at[i] != shape[i])
            return -1;
    int month = position(pk_str_sub(date, 8, 3), "JanFebMarAprMayJunJulAugSepOctNovDec") + 1;
    int day = number(pk_str_sub(date, 5, 2)), year = number(pk_str_sub(date, 12, 4));
    int hour = number(pk_str_sub(date, 17, 2)), minute = number(pk_str_sub(date, 20, 2));
    int second = number(pk_str_sub(date, 23, 2));

    if (position(date, "MonTueWedThuFriSatSun") < 0 || month < 1 || year < 1970 || day < 1)
        return -1;
    if (day > month_length(year, month) || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 60)
        return -1;
    return (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000000;
}

/* A decimal number, fractions allowed, times `scale` (1 or 1000); -1 when it is not one. */
static int64_t scaled(pk_str s, int64_t scale)
{
    int dot = pk_str_find(s, '.');
    pk_str whole = dot < 0 ? s : pk_str_sub(s, 0, (size_t)dot);
    pk_str part = dot < 0 ? PK_NONE : pk_str_sub(s, (size_t)dot + 1, s.len);
    int64_t n = 0, fraction = 0, unit = scale;

    if (s.len == 0 || (whole.len == 0 && part.len == 0))
        return -1;
    for (size_t i = 0; i < whole.len; i++) {
        if (whole.at[i] < '0' || whole.at[i] > '9')
            return -1;
        if (n < PK_TIMEOUT_MS_MAX) /* more is cut off below: no overflow */
            n = n * 10 + (whole.at[i] - '0');
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.at[i] < '0' || part.at[i] > '9')
            return -1;
        unit /= 10;
        fraction += unit * (part.at[i] - '0');
    }
    n = n * scale + fraction;
    return n > PK_TIMEOUT_MS_MAX ? PK_TIMEOUT_MS_MAX : n;
}

static int64_t until_date_ms(pk_str value, int64_t now_us)
{
    int64_t at_us = pk_http_date_us(value);

    if (at_us <= now_us)
        return 0;
    int64_t ms = (at_us - now_us + 999) / 1000;
    return ms > PK_TIMEOUT_MS_MAX ? PK_TIMEOUT_MS_MAX : ms;
}

int64_t pk_http_retry_after_ms(pk_str headers, int64_t now_us)
{
    pk_str name, value, ms_value = PK_NONE, azure = PK_NONE, standard = PK_NONE;

    while (pk_http_next_header(&headers, &name, &value)) {
        if (ms_value.len == 0 && pk_str_is_nocase(name, "retry-after-ms"))
            ms_value = value;
        else if (azure.len == 0 && pk_str_is_nocase(name, "x-ms-retry-after-ms"))
            azure = value;
        else if (standard.len == 0 && pk_str_is_nocase(name, "retry-after"))
            standard = value;
    }
    int64_t ms = scaled(ms_value, 1);
    if (ms < 0)
        ms = scaled(azure, 1);
    if (ms < 0)
        ms = scaled(standard, 1000);
    return ms >= 0 ? ms : until_date_ms(standard, now_us);
}

bool pk_http_is_type(pk_str content_type, const char *type)
{
    int end = pk_str_find(content_type, ';');

    if (end >= 0)
        content_type = pk_str_sub(content_type, 0, (size_t)end);
    return pk_str_is_nocase(pk_str_trim(content_type), type);
}

bool pk_http_valid_name(pk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

bool pk_http_valid_value(pk_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.at[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool is_listed(const pk_str *names, size_t count, pk_str name)
{
    for (size_t i = 0; i < count; i++)
        if (names[i].len == name.len && pk_str_eq_nocase(name, names[i]))
            return true;
    return false;
}

bool pk_http_is_framing(pk_str name)
{
    return is_listed(framing, PK_COUNT(framing), name);
}

bool pk_http_is_credential(pk_str name)
{
    return is_listed(credentials, PK_COUNT(credentials), name);
}

bool pk_http_relayed(pk_str name)
{
    if (is_listed(relayed, PK_COUNT(relayed), name))
        return true;
    int first = name.len ? tolower((unsigned char)name.at[0]) : 0;
    for (size_t i = 0; i < PK_COUNT(relayed_prefixes); i++) {
        if (relayed_prefixes[i][0] != first)
            continue;
        pk_str start = pk_str_sub(name, 0, strlen(relayed_prefixes[i]));

        if (name.len > start.len && pk_str_is_nocase(start, relayed_prefixes[i]))
            return true;
    }
    return false;
}

bool pk_http_passed(pk_str name)
{
    static const pk_str names[] = {
        PK_NAME("connection"),
        PK_NAME("keep-alive"),
        PK_NAME("transfer-encoding"),
        PK_NAME("trailer"),
        PK_NAME("upgrade"),
        PK_NAME("te"),
        PK_NAME("content-length"),
        PK_NAME("content-type"),
        PK_NAME("date"),
        PK_NAME("server"),
        PK_NAME("via"),
        PK_NAME("alt-svc"),
        PK_NAME("strict-transport-security"),
        PK_NAME("set-cookie"),
        PK_NAME("set-cookie2"),
        PK_NAME("clear-site-data"),
        PK_NAME("report-to"),
        PK_NAME("nel"),
    };
    static const char *const prefixes[] = {"proxy-", "x-portkey-", "x-pk-", "access-control-",
                                           "cross-origin-"};

    if (is_listed(names, PK_COUNT(names), name))
        return false;
    for (size_t i = 0; i < PK_COUNT(prefixes); i++)
        if (pk_str_is_nocase(pk_str_sub(name, 0, strlen(prefixes[i])), prefixes[i]))
            return false;
    return true;
}

pk_str pk_http_gateway_key(pk_str value)
{
    static const char bearer[] = "bearer ";

    value = pk_str_trim(value);
    if (pk_str_is_nocase(pk_str_sub(value, 0, sizeof bearer - 1), bearer))
        value = pk_str_trim(pk_str_sub(value, sizeof bearer - 1, value.len));
    return pk_str_starts(value, "pk-") ? value : PK_NONE;
}

pk_str pk_http_protocol_key(pk_str protocol)
{
    static const char prefix[] = "openai-insecure-api-key.";
    pk_str start = pk_str_sub(protocol, 0, sizeof prefix - 1);

    if (!pk_str_is_nocase(start, prefix))
        return PK_NONE;
    return (pk_str){protocol.at + start.len, protocol.len - start.len};
}

pk_str pk_http_offered_key(pk_str protocols)
{
    while (protocols.len) {
        int comma = pk_str_find(protocols, ',');
        size_t len = comma < 0 ? protocols.len : (size_t)comma;
        pk_str key = pk_http_protocol_key(pk_str_trim(pk_str_sub(protocols, 0, len)));

        if (key.len)
            return key;
        protocols = pk_str_sub(protocols, len + 1, protocols.len);
    }
    return PK_NONE;
}
