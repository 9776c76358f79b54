/* store_limit.c - see store_limit.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_limit.h"

#include "store_apikey.h"
#include "store_audit.h"
#include "store_value.h"

#include <string.h>

/* --- documents --------------------------------------------------------------------------- */

struct load {
    struct pk_arena *arena;
    struct pk_limit *rows;
    int count;
    bool newer; /* a row that this version does not understand */
};

static bool read_limit(void *ctx, const struct pk_value *v, int count)
{
    struct load *l = ctx;

    PK_ASSERT(count == 10);
    struct pk_limit *rows = pk_alloc_row(l->arena, l->rows, l->count, sizeof *rows);
    if (!rows)
        return false;
    l->rows = rows;
    struct pk_limit *row = &l->rows[l->count++];
    *row = (struct pk_limit){
        .slug = pk_copy(l->arena, v[0].s),
        .key = pk_copy(l->arena, v[2].s),
        .value = pk_copy(l->arena, v[3].s),
        .rolling = v[6].i,
        .budget = v[7].i,
        .amount = v[8].i,
        .alert = v[9].type == PK_V_NULL ? -1 : v[9].i,
    };
    l->newer = l->newer || !pk_limit_scope_of(v[1].s, &row->scope) ||
               !pk_limit_counts_of(v[4].s, &row->counts) ||
               !pk_limit_window_of(v[5].s, &row->window);
    return l->count <= PK_LIMITS_MAX;
}

bool pk_store_limits_load(struct pk_store *s, struct pk_arena *arena, struct pk_limits *limits,
                          struct pk_error *err)
{
    struct load l = {.arena = arena};

    if (!s->ops->exec(s, PK_SQL_limits, NULL, 0, read_limit, &l, err))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "limits: out of memory");
    if (l.count > PK_LIMITS_MAX)
        return pk_fail(err, PK_STORE, "limits: there are more than %d", PK_LIMITS_MAX);
    if (l.newer)
        return pk_fail(err, PK_STORE, "limits: one is of a newer version");
    pk_limits_sort(l.rows, l.count);
    *limits = (struct pk_limits){l.rows, l.count};
    return true;
}

static bool put(struct pk_store *s, const struct pk_limit *l, bool owned, int64_t now_us,
                struct pk_error *err)
{
    char per[PK_LW_TEXT];

    pk_limit_window_print(l->window, per);
    const struct pk_value args[] = {
        pk_v_required(l->slug),
        pk_v_required(pk_str_of(pk_limit_scope_name(l->scope))),
        pk_v_text(l->key),
        pk_v_text(l->value),
        pk_v_int(owned),
        pk_v_required(pk_str_of(pk_limit_counts_name(l->counts))),
        pk_v_required(pk_str_of(per)),
        pk_v_int(l->rolling),
        pk_v_int(l->budget),
        pk_v_int(l->amount),
        pk_v_int_unless(l->alert < 0, l->alert),
        pk_v_int(now_us),
    };

    return s->ops->exec(s, PK_SQL_limit_put, args, PK_COUNT(args), NULL, NULL, err);
}

static bool drop(struct pk_store *s, pk_str slug, bool *existed, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug)};

    *existed = false;
    return s->ops->exec(s, PK_SQL_limit_delete, args, PK_COUNT(args), pk_row_mark, existed, err) &&
           s->ops->exec(s, PK_SQL_limit_use_delete, args, PK_COUNT(args), NULL, NULL, err) &&
           s->ops->exec(s, PK_SQL_reservation_delete, args, PK_COUNT(args), NULL, NULL, err);
}

/* A limit for what is not there would never hold. */
static bool check_value(struct pk_store *s, struct pk_arena *arena, const struct pk_limit *l,
                        struct pk_error *err)
{
    struct pk_virtual_key key;
    int64_t version;
    bool found = true;
    pk_str body;

    if (l->value.len && l->scope == PK_LS_VIRTUAL_KEY) {
        if (!pk_store_key_get(s, arena, l->value, &key, &found, err))
            return false;
    } else if (l->value.len && l->scope == PK_LS_CONFIG) {
        if (!pk_store_config_get(s, arena, l->value, &body, &version, err))
            return false;
        found = body.len > 0;
    } else if (l->value.len && l->scope == PK_LS_API_KEY) {
        if (!pk_store_api_key_known(s, l->value, &found, err))
            return false;
    }
    return found || pk_fail(err, PK_NOT_FOUND, "limit.%s: there is none called \"%.*s\"",
                            pk_limit_scope_name(l->scope), PK_FMT(pk_name_shown(l->value)));
}

bool pk_store_limit_put(struct pk_store *s, struct pk_arena *arena, pk_str slug, pk_str text,
                        int64_t now_us, struct pk_error *err)
{
    const struct pk_change change = {now_us, "limit_put", slug, text};
    struct pk_limit l;

    if (!pk_slug_check(slug, err) || !pk_limit_read(arena, slug, text, &l, err) ||
        !check_value(s, arena, &l, err) || !s->ops->begin(s, err))
        return false;
    return pk_store_change_end(s, put(s, &l, false, now_us, err), &change, err);
}

bool pk_store_limit_delete(struct pk_store *s, pk_str slug, int64_t now_us, bool *existed,
                           struct pk_error *err)
{
    const struct pk_change change = {now_us, "limit_delete", slug, PK_NONE};

    *existed = false;
    if (pk_str_find(slug, ':') >= 0)
        return pk_fail(err, PK_BAD_REQUEST,
                       "slug: this limit belongs to a key; put the key anew without it");
    if (!pk_slug_check(slug, err) || !s->ops->begin(s, err))
        return false;
    bool ok = drop(s, slug, existed, err);
    return pk_store_change_end(s, ok, *existed ? &change : NULL, err);
}

/* --- those of a key ---------------------------------------------------------------------- */

struct slugs {
    struct pk_arena *arena;
    pk_str rows[2 * PK_OWNED_MAX];
    int count;
};

static bool read_slug(void *ctx, const struct pk_value *columns, int count)
{
    struct slugs *list = ctx;

    (void)count;
    if (list->count == (int)PK_COUNT(list->rows))
        return false;
    list->rows[list->count++] = pk_copy(list->arena, columns[0].s);
    return true;
}

static bool is_in(const struct pk_limit_list *list, pk_str slug)
{
    for (int i = 0; i < list->count; i++)
        if (pk_str_eq(list->rows[i].slug, slug))
            return true;
    return false;
}

bool pk_store_limits_own(struct pk_store *s, struct pk_arena *arena,
                         const struct pk_limit_owner *owner, const struct pk_limit_list *list,
                         int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(pk_str_of(pk_limit_scope_name(owner->scope))),
                                    pk_v_required(owner->slug)};
    struct slugs before = {.arena = arena};
    bool existed;

    if (!s->ops->exec(s, PK_SQL_limit_owned, args, PK_COUNT(args), read_slug, &before, err))
        return false;
    for (int i = 0; i < before.count; i++)
        if (!is_in(list, before.rows[i]) && !drop(s, before.rows[i], &existed, err))
            return false;
    for (int i = 0; i < list->count; i++)
        if (!put(s, &list->rows[i], true, now_us, err))
            return false;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "limits: out of memory");
}

bool pk_store_limits_disown(struct pk_store *s, const struct pk_limit_owner *owner,
                            struct pk_error *err)
{
    static const struct pk_limit_list none;
    struct pk_arena arena;

    pk_arena_init(&arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_store_limits_own(s, &arena, owner, &none, 0, err);
    pk_arena_free(&arena);
    return ok;
}

bool pk_store_limits_owned(struct pk_store *s, struct pk_arena *arena,
                           const struct pk_limit_owner *owner, struct pk_limit_list *list,
                           struct pk_error *err)
{
    struct pk_limits all = {0};

    list->count = 0;
    if (!pk_store_limits_load(s, arena, &all, err))
        return false;
    for (int i = 0; i < all.count; i++) {
        const struct pk_limit *l = &all.rows[i];
        bool owned = l->scope == owner->scope && pk_str_eq(l->value, owner->slug) &&
                     pk_str_find(l->slug, ':') >= 0;

        if (owned && list->count < (int)PK_COUNT(list->rows))
            list->rows[list->count++] = *l;
    }
    return true;
}

bool pk_store_limit_forget(struct pk_store *s, pk_str slug, pk_str subject, int64_t now_us,
                           struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(slug), pk_v_required(subject)};
    const struct pk_change change = {now_us, "usage_reset", slug, PK_NONE};

    if (!s->ops->begin(s, err))
        return false;
    bool ok = s->ops->exec(s, PK_SQL_limit_subject_forget, args, PK_COUNT(args), NULL, NULL, err);
    return pk_store_change_end(s, ok, &change, err);
}

bool pk_store_limits_forget(struct pk_store *s, const struct pk_limit_owner *owner, int64_t now_us,
                            struct pk_error *err)
{
    const char *scope = pk_limit_scope_name(owner->scope);
    const struct pk_value args[] = {pk_v_required(pk_str_of(scope)), pk_v_required(owner->slug)};
    const struct pk_change change = {now_us, "usage_reset", owner->slug, PK_NONE};

    if (!s->ops->begin(s, err))
        return false;
    bool ok = s->ops->exec(s, PK_SQL_limit_use_forget, args, PK_COUNT(args), NULL, NULL, err);
    return pk_store_change_end(s, ok, &change, err);
}
