/* tls.h - TLS towards clients: a certificate for all threads, and what recv() and send() are for a connection of it.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * TLS 1.2 and 1.3, HTTP/1.1 by ALPN, no renegotiation. The handshake happens inside the first reads, under the deadline
 * that a request's head has.
 */
#ifndef PKD_TLS_H
#define PKD_TLS_H

#include "base.h"

#include <sys/types.h>
#include <sys/uio.h>

struct pkd_tls;
struct ssl_st; /* OpenSSL's, of one connection */

/* PEM files: the certificate with those that vouch for it, and its key. Borrows the names. NULL with an error that
 * names the file. */
struct pkd_tls *pkd_tls_new(const char *cert, const char *key, struct pk_error *err) PK_MUST_CHECK;
/* Reads both files again, for connections from now on; false: what was read before stays. From any thread. */
bool pkd_tls_reload(struct pkd_tls *tls, struct pk_error *err) PK_MUST_CHECK;
void pkd_tls_free(struct pkd_tls *tls); /* NULL is fine; connections must be gone */

/* A connection that has just been accepted. NULL: no memory. */
struct ssl_st *pkd_tls_accept(struct pkd_tls *tls, int fd) PK_MUST_CHECK;
/* To a pkd on this machine, whoever it says it is. NULL: no memory, or no libssl. */
struct ssl_st *pkd_tls_connect(int fd) PK_MUST_CHECK;
/* As recv() and sendmsg() on a non-blocking socket. A read that waits may have to go on when the socket is writable;
 * a write that was not taken must be tried again with the same bytes, and perhaps more. EPROTO: it is not TLS. */
ssize_t pkd_tls_read(struct ssl_st *ssl, void *to, size_t size);
ssize_t pkd_tls_write(struct ssl_st *ssl, const struct iovec *parts, int count);
/* Tells the client that no more comes. */
void pkd_tls_end(struct ssl_st *ssl);
void pkd_tls_drop(struct ssl_st *ssl); /* NULL is fine */

#endif
