/* xfer_inner.h - the bodies of the transport's structs, for the files that make it up.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_XFER_INNER_H
#define PK_XFER_INNER_H

#include "sign.h"
#include "token.h"
#include "vault.h"
#include "xfer.h"
#include "xfer_address.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/types.h>

enum {
    PK_TOKEN_ID_BYTES = 32,
    XFER_LINES_MAX = 48, /* header lines of a request */
    XFER_WHERE_BYTES = 160,
    XFER_HELD_BYTES_MAX = 256 << 10, /* of one answer, received and not yet taken */
    XFER_BYTES_MIN = 256,       /* of what is kept of an answer: its head, and its last bytes */
    XFER_READ_BYTES = 16 << 10, /* at a time, from a connection of our own */
};

/* What curl wants to hear about one socket, and what epoll has been told. */
struct pk_watch {
    uint32_t want, have; /* EPOLLIN, EPOLLOUT */
    int next_dirty;
    bool ours;                  /* opened in xfer_curl.c, which will be told when it is gone */
    bool dirty;                 /* in the list of sockets to look at before the next wait */
    struct pk_transfer *tunnel; /* whose it is, instead of curl's; */
    struct pk_link *link;       /* or that */
};

/* xfer_watch.c: curl's sockets in an epoll set. */
struct pk_watches {
    int epoll;           /* -1: closed */
    struct pk_watch *at; /* by descriptor */
    int count;
    int dirty; /* the first; -1 = none */
};

bool pk_watches_open(struct pk_watches *w);
void pk_watches_close(struct pk_watches *w);
bool pk_watches_opened(struct pk_watches *w, int fd);  /* a new socket; false: no memory */
void pk_watches_closing(struct pk_watches *w, int fd); /* just before close() */
void pk_watches_want(struct pk_watches *w, int fd, uint32_t events);
void pk_watches_apply(struct pk_watches *w);         /* before any wait on w->epoll */
bool pk_watches_waiting(const struct pk_watches *w); /* whether that has something to do */
/* Makes an open socket a tunnel's or a link's; false: it is none of ours. And back: NULL when it is curl's. */
bool pk_watches_own(struct pk_watches *w, int fd, struct pk_transfer *tunnel, struct pk_link *link);
struct pk_transfer *pk_watches_tunnel(const struct pk_watches *w, int fd);
struct pk_link *pk_watches_link(const struct pk_watches *w, int fd);
/* Whether somebody wants to hear of these events of this descriptor; otherwise they come no more. */
bool pk_watches_wanted(struct pk_watches *w, int fd, uint32_t events);

union pk_dialled {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* A URL that has been parsed and looked up in the allow list; kept for the next request to it. */
struct pk_upstream {
    struct pk_upstream *next;
    char *text; /* the URL; url borrows from it */
    size_t len;
    struct pk_url url;
    union pk_dialled address;           /* that the host is spelled as; family 0: it is a name */
    CURLU *parsed;                      /* NULL: curl has not been asked to go there so far */
    const struct pk_provider *provider; /* whose own origin it is, as far as is known */
    char fits
        [XFER_WHERE_BYTES]; /* the origin, as a key had it that may go there; empty: none has so far */
    bool listed, loopback;
    bool dropped; /* no longer in the list: goes with its last user */
    int users;
    struct pk_transfer *open;     /* whose sealed key is open; NULL: nobody's, as far as is known */
    struct pk_seal seal;          /* that it was under, all of it */
    char where[XFER_WHERE_BYTES]; /* "host" or "host:port", for messages */
};

/* Bytes that grow; kept with a pooled handle unless there are many. */
struct pk_bytes {
    char *at;
    size_t len, cap;
};

/* A connection of our own. */
struct pk_link {
    int fd;
    struct pk_transfer *user;    /* NULL: none */
    struct pk_links *in;         /* NULL: none; it is connected and in use */
    struct pk_link *next, *prev; /* there */
    int64_t since_ms;            /* that it is there */
    bool used;                   /* some exchange was complete */
    bool ours;                   /* curl has given it up */
    int port;
    size_t host_len;
    char host[];
};

struct pk_links {
    struct pk_link *first, *last;
    int count;
};

enum pk_part { PART_STATUS, PART_FIELDS, PART_BODY };

struct pk_token;

/* What a request is sent with. Strings are in the vault, and the owner's. */
struct pk_grant {
    pk_str header;         /* "name: prefix"; empty: nothing is added */
    pk_str secret;         /* behind the prefix; without a header only hidden in what comes back */
    struct pk_aws_key aws; /* id empty: it is not signed */
    pk_str region, service;
};

struct pk_transfer {
    struct pk_xfer *x;
    void *owner;
    CURL *easy; /* NULL: not needed so far */
    struct pk_upstream *to;
    struct pk_transfer *next, *prev;             /* of those in progress, or of those idle */
    struct pk_transfer *ready_next, *ready_prev; /* of those with something to report */

    struct pk_bytes text; /* the request's headers, the key among them; in the vault */
    struct curl_slist lines[XFER_LINES_MAX];
    int line_count;
    size_t key_from, key_len; /* the key in `text`; 0 = none is sent */

    enum pk_part part;
    int status;
    struct pk_bytes head;
    struct pk_bytes fill; /* where curl's bytes go */
    struct pk_bytes lent; /* what the last BODY event showed */
    size_t head_bytes, body_bytes;

    const struct pk_exchange *waits; /* it goes out as soon as there is a token; NULL: it has */
    struct pk_token *token;          /* that it waits for */
    struct pk_transfer *wait_next;
    uint8_t token_id[PK_TOKEN_ID_BYTES]; /* of the token that it was sent with */
    bool by_token;
    bool fetches; /* a token, for others: nobody hears of it */

    bool ready;     /* in x's list of ready ones */
    bool told_head; /* HEAD was reported */
    bool told_end;  /* END or FAIL was reported */
    bool paused;    /* curl waits until bytes are taken */
    bool ended;     /* curl is done with it: no longer in the multi handle */
    bool too_large;
    bool endless;             /* what it may bring has no limit */
    struct pk_tunnel *tunnel; /* NULL: an exchange like most */
    bool wired;               /* plain HTTP, over a link instead of by curl */
    struct pk_wire *wire;     /* kept for the next; NULL: there was none yet */
    size_t head_len;          /* of a request that is: of its head, in `text`, */
    pk_str body;              /* and its body, the exchange's */
    enum pk_address refused;  /* the kind of an address that was not called; PUBLIC = none */
    int reason;               /* errno of a connection that we did not get */
    struct pk_error error;    /* why it ended; PK_OK = complete */
    char detail[CURL_ERROR_SIZE];
    int goes;     /* how often its request went out, over HTTP/2 */
    int connects; /* connections opened by this handle so far */
};

/* Curl never shows its signals to the host: held back around all that may resolve, connect, write or close. */
struct pk_hush {
    sigset_t before;
    bool guard_pipe; /* a SIGPIPE that comes now is ours to take back */
};

struct pk_xfer {
    CURLM *multi; /* NULL: curl was not needed so far */
    struct pk_watches watches;
    unsigned forks; /* when it was opened: a child shares its sockets and must not use them */
    struct pk_links idle_links; /* the last used first */
    struct pk_links dialled;    /* not connected yet, the last first */
    char *read;                 /* XFER_READ_BYTES: what links bring passes through it */
    int64_t pumped_ms;          /* when that was last */
    int64_t timer_ms;           /* when curl wants to be called; 0 = now, INT64_MAX = not needed */
    struct pk_transfer *active, *idle;
    struct pk_transfer *ready, *ready_last;
    int active_count, idle_count, connections_max;
    struct pk_upstream *upstreams; /* most recently used first */
    int upstream_count;
    struct pk_hush hush;
    bool hushed; /* in a pump in which curl had something to do */
    bool http2;
    bool tls; /* https has been used: writing may raise SIGPIPE */
    int64_t connect_ms;
    const struct pk_secrets *secrets;
    struct pk_vault vault;
    struct pk_token *tokens; /* most recently used first */
    uint8_t token_salt[PK_TOKEN_ID_BYTES];
    char *opened; /* PK_SECRET_BYTES_MAX in the vault, where a key is opened */
    char *allowed_hosts, *ca_file;
};

bool pk_bytes_add(struct pk_bytes *b, const char *at, size_t len);
/* Room for `cap` bytes, content lost. */
bool pk_bytes_size(struct pk_bytes *b, size_t cap);

/* xfer.c */

struct pk_hush pk_xfer_hush(const struct pk_xfer *x);
void pk_xfer_unhush(const struct pk_hush *h);
/* Whether this is a child of the process that opened it: the connections are the parent's. */
bool pk_xfer_inherited(const struct pk_xfer *x);
/* A child of fork() starts anew, once nothing of the parent's is in its hands. */
bool pk_xfer_usable(struct pk_xfer *x, struct pk_error *err) PK_MUST_CHECK;

/* xfer_transfer.c */

void pk_transfer_mark_ready(struct pk_transfer *t);
/* The rule by address, where a socket is opened, whoever resolved the name: the kind of an address that may not be
 * called; PUBLIC: it may. */
enum pk_address pk_transfer_refuses(const struct pk_transfer *t, const struct sockaddr *a);
/* What has come of the answer. False: t->too_large, or no memory. */
void pk_transfer_take_head(struct pk_transfer *t);
bool pk_transfer_take_body(struct pk_transfer *t, pk_str bytes) PK_MUST_CHECK;
void pk_transfers_free_idle(struct pk_xfer *x);

/* For the tokens: starts a request of our own; NULL with *err. */
struct pk_transfer *pk_transfer_fetch(struct pk_xfer *x, const struct pk_exchange *ex,
                                      const struct pk_grant *g, struct pk_error *err);
/* Sends what waited, with `g`; or lets it fail, with `why`. */
void pk_transfer_go_on(struct pk_transfer *t, const struct pk_grant *g, const struct pk_error *why);

/* xfer_curl.c */

bool pk_transfer_equip(struct pk_transfer *t, struct pk_error *err) PK_MUST_CHECK; /* t->easy */
bool pk_transfer_add(struct pk_transfer *t, struct pk_error *err) PK_MUST_CHECK; /* to the multi */
void pk_transfer_detach(struct pk_transfer *t); /* from it: it has ended */
/* Whether curl has had to send a request more than once; where it does not say, it may have. */
bool pk_transfer_went_again(const struct pk_transfer *t);
/* Has curl open a connection, for pk_wire_connected() or pk_wire_failed(); and lets go of it. */
bool pk_transfer_connect(struct pk_transfer *t, struct pk_error *err) PK_MUST_CHECK;
void pk_transfer_disconnect(struct pk_transfer *t);
void pk_transfer_exchanges(struct pk_transfer *t); /* again, after it was to be a connection */

/* xfer_link.c */

/* Makes a link of a socket that curl has opened and is about to give up; NULL: no memory. */
struct pk_link *pk_link_adopt(struct pk_xfer *x, int fd, const struct pk_url *to);
struct pk_link *pk_link_take(struct pk_xfer *x, const struct pk_url *to); /* NULL: none is idle */
void pk_link_give(struct pk_xfer *x, struct pk_link *l);                  /* is idle from now on */
void pk_link_close(struct pk_xfer *x, struct pk_link *l);
void pk_link_enter(struct pk_xfer *x, struct pk_link *l, struct pk_links *in); /* of none */
void pk_link_leave(struct pk_link *l);                                         /* fine in none */
void pk_links_close(struct pk_xfer *x);  /* all that are idle */
void pk_links_forget(struct pk_xfer *x); /* without a word to the other side */

/* xfer_dial.c: connections to hosts that are spelled as addresses. */

/* Fills u->address, if it is one of those. */
void pk_dial_aim(struct pk_upstream *u);
/* A link that is on its way, and can be written to once it is there; NULL with t->reason or t->refused. */
struct pk_link *pk_dial(struct pk_transfer *t);
/* It is there: true; or it cannot be had: false, with t->reason. */
bool pk_dial_answered(struct pk_transfer *t, struct pk_link *l);
int64_t pk_dial_deadline_ms(const struct pk_xfer *x); /* INT64_MAX: none is on its way */
/* One that is overdue at this time; NULL: there is none. */
struct pk_link *pk_dial_overdue(const struct pk_xfer *x, int64_t now_ms);

/* xfer_wire.c */

bool pk_wire_start(struct pk_transfer *t, struct pk_error *err) PK_MUST_CHECK;
void pk_wire_connected(struct pk_transfer *t, int fd);
void pk_wire_failed(struct pk_transfer *t, CURLcode why); /* there is no connection from curl */
void pk_wire_expire(struct pk_xfer *x, int64_t now_ms);   /* those that do not get one in time */
void pk_link_turn(struct pk_xfer *x, struct pk_link *l);  /* its socket has something to say */
void pk_wire_resume(struct pk_transfer *t);               /* it may read again */
void pk_wire_cut(struct pk_transfer *t);                  /* closes its connection */
void pk_wire_forget(struct pk_transfer *t);               /* which is the parent's */

/* xfer_tunnel.c */

/* Makes of a prepared transfer one that will be a tunnel. */
bool pk_tunnel_prepare(struct pk_transfer *t, struct pk_error *err);
void pk_tunnel_free(struct pk_transfer *t); /* fine without one */
void pk_tunnel_connected(struct pk_transfer *t);
void pk_tunnel_turn(struct pk_transfer *t);   /* its socket has something to say */
void pk_tunnel_resume(struct pk_transfer *t); /* it may read again */

/* xfer_send.c */

/* Where it goes, if it may go there. */
bool pk_transfer_aim(struct pk_transfer *t, const struct pk_exchange *ex, struct pk_error *err);
void pk_upstream_release(struct pk_xfer *x, struct pk_upstream *u);
void pk_upstreams_drop(struct pk_xfer *x);
bool pk_upstream_parse(struct pk_upstream *u, struct pk_error *err) PK_MUST_CHECK; /* for curl */

/* Header lines, body and options, once it is known what it is sent with. */
bool pk_transfer_fill(struct pk_transfer *t, const struct pk_exchange *ex, const struct pk_grant *g,
                      struct pk_error *err);

/* xfer_auth.c: opens the target's key, and sends the request with it; or has it wait for a token. */
bool pk_transfer_authorize(struct pk_transfer *t, const struct pk_exchange *ex,
                           struct pk_error *err);

/* xfer_token.c: tokens that were fetched, and those that are being fetched for transfers that wait. */

/* Fills *g with the token of this id; or has the transfer wait for one that is on its way (t->waits then). False:
 * there is none. */
bool pk_token_use(struct pk_transfer *t, const struct pk_exchange *ex,
                  const uint8_t id[PK_TOKEN_ID_BYTES], struct pk_grant *g);
/* Takes `arena`, in which *ask is, and fetches; the transfer waits. */
bool pk_token_start(struct pk_transfer *t, const struct pk_exchange *ex,
                    const uint8_t id[PK_TOKEN_ID_BYTES], struct pk_arena *arena,
                    const struct pk_token_ask *ask, struct pk_error *err);
void pk_tokens_pump(struct pk_xfer *x);             /* hands over what has come */
void pk_token_leave(struct pk_transfer *t);         /* does not wait any more */
void pk_token_refused(const struct pk_transfer *t); /* the provider does not take it */
void pk_tokens_free(struct pk_xfer *x);

/* xfer_key.c: the key of a request, from when it is opened until it is wiped. */

/* Room in the vault for `size` bytes of the request's headers. */
bool pk_transfer_room(struct pk_transfer *t, size_t size);
/* *key: what is under that seal, if another request to the same place has it open. */
bool pk_transfer_shared_key(const struct pk_transfer *t, const struct pk_seal *seal, pk_str *key);
/* For others: the key of this one is all that was under that seal. */
void pk_transfer_share_key(struct pk_transfer *t, const struct pk_seal *seal);
void pk_transfer_wipe(struct pk_transfer *t);      /* the request's headers; keeps the room */
void pk_transfer_drop_text(struct pk_transfer *t); /* wipes them and gives the room back */
/* Asterisks for the key in the answer's bytes [from, len), and where it began before. */
void pk_transfer_hide_key(const struct pk_transfer *t, struct pk_bytes *b, size_t from);
/* How many bytes at the end of what was received may be the beginning of the key. */
size_t pk_transfer_held_back(const struct pk_transfer *t);
/* xfer_memory.c */

enum {
    XFER_UPLOAD_BYTES = (16 << 10) + 64
}; /* CURLOPT_UPLOAD_BUFFERSIZE; nothing else is so large */

/* Starts curl with memory that keeps secrets, if it is not in use in this process yet. */
CURLcode pk_curl_init(void);

/* xfer_fork.c: how many forks lie between the first process that asked and this one. */
unsigned pk_xfer_forks(void);

/* xfer_load.c: libcurl, before any of it is called. */
bool pk_curl_open(struct pk_error *err) PK_MUST_CHECK;

/* xfer_fault.c: what curl's result means; *err stays PK_OK for CURLE_OK with a whole answer. */
void pk_transfer_explain(const struct pk_transfer *t, CURLcode result, struct pk_error *err);

#endif
