/* admin_provider.c - `pkd provider`: what SQL does with pk_provider_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "store_provider.h"
#include "xfer.h"

#include <stdio.h>

static bool put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str options;

    (void)count;
    pkd_desk_tell(d, "name", words[0], NULL);
    return pkd_desk_stdin(d, &options, err) &&
           pk_store_provider_put(d->store, &d->arena, pk_str_of(words[0]), options, pk_clock_us(),
                                 err);
}

static bool get(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(&d->arena, PK_CONFIG_BYTES_MAX);
    const struct pk_provider *p;

    (void)count;
    if (!pk_store_provider_find(d->store, &d->arena, pk_str_of(words[0]), &p, err))
        return false;
    if (!p)
        return pk_fail(err, PK_NOT_FOUND, "%s: no such provider", words[0]);
    pk_provider_print(&out, p);
    (void)printf("%.*s\n", PK_FMT(pk_buf_str(&out)));
    return !out.failed || pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
}

/* Those that were put; docs/providers.md has pk's own. */
static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_provider_list, "name options{}", err);
}

static bool delete_it(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    pkd_desk_tell(d, "name", words[0], "deleted");
    return pk_store_provider_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such provider", words[0]));
}

/* clang-format off */
const struct pkd_verb pkd_provider_verbs[] = {
    {"put",    "NAME < JSON", 1, 1, put,       "add a provider, or replace what was said about it", "echo '{\"base_url\": \"https://llm.example.com/v1\"}' | pkd provider put ours"},
    {"get",    "NAME",        1, 1, get,       "print a provider, pk's own too", "pkd provider get openai"},
    {"list",   "",            0, 0, list,      "those that were added", "pkd provider list"},
    {"delete", "NAME",        1, 1, delete_it, "delete one that was added", "pkd provider delete ours"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
