/* dialect_parts.h - what the dialects' own files share: writing members, reading counts and errors.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_DIALECT_PARTS_H
#define PK_DIALECT_PARTS_H

#include "dialect.h"
#include "member.h"

/* Appends a member whose value is JSON text, on one line; nothing when it is empty. */
void pk_dialect_raw(struct pk_buf *out, const char *name, pk_str json);
/* Appends JSON text with its line breaks as blanks: inside strings it has none. */
void pk_dialect_line(struct pk_buf *out, pk_str json);

/* Appends an image of an answer, by its data: URL, as the next item. */
void pk_dialect_image(struct pk_buf *out, pk_str url);

/* Appends a segment of a URL's path: all but what RFC 3986 calls unreserved is escaped. */
void pk_dialect_segment(struct pk_buf *out, pk_str text);

/* Whether a member is there and not null. */
bool pk_dialect_has(const struct pk_json *doc, int object, const char *name);
/* A count of tokens; 0 for anything that is none. */
int64_t pk_dialect_count(const struct pk_json *doc, int object, const char *name);
int64_t pk_dialect_count_of(const struct pk_json *doc, int value);

/* Adds a field's name to a blank separated list, once. */
void pk_dialect_drop(struct pk_buf *dropped, pk_str name);

/* Parses an answer or an event: PK_BAD_ANSWER when it is not a JSON object. */
bool pk_dialect_parse(struct pk_arena *arena, pk_str text, struct pk_json *doc,
                      struct pk_error *err) PK_MUST_CHECK;

/* What an error says, in any of the shapes that providers use: {"error":{...}}, {"error":"..."},
 * {"message":...}, {"detail":...}, and each of them as the first item of a list. */
void pk_dialect_read_fault(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f);

/* Fails with PK_UPSTREAM, and the provider's words in *f, when the answer is an error object. */
bool pk_dialect_no_error(struct pk_arena *arena, const struct pk_json *doc, struct pk_fault *f,
                         struct pk_error *err);

/* Whether the text was built; PK_NO_MEMORY or PK_TOO_LARGE when not. */
bool pk_dialect_built(const struct pk_buf *out, const char *what,
                      struct pk_error *err) PK_MUST_CHECK;

/* `s`, cut between two characters so that it has at most `max` bytes. */
pk_str pk_dialect_shorten(pk_str s, size_t max);

#endif
