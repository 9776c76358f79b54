/* tls_server.h - starts tests/tls_server.py, for tests of the transport.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_TLS_SERVER_H
#define PK_TLS_SERVER_H

#include "test.h"

#include <fcntl.h>
#include <unistd.h>

/* A TLS server in another process (tests/tls_server.py); its certificate is for "localhost" only. */
static inline bool tls_start(FILE **server_in, int *port, char ca_file[256])
{
    int in[2], out[2];

    EXPECT(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    if (fork() == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)execlp("python3", "python3", "tests/tls_server.py", (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    *server_in = fdopen(in[1], "w");
    FILE *said = fdopen(out[0], "r");
    bool ok = *server_in && said && fscanf(said, "%d %255s", port, ca_file) == 2;
    (void)fclose(said);
    return ok;
}

#endif
