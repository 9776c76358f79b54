/* first_key.c - see first_key.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * The file is complete before the store knows the key: whoever stops in between finds it at the next start.
 */
#include "first_key.h"

#include "desk.h"
#include "log.h"
#include "secret.h"
#include "store_apikey.h"
#include "xfer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 256 };

static bool fail(const char *path, const char *what, struct pk_error *err)
{
    return pk_fail(err, PK_BAD_CONFIG, "admin-key-file: cannot %s %.160s: %s", what, path,
                   strerror(errno));
}

static bool write_key(int fd)
{
    char key[PK_API_KEY_TEXT + 1];

    pk_api_key_make(key);
    key[PK_API_KEY_TEXT] = '\n';
    bool ok = write(fd, key, sizeof key) == (ssize_t)sizeof key && fsync(fd) == 0;
    pk_secret_wipe(key, sizeof key);
    return ok;
}

/* Makes the file under another name and links it into place, so that nobody reads half of it; if somebody was
 * faster, theirs stays. */
static bool make(const char *path, struct pk_error *err)
{
    char other[PKD_PATH_BYTES_MAX];
    int len = snprintf(other, sizeof other, "%s.%ld", path, (long)getpid());
    int fd = -1;

    if (len > 0 && len < (int)sizeof other)
        fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(path, "make", err);
    bool ok = write_key(fd);
    ok = close(fd) == 0 && ok && (link(other, path) == 0 || errno == EEXIST);
    if (!ok)
        (void)fail(path, "make", err);
    (void)unlink(other);
    return ok;
}

/* The first line of the file; *len 0: there is no file. */
static bool read_file(const char *path, char text[FILE_BYTES_MAX], size_t *len,
                      struct pk_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct pk_error unused;

    *len = 0;
    if (fd < 0)
        return errno == ENOENT || fail(path, "open", err);
    ssize_t got = read(fd, text, FILE_BYTES_MAX);
    (void)close(fd);
    if (got < 0)
        return fail(path, "read", err);
    pk_str all = {text, (size_t)got};
    int end = pk_str_find(all, '\n');
    *len = pk_str_trim(pk_str_sub(all, 0, end < 0 ? all.len : (size_t)end)).len;
    if (pk_api_key_check((pk_str){text, *len}, &unused))
        return true;
    return pk_fail(err, PK_BAD_CONFIG,
                   "admin-key-file: no key is in %.120s: \"pk-\" and %d or more of A-Z a-z 0-9 - _",
                   path, PK_API_KEY_TEXT - 3);
}

static bool adopt(struct pk_store *store, pk_str key, bool *adopted, struct pk_error *err)
{
    const struct pk_first_key first = {.name = PK_STR("admin"),
                                       .key = key,
                                       .options =
                                           PK_STR("{\"scopes\":[\"call\",\"admin\",\"logs\"]}"),
                                       .at_us = pk_clock_us()};
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_store_api_key_adopt(store, &arena, &first, adopted, err);
    pk_arena_free(&arena);
    return ok;
}

static bool had_keys(struct pk_store *store, bool *had, struct pk_error *err)
{
    struct pk_api_keys keys;
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool ok = pk_store_api_keys_load(store, &arena, &keys, err);
    *had = ok && keys.count > 0;
    pk_arena_free(&arena);
    return ok;
}

bool pkd_first_key(const struct pkd_options *o, struct pk_store *store, struct pk_error *err)
{
    const char *path = o->admin_key;
    char text[FILE_BYTES_MAX];
    bool had = true, adopted = false;
    size_t len;

    if (path && !had_keys(store, &had, err))
        return false;
    if (had)
        return true;
    if (!read_file(path, text, &len, err))
        return false;
    bool made = len == 0;
    if (made && (!make(path, err) || !read_file(path, text, &len, err)))
        return false;
    bool ok = adopt(store, (pk_str){text, len}, &adopted, err);
    pk_secret_wipe(text, sizeof text);
    if (adopted)
        pkd_info("admin_key_stored name=admin file=%s", path);
    else if (ok && made)
        (void)unlink(path); /* another machine's key was taken meanwhile: this one opens nothing */
    return ok;
}
