/* systemd.c - see systemd.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "systemd.h"

#include "xfer.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3 };

static bool number_of(const char *name, int64_t *number)
{
    const char *text = getenv(name);

    return text && pk_str_int(pk_str_of(text), number);
}

/* Whether what the variable says of a process is said of this one. */
static bool is_ours(const char *name)
{
    int64_t pid;

    return number_of(name, &pid) && pid == getpid();
}

bool pkd_systemd_sockets(int *first, int *count, struct pk_error *err)
{
    bool ours = is_ours("LISTEN_PID");
    int64_t number = 0;
    bool good = !ours || (number_of("LISTEN_FDS", &number) && number >= 0 && number < 1024);

    *first = FIRST_FD;
    *count = ours && good ? (int)number : 0;
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    for (int i = 0; i < *count; i++)
        if (fcntl(FIRST_FD + i, F_SETFD, FD_CLOEXEC) != 0)
            return pk_fail(err, PK_BAD_REQUEST, "LISTEN_FDS: descriptor %d is not open",
                           FIRST_FD + i);
    return good || pk_fail(err, PK_BAD_REQUEST, "LISTEN_FDS: must be a number");
}

void pkd_systemd_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;

    if (len < 2 || len >= sizeof to.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') /* an abstract one */
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)sent; /* nobody to tell */
    (void)close(fd);
}

void pkd_systemd_reloading(void)
{
    char state[64];

    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lld",
                   (long long)pk_clock_mono_us());
    pkd_systemd_notify(state);
}

int64_t pkd_systemd_watchdog_ms(void)
{
    int64_t us;

    if (!number_of("WATCHDOG_USEC", &us) || us <= 0 ||
        (getenv("WATCHDOG_PID") && !is_ours("WATCHDOG_PID")))
        return 0;
    return us < 2000 ? 1 : us / 2000;
}
