/* dialect_read.h - what the dialects share when they read answers and events.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_READ_H
#define PK_DIALECT_READ_H

#include "dialect_parts.h"
#include "stream.h"

/* One answer or event on its way to deltas. */
struct pk_reader {
    struct pk_stream *s;
    const struct pk_json *doc;
    pk_delta_fn *emit;
    int choice; /* its index */
};

/* Emits a delta of the reader's choice. */
void pk_read_emit(const struct pk_reader *r, enum pk_delta_kind kind, pk_str text);
/* The same for a member that is a string; nothing when it is empty or none. */
void pk_read_emit_string(const struct pk_reader *r, enum pk_delta_kind kind, int object,
                         const char *name);
/* Emits a member of the choice that stands beside OpenAI's own; nothing when `json` is empty. */
void pk_read_emit_member(const struct pk_reader *r, pk_str name, pk_str json);
/* Emits the error that an event is; false when it is none. `told`: its name says so. */
bool pk_read_emit_error(const struct pk_reader *r, bool told);

/* The content of a string, valid until the next event. */
pk_str pk_read_string(const struct pk_reader *r, int object, const char *name);

/* A provider's word and the one that it is here. */
struct pk_word {
    const char *from, *to;
};

/* What `word` is here; itself when the list does not have it. */
pk_str pk_read_word(const struct pk_word *words, size_t count, pk_str word);

/* Whether a value is not there, null, or of that type. */
bool pk_read_absent_or(const struct pk_json *doc, int value, enum pk_json_type type);

#endif
