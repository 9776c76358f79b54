/* home.c - see home.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "home.h"

#include "secret.h"
#include "sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool find_path(struct pkd_home *h, const struct pkd_options *o, struct pk_error *err)
{
    if (!o->store)
        return pk_store_default_path(h->path, sizeof h->path, err);
    if (!*o->store)
        return pk_fail(err, PK_BAD_CONFIG, "--store: must not be empty");
    if (strncmp(o->store, "file:", 5) == 0 || (strstr(o->store, "://") && !pk_pq_is(o->store)))
        return pk_fail(err, PK_BAD_CONFIG,
                       "--store: must be a path, or postgresql://..., not %.100s", o->store);
    int len = snprintf(h->path, sizeof h->path, "%s", o->store);
    return (len > 0 && (size_t)len < sizeof h->path) ||
           pk_fail(err, PK_BAD_CONFIG, "--store: the path is too long");
}

bool pkd_home_find(struct pkd_home *h, const struct pkd_options *o, int64_t timeout_ms,
                   struct pk_error *err)
{
    if (!find_path(h, o, err))
        return false;
    h->name = h->path;
    h->timeout_ms = o->store_ms ? o->store_ms : timeout_ms;
    if (pk_pq_is(h->path)) {
        h->pq = pk_pq_new(h->path, h->timeout_ms, err);
        h->name = h->pq ? pk_pq_name(h->pq) : "";
        return h->pq != NULL;
    }
    h->sqlite = pkd_sqlite_api(err);
    return h->sqlite != NULL;
}

void pkd_home_free(struct pkd_home *h)
{
    pk_pq_free(h->pq);
    h->pq = NULL;
}

struct pk_store *pkd_home_open(const struct pkd_home *h, int64_t patience_ms, struct pk_error *err)
{
    if (h->pq)
        return pk_store_pq(h->pq, patience_ms, err);
    return pk_store_sqlite(h->sqlite, h->path, err);
}

static struct pk_store *open_file(const void *home, struct pk_error *err)
{
    const struct pkd_home *h = home;

    return pk_store_sqlite(h->sqlite, h->path, err);
}

struct pk_store *pkd_home_open_later(const struct pkd_home *h, int64_t patience_ms,
                                     struct pk_error *err)
{
    const struct pk_opening how = {open_file, h};

    if (h->pq) /* connects when it is used */
        return pk_store_pq(h->pq, patience_ms, err);
    return pk_store_later(&how, err);
}

bool pkd_home_key_path(const struct pkd_home *h, const struct pkd_options *o, char *out,
                       size_t size, struct pk_error *err)
{
    if (!o->master_key)
        return pk_secrets_path(h->pq ? ":memory:" : h->path, out, size, err);
    int len = snprintf(out, size, "%s", o->master_key);
    return (len > 0 && (size_t)len < size) ||
           pk_fail(err, PK_BAD_CONFIG, "--master-key-file: the path is too long");
}

/* The folder of `path`, and those above. */
static bool make_folders(char *path, struct pk_error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made)
            return pk_fail(err, PK_BAD_CONFIG, "--spool: %.150s: %s", path, strerror(errno));
    }
    return true;
}

/* "host:port/database" as one name. */
static void add_name(const struct pkd_home *h, char *out, size_t size)
{
    const char *name = strstr(h->name, "//");
    size_t len = strlen(out);

    (void)snprintf(out + len, size - len, "%s.spool", name ? name + 2 : h->name);
    for (char *c = out + len; *c; c++)
        if (*c == '/')
            *c = '_';
}

/* Leaves the folder of a path, with its slash. */
static void cut_to_folder(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash)
        slash[1] = 0;
    else
        *path = 0;
}

/* A folder that is not there is to be made. Where secrets are mounted nothing may be written. */
static bool may_write(const char *folder)
{
    return access(*folder ? folder : ".", W_OK | X_OK) == 0 || errno == ENOENT;
}

bool pkd_home_spool_path(const struct pkd_home *h, const struct pkd_options *o, char *out,
                         size_t size, struct pk_error *err)
{
    if (o->spool || !h->pq) {
        int len =
            snprintf(out, size, "%s%s", o->spool ? o->spool : h->path, o->spool ? "" : ".spool");
        return (len > 0 && (size_t)len < size) ||
               pk_fail(err, PK_BAD_CONFIG, "--spool: the path is too long");
    }
    if (!pkd_home_key_path(h, o, out, size, err))
        return false;
    cut_to_folder(out);
    if (!may_write(out)) {
        if (!pk_secrets_data_path("", out, size, err))
            return false;
        cut_to_folder(out);
    }
    add_name(h, out, size);
    return make_folders(out, err);
}

struct trial {
    struct pk_store *store;
    struct pk_arena arena;
    struct pk_virtual_key key;
    bool found; /* a sealed one */
    bool failed;
    struct pk_error *err;
};

/* A row of key_list: slug, provider, status. */
static bool find_sealed(void *ctx, const struct pk_value *columns, int count)
{
    struct trial *t = ctx;
    bool found;

    (void)count;
    if (!pk_str_is(columns[2].s, "active"))
        return true;
    t->failed = !pk_store_key_get(t->store, &t->arena, columns[0].s, &t->key, &found, t->err);
    t->found = !t->failed && found && t->key.key.kind == PK_KEY_SEALED;
    return !t->failed && !t->found;
}

bool pkd_home_check_key(struct pk_store *store, const struct pk_secrets *secrets, const char *path,
                        struct pk_error *err)
{
    struct trial t = {.store = store, .err = err};
    struct pk_error unused;
    char plain[PK_SECRET_BYTES_MAX];
    size_t len;

    pk_arena_init(&t.arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = store->ops->exec(store, PK_SQL_key_list, NULL, 0, find_sealed, &t, err) && !t.failed;
    if (ok && t.found && !pk_secret_open(secrets, &t.key.key, t.key.provider, plain, &len, &unused))
        ok = pk_fail(err, PK_BAD_CONFIG, "master key file %.120s: %s%s", path,
                     secrets ? "not the one that sealed the keys of this store" : "missing",
                     store->remote ? "; give --master-key-file the file of the database's server "
                                     "(pk_master.key)"
                                   : "");
    pk_secret_wipe(plain, sizeof plain);
    pk_arena_free(&t.arena);
    return ok;
}
