/* thread.h - one serving thread and what it owns.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each has its own server, transport, loop, store connection for reading, and resolver. Threads share
 * what struct pkd_app names: the writer, the flights and the master key, which guard themselves.
 */
#ifndef PKD_THREAD_H
#define PKD_THREAD_H

#include "auth.h"
#include "blocks.h"
#include "clerk.h"
#include "flight.h"
#include "home.h"
#include "hot.h"
#include "loop.h"
#include "meter.h"
#include "options.h"
#include "otlp.h"
#include "privacy.h"
#include "recall.h"
#include "server.h"
#include "similar.h"

#include <stdatomic.h>

enum { PKD_THREADS_MAX = 256 };

struct pkd_app {
    const struct pkd_options *options;
    struct pkd_otlp *otlp;     /* NULL: no collector is told of calls */
    struct pkd_home home;      /* of the store */
    struct pk_store *store;    /* open since the start, for the first thread; NULL: it has it */
    struct pk_privacy privacy; /* what the log may hold at most */
    struct pkd_tls *tls;       /* towards clients; NULL: none */
    struct pk_secrets *secrets;
    struct pk_writer *writer;
    struct pkd_flights *flights;
    struct pkd_similar *similar;
    struct pkd_clerks *clerks;  /* who serve what may take the store long */
    struct pkd_clerks *runners; /* who ask a database for calls in progress; NULL: it is a file */
    atomic_bool stopping;       /* finish what runs, take nothing new */
    atomic_int running;         /* threads that serve */
    bool beyond_loopback;       /* other machines are listened to: nobody is let in without a key */
    pk_str user;                /* of this process: who administers when no key is needed */
    struct pkd_meter *meters;   /* of the threads; all are there before one serves */
    int64_t started_us;
    int ended_fd; /* an eventfd that each thread writes to when it is done */
};

struct pkd_thread {
    struct pkd_app *app;
    struct pkd_server *server;
    struct pk_xfer *xfer;
    struct pk_loop *loop;
    struct pk_store *store;
    struct pk_resolver *resolver;
    struct pkd_recall recall;
    struct pkd_keyring keyring;
    struct pkd_asks asks;
    struct pkd_hot hot;
    const struct pk_api_key
        *caller; /* of the request that is being taken; NULL: no key is needed */
    struct pkd_inbox *inbox;
    struct pkd_pile *pile;   /* where jobs of clerks come back */
    struct pkd_trip *trips;  /* errands under way */
    int wake_fd;             /* an eventfd: the inbox has something, or the app is stopping */
    struct pkd_meter *meter; /* what it counts */
    uint64_t random;
    struct pk_arena scratch; /* for one request or journal entry; emptied after each */

    struct pkd_blocks *blocks;             /* what calls live in, */
    struct pk_allocator memory;            /* which gives it */
    struct pkd_call *calls;                /* in progress */
    struct pkd_call *waiting;              /* of those: for another's answer */
    struct pkd_call *reserving;            /* of those: what they may use is to be set aside */
    struct pkd_call *logged, *logged_last; /* of those: over, and their rows not yet on disk */
    struct pkd_call *uploads; /* of those: sessions whose provider is slower than the client */
    struct pkd_call *spares;
    int call_count, spare_count;
    int64_t next_overdue_ms; /* when to look for one that waited too long */
    atomic_uint turns;       /* of its loop: it is alive */
    bool draining;
    int64_t stop_at_ms; /* when draining ends whatever still runs */
};

/* A thread that serves what the sockets accept, and closes them. NULL with *err filled. */
struct pkd_thread *pkd_thread_new(struct pkd_app *app, const struct pkd_socket *sockets, int count,
                                  struct pk_error *err) PK_MUST_CHECK;
/* Serves until the app is stopping and all is done, or the grace period is over. For pthread_create. */
void *pkd_thread_run(void *thread);
void pkd_thread_wake(struct pkd_thread *t); /* from any thread */
void pkd_thread_free(struct pkd_thread *t);

#endif
