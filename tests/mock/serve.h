/* serve.h - HTTP/1.1 over one epoll loop, with timed answers.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef MOCK_SERVE_H
#define MOCK_SERVE_H

/* Listens on a port of the loopback interface (0: any), prints "listening on 127.0.0.1:PORT" and serves
 * until SIGTERM or SIGINT. Returns the exit status. */
int serve(int port);

#endif
