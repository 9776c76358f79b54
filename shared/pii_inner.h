/* pii_inner.h - what the scanners of pii share.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A scanner says how many bytes of what it looks for start at byte `i`, or 0. It is called only where a
 * word may start: byte i - 1 is no ASCII letter, digit or underscore.
 */
#ifndef PK_PII_INNER_H
#define PK_PII_INNER_H

#include "pii.h"

static inline unsigned char pk_pii_char(pk_str text, size_t i)
{
    return i < text.len ? (unsigned char)text.at[i] : 0;
}

static inline bool pk_pii_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static inline bool pk_pii_upper(unsigned char c)
{
    return c >= 'A' && c <= 'Z';
}

static inline bool pk_pii_alnum(unsigned char c)
{
    return pk_pii_digit(c) || pk_pii_upper(c) || (c >= 'a' && c <= 'z');
}

static inline bool pk_pii_word(unsigned char c)
{
    return pk_pii_alnum(c) || c == '_';
}

size_t pk_pii_email_at(pk_str text, size_t i);
size_t pk_pii_iban_at(pk_str text, size_t i);
size_t pk_pii_key_at(pk_str text, size_t i);
size_t pk_pii_ip_at(pk_str text, size_t i);
size_t pk_pii_card_at(pk_str text, size_t i);
size_t pk_pii_ssn_at(pk_str text, size_t i);
size_t pk_pii_phone_at(pk_str text, size_t i);

/* What the words before byte `i` say that follows: "Tel.: ", "order number ", "SSN ". */
enum pk_pii_hint { PK_PII_HINT_NONE, PK_PII_HINT_PHONE, PK_PII_HINT_SSN, PK_PII_HINT_OTHER };
enum pk_pii_hint pk_pii_hint(pk_str text, size_t i);

#endif
