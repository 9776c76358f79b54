/* conn.h - one client connection; only server.c and conn.c look inside.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 *          bytes         head          body         answered      written
 *   IDLE ───────▶ START ───────▶ BODY ───────▶ CALL ─────────▶ FLUSH ─────▶ IDLE
 *                    └─ refused ──────┴──────────────────────────▶ FLUSH ─▶ LINGER ─▶ closed
 *
 * In every state but CALL the connection has a deadline. Events are edge triggered: `readable` remembers
 * that the socket may have bytes that nobody asked for yet.
 */
#ifndef PKD_CONN_H
#define PKD_CONN_H

#include "head.h"
#include "server.h"
#include "tls.h"

enum pkd_conn_state {
    PKD_IDLE,   /* nothing of a request has come */
    PKD_START,  /* a part of its head has */
    PKD_BODY,   /* the head is complete */
    PKD_CALL,   /* with the host; the input does not move */
    PKD_FLUSH,  /* the answer is complete and leaves */
    PKD_LINGER, /* our side is closed: the client may read what it has not read yet */
};

/* One list of connections a kind of deadline: equal terms keep each in order. */
enum pkd_timer {
    PKD_T_NONE,
    PKD_T_IDLE,
    PKD_T_HEAD,
    PKD_T_BODY,
    PKD_T_WRITE,
    PKD_T_LINGER,
    PKD_T_LAST, /* of an idle one, while draining */
    PKD_T_COUNT,
};

struct pkd_bytes {
    char *at;
    size_t from, len, cap; /* bytes at[from..len) are of use */
    size_t top;            /* of an input: behind it nothing has been written since it was wiped */
};

struct pkd_conn {
    struct pkd_server *server;
    const struct pkd_owner *kind; /* NULL: nobody has the request yet, or any more */
    void *owner;
    int fd;
    struct ssl_st *tls; /* NULL: plain */
    enum pkd_conn_state state;
    enum pkd_timer timer;
    int64_t deadline_ms;
    struct pkd_conn *prev, *next; /* in the list of its timer */
    struct pkd_conn *queue_next;
    bool queued; /* pkd_conn_run() is due */
    bool local;
    bool readable; /* the socket may have more */
    bool ended;    /* the client sends no more */
    bool broken;   /* the socket is of no use */
    bool blocked;  /* the client does not read: EPOLLOUT is awaited */
    bool waiting;  /* the host waits for `drained` */
    bool keep;     /* another request may follow */
    bool bodyless; /* the answer has no body: HEAD */
    bool chunked;  /* the answer in pieces is framed */
    bool tunnel;   /* no requests any more: bytes go to the host as they come, */
    bool stuffed;  /* which takes no more for now */
    struct pkd_bytes in, out;
    size_t raw; /* in: where unparsed bytes begin, once in the body */
    struct pkd_message message;
};

/* Goes on with whatever is possible now. The connection may be gone afterwards. */
void pkd_conn_run(struct pkd_conn *c);
/* Tries to write what waits. */
void pkd_conn_flush(struct pkd_conn *c);
/* What a passed deadline means in its state. */
void pkd_conn_expire(struct pkd_conn *c);
/* Frees the buffers and closes the socket. */
void pkd_conn_release(struct pkd_conn *c);

/* --- server.c, for conn.c -------------------------------------------------------------------- */

void pkd_server_set_timer(struct pkd_server *s, struct pkd_conn *c, enum pkd_timer timer);
void pkd_server_queue(struct pkd_server *s, struct pkd_conn *c);
/* Tells the host when it has a request of `c`, and forgets it at the end of the turn. */
void pkd_server_close(struct pkd_server *s, struct pkd_conn *c);
const struct pkd_server_host *pkd_server_host_of(const struct pkd_server *s);
void pkd_server_note_malformed(struct pkd_server *s);
bool pkd_server_draining(const struct pkd_server *s);
struct pkd_heads *pkd_server_heads(struct pkd_server *s);
/* "date: ...\r\n" of this second. */
pk_str pkd_server_date(struct pkd_server *s);

#endif
