/* hub.c - see hub.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * `hub.lock` is held while a writer is opened or drained, so that a store is never opened for writing
 * twice. At fork() the child forgets the writers: their threads do not exist there, and their stores'
 * file locks are the parent's. A process that exits without closing its connections drains them.
 */
#include "hub.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_WAIT_MS = 2000 };

struct shared_writer {
    struct shared_writer *next;
    struct pk_writer *writer;
    int users;
    char path[];
};

struct member {
    struct member *next;
    const sqlite3 *db;
    struct pk_conn *conn;
};

static struct {
    pthread_mutex_t lock;
    bool watching; /* for fork and exit */
    unsigned generation;
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

static void in_child(void)
{
    hub.generation++;
    hub.writers = NULL;
    unlock();
}

static void at_exit(void)
{
    lock();
    for (struct shared_writer *s = hub.writers; s; s = s->next)
        (void)pk_writer_flush(s->writer, EXIT_WAIT_MS);
    unlock();
}

/* The lock is held across fork(), so the child finds the lists whole. */
static void watch(void)
{
    if (hub.watching)
        return;
    hub.watching = pthread_atfork(lock, unlock, in_child) == 0 && atexit(at_exit) == 0;
}

unsigned pk_hub_generation(void)
{
    lock();
    unsigned generation = hub.generation;
    unlock();
    return generation;
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

static struct shared_writer *open_writer(const char *path, struct pk_error *err)
{
    size_t size = strlen(path) + 1;
    struct shared_writer *s = calloc(1, sizeof *s + size);
    struct pk_store *store = s ? pk_store_sqlite(sqlite3_api, path, err) : NULL;

    if (store)
        s->writer = pk_writer_new(store, err);
    if (s && s->writer) {
        memcpy(s->path, path, size);
        return s;
    }
    if (!s)
        (void)pk_fail(err, PK_NO_MEMORY, "store: out of memory");
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
