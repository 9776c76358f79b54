/* config.c - see config.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each object kind has a table of its members; one loop walks the members of the document and
 * looks each up, so that what the tables do not list is an error. A node's settings start as a
 * copy of its parent's: that is all there is to inheritance.
 */
#include "config.h"

#include "http.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 192, WEIGHT_SCALE = 1000, WEIGHT_MAX = 1000000 };

/* What a target is made of and an inner node hands down. */
struct settings {
    pk_str provider, virtual_key, api_key;
    pk_str custom_host, override_params;
    struct pk_retry retry;
    struct pk_timeouts timeouts;
    struct pk_cache_policy cache;
    pk_str forward[PK_FORWARD_MAX];
    int forward_count;
};

/* One node of the document while its members are read. */
struct draft {
    struct settings set;
    pk_str name;
    pk_str provider, virtual_key, api_key; /* its own, not what it inherits */
    uint32_t weight;
    enum pk_strategy strategy;
    struct pk_statuses on_statuses;
    bool has_strategy;
    int targets; /* value of "targets", or -1 */
};

struct parse {
    struct pk_arena *arena;
    struct pk_json doc;
    struct pk_config *config;
    struct pk_error *err;
    char path[PATH_BYTES]; /* of the object being read: "", "targets[1].retry" */
};

/* A member that an object may have. `into` is what the object is read into. */
struct member {
    const char *name; /* in snake_case; camelCase is accepted too */
    bool (*read)(struct parse *p, int value, void *into);
};

static bool fail_at(struct parse *p, const char *name, const char *fmt, ...) PK_PRINTF(3, 4);

/* "PATH.NAME: what is wrong" */
static bool fail_at(struct parse *p, const char *name, const char *fmt, ...)
{
    char why[128];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return pk_fail(p->err, PK_BAD_CONFIG, "%s%s%s: %s", p->path, *p->path && *name ? "." : "",
                   *p->path || *name ? name : "config", why);
}

/* Whether `key` spells `snake`, in snake_case or camelCase. */
static bool spells(pk_str key, const char *snake)
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

static int member_of(const struct member *members, pk_str key)
{
    for (int i = 0; members[i].name; i++)
        if (spells(key, members[i].name))
            return i;
    return -1;
}

/* Reads every member of an object by its table. */
static bool read_object(struct parse *p, int object, const struct member *members, void *into)
{
    uint64_t seen = 0;

    if (pk_json_type(&p->doc, object) != PK_JSON_OBJECT)
        return fail_at(p, "", "must be an object, not %s",
                       pk_json_type_name(pk_json_type(&p->doc, object)));
    for (int k = pk_json_first(&p->doc, object); k >= 0; k = pk_json_next(&p->doc, object, k)) {
        pk_str key = pk_json_str(p->arena, &p->doc, k);
        int m = member_of(members, key);

        if (m < 0)
            return fail_at(p, "", "unknown key \"%.*s\"", PK_FMT(pk_str_sub(key, 0, 64)));
        if (seen & 1ull << m)
            return fail_at(p, members[m].name, "given twice");
        seen |= 1ull << m;
        if (!members[m].read(p, k + 1, into))
            return false;
    }
    return true;
}

/* Descends into a member for the time of one read_object(). */
static bool read_member_object(struct parse *p, const char *name, int value,
                               const struct member *members, void *into)
{
    size_t len = strlen(p->path);
    bool ok;

    (void)snprintf(p->path + len, sizeof p->path - len, "%s%s", len ? "." : "", name);
    ok = read_object(p, value, members, into);
    p->path[len] = 0;
    return ok;
}

/* --- values ------------------------------------------------------------------------------ */

static bool read_text(struct parse *p, const char *name, int value, size_t max, pk_str *out)
{
    if (pk_json_type(&p->doc, value) != PK_JSON_STRING)
        return fail_at(p, name, "must be a string");
    pk_str s = pk_json_str(p->arena, &p->doc, value);
    if (s.len == 0 || s.len > max)
        return fail_at(p, name, "must have 1 to %zu bytes", max);
    *out = pk_copy(p->arena, s);
    return true;
}

static bool read_bool(struct parse *p, const char *name, int value, bool *out)
{
    enum pk_json_type type = pk_json_type(&p->doc, value);

    if (type != PK_JSON_TRUE && type != PK_JSON_FALSE)
        return fail_at(p, name, "must be true or false");
    *out = type == PK_JSON_TRUE;
    return true;
}

static bool read_int(struct parse *p, const char *name, int value, int64_t max, int64_t *out)
{
    if (!pk_json_int(&p->doc, value, out) || *out < 0 || *out > max)
        return fail_at(p, name, "must be 0..%lld", (long long)max);
    return true;
}

static bool read_statuses(struct parse *p, const char *name, int value, struct pk_statuses *out)
{
    int n = pk_json_count(&p->doc, value);
    int64_t status;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || n > PK_STATUSES_MAX)
        return fail_at(p, name, "must be a list of at most %d HTTP statuses", PK_STATUSES_MAX);
    *out = (struct pk_statuses){.given = true};
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        if (!pk_json_int(&p->doc, v, &status) || status < 100 || status > 599)
            return fail_at(p, name, "must hold HTTP statuses, 100..599");
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

static bool read_duration(struct parse *p, const char *name, int value, int64_t *ms)
{
    return pk_config_duration_ms(&p->doc, value, ms) ||
           fail_at(
               p, name,
               "must be milliseconds (under 1000: seconds), \"250ms\" or \"30s\", at most 24 h");
}

/* --- retry, cache, strategy ------------------------------------------------------------------ */

static bool retry_attempts(struct parse *p, int value, void *into)
{
    struct pk_retry *r = into;
    int64_t n;

    if (!read_int(p, "attempts", value, PK_RETRIES_MAX, &n))
        return false;
    r->attempts = (int)n;
    return true;
}

static bool retry_statuses(struct parse *p, int value, void *into)
{
    return read_statuses(p, "on_status_codes", value, &((struct pk_retry *)into)->on_statuses);
}

static bool retry_after(struct parse *p, int value, void *into)
{
    return read_bool(p, "use_retry_after_header", value,
                     &((struct pk_retry *)into)->use_retry_after);
}

static const struct member retry_members[] = {
    {"attempts", retry_attempts},
    {"on_status_codes", retry_statuses},
    {"use_retry_after_header", retry_after},
    {"use_retry_after_headers", retry_after},
    {0},
};

static bool cache_mode(struct parse *p, int value, void *into)
{
    struct pk_cache_policy *c = into;

    if (pk_json_is(&p->doc, value, "simple"))
        c->mode = PK_CACHE_SIMPLE;
    else if (pk_json_is(&p->doc, value, "semantic"))
        return fail_at(p, "mode", "semantic needs an embedder, which this version does not have");
    else
        return fail_at(p, "mode", "must be \"simple\" or \"semantic\"");
    return true;
}

static bool cache_max_age(struct parse *p, int value, void *into)
{
    struct pk_cache_policy *c = into;

    if (!pk_json_int(&p->doc, value, &c->max_age_s) || c->max_age_s < 1 || c->max_age_s > INT32_MAX)
        return fail_at(p, "max_age", "must be seconds, 1 or more");
    return true;
}

static bool cache_namespace(struct parse *p, int value, void *into)
{
    return read_text(p, "namespace", value, PK_SLUG_BYTES_MAX,
                     &((struct pk_cache_policy *)into)->ns);
}

static const struct member cache_members[] = {
    {"mode", cache_mode},
    {"max_age", cache_max_age},
    {"namespace", cache_namespace},
    {0},
};

static bool strategy_mode(struct parse *p, int value, void *into)
{
    struct draft *d = into;

    if (pk_json_is(&p->doc, value, "single"))
        d->strategy = PK_SINGLE;
    else if (pk_json_is(&p->doc, value, "fallback"))
        d->strategy = PK_FALLBACK;
    else if (pk_json_is(&p->doc, value, "loadbalance"))
        d->strategy = PK_LOADBALANCE;
    else
        return fail_at(p, "mode", "must be \"single\", \"fallback\" or \"loadbalance\"");
    return true;
}

static bool strategy_statuses(struct parse *p, int value, void *into)
{
    return read_statuses(p, "on_status_codes", value, &((struct draft *)into)->on_statuses);
}

static const struct member strategy_members[] = {
    {"mode", strategy_mode},
    {"on_status_codes", strategy_statuses},
    {0},
};

/* --- members of a node ----------------------------------------------------------------------- */

static bool node_strategy(struct parse *p, int value, void *into)
{
    struct draft *d = into;

    d->has_strategy = true;
    if (!read_member_object(p, "strategy", value, strategy_members, d))
        return false;
    if (d->strategy == PK_LEAF)
        return fail_at(p, "strategy.mode", "must be given");
    if (d->on_statuses.given && d->strategy != PK_FALLBACK)
        return fail_at(p, "strategy.on_status_codes", "is for mode \"fallback\"");
    return true;
}

static bool node_targets(struct parse *p, int value, void *into)
{
    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY || pk_json_count(&p->doc, value) == 0)
        return fail_at(p, "targets", "must be a list with at least one target");
    ((struct draft *)into)->targets = value;
    return true;
}

static bool node_name(struct parse *p, int value, void *into)
{
    return read_text(p, "name", value, PK_SLUG_BYTES_MAX, &((struct draft *)into)->name);
}

static bool node_weight(struct parse *p, int value, void *into)
{
    double w;

    if (!pk_json_number(&p->doc, value, &w) || w < 0 || w > WEIGHT_MAX)
        return fail_at(p, "weight", "must be 0..%d", WEIGHT_MAX);
    uint32_t scaled = (uint32_t)(w * WEIGHT_SCALE + 0.5);
    ((struct draft *)into)->weight = w > 0 && scaled == 0 ? 1 : scaled;
    return true;
}

static bool node_provider(struct parse *p, int value, void *into)
{
    struct draft *d = into;
    pk_str name = PK_NONE;

    if (!read_text(p, "provider", value, PK_SLUG_BYTES_MAX, &name))
        return false;
    if (pk_provider_find(name))
        d->provider = name;
    else if (pk_str_starts(name, "@") &&
             name.len > 1) /* Portkey's newer spelling of a virtual key */
        d->virtual_key = pk_str_sub(name, 1, name.len);
    else
        return fail_at(p, "provider", "unknown provider \"%.*s\"", PK_FMT(name));
    return true;
}

static bool node_virtual_key(struct parse *p, int value, void *into)
{
    return read_text(p, "virtual_key", value, PK_SLUG_BYTES_MAX,
                     &((struct draft *)into)->virtual_key);
}

static bool node_api_key(struct parse *p, int value, void *into)
{
    return read_text(p, "api_key", value, 4096, &((struct draft *)into)->api_key);
}

/* A node that says whom to call drops what it inherited about that. */
static void settle_whom(struct draft *d)
{
    if (d->provider.len || d->virtual_key.len) {
        d->set.provider = d->provider;
        d->set.virtual_key = d->virtual_key;
        d->set.api_key = PK_NONE;
    }
    if (d->api_key.len)
        d->set.api_key = d->api_key;
}

static bool node_custom_host(struct parse *p, int value, void *into)
{
    struct draft *d = into;
    struct pk_error why = {0};
    struct pk_url url;
    pk_str host = PK_NONE;

    if (!read_text(p, "custom_host", value, PK_URL_BYTES_MAX, &host))
        return false;
    if (!pk_url_parse(host, "custom_host", &url, &why))
        return fail_at(p, "custom_host", "%s", why.msg + strlen("custom_host: "));
    while (pk_str_ends(host, "/"))
        host.len--;
    d->set.custom_host = host;
    return true;
}

static bool node_override(struct parse *p, int value, void *into)
{
    struct draft *d = into;

    if (pk_json_type(&p->doc, value) != PK_JSON_OBJECT)
        return fail_at(p, "override_params", "must be an object");
    if (pk_json_get(&p->doc, value, "stream") >= 0)
        return fail_at(p, "override_params.stream", "the client decides whether to stream");
    pk_str own = pk_copy(p->arena, pk_json_raw(&p->doc, value));
    if (d->set.override_params.len == 0) {
        d->set.override_params = own;
        return true;
    }
    return pk_json_merge(p->arena, d->set.override_params, own, "override_params",
                         &d->set.override_params, p->err);
}

static bool node_retry(struct parse *p, int value, void *into)
{
    struct draft *d = into;

    d->set.retry = (struct pk_retry){.use_retry_after = true};
    return read_member_object(p, "retry", value, retry_members, &d->set.retry);
}

static bool node_cache(struct parse *p, int value, void *into)
{
    struct draft *d = into;

    d->set.cache = (struct pk_cache_policy){.max_age_s = PK_CACHE_AGE_S_DEFAULT};
    if (!read_member_object(p, "cache", value, cache_members, &d->set.cache))
        return false;
    return d->set.cache.mode != PK_CACHE_OFF || fail_at(p, "cache.mode", "must be given");
}

static bool node_request_timeout(struct parse *p, int value, void *into)
{
    return read_duration(p, "request_timeout", value,
                         &((struct draft *)into)->set.timeouts.request_ms);
}

static bool node_ttft_timeout(struct parse *p, int value, void *into)
{
    return read_duration(p, "ttft_timeout", value, &((struct draft *)into)->set.timeouts.ttft_ms);
}

static bool node_idle_timeout(struct parse *p, int value, void *into)
{
    return read_duration(p, "idle_timeout", value, &((struct draft *)into)->set.timeouts.idle_ms);
}

static bool node_forward(struct parse *p, int value, void *into)
{
    struct settings *s = &((struct draft *)into)->set;

    if (pk_json_type(&p->doc, value) != PK_JSON_ARRAY ||
        pk_json_count(&p->doc, value) > PK_FORWARD_MAX)
        return fail_at(p, "forward_headers", "must be a list of at most %d header names",
                       PK_FORWARD_MAX);
    s->forward_count = 0;
    for (int v = pk_json_first(&p->doc, value); v >= 0; v = pk_json_next(&p->doc, value, v)) {
        pk_str name = PK_NONE;

        if (!read_text(p, "forward_headers", v, PK_SLUG_BYTES_MAX, &name))
            return false;
        if (!pk_http_valid_name(name))
            return fail_at(p, "forward_headers", "\"%.*s\" is not a header name", PK_FMT(name));
        s->forward[s->forward_count++] = name;
    }
    return true;
}

/* Portkey's switch for provider extras in answers. pk never strips them, so both values do. */
static bool node_strict(struct parse *p, int value, void *into)
{
    bool unused;

    (void)into;
    return read_bool(p, "strict_open_ai_compliance", value, &unused);
}

static const struct member node_members[] = {
    {"strategy", node_strategy},
    {"targets", node_targets},
    {"name", node_name},
    {"weight", node_weight},
    {"provider", node_provider},
    {"virtual_key", node_virtual_key},
    {"api_key", node_api_key},
    {"custom_host", node_custom_host},
    {"override_params", node_override},
    {"retry", node_retry},
    {"cache", node_cache},
    {"request_timeout", node_request_timeout},
    {"ttft_timeout", node_ttft_timeout},
    {"idle_timeout", node_idle_timeout},
    {"forward_headers", node_forward},
    {"strict_open_ai_compliance", node_strict},
    {0},
};

/* --- the tree -------------------------------------------------------------------------------- */

static void set_base_url(struct pk_target *t)
{
    t->base_url = t->custom_host.len ? t->custom_host : pk_str_of(t->provider->base_url);
}

static bool add_target(struct parse *p, const struct draft *d, int node)
{
    struct pk_config *c = p->config;
    struct pk_target *t = &c->targets[c->target_count];

    if (d->set.virtual_key.len && d->set.api_key.len)
        return fail_at(p, "api_key", "give virtual_key or api_key, not both");
    *t = (struct pk_target){
        .name = d->name,
        .path = pk_copyf(p->arena, "config%s%s", *p->path ? "." : "", p->path),
        .node = node,
        .virtual_key = d->set.virtual_key,
        .provider = d->set.virtual_key.len ? NULL : pk_provider_find(d->set.provider),
        .custom_host = d->set.custom_host,
        .override_params = d->set.override_params,
        .retry = d->set.retry,
        .timeouts = d->set.timeouts,
        .cache = d->set.cache,
        .forward_count = d->set.forward_count,
    };
    memcpy(t->forward, d->set.forward, sizeof t->forward);
    if (d->set.api_key.len)
        t->key = (struct pk_key){.kind = PK_KEY_LITERAL, .value = d->set.api_key};
    if (t->provider)
        set_base_url(t);
    c->route.nodes[node].target = (int16_t)c->target_count++;
    return true;
}

static bool add_node(struct parse *p, int value, const struct settings *inherited, int parent);

static bool add_children(struct parse *p, const struct draft *d, int self)
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
        return fail_at(p, "targets", "every weight is 0");
    return true;
}

static int depth_of(const struct pk_route *r, int node)
{
    int depth = 0;

    for (; node != 0; node = r->nodes[node].parent)
        depth++;
    return depth;
}

/* Recursion is bounded by PK_DEPTH_MAX. */
static bool add_node(struct parse *p, int value, const struct settings *inherited, int parent)
{
    struct pk_route *r = &p->config->route;
    struct draft d = {.set = *inherited, .weight = WEIGHT_SCALE, .targets = -1};
    int self = r->count;

    if (self == PK_NODES_MAX)
        return fail_at(p, "", "more than %d targets", PK_NODES_MAX);
    if (!read_object(p, value, node_members, &d))
        return false;
    settle_whom(&d);
    if (d.targets < 0 && d.has_strategy)
        return fail_at(p, "targets", "must be given with a strategy");
    if (d.targets >= 0 && !d.has_strategy) {
        if (pk_json_count(&p->doc, d.targets) > 1)
            return fail_at(p, "strategy", "must be given with more than one target");
        d.strategy = PK_SINGLE;
    }
    r->count++;
    r->nodes[self] = (struct pk_node){
        .strategy = d.targets < 0 ? PK_LEAF : d.strategy,
        .parent = (int16_t)parent,
        .child = -1,
        .sibling = -1,
        .target = -1,
        .weight = d.weight,
        .on_statuses = d.on_statuses,
    };
    if (d.targets < 0)
        return add_target(p, &d, self);
    if (depth_of(r, self) >= PK_DEPTH_MAX)
        return fail_at(p, "targets", "nested deeper than %d", PK_DEPTH_MAX);
    return add_children(p, &d, self);
}

bool pk_config_parse(struct pk_arena *arena, pk_str text, struct pk_config *config,
                     struct pk_error *err)
{
    struct parse p = {.arena = arena, .config = config, .err = err};
    struct settings none = {.retry = {.use_retry_after = true}};

    *config = (struct pk_config){0};
    if (text.len > PK_CONFIG_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "config: larger than %d KiB", PK_CONFIG_BYTES_MAX >> 10);
    if (!pk_json_parse(arena, pk_copy(arena, text), "config", &p.doc, err) ||
        !add_node(&p, 0, &none, 0))
        return false;
    if (arena->failed)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    for (int i = config->target_count - 1; i >= 0; i--)
        if (config->targets[i].cache.mode != PK_CACHE_OFF)
            config->cache = config->targets[i].cache;
    return true;
}

/* --- binding ----------------------------------------------------------------------------------- */

bool pk_config_bind(struct pk_config *config, int target, const struct pk_provider *provider,
                    struct pk_key key, pk_str key_host, struct pk_error *err)
{
    struct pk_target *t = &config->targets[target];
    struct pk_url wanted, owner;
    pk_str origin = key_host.len ? key_host : pk_str_of(provider->base_url);

    PK_ASSERT(target < config->target_count);
    t->provider = provider;
    t->key = key;
    t->key.origin = origin;
    if (t->custom_host.len == 0) {
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

bool pk_config_ready(const struct pk_config *config, struct pk_error *err)
{
    for (int i = 0; i < config->target_count; i++) {
        const struct pk_target *t = &config->targets[i];

        if (!t->provider && t->virtual_key.len)
            return pk_fail(err, PK_BAD_CONFIG, "%.*s.virtual_key: \"%.*s\" is not bound",
                           PK_FMT(t->path), PK_FMT(t->virtual_key));
        if (!t->provider)
            return pk_fail(err, PK_BAD_CONFIG, "%.*s: needs a provider, a virtual_key or targets",
                           PK_FMT(t->path));
        if (t->base_url.len == 0)
            return pk_fail(err, PK_BAD_CONFIG, "%.*s.custom_host: provider \"%s\" needs one",
                           PK_FMT(t->path), t->provider->name);
    }
    return true;
}

bool pk_config_has_literal_key(const struct pk_config *config, pk_str *path)
{
    for (int i = 0; i < config->target_count; i++)
        if (config->targets[i].key.kind == PK_KEY_LITERAL) {
            *path = config->targets[i].path;
            return true;
        }
    return false;
}
