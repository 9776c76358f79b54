/* writer_copy.c - the store's write-ahead log goes to where it belongs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * That waits for the disk, and so for nobody's sake is it a part of a commit: the writer does it between two, beside
 * the transactions of others; or a thread does that has nothing else to do, and a connection of its own. Meanwhile
 * the log grows, and is only begun anew when all of it has been copied: that thread copies again what came, less each
 * time. Where it does not get to an end, because the disk is too slow for that, the writer lends a hand.
 */
#include "writer_inner.h"

static void copy(struct pk_writer *w, struct pk_store *store)
{
    struct pk_error ignored; /* it shows in the next transaction, or not at all */
    int64_t behind;

    pk_turn_take(&w->copying);
    (void)store->ops->settle(store, &behind, &ignored);
    pk_turn_give(&w->copying);
}

void pk_writer_copy_if_due(struct pk_writer *w)
{
    int pages = w->store->logged;

    if (pages < PK_WRITER_LOG_PAGES)
        return;
    if (w->copier && pages < PK_WRITER_LOG_PAGES_MAX) {
        w->copy = true;
        (void)pthread_cond_signal(&w->copy_due);
        return;
    }
    (void)pthread_mutex_unlock(&w->lock);
    copy(w, w->store);
    w->store->logged = 0;
    (void)pthread_mutex_lock(&w->lock);
}

static void *run(void *arg)
{
    struct pk_writer *w = arg;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->copy_stop) {
        if (!w->copy) {
            (void)pthread_cond_wait(&w->copy_due, &w->lock);
            continue;
        }
        w->copy = false;
        (void)pthread_mutex_unlock(&w->lock);
        copy(w, w->copier);
        (void)pthread_mutex_lock(&w->lock);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return NULL;
}

bool pk_writer_copier(struct pk_writer *w, struct pk_store *store, struct pk_error *err)
{
    if (!pk_writer_spawn(&w->copy_thread, "pk-copier", run, w)) {
        pk_store_close(store);
        return pk_fail(err, PK_NO_MEMORY, "cannot start the thread that copies the log");
    }
    (void)pthread_mutex_lock(&w->lock);
    w->copier = store;
    (void)pthread_mutex_unlock(&w->lock);
    return true;
}

void pk_writer_end_copier(struct pk_writer *w)
{
    if (!w->copier)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->copy_stop = true;
    (void)pthread_cond_signal(&w->copy_due);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->copy_thread, NULL);
}
