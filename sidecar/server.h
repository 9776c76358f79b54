/* server.h - an HTTP/1.1 server in one thread: requests come out, answers go in.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The host owns the thread and calls pkd_server_turn() in a loop. A complete request is handed over
 * once; the connection then belongs to it until it is answered, now or later, whole or in pieces.
 * Requests that a client sends ahead wait unread. No callback runs inside a call that the host makes.
 *
 * The server itself refuses what is malformed, too large or too slow; see head.h.
 */
#ifndef PKD_SERVER_H
#define PKD_SERVER_H

#include "arena.h"

#include "sockets.h"

struct pkd_server;
struct pkd_conn;
struct pkd_tls;

struct pkd_server_options {
    int64_t head_ms, body_ms; /* for the whole head, and the whole body, to arrive */
    int64_t idle_ms;          /* between requests */
    int64_t write_ms;         /* without progress while an answer waits to be read */
    int64_t connections_max;
    int64_t busy_poll_us; /* of wait.h */
    struct pkd_tls *tls;  /* for all but Unix sockets; NULL: plain; borrowed */
};

enum pkd_method {
    PKD_GET,
    PKD_HEAD,
    PKD_POST,
    PKD_PUT,
    PKD_PATCH,
    PKD_DELETE,
    PKD_OPTIONS,
    PKD_OTHER,
};

/* Borrowed until the request is answered, or the client is gone. */
struct pkd_request {
    enum pkd_method method;
    pk_str path, query; /* as sent, not unescaped; query without '?' */
    pk_str headers;     /* "name: value\r\n" lines */
    pk_str host;        /* the Host header */
    pk_str origin;      /* the Origin header; empty when there is none */
    pk_str body;
    bool local;   /* over the Unix socket */
    bool upgrade; /* it asks for another protocol, as HTTP/1.1 does */
    /* Of one server, requests of the same number are alike in every byte but their bodies'; 0: nobody knows. */
    uint64_t head;
};

struct pkd_server_host {
    void *ctx;
    void (*request)(void *ctx, struct pkd_conn *c, const struct pkd_request *req);
    /* A watched fd is readable. */
    void (*ready)(void *ctx, int fd);
};

/* Copies both. NULL with *err filled. */
struct pkd_server *pkd_server_new(const struct pkd_server_options *o,
                                  const struct pkd_server_host *host,
                                  struct pk_error *err) PK_MUST_CHECK;
/* Closes every connection without a callback. NULL is fine. */
void pkd_server_free(struct pkd_server *s);

/* Takes a listening, non-blocking socket, perhaps shared with other servers. */
bool pkd_server_listen(struct pkd_server *s, const struct pkd_socket *socket, struct pk_error *err);
/* Wakes pkd_server_turn() whenever the fd is readable. */
bool pkd_server_watch(struct pkd_server *s, int fd, struct pk_error *err);

/* Waits until something happens or `until_ms` (monotonic; INT64_MAX: for ever; 0: not at all) and deals
 * with it. */
void pkd_server_turn(struct pkd_server *s, int64_t until_ms);

/* No new connections, but those that have been made already; idle ones close soon, busy ones after their answer. */
void pkd_server_drain(struct pkd_server *s);
int pkd_server_count(const struct pkd_server *s); /* open connections */

struct pkd_server_stats {
    int64_t open, accepted; /* connections: now, and since the start */
    int64_t malformed;      /* requests that the server refused by itself */
};
struct pkd_server_stats pkd_server_stats(const struct pkd_server *s);

/* Who answers a request later, and hears of its connection until then. */
struct pkd_owner {
    /* All that was sent has left; after a pkd_conn_send() that was told to wait. */
    void (*drained)(void *owner, struct pkd_conn *c);
    /* The client left before it was answered. `c` and the request are gone when this returns, unless the
     * owner takes the request's memory. */
    void (*closed)(void *owner, struct pkd_conn *c);
    /* Bytes of a client whose request was upgraded; returns how many are taken. Fewer than all: they wait, and
     * no more are read, until pkd_conn_read_on(). NULL where no request is upgraded. */
    size_t (*received)(void *owner, struct pkd_conn *c, pk_str bytes);
};
void pkd_conn_set_owner(struct pkd_conn *c, const struct pkd_owner *kind, void *owner);

/* The memory that the request's strings are in, for a host that needs them longer than the connection
 * lives. It is the host's to free(); only legal in `closed`. */
void *pkd_conn_take_input(struct pkd_conn *c, size_t *size);

/* The same while the request is open; what follows it on the connection stays there. NULL: no memory. */
void *pkd_conn_detach_input(struct pkd_conn *c, size_t *size);

struct pkd_head {
    int status;
    const char *content_type; /* NULL: none */
    pk_str headers;           /* more "name: value\r\n" lines, checked by the caller */
    bool traced;              /* which name a trace; otherwise the server does */
};

/* The whole answer at once. The request is over. */
void pkd_conn_reply(struct pkd_conn *c, const struct pkd_head *head, pk_str body);

/* An answer in pieces: begin, send..., end. The head leaves with the first piece. */
void pkd_conn_begin(struct pkd_conn *c, const struct pkd_head *head);
/* False: the client does not keep up; send no more until `drained`. The bytes are taken all the same. */
bool pkd_conn_send(struct pkd_conn *c, pk_str bytes);
/* 101, and from now on bytes go through as they are, in both directions: send, and `received`. The request's memory
 * must have been detached. It ends like an answer in pieces. */
void pkd_conn_upgrade(struct pkd_conn *c, pk_str headers);
void pkd_conn_read_on(struct pkd_conn *c);
/* The request is over. `clean` false: the client must see that the answer was cut short. */
void pkd_conn_end(struct pkd_conn *c, bool clean);

#endif
