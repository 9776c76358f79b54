/* admin_guard.c - `pkd guardrail`: what SQL does with pk_guardrail_put() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "store_guard.h"
#include "xfer.h"

#include <stdio.h>

static bool put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_guardrail_draft draft = {.slug = pk_str_of(words[0]), .at_us = pk_clock_us()};
    int64_t version;

    (void)count;
    if (!pkd_desk_stdin(d, &draft.body, err) ||
        !pk_store_guardrail_put(d->store, &d->arena, &draft, &version, err))
        return false;
    pkd_desk_tell_version(d, words[0], version);
    return true;
}

static bool get(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    pk_str body;

    (void)count;
    if (!pk_store_guardrail_get(d->store, &d->arena, pk_str_of(words[0]), &body, err))
        return false;
    if (body.len == 0)
        return pk_fail(err, PK_NOT_FOUND, "%s: no such guardrail", words[0]);
    (void)printf("%.*s\n", PK_FMT(body));
    return true;
}

static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_guardrail_list, "slug version", err);
}

static bool delete_it(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    bool existed = false;

    (void)count;
    pkd_desk_tell(d, "slug", words[0], "deleted");
    return pk_store_guardrail_delete(d->store, pk_str_of(words[0]), pk_clock_us(), &existed, err) &&
           (existed || pk_fail(err, PK_NOT_FOUND, "%s: no such guardrail", words[0]));
}

/* clang-format off */
const struct pkd_verb pkd_guardrail_verbs[] = {
    {"put",    "SLUG < JSON", 1, 1, put,       "store a guardrail, as the next version of the slug", "echo '{\"checks\": [{\"id\": \"portkey.pii\"}]}' | pkd guardrail put no-pii"},
    {"get",    "SLUG",        1, 1, get,       "print the newest version", "pkd guardrail get no-pii"},
    {"list",   "",            0, 0, list,      "slug and version of each", "pkd guardrail list"},
    {"delete", "SLUG",        1, 1, delete_it, "delete it", "pkd guardrail delete no-pii"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
