/* listen.h - the sockets that pkd listens on: loopback and Unix, and others only with API keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PKD_LISTEN_H
#define PKD_LISTEN_H

#include "base.h"

#include <sys/socket.h>

struct pkd_address {
    struct sockaddr_storage at;
    socklen_t len;
    bool loopback;
    char text[64]; /* "127.0.0.1:8787", for people */
};

/* Reads "HOST:PORT", "[::1]:PORT" or ":PORT". PK_NO_PERMISSION for an address beyond loopback without `keys`:
 * whoever reaches the port could spend the operator's money. */
bool pkd_address_read(const char *text, bool keys, struct pkd_address *a,
                      struct pk_error *err) PK_MUST_CHECK;

/* The same of a socket that is there; *local: it is a Unix socket. */
bool pkd_address_of(int fd, bool keys, struct pkd_address *a, bool *local,
                    struct pk_error *err) PK_MUST_CHECK;

/* Fills fds with `count` listening sockets on *a, one a thread; *a then has the port that was chosen for
 * port 0. The error says when somebody else is there, unless that is whom we `take_over` from. */
bool pkd_listen_tcp(struct pkd_address *a, int *fds, int count, bool take_over,
                    struct pk_error *err) PK_MUST_CHECK;

/* A listening Unix socket of mode 0600, or -1; replaces one that nobody answers on, or that we take over. */
int pkd_listen_unix(const char *path, bool take_over, struct pk_error *err) PK_MUST_CHECK;

#endif
