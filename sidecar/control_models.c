/* control_models.c - /v1/integrations/{slug}/models: the allowed_models of a virtual key, as Portkey has them.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Where no model is listed all are allowed.
 */
#include "control.h"
#include "member.h"
#include "path.h"

static const char *const members[] = {"models", "allow_all_models", NULL};

static const struct pkd_resource models = {
    .noun = "integration",
    .kind = "virtual_key",
    .members = members,
    .page = PK_SQL_key_page,
};

/* The patterns that will be allowed. */
struct list {
    struct pkd_control *c;
    pk_str rows[PK_MODELS_MAX];
    int count;
};

static void drop(struct list *l, pk_str model)
{
    int kept = 0;

    for (int i = 0; i < l->count; i++)
        if (!pk_str_eq(l->rows[i], model))
            l->rows[kept++] = l->rows[i];
    l->count = kept;
}

static bool add(struct list *l, pk_str model)
{
    drop(l, model);
    if (l->count == PK_MODELS_MAX)
        return pk_fail(l->c->err, PK_BAD_REQUEST, "models: at most %d", PK_MODELS_MAX);
    l->rows[l->count++] = model;
    return true;
}

static bool load(struct pkd_control *c, struct list *l)
{
    struct pk_virtual_key k;
    bool found;

    l->c = c;
    l->count = 0;
    if (!pkd_control_known(c) || !pk_store_key_get(c->store, c->arena, c->slug, &k, &found, c->err))
        return false;
    for (int i = 0; i < k.models.allowed_count; i++)
        l->rows[l->count++] = k.models.allowed[i];
    return true;
}

static bool list_all(struct pkd_control *c)
{
    struct list l;

    if (!load(c, &l))
        return false;
    pkd_member_text(c->out, "object", PK_STR("list"));
    pkd_member_int(c->out, "total", l.count);
    pkd_member_bool(c->out, "allow_all_models", l.count == 0);
    pkd_member_raw(c->out, "models", PK_STR("["));
    for (int i = 0; i < l.count; i++) {
        pkd_item_begin(c->out);
        pkd_member_text(c->out, "slug", l.rows[i]);
        pkd_member_bool(c->out, "enabled", true);
        pk_buf_addc(c->out, '}');
    }
    pk_buf_addc(c->out, ']');
    return true;
}

/* `all`: whatever the list has, every model is allowed. */
static bool put(struct list *l, bool all)
{
    struct pkd_control *c = l->c;
    struct pk_buf options = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);

    if (l->count == 0 && !all)
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "models: none would be left; allow_all_models allows them all");
    pk_buf_adds(&options, all ? "{\"allowed_models\":null" : "{\"allowed_models\":[");
    for (int i = 0; !all && i < l->count; i++) {
        if (i)
            pk_buf_addc(&options, ',');
        pk_json_quote(&options, l->rows[i]);
    }
    pk_buf_adds(&options, all ? "}" : "]}");
    const struct pk_key_change change = {c->slug, PK_NONE, pk_buf_str(&options), c->now_us};
    return pk_store_key_update(c->store, c->arena, c->errand->app->secrets, &change, c->err);
}

/* {"models": [{"slug", "enabled"}], "allow_all_models"}: those that are named join the list or leave it. */
static bool update(struct pkd_control *c)
{
    struct list l;

    if (!pkd_control_body(c) || !load(c, &l))
        return false;
    int given = pkd_control_at(c, "models");
    bool all = pk_json_true(&c->body, pkd_control_at(c, "allow_all_models"));
    for (int v = pk_json_first(&c->body, given); v >= 0; v = pk_json_next(&c->body, given, v)) {
        pk_str slug = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, v, "slug"));
        int enabled = pk_json_get(&c->body, v, "enabled");

        if (slug.len == 0)
            return pk_fail(c->err, PK_BAD_REQUEST, "models: each must have a \"slug\"");
        if (pk_json_type(&c->body, enabled) == PK_JSON_FALSE)
            drop(&l, slug);
        else if (!add(&l, slug))
            return false;
    }
    return put(&l, all);
}

/* ?slugs=a,b */
static bool delete_some(struct pkd_control *c)
{
    pk_str rest = pkd_query_value(c->arena, c->errand->query, "slugs");
    struct list l;

    if (!load(c, &l))
        return false;
    if (rest.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "slugs: must be given");
    while (rest.len) {
        int comma = pk_str_find(rest, ',');
        size_t len = comma < 0 ? rest.len : (size_t)comma;

        drop(&l, pk_str_sub(rest, 0, len));
        rest = pk_str_sub(rest, len + 1, rest.len);
    }
    return put(&l, false);
}

#define VERB(name, verb)                                                                           \
    pkd_errand_fn pkd_integration_models_##name;                                                   \
    bool pkd_integration_models_##name(struct pkd_errand *e, struct pk_error *err)                 \
    {                                                                                              \
        return pkd_control(e, &models, verb, err);                                                 \
    }
VERB(list, list_all)
VERB(update, update)
VERB(delete, delete_some)
#undef VERB
