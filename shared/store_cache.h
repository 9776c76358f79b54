/* store_cache.h - the response cache in the store, and how it stays within bounds.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * How large it is, is a sum that everyone who changes it keeps up; nothing counts entries. What is too much
 * goes a few entries at a time whenever one is added: expired ones first, then those that were used longest
 * ago.
 */
#ifndef PK_STORE_CACHE_H
#define PK_STORE_CACHE_H

#include "store.h"

#define PK_CACHE_BYTES_MAX_DEFAULT ((int64_t)1 << 30)
enum {
    PK_CACHE_ENTRIES_MAX_DEFAULT = 1000000,
    PK_CACHE_ENTRY_BYTES = 256, /* what an entry takes besides its body */
    PK_CACHE_EVICT_MAX = 32,    /* entries that one call of pk_store_cache_trim() deletes */
};

/* "64MB", "1GB" (kB, MB, GB, TB, each 1024 of the one before), or a number of megabytes; 1 or more. */
bool pk_cache_size_parse(pk_str text, int64_t *bytes);

/* An entry that is not older than max_age_s and has not expired. Only reads: the hit is counted with
 * the record that names the entry's key. *entry's strings are in `arena`. */
bool pk_store_cache_get(struct pk_store *s, struct pk_arena *arena,
                        const uint8_t key[PK_CACHE_KEY_BYTES], int64_t now_us, int64_t max_age_s,
                        struct pk_cache_entry *entry, bool *found,
                        struct pk_error *err) PK_MUST_CHECK;
bool pk_store_cache_put(struct pk_store *s, const uint8_t key[PK_CACHE_KEY_BYTES],
                        const struct pk_cache_entry *entry, int64_t now_us, int64_t max_age_s,
                        struct pk_error *err) PK_MUST_CHECK;

/* Deletes a few expired entries, and as many others as are too many by s->cache_max, up to
 * PK_CACHE_EVICT_MAX in all. */
bool pk_store_cache_trim(struct pk_store *s, int64_t now_us, struct pk_error *err) PK_MUST_CHECK;

/* Deletes up to PK_CACHE_EVICT_MAX entries that have expired or were made before `before_us`, in a transaction of
 * its own; *count says how many. */
bool pk_store_cache_sweep(struct pk_store *s, int64_t now_us, int64_t before_us, int64_t *count,
                          struct pk_error *err) PK_MUST_CHECK;

/* Deletes entries that a statement returns the keys and bytes of, at most a thousand, in the caller's transaction;
 * *count says how many. */
bool pk_store_cache_drop(struct pk_store *s, enum pk_stmt stmt, const struct pk_value *args,
                         int arg_count, int64_t *count, struct pk_error *err) PK_MUST_CHECK;

/* Entries and bytes now. */
bool pk_store_cache_size(struct pk_store *s, int64_t *entries, int64_t *bytes,
                         struct pk_error *err);

/* Which entries to purge: those that all of it is true of. Zeroed: the expired ones. */
struct pk_cache_filter {
    bool all;                   /* not only the expired ones */
    pk_str ns, provider, model; /* empty: any; a model may end in '*' */
    int64_t before_us;          /* made before; 0: any */
};

/* {"namespace", "provider", "model", "older_than" (seconds), "all"}, at least one of them; unknown keys are errors. */
bool pk_cache_filter_read(struct pk_arena *arena, pk_str text, int64_t now_us,
                          struct pk_cache_filter *f, struct pk_error *err) PK_MUST_CHECK;

/* *count says how many went. In the caller's transaction when there is one, else a thousand a transaction.
 * Leaves a row in pk_audit. */
bool pk_store_cache_purge(struct pk_store *s, const struct pk_cache_filter *f, int64_t now_us,
                          int64_t *count, struct pk_error *err) PK_MUST_CHECK;

#endif
