/* tell.h - what a batch tells while it is in flight: others, by a row of pk_running, and whoever waits at a terminal.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_TELL_H
#define PK_TELL_H

#include "conn.h"
#include "progress.h"

struct pk_tell {
    struct pk_progress progress;
    struct pk_progress_line line;
    bool at_terminal;
    char host[65];
};

/* `kind` and `query_id` must stay; total: -1: not known. */
void pk_tell_begin(struct pk_tell *t, struct pk_conn *c, const char *kind, const char *query_id,
                   int64_t total);
/* If it is time; `config` is a slug, or empty. */
void pk_tell_turn(struct pk_tell *t, struct pk_conn *c, pk_str config, const struct pk_batch *b);
/* A row is given away, and may be printed where the line is. */
void pk_tell_row(struct pk_tell *t);
void pk_tell_end(struct pk_tell *t, struct pk_conn *c, const struct pk_batch *b);

#endif
