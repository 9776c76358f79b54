/* spool.c - a file for entries that found no way through the ring.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * $PGDATA/pk_spool/<database oid> takes what is larger than the ring takes, what came while it was full
 * and nobody drained it, and what was still queued when the last backend left. Backends append under
 * flock(); the worker renames the file to <oid>.taken, applies it and deletes it. When it dies in
 * between, the next one applies it again, which is harmless. An entry is a magic number, its length,
 * its checksum and its bytes; whatever a crash left incomplete at the end is skipped. The file is not
 * synced: a crash of the operating system may lose the last entries.
 *
 * Nothing here throws, since it runs while errors are handled and at exit; pk_spool_read() allocates
 * and may.
 */
#include "pk_pg.h"

#include "common/file_perm.h"
#include "port/pg_crc32c.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "pk_spool"

enum { PATH_MAX_BYTES = 64, SPOOL_MAGIC = 0x706b3031 };
static const off_t spool_bytes_max = (off_t)256 << 20;

struct frame {
    uint32 magic, len, crc;
};

static void path_of(char *path, Oid database, const char *suffix)
{
    (void)snprintf(path, PATH_MAX_BYTES, FOLDER "/%u%s", database, suffix);
}

static uint32 checksum(const char *bytes, size_t len)
{
    pg_crc32c crc;

    INIT_CRC32C(crc);
    COMP_CRC32C(crc, bytes, len);
    FIN_CRC32C(crc);
    return crc;
}

static bool lock_file(int fd)
{
    int locked;

    do
        locked = flock(fd, LOCK_EX);
    while (locked != 0 && errno == EINTR);
    return locked == 0;
}

/* Whether `path` still is the file that was opened: the worker may have taken it away. */
static bool same_file(int fd, const char *path)
{
    struct stat opened, there;

    return fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_ino == there.st_ino &&
           opened.st_dev == there.st_dev;
}

/* The database's file, locked; -1 when it cannot be had. */
static int open_for_append(Oid database)
{
    char path[PATH_MAX_BYTES];

    path_of(path, database, "");
    if (MakePGDirectory(FOLDER) != 0 && errno != EEXIST)
        return -1;
    for (int tries = 0; tries < 10; tries++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -1;
        if (lock_file(fd) && same_file(fd, path))
            return fd;
        (void)close(fd);
    }
    return -1;
}

static bool write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t written = write(fd, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        len -= (size_t)written;
    }
    return true;
}

static bool append(int fd, pk_str entry)
{
    struct frame frame = {SPOOL_MAGIC, (uint32)entry.len, checksum(entry.at, entry.len)};
    off_t size = lseek(fd, 0, SEEK_END);

    if (size < 0 || size > spool_bytes_max - (off_t)entry.len)
        return false;
    if (write_all(fd, &frame, sizeof frame) && write_all(fd, entry.at, entry.len))
        return true;
    (void)!ftruncate(fd, size); /* the disk is full: no half entry */
    return false;
}

bool pk_spool_put(Oid database, pk_str entry)
{
    int fd = open_for_append(database);

    if (fd < 0)
        return false;
    bool kept = append(fd, entry);
    (void)close(fd);
    return kept;
}

bool pk_spool_exists(Oid database)
{
    char path[PATH_MAX_BYTES], taken[PATH_MAX_BYTES];

    path_of(path, database, "");
    path_of(taken, database, ".taken");
    return access(path, F_OK) == 0 || access(taken, F_OK) == 0;
}

static int take(Oid database)
{
    char path[PATH_MAX_BYTES], taken[PATH_MAX_BYTES];

    path_of(path, database, "");
    path_of(taken, database, ".taken");
    if (access(taken, F_OK) != 0 && rename(path, taken) != 0)
        return -1;
    return open(taken, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static size_t read_all(int fd, char *to, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t got = read(fd, to + len, size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    return len;
}

/* Turns frames into entries as they are in the ring, in place: these are shorter. */
static size_t unframe(char *bytes, size_t len)
{
    size_t from = 0, to = 0;
    struct frame frame;

    while (len - from >= sizeof frame) {
        memcpy(&frame, bytes + from, sizeof frame);
        const char *entry = bytes + from + sizeof frame;
        if (frame.magic != SPOOL_MAGIC || frame.len > len - from - sizeof frame ||
            frame.crc != checksum(entry, frame.len))
            break;
        memmove(bytes + to, &frame.len, sizeof frame.len);
        memmove(bytes + to + sizeof frame.len, entry, frame.len);
        from += sizeof frame + frame.len;
        to += sizeof frame.len + frame.len;
    }
    if (from < len)
        ereport(LOG, (errmsg("pk: %zu bytes at the end of a spool file are damaged", len - from)));
    return to;
}

bool pk_spool_read(Oid database, char **bytes, size_t *len)
{
    struct stat st;
    int fd = take(database);

    if (fd < 0)
        return false;
    if (!lock_file(fd) || fstat(fd, &st) != 0) { /* the lock waits for the last writer */
        (void)close(fd);
        return false;
    }
    *bytes = MemoryContextAllocExtended(CurrentMemoryContext, (size_t)st.st_size + 1,
                                        MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
    *len = *bytes ? unframe(*bytes, read_all(fd, *bytes, (size_t)st.st_size)) : 0;
    (void)close(fd);
    return *bytes != NULL;
}

void pk_spool_done(Oid database)
{
    char taken[PATH_MAX_BYTES];

    path_of(taken, database, ".taken");
    (void)unlink(taken);
}
