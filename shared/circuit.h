/* circuit.h - when a target that keeps failing is left alone for a while.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A breaker (`cb_config`) counts what comes of the attempts at a target within windows as long as its cooldown.
 * Enough failures open the circuit: until the cooldown has passed, routing passes the target over; then the
 * count starts anew. The counts live in the store (store_route.h), so that all processes count together.
 */
#ifndef PK_CIRCUIT_H
#define PK_CIRCUIT_H

#include "route.h"

enum {
    PK_COOLDOWN_MS_DEFAULT = 60 * 1000,
    PK_COOLDOWN_MS_MIN = 1000,
    PK_MINIMUM_REQUESTS_DEFAULT = 10, /* before a percentage is looked at */
    PK_THRESHOLD_MAX = 1000000,
};

/* When a circuit opens: after `failures` failures, or when `percentage` of at least `minimum` attempts
 * have failed. A limit of 0 is none. */
struct pk_breaker {
    int64_t failures, percentage, minimum;
    int64_t cooldown_ms; /* 0: there is no breaker */
};

/* What came of the attempts that a call made at one target. */
struct pk_outcome {
    pk_str target_path;
    struct pk_breaker breaker; /* the target's */
    int attempts, failures;
    int64_t at_us; /* when the last one ended */
};

/* Whether an attempt that ended in `code` (PK_OK: an answer) says anything about its target: a request
 * that could not be sent, and a client that left, do not. */
bool pk_circuit_counts(enum pk_code code);

/* Whether such an attempt failed. Without a list: no answer, a broken one, and any status of 500 or more. */
bool pk_circuit_failed(const struct pk_statuses *failures, enum pk_code code, int status);

#endif
