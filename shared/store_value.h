/* store_value.h - how the verbs spell the arguments of a statement.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_STORE_VALUE_H
#define PK_STORE_VALUE_H

#include "store.h"

static inline struct pk_value pk_v_int(int64_t i)
{
    return (struct pk_value){.type = PK_V_INT, .i = i};
}

static inline struct pk_value pk_v_null(void)
{
    return (struct pk_value){.type = PK_V_NULL};
}

static inline struct pk_value pk_v_int_unless(bool null, int64_t i)
{
    return null ? pk_v_null() : pk_v_int(i);
}

static inline struct pk_value pk_v_real(double r)
{
    return (struct pk_value){.type = PK_V_REAL, .r = r};
}

static inline struct pk_value pk_v_real_unless_0(double r)
{
    return r > 0 || r < 0 ? pk_v_real(r) : pk_v_null();
}

/* For a column that is never null. */
static inline struct pk_value pk_v_required(pk_str s)
{
    return (struct pk_value){.type = PK_V_TEXT, .s = s};
}

/* NULL when empty: what nobody said is not the empty string. */
static inline struct pk_value pk_v_text(pk_str s)
{
    return s.len ? pk_v_required(s) : pk_v_null();
}

static inline struct pk_value pk_v_blob(const void *at, size_t len)
{
    return (struct pk_value){PK_V_BLOB, .s = {at, len}};
}

static inline struct pk_value pk_v_uuid(const uint8_t id[PK_UUID_BYTES])
{
    return pk_v_blob(id, PK_UUID_BYTES);
}

/* NULL when the provider reported no usage. */
static inline struct pk_value pk_v_tokens(const struct pk_usage *u, int64_t tokens)
{
    return pk_v_int_unless(u->source == PK_USAGE_NONE, tokens);
}

/* Rows of which only this is asked: whether there is one (ctx: bool), or its number (ctx: int64_t). */

static inline bool pk_row_mark(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    *(bool *)ctx = true;
    return true;
}

static inline bool pk_row_int(void *ctx, const struct pk_value *columns, int count)
{
    (void)count;
    *(int64_t *)ctx = columns[0].i;
    return true;
}

#endif
