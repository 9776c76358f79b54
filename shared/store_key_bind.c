/* store_key_bind.c - virtual keys in configs: what a target that names one gets of it (store.h).
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_guard.h"
#include "store_key_field.h"
#include "store_place.h"
#include "store_provider.h"

/* Whether the key may be used now; PK_NO_KEY says "revoked" or "expired". */
static bool usable(const struct pk_virtual_key *k, int64_t now_us, struct pk_error *err)
{
    if (!k->active)
        return pk_fail(err, PK_NO_KEY, "virtual key \"%.*s\": is revoked", PK_FMT(k->slug));
    if (k->expires_us && now_us >= k->expires_us)
        return pk_fail(err, PK_NO_KEY, "virtual key \"%.*s\": has expired", PK_FMT(k->slug));
    if (k->key.kind == PK_KEY_NONE)
        return pk_fail(err, PK_STORE, "virtual key \"%.*s\": is of a newer version",
                       PK_FMT(k->slug));
    return true;
}

/* The provider's base URL now, if the key may go there. What an administrator put may have moved since the key
 * was stored: to another path, and the key follows; to another host, and the key opens nothing. */
static bool follow(struct pk_arena *arena, struct pk_target *t, const struct pk_virtual_key *k,
                   struct pk_error *err)
{
    pk_str base = pk_str_of(t->provider->base_url);
    struct pk_url bound, now;

    if (k->custom_host.len || t->custom_host.len || pk_str_eq(base, k->key.origin))
        return true;
    if (!pk_url_parse(k->key.origin, "virtual key", &bound, err) ||
        !pk_url_parse(base, "base_url", &now, err))
        return false;
    if (pk_url_same_origin(&bound, &now))
        t->base_url = base;
    else if (t->dead.len == 0)
        t->dead = pk_copyf(arena,
                           "virtual key \"%.*s\": belongs to %.*s, which provider \"%s\" has left; "
                           "put it anew",
                           PK_FMT(k->slug), PK_FMT(bound.host), t->provider->name);
    return true;
}

static bool bind_target(struct pk_store_binding *b, struct pk_target *t,
                        const struct pk_virtual_key *k, struct pk_error *err)
{
    const struct pk_provider *p;

    if (!pk_store_provider_find(b->store, b->arena, k->provider, &p, err))
        return false;
    if (!p)
        return pk_fail(err, PK_BAD_CONFIG,
                       "virtual key \"%.*s\": its provider \"%.*s\" is not known", PK_FMT(k->slug),
                       PK_FMT(k->provider));
    t->models = k->models;
    t->fields = pk_key_fields_join(b->arena, k->fields, t->fields);
    if (!pk_config_bind(t, p, k->key, k->key.origin, err) ||
        (p->own && !follow(b->arena, t, k, err)))
        return false;
    if (t->custom_host.len == 0)
        t->custom_host = k->custom_host;
    return true;
}

/* Gives a target the provider of its own name; for "@slug" without a virtual key, the one of that slug. */
static bool provide(struct pk_store_binding *b, struct pk_target *t, struct pk_error *err)
{
    const struct pk_provider *p = NULL;
    pk_str name = t->virtual_key.len ? t->virtual_key : t->provider_name;

    if ((t->virtual_key.len == 0 || t->by_slug) &&
        !pk_store_provider_get(b->store, b->arena, name, &p, err))
        return false;
    if (!p && t->virtual_key.len)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s.virtual_key: there is none called \"%.*s\"",
                       PK_FMT(t->path), PK_FMT(pk_name_shown(name)));
    if (!p)
        return pk_config_unknown_provider(t, err);
    t->virtual_key = PK_NONE;
    pk_config_provide(t, p);
    return true;
}

/* As pk_store_target_bind(), but a key that is revoked or has expired makes the target a dead one. */
static bool bind_key(struct pk_store_binding *b, struct pk_target *t, struct pk_error *err)
{
    struct pk_error unusable = {0};
    struct pk_virtual_key k;
    bool found;

    pk_str slug = t->virtual_key;

    if (slug.len == 0 && t->key.kind == PK_KEY_NONE)
        slug = t->slug;
    if (slug.len == 0)
        return t->provider_name.len == 0 || provide(b, t, err);
    if (!pk_store_key_get(b->store, b->arena, slug, &k, &found, err))
        return false;
    if (!found)
        return t->provider || provide(b, t, err);
    t->virtual_key = slug;
    if (k.expires_us > b->now_us && k.expires_us < b->until_us)
        b->until_us = k.expires_us;
    if (!usable(&k, b->now_us, &unusable)) {
        t->dead = pk_copy(b->arena, pk_str_of(unusable.msg));
        if (unusable.code != PK_NO_KEY || t->dead.len == 0)
            return pk_fail(err, unusable.code, "%s", unusable.msg);
    }
    return bind_target(b, t, &k, err);
}

bool pk_store_target_bind(struct pk_store_binding *b, struct pk_target *t, struct pk_error *err)
{
    return bind_key(b, t, err) &&
           (t->dead.len == 0 || pk_fail(err, PK_NO_KEY, "%.*s", PK_FMT(t->dead)));
}

/* A dead target is passed over like one whose provider refuses the key, unless nothing else is left. */
static bool bind_targets(struct pk_store_binding *b, struct pk_config *config, struct pk_error *err)
{
    int alive = 0;

    for (int i = 0; i < config->target_count; i++) {
        if (!bind_key(b, &config->targets[i], err))
            return false;
        alive += config->targets[i].dead.len == 0;
    }
    return alive > 0 || config->target_count == 0 ||
           pk_fail(err, PK_NO_KEY, "%.*s", PK_FMT(config->targets[0].dead));
}

bool pk_store_config_bind(struct pk_store *s, struct pk_arena *arena, struct pk_config *config,
                          int64_t now_us, int64_t *until_us, struct pk_error *err)
{
    struct pk_store_binding b = {s, arena, now_us, INT64_MAX};
    bool ok = bind_targets(&b, config, err);

    for (int i = 0; ok && i < config->embedder_count; i++)
        ok = pk_store_target_bind(&b, &config->embedders[i].target, err);
    for (int i = 0; ok && i < config->target_count; i++)
        ok = pk_store_place(arena, &config->targets[i], err);
    for (int i = 0; ok && i < config->embedder_count; i++)
        ok = pk_store_place(arena, &config->embedders[i].target, err);
    for (struct pk_guards *g = config->guards; ok && g; g = g->next)
        ok = pk_store_guards_bind(&b, g, err);
    *until_us = b.until_us;
    return ok;
}
