/* sockets.h - the sockets that serving threads accept on: opened here, or passed by a service manager.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Of a TCP address each thread has a socket of its own (SO_REUSEPORT); a Unix socket, and one that was passed, is shared
 * by all. Another pkd that is started with --take-over opens sockets beside these, and this one stops: see
 * pkd_sockets_hand_over().
 */
#ifndef PKD_SOCKETS_H
#define PKD_SOCKETS_H

#include "options.h"

#include <sys/types.h>

enum { PKD_SOCKETS_MAX = 4 }; /* of a thread */

struct pkd_socket {
    int fd;
    bool local;  /* a Unix socket */
    bool passed; /* who passed it goes on with it */
};

struct pkd_sockets {
    struct pkd_socket (*at)[PKD_SOCKETS_MAX]; /* of each thread */
    int threads, count;                       /* so many of each are in use */
    int taken;                                /* threads that have theirs: they close them */
    bool beyond_loopback;                     /* other machines reach one of them */
    const char *unix_path;                    /* of a socket that we made, and this is its file */
    dev_t device;
    ino_t inode;
};

/* `keys`: there are API keys; without them nobody beyond loopback may reach us. To be closed in any case. */
bool pkd_sockets_open(struct pkd_sockets *s, const struct pkd_options *o, bool keys,
                      struct pk_error *err) PK_MUST_CHECK;

/* From now on new connections go to the pkd that has taken over, if one has. Those that are on their way still come
 * here, for as long as a handshake takes. The threads must have their sockets open. */
void pkd_sockets_hand_over(const struct pkd_sockets *s);

/* Closes what was not taken, and removes the Unix socket, unless it is another's by now. */
void pkd_sockets_close(struct pkd_sockets *s);

#endif
