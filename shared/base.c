/* base.c - see base.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
    const char *sqlstate;
    bool retryable;
} errors[] = {
#define FAILURE(code, name, status, sqlstate, retryable)                                           \
    [code] = {name, status, sqlstate, retryable},
#include "errors.def"
#undef FAILURE
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool pk_str_eq_nocase(pk_str a, pk_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (a.at[i] != b.at[i] && lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

bool pk_str_ends(pk_str s, const char *suffix)
{
    size_t n = strlen(suffix);

    return s.len >= n && (n == 0 || memcmp(s.at + s.len - n, suffix, n) == 0);
}

int pk_str_find(pk_str s, char c)
{
    const char *found = s.len ? memchr(s.at, c, s.len) : NULL;

    return found ? (int)(found - s.at) : -1;
}

pk_str pk_str_trim(pk_str s)
{
    while (s.len && blank(s.at[0])) {
        s.at++;
        s.len--;
    }
    while (s.len && blank(s.at[s.len - 1]))
        s.len--;
    return s;
}

bool pk_str_int(pk_str s, int64_t *out)
{
    size_t i = s.len && s.at[0] == '-';
    int64_t n = 0;

    if (i == s.len)
        return false;
    for (; i < s.len; i++) {
        int digit = s.at[i] - '0';

        if (digit < 0 || digit > 9)
            return false;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, digit, &n))
            return false;
    }
    if (s.at[0] != '-' && __builtin_sub_overflow((int64_t)0, n, &n))
        return false;
    *out = n;
    return true;
}

int pk_base64_sextet(char c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' || c == '-' ? 62
           : c == '/' || c == '_' ? 63
                                  : -1;
}

pk_str pk_digits(uint64_t n, char out[PK_DIGITS_BYTES])
{
    size_t at = PK_DIGITS_BYTES;

    do {
        out[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    return (pk_str){out + at, PK_DIGITS_BYTES - at};
}

/* The bytes of the whole UTF-8 character (RFC 3629) at `s`, which ends with a NUL; 0 when it is none. */
static int whole_character(const unsigned char *s)
{
    static const struct {
        unsigned char from, to, least, most; /* of the first byte, of the second */
        int len;
    } forms[] = {
        {0x20, 0x7e, 0, 0xff, 1},    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < PK_COUNT(forms); i++) {
        if (s[0] < forms[i].from || s[0] > forms[i].to)
            continue;
        if (s[1] < forms[i].least || s[1] > forms[i].most)
            return 0;
        for (int k = 2; k < forms[i].len; k++)
            if (s[k] < 0x80 || s[k] > 0xbf)
                return 0;
        return forms[i].len;
    }
    return 0;
}

/* What quotes others may have been cut anywhere: a message is one line of UTF-8 all the same. */
static void mend(char *message)
{
    for (char *c = message; *c;) {
        int len = whole_character((const unsigned char *)c);
        bool control = (unsigned char)*c < 0x20 || *c == 0x7f;

        if (len == 0)
            *c = control ? ' ' : '?';
        c += len ? len : 1;
    }
}

bool pk_fail(struct pk_error *err, enum pk_code code, const char *fmt, ...)
{
    va_list args;

    PK_ASSERT(code != PK_OK);
    err->code = code;
    err->status = errors[code].status;
    err->retryable = errors[code].retryable;
    va_start(args, fmt);
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, args);
    va_end(args);
    mend(err->msg);
    return false;
}

const char *pk_code_name(enum pk_code code)
{
    return errors[code].name;
}

const char *pk_code_sqlstate(enum pk_code code)
{
    return errors[code].sqlstate;
}

uint64_t pk_random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
