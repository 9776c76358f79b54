/* spool.c - see spool.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever appends locks the file, and looks whether it still has its name: it may have been taken meanwhile. Whoever
 * takes it waits for the last lock on it, and keeps a lock of his own until he is done.
 */
#include "spool.h"

#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0x706b3032, SUFFIX_BYTES = 8, WRITE_MAX = 64 };

struct frame {
    uint32_t magic, len, check;
};

struct pk_spool_reader {
    char path[PK_SPOOL_PATH_BYTES];
    FILE *file;
    char *entry;
    size_t cap;
    int64_t size, at; /* of the file; behind the last whole entry */
};

bool pk_spool_init(struct pk_spool *s, const char *path, int64_t bytes_max)
{
    int len = snprintf(s->path, sizeof s->path, "%s", path);

    s->bytes_max = bytes_max;
    if (len > 0 && (size_t)len < sizeof s->path - SUFFIX_BYTES)
        return true;
    s->path[0] = 0;
    return false;
}

static void path_of(const struct pk_spool *s, const char *suffix, char out[PK_SPOOL_PATH_BYTES])
{
    (void)snprintf(out, PK_SPOOL_PATH_BYTES, "%.*s%s", PK_SPOOL_PATH_BYTES - SUFFIX_BYTES, s->path,
                   suffix);
}

static int64_t size_of(const struct pk_spool *s, const char *suffix)
{
    char path[PK_SPOOL_PATH_BYTES];
    struct stat st = {0};

    path_of(s, suffix, path);
    return stat(path, &st) == 0 ? st.st_size : 0;
}

int64_t pk_spool_bytes(const struct pk_spool *s)
{
    return s->path[0] ? size_of(s, "") + size_of(s, ".taken") : 0;
}

/* --- appending --------------------------------------------------------------------------------- */

/* Whether `path` still is the file that was opened. */
static bool same_file(int fd, const char *path)
{
    struct stat opened, there;

    return fstat(fd, &opened) == 0 && stat(path, &there) == 0 && opened.st_ino == there.st_ino &&
           opened.st_dev == there.st_dev;
}

/* The file, locked; -1 when it cannot be had. */
static int open_locked(const char *path)
{
    const struct timespec pause = {0, 1000000};

    for (int waited_ms = 0; waited_ms < PK_SPOOL_WAIT_MS; waited_ms++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && same_file(fd, path))
            return fd;
        (void)close(fd);
        (void)nanosleep(&pause, NULL);
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

static bool write_frames(int fd, const pk_str *entries, int count)
{
    for (int i = 0; i < count; i++) {
        struct frame frame = {MAGIC, (uint32_t)entries[i].len, pk_payload_check(entries[i])};

        if (!write_all(fd, &frame, sizeof frame) || !write_all(fd, entries[i].at, entries[i].len))
            return false;
    }
    return true;
}

/* `taken`: bytes that count towards the limit as well. */
static bool append(const struct pk_spool *s, int fd, int64_t taken, const pk_str *entries,
                   int count)
{
    off_t size = lseek(fd, 0, SEEK_END);
    int64_t need = 0;

    for (int i = 0; i < count; i++) {
        if (entries[i].len > UINT32_MAX)
            return false;
        need += (int64_t)(sizeof(struct frame) + entries[i].len);
    }
    if (size < 0 || size + taken + need > s->bytes_max)
        return false;
    if (write_frames(fd, entries, count) && (!s->synced || fdatasync(fd) == 0))
        return true;
    (void)!ftruncate(fd, size); /* the disk is full: no half entry */
    return false;
}

static bool put(const struct pk_spool *s, const char *suffix, int64_t taken, const pk_str *entries,
                int count)
{
    char path[PK_SPOOL_PATH_BYTES];

    if (!s->path[0])
        return false;
    path_of(s, suffix, path);
    int fd = open_locked(path);
    if (fd < 0)
        return false;
    bool kept = append(s, fd, taken, entries, count);
    (void)close(fd);
    return kept;
}

bool pk_spool_put(const struct pk_spool *s, const pk_str *entries, int count)
{
    return put(s, "", size_of(s, ".taken"), entries, count);
}

bool pk_spool_park(const struct pk_spool *s, pk_str entry)
{
    return put(s, ".bad", 0, &entry, 1);
}

/* --- reading ------------------------------------------------------------------------------------ */

/* Nobody appends to it any more once the lock is there, and nobody else reads it. */
static bool own(int fd, const char *path)
{
    const struct timespec pause = {0, 1000000};

    for (int waited_ms = 0; waited_ms < PK_SPOOL_WAIT_MS; waited_ms++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return same_file(fd, path);
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

struct pk_spool_reader *pk_spool_open(const struct pk_spool *s)
{
    char waits[PK_SPOOL_PATH_BYTES];
    struct stat st = {0};

    if (!s->path[0])
        return NULL;
    struct pk_spool_reader *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    path_of(s, "", waits);
    path_of(s, ".taken", r->path);
    if (access(r->path, F_OK) != 0)
        (void)rename(waits, r->path); /* when somebody else was faster, that is as good */
    int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && own(fd, r->path) && fstat(fd, &st) == 0)
        r->file = fdopen(fd, "r");
    if (r->file) {
        r->size = st.st_size;
        return r;
    }
    if (fd >= 0)
        (void)close(fd);
    free(r);
    return NULL;
}

static bool room_for(struct pk_spool_reader *r, size_t len)
{
    if (len <= r->cap)
        return true;
    char *grown = realloc(r->entry, len);
    if (!grown)
        return false;
    r->entry = grown;
    r->cap = len;
    return true;
}

bool pk_spool_next(struct pk_spool_reader *r, pk_str *entry)
{
    struct frame frame;

    if (fread(&frame, sizeof frame, 1, r->file) != 1 || frame.magic != MAGIC ||
        frame.len > r->size - r->at || !room_for(r, (size_t)frame.len + 1) ||
        fread(r->entry, 1, frame.len, r->file) != frame.len)
        return false;
    *entry = (pk_str){r->entry, frame.len};
    if (frame.check != pk_payload_check(*entry))
        return false;
    r->at += (int64_t)sizeof frame + frame.len;
    return true;
}

int64_t pk_spool_damaged(const struct pk_spool_reader *r)
{
    return r->size - r->at;
}

/* For people to look at, unless there is something already. */
static bool keep_damaged(const struct pk_spool_reader *r)
{
    char bad[PK_SPOOL_PATH_BYTES];
    int len = (int)(strlen(r->path) - strlen(".taken"));

    (void)snprintf(bad, sizeof bad, "%.*s.bad", len, r->path);
    return link(r->path, bad) == 0 && unlink(r->path) == 0;
}

void pk_spool_close(struct pk_spool_reader *r, bool done)
{
    if (!r)
        return;
    if (done && (pk_spool_damaged(r) == 0 || !keep_damaged(r)))
        (void)unlink(r->path);
    (void)fclose(r->file);
    free(r->entry);
    free(r);
}
