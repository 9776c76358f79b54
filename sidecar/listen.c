/* listen.c - see listen.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Several threads, and a pkd that takes over from another, share a TCP port with SO_REUSEPORT, which would also let a
 * second pkd of the same user take half of the connections unnoticed; so a socket without it probes the port first.
 */
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* Splits at the last colon; brackets around the host are dropped. */
static bool split(const char *text, char *host, size_t size, int *port)
{
    const char *colon = strrchr(text, ':');
    int64_t number;

    if (!colon || !pk_str_int(pk_str_of(colon + 1), &number) || number < 0 || number > 65535)
        return false;
    pk_str name = {text, (size_t)(colon - text)};
    if (pk_str_starts(name, "[") && pk_str_ends(name, "]"))
        name = pk_str_sub(name, 1, name.len - 2);
    if (name.len >= size)
        return false;
    (void)snprintf(host, size, "%.*s", PK_FMT(name));
    *port = (int)number;
    return true;
}

static void print_address(struct pkd_address *a)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (a->at.ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const void *)&a->at;

        (void)inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host);
        (void)snprintf(a->text, sizeof a->text, "[%s]:%d", host, ntohs(six->sin6_port));
    } else {
        const struct sockaddr_in *four = (const void *)&a->at;

        (void)inet_ntop(AF_INET, &four->sin_addr, host, sizeof host);
        (void)snprintf(a->text, sizeof a->text, "%s:%d", host, ntohs(four->sin_port));
    }
}

/* Only numbers and "localhost": a name could resolve to anything. */
static bool read_host(const char *host, int port, struct pkd_address *a)
{
    struct sockaddr_in *four = (void *)&a->at;
    struct sockaddr_in6 *six = (void *)&a->at;
    const char *number = *host == 0 || strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;

    *a = (struct pkd_address){0};
    if (inet_pton(AF_INET, number, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        a->len = sizeof *four;
        return true;
    }
    if (inet_pton(AF_INET6, number, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        a->len = sizeof *six;
        return true;
    }
    return false;
}

static bool is_loopback(const struct pkd_address *a)
{
    if (a->at.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(
            &((const struct sockaddr_in6 *)(const void *)&a->at)->sin6_addr);
    return (ntohl(((const struct sockaddr_in *)(const void *)&a->at)->sin_addr.s_addr) >> 24) ==
           127;
}

/* Prints the address, and says who may listen on it. */
static bool admit(struct pkd_address *a, bool keys, struct pk_error *err)
{
    a->loopback = is_loopback(a);
    print_address(a);
    if (a->loopback || keys)
        return true;
    return pk_fail(err, PK_NO_PERMISSION,
                   "--listen: %s is beyond loopback, and there are no API keys to keep others out; "
                   "make one with pkd apikey create, or listen on 127.0.0.1 or --unix",
                   a->text);
}

bool pkd_address_read(const char *text, bool keys, struct pkd_address *a, struct pk_error *err)
{
    char host[64];
    int port;

    if (!split(text, host, sizeof host, &port))
        return pk_fail(err, PK_BAD_REQUEST, "--listen: must be HOST:PORT, not %s", text);
    if (!read_host(host, port, a))
        return pk_fail(err, PK_BAD_REQUEST, "--listen: %s is neither an address nor \"localhost\"",
                       host);
    return admit(a, keys, err);
}

bool pkd_address_of(int fd, bool keys, struct pkd_address *a, bool *local, struct pk_error *err)
{
    *a = (struct pkd_address){.len = sizeof a->at};
    if (getsockname(fd, (struct sockaddr *)&a->at, &a->len) != 0)
        return pk_fail(err, PK_NETWORK, "descriptor %d: %s", fd, strerror(errno));
    *local = a->at.ss_family == AF_UNIX;
    if (!*local)
        return admit(a, keys, err);
    a->loopback = true;
    (void)snprintf(a->text, sizeof a->text, "unix:%.50s",
                   ((const struct sockaddr_un *)(const void *)&a->at)->sun_path);
    return true;
}

static int open_tcp(const struct pkd_address *a, bool shared)
{
    const int on = 1;
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
                     sizeof on); /* accepted sockets inherit it */
    if (shared)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&a->at, a->len) == 0)
        return fd;
    int why = errno;
    (void)close(fd);
    errno = why;
    return -1;
}

static bool cannot_listen(const struct pkd_address *a, struct pk_error *err)
{
    if (errno == EADDRINUSE)
        return pk_fail(err, PK_NETWORK,
                       "%s: another program listens there; stop it or choose --listen", a->text);
    return pk_fail(err, PK_NETWORK, "%s: %s", a->text, strerror(errno));
}

/* Whether the port is free; a port 0 becomes a real one. */
static bool probe(struct pkd_address *a, struct pk_error *err)
{
    int fd = open_tcp(a, false);

    if (fd < 0)
        return cannot_listen(a, err);
    (void)getsockname(fd, (struct sockaddr *)&a->at, &a->len);
    (void)close(fd);
    print_address(a);
    return true;
}

bool pkd_listen_tcp(struct pkd_address *a, int *fds, int count, bool take_over,
                    struct pk_error *err)
{
    if (!take_over && !probe(a, err))
        return false;
    for (int i = 0; i < count; i++) {
        fds[i] = open_tcp(a, true);
        if (fds[i] < 0 || listen(fds[i], BACKLOG) != 0) {
            bool failed = cannot_listen(a, err);

            for (int k = 0; k <= i; k++)
                if (fds[k] >= 0)
                    (void)close(fds[k]);
            return failed;
        }
    }
    (void)getsockname(fds[0], (struct sockaddr *)&a->at, &a->len);
    print_address(a);
    return true;
}

/* Whether somebody accepts connections at the path. */
static bool answers(const struct sockaddr_un *at)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    bool connected = connect(fd, (const struct sockaddr *)at, sizeof *at) == 0;
    (void)close(fd);
    return connected;
}

/* A socket at a path of its own, which then takes the place of what is at at->sun_path: nobody finds it gone. */
static int replace(const struct sockaddr_un *at)
{
    struct sockaddr_un first = *at;
    size_t len = strlen(at->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    memcpy(first.sun_path + len, ".new", sizeof ".new");
    (void)unlink(first.sun_path);
    mode_t before = umask(0177);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&first, sizeof first) == 0;
    (void)umask(before);
    if (bound && listen(fd, BACKLOG) == 0 && rename(first.sun_path, at->sun_path) == 0)
        return fd;
    int why = errno;
    if (bound)
        (void)unlink(first.sun_path);
    if (fd >= 0)
        (void)close(fd);
    errno = why;
    return -1;
}

int pkd_listen_unix(const char *path, bool take_over, struct pk_error *err)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct stat found;

    if (strlen(path) + sizeof ".new" > sizeof at.sun_path) {
        (void)pk_fail(err, PK_BAD_REQUEST, "--unix: the path is longer than %zu bytes",
                      sizeof at.sun_path - sizeof ".new");
        return -1;
    }
    memcpy(at.sun_path, path, strlen(path));
    if (!take_over && answers(&at)) {
        (void)pk_fail(err, PK_NETWORK, "%s: another program listens there", path);
        return -1;
    }
    if (lstat(path, &found) == 0 && !S_ISSOCK(found.st_mode)) {
        (void)pk_fail(err, PK_NETWORK, "%s: there is a file that is no socket", path);
        return -1;
    }
    int fd = replace(&at);
    if (fd < 0)
        (void)pk_fail(err, PK_NETWORK, "%s: %s", path, strerror(errno));
    return fd;
}
