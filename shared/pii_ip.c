/* pii_ip.c - addresses of hosts, IPv4 and IPv6.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Loopback, unspecified and netmask addresses say nothing about anybody and are left alone.
 */
#include "pii_inner.h"

/* A decimal number 0..255 without leading zeros at *i; -1 when there is none. */
static int octet(pk_str text, size_t *i)
{
    size_t start = *i;
    int n = 0;

    while (pk_pii_digit(pk_pii_char(text, *i)) && *i - start < 3)
        n = n * 10 + (text.at[(*i)++] - '0');
    bool padded = *i - start > 1 && text.at[start] == '0';
    return *i == start || padded || n > 255 || pk_pii_digit(pk_pii_char(text, *i)) ? -1 : n;
}

static bool before_v4(pk_str text, size_t i)
{
    unsigned char c = i > 0 ? (unsigned char)text.at[i - 1] : 0;
    unsigned char before = i > 1 ? (unsigned char)text.at[i - 2] : 0;

    if (c == '/') /* Chrome/120.0.0.0, but not http://10.0.0.1 */
        return !pk_pii_word(before);
    if (c == '.' || c == '-')
        return !pk_pii_word(before) || (c == '-' && pk_pii_digit(before));
    return true;
}

static size_t v4_at(pk_str text, size_t i)
{
    size_t at = i;
    int first = -1;

    for (int part = 0; part < 4; part++) {
        int n = octet(text, &at);

        if (n < 0 || (part < 3 && pk_pii_char(text, at) != '.'))
            return 0;
        first = part == 0 ? n : first;
        at += part < 3;
    }
    unsigned char c = pk_pii_char(text, at), next = pk_pii_char(text, at + 1);
    if (pk_pii_word(c) || (c == '.' && pk_pii_digit(next)) ||
        (c == '-' && pk_pii_alnum(next) && !pk_pii_digit(next)))
        return 0;
    if (first == 0 || first == 127 || first == 255 || !before_v4(text, i) ||
        pk_pii_hint(text, i) == PK_PII_HINT_OTHER)
        return 0;
    return at - i;
}

/* Global unicast, unique local, link local, multicast: what real hosts have. */
static bool is_host(int first)
{
    return (first >> 13) == 1 || (first >> 9) == 0x7e || (first >> 6) == 0x3fa ||
           (first >> 8) == 0xff;
}

static size_t v6_at(pk_str text, size_t i)
{
    int count = 0, first = 0;
    bool gap = false;
    size_t at = i, end = i;

    while (count < 8) {
        int n = 0, digits = 0;

        for (; digits < 4 && pk_hex_digit(pk_pii_char(text, at)) >= 0; digits++, at++)
            n = n * 16 + pk_hex_digit(pk_pii_char(text, at));
        if (digits == 0)
            break;
        first = count++ == 0 ? n : first;
        end = at;
        if (pk_pii_char(text, at) != ':')
            break;
        at++;
        if (pk_pii_char(text, at) == ':') {
            if (gap)
                return 0;
            gap = true;
            end = ++at;
        }
    }
    unsigned char c = pk_pii_char(text, end);
    if ((gap ? count > 7 : count != 8) || count == 0 || !is_host(first) || pk_pii_word(c) ||
        (c == ':' && pk_pii_word(pk_pii_char(text, end + 1))))
        return 0;
    return end - i;
}

size_t pk_pii_ip_at(pk_str text, size_t i)
{
    unsigned char c = pk_pii_char(text, i);

    if (pk_hex_digit(c) < 0 || (i > 0 && text.at[i - 1] == ':' && i > 1 && text.at[i - 2] == ':'))
        return 0;
    size_t len = pk_pii_digit(c) ? v4_at(text, i) : 0;
    return len ? len : v6_at(text, i);
}
