/* recall.c - see recall.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "recall.h"

#include "xfer.h"

#include <stdlib.h>
#include <string.h>

enum { REFERENCE_BYTES_MAX = 16 << 10 }; /* longer ones are not remembered */

void pkd_recall_release(struct pk_resolver *resolver, struct pkd_meaning *m)
{
    if (!m || --m->holds > 0)
        return;
    pk_snapshot_release(resolver, m->snapshot);
    pk_secret_wipe(m->reference, m->reference_len);
    free(m);
}

int64_t pkd_recall_sweep(struct pkd_recall *r, struct pk_resolver *resolver, bool all)
{
    int64_t now_ms = r->count ? pk_clock_ms() : 0, next_ms = INT64_MAX;

    for (int i = r->count - 1; i >= 0; i--) {
        struct pkd_meaning *m = r->list[i];

        if (!all && m->until_ms > now_ms) {
            next_ms = m->until_ms < next_ms ? m->until_ms : next_ms;
            continue;
        }
        pkd_recall_release(resolver, m);
        r->list[i] = r->list[--r->count];
    }
    return next_ms;
}

static struct pkd_meaning *find(const struct pkd_recall *r, pk_str reference)
{
    for (int i = 0; i < r->count; i++) {
        struct pkd_meaning *m = r->list[i];

        if (pk_str_eq((pk_str){m->reference, m->reference_len}, reference))
            return m;
    }
    return NULL;
}

static struct pkd_meaning *make(struct pk_resolver *resolver, struct pk_store *store,
                                pk_str reference, struct pk_error *err)
{
    const struct pk_snapshot *s = pk_resolve(resolver, store, reference, pk_clock_us(), err);
    size_t len = reference.len <= REFERENCE_BYTES_MAX ? reference.len : 0;
    struct pkd_meaning *m = s ? malloc(sizeof *m + len) : NULL;

    if (!m) {
        if (s)
            (void)pk_fail(err, PK_NO_MEMORY, "config: out of memory");
        pk_snapshot_release(resolver, s);
        return NULL;
    }
    *m = (struct pkd_meaning){.snapshot = s, .holds = 1, .reference_len = len};
    if (len)
        memcpy(m->reference, reference.at, len);
    return m;
}

struct pkd_meaning *pkd_recall_resolve(struct pkd_recall *r, struct pk_resolver *resolver,
                                       struct pk_store *store, pk_str reference,
                                       struct pk_error *err)
{
    (void)pkd_recall_sweep(r, resolver, false);
    struct pkd_meaning *m = find(r, reference);
    if (m) {
        m->holds++;
        return m;
    }
    m = make(resolver, store, reference, err);
    if (!m || m->reference_len == 0 || r->count == PKD_RECALL_MAX)
        return m;
    m->holds++;
    m->until_ms = pk_clock_ms() + PKD_RECALL_MS;
    r->list[r->count++] = m;
    return m;
}
