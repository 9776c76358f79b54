/* path.c - see path.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "path.h"

#include "json.h"

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* With %XX as the bytes that they mean, and in a query '+' as a blank. */
static pk_str unescaped(struct pk_arena *arena, pk_str s, bool query)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);
    size_t bad;

    for (size_t i = 0; i < s.len; i++) {
        int high = -1, low = -1;

        if (s.at[i] != '%') {
            pk_buf_addc(&out, query && s.at[i] == '+' ? ' ' : s.at[i]);
            continue;
        }
        if (i + 2 < s.len) {
            high = hex(s.at[i + 1]);
            low = hex(s.at[i + 2]);
        }
        if (high < 0 || low < 0)
            return PK_NONE;
        pk_buf_addc(&out, (char)(high << 4 | low));
        i += 2;
    }
    pk_str text = pk_buf_str(&out);
    return !out.failed && pk_utf8_valid(text, &bad) ? text : PK_NONE;
}

/* What is before the first `c`; *rest is what is behind it. */
static pk_str until(pk_str s, char c, pk_str *rest)
{
    int at = pk_str_find(s, c);
    size_t len = at < 0 ? s.len : (size_t)at;

    *rest = pk_str_sub(s, len + 1, s.len);
    return pk_str_sub(s, 0, len);
}

pk_str pkd_path_segment(struct pk_arena *arena, pk_str path, int n)
{
    pk_str segment = PK_NONE;

    if (pk_str_starts(path, "/"))
        path = pk_str_sub(path, 1, path.len);
    for (int i = 0; i <= n; i++)
        segment = until(path, '/', &path);
    return unescaped(arena, segment, false);
}

pk_str pkd_query_value(struct pk_arena *arena, pk_str query, const char *name)
{
    while (query.len) {
        pk_str value, pair = until(query, '&', &query);

        if (pk_str_is(until(pair, '=', &value), name))
            return unescaped(arena, value, true);
    }
    return PK_NONE;
}

bool pkd_query_number(struct pk_arena *arena, pk_str query, const char *name, int64_t max,
                      int64_t *number, struct pk_error *err)
{
    pk_str value = pkd_query_value(arena, query, name);

    if (value.len == 0)
        return true;
    return (pk_str_int(value, number) && *number >= 0 && *number <= max) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: must be 0..%lld", name, (long long)max);
}

bool pkd_query_next(struct pk_arena *arena, pk_str *query, pk_str *name, pk_str *value)
{
    pk_str raw_value, raw_name = until(until(*query, '&', query), '=', &raw_value);

    *name = unescaped(arena, raw_name, true);
    *value = unescaped(arena, raw_value, true);
    bool ok = (name->len || !raw_name.len) && (value->len || !raw_value.len);
    if (!ok)
        *name = raw_name;
    return ok;
}
