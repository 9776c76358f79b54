/* admin_data.c - `pkd cache` and `pkd feedback`: what SQL does with pk_cache_purge() and pk_feedback(), from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "member.h"
#include "store_cache.h"
#include "xfer.h"

#include <stdio.h>
#include <stdlib.h>

/* --- cache --------------------------------------------------------------------------------- */

static bool purge(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_cache_filter filter = {0};
    int64_t gone = 0;

    if (count && !pk_cache_filter_read(&d->arena, pk_str_of(words[0]), pk_clock_us(), &filter, err))
        return false;
    if (!pk_store_cache_purge(d->store, &filter, pk_clock_us(), &gone, err))
        return false;
    pk_member_int(&d->told, "purged", gone);
    if (!d->options->json)
        (void)printf("%lld\n", (long long)gone);
    return true;
}

static bool size(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    int64_t entries, bytes;

    (void)words;
    (void)count;
    if (!pk_store_cache_size(d->store, &entries, &bytes, err))
        return false;
    pk_member_int(&d->told, "entries", entries);
    pk_member_int(&d->told, "bytes", bytes);
    if (!d->options->json)
        (void)printf("%lld\t%lld\n", (long long)entries, (long long)bytes);
    return true;
}

/* --- feedback ------------------------------------------------------------------------------ */

static bool put(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_feedback f = {.at_us = pk_clock_us(), .trace_id = pk_str_of(words[0]), .weight = 1};
    char id[PK_UUID_TEXT + 1], *end = NULL;
    uint64_t random;

    pk_secret_random(&random, sizeof random);
    pk_uuid7(f.at_us, random, f.id);
    if (!pk_str_int(pk_str_of(words[1]), &f.value))
        return pk_fail(err, PK_BAD_REQUEST, "value: must be an integer from -10 to 10");
    if (count > 2)
        f.weight = strtod(words[2], &end);
    if (end && (end == words[2] || *end))
        return pk_fail(err, PK_BAD_REQUEST, "weight: must be a number from 0 to 1");
    if (count > 3)
        f.metadata = pk_str_of(words[3]);
    if (!pk_feedback_check(&d->arena, &f, err) || !pk_store_feedback_add(d->store, &f, err))
        return false;
    pk_uuid_print(f.id, id);
    pkd_desk_tell(d, "id", id, NULL);
    if (!d->options->json)
        (void)printf("%s\n", id);
    return true;
}

/* clang-format off */
const struct pkd_verb pkd_cache_verbs[] = {
    {"purge", "[JSON-FILTER]", 0, 1, purge, "delete the answers that have expired, or those that the filter says: namespace, provider, model, older_than (seconds), all",
     "pkd cache purge '{\"namespace\": \"tenant-7\", \"older_than\": 3600}'"},
    {"size",  "",              0, 0, size,  "how many answers it holds, and their bytes", "pkd cache size --json"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};

const struct pkd_verb pkd_feedback_verbs[] = {
    {"put", "TRACE VALUE [WEIGHT [JSON-METADATA]]", 2, 4, put, "say what a call was worth: -10 to 10, with a weight of 0 to 1",
     "pkd feedback put session-17 -3 0.5 '{\"why\": \"made up\"}'"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
