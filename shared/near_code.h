/* near_code.h - vectors as 8-bit numbers, in the two parts that near.c looks at one after the other.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_NEAR_CODE_H
#define PK_NEAR_CODE_H

#include "near.h"

enum {
    PK_NEAR_STEP =
        32 /* numbers that the loops take at a time; vectors are padded with zeros to it */
};

/* How many numbers vectors of so many dimensions have in each part, padded. */
struct pk_near_shape {
    int dims;
    size_t head, tail;
};

/* What the inequalities need of a vector. */
struct pk_near_sizes {
    float scale, rest; /* rest: the length of what is behind the head */
    float error;       /* the length of what rounding took away */
};

struct pk_near_shape pk_near_shape_of(int dims);
/* `head` and `tail` have room for the numbers of each. */
struct pk_near_sizes pk_near_encode(const struct pk_near_shape *s, const float *vector,
                                    int8_t *head, int8_t *tail);

/* The sum of the products; `count` is a multiple of PK_NEAR_STEP. */
typedef int32_t pk_near_dot_fn(const int8_t *a, const int8_t *b, size_t count);
pk_near_dot_fn *pk_near_best_dot(void); /* the fastest that this processor has */

#endif
