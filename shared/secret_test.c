/* secret_test.c - the master key's file, seals and references.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "secret.h"
#include "test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/pk-secret-XXXXXX";
static struct pk_arena arena;
static struct pk_error err;

/* folder/name, in one of a few static places. */
static const char *path(const char *name)
{
    static char places[4][256];
    static int next;
    char *p = places[next++ % 4];

    (void)snprintf(p, sizeof places[0], "%s/%s", folder, name);
    return p;
}

static void put_file(const char *name, const char *bytes, size_t len, mode_t mode)
{
    int fd = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    EXPECT(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, mode) == 0);
    (void)close(fd);
}

static struct pk_secrets *master(void)
{
    return pk_secrets_open(path("master.key"), true, &err);
}

static void a_master_key_is_made_once_with_mode_0600(void)
{
    char first[32], second[32];
    struct stat st;

    EXPECT(!pk_secrets_open(path("a/b/m.key"), false, &err) && err.code == PK_BAD_CONFIG);
    EXPECT(strstr(err.msg, "a/b/m.key"));
    struct pk_secrets *s = pk_secrets_open(path("a/b/m.key"), true, &err);
    EXPECT(s);
    pk_secrets_free(s);
    EXPECT(stat(path("a/b"), &st) == 0 && (st.st_mode & 0777) == 0700);
    EXPECT(stat(path("a/b/m.key"), &st) == 0 && (st.st_mode & 0777) == 0600 && st.st_size == 32);
    EXPECT(st.st_nlink == 1);
    int fd = open(path("a/b/m.key"), O_RDONLY);
    EXPECT(read(fd, first, 32) == 32);
    s = pk_secrets_open(path("a/b/m.key"), true, &err);
    EXPECT(s);
    pk_secrets_free(s);
    EXPECT(pread(fd, second, 32, 0) == 32 && memcmp(first, second, 32) == 0);
    (void)close(fd);
}

static bool lives_at(const char *store, const char *expected)
{
    char out[64];

    return pk_secrets_path(store, out, sizeof out, &err) && strcmp(out, expected) == 0;
}

static void the_master_key_is_beside_its_store(void)
{
    char out[16];

    EXPECT(unsetenv("PK_MASTER_KEY_FILE") == 0);
    EXPECT(lives_at("/var/lib/pk/a.pkdb", "/var/lib/pk/master.key"));
    EXPECT(lives_at("a.pkdb", "master.key"));
    EXPECT(setenv("XDG_DATA_HOME", "/xdg", 1) == 0);
    EXPECT(lives_at(":memory:", "/xdg/pk/master.key"));
    EXPECT(unsetenv("XDG_DATA_HOME") == 0 && setenv("HOME", "/home/x", 1) == 0);
    EXPECT(lives_at(":memory:", "/home/x/.local/share/pk/master.key"));
    EXPECT(!pk_secrets_path("/var/lib/pk/a.pkdb", out, sizeof out, &err));
    EXPECT(err.code == PK_BAD_CONFIG);
    EXPECT(setenv("PK_MASTER_KEY_FILE", "/run/k", 1) == 0);
    EXPECT(lives_at("/var/lib/pk/a.pkdb", "/run/k"));
}

static bool refused(const char *name, const char *why)
{
    struct pk_secrets *s = pk_secrets_open(path(name), true, &err);

    if (s)
        printf("#   %s was accepted\n", name);
    else if (!strstr(err.msg, why) || !strstr(err.msg, name))
        printf("#   %s\n", err.msg);
    pk_secrets_free(s);
    return !s && strstr(err.msg, why) && strstr(err.msg, name);
}

static void an_unsafe_master_key_file_is_refused(void)
{
    char bytes[64] = {1};

    put_file("group.key", bytes, 32, 0640);
    put_file("world.key", bytes, 32, 0604);
    put_file("short.key", bytes, 31, 0600);
    put_file("long.key", bytes, 33, 0600);
    put_file("empty.key", bytes, 0, 0600);
    put_file("good.key", bytes, 32, 0400);
    EXPECT(symlink("group.key", path("link.key")) == 0);
    EXPECT(symlink("loop.key", path("loop.key")) == 0);
    EXPECT(symlink("nowhere.key", path("dangling.key")) == 0);
    EXPECT(symlink("fifo.key", path("piped.key")) == 0);
    EXPECT(mkdir(path("folder.key"), 0700) == 0);
    EXPECT(mkfifo(path("fifo.key"), 0600) == 0);
    EXPECT(refused("group.key", "others can read"));
    EXPECT(refused("world.key", "others can read"));
    EXPECT(refused("short.key", "must hold 32 bytes, not 31"));
    EXPECT(refused("long.key", "must hold 32 bytes, not 33"));
    EXPECT(refused("empty.key", "must hold 32 bytes, not 0"));
    EXPECT(refused("link.key", "others can read"));
    EXPECT(refused("loop.key", "symbolic link"));
    EXPECT(refused("dangling.key", "No such file"));
    EXPECT(refused("piped.key", "not a regular file"));
    EXPECT(!pk_secrets_open(path("dangling.key"), true, &err) &&
           access(path("nowhere.key"), F_OK) != 0);
    EXPECT(refused("folder.key", "not a regular file"));
    EXPECT(refused("fifo.key", "not a regular file"));
    EXPECT(refused("good.key/x", "Not a directory"));
    struct pk_secrets *s = pk_secrets_open(path("good.key"), false, &err);
    EXPECT(s);
    pk_secrets_free(s);
}

/* As Kubernetes mounts a secret: the name leads to a folder that leads to the one in force. */
static void a_mounted_master_key_may_be_a_link(void)
{
    char bytes[32] = {1};

    EXPECT(mkdir(path("..2030"), 0700) == 0);
    put_file("..2030/mounted.key", bytes, 32, 0400);
    EXPECT(symlink("..2030", path("..data")) == 0);
    EXPECT(symlink("..data/mounted.key", path("mounted.key")) == 0);
    struct pk_secrets *s = pk_secrets_open(path("mounted.key"), true, &err);
    EXPECT(s);
    pk_secrets_free(s);
}

static void a_master_key_of_another_user_is_refused(void)
{
    char bytes[32] = {1};

    if (geteuid() != 0) { /* only root can make such a file; /etc/hostname belongs to root */
        EXPECT(!pk_secrets_open("/etc/hostname", false, &err));
        return;
    }
    put_file("other.key", bytes, 32, 0600);
    EXPECT(chown(path("other.key"), 65534, 65534) == 0);
    EXPECT(refused("other.key", "another user"));
}

/* Every child seals with the key that it got; the parent's key must open all of them. */
static void processes_that_make_it_at_once_agree_on_one_key(void)
{
    enum { CHILDREN = 8 };
    int gate[2], out[2];

    EXPECT(pipe(gate) == 0 && pipe(out) == 0);
    for (int i = 0; i < CHILDREN; i++) {
        if (fork() != 0)
            continue;
        char c;
        struct pk_key key;
        (void)close(gate[1]);
        if (read(gate[0], &c, 1) != 0)
            _exit(1);
        struct pk_secrets *s = pk_secrets_open(path("race/m.key"), true, &err);
        bool ok = s && pk_secret_seal(s, &arena, PK_STR("k"), PK_STR("openai"), PK_STR("https://h"),
                                      PK_STR("sk-race"), &key, &err);
        _exit(!ok || write(out[1], key.value.at, key.value.len) != (ssize_t)key.value.len);
    }
    (void)close(gate[0]);
    (void)close(gate[1]); /* all start now */
    for (int i = 0, status; i < CHILDREN; i++)
        EXPECT(wait(&status) > 0 && status == 0);
    struct pk_secrets *s = pk_secrets_open(path("race/m.key"), false, &err);
    EXPECT(s);
    for (int i = 0; i < CHILDREN; i++) {
        char sealed[24 + 7 + 16], plain[PK_SECRET_BYTES_MAX];
        struct pk_key key = {
            PK_KEY_SEALED, PK_STR("k"), {sealed, sizeof sealed}, PK_STR("https://h")};
        size_t len;

        EXPECT(read(out[0], sealed, sizeof sealed) == (ssize_t)sizeof sealed);
        EXPECT(s && pk_secret_open(s, &key, PK_STR("openai"), plain, &len, &err));
    }
    pk_secrets_free(s);
    (void)close(out[0]);
    (void)close(out[1]);
}

static void a_sealed_key_opens_to_what_was_given(void)
{
    static const char secret[] = "sk-live-0123456789\n";
    char plain[PK_SECRET_BYTES_MAX];
    struct pk_secrets *s = master();
    struct pk_key one, two;
    size_t len;

    EXPECT(s);
    EXPECT(pk_secret_seal(s, &arena, PK_STR("prod"), PK_STR("openai"), PK_STR("https://h"),
                          PK_STR(secret), &one, &err));
    EXPECT(pk_secret_seal(s, &arena, PK_STR("prod"), PK_STR("openai"), PK_STR("https://h"),
                          PK_STR(secret), &two, &err));
    EXPECT(one.kind == PK_KEY_SEALED && one.value.len == 24 + 18 + 16);
    EXPECT(!pk_str_eq(one.value, two.value)); /* another nonce */
    EXPECT(!memmem(one.value.at, one.value.len, "sk-live", 7));
    EXPECT(pk_secret_open(s, &one, PK_STR("openai"), plain, &len, &err));
    EXPECT(pk_str_is((pk_str){plain, len}, "sk-live-0123456789"));
    pk_secrets_free(s);
}

static void a_seal_opens_for_its_own_row_and_master_key_only(void)
{
    char plain[PK_SECRET_BYTES_MAX], bytes[32] = {7};
    struct pk_secrets *s = master(), *other;
    struct pk_key key, k;
    size_t len;

    put_file("other-master.key", bytes, 32, 0600);
    other = pk_secrets_open(path("other-master.key"), false, &err);
    EXPECT(s && other);
    EXPECT(pk_secret_seal(s, &arena, PK_STR("ab"), PK_STR("c"), PK_STR("https://h"),
                          PK_STR("secret"), &key, &err));
    EXPECT(pk_secret_open(s, &key, PK_STR("c"), plain, &len, &err));
    EXPECT(!pk_secret_open(s, &key, PK_STR("d"), plain, &len, &err));
    EXPECT(err.code == PK_STORE && !err.retryable && strncmp(err.msg, "ab: ", 4) == 0);
    k = key, k.slug = PK_STR("a");
    EXPECT(!pk_secret_open(s, &k, PK_STR("bc"), plain, &len, &err)); /* same bytes, other lengths */
    k = key, k.origin = PK_STR("https://evil.example");
    EXPECT(!pk_secret_open(s, &k, PK_STR("c"), plain, &len, &err));
    EXPECT(!pk_secret_open(other, &key, PK_STR("c"), plain, &len, &err) && err.code == PK_STORE);
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("c"), plain, &len, &err) && err.code == PK_NO_KEY);
    for (size_t i = 0; i < key.value.len; i++) {
        char damaged[64];

        k = key, k.value.at = memcpy(damaged, key.value.at, key.value.len);
        damaged[i] ^= 1;
        EXPECT(!pk_secret_open(s, &k, PK_STR("c"), plain, &len, &err));
        k.value.len = i; /* cut short */
        EXPECT(!pk_secret_open(s, &k, PK_STR("c"), plain, &len, &err));
    }
    pk_secrets_free(s);
    pk_secrets_free(other);
}

static bool seals(const struct pk_secrets *s, pk_str secret, struct pk_key *key)
{
    return pk_secret_seal(s, &arena, PK_STR("k"), PK_STR("p"), PK_STR("https://h"), secret, key,
                          &err);
}

static void references_are_kept_by_name_and_opened_late(void)
{
    char plain[PK_SECRET_BYTES_MAX], ref[300];
    struct pk_key key;
    size_t len;

    EXPECT(seals(NULL, PK_STR("env:PK_TEST_SECRET"), &key) && key.kind == PK_KEY_ENV);
    EXPECT(pk_str_is(key.value, "PK_TEST_SECRET") && pk_str_is(key.origin, "https://h"));
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));
    EXPECT(err.code == PK_NO_KEY && strstr(err.msg, "PK_TEST_SECRET"));
    EXPECT(setenv("PK_TEST_SECRET", "sk-env\n", 1) == 0);
    EXPECT(pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));
    EXPECT(pk_str_is((pk_str){plain, len}, "sk-env"));
    EXPECT(setenv("PK_TEST_SECRET", "", 1) == 0);
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));

    put_file("api.key", "sk-file\r\nsecond line\n", 21, 0600);
    (void)snprintf(ref, sizeof ref, "file:%s", path("api.key"));
    EXPECT(seals(NULL, pk_str_of(ref), &key) && key.kind == PK_KEY_FILE);
    EXPECT(pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));
    EXPECT(!memmem(plain, sizeof plain, "second", 6));
    EXPECT(pk_str_is((pk_str){plain, len}, "sk-file"));
    put_file("api.key", "sk-rotated", 10, 0600);
    EXPECT(pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));
    EXPECT(pk_str_is((pk_str){plain, len}, "sk-rotated"));
    EXPECT(unlink(path("api.key")) == 0);
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err));
    EXPECT(err.code == PK_NO_KEY && strstr(err.msg, "api.key"));
}

static bool file_opens(const char *name)
{
    char plain[PK_SECRET_BYTES_MAX];
    struct pk_key key = {.kind = PK_KEY_FILE, .value = pk_str_of(path(name))};
    size_t len;

    return pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err);
}

static void only_a_plain_file_with_a_short_first_line_is_a_key(void)
{
    static char big[PK_SECRET_BYTES_MAX + 2];

    memset(big, 'x', sizeof big);
    put_file("big.key", big, sizeof big, 0600);
    EXPECT(!file_opens("big.key"));
    put_file("just.key", big, PK_SECRET_BYTES_MAX, 0600);
    EXPECT(file_opens("just.key"));
    put_file("blank.key", "\nsk\n", 4, 0600);
    EXPECT(!file_opens("blank.key"));
    EXPECT(!file_opens("folder.key"));
    EXPECT(!file_opens("fifo.key")); /* and does not wait for a writer */
    EXPECT(!file_opens("nothing.key"));
}

static void unusable_secrets_are_refused(void)
{
    static char big[PK_SECRET_BYTES_MAX + 1];
    static const char *const bad[] = {"",        "\n",    "env:",   "env:1A",   "env:A B",
                                      "env:A=B", "file:", "file:x", "file:../k"};
    struct pk_secrets *s = master();
    struct pk_key key;

    for (size_t i = 0; i < PK_COUNT(bad); i++)
        if (!EXPECT(!seals(s, pk_str_of(bad[i]), &key) && err.code == PK_BAD_REQUEST))
            printf("#   %s\n", bad[i]);
    memset(big, 'x', sizeof big);
    EXPECT(!seals(s, (pk_str){big, sizeof big}, &key) && err.code == PK_TOO_LARGE);
    EXPECT(seals(s, (pk_str){big, sizeof big - 1}, &key));
    EXPECT(!seals(NULL, PK_STR("sk-1"), &key) && err.code == PK_BAD_CONFIG);
    EXPECT(!strstr(err.msg, "sk-1"));
    EXPECT(!pk_secret_seal(s, &arena, (pk_str){big, PK_SLUG_BYTES_MAX + 1}, PK_STR("p"),
                           PK_STR("https://h"), PK_STR("x"), &key, &err));
    pk_secrets_free(s);
    pk_secrets_free(NULL);
}

static void literal_keys_open_and_missing_ones_do_not(void)
{
    char plain[PK_SECRET_BYTES_MAX];
    struct pk_key key = {.kind = PK_KEY_LITERAL, .value = PK_STR("sk-lit")};
    size_t len;

    EXPECT(pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err) && len == 6);
    key.value = PK_NONE;
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("p"), plain, &len, &err) && err.code == PK_NO_KEY);
    key.kind = PK_KEY_NONE;
    EXPECT(!pk_secret_open(NULL, &key, PK_STR("groq"), plain, &len, &err));
    EXPECT(err.code == PK_NO_KEY && strncmp(err.msg, "groq: ", 6) == 0);
}

int main(void)
{
    char remove[64];

    if (!mkdtemp(folder))
        return 1;
    pk_arena_init(&arena, pk_allocator_malloc(), 1 << 20);
    RUN(a_master_key_is_made_once_with_mode_0600);
    RUN(the_master_key_is_beside_its_store);
    RUN(an_unsafe_master_key_file_is_refused);
    RUN(a_mounted_master_key_may_be_a_link);
    RUN(a_master_key_of_another_user_is_refused);
    RUN(processes_that_make_it_at_once_agree_on_one_key);
    RUN(a_sealed_key_opens_to_what_was_given);
    RUN(a_seal_opens_for_its_own_row_and_master_key_only);
    RUN(references_are_kept_by_name_and_opened_late);
    RUN(only_a_plain_file_with_a_short_first_line_is_a_key);
    RUN(unusable_secrets_are_refused);
    RUN(literal_keys_open_and_missing_ones_do_not);
    pk_arena_free(&arena);
    (void)snprintf(remove, sizeof remove, "rm -rf %s", folder);
    return system(remove) != 0 || test_end();
}
