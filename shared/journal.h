/* journal.h - writes that travel: from whoever makes a call to the one who may write.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * pkd's loops hand their writes to a writer thread, a Postgres backend to a worker process. Both
 * hand over bytes: one self-contained entry a write. Applying an entry twice is harmless.
 */
#ifndef PK_JOURNAL_H
#define PK_JOURNAL_H

#include "progress.h"
#include "store.h"

void pk_journal_record(struct pk_buf *out, struct pk_record *r);
/* The same, when what follows its front (record.h) is known. */
void pk_journal_repeat(struct pk_buf *out, struct pk_record *r, pk_str rest);
void pk_journal_cache(struct pk_buf *out, const uint8_t key[PK_CACHE_KEY_BYTES],
                      const struct pk_cache_entry *entry, int64_t now_us, int64_t max_age_s);
/* After the entry under the same key. */
void pk_journal_vector(struct pk_buf *out, const uint8_t key[PK_CACHE_KEY_BYTES],
                       const struct pk_cache_vector *vector);
void pk_journal_feedback(struct pk_buf *out, const struct pk_feedback *f);
/* One that is lost does no harm: the next is soon, and a row that is not renewed is not shown. */
void pk_journal_progress(struct pk_buf *out, const struct pk_progress_row *r);

/* Writes one entry to the store. The caller may open a transaction around many; those of a group (store_group.h) stay
 * where they are until it ends. */
bool pk_journal_apply(struct pk_store *s, pk_str entry, struct pk_error *err) PK_MUST_CHECK;

#endif
