/* store_replay.h - a logged call, asked again.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_REPLAY_H
#define PK_STORE_REPLAY_H

#include "store.h"

struct pk_replay {
    uint8_t id[PK_UUID_BYTES]; /* of the log row */
    bool given;                /* there is something to replay */
    pk_str config; /* what to ask instead, or empty: then the logged config is put here */
};

/* Fills *req from the log: body (not as a stream), front, user and metadata; in the trace of the call
 * that it repeats, under its span. PK_NOT_FOUND when there is no such row; PK_BAD_REQUEST when its request
 * was not kept, or its config has no slug and none is given. Strings are in `arena`. */
bool pk_store_replay_request(struct pk_store *s, struct pk_arena *arena, struct pk_replay *replay,
                             struct pk_request *req, struct pk_error *err) PK_MUST_CHECK;

#endif
