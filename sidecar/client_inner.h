/* client_inner.h - a call of pkd, for client.c, client_store.c and client_hot.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_CLIENT_INNER_H
#define PKD_CLIENT_INNER_H

#include "client.h"

struct pkd_call {
    struct pk_task task; /* first: the loop returns its address */
    struct pkd_thread *thread;
    struct pkd_conn *conn; /* NULL once the client has left or is answered */
    struct pk_arena arena;
    struct pk_request req;
    struct pkd_asked asked;
    unsigned hot; /* the number of the entry that answers, when it was asked for a moment ago */
    struct pkd_meaning *meaning;
    struct pkd_waiter waiter;
    pk_str body; /* a JSON answer that came before DONE */
    pk_str held; /* the end of an answer, likewise, until its row is on disk */
    int64_t row; /* then: the number of its row */
    bool begun;  /* a stream's head is out */
    bool paused; /* the client does not keep up */
    bool waits;  /* in t->waiting */
    bool cancelled;
    bool asks;           /* a clerk has its question, or its reservation */
    enum pk_code leaves; /* why it is to end when that is over; PK_OK: it is not */
    bool tunnel;         /* a session that is open: the client may send */
    bool uploads;        /* in t->uploads */
    void *input;         /* what the request is in, once the client has left */
    size_t input_size;
    int64_t began_us;                       /* monotonic */
    struct pkd_call *prev, *next;           /* in t->calls, or next in t->spares */
    struct pkd_call *wait_prev, *wait_next; /* in t->waiting */
    struct pkd_call *reserve_next;          /* in t->reserving */
    struct pkd_call *upload_next;           /* in t->uploads */
    struct pkd_call *logged_next;           /* in t->logged */
};

/* Ends it, once whoever has its question is done; it comes back as over. PK_CANCELLED: the client has left, and is told
 * nothing. client.c */
void pkd_call_leave(struct pkd_call *c, enum pk_code why);

/* What the machine asks of the store; each goes on with the call, now or when a clerk has an answer. client_store.c */
void pkd_call_look_up(struct pkd_call *c);
void pkd_call_look_near(struct pkd_call *c);
void pkd_call_save(struct pkd_call *c);
void pkd_call_query(struct pkd_call *c);
void pkd_call_wait_for_limits(struct pkd_call *c);
/* It waits for another's answer no longer, if it did. */
void pkd_call_wait_no_more(struct pkd_call *c);
/* It is not among those that are to ask their limits, if it was. */
void pkd_call_reserve_no_more(struct pkd_call *c);
/* Hands the record of a call to the writer, as far as it is `logged`, and to whoever else counts; the number of its
 * row, as pk_writer_put(). What that takes is in `arena`. client_store.c */
int64_t pkd_call_log(struct pkd_thread *t, struct pk_arena *arena,
                     const struct pk_operation *operation, struct pk_record *logged,
                     const struct pk_record *r);

/* The same for a row that is `r` but for what `rest` is of (record.h). client_store.c */
void pkd_call_log_repeat(struct pkd_thread *t, const struct pk_operation *operation,
                         struct pk_record *r, pk_str rest);

/* Answers what equals a request that was answered from the cache a moment ago, with a log row of its own. False: there
 * was none. client_hot.c */
bool pkd_call_repeat(struct pkd_thread *t, struct pkd_conn *conn, const struct pkd_asked *asked);
/* Of a call that is done: the next one that equals it may be answered so. */
void pkd_call_note_hot(struct pkd_call *c, const struct pk_record *logged);

#endif
