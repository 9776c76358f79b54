/* map_inner.h - pkd map: what map.c, the command, and map_call.c, its calls, share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_MAP_INNER_H
#define PKD_MAP_INNER_H

#include "batch.h"
#include "home.h"
#include "loop.h"
#include "progress.h"
#include "resolve.h"
#include "sheet.h"
#include "writer.h"

/* A row's call. */
struct pkd_map_call {
    struct pk_task task; /* first: the loop returns its address */
    struct pk_arena arena;
    struct pk_item *item;
    struct pk_buf out;
    struct pkd_map_call *next, *prev;
};

struct pkd_map {
    const struct pkd_options *options;
    struct pk_arena arena; /* for as long as it runs */
    struct pkd_home home;
    struct pk_store *store;
    struct pk_secrets *secrets;
    struct pk_writer *writer;
    struct pk_xfer *xfer;
    struct pk_loop *loop;
    struct pk_resolver *resolver;
    const struct pk_snapshot *snapshot;
    struct pk_batch *batch;
    struct pkd_map_call *calls; /* in flight */
    struct pkd_sheet *sheet;
    const pk_str *names; /* of its columns */
    int name_count;
    FILE *out;
    const char *part; /* its name until it is complete; NULL: it has none of its own */
    char query_id[PK_UUID_TEXT + 1];
    uint64_t random;
    struct pk_progress progress;
    struct pk_progress_line line;
    char host[65];
    bool stopped; /* by a signal */
};

/* Starts what may start, and does what calls need, without waiting. */
void pkd_map_turn(struct pkd_map *m);
/* A row of pk_running, or its end, for others. */
void pkd_map_tell(struct pkd_map *m);
/* Ends all that is in flight. */
void pkd_map_cancel(struct pkd_map *m);

#endif
