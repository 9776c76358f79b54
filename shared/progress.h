/* progress.h - what a batch in flight tells others: a row about once a second, and a line at a terminal.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The row travels as log rows do (journal.h), so that other connections see it while the batch's statement, and its
 * transaction, still run. It is written from the second second on, and removed at the end: a short batch writes
 * nothing. When its process is killed it stays, and is not shown any more (the view pk_running) until it is swept
 * (store_sweep.h).
 *
 * Pure: the host reads clocks, hands over rows and writes to terminals.
 */
#ifndef PK_PROGRESS_H
#define PK_PROGRESS_H

#include "batch.h"
#include "record.h"

enum {
    PK_PROGRESS_MS = 1000, /* between two rows, and before the first row or line */
    PK_PROGRESS_SWEEP_S =
        60, /* a row that is older is swept; the view shows those of ten seconds */
    PK_PROGRESS_ENTRY = 4096,  /* bytes of the entry of a journal, at most */
    PK_PROGRESS_LINE = 512,    /* bytes of a line, at most */
    PK_PROGRESS_LINE_MS = 200, /* between two lines */
};

/* A row; a text that is longer than the store is to have is cut by whoever fills it in. */
struct pk_progress_row {
    uint8_t id[PK_UUID_BYTES];
    bool over; /* it is to be removed: only the id counts */
    int64_t started_us, updated_us;
    pk_str kind, source, query_id, actor, host, config; /* config may be empty */
    int64_t pid;
    int64_t total; /* -1: not known */
    int64_t done, failed, in_flight, cost_pusd;
};

struct pk_progress {
    struct pk_progress_row row; /* the caller's: kind to pid */
    int64_t total;              /* -1: known when all rows were read */
    int64_t due_ms;             /* when another row is */
    bool told;                  /* there was one */
};

/* Now it begins; p->row was filled in by the caller as far as it is the caller's. */
void pk_progress_begin(struct pk_progress *p, int64_t total, int64_t now_us, int64_t now_ms,
                       uint64_t random);
/* Whether p->row, which is brought up to date, is to be written now. */
bool pk_progress_next(struct pk_progress *p, const struct pk_batch_progress *counts, int64_t now_us,
                      int64_t now_ms);
/* Whether p->row, which now says that it is over, is to be written: once. */
bool pk_progress_end(struct pk_progress *p);

/* --- a line at a terminal ------------------------------------------------------------------ */

/* Zeroed but for began_ms. */
struct pk_progress_line {
    int64_t began_ms, shown_ms;
    bool there;
    bool ever; /* one was shown */
};

/* What to write to the terminal now: the line, over the one before; "": nothing. */
void pk_progress_line(struct pk_progress_line *l, const struct pk_batch_progress *counts,
                      int64_t now_ms, char out[PK_PROGRESS_LINE]);
/* What takes it away, since something else is to be written there; "": it is not there. */
const char *pk_progress_line_hide(struct pk_progress_line *l);
/* The last one, which stays, without what takes the one before away. */
void pk_progress_line_last(const struct pk_progress_line *l, const struct pk_batch_progress *counts,
                           int64_t now_ms, char out[PK_PROGRESS_LINE]);

#endif
