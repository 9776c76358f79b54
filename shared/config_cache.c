/* config_cache.c - what a config says about the cache, and who makes its vectors.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "config_inner.h"

#include "operation.h"

#include <string.h>

static const double usual_threshold = 0.95;

/* An embedder while it is read; a node of the document has the members of whom to call as well. */
struct embedder_draft {
    struct pk_draft node; /* first: the readers of these members take it for a node */
    pk_str model;
    int64_t dimensions;
};

/* Models that a provider's slug alone stands for. */
static const struct {
    const char *provider, *model;
} usual_models[] = {
    {"openai", "text-embedding-3-small"},
    {"mistral-ai", "mistral-embed"},
    {"google", "gemini-embedding-001"},
    {"cohere", "embed-v4.0"},
    {"voyage", "voyage-3.5"},
    {"jina", "jina-embeddings-v3"},
};

/* --- the embedder ---------------------------------------------------------------------------- */

static bool embedder_model(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "model", value, PK_SLUG_BYTES_MAX,
                               &((struct embedder_draft *)into)->model);
}

static bool embedder_dimensions(struct pk_config_reader *p, int value, void *into)
{
    struct embedder_draft *d = into;

    return pk_config_read_int(p, "dimensions", value, PK_EMBEDDING_DIMS_MAX, &d->dimensions) &&
           (d->dimensions > 0 ||
            pk_config_fail(p, "dimensions", "must be 1..%d", PK_EMBEDDING_DIMS_MAX));
}

static const struct pk_config_member embedder_members[] = {
    {"provider", pk_config_read_provider},
    {"virtual_key", pk_config_read_virtual_key},
    {"api_key", pk_config_read_api_key},
    {"custom_host", pk_config_read_custom_host},
    {"request_timeout", pk_config_read_request_timeout},
    {"model", embedder_model},
    {"dimensions", embedder_dimensions},
    {0},
};

static bool add_embedder(struct pk_config_reader *p, struct embedder_draft *d, int *index)
{
    struct pk_config *c = p->config;
    struct pk_embedder *list, *e;

    if (c->embedder_count == PK_EMBEDDERS_MAX)
        return pk_config_fail(p, "", "more than %d embedders", PK_EMBEDDERS_MAX);
    list = pk_config_room(p, c->embedders, c->embedder_count, sizeof *list, "embedder");
    if (!list)
        return false;
    c->embedders = list;
    e = &list[c->embedder_count];
    pk_draft_settle(&d->node);
    if (d->node.set.provider.len == 0 && d->node.set.virtual_key.len == 0)
        return pk_config_fail(p, "provider", "must be given, or virtual_key");
    *e = (struct pk_embedder){.model = d->model, .dimensions = d->dimensions};
    if (!pk_config_make_target(p, &d->node, &e->target))
        return false;
    *index = c->embedder_count++;
    return true;
}

/* A provider's slug or a virtual key's, or an object. */
static bool read_embedder(struct pk_config_reader *p, int value, int *index)
{
    struct embedder_draft d = {.node = {.targets = -1}};
    pk_str slug = PK_NONE;

    if (pk_json_type(&p->doc, value) == PK_JSON_OBJECT) {
        struct pk_config_table tables[] = {
            {.members = embedder_members, .into = &d},
            {.members = pk_config_fields, .into = &d.node},
            {.members = pk_config_other_fields, .into = &d.node},
        };

        if (!pk_config_read_tables(p, value, tables, PK_COUNT(tables)))
            return false;
        if (d.node.api_key.len || pk_draft_has_secret(&d.node))
            p->api_key_at = pk_copyf(p->arena, "config.%s", p->path);
        return add_embedder(p, &d, index);
    }
    if (!pk_config_read_text(p, "", value, PK_SLUG_BYTES_MAX, &slug))
        return false;
    if (pk_str_starts(slug, "@"))
        slug = pk_str_sub(slug, 1, slug.len);
    d.node.by_slug = !pk_provider_find(slug);
    *(d.node.by_slug ? &d.node.virtual_key : &d.node.provider) = slug;
    return add_embedder(p, &d, index);
}

/* --- the policy ------------------------------------------------------------------------------ */

static bool cache_mode(struct pk_config_reader *p, int value, void *into)
{
    struct pk_cache_policy *c = into;

    if (pk_json_is(&p->doc, value, "simple"))
        c->mode = PK_CACHE_SIMPLE;
    else if (pk_json_is(&p->doc, value, "semantic"))
        c->mode = PK_CACHE_SEMANTIC;
    else
        return pk_config_fail(p, "mode", "must be \"simple\" or \"semantic\"");
    return true;
}

static bool cache_max_age(struct pk_config_reader *p, int value, void *into)
{
    struct pk_cache_policy *c = into;

    if (!pk_json_int(&p->doc, value, &c->max_age_s) || c->max_age_s < 1 || c->max_age_s > INT32_MAX)
        return pk_config_fail(p, "max_age", "must be seconds, 1 or more");
    return true;
}

static bool cache_namespace(struct pk_config_reader *p, int value, void *into)
{
    return pk_config_read_text(p, "namespace", value, PK_SLUG_BYTES_MAX,
                               &((struct pk_cache_policy *)into)->ns);
}

static bool cache_threshold(struct pk_config_reader *p, int value, void *into)
{
    double *threshold = &((struct pk_cache_policy *)into)->threshold;

    if (!pk_json_number(&p->doc, value, threshold) || !(*threshold > 0 && *threshold <= 1))
        return pk_config_fail(p, "similarity_threshold", "must be above 0 and at most 1");
    return true;
}

static bool cache_embedder(struct pk_config_reader *p, int value, void *into)
{
    size_t len = pk_config_enter(p, "embedder");
    bool ok = read_embedder(p, value, &((struct pk_cache_policy *)into)->embedder);

    pk_config_leave(p, len);
    return ok;
}

static const struct pk_config_member cache_members[] = {
    {"mode", cache_mode},           {"max_age", cache_max_age},
    {"namespace", cache_namespace}, {"similarity_threshold", cache_threshold},
    {"embedder", cache_embedder},   {0},
};

bool pk_config_read_cache(struct pk_config_reader *p, int value, void *into)
{
    struct pk_cache_policy *c = &((struct pk_draft *)into)->set.cache;

    *c = (struct pk_cache_policy){.max_age_s = PK_CACHE_AGE_S_DEFAULT, .embedder = -1};
    if (!pk_config_read_member(p, "cache", value, cache_members, c))
        return false;
    if (c->mode == PK_CACHE_OFF)
        return pk_config_fail(p, "cache.mode", "must be given");
    if (c->mode != PK_CACHE_SEMANTIC && c->threshold > 0)
        return pk_config_fail(p, "cache.similarity_threshold", "is for mode \"semantic\"");
    if (c->mode != PK_CACHE_SEMANTIC && c->embedder >= 0)
        return pk_config_fail(p, "cache.embedder", "is for mode \"semantic\"");
    if (c->mode == PK_CACHE_SEMANTIC && !(c->threshold > 0))
        c->threshold = usual_threshold;
    return true;
}

/* --- what the config does not say ------------------------------------------------------------ */

static bool wants_default(const struct pk_target *t)
{
    return t->cache.mode == PK_CACHE_SEMANTIC && t->cache.embedder < 0;
}

/* As read_embedder(), of a text that is an object or a bare slug. */
static bool parse_default(struct pk_arena *arena, pk_str text, struct pk_config *config, int *index,
                          struct pk_error *err)
{
    struct pk_config_reader p = {.arena = arena, .config = config, .err = err};
    struct pk_buf quoted = pk_buf_in(arena, PK_CONFIG_BYTES_MAX);
    char why[sizeof err->msg];
    bool ok;

    if (!pk_str_starts(text, "{")) {
        pk_json_quote(&quoted, text);
        text = pk_buf_str(&quoted);
    }
    ok = pk_json_parse(arena, pk_copy(arena, text), "JSON", &p.doc, err) &&
         read_embedder(&p, 0, index);
    if (ok) {
        config->embedders[*index].target.path = PK_STR("PK_EMBEDDER");
        return true;
    }
    memcpy(why, err->msg, sizeof why);
    return pk_fail(err, PK_BAD_CONFIG, "PK_EMBEDDER: %.200s", why);
}

bool pk_config_embed(struct pk_arena *arena, pk_str otherwise, struct pk_config *config,
                     struct pk_error *err)
{
    int index = -1;

    for (int i = 0; i < config->target_count; i++) {
        struct pk_target *t = &config->targets[i];

        if (!wants_default(t) || pk_str_trim(otherwise).len == 0)
            continue;
        if (index < 0 && !parse_default(arena, pk_str_trim(otherwise), config, &index, err))
            return false;
        t->cache.embedder = index;
    }
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "config: out of memory");
}

bool pk_embedder_ready(struct pk_embedder *e, struct pk_error *err)
{
    const struct pk_target *t = &e->target;

    if (!pk_provider_has(t->provider, pk_operation_embeddings.name) ||
        !pk_codec_find(t->provider, pk_provider_back(t->provider, &pk_dialect_openai, e->model),
                       &pk_operation_embeddings))
        return pk_fail(err, PK_BAD_CONFIG, "%.*s.provider: %s has no embeddings", PK_FMT(t->path),
                       t->provider->name);
    for (size_t i = 0; e->model.len == 0 && i < PK_COUNT(usual_models); i++)
        if (strcmp(usual_models[i].provider, t->provider->name) == 0)
            e->model = pk_str_of(usual_models[i].model);
    if (e->model.len == 0)
        return pk_fail(err, PK_BAD_CONFIG, "%.*s.model: must be given for provider %s",
                       PK_FMT(t->path), t->provider->name);
    return pk_models_allow(&t->models, e->model) ||
           pk_fail(err, PK_NO_PERMISSION, "virtual key \"%.*s\": model \"%.*s\" is not allowed",
                   PK_FMT(t->virtual_key), PK_FMT(e->model));
}
