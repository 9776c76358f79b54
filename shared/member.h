/* member.h - prints members of JSON objects.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each puts a comma first, unless it comes right behind '{', '[' or another comma. Names are ours: they are not escaped.
 */
#ifndef PK_MEMBER_H
#define PK_MEMBER_H

#include "buf.h"

/* What separates the next member or item from the one before. */
void pk_member_comma(struct pk_buf *out);
/* "name":, which a value is to follow. */
void pk_member_key(struct pk_buf *out, const char *name);

/* A value that is JSON already; nothing at all when it is empty. */
void pk_member_raw(struct pk_buf *out, const char *name, pk_str json);
/* A string; null when it is empty. */
void pk_member_text(struct pk_buf *out, const char *name, pk_str text);
void pk_member_int(struct pk_buf *out, const char *name, int64_t number);
void pk_member_bool(struct pk_buf *out, const char *name, bool truth);
/* Microseconds since 1970 as ISO 8601; null when it is 0. */
void pk_member_time(struct pk_buf *out, const char *name, int64_t at_us);

/* Begins an object that is an item of an array. */
void pk_member_item(struct pk_buf *out);

#endif
