/* value.c - see value.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "value.h"

#include <string.h>

static const char *type_name(int type)
{
    switch (type) {
    case SQLITE_INTEGER: return "an integer";
    case SQLITE_FLOAT: return "a real number";
    case SQLITE_BLOB: return "a blob";
    case SQLITE_TEXT: return "text";
    default: return "null";
    }
}

static bool absent(struct pk_args args, int i)
{
    return i >= args.count || sqlite3_value_type(args.at[i]) == SQLITE_NULL;
}

bool pk_args_null(struct pk_args args, int required)
{
    for (int i = 0; i < required; i++)
        if (absent(args, i))
            return true;
    return false;
}

bool pk_arg_text(struct pk_args args, int i, const char *name, size_t max, pk_str *out,
                 struct pk_error *err)
{
    size_t bad;

    *out = PK_NONE;
    if (absent(args, i))
        return true;
    int type = sqlite3_value_type(args.at[i]);
    if (type != SQLITE_TEXT)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be text, not %s", name, type_name(type));
    const void *text = sqlite3_value_text(args.at[i]);
    if (!text)
        return pk_fail(err, PK_NO_MEMORY, "%s: out of memory", name);
    *out = (pk_str){text, (size_t)sqlite3_value_bytes(args.at[i])};
    if (out->len > max)
        return pk_fail(err, PK_TOO_LARGE, "%s: longer than %zu bytes", name, max);
    return pk_utf8_valid(*out, &bad) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: invalid UTF-8 or a NUL at byte %zu", name, bad);
}

bool pk_arg_int(struct pk_args args, int i, const char *name, int64_t *out, bool *given,
                struct pk_error *err)
{
    *given = !absent(args, i);
    *out = 0;
    if (!*given)
        return true;
    int type = sqlite3_value_type(args.at[i]);
    if (type != SQLITE_INTEGER)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be an integer, not %s", name,
                       type_name(type));
    *out = sqlite3_value_int64(args.at[i]);
    return true;
}

bool pk_arg_real(struct pk_args args, int i, const char *name, double *out, struct pk_error *err)
{
    if (absent(args, i))
        return true;
    int type = sqlite3_value_type(args.at[i]);
    if (type != SQLITE_INTEGER && type != SQLITE_FLOAT)
        return pk_fail(err, PK_BAD_REQUEST, "%s: must be a number, not %s", name, type_name(type));
    *out = sqlite3_value_double(args.at[i]);
    return true;
}

_Thread_local struct pk_hearing pk_hearing;

static void hear(enum pk_heard kind, pk_str bytes)
{
    struct pk_hearing *h = &pk_hearing;

    if (!h->arena)
        return;
    h->bytes = pk_copy(h->arena, bytes);
    h->kind = h->arena->failed ? PK_HEARD_NOTHING : kind;
}

void pk_result_text(sqlite3_context *ctx, pk_str text)
{
    hear(PK_HEARD_TEXT, text);
    sqlite3_result_text64(ctx, text.at ? text.at : "", text.len, SQLITE_TRANSIENT, SQLITE_UTF8);
}

void pk_result_json(sqlite3_context *ctx, pk_str text)
{
    pk_result_text(ctx, text);
    hear(PK_HEARD_JSON, text);
    sqlite3_result_subtype(ctx, 'J');
}

void pk_result_floats(sqlite3_context *ctx, const float *at, int count)
{
    size_t size = (size_t)count * sizeof *at;
    unsigned char *bytes = sqlite3_malloc64(size);

    if (!bytes) {
        sqlite3_result_error_nomem(ctx);
        return;
    }
    for (int i = 0; i < count; i++) {
        uint32_t bits;

        memcpy(&bits, at + i, sizeof bits);
        for (size_t k = 0; k < sizeof bits; k++)
            bytes[(size_t)i * sizeof bits + k] = (unsigned char)(bits >> 8 * k);
    }
    hear(PK_HEARD_FLOATS, (pk_str){(const char *)bytes, size});
    sqlite3_result_blob64(ctx, bytes, size, sqlite3_free);
}

void pk_result_int(sqlite3_context *ctx, int64_t n)
{
    hear(PK_HEARD_INT, (pk_str){(const char *)&n, sizeof n});
    sqlite3_result_int64(ctx, n);
}

void pk_result_real(sqlite3_context *ctx, double x)
{
    hear(PK_HEARD_REAL, (pk_str){(const char *)&x, sizeof x});
    sqlite3_result_double(ctx, x);
}

static int result_code(enum pk_code code)
{
    switch (code) {
    case PK_UNAUTHORIZED:
    case PK_NO_PERMISSION:
    case PK_HOST_DENIED: return SQLITE_AUTH;
    case PK_CANCELLED: return SQLITE_INTERRUPT;
    case PK_BUDGET:
    case PK_QUERY_LIMIT:
    case PK_RATE: return SQLITE_FULL;
    case PK_TOO_LARGE: return SQLITE_TOOBIG;
    case PK_NO_MEMORY: return SQLITE_NOMEM;
    case PK_OK:
    case PK_BAD_REQUEST:
    case PK_BAD_JSON:
    case PK_BAD_CONFIG:
    case PK_NOT_FOUND:
    case PK_NO_KEY:
    case PK_DENIED:
    case PK_UPSTREAM:
    case PK_BAD_ANSWER:
    case PK_UNFIT:
    case PK_NETWORK:
    case PK_TIMEOUT:
    case PK_STORE:
    case PK_STORE_DOWN:
    case PK_SHUTDOWN:
    case PK_IN_USE: return SQLITE_ERROR;
    }
    return SQLITE_ERROR;
}

void pk_result_error(sqlite3_context *ctx, const struct pk_error *err, pk_str message)
{
    pk_str words = message.len ? message : pk_str_of(err->msg);
    char *text = sqlite3_mprintf("pk: %s: %.*s", pk_code_name(err->code), PK_FMT(words));

    if (!text) {
        sqlite3_result_error_nomem(ctx);
        return;
    }
    sqlite3_result_error(ctx, text, -1);
    sqlite3_result_error_code(ctx, result_code(err->code));
    sqlite3_free(text);
}
