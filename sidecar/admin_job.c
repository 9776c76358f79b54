/* admin_job.c - `pkd jobs`: what SQL does with pk_job() and the like, from a shell.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "desk.h"
#include "member.h"
#include "store_job.h"
#include "xfer.h"

#include <stdio.h>

static bool id_of(char **words, uint8_t id[PK_UUID_BYTES], struct pk_error *err)
{
    return pk_job_id_parse(pk_str_of(words[0]), id, err);
}

static bool list(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(d, PK_SQL_job_list, "id state total queued running done failed cancelled",
                         err);
}

static bool running(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    (void)words;
    (void)count;
    return pkd_desk_list(
        d, PK_SQL_running_list,
        "kind actor host pid total done failed in_flight cost_usd{} rate{} eta_s{} id", err);
}

static bool show(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    struct pk_buf out = pk_buf_in(&d->arena, PK_CONFIG_BYTES_MAX);
    uint8_t id[PK_UUID_BYTES];
    bool found = false;

    (void)count;
    if (!id_of(words, id, err) || !pk_store_job_status(d->store, id, PK_NONE, &out, &found, err))
        return false;
    if (!found)
        return pk_fail(err, PK_NOT_FOUND, "%s: there is no such job", words[0]);
    (void)printf("%.*s\n", PK_FMT(pk_buf_str(&out)));
    return true;
}

static bool cancel(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    uint8_t id[PK_UUID_BYTES];
    bool cancelled = false;

    (void)count;
    pkd_desk_tell(d, "id", words[0], NULL);
    if (!id_of(words, id, err) ||
        !pk_store_job_cancel(d->store, id, PK_NONE, pk_clock_us(), &cancelled, err))
        return false;
    pk_member_bool(&d->told, "cancelled", cancelled);
    return true;
}

static bool retry(struct pkd_desk *d, char **words, int count, struct pk_error *err)
{
    uint8_t id[PK_UUID_BYTES];
    int64_t items = 0;

    (void)count;
    pkd_desk_tell(d, "id", words[0], NULL);
    if (!id_of(words, id, err) ||
        !pk_store_job_retry(d->store, id, PK_NONE, pk_clock_us(), &items, err))
        return false;
    pk_member_int(&d->told, "retried", items);
    if (!d->options->json)
        (void)printf("%lld\n", (long long)items);
    return true;
}

/* clang-format off */
const struct pkd_verb pkd_job_verbs[] = {
    {"list",   "",   0, 0, list,   "id, state and counts of the newest", "pkd jobs list --json"},
    {"running", "", 0, 0, running, "how far the jobs and batches are that are under way, as pk_running has it", "pkd jobs running --json"},
    {"show",   "ID", 1, 1, show,   "print what has become of one, as JSON", "pkd jobs show 0199f3f2-7c5e-7b1c-9a52-0f6f5d1c2b3a"},
    {"cancel", "ID", 1, 1, cancel, "ask for no further item of it", "pkd jobs cancel 0199f3f2-7c5e-7b1c-9a52-0f6f5d1c2b3a"},
    {"retry",  "ID", 1, 1, retry,  "ask again for its items that failed, and print how many there are", "pkd jobs retry 0199f3f2-7c5e-7b1c-9a52-0f6f5d1c2b3a"},
    {NULL, NULL, 0, 0, NULL, NULL, NULL},
};
/* clang-format on */
