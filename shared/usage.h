/* usage.h - token counts and what they cost.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Counts sit in disjoint buckets: adding them up counts every token once, and each bucket
 * has one price. Providers disagree on what includes what; each dialect says what its
 * provider's numbers mean and converts here and nowhere else.
 */
#ifndef PK_USAGE_H
#define PK_USAGE_H

#include "base.h"

enum pk_usage_source { PK_USAGE_NONE, PK_USAGE_PROVIDER, PK_USAGE_ESTIMATED };

struct pk_usage {
    enum pk_usage_source source;
    int64_t input;          /* not from a provider's cache */
    int64_t cache_read;     /* read from the provider's prompt cache */
    int64_t cache_write;    /* written to it, for the usual few minutes */
    int64_t cache_write_1h; /* written to it, for an hour */
    int64_t output;         /* visible answer */
    int64_t reasoning;      /* hidden thinking */
};

#endif
