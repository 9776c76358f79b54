/* health.c - `pkd health`: asks a running pkd at --listen or --unix whether it and its store are well.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"
#include "listen.h"
#include "tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { WAIT_S = 3 };

/* An address that means every interface is asked at loopback. */
static void towards_loopback(struct pkd_address *a)
{
    struct sockaddr_in *four = (void *)&a->at;
    struct sockaddr_in6 *six = (void *)&a->at;

    if (a->at.ss_family == AF_INET && four->sin_addr.s_addr == INADDR_ANY)
        four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (a->at.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr))
        six->sin6_addr = in6addr_loopback;
}

static bool find(const struct pkd_options *o, struct pkd_address *a, struct pk_error *err)
{
    struct sockaddr_un *local = (void *)&a->at;

    if (!o->unix_path || strcmp(o->listen, "none") != 0) {
        if (!pkd_address_read(o->listen, true, a, err))
            return false;
        towards_loopback(a);
        return true;
    }
    *a = (struct pkd_address){.len = sizeof *local};
    local->sun_family = AF_UNIX;
    if (strlen(o->unix_path) >= sizeof local->sun_path)
        return pk_fail(err, PK_BAD_REQUEST, "--unix: the path is too long");
    memcpy(local->sun_path, o->unix_path, strlen(o->unix_path));
    return true;
}

/* Sends the request, and reads what comes until the end: 0, or -1 with errno. */
static ssize_t converse(int fd, bool secure, char *answer, size_t size)
{
    char request[] = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const struct iovec all = {request, sizeof request - 1};
    struct ssl_st *tls = secure ? pkd_tls_connect(fd) : NULL;
    ssize_t sent = tls ? pkd_tls_write(tls, &all, 1) : writev(fd, &all, 1), got = -1;
    size_t len = 0;

    while (sent == (ssize_t)all.iov_len && len < size - 1) {
        got = tls ? pkd_tls_read(tls, answer + len, size - 1 - len)
                  : recv(fd, answer + len, size - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    answer[len] = 0;
    pkd_tls_drop(tls);
    return len == size - 1 ? 0 : got;
}

static bool ask(const struct pkd_address *a, bool secure, char *answer, size_t size,
                struct pk_error *err)
{
    const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t got = -1;

    (void)signal(SIGPIPE, SIG_IGN);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) == 0 &&
        connect(fd, (const struct sockaddr *)&a->at, a->len) == 0)
        got = converse(fd, secure, answer, size);
    bool whole = got == 0;
    if (!whole)
        (void)pk_fail(err, PK_NETWORK, "no answer: %s",
                      errno == EAGAIN || errno == EINPROGRESS ? "it took too long"
                                                              : strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return whole;
}

int pkd_health(const struct pkd_options *o)
{
    struct pkd_address address;
    struct pk_error err = {0};
    char answer[1024];

    if (o->word_count || !find(o, &address, &err)) {
        (void)fprintf(stderr, "pkd health: %s\n", o->word_count ? "takes no arguments" : err.msg);
        return 2;
    }
    bool secure = o->tls_cert && address.at.ss_family != AF_UNIX;
    if (!ask(&address, secure, answer, sizeof answer, &err)) {
        (void)fprintf(stderr, "pkd health: %s\n", err.msg);
        return 1;
    }
    const char *body = strstr(answer, "\r\n\r\n");
    bool well = strncmp(answer, "HTTP/1.1 200 ", 13) == 0;
    (void)fprintf(well ? stdout : stderr, "%s\n", body ? body + 4 : "pkd health: no HTTP");
    return well ? 0 : 1;
}
