/* spool.c - the spool of a database, for entries that found no way through the ring.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * $PGDATA/pk_spool/<database oid> (shared/spool.h) takes what is larger than the ring takes, what came while it was
 * full and nobody drained it, and what was still queued when the last backend left. The worker applies it, piece
 * by piece. It is not synced: a crash of the operating system may lose the last entries.
 *
 * Nothing here throws, since it runs while errors are handled and at exit, but pk_backlog_read(), which
 * allocates.
 */
#include "pk_pg.h"

#include "spool.h"

#include "common/file_perm.h"
#include "storage/fd.h"
#include "utils/memutils.h"

#define FOLDER "pk_spool"

static const int64_t backlog_bytes_max = (int64_t)256 << 20;

static struct pk_spool_reader *reader; /* the worker's */

static struct pk_spool spool_of(Oid database)
{
    struct pk_spool s = {.synced = false};
    char path[64];

    (void)snprintf(path, sizeof path, FOLDER "/%u", database);
    (void)pk_spool_init(&s, path, backlog_bytes_max);
    return s;
}

bool pk_backlog_put(Oid database, pk_str entry)
{
    struct pk_spool s = spool_of(database);

    return (MakePGDirectory(FOLDER) == 0 || errno == EEXIST) && pk_spool_put(&s, &entry, 1);
}

bool pk_backlog_park(Oid database, pk_str entry)
{
    struct pk_spool s = spool_of(database);

    return pk_spool_park(&s, entry);
}

bool pk_backlog_exists(Oid database)
{
    struct pk_spool s = spool_of(database);

    return pk_spool_bytes(&s) > 0;
}

static void tell_damage(void)
{
    if (pk_spool_damaged(reader) > 0)
        ereport(LOG, (errmsg("pk: %lld bytes at the end of a spool file are damaged",
                             (long long)pk_spool_damaged(reader))));
}

bool pk_backlog_read(Oid database, size_t max, char **bytes, size_t *len)
{
    struct pk_spool s = spool_of(database);
    StringInfoData piece;
    pk_str entry;

    if (!reader)
        reader = pk_spool_open(&s);
    if (!reader)
        return false;
    initStringInfo(&piece);
    while ((size_t)piece.len < max && pk_spool_next(reader, &entry)) {
        uint32 size = (uint32)entry.len;

        appendBinaryStringInfo(&piece, (const char *)&size, sizeof size);
        appendBinaryStringInfo(&piece, entry.at, (int)entry.len);
    }
    *bytes = piece.data;
    *len = (size_t)piece.len;
    return true;
}

void pk_backlog_done(bool all)
{
    if (all)
        tell_damage();
    pk_spool_close(reader, all);
    reader = NULL;
}
