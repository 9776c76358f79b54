/* store_provider.c - see store_provider.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A provider says where requests go and how; the key that goes along is a virtual key, which is bound to the
 * host that the provider had when the key was put.
 */
#include "store_provider.h"

#include "store_audit.h"
#include "store_users.h"
#include "store_value.h"

struct body {
    struct pk_arena *arena;
    pk_str text;
};

static bool read_body(void *ctx, const struct pk_value *columns, int count)
{
    struct body *b = ctx;

    PK_ASSERT(count == 1);
    b->text = pk_copy(b->arena, columns[0].s);
    return false;
}

bool pk_store_provider_get(struct pk_store *s, struct pk_arena *arena, pk_str name,
                           const struct pk_provider **p, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name)};
    struct body b = {.arena = arena};
    struct pk_error why = {0};

    *p = NULL;
    if (!s->ops->exec(s, PK_SQL_provider_get, args, PK_COUNT(args), read_body, &b, err))
        return false;
    if (b.text.len == 0)
        return !arena->failed || pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    struct pk_provider *made = pk_alloc(arena, sizeof *made);
    if (!made)
        return pk_fail(err, PK_NO_MEMORY, "provider: out of memory");
    if (!pk_provider_read(arena, name, b.text, made, &why))
        return pk_fail(err, arena->failed ? PK_NO_MEMORY : PK_STORE,
                       "provider \"%.*s\": is of a newer version", PK_FMT(name));
    *p = made;
    return true;
}

bool pk_store_provider_find(struct pk_store *s, struct pk_arena *arena, pk_str name,
                            const struct pk_provider **p, struct pk_error *err)
{
    *p = pk_provider_find(name);
    if (pk_str_starts(name, "@"))
        name = pk_str_sub(name, 1, name.len);
    return *p || pk_store_provider_get(s, arena, name, p, err);
}

bool pk_store_provider_put(struct pk_store *s, struct pk_arena *arena, pk_str name, pk_str options,
                           int64_t now_us, struct pk_error *err)
{
    struct pk_buf body = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    struct pk_provider p;

    if (!pk_slug_check(name, err))
        return false;
    if (pk_provider_find(name))
        return pk_fail(err, PK_BAD_REQUEST, "name: \"%.*s\" is one of pk's own providers",
                       PK_FMT(name));
    if (!pk_provider_read(arena, name, options, &p, err))
        return false;
    pk_provider_print(&body, &p);
    if (body.failed)
        return pk_fail(err, PK_NO_MEMORY, "options: out of memory");
    if (!s->ops->begin(s, err))
        return false;
    const struct pk_value args[] = {pk_v_text(name), pk_v_text(pk_buf_str(&body)),
                                    pk_v_int(now_us)};
    bool ok = s->ops->exec(s, PK_SQL_provider_put, args, PK_COUNT(args), NULL, NULL, err);
    const struct pk_change change = {now_us, "provider_put", name, pk_buf_str(&body)};
    return pk_store_change_end(s, ok, &change, err);
}

/* --- deleting ------------------------------------------------------------------------------- */

bool pk_store_provider_delete(struct pk_store *s, pk_str name, int64_t now_us, bool *existed,
                              struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(name)};

    *existed = false;
    if (!pk_slug_check(name, err))
        return false;
    if (pk_provider_find(name))
        return pk_fail(err, PK_BAD_REQUEST, "name: \"%.*s\" is one of pk's own providers",
                       PK_FMT(name));
    if (!s->ops->begin(s, err))
        return false;
    bool ok =
        pk_store_unused(s, PK_USED_PROVIDER, name, err) &&
        s->ops->exec(s, PK_SQL_provider_delete, args, PK_COUNT(args), pk_row_mark, existed, err);
    const struct pk_change change = {now_us, "provider_delete", name, PK_NONE};
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}
