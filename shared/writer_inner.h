/* writer_inner.h - what the files of the writer share.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_WRITER_INNER_H
#define PK_WRITER_INNER_H

#include "lease.h"
#include "spool.h"
#include "store_sweep.h"
#include "turn.h"
#include "writer.h"

#include <pthread.h>

enum { PK_WRITER_TAGS = 1024 }; /* slots for tags; a power of two */

enum { PK_WRITER_LOST_MAX = 64 };

/* Entries one behind the other, each after its length. */
struct queue {
    char *at;
    size_t len, cap;
    int64_t first_ms; /* when the oldest entry came; meaningful while len is not 0 */
};

struct pk_writer {
    struct pk_store *store;          /* the thread's alone once it runs */
    struct pk_sweep sweep;           /* the thread's alone */
    struct pk_leases ended;          /* likewise */
    bool has_swept;                  /* likewise */
    bool kept;                       /* likewise: the last group was committed */
    int64_t away_until_ms;           /* likewise: the store was not there; 0: it is */
    int64_t replay_at_ms;            /* likewise: not before */
    struct pk_spool_reader *reading; /* likewise: what is replayed; NULL: nothing is */
    struct queue replaying;          /* likewise */
    pthread_t thread;
    struct pk_store *copier; /* of the thread that copies the log; NULL: there is none */
    pthread_t copy_thread;
    struct pk_turn copying; /* of the store's log to where it belongs; taken before `turn` */
    struct pk_turn turn;    /* for a transaction, a reservation's too; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t work;     /* entries wait, `urgent`, `stop` or `end_leases` was set */
    pthread_cond_t copy_due; /* `copy` or `copy_stop` was set */
    pthread_cond_t done;     /* `settled` has grown, there is room, or nobody reserves any more */

    /* under the lock, but for the bytes of `writing` */
    struct queue filling, writing;
    int64_t added, settled, dropped;
    int64_t refused; /* dropped before they were numbered */
    /* Groups of which some were dropped, the oldest first, as numbers behind `after` up to `upto`. Of many, old
     * ones and what is between them are one. */
    struct pk_lost {
        int64_t after, upto;
    } lost[PK_WRITER_LOST_MAX];
    int lost_count;
    int64_t written, spooled, parked;
    bool spool_waits; /* something is in the spool */
    bool stalled;     /* somebody waited for room in vain; until the thread gets on */
    bool copy, copy_stop;
    bool durable;
    void (*on_settled)(void *ctx);
    void *settled_ctx;
    int64_t sweep_at_ms;
    bool urgent, stop;
    struct pk_leases leases;
    int64_t
        leases_at_ms; /* when to look for those that are to be ended; INT64_MAX: there are none */
    bool end_leases;  /* all of them, now */
    int reserving;    /* threads that wait for `turn` to reserve: they go first */
    struct pk_cache_max cache_max;
    struct pk_spool spool; /* does not change once entries come */
    char last_error[256];
    int64_t tagged[PK_WRITER_TAGS]; /* the last entry under each tag */
};

bool pk_queue_add(struct queue *q, pk_str entry);
/* The entry at *pos; moves *pos behind it. */
pk_str pk_queue_take(const struct queue *q, size_t *pos);
void pk_queue_empty(struct queue *q);

/* How a transaction ended: the store refused one of its entries, for good or for now, or is not there. */
enum pk_wrote { PK_WROTE, PK_REFUSED, PK_FAILED, PK_AWAY };

/* Writes the entries of [from, to) in one. */
enum pk_wrote pk_writer_group(struct pk_writer *w, const struct queue *q, size_t from, size_t to,
                              struct pk_error *err);

/* writer_spool.c; the thread's, but for what the header says */

/* One entry a transaction, so that a bad one does not take the others with it; until *from is `to`, or the store
 * is away. How many were lost. */
int64_t pk_writer_singly(struct pk_writer *w, const struct queue *q, size_t *from, size_t to);
/* To the spool, until *from is `to`, or there is no room: then false. */
bool pk_writer_set_aside(struct pk_writer *w, const struct queue *q, size_t *from, size_t to);
void pk_writer_away(struct pk_writer *w);
bool pk_writer_is_away(const struct pk_writer *w);
/* Writes some of what is in the spool, if it is time. */
void pk_writer_replay(struct pk_writer *w);

/* Starts a thread, which takes no signals: they are for the host's own threads. */
bool pk_writer_spawn(pthread_t *thread, const char *name, void *(*run_it)(void *),
                     struct pk_writer *w);

/* writer_copy.c: by the thread, with the lock, which may be released meanwhile. */
void pk_writer_copy_if_due(struct pk_writer *w);
void pk_writer_end_copier(struct pk_writer *w);

/* Writes why the store refused. */
void pk_writer_note(struct pk_writer *w, const struct pk_error *err);

/* The thread gives leases back: those that nobody takes from, or all; writer_limit.c. */
void pk_writer_end_leases(struct pk_writer *w, bool every);

#endif
