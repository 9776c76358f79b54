/* progress.c - see progress.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "progress.h"

#include <stdio.h>

void pk_progress_begin(struct pk_progress *p, int64_t total, int64_t now_us, int64_t now_ms,
                       uint64_t random)
{
    pk_uuid7(now_us, random, p->row.id);
    p->row.started_us = now_us;
    p->row.over = false;
    p->total = total;
    p->due_ms = now_ms + PK_PROGRESS_MS;
    p->told = false;
}

bool pk_progress_next(struct pk_progress *p, const struct pk_batch_progress *counts, int64_t now_us,
                      int64_t now_ms)
{
    struct pk_progress_row *r = &p->row;

    if (now_ms < p->due_ms)
        return false;
    p->due_ms = now_ms + PK_PROGRESS_MS;
    p->told = true;
    r->updated_us = now_us;
    r->total = p->total < 0 && counts->complete ? counts->rows : p->total;
    r->done = counts->done - counts->failed;
    r->failed = counts->failed;
    r->in_flight = counts->running;
    r->cost_pusd = counts->cost_pusd;
    return true;
}

bool pk_progress_end(struct pk_progress *p)
{
    struct pk_progress_row over = {.over = true, .total = -1};
    bool told = p->told;

    memcpy(over.id, p->row.id, sizeof over.id);
    p->row = over; /* what its texts were may be gone */
    p->told = false;
    return told;
}

/* --- a line at a terminal ------------------------------------------------------------------ */

static const char start_of_line[] = "\r\033[K";

static void tell(const struct pk_progress_line *l, const struct pk_batch_progress *counts,
                 int64_t now_ms, char *out, size_t size)
{
    char told[PK_BATCH_TOLD_BYTES];
    int64_t ms = now_ms - l->began_ms;

    pk_batch_tell(counts, told, sizeof told);
    (void)snprintf(out, size, "%s, %.1f rows a second", told,
                   (double)counts->done * 1000.0 / (double)(ms > 0 ? ms : 1));
}

void pk_progress_line(struct pk_progress_line *l, const struct pk_batch_progress *counts,
                      int64_t now_ms, char out[PK_PROGRESS_LINE])
{
    size_t head = sizeof start_of_line - 1;

    out[0] = 0;
    if (now_ms - l->began_ms < PK_PROGRESS_MS || now_ms - l->shown_ms < PK_PROGRESS_LINE_MS)
        return;
    l->shown_ms = now_ms;
    l->there = l->ever = true;
    memcpy(out, start_of_line, head);
    tell(l, counts, now_ms, out + head, PK_PROGRESS_LINE - head);
}

const char *pk_progress_line_hide(struct pk_progress_line *l)
{
    bool there = l->there;

    l->there = false;
    return there ? start_of_line : "";
}

void pk_progress_line_last(const struct pk_progress_line *l, const struct pk_batch_progress *counts,
                           int64_t now_ms, char out[PK_PROGRESS_LINE])
{
    tell(l, counts, now_ms, out, PK_PROGRESS_LINE - 1);
    memcpy(out + strlen(out), "\n", 2);
}
