/* scan_tell.c - what the calls of a statement came to: one NOTICE, however many nodes of its plan made them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A single call is not told of: who asks for one, perhaps in a loop of a function, does not wait for a batch.
 */
#include "pk_pg.h"

#include "scan.h"

#include "utils/memutils.h"

struct pk_scan_tale {
    EState *estate;
    int nodes; /* that have not ended */
    struct pk_batch_progress sum;
    struct pk_scan_tale *next;
};

static struct pk_scan_tale *tales;

static void forget(void *object)
{
    struct pk_scan_tale **at = &tales;

    while (*at != object)
        at = &(*at)->next;
    *at = (*at)->next;
}

/* Lives as long as the plan runs. */
static struct pk_scan_tale *new_tale(EState *estate)
{
    struct pk_scan_tale *t = MemoryContextAllocZero(estate->es_query_cxt, sizeof *t);
    MemoryContextCallback *going = MemoryContextAlloc(estate->es_query_cxt, sizeof *going);

    t->estate = estate;
    t->next = tales;
    tales = t;
    *going = (MemoryContextCallback){.func = forget, .arg = t};
    MemoryContextRegisterResetCallback(estate->es_query_cxt, going);
    return t;
}

struct pk_scan_tale *pk_scan_tale_join(EState *estate)
{
    struct pk_scan_tale *t = tales;

    while (t && t->estate != estate)
        t = t->next;
    if (!t)
        t = new_tale(estate);
    t->nodes++;
    return t;
}

void pk_scan_tale_end(struct pk_scan_tale *t, const struct pk_batch_progress *p)
{
    t->sum = pk_batch_progress_add(t->sum, *p);
    if (--t->nodes == 0 && t->sum.rows > 1)
        pk_notice(&t->sum);
}
