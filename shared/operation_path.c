/* operation_path.c - what follows the path of an operation: where it may lead, and what it says.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "operation.h"

#include "url.h"

/* As far as it can be. */
static pk_str unescaped(struct pk_arena *arena, pk_str s)
{
    struct pk_buf out = pk_buf_in(arena, PK_URL_BYTES_MAX);

    (void)pk_url_unescape(s, false, &out);
    return pk_buf_str(&out);
}

static pk_str path_of(pk_str tail)
{
    int query = pk_str_find(tail, '?');

    return pk_str_sub(tail, 0, query < 0 ? tail.len : (size_t)query);
}

/* Takes the next segment off the front of *path, which may begin with a slash. */
static pk_str next_segment(pk_str *path)
{
    if (pk_str_starts(*path, "/"))
        *path = pk_str_sub(*path, 1, path->len);
    int slash = pk_str_find(*path, '/');
    pk_str segment = pk_str_sub(*path, 0, slash < 0 ? path->len : (size_t)slash);

    *path = pk_str_sub(*path, segment.len, path->len);
    return segment;
}

bool pk_operation_check_tail(pk_str tail, struct pk_error *err)
{
    pk_str path = path_of(tail);
    size_t dots = 0, len = 0; /* of the segment so far */

    for (size_t i = 0; i <= path.len;) {
        char c = '/';

        i += i < path.len ? pk_url_byte(path, i, &c) : 1;
        if (c != '/' && c != '\\') {
            dots += c == '.';
            len++;
            continue;
        }
        if (dots == len && (len == 1 || len == 2))
            return pk_fail(err, PK_BAD_REQUEST, "path: \".\" and \"..\" cannot be passed on");
        dots = len = 0;
    }
    return true;
}

pk_str pk_operation_path_model(struct pk_arena *arena, pk_str tail)
{
    static const char *const before[] = {"models", "model", "deployments", "engines", "generation"};
    static const char predictions[] = "/predictions";
    pk_str path = path_of(tail);

    while (path.len) {
        pk_str segment = next_segment(&path);

        for (size_t i = 0; i < PK_COUNT(before); i++) {
            if (!pk_str_is(segment, before[i]))
                continue;
            pk_str rest = pk_str_starts(path, "/") ? pk_str_sub(path, 1, path.len) : path;
            /* Replicate's models have an owner before their name. */
            pk_str model = pk_str_ends(rest, predictions)
                               ? pk_str_sub(rest, 0, rest.len - (sizeof predictions - 1))
                               : next_segment(&path);
            /* Bedrock's have a colon in their names. */
            int verb = pk_str_is(segment, "model") ? -1 : pk_str_find(model, ':');
            return unescaped(arena, pk_str_sub(model, 0, verb < 0 ? model.len : (size_t)verb));
        }
    }
    return PK_NONE;
}

/* A segment like "v1" or "v1beta". */
static bool is_version(pk_str segment)
{
    if (segment.len < 2 || segment.len > 10 || segment.at[0] != 'v')
        return false;
    for (size_t i = 1; i < segment.len; i++) {
        bool digit = segment.at[i] >= '0' && segment.at[i] <= '9';

        if (!digit && (i == 1 || segment.at[i] < 'a' || segment.at[i] > 'z'))
            return false;
    }
    return true;
}

pk_str pk_operation_base(pk_str base, pk_str tail)
{
    size_t slash = base.len;

    if (!is_version(next_segment(&tail)))
        return base;
    while (slash > 0 && base.at[slash - 1] != '/')
        slash--;
    return slash > 0 && is_version(pk_str_sub(base, slash, base.len))
               ? pk_str_sub(base, 0, slash - 1)
               : base;
}
