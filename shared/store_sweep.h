/* store_sweep.h - rows that are older than they may be go, a few at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever writes the store anyway calls pk_store_sweep() when there is time: a step deletes some of the oldest
 * rows in one short transaction, so that no statement is ever long, no reader waits, and little is written
 * at once. A pass goes through everything that has a retention (store_setting.h) and ends when nothing
 * is left that is too old; then it can rest.
 *
 * A payload goes when it was last used longer ago than its own retention, or longer ago than any log row can
 * be.
 */
#ifndef PK_STORE_SWEEP_H
#define PK_STORE_SWEEP_H

#include "store_setting.h"

enum {
    PK_SWEEP_ROWS_MIN = 64,
    PK_SWEEP_ROWS_MAX = 512,      /* that one step deletes, spans not counted */
    PK_SWEEP_BYTES_MAX = 4 << 20, /* of payloads, as they are stored; a single one may be larger */
    PK_SWEEP_PAGES = 256,         /* that one step gives back to the file system */
    PK_SWEEP_STEP_US = 10 * 1000, /* what a step should take at most: `rows` is adapted to it */
    PK_SWEEP_PAUSE_MS = 20,       /* between two steps while there is time */
    PK_SWEEP_REST_MS = 60 * 1000, /* between two passes */
    PK_SWEEP_WAIT_MS = 5 * 1000,  /* while readers hold the log back */
    PK_SWEEP_LOOK_STEPS = 16,     /* after so many it looks whether readers hold the log back */
    PK_SWEEP_BEHIND_PAGES = 8000, /* that many in the write-ahead log are enough */
};

/* What went. */
struct pk_swept {
    int64_t logs, spans, payloads, cache, feedback, audit, jobs, pages;
    int64_t progress; /* of batches whose process was killed: not printed */
    int64_t hours;    /* of which columns were kept: neither */
};

/* Zeroed at first. */
struct pk_sweep {
    struct pk_retention keep;  /* of this pass */
    int stage;                 /* 0: the next step begins a pass */
    int64_t at;                /* of this stage: the last number, or time, that went */
    uint8_t id[PK_UUID_BYTES]; /* or the last id */
    int steps;                 /* of this pass that did something */
    int rows;                  /* how many a step deletes; 0: not known yet */
    struct pk_swept swept;     /* since this was zeroed */
};

enum pk_sweep_then {
    PK_SWEEP_ON, /* the step did something, and the next one may too */
    PK_SWEEP_WAIT, /* likewise, but a reader that takes long keeps what is written in the log: not soon */
    PK_SWEEP_OVER, /* the pass is over */
};

/* How long to rest then, unless a new setting is to take effect. */
int64_t pk_sweep_pause_ms(bool ok, enum pk_sweep_then then);

/* One step. */
bool pk_store_sweep(struct pk_store *s, struct pk_sweep *w, int64_t now_us,
                    enum pk_sweep_then *then, struct pk_error *err) PK_MUST_CHECK;

/* How long the step took, for the size of the next. */
void pk_sweep_took(struct pk_sweep *w, int64_t us);

/* {"logs":1,...} */
void pk_swept_print(const struct pk_swept *swept, struct pk_buf *out);

#endif
