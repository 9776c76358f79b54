/* pii.c - see pii.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The text is walked once. Where a word may start, the scanners are asked in a fixed order, those that
 * are surest first, and all of them whatever the caller asked for: so what is a card number for one caller
 * is not part of a telephone number for another.
 */
#include "pii_inner.h"

#include <string.h>

static const struct {
    unsigned category;
    size_t (*at)(pk_str text, size_t i);
} scanners[] = {
    {PK_PII_API_KEY, pk_pii_key_at}, {PK_PII_EMAIL, pk_pii_email_at}, {PK_PII_IBAN, pk_pii_iban_at},
    {PK_PII_IP, pk_pii_ip_at},       {PK_PII_CARD, pk_pii_card_at},   {PK_PII_SSN, pk_pii_ssn_at},
    {PK_PII_PHONE, pk_pii_phone_at},
};

static const struct {
    unsigned category;
    const char *name;
} names[] = {
    {PK_PII_EMAIL, "EMAIL_ADDRESS"}, {PK_PII_PHONE, "PHONE_NUMBER"},
    {PK_PII_CARD, "CREDIT_CARD"},    {PK_PII_SSN, "SSN"},
    {PK_PII_IP, "IP_ADDRESS"},       {PK_PII_IBAN, "IBAN"},
    {PK_PII_API_KEY, "API_KEY"},
};

unsigned pk_pii_category(pk_str name)
{
    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (pk_str_is_nocase(name, names[i].name))
            return names[i].category;
    return 0;
}

const char *pk_pii_name(unsigned category)
{
    for (size_t i = 0; i < PK_COUNT(names); i++)
        if (names[i].category == category)
            return names[i].name;
    return "";
}

/* --- e-mail ---------------------------------------------------------------------------- */

enum { LOCAL_BYTES_MAX = 64, DOMAIN_BYTES_MAX = 253, LABEL_BYTES_MAX = 63 };

static bool is_local(unsigned char c)
{
    return pk_pii_word(c) || (c && strchr(".%+-'", c));
}

/* The end of the domain name at `i`, or 0. A version after an @ (foo@1.2.3-rc.beta) is none. */
static size_t domain_end(pk_str text, size_t i)
{
    size_t start = i, end = 0;
    int labels = 0, numeric = 0;

    for (;;) {
        size_t label = i;
        bool digits = true, letters = true;

        while (pk_pii_alnum(pk_pii_char(text, i)) || pk_pii_char(text, i) == '-') {
            digits = digits && pk_pii_digit(pk_pii_char(text, i));
            letters = letters && !pk_pii_digit(pk_pii_char(text, i)) && text.at[i] != '-';
            if (i++ - start >= DOMAIN_BYTES_MAX)
                return 0;
        }
        if (i == label || i - label > LABEL_BYTES_MAX || text.at[label] == '-' ||
            text.at[i - 1] == '-')
            return end;
        bool top = (letters && i - label >= 2) ||
                   pk_str_starts(pk_str_sub(text, label, i - label), "xn--");
        numeric += digits && labels == numeric;
        labels++;
        if (labels > 1 && top && numeric < 2)
            end = i;
        if (pk_pii_char(text, i) != '.')
            return end == i ? end : 0;
        i++;
    }
}

size_t pk_pii_email_at(pk_str text, size_t i)
{
    size_t at = i;

    if (!pk_pii_word(pk_pii_char(text, i)) && text.at[i] != '+')
        return 0;
    while (is_local(pk_pii_char(text, at)) && at - i <= LOCAL_BYTES_MAX)
        if (text.at[at++] == '.' && pk_pii_char(text, at) == '.')
            return 0;
    if (pk_pii_char(text, at) != '@' || text.at[at - 1] == '.' || at - i > LOCAL_BYTES_MAX)
        return 0;
    size_t end = domain_end(text, at + 1);
    if (end == 0 || pk_pii_char(text, end) == '_' || pk_pii_char(text, end) == '@')
        return 0;
    if (pk_str_is(pk_str_sub(text, i, at - i), "git") && pk_pii_char(text, end) == ':')
        return 0; /* git@host:path */
    return end - i;
}

/* --- the walk --------------------------------------------------------------------------- */

static bool scan_at(pk_str text, size_t i, struct pk_pii_span *out)
{
    for (size_t s = 0; s < PK_COUNT(scanners); s++) {
        size_t len = scanners[s].at(text, i);

        if (len > 0) {
            *out = (struct pk_pii_span){i, len, scanners[s].category};
            return true;
        }
    }
    return false;
}

static bool may_start(pk_str text, size_t i)
{
    unsigned char c = (unsigned char)text.at[i];

    if (i > 0 && pk_pii_word((unsigned char)text.at[i - 1]))
        return false;
    return pk_pii_word(c) || c == '+' || c == '(' || c == '-';
}

bool pk_pii_next(pk_str text, unsigned categories, size_t from, struct pk_pii_span *out)
{
    for (size_t i = from; i < text.len;) {
        if (!may_start(text, i) || !scan_at(text, i, out)) {
            i++;
            continue;
        }
        if (out->category & categories)
            return true;
        i += out->len;
    }
    return false;
}

unsigned pk_pii_seen(pk_str text, unsigned categories)
{
    struct pk_pii_span span;
    unsigned seen = 0;

    for (size_t at = 0; seen != categories && pk_pii_next(text, categories & ~seen, at, &span);
         at = span.start + span.len)
        seen |= span.category;
    return seen;
}

int pk_pii_redact(struct pk_buf *out, pk_str text, unsigned categories)
{
    struct pk_pii_span span;
    size_t at = 0;
    int count = 0;

    while (pk_pii_next(text, categories, at, &span)) {
        pk_buf_add(out, pk_str_sub(text, at, span.start - at));
        pk_buf_addf(out, "{{%s}}", pk_pii_name(span.category));
        at = span.start + span.len;
        count++;
    }
    pk_buf_add(out, pk_str_sub(text, at, text.len - at));
    return count;
}

/* --- JSON ------------------------------------------------------------------------------- */

/* Marks what is a member name, by walking each object's keys. */
static bool *keys_of(struct pk_arena *arena, const struct pk_json *doc)
{
    bool *key = pk_alloc(arena, (size_t)doc->count * sizeof *key);

    for (int v = 0; key && v < doc->count; v++)
        if (pk_json_type(doc, v) == PK_JSON_OBJECT)
            for (int k = pk_json_first(doc, v); k >= 0; k = pk_json_next(doc, v, k))
                key[k] = true;
    return key;
}

/* Appends the string `v` when something in it was replaced. */
static bool redact_string(struct pk_buf *out, const struct pk_json *doc, int v, unsigned categories,
                          uint32_t *at)
{
    struct pk_pii_span span;
    struct pk_buf clean = pk_buf_in(out->arena, out->max);
    pk_str s = pk_json_str(out->arena, doc, v);

    if (!pk_pii_next(s, categories, 0, &span))
        return false;
    (void)pk_pii_redact(&clean, s, categories);
    pk_buf_add(out, (pk_str){doc->text.at + *at, doc->nodes[v].start - *at});
    pk_json_quote(out, pk_buf_str(&clean));
    out->failed = out->failed || clean.failed;
    *at = doc->nodes[v].end;
    return true;
}

bool pk_pii_redact_json(struct pk_arena *arena, pk_str json, unsigned categories, pk_str *out,
                        struct pk_error *err)
{
    struct pk_json doc;
    uint32_t at = 0; /* what is before it has been written */
    int count = 0;

    if (!pk_json_parse(arena, json, "document", &doc, err))
        return false;
    /* A placeholder may be longer than what it replaces: 16 bytes for an address of 6. */
    struct pk_buf text = pk_buf_in(arena, 3 * json.len + 64);
    bool *key = keys_of(arena, &doc);
    for (int v = 0; key && v < doc.count; v++)
        if (!key[v] && pk_json_type(&doc, v) == PK_JSON_STRING)
            count += redact_string(&text, &doc, v, categories, &at);
    if (count > 0)
        pk_buf_add(&text, (pk_str){json.at + at, json.len - at});
    if (text.failed || arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "document: out of memory");
    *out = count > 0 ? pk_buf_str(&text) : json;
    return true;
}
