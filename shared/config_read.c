/* config_read.c - walks the objects of a config and reads their values.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config_inner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool pk_config_fail(struct pk_config_reader *p, const char *name, const char *fmt, ...)
{
    char why[128];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return pk_fail(p->err, PK_BAD_CONFIG, "%s%s%s: %s", p->path, *p->path && *name ? "." : "",
                   *p->path || *name ? name : "config", why);
}

size_t pk_config_enter(struct pk_config_reader *p, const char *fmt, ...)
{
    size_t len = strlen(p->path), room = sizeof p->path - len;
    va_list args;

    if (len && room > 1) {
        p->path[len] = '.';
        p->path[len + 1] = 0;
    }
    size_t skip = len && room > 1 ? 1 : 0;
    va_start(args, fmt);
    (void)vsnprintf(p->path + len + skip, room - skip, fmt, args);
    va_end(args);
    return len;
}

void pk_config_leave(struct pk_config_reader *p, size_t len)
{
    p->path[len] = 0;
}

/* Whether `key` spells `snake`, in snake_case or camelCase. */
bool pk_config_spells(pk_str key, const char *snake)
{
    size_t i = 0;

    for (; *snake; snake++, i++) {
        if (i == key.len)
            return false;
        if (*snake == '_' && key.at[i] != '_') {
            snake++;
            if (key.at[i] != *snake - 'a' + 'A')
                return false;
        } else if (key.at[i] != *snake) {
            return false;
        }
    }
    return i == key.len;
}

static int member_of(const struct pk_config_member *members, pk_str key)
{
    for (int i = 0; members[i].name; i++)
        if (*members[i].name && pk_config_spells(key, members[i].name))
            return i;
    return -1;
}

bool pk_config_read_key(struct pk_config_reader *p, int key, struct pk_config_table *tables,
                        int count, bool *known)
{
    pk_str name = pk_json_str(p->arena, &p->doc, key);

    for (int i = 0; i < count; i++) {
        struct pk_config_table *t = &tables[i];
        int m = member_of(t->members, name);

        if (m < 0)
            continue;
        *known = true;
        if (t->seen & 1ull << m)
            return pk_config_fail(p, t->members[m].name, "given twice");
        t->seen |= 1ull << m;
        return t->members[m].read(p, key + 1, t->into);
    }
    *known = false;
    return true;
}

bool pk_config_read_tables(struct pk_config_reader *p, int object, struct pk_config_table *tables,
                           int count)
{
    bool known;

    if (pk_json_type(&p->doc, object) != PK_JSON_OBJECT)
        return pk_config_fail(p, "", "must be an object, not %s",
                              pk_json_type_name(pk_json_type(&p->doc, object)));
    for (int k = pk_json_first(&p->doc, object); k >= 0; k = pk_json_next(&p->doc, object, k)) {
        if (!pk_config_read_key(p, k, tables, count, &known))
            return false;
        if (!known)
            return pk_config_fail(p, "", "unknown key \"%.*s\"",
                                  PK_FMT(pk_str_sub(pk_json_str(p->arena, &p->doc, k), 0, 64)));
    }
    return true;
}

bool pk_config_read_object(struct pk_config_reader *p, int object,
                           const struct pk_config_member *members, void *into)
{
    struct pk_config_table table = {.members = members, .into = into};

    return pk_config_read_tables(p, object, &table, 1);
}

bool pk_config_read_member(struct pk_config_reader *p, const char *name, int value,
                           const struct pk_config_member *members, void *into)
{
    size_t len = pk_config_enter(p, "%s", name);
    bool ok = pk_config_read_object(p, value, members, into);

    pk_config_leave(p, len);
    return ok;
}

/* --- values ------------------------------------------------------------------------------ */

bool pk_config_read_text(struct pk_config_reader *p, const char *name, int value, size_t max,
                         pk_str *out)
{
    if (pk_json_type(&p->doc, value) != PK_JSON_STRING)
        return pk_config_fail(p, name, "must be a string");
    pk_str s = pk_json_str(p->arena, &p->doc, value);
    if (s.len == 0 || s.len > max)
        return pk_config_fail(p, name, "must have 1 to %zu bytes", max);
    *out = pk_copy(p->arena, s);
    return true;
}

bool pk_config_read_bool(struct pk_config_reader *p, const char *name, int value, bool *out)
{
    enum pk_json_type type = pk_json_type(&p->doc, value);

    if (type != PK_JSON_TRUE && type != PK_JSON_FALSE)
        return pk_config_fail(p, name, "must be true or false");
    *out = type == PK_JSON_TRUE;
    return true;
}

bool pk_config_read_int(struct pk_config_reader *p, const char *name, int value, int64_t max,
                        int64_t *out)
{
    if (!pk_json_int(&p->doc, value, out) || *out < 0 || *out > max)
        return pk_config_fail(p, name, "must be 0..%lld", (long long)max);
    return true;
}

bool pk_config_read_statuses(struct pk_config_reader *p, const char *name, int value,
                             struct pk_statuses *out)
{
    int n = pk_json_count(&p->doc, value);
    int64_t status;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || n > PK_STATUSES_MAX)
        return pk_config_fail(p, name, "must be a list of at most %d HTTP statuses",
                              PK_STATUSES_MAX);
    *out = (struct pk_statuses){.given = true};
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        if (!pk_json_int(&p->doc, v, &status) || status < 100 || status > 599)
            return pk_config_fail(p, name, "must hold HTTP statuses, 100..599");
        out->list[out->count++] = (int16_t)status;
    }
    return true;
}

/* Digits, at most one point, and "ms" or "s". */
static bool text_duration_ms(pk_str s, int64_t *ms)
{
    bool millis = pk_str_ends(s, "ms");
    pk_str digits = pk_str_sub(s, 0, s.len - (millis ? 2 : 1));
    int64_t n;

    if ((!millis && !pk_str_ends(s, "s")) || digits.len > 9 || !pk_str_int(digits, &n) || n < 0)
        return false;
    *ms = millis ? n : n * 1000;
    return true;
}

bool pk_config_duration_ms(const struct pk_json *doc, int value, int64_t *ms)
{
    if (pk_json_type(doc, value) == PK_JSON_STRING) {
        pk_str raw = pk_json_raw(doc, value);

        if (!text_duration_ms(pk_str_sub(raw, 1, raw.len - 2), ms))
            return false;
    } else {
        if (!pk_json_int(doc, value, ms))
            return false;
        if (*ms < 1000)
            *ms *= 1000;
    }
    return *ms > 0 && *ms <= PK_TIMEOUT_MS_MAX;
}

bool pk_config_read_duration(struct pk_config_reader *p, const char *name, int value, int64_t *ms)
{
    return pk_config_duration_ms(&p->doc, value, ms) ||
           pk_config_fail(
               p, name,
               "must be milliseconds (under 1000: seconds), \"250ms\" or \"30s\", at most 24 h");
}
