/* admin.c - `pkd key` and `pkd config`: what SQL does with pk_key_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A secret comes from stdin, never from an argument, which other users could see.
 */
#include "desk.h"
#include "xfer.h"

#include <stdio.h>

/* The secret of stdin, and the master key to seal it. */
static struct pk_secrets *take_secret(struct pkd_desk *d, pk_str *secret, struct pk_error *err)
{
    char path[PKD_PATH_BYTES_MAX];

    if (!pkd_desk_stdin(d, secret, err) ||
        !pkd_master_key_path(d->options, d->store_path, path, sizeof path, err))
        return NULL;
    return pk_secrets_open(path, true, err);
}

static bool key_put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str secret = PK_NONE, options = count > 2 ? pk_str_of(words[2]) : PK_NONE;
    struct pk_secrets *secrets = take_secret(d, &secret, err);

    if (!secrets)
        return false;
    bool put = pk_store_key_put(d->store, &d->arena, secrets, pk_str_of(words[0]),
                                pk_str_of(words[1]), secret, options, pk_clock_us(), err);
    pk_secrets_free(secrets);
    return put;
}

static bool key_rotate(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str secret = PK_NONE;
    struct pk_secrets *secrets = take_secret(d, &secret, err);

    (void)count;
    if (!secrets)
        return false;
    bool put = pk_store_key_rotate(d->store, &d->arena, secrets, pk_str_of(words[0]), secret,
                                   pk_clock_us(), err);
    pk_secrets_free(secrets);
    return put;
}

static bool key_revoke(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_key_revoke(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such virtual key in force", words[0]));
}

static bool key_list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_key_list, "slug provider status", err);
}

static bool config_put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str body = PK_NONE;
    int64_t version = 0;

    (void)count;
    if (!pkd_desk_stdin(d, &body, err) ||
        !pk_store_config_put(d->store, &d->arena, pk_str_of(words[0]), body, pk_clock_us(),
                             &version, err))
        return false;
    (void)printf("%s@%lld\n", words[0], (long long)version);
    return true;
}

static bool config_get(struct pkd_desk *d, char **words, int count, struct pk_error *err)
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

static bool config_list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_config_list, "slug version", err);
}

static bool config_delete(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_config_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such config", words[0]));
}

static const struct pkd_verb key_verbs[] = {
    {"put", "SLUG PROVIDER [JSON-OPTIONS] < SECRET", 2, 3, key_put},
    {"rotate", "SLUG < SECRET", 1, 1, key_rotate},
    {"list", "", 0, 0, key_list},
    {"revoke", "SLUG", 1, 1, key_revoke},
    {NULL, NULL, 0, 0, NULL},
};

static const struct pkd_verb config_verbs[] = {
    {"put", "SLUG < JSON", 1, 1, config_put},
    {"get", "SLUG", 1, 1, config_get},
    {"list", "", 0, 0, config_list},
    {"delete", "SLUG", 1, 1, config_delete},
    {NULL, NULL, 0, 0, NULL},
};

int pkd_key(const struct pkd_options *o)
{
    return pkd_desk_run(o, "key", key_verbs);
}

int pkd_config(const struct pkd_options *o)
{
    return pkd_desk_run(o, "config", config_verbs);
}
