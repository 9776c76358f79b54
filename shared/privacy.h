/* privacy.h - how much of a call the log may hold.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Two independent questions: whether requests and answers are kept (log_payloads), and whether personal data
 * and secrets are replaced in what is kept (log_redact). Operator, config and call may each say
 * something; the strictest of each holds, so that nobody can loosen what another one set.
 * Neither changes what goes to the provider or the client, nor what the cache holds.
 */
#ifndef PK_PRIVACY_H
#define PK_PRIVACY_H

#include "pii.h"
#include "record.h"

/* The strictest comes last. */
enum pk_payloads {
    PK_PAYLOADS_FULL,
    /* In their place {"sha256":"...","bytes":n} of the canonical JSON, so that equal ones can be joined. */
    PK_PAYLOADS_HASH,
    PK_PAYLOADS_NONE, /* NULL */
};

struct pk_privacy {
    enum pk_payloads payloads;
    unsigned redact; /* PK_PII_... categories to replace; 0 = none */
};

/* "full", "hash" or "none", in any case; on, true and 1 are full, off, false and 0 are none. */
bool pk_payloads_parse(pk_str text, enum pk_payloads *out) PK_MUST_CHECK;
const char *pk_payloads_name(enum pk_payloads p);

/* "on", "off", or names of categories with commas between; names as pk_pii_category() takes them. */
bool pk_redact_parse(pk_str text, unsigned *categories) PK_MUST_CHECK;

struct pk_privacy pk_privacy_join(struct pk_privacy a, struct pk_privacy b);

/* Makes of a finished record what may be kept. Without full payloads the words of providers go too,
 * since they may quote the prompt: `own_words` is then the error message. What cannot be redacted is
 * left out. */
void pk_privacy_apply(struct pk_arena *arena, struct pk_privacy p, pk_str own_words,
                      struct pk_record *r);

/* A name that somebody gave and that names nothing, as a message may repeat it: of at most PK_SLUG_BYTES_MAX. What
 * looks like a key was put where a name is wanted, and is not repeated. */
pk_str pk_name_shown(pk_str name);

#endif
