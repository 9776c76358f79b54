/* store_key_seal.c - see store_key_seal.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_key_seal.h"

#include "store_audit.h"
#include "store_value.h"

struct slugs {
    struct pk_arena *arena;
    pk_str *at;
    int count;
};

/* A row of key_list: slug, provider, status. */
static bool add_slug(void *ctx, const struct pk_value *columns, int count)
{
    struct slugs *l = ctx;

    (void)count;
    if (pk_str_is(columns[2].s, "revoked"))
        return true;
    pk_str *at = pk_alloc_row(l->arena, l->at, l->count, sizeof *at);
    if (!at)
        return false;
    l->at = at;
    l->at[l->count++] = pk_copy(l->arena, columns[0].s);
    return true;
}

/* The same secret for the same host, under the other master key. */
static bool seal_anew(struct pk_arena *arena, const struct pk_resealing *r,
                      struct pk_virtual_key *k, struct pk_error *err)
{
    char plain[PK_SECRET_BYTES_MAX];
    size_t len = 0;
    bool ok = pk_secret_open(r->from, &k->key, k->provider, plain, &len, err) &&
              pk_secret_seal(r->to, arena, k->key.slug, k->provider, k->key.origin,
                             (pk_str){plain, len}, &k->key, err);

    pk_secret_wipe(plain, sizeof plain);
    return ok;
}

static bool reseal_one(struct pk_store *s, struct pk_arena *arena, struct pk_resealing *r,
                       pk_str slug, struct pk_error *err)
{
    struct pk_virtual_key k;
    bool found;

    if (!pk_store_key_get(s, arena, slug, &k, &found, err))
        return false;
    if (!found || k.key.kind != PK_KEY_SEALED)
        return true;
    if (!seal_anew(arena, r, &k, err))
        return false;
    const struct pk_value args[] = {
        pk_v_text(slug),
        pk_v_text(PK_STR("sealed")),
        pk_v_blob(k.key.value.at, k.key.value.len),
        pk_v_int(r->at_us),
    };
    found = false;
    r->count++;
    return s->ops->exec(s, PK_SQL_key_rotate, args, PK_COUNT(args), pk_row_mark, &found, err) &&
           (found || pk_fail(err, PK_STORE, "virtual key \"%.*s\": went meanwhile", PK_FMT(slug)));
}

bool pk_store_key_reseal(struct pk_store *s, struct pk_arena *arena, struct pk_resealing *r,
                         struct pk_error *err)
{
    struct slugs list = {.arena = arena};

    r->count = 0;
    if (!s->ops->begin(s, err))
        return false;
    bool ok = s->ops->exec(s, PK_SQL_key_list, NULL, 0, add_slug, &list, err) &&
              (!arena->failed || pk_fail(err, PK_NO_MEMORY, "keys: out of memory"));
    for (int i = 0; ok && i < list.count; i++)
        ok = reseal_one(s, arena, r, list.at[i], err);
    const struct pk_change change = {r->at_us, "key_reseal", PK_STR("*"),
                                     pk_copyf(arena, "{\"keys\":%lld}", (long long)r->count)};
    return pk_store_change_end(s, ok, &change, err);
}
