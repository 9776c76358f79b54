/* admin.c - `pkd key` and `pkd config`: what SQL does with pk_key_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A secret comes from stdin, never from an argument, which other users could see.
 */
#include "desk.h"
#include "member.h"
#include "store_key_seal.h"
#include "store_users.h"
#include "xfer.h"

#include <stdio.h>

/* The secret of stdin, and the master key to seal it. */
static struct pk_secrets *take_secret(struct pkd_desk *d, pk_str *secret, struct pk_error *err)
{
    char path[PKD_PATH_BYTES_MAX];

    if (!pkd_desk_stdin(d, secret, err) ||
        !pkd_home_key_path(&d->home, d->options, path, sizeof path, err))
        return NULL;
    return pk_secrets_open(path, !d->home.pq, err); /* a database's is made by its server */
}

static bool key_put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str secret = PK_NONE, options = count > 2 ? pk_str_of(words[2]) : PK_NONE;
    struct pk_secrets *secrets = take_secret(d, &secret, err);

    if (!secrets)
        return false;
    pkd_desk_tell(d, "slug", words[0], NULL);
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
    pkd_desk_tell(d, "slug", words[0], "rotated");
    bool put = pk_store_key_rotate(d->store, &d->arena, secrets, pk_str_of(words[0]), secret,
                                   pk_clock_us(), err);
    pk_secrets_free(secrets);
    return put;
}

static bool key_revoke(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str slug = pk_str_of(words[0]);
    struct pk_users users;
    bool existed = false;

    (void)count;
    if (!pk_store_users(d->store, &d->arena, PK_USED_VIRTUAL_KEY, slug, &users, err) ||
        !pk_store_key_revoke(d->store, slug, pk_clock_us(), &existed, err))
        return false;
    if (!existed)
        return pk_fail(err, PK_NOT_FOUND, "%s: no such virtual key in force", words[0]);
    pkd_desk_tell(d, "slug", words[0], "revoked");
    pk_users_print(&d->told, &users);
    if (users.count)
        (void)fprintf(stderr, "pkd: %s\n",
                      pk_users_told(&d->arena, PK_USED_VIRTUAL_KEY, slug, &users));
    return true;
}

/* What is sealed under the master key is sealed under that of another file, which is made when it is not there. */
static bool key_reseal(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_resealing r = {.at_us = pk_clock_us()};
    struct pk_secrets *from, *to = NULL;
    char path[PKD_PATH_BYTES_MAX];

    (void)count;
    if (!pkd_home_key_path(&d->home, d->options, path, sizeof path, err))
        return false;
    from = pk_secrets_open(path, false, err);
    if (from)
        to = pk_secrets_open(words[0], true, err);
    r.from = from;
    r.to = to;
    bool ok = from && to && pk_store_key_reseal(d->store, &d->arena, &r, err);
    pk_secrets_free(from);
    pk_secrets_free(to);
    if (!ok)
        return false;
    pkd_desk_tell(d, "file", words[0], NULL);
    pk_member_int(&d->told, "keys", r.count);
    if (!d->options->json)
        (void)printf("%lld keys are sealed under %s: put it in the place of %s, and restart who "
                     "has the store open\n",
                     (long long)r.count, words[0], path);
    return true;
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
    pkd_desk_tell_version(d, words[0], version);
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
    pkd_desk_tell(d, "slug", words[0], "deleted");
    return pk_store_config_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such config", words[0]));
}

/* clang-format off */
const struct pkd_verb pkd_key_verbs[] = {
    {"put",    "SLUG PROVIDER [JSON-OPTIONS] < SECRET", 2, 3, key_put,    "store a provider's key under a name; the secret comes from standard input, or is env:NAME or file:PATH",
     "pkd key put openai openai '{\"rate_limits\": [{\"type\": \"requests\", \"unit\": \"rpm\", \"value\": 600}]}' < key.txt"},
    {"rotate", "SLUG < SECRET",                         1, 1, key_rotate, "replace the secret, and nothing else", "pkd key rotate openai < new-key.txt"},
    {"list",   "",                                      0, 0, key_list,   "slug, provider and status of each", "pkd key list --json"},
    {"reseal", "NEW-FILE",                              1, 1, key_reseal, "seal all keys under another master key, that of NEW-FILE, which is made when it is not there", "pkd key reseal new.key && mv new.key master.key"},
    {"revoke", "SLUG",                                  1, 1, key_revoke, "use it no more; its secret is erased", "pkd key revoke openai"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct pkd_verb pkd_config_verbs[] = {
    {"put",    "SLUG < JSON", 1, 1, config_put,    "store a config, as the next version of the slug", "pkd config put support < support.json"},
    {"get",    "SLUG",        1, 1, config_get,    "print the newest version", "pkd config get support"},
    {"list",   "",            0, 0, config_list,   "slug and version of each", "pkd config list"},
    {"delete", "SLUG",        1, 1, config_delete, "delete it", "pkd config delete support"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
