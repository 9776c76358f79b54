/* pii.h - finds personal data and secrets in text, and takes them out.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Scanners for shapes that can be told by their spelling alone, strict enough that dates, prices,
 * versions, UUIDs and order numbers stay. They look at each byte a bounded number of times. Names,
 * addresses and whatever needs understanding are not found. docs/checks.md has the exact rules.
 */
#ifndef PK_PII_H
#define PK_PII_H

#include "json.h"

/* What is looked for: any of these together. */
enum {
    PK_PII_EMAIL = 1 << 0,
    PK_PII_PHONE = 1 << 1,
    PK_PII_CARD = 1 << 2, /* payment card numbers */
    PK_PII_SSN = 1 << 3,  /* US social security numbers */
    PK_PII_IP = 1 << 4,   /* IPv4 and IPv6 addresses of real hosts */
    PK_PII_IBAN = 1 << 5,
    PK_PII_API_KEY = 1 << 6, /* keys and tokens of well-known services, JWTs, private keys */
    PK_PII_ALL = (1 << 7) - 1,
};

/* The category that `name` ("EMAIL_ADDRESS", any case) means, or 0; and its name. */
unsigned pk_pii_category(pk_str name);
const char *pk_pii_name(unsigned category);

struct pk_pii_span {
    size_t start, len; /* bytes of the text */
    unsigned category; /* one of the bits above */
};

/* The first span of one of `categories` that starts at or after byte `from`; false when there is none.
 * Spans do not overlap: go on at start + len. */
bool pk_pii_next(pk_str text, unsigned categories, size_t from, struct pk_pii_span *out);

/* The categories, of those asked for, that are in the text. */
unsigned pk_pii_seen(pk_str text, unsigned categories);

/* Appends the text with each span replaced by "{{EMAIL_ADDRESS}}" and the like; returns how many
 * there were. Look at out->failed. */
int pk_pii_redact(struct pk_buf *out, pk_str text, unsigned categories);

/* The same for every string value of a JSON document, escapes considered; member names, numbers and all
 * other bytes stay as they are. `out` is the very text given when nothing was found. The error is
 * PK_BAD_JSON or PK_NO_MEMORY. */
bool pk_pii_redact_json(struct pk_arena *arena, pk_str json, unsigned categories, pk_str *out,
                        struct pk_error *err) PK_MUST_CHECK;

#endif
