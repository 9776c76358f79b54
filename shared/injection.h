/* injection.h - does this text try to take over a prompt? Heuristics, with a score.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Words are folded (case, accents, look-alike letters, invisible characters, letters spelled apart), known words of
 * thirteen languages are put into classes, and weighted patterns of classes are looked for, such as "ignore ...
 * previous ... instructions". One pass, no memory. It finds what is spelled out and understands nothing: a
 * guard against the common attacks, not a proof of their absence. docs/checks.md has the patterns.
 */
#ifndef PK_INJECTION_H
#define PK_INJECTION_H

#include "base.h"

enum { PK_INJECTION_MATCHES_MAX = 8 };

/* From here on a text is worth blocking. */
#define PK_INJECTION_THRESHOLD 0.5

struct pk_injection {
    double score;                                  /* 0 to 1 */
    int count;                                     /* of matches[] */
    const char *matches[PK_INJECTION_MATCHES_MAX]; /* names of patterns, heaviest first */
};

/* `text` is UTF-8; what is not is skipped. */
void pk_injection_score(pk_str text, struct pk_injection *out);

#endif
