/* pii_number.c - telephone numbers, payment cards and social security numbers.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * All three are groups of digits with single separators, so the groups are read once, and each kind is a rule about
 * a run of groups from the front: how long they are, and what separates them.
 */
#include "pii_inner.h"

#include <string.h>

enum { GROUPS_MAX = 8, DIGITS_MAX = 20, HINT_BYTES = 16, HINT_WORDS = 3 };

struct groups {
    char digits[DIGITS_MAX];
    int count;
    int len[GROUPS_MAX];
    char sep[GROUPS_MAX];   /* before the group; 'x' for more than one character, 0 for none */
    size_t end[GROUPS_MAX]; /* byte behind the group */
    bool plus, paren;       /* starts with +, with ( */
};

/* The length of a separator at `i` and its kind; 0 when a digit does not follow it. */
static size_t separator_at(pk_str text, size_t i, char *kind)
{
    size_t n = 0;

    *kind = (char)pk_pii_char(text, i);
    if (*kind && strchr(" -./", *kind))
        n = 1;
    if (n == 1 && *kind == ' ' && pk_pii_char(text, i + 1) == '(')
        n = 2;
    if (*kind == ')')
        n = pk_pii_char(text, i + 1) == ' ' || pk_pii_char(text, i + 1) == '-' ? 2 : 1;
    if (*kind == '(')
        n = 1;
    if (*kind == ')' || *kind == '(' || n == 2)
        *kind = 'x';
    return n > 0 && pk_pii_digit(pk_pii_char(text, i + n)) ? n : 0;
}

static bool read_groups(pk_str text, size_t i, struct groups *g)
{
    size_t n = 0;
    int digits = 0;

    *g = (struct groups){.plus = pk_pii_char(text, i) == '+'};
    i += g->plus;
    g->paren = pk_pii_char(text, i) == '(';
    i += g->paren;
    if (!pk_pii_digit(pk_pii_char(text, i)))
        return false;
    do {
        i += n;
        if (g->count == GROUPS_MAX)
            break;
        int len = 0;
        while (pk_pii_digit(pk_pii_char(text, i + (size_t)len)) && digits < DIGITS_MAX)
            g->digits[digits++] = text.at[i + (size_t)len++];
        i += (size_t)len;
        if (len == 0 || pk_pii_digit(pk_pii_char(text, i)))
            break; /* more digits than anything that is looked for */
        g->len[g->count] = len;
        g->end[g->count++] = i;
        n = separator_at(text, i, &g->sep[g->count % GROUPS_MAX]);
    } while (n > 0);
    return g->count > 0;
}

/* Whether the first `count` groups stand alone: what follows belongs to something else. */
static bool ends_after(const struct groups *g, int count, pk_str text)
{
    size_t end = g->end[count - 1];
    unsigned char c = pk_pii_char(text, end), next = pk_pii_char(text, end + 1);

    if (pk_pii_word(c))
        return false;
    if (c == '.' || c == ',')
        return !pk_pii_digit(next) || (c == ',' && count > 1);
    if (c == '-' || c == '/' || c == ':')
        return !pk_pii_alnum(next) || (c == '/' && count > 3);
    return c != '%' && c != '@';
}

/* Whether what stands before is part of the number, or makes it something else. */
static bool starts_alone(pk_str text, size_t i)
{
    unsigned char c = i > 0 ? (unsigned char)text.at[i - 1] : 0;
    unsigned char before = i > 1 ? (unsigned char)text.at[i - 2] : 0;

    if (c == '#' || c == '$' || c == '&' || c == '+' || c == '%')
        return false;
    if (c == '-' || c == '/')
        return !pk_pii_alnum(before);
    if (c == '.' || c == ',' || c == ':')
        return !pk_pii_digit(before);
    return true;
}

/* How many digits there are from `i` on, as far as it matters. */
static int digits_from(pk_str text, size_t i)
{
    int n = 0;

    while (n < DIGITS_MAX && pk_pii_digit(pk_pii_char(text, i + (size_t)n)))
        n++;
    return n;
}

static int digits_in(const struct groups *g, int count)
{
    int digits = 0;

    for (int i = 0; i < count; i++)
        digits += g->len[i];
    return digits;
}

static bool lens_are(const struct groups *g, const char *lens)
{
    for (int i = 0; lens[i]; i++)
        if (g->len[i] != lens[i] - '0')
            return false;
    return true;
}

/* Whether each separator of the first `count` groups is one of `seps`, or the same everywhere when `same`. */
static bool seps_are(const struct groups *g, int count, const char *seps, bool same)
{
    for (int i = 1; i < count; i++)
        if (!strchr(seps, g->sep[i]) || (same && g->sep[i] != g->sep[1]))
            return false;
    return true;
}

static int number_of(const struct groups *g, int from, int len)
{
    int n = 0;

    for (int i = from; i < from + len; i++)
        n = n * 10 + (g->digits[i] - '0');
    return n;
}

/* --- cards ------------------------------------------------------------------------------ */

/* Issuers: the first four digits from .. to, and how long the number may be. */
static const struct {
    int from, to, shortest, longest;
} issuers[] = {
    {4000, 4999, 13, 19}, /* Visa: 13, 16, 19 */
    {5100, 5599, 16, 16}, /* Mastercard */
    {2221, 2720, 16, 16}, /* Mastercard */
    {3400, 3499, 15, 15}, /* American Express */
    {3700, 3799, 15, 15}, /* American Express */
    {3000, 3059, 14, 19}, /* Diners Club */
    {3600, 3699, 14, 19}, /* Diners Club */
    {3800, 3999, 14, 19}, /* Diners Club */
    {3528, 3589, 16, 19}, /* JCB */
    {6011, 6011, 16, 19}, /* Discover */
    {6440, 6599, 16, 19}, /* Discover, RuPay */
    {6200, 6299, 16, 19}, /* UnionPay */
    {2200, 2204, 16, 19}, /* Mir */
    {5018, 5018, 13, 19}, /* Maestro */
    {5020, 5020, 13, 19}, /* Maestro */
    {5038, 5038, 13, 19}, /* Maestro */
    {5893, 5893, 13, 19}, /* Maestro */
    {6304, 6304, 13, 19}, /* Maestro */
    {6759, 6763, 13, 19}, /* Maestro */
};

static bool is_issued(const struct groups *g, int digits)
{
    int front = number_of(g, 0, 4);

    for (size_t i = 0; i < PK_COUNT(issuers); i++)
        if (front >= issuers[i].from && front <= issuers[i].to)
            return digits >= issuers[i].shortest && digits <= issuers[i].longest &&
                   (front / 1000 != 4 || digits % 3 == 1);
    return false;
}

static bool luhn_holds(const struct groups *g, int digits)
{
    int sum = 0;

    for (int i = 0; i < digits; i++) {
        int d = g->digits[digits - 1 - i] - '0';

        d = i % 2 ? d * 2 : d;
        sum += d > 9 ? d - 9 : d;
    }
    return sum % 10 == 0;
}

static bool card_layout(const struct groups *g, int count)
{
    if (count == 1)
        return true;
    if (!seps_are(g, count, " -", true))
        return false;
    if (count == 3)
        return lens_are(g, "465") || lens_are(g, "464");
    return (count == 4 || count == 5) && lens_are(g, "444") && g->len[3] <= 4 && g->len[3] > 0 &&
           (count == 4 || (g->len[3] == 4 && g->len[4] <= 3));
}

size_t pk_pii_card_at(pk_str text, size_t i)
{
    struct groups g;

    if (digits_from(text, i) < 4 || !starts_alone(text, i) || !read_groups(text, i, &g))
        return 0;
    for (int count = g.count; count > 0; count--) {
        int digits = digits_in(&g, count);

        if (digits >= 13 && digits <= 19 && card_layout(&g, count) && is_issued(&g, digits) &&
            luhn_holds(&g, digits) && ends_after(&g, count, text))
            return g.end[count - 1] - i;
    }
    return 0;
}

/* --- social security numbers ------------------------------------------------------------ */

size_t pk_pii_ssn_at(pk_str text, size_t i)
{
    struct groups g;
    int count = 0, front = digits_from(text, i);

    if ((front != 3 && front != 9) || !starts_alone(text, i) || !read_groups(text, i, &g))
        return 0;
    if (g.count >= 3 && lens_are(&g, "324") && seps_are(&g, 3, "- ", true))
        count = 3;
    else if (g.len[0] == 9)
        count = 1;
    if (count == 0 || !ends_after(&g, count, text))
        return 0;
    int area = number_of(&g, 0, 3);
    if (area == 0 || area == 666 || area >= 900 || number_of(&g, 3, 2) == 0 ||
        number_of(&g, 5, 4) == 0)
        return 0;
    bool dashed = count == 3 && g.sep[1] == '-';
    enum pk_pii_hint hint = pk_pii_hint(text, i);
    if (hint != PK_PII_HINT_SSN && (!dashed || hint == PK_PII_HINT_OTHER))
        return 0;
    return g.end[count - 1] - i;
}

/* --- telephone numbers ------------------------------------------------------------------ */

/* Country calling codes that are in use (ITU-T E.164), as ranges of the first three digits. */
static bool is_country(const struct groups *g, int from)
{
    static const short ranges[][2] = {
        {100, 199}, {200, 200}, {201, 209}, {211, 213}, {216, 216}, {218, 218}, {220, 269},
        {270, 279}, {290, 291}, {297, 299}, {300, 349}, {350, 359}, {360, 369}, {370, 379},
        {380, 383}, {385, 387}, {389, 389}, {390, 419}, {420, 421}, {423, 423}, {430, 499},
        {500, 509}, {510, 589}, {590, 599}, {600, 669}, {670, 670}, {672, 692}, {700, 799},
        {800, 800}, {808, 808}, {810, 869}, {870, 870}, {878, 878}, {880, 888}, {900, 959},
        {960, 968}, {970, 977}, {979, 999},
    };
    int front = number_of(g, from, 3);

    for (size_t i = 0; i < PK_COUNT(ranges); i++)
        if (front >= ranges[i][0] && front <= ranges[i][1])
            return true;
    return false;
}

static bool is_date(const struct groups *g)
{
    return g->count >= 3 && (lens_are(g, "224") || lens_are(g, "422") || lens_are(g, "222")) &&
           g->sep[1] == g->sep[2] && g->sep[1] != ' ' &&
           !(g->count >= 5 && lens_are(g, "22222") && seps_are(g, 5, "-.", true));
}

/* North America: an area and an exchange that do not start with 0 or 1. */
static bool is_nanp(const struct groups *g, int from)
{
    return g->digits[from] >= '2' && g->digits[from + 3] >= '2';
}

/* +49 30 123456, 0049 30 123456 */
static bool international(const struct groups *g, int count, int digits)
{
    if (g->plus && g->digits[0] == '1')
        return digits == 11 && is_nanp(g, 1);
    if (g->plus)
        return digits >= (count == 1 ? 10 : 8) && digits <= 15 && is_country(g, 0);
    return g->digits[0] == '0' && g->digits[1] == '0' && g->digits[2] != '0' && count > 1 &&
           digits >= 11 && digits <= 16 && is_country(g, 2) && seps_are(g, count, " -/x", false);
}

/* (212) 555-0123, 212-555-0123, 1 212 555 0123 */
static bool north_american(const struct groups *g, int count)
{
    if (count == 4 && lens_are(g, "1334"))
        return g->digits[0] == '1' && is_nanp(g, 1) && seps_are(g, 4, " -.x", false);
    return count == 3 && lens_are(g, "334") && is_nanp(g, 0) && seps_are(g, 3, " -.x", false);
}

/* 020 7946 0958, 0171/1234567, (030) 123456, 01 23 45 67 89: the trunk prefix 0 */
static bool national(const struct groups *g, int count, int digits)
{
    if (g->digits[0] != '0' || g->digits[1] == '0' || count < 2 || digits < 9 || digits > 12)
        return false;
    if (lens_are(g, "22")) /* pairs: exactly five, and no more of them */
        return count == 5 && g->count == 5 && lens_are(g, "22222") && seps_are(g, 5, " -.", true);
    if (!seps_are(g, count, " -/x", false) || g->len[0] < 2 || g->len[0] > 5 || count > 4)
        return false;
    for (int i = 1; i < count; i++)
        if (g->len[i] < 2)
            return false;
    return g->len[count - 1] >= 3 || count > 2;
}

static bool is_phone(const struct groups *g, int count, enum pk_pii_hint hint)
{
    int digits = digits_in(g, count);

    if (international(g, count, digits))
        return true;
    if (g->plus || hint == PK_PII_HINT_OTHER || hint == PK_PII_HINT_SSN || is_date(g))
        return false;
    if (hint == PK_PII_HINT_PHONE && digits >= 7 && digits <= 12 && !(count == 1 && digits == 12))
        return seps_are(g, count, " -./x", false);
    return north_american(g, count) || national(g, count, digits);
}

/* A bracket in front is part of the number only when it is closed inside. */
static bool closes(const struct groups *g, int count)
{
    return !g->paren || (count > 1 && g->sep[1] == 'x');
}

size_t pk_pii_phone_at(pk_str text, size_t i)
{
    struct groups g;
    unsigned char c = pk_pii_char(text, i);

    if ((!pk_pii_digit(c) && c != '+' && c != '(') || !starts_alone(text, i) ||
        !read_groups(text, i, &g))
        return 0;
    if (digits_in(&g, g.count) < 7)
        return 0;
    enum pk_pii_hint hint = g.plus ? PK_PII_HINT_NONE : pk_pii_hint(text, i);
    bool listed = i > 1 && text.at[i - 1] == ' ' && pk_pii_digit((unsigned char)text.at[i - 2]);
    if (listed && !g.plus && !g.paren && g.sep[1] == ' ')
        return 0; /* in the middle of a row of numbers */
    for (int count = g.count; count > 0; count--)
        if (is_phone(&g, count, hint) && ends_after(&g, count, text) && closes(&g, count))
            return g.end[count - 1] - i;
    return 0;
}

/* --- hints ------------------------------------------------------------------------------ */

static const struct {
    enum pk_pii_hint hint;
    const char *words; /* each with a blank on both sides */
} hints[] = {
    {PK_PII_HINT_PHONE,
     " phone tel telephone mobile cell cellphone fax whatsapp sms handy telefon mobil "
     "telefono tlf movil telefone celular numero "},
    {PK_PII_HINT_SSN, " ssn ss security "},
    {PK_PII_HINT_OTHER,
     " order orders invoice ticket case ref reference id isbn issn doi ean upc serial version "
     "ver release build rev revision sku part model section chapter page pages firmware "
     "commit tracking account item product code bestellung rechnung commande facture pedido "
     "bestellnummer rechnungsnummer auftrag "},
    {PK_PII_HINT_NONE, " number no nr num is my the at us me on "},
};

/* For writing without blanks: looked for anywhere in the last few characters. */
static const char *const phone_marks[] = {"电话",      "手机",  "電話",     "携帯", "전화",
                                          "téléphone", "móvil", "teléfono", "тел"};

static bool has_phone_mark(pk_str s)
{
    size_t i = 0;

    while (i < s.len && (unsigned char)s.at[i] < 0x80)
        i++;
    for (size_t m = 0; i < s.len && m < PK_COUNT(phone_marks); m++)
        if (memmem(s.at, s.len, phone_marks[m], strlen(phone_marks[m])))
            return true;
    return false;
}

static bool hint_of(pk_str word, enum pk_pii_hint *hint)
{
    char padded[HINT_BYTES + 3] = " ";

    for (size_t i = 0; i < word.len; i++)
        padded[i + 1] =
            (char)(pk_pii_upper((unsigned char)word.at[i]) ? word.at[i] + 32 : word.at[i]);
    padded[word.len + 1] = ' ';
    for (size_t i = 0; i < PK_COUNT(hints); i++)
        if (strstr(hints[i].words, padded)) {
            *hint = hints[i].hint;
            return true;
        }
    return false;
}

enum pk_pii_hint pk_pii_hint(pk_str text, size_t i)
{
    size_t from = i > 2 * HINT_BYTES ? i - 2 * HINT_BYTES : 0;
    enum pk_pii_hint hint = PK_PII_HINT_NONE;

    if (has_phone_mark(pk_str_sub(text, from, i - from)))
        return PK_PII_HINT_PHONE;
    for (int words = 0; words < HINT_WORDS && hint == PK_PII_HINT_NONE; words++) {
        size_t end = i, start;

        for (int gap = 0; gap < 4 && end > from && !pk_pii_alnum((unsigned char)text.at[end - 1]);
             gap++)
            end--;
        start = end;
        while (start > from && end - start < HINT_BYTES &&
               pk_pii_alnum((unsigned char)text.at[start - 1]))
            start--;
        if (start == end || !hint_of(pk_str_sub(text, start, end - start), &hint))
            break;
        i = start;
    }
    return hint;
}
