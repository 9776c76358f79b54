/* admin.c - `pkd key` and `pkd config`: what SQL does with pk_key_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A secret comes from stdin, never from an argument, which other users could see.
 */
#include "command.h"
#include "sqlite.h"
#include "xfer.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 4096, STDIN_BYTES_MAX = PK_CONFIG_BYTES_MAX };

struct desk {
    const struct pkd_options *options;
    struct pk_arena arena;
    struct pk_store *store;
    char store_path[PATH_BYTES_MAX];
};

struct verb {
    const char *name, *words;
    int words_min, words_max; /* behind the verb */
    bool (*run)(struct desk *d, char **words, int count, struct pk_error *err);
};

/* All of stdin, without the final line break. */
static bool read_stdin(struct desk *d, pk_str *out, struct pk_error *err)
{
    struct pk_buf b = pk_buf_in(&d->arena, STDIN_BYTES_MAX);
    ssize_t got = 1;

    while (got > 0) {
        char *room = pk_buf_room(&b, 4096);

        if (!room)
            return pk_fail(err, PK_TOO_LARGE, "stdin: more than %d bytes", STDIN_BYTES_MAX);
        got = read(STDIN_FILENO, room, 4096);
        b.len += got > 0 ? (size_t)got : 0;
    }
    *out = pk_str_trim(pk_buf_str(&b));
    return out->len || pk_fail(err, PK_BAD_REQUEST, "stdin: nothing there");
}

static bool key_put(struct desk *d, char **words, int count, struct pk_error *err)
{
    char path[PATH_BYTES_MAX];
    pk_str secret = PK_NONE, options = count > 2 ? pk_str_of(words[2]) : PK_NONE;

    if (!read_stdin(d, &secret, err) ||
        !pkd_master_key_path(d->options, d->store_path, path, sizeof path, err))
        return false;
    struct pk_secrets *secrets = pk_secrets_open(path, true, err);
    if (!secrets)
        return false;
    bool put = pk_store_key_put(d->store, &d->arena, secrets, pk_str_of(words[0]),
                                pk_str_of(words[1]), secret, options, pk_clock_us(), err);
    pk_secrets_free(secrets);
    return put;
}

static bool key_revoke(struct desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_key_revoke(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such virtual key in force", words[0]));
}

static bool print_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)ctx;
    for (int i = 0; i < count; i++)
        (void)printf("%s%.*s", i ? "\t" : "", PK_FMT(columns[i].s));
    (void)printf("\n");
    return true;
}

static bool key_list(struct desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return d->store->ops->exec(d->store, PK_SQL_key_list, NULL, 0, print_row, NULL, err);
}

static bool config_put(struct desk *d, char **words, int count, struct pk_error *err)
{
    pk_str body = PK_NONE;
    int64_t version = 0;

    (void)count;
    if (!read_stdin(d, &body, err) || !pk_store_config_put(d->store, &d->arena, pk_str_of(words[0]),
                                                           body, pk_clock_us(), &version, err))
        return false;
    (void)printf("%s@%lld\n", words[0], (long long)version);
    return true;
}

static bool config_get(struct desk *d, char **words, int count, struct pk_error *err)
{
    pk_str body = PK_NONE;
    int64_t version;

    (void)count;
    if (!pk_store_config_get(d->store, &d->arena, pk_str_of(words[0]), &body, &version, err))
        return false;
    if (body.len == 0)
        return pk_fail(err, PK_NOT_FOUND, "%s: no such config", words[0]);
    (void)printf("%.*s\n", PK_FMT(body));
    return true;
}

static bool config_list(struct desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return d->store->ops->exec(d->store, PK_SQL_config_list, NULL, 0, print_row, NULL, err);
}

static bool config_delete(struct desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_config_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such config", words[0]));
}

static const struct verb key_verbs[] = {
    {"put", "SLUG PROVIDER [JSON-OPTIONS] < SECRET", 2, 3, key_put},
    {"list", "", 0, 0, key_list},
    {"revoke", "SLUG", 1, 1, key_revoke},
    {NULL, NULL, 0, 0, NULL},
};

static const struct verb config_verbs[] = {
    {"put", "SLUG < JSON", 1, 1, config_put},
    {"get", "SLUG", 1, 1, config_get},
    {"list", "", 0, 0, config_list},
    {"delete", "SLUG", 1, 1, config_delete},
    {NULL, NULL, 0, 0, NULL},
};

static bool open_desk(struct desk *d, struct pk_error *err)
{
    const struct sqlite3_api_routines *api = pkd_sqlite_api(err);

    if (!api || !pkd_store_path(d->options, d->store_path, sizeof d->store_path, err))
        return false;
    d->store = pk_store_sqlite(api, d->store_path, err);
    return d->store != NULL;
}

static const struct verb *find_verb(const struct verb *v, const struct pkd_options *o)
{
    int count = o->word_count - 1;

    for (; v->name && count >= 0; v++)
        if (strcmp(v->name, o->words[0]) == 0 && count >= v->words_min && count <= v->words_max)
            return v;
    return NULL;
}

static int run(const struct pkd_options *o, const char *noun, const struct verb *verbs)
{
    const struct verb *v = find_verb(verbs, o);
    struct desk d = {.options = o};
    struct pk_error err = {0};

    if (!v) {
        for (v = verbs; v->name; v++)
            (void)fprintf(stderr, "usage: pkd %s %s %s\n", noun, v->name, v->words);
        return 2;
    }
    pk_arena_init(&d.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    bool done = open_desk(&d, &err) && v->run(&d, o->words + 1, o->word_count - 1, &err);
    if (!done)
        (void)fprintf(stderr, "pkd %s %s: %s\n", noun, v->name, err.msg);
    pk_store_close(d.store);
    pk_arena_free(&d.arena);
    return done ? 0 : 1;
}

int pkd_key(const struct pkd_options *o)
{
    return run(o, "key", key_verbs);
}

int pkd_config(const struct pkd_options *o)
{
    return run(o, "config", config_verbs);
}
