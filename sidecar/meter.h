/* meter.h - what a serving thread counts; metrics.c prints the sums of all threads.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each thread owns a meter and is the only one that adds to it: an addition is a load and a store, with no lock
 * and no locked instruction. Whoever prints reads them all at any time, so figures that belong together may be
 * apart by the calls of that moment.
 *
 * No text of a client becomes a label: providers are those of pk's own table, or "other".
 */
#ifndef PKD_METER_H
#define PKD_METER_H

#include "operation.h"
#include "record.h"

#include <stdatomic.h>

typedef _Atomic(int64_t) pkd_count;

enum {
    PKD_OPERATIONS = 0
#define OPERATION(symbol, ...) +1
#include "operations.def"
#undef OPERATION
    ,
    PKD_CODES = 6, /* no answer, 1xx .. 5xx */
    PKD_BUCKETS_MAX = 18,
    PKD_STATUSES = PK_ST_CANCELLED + 1,
    PKD_CACHE_STATUSES = PK_CS_SEMANTIC_MISS + 1,
};

enum pkd_refusal {
    PKD_BY_AUTH,      /* no API key, a wrong one, or one that may not */
    PKD_BY_REQUEST,   /* what was asked for made no call: a bad config, no such path */
    PKD_BY_LIMIT,     /* a budget or a rate limit */
    PKD_BY_GUARDRAIL, /* of the request or of the answer */
    PKD_REFUSALS,
};

enum pkd_tokens {
    PKD_TOKENS_INPUT,
    PKD_TOKENS_CACHE_READ,
    PKD_TOKENS_CACHE_WRITE,
    PKD_TOKENS_OUTPUT,
    PKD_TOKENS_REASONING,
    PKD_TOKENS,
};

struct pkd_histogram {
    pkd_count buckets[PKD_BUCKETS_MAX]; /* not cumulative; the last is for all above its bounds */
    pkd_count sum_us;
};

/* Upper bounds of buckets, in microseconds; INT64_MAX ends them. */
extern const int64_t pkd_call_bounds[], pkd_overhead_bounds[];

struct pkd_provider_meter {
    pkd_count calls[PKD_OPERATIONS][PKD_CODES];
    pkd_count attempts[PKD_CODES];
    pkd_count tokens[PKD_TOKENS];
    pkd_count cost_pusd;
    struct pkd_histogram latency, first_token;
};

struct pkd_meter {
#define PLAIN(kind, field, name, help) pkd_count field;
#include "metrics.def"
#undef PLAIN
    pkd_count refused[PKD_REFUSALS];
    pkd_count statuses[PKD_STATUSES];
    pkd_count cached[PKD_CACHE_STATUSES];
    pkd_count saved_pusd;
    struct pkd_histogram overhead;
    struct pkd_meter *next; /* of another thread */
    _Atomic(struct pkd_provider_meter *)
        providers[]; /* NULL until the provider is met; see below */
};

/* Zeroed, and the first of a list with those that were made before. NULL: no memory. */
struct pkd_meter *pkd_meter_new(struct pkd_meter *before);
/* The list. */
void pkd_meters_free(struct pkd_meter *first);

/* Their owner alone. */
static inline void pkd_add(pkd_count *c, int64_t more)
{
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + more,
                          memory_order_relaxed);
}
static inline void pkd_set(pkd_count *c, int64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

/* A call that is over. */
void pkd_meter_call(struct pkd_meter *m, const struct pk_operation *operation,
                    const struct pk_record *r);
/* A request that became no call. */
void pkd_meter_refused(struct pkd_meter *m, const struct pk_error *err);

/* Places in `providers`: those of pk's table, then "other", then "none" (no target was reached). */
int pkd_meter_providers(void);
const char *pkd_meter_provider(int i);

#endif
