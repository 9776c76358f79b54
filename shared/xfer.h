/* xfer.h - the one transport: libcurl, and connections of our own, behind one fd and one deadline.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A pk_xfer owns one CURLM, connections for plain HTTP (xfer_wire.c), and an epoll fd that holds the
 * sockets of both. A host waits, in its own way, until the fd is readable or the deadline passes, and calls
 * pk_xfer_pump(), which never blocks. Connections stay open between calls and statements.
 * One thread uses a pk_xfer at a time.
 *
 * TLS is verified, redirects are refused, only HTTP/1.1 over http and https is spoken, and HTTP/2 over https when that
 * is asked for (docs/decisions/0002-upstream-http1.md), proxies from the environment are ignored. The address is
 * checked when the socket is opened: loopback only for a
 * host spelled as loopback, private and link-local only for a host in allowed_hosts. Where the answer
 * is an error that repeats the key, asterisks take its place.
 */
#ifndef PK_XFER_H
#define PK_XFER_H

#include "call.h"
#include "secret.h"

struct pk_xfer_options {
    const char *allowed_hosts; /* beside the providers' own and loopback; see url.h; copied */
    int connections_max;       /* kept open and pooled; at least the concurrency */
    int64_t connect_ms;        /* for DNS, TCP and TLS; 0 = 10 s */
    const struct pk_secrets *secrets; /* opens sealed keys; NULL: none can be opened */
    bool http2;                       /* over TLS, where the provider offers it */
    const char *ca_file;              /* PEM bundle that TLS trusts; NULL: the system's; copied */
};

struct pk_xfer;
struct pk_transfer; /* one exchange in progress */

struct pk_xfer *pk_xfer_new(const struct pk_xfer_options *o, struct pk_error *err) PK_MUST_CHECK;
void pk_xfer_free(struct pk_xfer *x); /* transfers must be gone; free(NULL) is fine */
void pk_xfer_allow(struct pk_xfer *x, const char *allowed_hosts); /* replaces the list */

int pk_xfer_fd(const struct pk_xfer *x);
/* When to pump although the fd is quiet, on pk_clock_ms()'s clock; INT64_MAX = not needed; 0 when
 * a transfer already has something to report: do not wait at all. */
int64_t pk_xfer_deadline_ms(const struct pk_xfer *x);
void pk_xfer_pump(struct pk_xfer *x);
int pk_xfer_active(const struct pk_xfer *x); /* transfers that exist */

/* Borrows ex->body until the transfer is freed, and copies the rest. The host is checked against the
 * allow list here, by name, and again by address. NULL with *err: PK_HOST_DENIED, PK_NO_KEY, PK_NETWORK. */
struct pk_transfer *pk_xfer_start(struct pk_xfer *x, const struct pk_exchange *ex, void *owner,
                                  struct pk_error *err) PK_MUST_CHECK;

/* The next HEAD, BODY, END or FAIL of this transfer, in order; false when nothing has come yet.
 * A BODY's bytes are valid until the next call; while they wait unread, reading from the
 * provider pauses. After END or FAIL only pk_transfer_free() is legal. */
bool pk_transfer_event(struct pk_transfer *t, struct pk_event *ev);
/* Of a tunnel whose HEAD was 101 (pk_exchange.upgrade): takes bytes for the provider and returns how many; fewer
 * than all: no more until it is writable. Once the other end is gone they are taken, and lost. */
size_t pk_transfer_write(struct pk_transfer *t, pk_str bytes);
bool pk_transfer_writable(const struct pk_transfer *t);
void pk_transfer_free(struct pk_transfer *t); /* in any state: closes what is not complete */

/* The owner of some transfer that has an event, each at most once a pump; NULL when none is left. */
void *pk_xfer_next_ready(struct pk_xfer *x);

/* The libcurl in use, which this opens; strings are static, empty when it does not say, all of them when there is
 * none. */
struct pk_xfer_about {
    const char *version, *tls;
    const char *ca_file, *ca_path; /* where it looks for certificate authorities */
};
struct pk_xfer_about pk_xfer_about(void);

int64_t pk_clock_ms(void);      /* monotonic milliseconds */
int64_t pk_clock_mono_us(void); /* the same clock in microseconds: for pk_call_step() */
int64_t pk_clock_us(void);      /* microseconds since 1970 */

#endif
