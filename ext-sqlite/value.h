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

/* What those below have given since a thread began to listen, for whoever remembers it. A scan's columns have no
 * connection to keep it in. */
enum pk_heard {
    PK_HEARD_NOTHING,
    PK_HEARD_TEXT,
    PK_HEARD_JSON,
    PK_HEARD_FLOATS,
    PK_HEARD_INT,
    PK_HEARD_REAL
};
struct pk_hearing {
    struct pk_arena *arena; /* for the copy; NULL: nobody listens */
    enum pk_heard kind;
    pk_str bytes;
};
extern _Thread_local struct pk_hearing pk_hearing;

void pk_result_text(sqlite3_context *ctx, pk_str text);
void pk_result_json(sqlite3_context *ctx, pk_str text);
/* A BLOB of little-endian floats, as sqlite-vec has vectors. */
void pk_result_floats(sqlite3_context *ctx, const float *at, int count);
void pk_result_int(sqlite3_context *ctx, int64_t n);
void pk_result_real(sqlite3_context *ctx, double x);
/* "pk: <code>: <message>"; `message` empty: err->msg. */
void pk_result_error(sqlite3_context *ctx, const struct pk_error *err, pk_str message);

#endif
