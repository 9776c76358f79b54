/* member.h - prints members of JSON objects, for the answers of the control APIs.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each adds a comma first, unless it comes right behind the '{'.
 */
#ifndef PKD_MEMBER_H
#define PKD_MEMBER_H

#include "arena.h"
#include "buf.h"
#include "store_users.h"

/* A value that is JSON already; nothing at all when it is empty. */
void pkd_member_raw(struct pk_buf *out, const char *name, pk_str json);
/* null when it is empty. */
void pkd_member_text(struct pk_buf *out, const char *name, pk_str text);
void pkd_member_int(struct pk_buf *out, const char *name, int64_t number);
void pkd_member_bool(struct pk_buf *out, const char *name, bool truth);
/* Microseconds since 1970 as ISO 8601; null when it is 0. */
void pkd_member_time(struct pk_buf *out, const char *name, int64_t at_us);
/* used_by, the first few of them, and used_by_total; nothing at all when there are none. */
void pkd_member_users(struct pk_buf *out, const struct pk_users *users);
/* Begins an item of an array: its '{', with a comma first unless right behind the '['. */
void pkd_item_begin(struct pk_buf *out);

#endif
