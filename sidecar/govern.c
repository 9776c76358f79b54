/* govern.c - `pkd apikey` and `pkd limit`: what SQL does with pk_api_key_create() and the like, from a
 * shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "store_apikey.h"
#include "store_limit.h"
#include "xfer.h"

#include <stdio.h>

/* --- API keys ------------------------------------------------------------------------------ */

typedef bool key_verb(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                      int64_t now_us, pk_str *key, struct pk_error *err);

/* Prints the key: it can never be asked for again. */
static bool give_key(struct pkd_desk *d, char **words, int count, key_verb *verb,
                     struct pk_error *err)
{
    pk_str options = count > 1 ? pk_str_of(words[1]) : PK_NONE, key = PK_NONE;

    if (!verb(d->store, &d->arena, pk_str_of(words[0]), options, pk_clock_us(), &key, err))
        return false;
    (void)printf("%.*s\n", PK_FMT(key));
    return true;
}

static bool apikey_create(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    return give_key(d, words, count, pk_store_api_key_create, err);
}

static bool apikey_rotate(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    return give_key(d, words, count, pk_store_api_key_rotate, err);
}

static bool apikey_revoke(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_api_key_revoke(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such API key in force", words[0]));
}

static bool apikey_list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_api_key_list, "name status scopes hint", err);
}

/* --- limits -------------------------------------------------------------------------------- */

static bool limit_put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str terms = PK_NONE;

    (void)count;
    return pkd_desk_stdin(d, &terms, err) &&
           pk_store_limit_put(d->store, &d->arena, pk_str_of(words[0]), terms, pk_clock_us(), err);
}

static bool limit_delete(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    return pk_store_limit_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such limit", words[0]));
}

static bool limit_list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_limit_list, "slug applies_to value counts per amount", err);
}

static const struct pkd_verb apikey_verbs[] = {
    {"create", "NAME [JSON-OPTIONS]", 1, 2, apikey_create},
    {"list", "", 0, 0, apikey_list},
    {"rotate", "NAME [JSON-OPTIONS]", 1, 2, apikey_rotate},
    {"revoke", "NAME", 1, 1, apikey_revoke},
    {NULL, NULL, 0, 0, NULL},
};

static const struct pkd_verb limit_verbs[] = {
    {"put", "SLUG < JSON", 1, 1, limit_put},
    {"list", "", 0, 0, limit_list},
    {"delete", "SLUG", 1, 1, limit_delete},
    {NULL, NULL, 0, 0, NULL},
};

int pkd_apikey(const struct pkd_options *o)
{
    return pkd_desk_run(o, "apikey", apikey_verbs);
}

int pkd_limit(const struct pkd_options *o)
{
    return pkd_desk_run(o, "limit", limit_verbs);
}
