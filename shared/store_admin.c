/* store_admin.c - the verbs over configs (store.h). Those over virtual keys are in store_key.c.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Every change ends in pk_store_change_end() (store_audit.h).
 */
#include "store_audit.h"
#include "store_provider.h"
#include "store_users.h"
#include "store_value.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool pk_slug_check(pk_str slug, struct pk_error *err)
{
    bool ok = slug.len > 0 && slug.len <= PK_SLUG_BYTES_MAX && is_alnum(slug.at[0]);

    for (size_t i = 1; ok && i < slug.len; i++)
        ok = is_alnum(slug.at[i]) || slug.at[i] == '.' || slug.at[i] == '_' || slug.at[i] == '-';
    return ok ||
           pk_fail(err, PK_BAD_REQUEST,
                   "slug: must be 1..%d of A-Z a-z 0-9 . _ - and begin with a letter or digit",
                   PK_SLUG_BYTES_MAX);
}

/* --- configs --------------------------------------------------------------------------- */

struct config_row {
    struct pk_arena *arena;
    pk_str body;
    int64_t version;
};

static bool read_config(void *ctx, const struct pk_value *columns, int count)
{
    struct config_row *row = ctx;

    PK_ASSERT(count == 2);
    row->body = pk_copy(row->arena, columns[0].s);
    row->version = columns[1].i;
    return false;
}

bool pk_store_config_get(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str *body,
                         int64_t *version, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};
    struct config_row row = {.arena = arena};

    if (!s->ops->exec(s, PK_SQL_config_get, args, PK_COUNT(args), read_config, &row, err))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    *body = row.body;
    *version = row.version;
    return true;
}

/* Gives the version that is no longer in force; 0: there was none. */
static bool retire(struct pk_store *s, pk_str slug, int64_t *version, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_text(slug)};

    *version = 0;
    return s->ops->exec(s, PK_SQL_config_retire, args, PK_COUNT(args), pk_row_int, version, err);
}

static bool put_config(struct pk_store *s, pk_str slug, pk_str body, int64_t now_us,
                       int64_t *version, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_text(slug), pk_v_int(now_us), pk_v_text(body)};
    int64_t before;

    return retire(s, slug, &before, err) &&
           s->ops->exec(s, PK_SQL_config_put, args, PK_COUNT(args), pk_row_int, version, err);
}

bool pk_store_config_check(struct pk_store *s, struct pk_arena *arena, pk_str body, int64_t now_us,
                           struct pk_error *err)
{
    struct pk_config *config = pk_alloc(arena, sizeof *config);
    pk_str path;
    int64_t until_us;

    if (!config)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    if (!pk_config_parse(arena, body, config, err))
        return false;
    if (pk_config_has_literal_key(config, &path))
        return pk_fail(err, PK_BAD_CONFIG,
                       "%.*s.api_key: is not stored in a config; put it into a virtual key",
                       PK_FMT(path));
    return pk_store_config_bind(s, arena, config, now_us, &until_us, err) &&
           pk_config_ready(config, err);
}

bool pk_store_reference_known(struct pk_store *s, struct pk_arena *arena, pk_str slug, bool *known,
                              struct pk_error *err)
{
    const struct pk_provider *p;
    struct pk_virtual_key key;
    pk_str body = PK_NONE;
    int64_t version;

    *known = true;
    if (!pk_store_config_get(s, arena, slug, &body, &version, err))
        return false;
    if (body.len)
        return true;
    if (!pk_store_key_get(s, arena, slug, &key, known, err) ||
        !pk_store_provider_find(s, arena, slug, &p, err))
        return false;
    *known = *known || p;
    return true;
}

static bool check_config_slug(struct pk_store *s, struct pk_arena *arena, pk_str slug,
                              struct pk_error *err)
{
    bool known;

    return pk_store_reference_known(s, arena, slug, &known, err) &&
           (known || pk_fail(err, PK_BAD_CONFIG,
                             "config: no stored config, virtual key or provider is called \"%.*s\"",
                             PK_FMT(slug)));
}

bool pk_store_reference_check(struct pk_store *s, struct pk_arena *arena, pk_str reference,
                              int64_t now_us, struct pk_error *err)
{
    return pk_str_starts(pk_str_trim(reference), "{")
               ? pk_store_config_check(s, arena, reference, now_us, err)
               : check_config_slug(s, arena, reference, err);
}

bool pk_store_config_put(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str body,
                         int64_t now_us, int64_t *version, struct pk_error *err)
{
    if (!pk_slug_check(slug, err) || !pk_store_config_check(s, arena, body, now_us, err) ||
        !s->ops->begin(s, err))
        return false;
    bool ok = put_config(s, slug, body, now_us, version, err);
    const struct pk_change change = {now_us, "config_put", slug,
                                     pk_copyf(arena, "{\"version\":%lld}", (long long)*version)};
    return pk_store_change_end(s, ok, &change, err);
}

bool pk_store_config_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                            struct pk_error *err)
{
    int64_t version;

    *existed = false;
    if (!pk_slug_check(slug, err) || !s->ops->begin(s, err))
        return false;
    bool ok = pk_store_unused(s, PK_USED_CONFIG, slug, err) && retire(s, slug, &version, err);
    *existed = ok && version > 0;
    const struct pk_change change = {now_us, "config_delete", slug, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}
