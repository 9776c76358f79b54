/* secret.c - see secret.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Sealed bytes: 24 of nonce, the ciphertext, 16 of tag. Associated data: "pk-key-1", then slug,
 * provider and origin, each after its length in four bytes, so that no two rows share one.
 */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MASTER_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    BOUND_BYTES_MAX = 8 + 3 * 4 + 2 * PK_SLUG_BYTES_MAX + PK_URL_BYTES_MAX,
    PATH_BYTES_MAX = 4096,
    NAME_BYTES_MAX = 256,
};

struct pk_secrets {
    unsigned char *master; /* from sodium_malloc: locked, not dumped, read-only */
};

/* --- the master key's file --------------------------------------------------------------- */

static const char *why(void)
{
    return strerror(errno);
}

/* Every folder above `path` that is missing. */
static bool make_folders(const char *path)
{
    char folder[PATH_BYTES_MAX];
    size_t len = strlen(path);

    if (len >= sizeof folder)
        return false;
    for (size_t i = 1; i < len; i++) {
        if (path[i] != '/')
            continue;
        memcpy(folder, path, i);
        folder[i] = 0;
        if (mkdir(folder, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* Writes a new key that no other process can see before it is whole. */
static bool write_key(const char *path)
{
    unsigned char key[MASTER_BYTES];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return false;
    pk_secret_random(key, sizeof key);
    bool ok = write(fd, key, sizeof key) == (ssize_t)sizeof key && fsync(fd) == 0;
    pk_secret_wipe(key, sizeof key);
    return close(fd) == 0 && ok;
}

/* Rows sealed with a key whose name a crash undoes are lost. */
static void sync_folder(const char *path)
{
    char folder[PATH_BYTES_MAX] = ".";
    const char *end = strrchr(path, '/');

    if (end)
        memcpy(folder, path, (size_t)(end - path) + 1);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)fsync(fd);
    (void)close(fd);
}

/* Makes the key under another name and links it into place: of several processes that do this at
 * once one wins, and the others read what it made. */
static bool create(const char *path, struct pk_error *err)
{
    char draft[PATH_BYTES_MAX];
    uint64_t random;

    pk_secret_random(&random, sizeof random);
    int len = snprintf(draft, sizeof draft, "%s.%016llx", path, (unsigned long long)random);
    if (len < 0 || (size_t)len >= sizeof draft)
        return pk_fail(err, PK_BAD_CONFIG, "master key file: the path is too long");
    bool made =
        make_folders(path) && write_key(draft) && (link(draft, path) == 0 || errno == EEXIST);
    if (!made)
        (void)pk_fail(err, PK_STORE, "%s: cannot make the master key file: %s", path, why());
    (void)unlink(draft);
    sync_folder(path);
    return made;
}

/* Opened without waiting, then judged by what was opened. A link is followed, since mounted secrets are links: whoever
 * made it can but choose among files that are ours or root's, that others cannot read, and that are as long as a key, and
 * is told nothing of what is in one. A key is never made through a link. */
static int open_master(const char *path, bool may_create, struct pk_error *err)
{
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC, fd = open(path, flags);

    if (fd < 0 && errno == ENOENT && may_create) {
        if (!create(path, err))
            return -1;
        fd = open(path, flags);
    }
    if (fd < 0)
        (void)pk_fail(err, PK_BAD_CONFIG, "%s: cannot open the master key file: %s", path, why());
    return fd;
}

static bool check_master(int fd, const char *path, struct pk_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return pk_fail(err, PK_STORE, "%s: cannot read the master key file: %s", path, why());
    if (!S_ISREG(st.st_mode))
        return pk_fail(err, PK_BAD_CONFIG, "%s: the master key file is not a regular file", path);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return pk_fail(err, PK_BAD_CONFIG, "%s: the master key file belongs to another user", path);
    if (st.st_mode & (st.st_uid == geteuid() ? 077 : 007)) /* root lends it to a group: systemd */
        return pk_fail(err, PK_BAD_CONFIG,
                       "%s: others can read the master key file; its mode must be 0600", path);
    if (st.st_size != MASTER_BYTES)
        return pk_fail(err, PK_BAD_CONFIG, "%s: the master key file must hold %d bytes, not %lld",
                       path, MASTER_BYTES, (long long)st.st_size);
    return true;
}

/* sodium_malloc() guards the pages, keeps them out of swap and core dumps, and wipes them when freed. */
static unsigned char *read_master(int fd, const char *path, struct pk_error *err)
{
    unsigned char *key = sodium_malloc(MASTER_BYTES);

    if (!key) {
        (void)pk_fail(err, PK_NO_MEMORY, "%s: no locked memory for the master key", path);
        return NULL;
    }
    if (read(fd, key, MASTER_BYTES) != MASTER_BYTES) {
        sodium_free(key);
        (void)pk_fail(err, PK_STORE, "%s: cannot read the master key file", path);
        return NULL;
    }
    (void)sodium_mprotect_readonly(key);
    return key;
}

struct pk_secrets *pk_secrets_open(const char *path, bool may_create, struct pk_error *err)
{
    struct pk_secrets *s = calloc(1, sizeof *s);

    if (!s || sodium_init() < 0) {
        free(s);
        (void)pk_fail(err, PK_NO_MEMORY, "%s: out of memory", path);
        return NULL;
    }
    int fd = open_master(path, may_create, err);
    if (fd >= 0 && check_master(fd, path, err))
        s->master = read_master(fd, path, err);
    if (fd >= 0)
        (void)close(fd);
    if (s->master)
        return s;
    free(s);
    return NULL;
}

static bool fits(int len, size_t size, struct pk_error *err)
{
    return (len >= 0 && (size_t)len < size) ||
           pk_fail(err, PK_BAD_CONFIG, "master key file: the path is too long");
}

bool pk_secrets_data_path(const char *name, char *out, size_t size, struct pk_error *err)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

    if (data && *data)
        return fits(snprintf(out, size, "%s/pk/%s", data, name), size, err);
    return fits(snprintf(out, size, "%s/.local/share/pk/%s", home ? home : "", name), size, err);
}

bool pk_secrets_path(const char *store_path, char *out, size_t size, struct pk_error *err)
{
    const char *named = getenv("PK_MASTER_KEY_FILE"), *end = strrchr(store_path, '/');

    if (named && *named)
        return fits(snprintf(out, size, "%s", named), size, err);
    if (strcmp(store_path, ":memory:") == 0)
        return pk_secrets_data_path("master.key", out, size, err);
    return fits(
        snprintf(out, size, "%.*smaster.key", end ? (int)(end - store_path) + 1 : 0, store_path),
        size, err);
}

void pk_secrets_free(struct pk_secrets *s)
{
    if (!s)
        return;
    sodium_free(s->master);
    free(s);
}

/* --- sealing ------------------------------------------------------------------------------ */

/* What a seal is bound to. */
struct bound {
    unsigned char at[BOUND_BYTES_MAX];
    size_t len;
};

static void bind(struct bound *b, pk_str s)
{
    for (int i = 0; i < 4; i++)
        b->at[b->len++] = (unsigned char)(s.len >> (8 * i));
    if (s.len)
        memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

static bool bound_to(struct bound *b, pk_str slug, pk_str provider, pk_str origin)
{
    if (slug.len > PK_SLUG_BYTES_MAX || provider.len > PK_SLUG_BYTES_MAX ||
        origin.len > PK_URL_BYTES_MAX)
        return false;
    memcpy(b->at, "pk-key-1", 8);
    b->len = 8;
    bind(b, slug);
    bind(b, provider);
    bind(b, origin);
    return true;
}

static bool env_name_valid(pk_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];

        if (!(c == '_' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (i && c >= '0' && c <= '9')))
            return false;
    }
    return name.len > 0 && name.len < NAME_BYTES_MAX;
}

static bool refer(struct pk_arena *arena, enum pk_key_kind kind, pk_str value, struct pk_key *key,
                  struct pk_error *err)
{
    bool valid = kind == PK_KEY_ENV ? env_name_valid(value)
                                    : value.len > 1 && value.len < PATH_BYTES_MAX &&
                                          value.at[0] == '/' && pk_str_find(value, 0) < 0;

    if (!valid)
        return pk_fail(err, PK_BAD_REQUEST,
                       kind == PK_KEY_ENV ? "secret: env: needs the name of a variable"
                                          : "secret: file: needs an absolute path");
    key->kind = kind;
    key->value = pk_copy(arena, value);
    return arena->failed ? pk_fail(err, PK_NO_MEMORY, "secret: out of memory") : true;
}

static pk_str without_newline(pk_str s)
{
    while (s.len && (s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\r'))
        s.len--;
    return s;
}

bool pk_secret_seal(const struct pk_secrets *s, struct pk_arena *arena, pk_str slug,
                    pk_str provider, pk_str origin, pk_str secret, struct pk_key *key,
                    struct pk_error *err)
{
    struct bound b;

    *key = (struct pk_key){.kind = PK_KEY_SEALED, .slug = slug, .origin = origin};
    if (pk_str_starts(secret, "env:"))
        return refer(arena, PK_KEY_ENV, pk_str_sub(secret, 4, secret.len), key, err);
    if (pk_str_starts(secret, "file:"))
        return refer(arena, PK_KEY_FILE, pk_str_sub(secret, 5, secret.len), key, err);
    secret = without_newline(secret);
    if (secret.len == 0)
        return pk_fail(err, PK_BAD_REQUEST, "secret: must not be empty");
    if (secret.len > PK_SECRET_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "secret: longer than %d bytes", PK_SECRET_BYTES_MAX);
    if (!bound_to(&b, slug, provider, origin))
        return pk_fail(err, PK_TOO_LARGE, "secret: slug, provider or origin is too long");
    if (!s)
        return pk_fail(err, PK_BAD_CONFIG, "secret: there is no master key to seal it with");
    unsigned char *sealed = pk_alloc(arena, NONCE_BYTES + secret.len + TAG_BYTES);
    if (!sealed)
        return pk_fail(err, PK_NO_MEMORY, "secret: out of memory");
    randombytes_buf(sealed, NONCE_BYTES);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed + NONCE_BYTES, NULL,
                                                     (const unsigned char *)secret.at, secret.len,
                                                     b.at, b.len, NULL, sealed, s->master);
    key->value = (pk_str){(const char *)sealed, NONCE_BYTES + secret.len + TAG_BYTES};
    return true;
}

/* --- opening ------------------------------------------------------------------------------ */

static bool put(pk_str secret, char *out, size_t *len)
{
    secret = without_newline(secret);
    if (secret.len == 0 || secret.len > PK_SECRET_BYTES_MAX)
        return false;
    memcpy(out, secret.at, secret.len);
    *len = secret.len;
    return true;
}

static bool open_env(pk_str value, char *out, size_t *len, struct pk_error *err)
{
    char name[NAME_BYTES_MAX];

    if (value.len >= sizeof name)
        return pk_fail(err, PK_NO_KEY, "env: the name of the variable is too long");
    memcpy(name, value.at, value.len);
    name[value.len] = 0;
    return put(pk_str_of(getenv(name)), out, len) ||
           pk_fail(err, PK_NO_KEY, "%s: not set in the environment", name);
}

/* The first line of what can be read at once, or all of a JSON object; 0 when there is none that fits. */
static size_t first_line(int fd, char *out)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return 0;
    ssize_t got = read(fd, out, PK_SECRET_BYTES_MAX);
    if (got <= 0)
        return 0;
    /* A JSON object is a key of several parts, or a service account's file. */
    const char *end = out[0] == '{' ? NULL : memchr(out, '\n', (size_t)got);
    if (!end && st.st_size > got)
        return 0;
    return without_newline((pk_str){out, end ? (size_t)(end - out) : (size_t)got}).len;
}

/* Read anew each time, so that a rotated file takes effect; a link is fine, orchestrators use them. */
static bool open_file(pk_str value, char *out, size_t *len, struct pk_error *err)
{
    char path[PATH_BYTES_MAX];

    if (value.len >= sizeof path)
        return pk_fail(err, PK_NO_KEY, "file: the path of the key is too long");
    memcpy(path, value.at, value.len);
    path[value.len] = 0;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return pk_fail(err, PK_NO_KEY, "%s: cannot read the key: %s", path, why());
    *len = first_line(fd, out);
    pk_secret_wipe(out + *len, PK_SECRET_BYTES_MAX - *len); /* what the file has further down */
    (void)close(fd);
    return *len > 0 || pk_fail(err, PK_NO_KEY, "%s: not a file with a key in its first line", path);
}

static bool open_sealed(const struct pk_secrets *s, const struct pk_key *key, pk_str provider,
                        char *out, size_t *len, struct pk_error *err)
{
    const unsigned char *sealed = (const unsigned char *)key->value.at;
    unsigned long long opened = 0;
    struct bound b;

    if (!s)
        return pk_fail(err, PK_NO_KEY,
                       "%.*s: there is no master key to open it with: no file, or one that is "
                       "not this user's alone",
                       PK_FMT(key->slug));
    if (key->value.len <= NONCE_BYTES + TAG_BYTES ||
        key->value.len > NONCE_BYTES + PK_SECRET_BYTES_MAX + TAG_BYTES ||
        !bound_to(&b, key->slug, provider, key->origin) ||
        crypto_aead_xchacha20poly1305_ietf_decrypt(
            (unsigned char *)out, &opened, NULL, sealed + NONCE_BYTES, key->value.len - NONCE_BYTES,
            b.at, b.len, sealed, s->master) != 0) {
        (void)pk_fail(err, PK_STORE, "%.*s: the sealed key fits neither its row nor the master key",
                      PK_FMT(key->slug));
        err->retryable = false;
        return false;
    }
    *len = (size_t)opened;
    return true;
}

bool pk_secret_open(const struct pk_secrets *s, const struct pk_key *key, pk_str provider,
                    char *out, size_t *len, struct pk_error *err)
{
    *len = 0;
    switch (key->kind) {
    case PK_KEY_NONE: return pk_fail(err, PK_NO_KEY, "%.*s: has no key", PK_FMT(provider));
    case PK_KEY_LITERAL:
        return put(key->value, out, len) ||
               pk_fail(err, PK_NO_KEY, "%.*s: the key is empty or too long", PK_FMT(provider));
    case PK_KEY_ENV: return open_env(key->value, out, len, err);
    case PK_KEY_FILE: return open_file(key->value, out, len, err);
    case PK_KEY_SEALED: return open_sealed(s, key, provider, out, len, err);
    }
    return pk_fail(err, PK_NO_KEY, "%.*s: unknown kind of key", PK_FMT(provider));
}

static void add_to_seal(struct pk_seal *s, pk_str part)
{
    memcpy(s->at + s->len, &part.len,
           sizeof part.len); /* so that no two parts are one of another */
    s->len += sizeof part.len;
    if (part.len)
        memcpy(s->at + s->len, part.at, part.len);
    s->len += part.len;
}

void pk_secret_seal_of(const struct pk_key *key, pk_str provider, struct pk_seal *seal)
{
    const pk_str parts[] = {key->value, key->slug, provider, key->origin};
    size_t size = 0;

    seal->len = 0;
    for (size_t i = 0; i < PK_COUNT(parts); i++) {
        if (parts[i].len > PK_SEAL_BYTES)
            return;
        size += sizeof parts[i].len + parts[i].len;
    }
    if (key->kind != PK_KEY_SEALED || size > PK_SEAL_BYTES)
        return;
    for (size_t i = 0; i < PK_COUNT(parts); i++)
        add_to_seal(seal, parts[i]);
}

bool pk_secret_same_seal(const struct pk_seal *a, const struct pk_seal *b)
{
    return a->len > 0 && a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

void pk_secret_wipe(void *bytes, size_t len)
{
    sodium_memzero(bytes, len);
}

void pk_secret_hash(const uint8_t key[PK_SECRET_HASH_BYTES], pk_str text,
                    uint8_t hash[PK_SECRET_HASH_BYTES])
{
    (void)crypto_shorthash_siphashx24(hash, (const unsigned char *)text.at, text.len, key);
}

uint64_t pk_secret_number(const uint8_t key[PK_SECRET_HASH_BYTES], pk_str text)
{
    uint8_t hash[PK_SECRET_HASH_BYTES];
    uint64_t number;

    pk_secret_hash(key, text, hash);
    memcpy(&number, hash, sizeof number);
    return number;
}

void pk_secret_random(void *bytes, size_t len)
{
    PK_ASSERT(sodium_init() >= 0);
    randombytes_buf(bytes, len);
}
