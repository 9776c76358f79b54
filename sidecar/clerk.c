/* clerk.c - see clerk.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "clerk.h"

#include "log.h"
#include "thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct queue {
    struct pkd_job *first, **end;
};

struct pkd_clerks {
    const struct pkd_app *app;
    int64_t patience_ms;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct queue queue;
    int waiting;    /* jobs in the queue */
    int idle;       /* threads that wait for one */
    int long_jobs;  /* that are run */
    int count, max; /* threads */
    bool closing;
    pthread_t ids[];
};

struct pkd_pile {
    pthread_mutex_t lock;
    struct queue queue;
    int fd;
};

static void push(struct queue *q, struct pkd_job *job)
{
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static struct pkd_job *pop(struct queue *q)
{
    struct pkd_job *job = q->first;

    if (!job)
        return NULL;
    q->first = job->next;
    if (!q->first)
        q->end = &q->first;
    return job;
}

/* The first that may be run now. */
static struct pkd_job *pick(struct pkd_clerks *k)
{
    struct queue *q = &k->queue;

    for (struct pkd_job **at = &q->first; *at; at = &(*at)->next) {
        struct pkd_job *job = *at;

        if (job->is_long && k->long_jobs == PKD_LONG_JOBS)
            continue;
        *at = job->next;
        if (!*at)
            q->end = at;
        k->waiting--;
        k->long_jobs += job->is_long;
        return job;
    }
    return NULL;
}

/* --- piles --------------------------------------------------------------------------------- */

struct pkd_pile *pkd_pile_new(int fd)
{
    struct pkd_pile *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    (void)pthread_mutex_init(&p->lock, NULL);
    p->queue.end = &p->queue.first;
    p->fd = fd;
    return p;
}

void pkd_pile_free(struct pkd_pile *p)
{
    if (!p)
        return;
    PK_ASSERT(!p->queue.first);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

void pkd_pile_add(struct pkd_pile *p, struct pkd_job *job)
{
    const uint64_t one = 1;

    (void)pthread_mutex_lock(&p->lock);
    push(&p->queue, job);
    (void)pthread_mutex_unlock(&p->lock);
    ssize_t written = write(p->fd, &one, sizeof one);
    (void)written; /* fails only when it is awake anyway */
}

static struct pkd_job *take(struct pkd_pile *p)
{
    (void)pthread_mutex_lock(&p->lock);
    struct pkd_job *job = pop(&p->queue);
    (void)pthread_mutex_unlock(&p->lock);
    return job;
}

void pkd_pile_work(struct pkd_pile *p)
{
    struct pkd_job *job;

    while ((job = take(p)))
        job->done(job);
}

/* --- clerks -------------------------------------------------------------------------------- */

/* The next job; NULL: there will be no more. */
static struct pkd_job *wait_for_job(struct pkd_clerks *k)
{
    struct pkd_job *job;

    (void)pthread_mutex_lock(&k->lock);
    k->idle++;
    while (!(job = pick(k)) && !(k->closing && !k->queue.first))
        (void)pthread_cond_wait(&k->wake, &k->lock);
    k->idle--;
    (void)pthread_mutex_unlock(&k->lock);
    return job;
}

/* Another long one may be run; whoever waits for the end may too. */
static void end_long_job(struct pkd_clerks *k)
{
    (void)pthread_mutex_lock(&k->lock);
    k->long_jobs--;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
}

static void *run_clerk(void *arg)
{
    struct pkd_clerks *k = arg;
    struct pk_store *store = NULL;
    struct pkd_job *job;

    while ((job = wait_for_job(k))) {
        struct pkd_pile *pile = job->pile;
        bool is_long = job->is_long;

        if (!store)
            store = pkd_home_open(&k->app->home, k->patience_ms, &job->error);
        job->run(job, store);
        pkd_pile_add(pile, job);
        if (is_long)
            end_long_job(k);
    }
    pk_store_close(store);
    return NULL;
}

/* Another thread when none is free; the lock is held. */
static bool hire(struct pkd_clerks *k)
{
    if (k->idle > k->waiting || k->count == k->max)
        return true;
    if (pthread_create(&k->ids[k->count], NULL, run_clerk, k) == 0)
        k->count++;
    return k->count > 0;
}

bool pkd_clerks_ask(struct pkd_clerks *k, struct pkd_job *job)
{
    (void)pthread_mutex_lock(&k->lock);
    bool taken = k->waiting < PKD_JOBS_MAX && hire(k);
    if (taken) {
        push(&k->queue, job);
        k->waiting++;
        (void)pthread_cond_signal(&k->wake);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return taken;
}

struct pkd_clerks *pkd_clerks_new(const struct pkd_app *app, int count, int64_t patience_ms)
{
    struct pkd_clerks *k = calloc(1, sizeof *k + sizeof k->ids[0] * (size_t)count);

    if (!k)
        return NULL;
    k->app = app;
    k->patience_ms = patience_ms;
    k->max = count;
    k->queue.end = &k->queue.first;
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->wake, NULL);
    return k;
}

void pkd_clerks_free(struct pkd_clerks *k)
{
    if (!k)
        return;
    (void)pthread_mutex_lock(&k->lock);
    k->closing = true;
    (void)pthread_cond_broadcast(&k->wake);
    (void)pthread_mutex_unlock(&k->lock);
    for (int i = 0; i < k->count; i++)
        (void)pthread_join(k->ids[i], NULL);
    (void)pthread_cond_destroy(&k->wake);
    (void)pthread_mutex_destroy(&k->lock);
    free(k);
}
