/* store_erase.h - one person's calls go out of the store, a few at a time.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Whoever is asked to forget somebody calls pk_store_erase() until it is over. Each step is one short transaction, or
 * only reads. Rows are looked for in the order of their ids, some thousand at a time; of those that were found, texts
 * that other calls refer to as well stay, which takes a look at the whole log. The row of a call goes together
 * with all that is its own, so that an erasure that was cut short is finished by making it again.
 *
 * What goes: rows and steps of the log; requests and answers that no other call has, out of packs too; feedback on
 * traces of which no call is left, or with metadata that the filter matches; answers that were put into the cache
 * while the calls ran; columns of their hours; jobs whose calls were all so; what was counted of the person's limits. A
 * call that somebody else makes meanwhile with the very same text may lose the text.
 */
#ifndef PK_STORE_ERASE_H
#define PK_STORE_ERASE_H

#include "store.h"

enum {
    PK_ERASE_LOOK_ROWS = 4096,   /* that a step looks at */
    PK_ERASE_FOUND_MAX = 32768,  /* calls whose texts are looked for at once */
    PK_ERASE_FILTER_BYTES = 4096 /* as it is spelled */
};

/* Whose calls: those that all of it is true of. */
struct pk_erase_filter {
    pk_str trace_id, user_id, api_key; /* empty: any */
    pk_str metadata; /* a JSON object, some of whose members each has; empty: any */
};

/* {"metadata": {"_user": "alice"}, "user", "trace_id", "api_key"}, at least one of them; unknown keys are errors that
 * name them. */
bool pk_erase_filter_read(struct pk_arena *arena, pk_str text, struct pk_erase_filter *f,
                          struct pk_error *err) PK_MUST_CHECK;

/* What went, or would go. */
struct pk_erased {
    int64_t logs, spans, payloads, cache, feedback, jobs, limits;
    int64_t open_jobs; /* that wait or run, and stay */
    int64_t looked_at; /* rows of the log so far: for progress */
};

/* The filter's strings must outlive it. `dry`: everything is undone again, and counted. */
struct pk_erasure;
struct pk_erasure *pk_erasure_new(const struct pk_erase_filter *f, bool dry, int64_t now_us,
                                  struct pk_error *err) PK_MUST_CHECK;
void pk_erasure_free(struct pk_erasure *e); /* NULL is fine */

/* One step; *over when there is nothing left to do. The last leaves a row in pk_audit, which names the members of the
 * filter and not whom they are about, unless the erasure was dry. */
bool pk_store_erase(struct pk_store *s, struct pk_erasure *e, bool *over,
                    struct pk_error *err) PK_MUST_CHECK;
/* How long the step took, for the size of the next. */
void pk_erasure_took(struct pk_erasure *e, int64_t us);
const struct pk_erased *pk_erasure_counts(const struct pk_erasure *e);

/* {"logs":1,...} */
void pk_erased_print(const struct pk_erasure *e, struct pk_buf *out);

#endif
