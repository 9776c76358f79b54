/* watch.h - what a batch tells while it is in flight, by a row of pk_running, and at its end, by a NOTICE.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The row goes through the ring, so that other sessions see it while the statement runs. Include pk_pg.h first.
 */
#ifndef PK_WATCH_H
#define PK_WATCH_H

#include "pk_pg.h"

#include "progress.h"

struct pk_watch {
    struct pk_progress progress;
    struct pk_batch_progress before; /* of parts that are over */
    char actor[PK_ACTOR_BYTES], query_id[PK_QUERY_ID_BYTES];
};

/* A new one, in the current memory context; its row goes when that does. `kind` must stay; total: -1: not known. */
struct pk_watch *pk_watch_new(const char *kind, int64 total);
/* The same for pk_map(): when pk_run() asks for it, as a part of that. */
struct pk_watch *pk_watch_new_map(int64 total);
/* If it is time: a row of what `b`, the part that is in flight, and those before it have come to. `config` is a slug,
 * or empty. */
void pk_watch_turn(struct pk_watch *w, pk_str config, const struct pk_batch *b);
/* When it is time again: for whoever waits. */
int64_t pk_watch_due_ms(const struct pk_watch *w);
/* `b` is over. */
void pk_watch_part(struct pk_watch *w, const struct pk_batch *b);

/* What became of a batch, if somebody wants to know. */
void pk_notice(const struct pk_batch_progress *p);

#endif
