/* pii_key.c - bank accounts, and the keys of services.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "pii_inner.h"

#include <string.h>

/* --- IBAN (ISO 13616) ------------------------------------------------------------------- */

enum { IBAN_BYTES_MAX = 34 };

/* Country and length of its IBANs, from the registry. */
static const char iban_lens[] =
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI"
    "18"
    "FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT"
    "20"
    "LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA"
    "24"
    "SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

static size_t iban_len(pk_str text, size_t i)
{
    for (const char *row = iban_lens; *row; row += 4)
        if (row[0] == text.at[i] && row[1] == text.at[i + 1])
            return (size_t)(row[2] - '0') * 10 + (size_t)(row[3] - '0');
    return 0;
}

/* ISO 7064: the first four characters moved to the end, letters as 10..35, modulo 97. */
static bool iban_sums(const char *iban, size_t len)
{
    unsigned sum = 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)iban[(i + 4) % len];

        sum = pk_pii_digit(c) ? (sum * 10 + c - '0') % 97 : (sum * 100 + c - 'A' + 10) % 97;
    }
    return sum == 1;
}

size_t pk_pii_iban_at(pk_str text, size_t i)
{
    char iban[IBAN_BYTES_MAX];
    size_t len, n = 0, at = i;

    if (!pk_pii_upper(pk_pii_char(text, i)) || !pk_pii_upper(pk_pii_char(text, i + 1)) ||
        !pk_pii_digit(pk_pii_char(text, i + 2)) || !pk_pii_digit(pk_pii_char(text, i + 3)))
        return 0;
    len = iban_len(text, i);
    while (n < len) {
        unsigned char c = pk_pii_char(text, at);

        if (n > 0 && n % 4 == 0 && (c == ' ' || c == '-'))
            c = pk_pii_char(text, ++at);
        if (!pk_pii_digit(c) && !pk_pii_upper(c))
            return 0;
        iban[n++] = (char)c;
        at++;
    }
    if (len == 0 || pk_pii_word(pk_pii_char(text, at)) || !iban_sums(iban, len))
        return 0;
    return at - i;
}

/* --- keys ------------------------------------------------------------------------------- */

enum { PREFIX_WORD_MAX = 6 }; /* "github" */

enum charset { ALNUM, WORDS, DASHED, UPPER, HEX }; /* WORDS: _ too; DASHED: - too */

/* What starts as the prefix says and goes on with at least `min` characters of the set; `exact`: with no
 * more than that. `random`: some 16 of them in a row without - or _, a digit among them, because the
 * prefix alone is also how ordinary names start (sk-learn-contrib). */
static const struct shape {
    const char *prefix;
    uint8_t min;
    enum charset set;
    bool exact, random;
} shapes[] = {
    {"sk-", 20, DASHED, false, true},      {"pk-", 20, DASHED, false, true},
    {"sk_live_", 16, ALNUM, false, false}, {"sk_test_", 16, ALNUM, false, false},
    {"pk_live_", 16, ALNUM, false, false}, {"pk_test_", 16, ALNUM, false, false},
    {"rk_live_", 16, ALNUM, false, false}, {"whsec_", 24, ALNUM, false, false},
    {"AKIA", 16, UPPER, true, false},      {"ASIA", 16, UPPER, true, false},
    {"ghp_", 36, ALNUM, false, false},     {"gho_", 36, ALNUM, false, false},
    {"ghu_", 36, ALNUM, false, false},     {"ghs_", 36, ALNUM, false, false},
    {"ghr_", 36, ALNUM, false, false},     {"github_pat_", 22, WORDS, false, false},
    {"glpat-", 20, DASHED, false, false},  {"xoxa-", 20, DASHED, false, false},
    {"xoxb-", 20, DASHED, false, false},   {"xoxe-", 20, DASHED, false, false},
    {"xoxp-", 20, DASHED, false, false},   {"xoxr-", 20, DASHED, false, false},
    {"xoxs-", 20, DASHED, false, false},   {"xapp-", 20, DASHED, false, false},
    {"AIza", 35, DASHED, true, false},     {"ya29.", 20, DASHED, false, false},
    {"hf_", 30, ALNUM, false, false},      {"gsk_", 20, ALNUM, false, true},
    {"xai-", 20, ALNUM, false, true},      {"pplx-", 20, ALNUM, false, true},
    {"r8_", 30, ALNUM, false, false},      {"npm_", 36, ALNUM, true, false},
    {"pypi-", 40, DASHED, false, true},    {"dop_v1_", 64, HEX, true, false},
    {"shpat_", 32, HEX, true, false},      {"SG.", 16, DASHED, false, true},
    {"tvly-", 20, DASHED, false, true},    {"lsv2_", 32, WORDS, false, true},
};

static bool in_set(enum charset set, unsigned char c)
{
    switch (set) {
    case ALNUM: return pk_pii_alnum(c);
    case WORDS: return pk_pii_word(c);
    case DASHED: return pk_pii_word(c) || c == '-';
    case UPPER: return pk_pii_upper(c) || pk_pii_digit(c);
    case HEX: return pk_pii_digit(c) || (c >= 'a' && c <= 'f');
    }
    return false;
}

static bool looks_random(pk_str body)
{
    size_t run = 0, longest = 0;
    bool digit = false, letter = false;

    for (size_t i = 0; i < body.len; i++) {
        unsigned char c = (unsigned char)body.at[i];

        run = c == '-' || c == '_' ? 0 : run + 1;
        longest = run > longest ? run : longest;
        digit = digit || pk_pii_digit(c);
        letter = letter || (pk_pii_alnum(c) && !pk_pii_digit(c));
    }
    return longest >= 16 && digit && letter;
}

static size_t shape_at(const struct shape *s, pk_str text, size_t i)
{
    size_t start = i + strlen(s->prefix), end = start;

    if (!pk_str_starts(pk_str_sub(text, i, start - i), s->prefix))
        return 0;
    while (in_set(s->set, pk_pii_char(text, end)))
        end++;
    if (end - start < s->min || (s->exact && end - start > s->min) ||
        (s->set != DASHED && pk_pii_word(pk_pii_char(text, end))))
        return 0;
    if (s->random && !looks_random(pk_str_sub(text, start, end - start)))
        return 0;
    if (pk_str_is(pk_str_of(s->prefix), "SG.") && pk_pii_char(text, end) == '.')
        for (end++; in_set(DASHED, pk_pii_char(text, end));)
            end++;
    return end - i;
}

/* RFC 7519: three parts in base64url; the first two are JSON objects, so they start with {" */
static size_t jwt_at(pk_str text, size_t i)
{
    size_t at = i;

    for (int part = 0; part < 3; part++) {
        size_t start = at;

        if (part < 2 && !pk_str_starts(pk_str_sub(text, at, 3), "eyJ"))
            return 0;
        while (in_set(DASHED, pk_pii_char(text, at)))
            at++;
        if (at - start < 10 || (part < 2 && pk_pii_char(text, at) != '.'))
            return 0;
        at += part < 2;
    }
    return at - i;
}

static bool in_key_block(unsigned char c)
{
    return pk_pii_alnum(c) || (c && strchr("+/=\\ \r\n\t:,.-", c));
}

/* From "-----BEGIN ... PRIVATE KEY-----" to the end of the END line; when that is missing, to the first
 * character that cannot be in a key. */
static size_t block_at(pk_str text, size_t i)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";
    size_t at = i + sizeof begin - 1;

    if (!pk_str_starts(pk_str_sub(text, i, sizeof begin - 1), begin))
        return 0;
    while (pk_pii_upper(pk_pii_char(text, at)) || pk_pii_char(text, at) == ' ' ||
           pk_pii_digit(pk_pii_char(text, at)))
        at++;
    if (!pk_str_ends(pk_str_sub(text, i, at - i), "PRIVATE KEY") &&
        !pk_str_ends(pk_str_sub(text, i, at - i), "PRIVATE KEY BLOCK"))
        return 0;
    while (in_key_block(pk_pii_char(text, at)) &&
           !pk_str_starts(pk_str_sub(text, at, sizeof end - 1), end))
        at++;
    if (!pk_str_starts(pk_str_sub(text, at, sizeof end - 1), end))
        return at - i;
    at += sizeof end - 1;
    while (pk_pii_upper(pk_pii_char(text, at)) || pk_pii_char(text, at) == ' ')
        at++;
    while (pk_pii_char(text, at) == '-')
        at++;
    return at - i;
}

/* Whether a key may start here, at little cost: AKIA, ASIA, AIza, or a short word before one of - _ . */
static bool may_be_key(pk_str text, size_t i)
{
    size_t n = 0;
    unsigned char c;

    if (text.at[i] == 'A')
        return true;
    while (n < PREFIX_WORD_MAX && pk_pii_alnum(pk_pii_char(text, i + n)))
        n++;
    c = pk_pii_char(text, i + n);
    return c == '-' || c == '_' || c == '.';
}

size_t pk_pii_key_at(pk_str text, size_t i)
{
    unsigned char c = pk_pii_char(text, i);

    if (c == '-')
        return block_at(text, i);
    if (i > 0 && text.at[i - 1] == '-') /* so that no byte is looked at from many starts */
        return 0;
    if (c == 'e')
        return jwt_at(text, i);
    if (!may_be_key(text, i))
        return 0;
    for (size_t s = 0; s < PK_COUNT(shapes); s++) {
        size_t len = c == (unsigned char)shapes[s].prefix[0] ? shape_at(&shapes[s], text, i) : 0;

        if (len > 0)
            return len;
    }
    return 0;
}
