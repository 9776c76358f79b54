/* control_models.c - /v1/integrations/{slug}/models: allowed_models and denied_models of a virtual key, as Portkey has
 * them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Where no model is listed as allowed all are, but for those that are denied.
 */
#include "control.h"
#include "member.h"
#include "path.h"

static const char *const members[] = {"models", "allow_all_models", NULL};

static const struct pkd_resource integrations = {
    .noun = "integration",
    .kind = "virtual_key",
    .members = members,
    .queries = "slugs",
    .page = PK_SQL_key_page,
};

/* Patterns, as they will be. */
struct list {
    pk_str rows[PK_MODELS_MAX];
    int count;
};

/* What the key allows, and what it denies whatever it allows. */
struct models {
    struct pkd_control *c;
    struct list allowed, denied;
    bool listed; /* it had a list of those that are allowed */
};

static void drop(struct list *l, pk_str model)
{
    int kept = 0;

    for (int i = 0; i < l->count; i++)
        if (!pk_str_eq(l->rows[i], model))
            l->rows[kept++] = l->rows[i];
    l->count = kept;
}

static bool add(struct models *m, struct list *l, pk_str model)
{
    drop(l, model);
    if (l->count == PK_MODELS_MAX)
        return pk_fail(m->c->err, PK_BAD_REQUEST, "models: at most %d", PK_MODELS_MAX);
    l->rows[l->count++] = model;
    return true;
}

static void fill(struct list *l, const pk_str *rows, int count)
{
    l->count = count;
    for (int i = 0; i < count; i++)
        l->rows[i] = rows[i];
}

static bool load(struct pkd_control *c, struct models *m)
{
    struct pk_virtual_key k;
    bool found;

    if (!pkd_control_known(c) || !pk_store_key_get(c->store, c->arena, c->slug, &k, &found, c->err))
        return false;
    m->c = c;
    fill(&m->allowed, k.models.allowed, k.models.allowed_count);
    fill(&m->denied, k.models.denied, k.models.denied_count);
    m->listed = m->allowed.count > 0;
    return true;
}

static void print(struct pkd_control *c, const struct list *l, bool enabled)
{
    for (int i = 0; i < l->count; i++) {
        pk_member_item(c->out);
        pk_member_text(c->out, "slug", l->rows[i]);
        pk_member_bool(c->out, "enabled", enabled);
        pk_buf_addc(c->out, '}');
    }
}

static bool list_all(struct pkd_control *c)
{
    struct models m;

    if (!load(c, &m))
        return false;
    pk_member_text(c->out, "object", PK_STR("list"));
    pk_member_int(c->out, "total", m.allowed.count + m.denied.count);
    pk_member_bool(c->out, "allow_all_models", !m.listed);
    pk_member_raw(c->out, "models", PK_STR("["));
    print(c, &m.allowed, true);
    print(c, &m.denied, false);
    pk_buf_addc(c->out, ']');
    return true;
}

/* ["a","b"], or null for none. */
static void add_list(struct pk_buf *out, const char *name, const struct list *l)
{
    pk_member_raw(out, name, l->count ? PK_STR("[") : PK_STR("null"));
    for (int i = 0; i < l->count; i++) {
        if (i)
            pk_buf_addc(out, ',');
        pk_json_quote(out, l->rows[i]);
    }
    if (l->count)
        pk_buf_addc(out, ']');
}

static bool put(const struct models *m)
{
    struct pkd_control *c = m->c;
    struct pk_buf options = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);

    if (m->listed && m->allowed.count == 0)
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "models: none would be left; allow_all_models allows them all");
    pk_buf_addc(&options, '{');
    add_list(&options, "allowed_models", &m->allowed);
    add_list(&options, "denied_models", &m->denied);
    pk_buf_addc(&options, '}');
    const struct pk_key_change change = {c->slug, PK_NONE, pk_buf_str(&options), c->now_us};
    return pk_store_key_update(c->store, c->arena, c->errand->app->secrets, &change, c->err);
}

/* What is enabled joins the list, if there is to be one. What is disabled leaves it, and is denied where a pattern,
 * or there being no list, would let it through. */
static bool set(struct models *m, pk_str slug, bool enabled)
{
    if (enabled) {
        drop(&m->denied, slug);
        return !m->listed || add(m, &m->allowed, slug);
    }
    drop(&m->allowed, slug);
    if (m->listed && m->allowed.count == 0)
        return true; /* put() says so */
    const struct pk_models models = {.allowed = m->allowed.rows, .allowed_count = m->allowed.count};
    return !pk_models_allow(&models, slug) || add(m, &m->denied, slug);
}

static bool is_enabled(const struct pkd_control *c, int model)
{
    return pk_json_type(&c->body, pk_json_get(&c->body, model, "enabled")) != PK_JSON_FALSE;
}

static pk_str slug_of(struct pkd_control *c, int model)
{
    return pk_json_str(c->arena, &c->body, pk_json_get(&c->body, model, "slug"));
}

static bool has(const struct list *l, pk_str model)
{
    for (int i = 0; i < l->count; i++)
        if (pk_str_eq(l->rows[i], model))
            return true;
    return false;
}

/* Whether a list of models is to be there: it is begun by enabling one that was not denied, unless all are allowed. */
static bool is_listed(struct pkd_control *c, const struct models *m, int given)
{
    int all = pkd_control_at(c, "allow_all_models");
    bool begun = m->listed;

    for (int v = pk_json_first(&c->body, given); v >= 0; v = pk_json_next(&c->body, given, v))
        begun = begun || (is_enabled(c, v) && !has(&m->denied, slug_of(c, v)));
    return begun && !pk_json_true(&c->body, all);
}

/* {"models": [{"slug", "enabled"}], "allow_all_models"} */
static bool update(struct pkd_control *c)
{
    struct models m;

    if (!pkd_control_body(c) || !load(c, &m))
        return false;
    int given = pkd_control_at(c, "models");
    m.listed = is_listed(c, &m, given);
    if (!m.listed)
        m.allowed.count = 0;
    for (int v = pk_json_first(&c->body, given); v >= 0; v = pk_json_next(&c->body, given, v)) {
        pk_str slug = slug_of(c, v);

        if (slug.len == 0)
            return pk_fail(c->err, PK_BAD_REQUEST, "models: each must have a \"slug\"");
        if (!set(&m, slug, is_enabled(c, v)))
            return false;
    }
    return put(&m);
}

/* ?slugs=a,b */
static bool delete_some(struct pkd_control *c)
{
    pk_str rest = pkd_query_value(c->arena, c->errand->query, "slugs");
    struct models m;

    if (!load(c, &m))
        return false;
    if (rest.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "slugs: must be given");
    while (rest.len) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;

        drop(&m.allowed, pk_str_sub(rest, 0, len));
        drop(&m.denied, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return put(&m);
}

PKD_VERB(integrations, integration_models_list, list_all)
PKD_VERB(integrations, integration_models_update, update)
PKD_VERB(integrations, integration_models_delete, delete_some)
