/* hub.c - see hub.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * `hub.lock` is held while a writer is opened or drained, so that a store is never opened for writing
 * twice. fork() waits for the writers' transactions; the child then closes its copies of all stores
 * before it opens one, because SQLite keeps one account of a file's locks for the whole process, and
 * the locks that it tells of are the parent's. A process that exits without closing its connections
 * drains its writers.
 */
#include "hub.h"

#include "interrupt.h"
#include "spool.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_WAIT_MS = 2000,
    FORK_WAIT_MS = 2000,
    LOOK_WAIT_MS = 100,
    SPOOL_BYTES_MAX = 256 << 20,
};

struct shared_writer {
    struct shared_writer *next;
    struct pk_writer *writer;
    int users;
    bool held; /* during a fork */
    char path[];
};

struct member {
    struct member *next;
    const sqlite3 *db;
    struct pk_conn *conn;
    bool inherited, idle; /* in a child: as they were at the fork */
};

static struct {
    pthread_mutex_t lock;
    bool watching;                /* for fork and exit */
    bool unseen;                  /* during a fork: no thread looks for an interrupt */
    unsigned generation, renewed; /* differ in a child that has not closed what it inherited */
    bool spoilt;                  /* some of it could not be closed */
    struct shared_writer *writers;
    struct member *members;
} hub = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void lock(void)
{
    (void)pthread_mutex_lock(&hub.lock);
}

static void unlock(void)
{
    (void)pthread_mutex_unlock(&hub.lock);
}

static void before_fork(void)
{
    lock();
    for (struct shared_writer *s = hub.writers; s; s = s->next)
        s->held = pk_writer_hold(s->writer, FORK_WAIT_MS);
    hub.unseen = pk_interrupt_hold(LOOK_WAIT_MS);
}

static void in_parent(void)
{
    if (hub.unseen)
        pk_interrupt_let_go();
    for (struct shared_writer *s = hub.writers; s; s = s->next)
        if (s->held)
            pk_writer_let_go(s->writer);
    unlock();
}

static void in_child(void)
{
    pk_interrupt_in_child();
    hub.generation++;
    for (struct member *m = hub.members; m; m = m->next) {
        m->inherited = true;
        m->idle = m->conn->busy == 0 && m->conn->cursors == 0;
    }
    unlock();
}

static void at_exit(void)
{
    lock();
    for (struct shared_writer *s = hub.writers; s && hub.renewed == hub.generation; s = s->next)
        (void)pk_writer_flush(s->writer, EXIT_WAIT_MS);
    unlock();
}

/* The lock is held across fork(), so the child finds the lists whole. */
static void watch(void)
{
    if (hub.watching)
        return;
    hub.watching = pthread_atfork(before_fork, in_parent, in_child) == 0 && atexit(at_exit) == 0;
}

static void orphan_writers(void)
{
    while (hub.writers) {
        struct shared_writer *s = hub.writers;

        hub.writers = s->next;
        if (s->held)
            pk_writer_orphan(s->writer);
        else
            hub.spoilt = true;
        free(s);
    }
}

bool pk_hub_renew(void (*drop)(struct pk_conn *c, bool idle), struct pk_error *err)
{
    lock();
    if (hub.renewed != hub.generation) {
        for (struct member *m = hub.members; m; m = m->next) {
            if (m->inherited)
                drop(m->conn, m->idle);
            hub.spoilt = hub.spoilt || (m->inherited && !m->idle);
            m->inherited = false;
        }
        orphan_writers();
        hub.renewed = hub.generation;
    }
    bool spoilt = hub.spoilt;
    unlock();
    return !spoilt ||
           pk_fail(err, PK_STORE,
                   "this process was forked while another thread used pk; fork before, or "
                   "exec after");
}

struct pk_conn *pk_hub_find(const sqlite3 *db)
{
    struct pk_conn *found = NULL;

    lock();
    for (struct member *m = hub.members; m && !found; m = m->next)
        if (m->db == db)
            found = m->conn;
    unlock();
    return found;
}

bool pk_hub_add(struct pk_conn *c)
{
    struct member *m = calloc(1, sizeof *m);

    if (!m)
        return false;
    lock();
    watch();
    *m = (struct member){.next = hub.members, .db = c->db, .conn = c};
    hub.members = m;
    unlock();
    return true;
}

void pk_hub_remove(const struct pk_conn *c)
{
    lock();
    for (struct member **at = &hub.members; *at; at = &(*at)->next) {
        struct member *m = *at;

        if (m->conn != c)
            continue;
        *at = m->next;
        free(m);
        break;
    }
    unlock();
}

int pk_hub_connections(void)
{
    int count = 0;

    lock();
    for (const struct member *m = hub.members; m; m = m->next)
        count++;
    unlock();
    return count;
}

static void spool_beside(struct pk_writer *w, const char *path)
{
    char spool[PK_SPOOL_PATH_BYTES];
    int len = snprintf(spool, sizeof spool, "%s.spool", path);

    if (len > 0 && (size_t)len < sizeof spool)
        pk_writer_spool(w, spool, SPOOL_BYTES_MAX);
}

static struct pk_store *open_file(const void *ctx, struct pk_error *err)
{
    const struct shared_writer *s = ctx;

    return pk_store_sqlite(sqlite3_api, s->path, err);
}

/* Its own store is opened with the first row: the first verb of a connection waits for one only. */
static struct shared_writer *open_writer(const char *path, struct pk_error *err)
{
    size_t size = strlen(path) + 1;
    struct shared_writer *s = calloc(1, sizeof *s + size);

    if (!s) {
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
        return NULL;
    }
    memcpy(s->path, path, size);
    struct pk_store *store = pk_store_later(&(struct pk_opening){open_file, s}, err);
    if (store)
        s->writer = pk_writer_new(store, err);
    if (s->writer) {
        spool_beside(s->writer, path);
        return s;
    }
    free(s);
    return NULL;
}

struct pk_writer *pk_hub_writer(const char *path, struct pk_error *err)
{
    struct shared_writer *s;

    lock();
    for (s = hub.writers; s; s = s->next)
        if (strcmp(s->path, path) == 0)
            break;
    if (!s) {
        s = open_writer(path, err);
        if (s) {
            s->next = hub.writers;
            hub.writers = s;
        }
    }
    if (s)
        s->users++;
    unlock();
    return s ? s->writer : NULL;
}

void pk_hub_writer_release(struct pk_writer *w)
{
    if (!w)
        return;
    lock();
    for (struct shared_writer **at = &hub.writers; *at; at = &(*at)->next) {
        struct shared_writer *s = *at;

        if (s->writer != w)
            continue;
        if (--s->users > 0)
            break;
        *at = s->next;
        pk_writer_free(s->writer);
        free(s);
        break;
    }
    unlock();
}
