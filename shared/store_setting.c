/* store_setting.c - see store_setting.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_setting.h"

#include "store_audit.h"
#include "store_value.h"

#include <string.h>

static const int64_t us_per_s = 1000000, keep_s_max = 100ll * 366 * 86400;

static const char *const names[] = {
    [PK_KEPT_LOGS] = "retention_logs",   [PK_KEPT_PAYLOADS] = "retention_payloads",
    [PK_KEPT_CACHE] = "retention_cache", [PK_KEPT_FEEDBACK] = "retention_feedback",
    [PK_KEPT_AUDIT] = "retention_audit",
};

static int find(pk_str name)
{
    for (int i = 0; i < PK_KEPT_COUNT; i++)
        if (pk_str_is(name, names[i]))
            return i;
    return -1;
}

const char *pk_kept_setting(enum pk_kept kept)
{
    return names[kept];
}

bool pk_store_setting_known(pk_str name)
{
    return find(name) >= 0;
}

/* Seconds in the unit that ends `value`, which loses it. */
static int64_t take_unit(pk_str *value)
{
    static const struct {
        char letter;
        int64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};

    for (size_t i = 0; value->len > 1 && i < PK_COUNT(units); i++)
        if (value->at[value->len - 1] == units[i].letter) {
            *value = pk_str_trim(pk_str_sub(*value, 0, value->len - 1));
            return units[i].s;
        }
    return 1;
}

bool pk_keep_parse(pk_str value, int64_t *keep_us)
{
    int64_t number, unit;

    *keep_us = 0;
    value = pk_str_trim(value);
    if (pk_str_is_nocase(value, "off"))
        return true;
    unit = take_unit(&value);
    if (!pk_str_int(value, &number) || number < 1 || number > keep_s_max / unit)
        return false;
    *keep_us = number * unit * us_per_s;
    return true;
}

/* --- in the store ---------------------------------------------------------------------------- */

struct wanted {
    struct pk_arena *arena;
    pk_str name, value;
};

static bool read_value(void *ctx, const struct pk_value *columns, int count)
{
    struct wanted *w = ctx;

    PK_ASSERT(count == 2);
    if (!pk_str_eq(columns[0].s, w->name))
        return true;
    w->value = pk_copy(w->arena, columns[1].s);
    return false;
}

bool pk_store_setting_get(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str *value,
                          struct pk_error *err)
{
    struct wanted w = {.arena = arena, .name = name};

    if (!s->ops->exec(s, PK_SQL_settings, NULL, 0, read_value, &w, err))
        return false;
    *value = w.value;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "settings: out of memory");
}

static bool write_setting(struct pk_store *s, pk_str name, pk_str value, int64_t now_us,
                          struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name), pk_v_text(value), pk_v_int(now_us)};

    if (value.len == 0)
        return s->ops->exec(s, PK_SQL_setting_delete, args, 1, NULL, NULL, err);
    return s->ops->exec(s, PK_SQL_setting_put, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_setting_put(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str value,
                          int64_t now_us, struct pk_error *err)
{
    struct pk_buf detail = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    pk_str before;
    int64_t keep_us;

    if (find(name) < 0)
        return pk_fail(err, PK_NOT_FOUND, "no setting of the store is named \"%.*s\"",
                       PK_FMT(pk_str_sub(name, 0, 64)));
    if (value.len && !pk_keep_parse(value, &keep_us))
        return pk_fail(err, PK_BAD_REQUEST,
                       "%.*s: must be \"off\" or a time like \"30d\" or \"12h\"", PK_FMT(name));
    if (!pk_store_setting_get(s, arena, name, &before, err))
        return false;
    if (pk_str_eq(before, value))
        return true;
    pk_buf_adds(&detail, "{\"value\":");
    if (value.len)
        pk_json_quote(&detail, value);
    else
        pk_buf_adds(&detail, "null");
    pk_buf_addc(&detail, '}');
    if (detail.failed)
        return pk_fail(err, PK_NO_MEMORY, "settings: out of memory");
    const struct pk_change change = {now_us, "set", name, pk_buf_str(&detail)};
    if (!s->ops->begin(s, err))
        return false;
    return pk_store_change_end(s, write_setting(s, name, value, now_us, err), &change, err);
}

static bool read_keep(void *ctx, const struct pk_value *columns, int count)
{
    struct pk_retention *r = ctx;
    int i = find(columns[0].s);

    PK_ASSERT(count == 2);
    /* What a newer program has stored, and this one cannot read, is no reason to delete. */
    if (i >= 0 && !pk_keep_parse(columns[1].s, &r->keep_us[i]))
        r->keep_us[i] = 0;
    return true;
}

bool pk_store_retention(struct pk_store *s, struct pk_retention *r, struct pk_error *err)
{
    *r = (struct pk_retention){0};
    return s->ops->exec(s, PK_SQL_settings, NULL, 0, read_keep, r, err);
}
