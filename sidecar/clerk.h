/* clerk.h - threads that may wait for the store, so that those who serve need not.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *   serving thread                      clerk's thread
 *   pkd_clerks_ask(job) ──── queue ───▶ job->run(store)
 *   job->done()  ◀─ desk, an eventfd ── 
 *
 * Jobs are run in turn, but for long ones, which wait while there are enough of them.
 *
 * A clerk has a store of its own, opened with its first job. Clerks start when they are needed, up to the count
 * that was given, and stay. A serving thread has one desk, where its jobs come back.
 */
#ifndef PKD_CLERK_H
#define PKD_CLERK_H

#include "store.h"

struct pkd_app;
struct pkd_clerks;
struct pkd_pile;

enum {
    PKD_JOBS_MAX = 4096, /* that wait for a clerk */
    PKD_LONG_JOBS = 2,   /* that are run at a time: they leave clerks to the others */
    PKD_RUNNERS = 8,
};

/* Part of whatever it is about; must stay where it is until it is done. */
struct pkd_job {
    /* In a clerk's thread. `store` is NULL when it cannot be opened: job->error says why. */
    void (*run)(struct pkd_job *job, struct pk_store *store);
    /* In the thread that asked: in pkd_pile_work(). */
    void (*done)(struct pkd_job *job);
    struct pkd_pile *pile; /* where it comes back */
    bool is_long;          /* it may need much time and memory: PKD_LONG_JOBS of these */
    struct pk_error error;
    struct pkd_job *next; /* the queue's */
};

/* At most `count` threads, whose stores are opened with patience_ms (home.h). NULL: no memory. */
struct pkd_clerks *pkd_clerks_new(const struct pkd_app *app, int count, int64_t patience_ms);
/* Every job that was asked for is run and piled up first. NULL is fine. */
void pkd_clerks_free(struct pkd_clerks *k);

/* Takes the job over until it is done. False: too many wait, or no thread could be started. */
bool pkd_clerks_ask(struct pkd_clerks *k, struct pkd_job *job) PK_MUST_CHECK;

/* Where the jobs of one serving thread come back; `fd` (an eventfd) is written to. NULL: no memory. */
struct pkd_pile *pkd_pile_new(int fd);
void pkd_pile_free(struct pkd_pile *p); /* nothing may be under way to it */
/* From a clerk's thread: as if the job were through, which it need not be. */
void pkd_pile_add(struct pkd_pile *p, struct pkd_job *job);
/* Calls done() of what has come back. */
void pkd_pile_work(struct pkd_pile *p);

#endif
