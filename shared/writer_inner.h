/* writer_inner.h - what the files of the writer share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_WRITER_INNER_H
#define PK_WRITER_INNER_H

#include "lease.h"
#include "store_sweep.h"
#include "writer.h"

#include <pthread.h>

enum { PK_WRITER_TAGS = 1024 }; /* slots for tags; a power of two */

/* Entries one behind the other, each after its length. */
struct queue {
    char *at;
    size_t len, cap;
    int64_t first_ms; /* when the oldest entry came; meaningful while len is not 0 */
};

struct pk_writer {
    struct pk_store *store; /* the thread's alone once it runs */
    struct pk_sweep sweep;  /* the thread's alone */
    struct pk_leases ended; /* likewise */
    bool has_swept;         /* likewise */
    bool kept;              /* likewise: the last group was committed */
    pthread_t thread;
    pthread_mutex_t busy; /* held during a transaction, a reservation's too; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t work; /* entries wait, `urgent`, `stop` or `end_leases` was set */
    pthread_cond_t done; /* `settled` has grown, there is room, or nobody reserves any more */

    /* under the lock, but for the bytes of `writing` */
    struct queue filling, writing;
    int64_t added, settled, dropped;
    int64_t refused; /* dropped before they were numbered */
    int64_t sweep_at_ms;
    bool urgent, stop;
    struct pk_leases leases;
    int64_t
        leases_at_ms; /* when to look for those that are to be ended; INT64_MAX: there are none */
    bool end_leases;  /* all of them, now */
    int reserving;    /* threads that wait for `busy` to reserve: they go first */
    struct pk_cache_max cache_max;
    char last_error[256];
    int64_t tagged[PK_WRITER_TAGS]; /* the last entry under each tag */
};

/* Writes why the store refused. */
void pk_writer_note(struct pk_writer *w, const struct pk_error *err);

/* The thread gives leases back: those that nobody takes from, or all; writer_limit.c. */
void pk_writer_end_leases(struct pk_writer *w, bool every);

#endif
