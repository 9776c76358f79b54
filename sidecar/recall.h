/* recall.h - what a reference meant a moment ago.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * pk_resolve() asks the store for its epoch each time, and parses a config that holds a literal key each time. Under
 * load the same few references come every millisecond; a thread that remembers them for PKD_RECALL_MS does
 * neither, and its calls share one config. A change in the store is seen that much later.
 */
#ifndef PKD_RECALL_H
#define PKD_RECALL_H

#include "resolve.h"

enum { PKD_RECALL_MS = 5, PKD_RECALL_MAX = 16 };

/* Zeroed at first. A thread's own. */
struct pkd_recall {
    struct pkd_meaning *list[PKD_RECALL_MAX];
    int count;
};

/* A config and the prices of the same moment, for one call or several. */
struct pkd_meaning {
    const struct pk_snapshot *snapshot;
    int64_t until_ms; /* what it is remembered until; 0: it is not */
    int holds;
    size_t reference_len;
    char reference[];
};

/* As pk_resolve(); the result is the caller's until pkd_recall_release(). */
struct pkd_meaning *pkd_recall_resolve(struct pkd_recall *r, struct pk_resolver *resolver,
                                       struct pk_store *store, pk_str reference,
                                       struct pk_error *err) PK_MUST_CHECK;
void pkd_recall_release(struct pk_resolver *resolver, struct pkd_meaning *m); /* NULL is fine */

/* Forgets what is older than PKD_RECALL_MS, or `all`. Returns when to call again; INT64_MAX: never. */
int64_t pkd_recall_sweep(struct pkd_recall *r, struct pk_resolver *resolver, bool all);

#endif
