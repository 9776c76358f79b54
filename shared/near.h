/* near.h - the vectors of cached questions in memory, and which of them are near another.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Vectors belong to a gate, the hash of all that must be equal before likeness counts; they are never
 * compared across gates. Each is kept as 8-bit numbers, and is looked at in two parts: what the first
 * quarter of it rules out by the Cauchy-Schwarz inequality is not looked at further. Both this and the
 * rounding are accounted for, so no vector within the threshold is missed; what is returned is
 * approximate until it is measured again with the stored vector.
 *
 * Memory is bounded: the gate that was used longest ago goes first, then the oldest vectors of the one gate
 * that is left. One thread at a time, but for pk_near_find(), which any number may call together.
 */
#ifndef PK_NEAR_H
#define PK_NEAR_H

#include "arena.h"
#include "traits.h"

enum {
    PK_NEAR_KEY_BYTES = 32, /* of gates and keys */
    PK_NEAR_DIMS_MAX = PK_EMBEDDING_DIMS_MAX,
    PK_NEAR_GATE_MAX = 1 << 17, /* vectors of one gate */
    PK_NEAR_BEST = 8,           /* what a search returns at most */
    PK_NEAR_YOUNG_MAX = 64,     /* vectors of one gate that are not in the store yet */
};

struct pk_near;

/* Where a vector is from. */
struct pk_near_item {
    int64_t id; /* its row; rows of a gate are added once each */
    uint8_t key[PK_NEAR_KEY_BYTES];
    struct pk_traits traits;
    const float *vector; /* of length 1 */
    int dims;
};

struct pk_near_match {
    int64_t id; /* 0: not in the store yet */
    uint8_t key[PK_NEAR_KEY_BYTES];
    float similarity;
    float error; /* the exact figure is at most so far away; 0: it is exact */
};

struct pk_near_matches {
    struct pk_near_match list[PK_NEAR_BEST]; /* the best first */
    int count;
};

/* At most about bytes_max from `from`, which must outlive it. NULL: no memory. */
struct pk_near *pk_near_new(struct pk_allocator from, size_t bytes_max);
void pk_near_free(struct pk_near *n); /* NULL is fine */

/* Which rows of a gate are here: [low, high]. */
struct pk_near_range {
    int64_t low, high;
    bool whole; /* none are left below `low`, or there is no room for them */
};
struct pk_near_range pk_near_range(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES]);
/* After rows were added: what has been looked through now. */
void pk_near_looked(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                    struct pk_near_range range);

/* False when it cannot be kept: no room, or not as many numbers as the others of its gate. */
bool pk_near_add(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                 const struct pk_near_item *item);
/* One that is not in the store yet; it goes when the row with its key is added. */
void pk_near_add_young(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                       const struct pk_near_item *item);

/* The nearest that agree with the item's traits and may be within the threshold. */
void pk_near_find(const struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                  const struct pk_near_item *like, double threshold, struct pk_near_matches *m);

/* Forgets a match whose row is gone. */
void pk_near_forget(struct pk_near *n, const uint8_t gate[PK_NEAR_KEY_BYTES],
                    const struct pk_near_match *m);

size_t pk_near_bytes(const struct pk_near *n);

/* Whether a cosine reaches the threshold, as far as it can be computed. */
bool pk_near_enough(double cosine, double threshold);
/* The cosine of two vectors of length 1. */
double pk_near_cosine(const float *a, const float *b, int dims);
/* Scales to length 1; false when it has none, or a number is not finite. */
bool pk_near_normalise(float *vector, int dims);

#endif
