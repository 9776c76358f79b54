/* errand.h - requests that administer or read the store, served by a clerk (clerk.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A row ERRAND(method, path, scopes, handler) of endpoints.def names a function of type pkd_errand_fn called
 * pkd_handler. It runs in a clerk's thread and may take as long as the store does; when it is done, the
 * serving thread answers. A client that leaves is noticed between two pieces of an answer, or at its end.
 */
#ifndef PKD_ERRAND_H
#define PKD_ERRAND_H

#include "apikey.h"
#include "clerk.h"
#include "server.h"
#include "thread.h"

/* One request. What it points at lives in `arena` until it is answered. */
struct pkd_errand {
    struct pk_arena *arena;
    struct pk_store *store; /* the clerk's; changes through it are the caller's */
    const struct pkd_app *app;
    enum pkd_method method; /* never HEAD: that is GET */
    pk_str path, query;     /* not unescaped; path.h takes them apart */
    pk_str headers, body;
    pk_str caller;         /* the name of the API key; empty: none was needed */
    unsigned scopes;       /* that the caller has */
    struct pkd_trip *trip; /* NULL: it is no client's */

    /* The answer: JSON with status 200 unless the handler says otherwise. */
    int status;
    const char *content_type;
    pk_str more_headers; /* "name: value\r\n" lines */
    struct pk_buf out;   /* the body, at most PKD_ERRAND_BYTES_MAX */
};

enum { PKD_ERRAND_BYTES_MAX = 32 << 20, PKD_CLERKS = 4 };

/* False with *err filled: answered as an error, in the words of the API that the path belongs to. */
typedef bool pkd_errand_fn(struct pkd_errand *e, struct pk_error *err);

/* Sends what is in e->out so far and empties it: for answers that are larger than memory should hold. Waits until
 * the client has room. False: the client is gone, the handler should end; what it returns does not matter. After
 * the first piece an error cuts the answer short, visibly. */
bool pkd_errand_flush(struct pkd_errand *e) PK_MUST_CHECK;

/* Whether the client has left: what nobody waits for may end. */
bool pkd_errand_gone(struct pkd_errand *e);

/* Hands the request over, or answers why not. */
void pkd_errand_begin(struct pkd_thread *t, struct pkd_conn *c, const struct pkd_request *req,
                      pkd_errand_fn *serve);
/* The thread serves no more: what is still under way goes on without its client. */
void pkd_errand_abandon(struct pkd_thread *t);

#endif
