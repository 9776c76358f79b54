/* value.h - from SQL values to ours, and back.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#ifndef PK_VALUE_H
#define PK_VALUE_H

#include "conn.h"

/* An argument that must be text: valid UTF-8 without NUL, of at most `max` bytes. The error names the
 * argument. An argument that is not given (i >= count) or NULL is the empty string, with at == NULL. */
struct pk_args {
    sqlite3_value **at;
    int count;
};

bool pk_arg_text(struct pk_args args, int i, const char *name, size_t max, pk_str *out,
                 struct pk_error *err) PK_MUST_CHECK;
/* An integer; *given is false when it is not there or NULL. */
bool pk_arg_int(struct pk_args args, int i, const char *name, int64_t *out, bool *given,
                struct pk_error *err) PK_MUST_CHECK;
/* A number; `*out` keeps its value when it is not there or NULL. */
bool pk_arg_real(struct pk_args args, int i, const char *name, double *out,
                 struct pk_error *err) PK_MUST_CHECK;
/* Whether one of the first `required` is NULL: then the answer is NULL too. */
bool pk_args_null(struct pk_args args, int required);

void pk_result_text(sqlite3_context *ctx, pk_str text);
void pk_result_json(sqlite3_context *ctx, pk_str text);
/* A BLOB of little-endian floats, as sqlite-vec has vectors. */
void pk_result_floats(sqlite3_context *ctx, const float *at, int count);
/* "pk: <code>: <message>"; `message` empty: err->msg. */
void pk_result_error(sqlite3_context *ctx, const struct pk_error *err, pk_str message);

#endif
