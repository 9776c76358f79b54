/* sockets.c - see sockets.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "sockets.h"

#include "listen.h"
#include "log.h"
#include "systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool no_tcp(const struct pkd_options *o)
{
    return strcmp(o->listen, "none") == 0;
}

static void tell(const char *what, const struct pkd_address *a, int threads, bool keys)
{
    pkd_info("listening addr=%s threads=%d access=%s why=%s from=%s", a->text, threads,
             keys ? "api-keys" : "loopback-only", keys ? "" : "there are no API keys yet", what);
}

/* One socket for all threads. */
static bool share(struct pkd_sockets *s, struct pkd_socket one, struct pk_error *err)
{
    for (int i = 0; i < s->threads; i++) {
        struct pkd_socket *mine = &s->at[i][s->count];

        *mine = one;
        mine->fd = i == 0 ? one.fd : fcntl(one.fd, F_DUPFD_CLOEXEC, 0);
        if (mine->fd < 0)
            return pk_fail(err, PK_NETWORK, "too many sockets: %s", strerror(errno));
    }
    s->count++;
    return true;
}

/* --- passed by a service manager ------------------------------------------------------------- */

static bool is_listening(int fd)
{
    int yes = 0, type = 0;
    socklen_t size = sizeof yes;

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &size) == 0 && yes &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static bool adopt(struct pkd_sockets *s, int fd, bool keys, struct pk_error *err)
{
    struct pkd_socket one = {.fd = fd, .passed = true};
    struct pkd_address a;
    const int on = 1;

    if (!is_listening(fd))
        return pk_fail(err, PK_BAD_REQUEST, "LISTEN_FDS: descriptor %d is no listening stream", fd);
    if (!pkd_address_of(fd, keys, &a, &one.local, err))
        return false;
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    if (!one.local) /* accepted sockets inherit it */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    s->beyond_loopback = s->beyond_loopback || !a.loopback;
    if (!share(s, one, err))
        return false;
    tell("systemd", &a, s->threads, keys);
    return true;
}

static bool adopt_all(struct pkd_sockets *s, int first, int count, bool keys, struct pk_error *err)
{
    if (count > PKD_SOCKETS_MAX)
        return pk_fail(err, PK_BAD_REQUEST, "LISTEN_FDS: must be at most %d sockets",
                       PKD_SOCKETS_MAX);
    for (int i = 0; i < count; i++)
        if (!adopt(s, first + i, keys, err))
            return false;
    return true;
}

/* --- opened here ------------------------------------------------------------------------------- */

static bool open_tcp(struct pkd_sockets *s, const struct pkd_options *o, bool keys,
                     struct pk_error *err)
{
    struct pkd_address a;
    int *fds = malloc((size_t)s->threads * sizeof *fds);
    bool good = fds || pk_fail(err, PK_NO_MEMORY, "no memory for sockets");

    good = good && pkd_address_read(o->listen, keys, &a, err) &&
           pkd_listen_tcp(&a, fds, s->threads, o->take_over, err);
    for (int i = 0; good && i < s->threads; i++)
        s->at[i][s->count] = (struct pkd_socket){.fd = fds[i]};
    free(fds);
    if (!good)
        return false;
    s->count++;
    s->beyond_loopback = !a.loopback;
    tell("", &a, s->threads, keys);
    return true;
}

static bool open_local(struct pkd_sockets *s, const struct pkd_options *o, struct pk_error *err)
{
    struct stat file;
    int fd = pkd_listen_unix(o->unix_path, o->take_over, err);

    if (fd < 0 || !share(s, (struct pkd_socket){.fd = fd, .local = true}, err))
        return false;
    if (lstat(o->unix_path, &file) == 0) {
        s->unix_path = o->unix_path;
        s->device = file.st_dev;
        s->inode = file.st_ino;
    }
    pkd_info("listening unix=%s threads=%d", o->unix_path, s->threads);
    return true;
}

bool pkd_sockets_open(struct pkd_sockets *s, const struct pkd_options *o, bool keys,
                      struct pk_error *err)
{
    int first, passed;

    *s = (struct pkd_sockets){.threads = (int)o->threads};
    s->at = malloc((size_t)s->threads * sizeof *s->at);
    if (!s->at)
        return pk_fail(err, PK_NO_MEMORY, "no memory for sockets");
    for (int i = 0; i < s->threads; i++)
        for (int k = 0; k < PKD_SOCKETS_MAX; k++)
            s->at[i][k].fd = -1;
    if (!pkd_systemd_sockets(&first, &passed, err))
        return false;
    if (passed > 0)
        return adopt_all(s, first, passed, keys, err);
    if (no_tcp(o) && !o->unix_path)
        return pk_fail(err, PK_BAD_REQUEST, "--listen none needs --unix");
    return (no_tcp(o) || open_tcp(s, o, keys, err)) && (!o->unix_path || open_local(s, o, err));
}

/* --- the end ----------------------------------------------------------------------------------- */

/* The kernel numbers the sockets of an address in the order in which they began to listen: ours, then those of who
 * took over. A number that there is not lets it choose by hash, as it does without this. */
void pkd_sockets_hand_over(const struct pkd_sockets *s)
{
    struct sock_filter code = BPF_STMT(BPF_RET | BPF_K, (uint32_t)s->threads);
    const struct sock_fprog program = {1, &code};

    for (int k = 0; k < s->count; k++)
        if (!s->at[0][k].local && !s->at[0][k].passed)
            (void)setsockopt(s->at[0][k].fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                             sizeof program);
}

void pkd_sockets_close(struct pkd_sockets *s)
{
    struct stat file;

    for (int i = s->taken; s->at && i < s->threads; i++)
        for (int k = 0; k < PKD_SOCKETS_MAX; k++)
            if (s->at[i][k].fd >= 0)
                (void)close(s->at[i][k].fd);
    free(s->at);
    s->at = NULL;
    if (s->unix_path && lstat(s->unix_path, &file) == 0 && file.st_dev == s->device &&
        file.st_ino == s->inode)
        (void)unlink(s->unix_path);
}
