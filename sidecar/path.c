/* path.c - see path.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "path.h"

#include "json.h"
#include "url.h"

#include <string.h>

enum { PAGE_ROWS_MAX = 1000, PAGES_MAX = 1000000, NAME_SHOWN_MAX = 64 };

/* Empty when it is not what a URL library would write. */
static pk_str unescaped(struct pk_arena *arena, pk_str s, bool query)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    return pk_url_unescape(s, query, &out) ? pk_buf_str(&out) : PK_NONE;
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

static bool read_number(struct pk_arena *arena, pk_str query, const char *name, int64_t min,
                        int64_t max, int64_t *number)
{
    pk_str value = pkd_query_value(arena, query, name);

    return value.len == 0 || (pk_str_int(value, number) && *number >= min && *number <= max);
}

bool pkd_query_page(struct pk_arena *arena, pk_str query, int64_t *rows, int64_t *page,
                    struct pk_error *err)
{
    *page = 0;
    if (!read_number(arena, query, "page_size", 1, PAGE_ROWS_MAX, rows))
        return pk_fail(err, PK_BAD_REQUEST, "page_size: must be 1..%d", PAGE_ROWS_MAX);
    return read_number(arena, query, "current_page", 0, PAGES_MAX, page) ||
           pk_fail(err, PK_BAD_REQUEST, "current_page: must be 0..%d", PAGES_MAX);
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

bool pkd_query_finds(pk_str text, pk_str part)
{
    return part.len == 0 || (text.len >= part.len && memmem(text.at, text.len, part.at, part.len));
}

/* Whether `words`, separated by blanks, has this one. */
static bool has_word(const char *words, pk_str word)
{
    while (*words) {
        size_t len = strcspn(words, " ");

        if (pk_str_eq((pk_str){words, len}, word))
            return true;
        words += len + strspn(words + len, " ");
    }
    return false;
}

bool pkd_query_check(struct pk_arena *arena, pk_str query, const char *known, struct pk_error *err)
{
    while (query.len) {
        pk_str name, value;

        if (!pkd_query_next(arena, &query, &name, &value))
            return pk_fail(err, PK_BAD_REQUEST, "%.*s: is not validly escaped",
                           PK_FMT(pk_str_sub(name, 0, NAME_SHOWN_MAX)));
        if (name.len && !has_word(known, name) && !has_word("workspace_id organisation_id", name))
            return pk_fail(err, PK_BAD_REQUEST, "%.*s: there is no such query parameter%s%s",
                           PK_FMT(pk_str_sub(name, 0, NAME_SHOWN_MAX)),
                           *known ? " here; there are " : " here", known);
    }
    return true;
}
