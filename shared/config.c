/* config.c - see config.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A node's settings start as a copy of its parent's: that is all there is to inheritance.
 */
#include "config_inner.h"

#include <stdio.h>
#include <string.h>

/* --- the tree -------------------------------------------------------------------------------- */

void pk_config_provide(struct pk_target *t, const struct pk_provider *provider)
{
    t->provider = provider;
    t->base_url = t->custom_host.len ? t->custom_host : pk_str_of(provider->base_url);
}

void pk_config_name_provider(struct pk_target *t, pk_str name)
{
    const struct pk_provider *provider = pk_provider_find(name);

    if (pk_str_starts(name, "@"))
        t->slug = pk_str_sub(name, 1, name.len);
    if (provider)
        pk_config_provide(t, provider);
    else
        t->provider_name = name;
}

static pk_str path_here(struct pk_config_reader *p)
{
    return pk_copyf(p->arena, "config%s%s", *p->path ? "." : "", p->path);
}

void *pk_config_room(struct pk_config_reader *p, void *list, int count, size_t size,
                     const char *name)
{
    size_t held = (size_t)count * size;

    if (count > 0 && (count & (count - 1)) != 0)
        return list; /* it has grown to the next power of two */
    list = pk_alloc_grow(p->arena, list, held, count ? 2 * held : size);
    if (!list)
        (void)pk_fail(p->err, PK_NO_MEMORY, "%s: out of memory", name);
    return list;
}

bool pk_config_make_target(struct pk_config_reader *p, const struct pk_draft *d,
                           struct pk_target *t)
{
    if (d->set.virtual_key.len && d->set.api_key.len)
        return pk_config_fail(p, "api_key", "give virtual_key or api_key, not both");
    *t = (struct pk_target){
        .name = d->name,
        .path = path_here(p),
        .virtual_key = d->set.virtual_key,
        .by_slug = d->set.by_slug,
        .custom_host = d->set.custom_host,
        .params = d->set.params,
        .retry = d->set.retry,
        .timeouts = d->set.timeouts,
        .cache = d->set.cache,
        .breaker = d->set.breaker,
        .breaker_statuses = d->set.breaker_statuses,
        .forward_count = d->set.forward_count,
        .privacy = d->set.privacy,
        .guards = {d->set.guards[0], d->set.guards[1]},
        .native = d->set.native,
        .strict_params = d->set.strict_params,
    };
    memcpy(t->forward, d->set.forward, sizeof t->forward);
    if (d->set.api_key.len)
        t->key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = d->set.api_key};
    if (!pk_config_check_fields(p, d) || !pk_config_place_fields(p, d, t))
        return false;
    if (t->virtual_key.len == 0)
        pk_config_name_provider(t, d->set.provider);
    return true;
}

static bool add_target(struct pk_config_reader *p, const struct pk_draft *d, int node)
{
    struct pk_config *c = p->config;
    struct pk_target *list =
        pk_config_room(p, c->targets, c->target_count, sizeof *list, "targets");

    if (!list || !pk_config_make_target(p, d, &list[c->target_count]))
        return false;
    c->targets = list;
    list[c->target_count].node = node;
    c->route.nodes[node].target = (int16_t)c->target_count++;
    return true;
}

/* What a sticky loadbalance knows a target by: its name, else whom it calls and how, so that neither its
 * place in the list nor its weight matters. */
static uint64_t id_of_target(const struct pk_draft *d)
{
    const pk_str parts[] = {d->set.provider,    d->set.virtual_key,     d->set.api_key,
                            d->set.custom_host, d->set.params.defaults, d->set.params.overrides};
    uint64_t id = PK_HASH_START;

    for (size_t i = 0; i < PK_COUNT(parts); i++)
        id = pk_hash_add(id, parts[i]);
    for (int f = 0; f < PK_TARGET_FIELDS; f++)
        if (d->set.fields.at[f].len)
            id = pk_hash_add(id, d->set.fields.at[f]);
    return id;
}

static uint64_t id_of_group(const struct pk_route *r, int self)
{
    uint64_t id = PK_HASH_START;

    for (int i = r->nodes[self].child; i >= 0; i = r->nodes[i].sibling)
        id = pk_hash_add(id, (pk_str){(const char *)&r->nodes[i].id, sizeof r->nodes[i].id});
    return id;
}

/* Twins get different ids, or one of them would never win. */
static void tell_twins_apart(struct pk_route *r, int self)
{
    for (int i = r->nodes[self].child; i >= 0; i = r->nodes[i].sibling) {
        int k = r->nodes[self].child;

        while (k != i) {
            bool twins = r->nodes[k].id == r->nodes[i].id;

            r->nodes[i].id += twins ? 0x9e3779b97f4a7c15u : 0;
            k = twins ? r->nodes[self].child : r->nodes[k].sibling;
        }
    }
}

static bool add_node(struct pk_config_reader *p, int value, const struct pk_settings *inherited,
                     int parent);

static bool add_children(struct pk_config_reader *p, const struct pk_draft *d, int self)
{
    struct pk_route *r = &p->config->route;
    size_t len = strlen(p->path);
    int last = -1, i = 0;
    uint64_t weight = 0;

    for (int v = pk_json_first(&p->doc, d->targets); v >= 0;
         v = pk_json_next(&p->doc, d->targets, v), i++) {
        int child = r->count;

        (void)snprintf(p->path + len, sizeof p->path - len, "%stargets[%d]", len ? "." : "", i);
        if (!add_node(p, v, &d->set, self))
            return false;
        if (last < 0)
            r->nodes[self].child = (int16_t)child;
        else
            r->nodes[last].sibling = (int16_t)child;
        last = child;
        weight += r->nodes[child].weight;
    }
    p->path[len] = 0;
    if (d->strategy == PK_LOADBALANCE && weight == 0)
        return pk_config_fail(p, "targets", "every weight is 0");
    tell_twins_apart(r, self);
    if (d->name.len == 0)
        r->nodes[self].id = id_of_group(r, self);
    return !d->conditional || pk_config_link_conditions(p, d->conditional, self);
}

static int depth_of(const struct pk_route *r, int node)
{
    int depth = 0;

    for (; node != 0; node = r->nodes[node].parent)
        depth++;
    return depth;
}

/* Recursion is bounded by PK_DEPTH_MAX. */
static bool add_node(struct pk_config_reader *p, int value, const struct pk_settings *inherited,
                     int parent)
{
    struct pk_route *r = &p->config->route;
    struct pk_draft d = {.set = *inherited, .weight = PK_WEIGHT_SCALE, .targets = -1};
    int self = r->count;

    if (self == PK_NODES_MAX)
        return pk_config_fail(p, "", "more than %d targets and strategies", PK_NODES_MAX);
    struct pk_config_table tables[] = {
        {.members = pk_config_members, .into = &d},
        {.members = pk_config_fields, .into = &d},
        {.members = pk_config_other_fields, .into = &d},
    };
    if (!pk_config_read_tables(p, value, tables, PK_COUNT(tables)))
        return false;
    pk_draft_settle(&d);
    if (!pk_config_check_fields(p, &d))
        return false;
    if (d.api_key.len || pk_draft_has_secret(&d))
        p->config->api_key_at = path_here(p);
    if (d.targets < 0 && d.has_strategy)
        return pk_config_fail(p, "targets", "must be given with a strategy");
    if (d.targets >= 0 && !d.has_strategy) {
        if (pk_json_count(&p->doc, d.targets) > 1)
            return pk_config_fail(p, "strategy", "must be given with more than one target");
        d.strategy = PK_SINGLE;
    }
    r->count++;
    r->nodes[self] = (struct pk_node){
        .strategy = d.targets < 0 ? PK_LEAF : d.strategy,
        .by = d.by,
        .parent = (int16_t)parent,
        .child = -1,
        .sibling = -1,
        .target = -1,
        .weight = d.weight,
        .id = d.name.len ? pk_hash_add(PK_HASH_START, d.name) : id_of_target(&d),
        .name = d.name,
        .on_statuses = d.on_statuses,
    };
    p->config->sticky[self] = d.sticky;
    if (d.targets < 0)
        return add_target(p, &d, self);
    if (depth_of(r, self) >= PK_DEPTH_MAX)
        return pk_config_fail(p, "targets", "nested deeper than %d", PK_DEPTH_MAX);
    return add_children(p, &d, self);
}

bool pk_config_parse(struct pk_arena *arena, pk_str text, struct pk_config *config,
                     struct pk_error *err)
{
    struct pk_config_reader p = {.arena = arena, .config = config, .err = err};
    struct pk_settings none = {.retry = {.use_retry_after = true}};

    *config = (struct pk_config){0};
    if (text.len > PK_CONFIG_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "config: larger than %d KiB", PK_CONFIG_BYTES_MAX >> 10);
    if (!pk_json_parse(arena, pk_copy(arena, text), "config", &p.doc, err) ||
        !add_node(&p, 0, &none, 0))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    for (struct pk_guards *g = config->guards; g; g = g->next)
        pk_guards_settle(g);
    if (config->api_key_at.len == 0)
        config->api_key_at = p.api_key_at;
    return true;
}

/* --- binding ----------------------------------------------------------------------------------- */

bool pk_config_bind(struct pk_target *t, const struct pk_provider *provider, struct pk_key key,
                    pk_str key_host, struct pk_error *err)
{
    struct pk_url wanted, owner;
    pk_str origin = key_host.len ? key_host : pk_str_of(provider->base_url);

    t->provider = provider;
    t->key = key;
    t->key.origin = origin;
    if (t->custom_host.len == 0 || pk_str_find(origin, '{') >= 0) {
        t->base_url = origin;
        return true;
    }
    if (!pk_url_parse(t->custom_host, "custom_host", &wanted, err) ||
        !pk_url_parse(origin, "custom_host of the key", &owner, err))
        return false;
    if (!pk_url_same_origin(&wanted, &owner))
        return pk_fail(err, PK_HOST_DENIED,
                       "%.*s.custom_host: virtual key \"%.*s\" belongs to another host",
                       PK_FMT(t->path), PK_FMT(key.slug));
    t->base_url = t->custom_host;
    return true;
}

void pk_config_use_environment(struct pk_target *t)
{
    struct pk_url own, called;
    struct pk_error ignored;

    if (!t->provider || !t->provider->key_env || !*t->provider->key_env || t->virtual_key.len ||
        t->key.kind != PK_KEY_NONE)
        return;
    pk_str base = t->own_url.len ? t->own_url : pk_str_of(t->provider->base_url);
    if (!pk_url_parse(base, "base_url", &own, &ignored) ||
        !pk_url_parse(t->base_url, "custom_host", &called, &ignored) ||
        !pk_url_same_origin(&own, &called))
        return;
    t->key = (struct pk_key){
        .kind = PK_KEY_ENV, .value = pk_str_of(t->provider->key_env), .origin = base};
    t->key_url = base;
}

bool pk_config_unknown_provider(const struct pk_target *t, struct pk_error *err)
{
    return pk_fail(err, PK_BAD_CONFIG, "%.*s.provider: unknown provider \"%.*s\"", PK_FMT(t->path),
                   PK_FMT(pk_name_shown(t->provider_name)));
}

static bool target_ready(const struct pk_target *t, struct pk_error *err)
{
    if (!t->provider && t->virtual_key.len)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s.virtual_key: \"%.*s\" is not bound",
                       PK_FMT(t->path), PK_FMT(t->virtual_key));
    if (!t->provider && t->provider_name.len)
        return pk_config_unknown_provider(t, err);
    if (!t->provider)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s: needs a provider, a virtual_key or targets",
                       PK_FMT(t->path));
    if (t->base_url.len == 0)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s.custom_host: provider \"%s\" needs one",
                       PK_FMT(t->path), t->provider->name);
    return true;
}

bool pk_config_ready(struct pk_config *config, struct pk_error *err)
{
    for (int i = 0; i < config->target_count; i++)
        if (!target_ready(&config->targets[i], err))
            return false;
    for (int i = 0; i < config->embedder_count; i++)
        if (!target_ready(&config->embedders[i].target, err) ||
            !pk_embedder_ready(&config->embedders[i], err))
            return false;
    return true;
}

bool pk_config_has_literal_key(const struct pk_config *config, pk_str *path)
{
    *path = config->api_key_at;
    return path->len > 0;
}

bool pk_config_has_breaker(const struct pk_config *config)
{
    for (int i = 0; i < config->target_count; i++)
        if (config->targets[i].breaker.cooldown_ms)
            return true;
    return false;
}

bool pk_config_needs_figures(const struct pk_config *config)
{
    for (int i = 0; i < config->route.count; i++)
        if (config->route.nodes[i].by != PK_BY_WEIGHT)
            return true;
    return false;
}

bool pk_config_provider_batches(const struct pk_provider *p, struct pk_error *err)
{
    return p->batches || pk_fail(err, PK_BAD_REQUEST,
                                 "params.pk.executor: provider \"%s\" has no batch API", p->name);
}

bool pk_config_batches(const struct pk_config *config, struct pk_error *err)
{
    for (int i = 0; i < config->route.count; i++)
        if (config->conditional[i])
            return pk_fail(err, PK_BAD_REQUEST,
                           "params.pk.executor: a batch has one target, and the config has a "
                           "conditional strategy");
    for (int i = 0; i < config->target_count; i++)
        if (config->targets[i].provider->batches)
            return true;
    return pk_config_provider_batches(config->targets[0].provider, err);
}
