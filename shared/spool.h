/* spool.h - a file for journal entries that cannot go to their store now.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Any process appends, under a lock; one that reaches the store takes the file, applies it in order and deletes it.
 * When it dies in between another applies it again, which is harmless (journal.h). PATH has what waits, PATH.taken what
 * is being applied, PATH.bad what the store will never take, for people to look at. All have mode 0600.
 *
 * An entry is in a frame: a magic number, its length, its checksum, its bytes. What a crash left incomplete is
 * skipped. Nothing here waits for long, allocates where an entry is put, or throws.
 */
#ifndef PK_SPOOL_H
#define PK_SPOOL_H

#include "base.h"

enum {
    PK_SPOOL_PATH_BYTES = 1100,
    PK_SPOOL_WAIT_MS = 100, /* at most, for others that append */
};

struct pk_spool {
    char path[PK_SPOOL_PATH_BYTES]; /* empty: there is none */
    int64_t bytes_max;              /* of what waits and is being applied */
    bool synced;                    /* what was put is on disk */
};

/* False when the path is too long; then there is none. */
bool pk_spool_init(struct pk_spool *s, const char *path, int64_t bytes_max);

/* Appends them, or none: false when there is no spool, no room, or it cannot be written. */
bool pk_spool_put(const struct pk_spool *s, const pk_str *entries, int count);
/* Appends it to PATH.bad, which has the same limit. */
bool pk_spool_park(const struct pk_spool *s, pk_str entry);
/* Of what waits and is being applied. */
int64_t pk_spool_bytes(const struct pk_spool *s);

/* Takes what waits, or goes on with what was taken; NULL: there is nothing, or another process does it. */
struct pk_spool_reader;
struct pk_spool_reader *pk_spool_open(const struct pk_spool *s);
/* The next entry, borrowed until the next call; false at the end. */
bool pk_spool_next(struct pk_spool_reader *r, pk_str *entry);
/* Bytes at the end that are no entry; known at the end. */
int64_t pk_spool_damaged(const struct pk_spool_reader *r);
/* `done`: everything was applied, and is deleted; a file with damaged bytes becomes PATH.bad if there is none. */
void pk_spool_close(struct pk_spool_reader *r, bool done);

#endif
