/* reserve.h - what a call asks of its limits before it is sent, and what it is told.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_RESERVE_H
#define PK_RESERVE_H

#include "limit.h"
#include "record.h"

struct pk_reserve {
    uint8_t id[PK_UUID_BYTES]; /* the call's */
    int64_t epoch;             /* of the limits that it goes by */
    int64_t expires_us;        /* the call will be over by then, and settled */
    bool tentative;            /* asked again when only calls in progress are in the way */

    /* The answer. */
    bool granted;
    int refused;            /* which hold is in the way; -1: none, limits could not be checked */
    int64_t retry_after_ms; /* when to ask again; 0: nobody knows, or never */
    bool in_use;            /* only what other calls have set aside is in the way */
    struct pk_error error;

    struct pk_holds holds; /* of the question; `want` is to become `amount`, of all or of none */
};

/* The question, or the question with its answer, as bytes for another process. Of what is read the holds lie in
 * `rows`, and strings point into `bytes`; false when they are none. */
void pk_reserve_encode(const struct pk_reserve *r, struct pk_buf *out);
bool pk_reserve_decode(pk_str bytes, struct pk_reserve *r,
                       struct pk_hold rows[PK_HOLDS_MAX]) PK_MUST_CHECK;

#endif
