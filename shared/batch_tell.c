/* batch_tell.c - what became of a batch, in a sentence: see batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "batch.h"

#include "record.h"

#include <stdio.h>

void pk_batch_tell(const struct pk_batch_progress *p, char *out, size_t size)
{
    char usd[32], unknown[64] = "";

    pk_usd_print(p->cost_pusd, usd);
    if (p->unpriced)
        (void)snprintf(unknown, sizeof unknown, ", and %lld of no known price",
                       (long long)p->unpriced);
    (void)snprintf(out, size, "rows %lld, calls %lld, from the cache %lld, failed %lld, cost $%s%s",
                   (long long)p->done, (long long)(p->ended - p->cached), (long long)p->cached,
                   (long long)p->failed, usd, unknown);
}

struct pk_batch_progress pk_batch_progress_add(struct pk_batch_progress a,
                                               struct pk_batch_progress b)
{
    a.complete = b.complete && a.rows == 0;
    a.rows += b.rows;
    a.done += b.done;
    a.failed += b.failed;
    a.calls += b.calls;
    a.running = b.running;
    a.ended += b.ended;
    a.cached += b.cached;
    a.input_tokens += b.input_tokens;
    a.output_tokens += b.output_tokens;
    a.cost_pusd += b.cost_pusd;
    a.unpriced += b.unpriced;
    return a;
}
