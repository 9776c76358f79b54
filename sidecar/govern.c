/* govern.c - `pkd apikey` and `pkd limit`: what SQL does with pk_api_key_create() and the like, from a
 * shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "member.h"
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
    pk_member_text(&d->told, "name", pk_str_of(words[0]));
    pk_member_text(&d->told, "key", key);
    if (!d->options->json)
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
    pkd_desk_tell(d, "name", words[0], "revoked");
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
    pkd_desk_tell(d, "slug", words[0], NULL);
    return pkd_desk_stdin(d, &terms, err) &&
           pk_store_limit_put(d->store, &d->arena, pk_str_of(words[0]), terms, pk_clock_us(), err);
}

static bool limit_delete(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    pkd_desk_tell(d, "slug", words[0], "deleted");
    return pk_store_limit_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such limit", words[0]));
}

static bool limit_list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_limit_list, "slug applies_to value counts per amount", err);
}

/* clang-format off */
const struct pkd_verb pkd_apikey_verbs[] = {
    {"create", "NAME [JSON-OPTIONS]", 1, 2, apikey_create, "make a key and print it: it can never be asked for again", "pkd apikey create shop '{\"scopes\": [\"call\"]}'"},
    {"list",   "",                    0, 0, apikey_list,   "name, status, scopes and the first letters of each", "pkd apikey list"},
    {"rotate", "NAME [JSON-OPTIONS]", 1, 2, apikey_rotate, "make another key under the name and print it", "pkd apikey rotate shop '{\"key_transition_period_ms\": 86400000}'"},
    {"revoke", "NAME",                1, 1, apikey_revoke, "let nobody in with it any more", "pkd apikey revoke shop"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct pkd_verb pkd_limit_verbs[] = {
    {"put",    "SLUG < JSON", 1, 1, limit_put,    "set a budget or a rate limit", "echo '{\"user\": \"*\", \"counts\": \"cost\", \"amount\": 5, \"per\": \"day\"}' | pkd limit put five-a-day"},
    {"list",   "",            0, 0, limit_list,   "what each applies to, counts and allows", "pkd limit list --json"},
    {"delete", "SLUG",        1, 1, limit_delete, "delete it, and what it has counted", "pkd limit delete five-a-day"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
