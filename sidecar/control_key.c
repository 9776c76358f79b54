/* control_key.c - /v1/virtual-keys, and what Portkey calls them since: an integration holds a provider's key, a
 * provider is one under a slug of its own. Here all three are virtual keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A body becomes the options and the secret of pk_store_key_put(): fields of the provider may stand beside the
 * others, or in "model_config" as Portkey's newer clients have them.
 */
#include "control.h"
#include "member.h"
#include "store_users.h"
#include "store_value.h"
#include "target_field.h"

enum { SECRET_BYTES_MAX = 8192 };

/* --- printing ---------------------------------------------------------------------------------------- */

/* The variable or file of a reference; what is sealed shows nothing. */
static pk_str masked(struct pkd_control *c, const struct pk_value *v)
{
    return v[5].s.len ? pk_copyf(c->arena, "%.*s:%.*s", PK_FMT(v[4].s), PK_FMT(v[5].s))
                      : PK_STR("********");
}

/* The fields of the provider, with the base URL. */
static void print_model_config(struct pkd_control *c, const char *name, pk_str custom_host,
                               pk_str fields)
{
    struct pk_buf over = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    struct pk_error unused;
    pk_str all = fields.len ? fields : PK_STR("{}");

    pk_buf_adds(&over, "{");
    if (custom_host.len)
        pk_member_text(&over, "custom_host", custom_host);
    pk_buf_adds(&over, "}");
    if (pk_json_merge(c->arena, all, pk_buf_str(&over), "model_config", &all, &unused))
        pk_member_raw(c->out, name, all);
}

static void print_key(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    (void)whole;
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_text(c->out, "note", v[12].s);
    pk_member_text(c->out, "provider", v[2].s);
    pk_member_text(c->out, "ai_provider_name", v[2].s);
    pk_member_text(c->out, "masked_api_key", masked(c, v));
    pk_member_text(c->out, "custom_host", v[3].s);
    print_model_config(c, "model_config", v[3].s, v[9].s);
    pk_member_raw(c->out, "allowed_models", v[7].s.len ? v[7].s : PK_STR("null"));
    pk_member_raw(c->out, "denied_models", v[8].s.len ? v[8].s : PK_STR("null"));
    pkd_print_limits(c, v[0].s, v[6].i, false);
    pk_member_time(c->out, "created_at", v[10].i);
    pk_member_time(c->out, "last_updated_at", v[11].i);
    pk_member_text(c->out, "object", PK_STR("virtual-key"));
}

static void print_integration(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_text(c->out, "description", v[12].s);
    pk_member_text(c->out, "ai_provider_id", v[2].s);
    pk_member_text(c->out, "status", PK_STR("active"));
    if (whole) {
        pk_member_text(c->out, "masked_key", masked(c, v));
        print_model_config(c, "configurations", v[3].s, v[9].s);
        pk_member_bool(c->out, "allow_all_models", v[7].s.len == 0);
    }
    pk_member_time(c->out, "created_at", v[10].i);
    pk_member_time(c->out, "last_updated_at", v[11].i);
    pk_member_text(c->out, "object", PK_STR("integration"));
}

/* {"integration_id": ...} of a copy; else the key is its own. */
static pk_str integration_of(struct pkd_control *c, const struct pk_value *v)
{
    struct pk_error unused;
    struct pk_json doc;

    if (v[13].s.len == 0 || !pk_json_parse(c->arena, v[13].s, "details", &doc, &unused))
        return v[0].s;
    return pk_json_str(c->arena, &doc, pk_json_get(&doc, 0, "integration_id"));
}

static void print_provider(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_text(c->out, "note", v[12].s);
    pk_member_text(c->out, "integration_id", integration_of(c, v));
    pk_member_text(c->out, "ai_provider_id", v[2].s);
    pkd_print_limits(c, v[0].s, v[6].i, !whole); /* as Portkey's SDK for Python has it */
    pk_member_time(c->out, "created_at", v[10].i);
    pk_member_time(c->out, "last_updated_at", v[11].i);
    pk_member_text(c->out, "object", PK_STR("provider"));
}

/* --- bodies ------------------------------------------------------------------------------------------ */

static const char *const members[] = {"name",
                                      "slug",
                                      "provider",
                                      "ai_provider_id",
                                      "key",
                                      "note",
                                      "workspace_id",
                                      "organisation_id",
                                      "status",
                                      "reset_usage",
                                      "custom_host",
                                      "allowed_models",
                                      "denied_models",
                                      "expires_at",
                                      "rate_limits",
                                      "usage_limits",
                                      "model_config",
                                      "configurations",
                                      "deployment_config",
                                      "deployment_name",
                                      "secret_mappings",
                                      NULL};

static const char *const integration_members[] = {"name",
                                                  "slug",
                                                  "ai_provider_id",
                                                  "key",
                                                  "description",
                                                  "status",
                                                  "workspace_id",
                                                  "organisation_id",
                                                  "configurations",
                                                  "create_default_provider",
                                                  "default_provider_slug",
                                                  "pricing_adjustments",
                                                  "secret_mappings",
                                                  NULL};

static const char *const provider_members[] = {
    "name",         "slug",        "integration_id", "note",   "workspace_id", "organisation_id",
    "usage_limits", "rate_limits", "expires_at",     "status", "reset_usage",  NULL};

static bool is_field(pk_str member)
{
    return pk_target_field_find(member) >= 0;
}

static const struct pkd_resource keys = {
    .noun = "virtual-key",
    .kind = "virtual_key",
    .members = members,
    .more = is_field,
    .note = "note",
    .wrapped = true,
    .limited = PK_LS_VIRTUAL_KEY,
    .page = PK_SQL_key_page,
    .print = print_key,
};

static const struct pkd_resource integrations = {
    .noun = "integration",
    .kind = "virtual_key",
    .members = integration_members,
    .queries = "type", /* there is one */
    .note = "description",
    .page = PK_SQL_key_page,
    .print = print_integration,
};

static const struct pkd_resource providers = {
    .noun = "provider",
    .kind = "virtual_key",
    .members = provider_members,
    .note = "note",
    .limited = PK_LS_VIRTUAL_KEY,
    .page = PK_SQL_key_page,
    .print = print_provider,
};

/* What a body comes to. */
struct draft {
    struct pkd_control *c;
    struct pk_buf options, parts; /* objects that are still open; parts: of a secret with several */
    pk_str secret;
};

static bool take_all(struct draft *d, int object, int depth);

/* A member of one deployment, in either of its spellings; empty: it has none. */
static pk_str deployment_text(struct draft *d, int object, const char *name, const char *longer)
{
    const struct pk_json *doc = &d->c->body;
    pk_str text = PK_NONE;

    for (int k = pk_json_first(doc, object); k >= 0; k = pk_json_next(doc, object, k)) {
        pk_str member = pkd_snake(d->c->arena, pk_json_str(d->c->arena, doc, k));

        if (pk_str_is(member, name) || pk_str_is(member, longer))
            text = pk_json_str(d->c->arena, doc, k + 1);
    }
    return text;
}

/* Several deployments: the model of a call names one, so that they need no place of their own. */
static bool take_deployments(struct draft *d, int list)
{
    const struct pk_json *doc = &d->c->body;
    struct pk_buf version = pk_buf_in(d->c->arena, PK_SLUG_BYTES_MAX);
    pk_str first = PK_NONE;

    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v)) {
        pk_str name = deployment_text(d, v, "deployment_name", "azure_deployment_name");
        pk_str alias = deployment_text(d, v, "alias", "azure_model_slug");
        pk_str api = deployment_text(d, v, "api_version", "azure_api_version");

        if (name.len == 0)
            return pk_fail(d->c->err, PK_BAD_REQUEST,
                           "deploymentConfig: each has a deploymentName");
        if (alias.len && !pk_str_eq(alias, name))
            return pk_fail(d->c->err, PK_BAD_REQUEST,
                           "deploymentConfig: \"%.*s\" cannot be called \"%.*s\" where there are "
                           "several: the model of a call is the deployment's name; or make a "
                           "virtual key for each",
                           PK_FMT(pk_name_shown(name)), PK_FMT(pk_name_shown(alias)));
        first = first.len ? first : api;
        if (!pk_str_eq(first, api))
            return pk_fail(d->c->err, PK_BAD_REQUEST,
                           "deploymentConfig: all have one apiVersion; or make a virtual key for "
                           "each");
    }
    pk_member_raw(&d->options, "deployment_id", PK_STR("null"));
    pk_json_quote(&version, first);
    if (first.len)
        pk_member_raw(&d->options, "api_version", pk_buf_str(&version));
    return !version.failed || pk_fail(d->c->err, PK_BAD_REQUEST, "apiVersion: is too long");
}

/* Azure's deployments. */
static bool take_deployment(struct draft *d, int list, int depth)
{
    const struct pk_json *doc = &d->c->body;

    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return pk_fail(d->c->err, PK_BAD_REQUEST, "deploymentConfig: must be a list");
    if (pk_json_count(doc, list) > 1)
        return take_deployments(d, list);
    int first = pk_json_first(doc, list);
    return first < 0 || take_all(d, first, depth + 1);
}

static bool take_secret(struct draft *d, int value)
{
    const struct pk_json *doc = &d->c->body;
    enum pk_json_type type = pk_json_type(doc, value);

    d->secret =
        type == PK_JSON_OBJECT ? pk_json_raw(doc, value) : pk_json_str(d->c->arena, doc, value);
    return d->secret.len || type == PK_JSON_NULL ||
           pk_fail(d->c->err, PK_BAD_REQUEST, "key: must be a text that is not empty");
}

static bool is_one_of(pk_str name, const char *const *list)
{
    while (*list && !pk_str_is(name, *list))
        list++;
    return *list;
}

static bool take(struct draft *d, pk_str name, int value, int depth)
{
    static const char *const options[] = {"name",          "custom_host", "allowed_models",
                                          "denied_models", "rate_limits", "usage_limits",
                                          "expires_at",    NULL};
    static const char *const nested[] = {"model_config", "configurations", NULL};
    static const char *const lists[] = {"deployment_config", "azure_deployment_config", NULL};
    static const char *const idle[] = {"alias", "is_default", "azure_model_slug", NULL};
    const struct pk_json *doc = &d->c->body;
    bool null = pk_json_type(doc, value) == PK_JSON_NULL;

    if (is_one_of(name, lists) && depth < 2)
        return null || take_deployment(d, value, depth);
    if (is_one_of(name, nested) && depth == 0)
        return null || take_all(d, value, depth + 1);
    if (pk_str_is(name, "deployment_name") ||
        (depth > 1 && pk_str_is(name, "azure_deployment_name")))
        name = PK_STR("deployment_id");
    int field = pk_target_field_find(name);
    if (is_one_of(name, options) ||
        (field >= 0 && !pk_target_field_secret((enum pk_target_field)field))) {
        pk_member_raw(&d->options, pk_copy(d->c->arena, name).at, pk_json_raw(doc, value));
    } else if (field >= 0) {
        if (!null)
            pk_member_raw(&d->parts, pk_copy(d->c->arena, name).at, pk_json_raw(doc, value));
    } else if (pk_str_is(name, "key")) {
        return take_secret(d, value);
    } else if (depth && !is_one_of(name, idle)) {
        return pk_fail(d->c->err, PK_BAD_REQUEST, "model_config: there is no member \"%.*s\"",
                       PK_FMT(pk_name_shown(name)));
    }
    return true;
}

static bool take_all(struct draft *d, int object, int depth)
{
    struct pkd_control *c = d->c;

    if (pk_json_type(&c->body, object) != PK_JSON_OBJECT)
        return pk_fail(c->err, PK_BAD_REQUEST, "model_config: must be an object");
    for (int k = pk_json_first(&c->body, object); k >= 0; k = pk_json_next(&c->body, object, k))
        if (!take(d, pkd_snake(c->arena, pk_json_str(c->arena, &c->body, k)), k + 1, depth))
            return false;
    return true;
}

/* `secret_mappings` name a vault of Portkey's: here a key is a reference, "env:NAME" or "file:PATH". */
static bool no_mappings(struct pkd_control *c)
{
    return pk_json_count(&c->body, pkd_control_at(c, "secret_mappings")) == 0 ||
           pk_fail(
               c->err, PK_BAD_REQUEST,
               "secret_mappings: are not supported; a key may be \"env:NAME\" or \"file:PATH\"");
}

static bool no_adjustments(struct pkd_control *c)
{
    return pk_json_count(&c->body, pkd_control_at(c, "pricing_adjustments")) <= 0 ||
           pk_fail(c->err, PK_BAD_REQUEST,
                   "pricing_adjustments: are not supported; prices of one's own are put by "
                   "/v1/prices");
}

static bool read_draft(struct pkd_control *c, struct draft *d)
{
    *d = (struct draft){.c = c,
                        .options = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX),
                        .parts = pk_buf_in(c->arena, SECRET_BYTES_MAX)};
    pk_buf_addc(&d->options, '{');
    pk_buf_addc(&d->parts, '{');
    if (!no_mappings(c) || !no_adjustments(c) || !pkd_control_active(c) || !take_all(d, 0, 0))
        return false;
    if (d->parts.len > 1 && d->secret.len)
        return pk_fail(c->err, PK_BAD_REQUEST, "key: is given twice: its parts are there as well");
    pk_buf_addc(&d->options, '}');
    pk_buf_addc(&d->parts, '}');
    if (d->options.failed || d->parts.failed)
        return pk_fail(c->err, PK_TOO_LARGE, "body: too large");
    if (d->parts.len > 2)
        d->secret = pk_buf_str(&d->parts);
    return true;
}

/* --- the verbs --------------------------------------------------------------------------------------- */

/* What the copy is a copy of. */
static bool note_integration(struct pkd_control *c, pk_str copy, pk_str from)
{
    struct pk_title t;

    if (!pk_store_title_get(c->store, c->arena, c->is->kind, copy, &t, c->err))
        return false;
    t.details = pk_copyf(c->arena, "{\"integration_id\":\"%.*s\"}", PK_FMT(from));
    t.updated_us = c->now_us;
    return pk_store_title_put(c->store, &t, c->err);
}

/* An integration is a provider itself; one that is to have another name as that is copied. */
static bool make_provider(struct pkd_control *c)
{
    int wanted = pkd_control_at(c, "create_default_provider");
    bool no = pk_json_type(&c->body, wanted) == PK_JSON_FALSE;
    pk_str slug;

    if (!pkd_control_text(c, "default_provider_slug", &slug))
        return false;
    if (no || slug.len == 0 || pk_str_eq(slug, c->slug))
        return true;
    const struct pk_key_change change = {slug, PK_NONE, PK_STR("{}"), c->now_us};
    return pk_store_key_copy(c->store, c->arena, c->errand->app->secrets, c->slug, &change,
                             c->err) &&
           note_integration(c, slug, c->slug);
}

static bool create(struct pkd_control *c)
{
    struct draft d;
    pk_str provider, other;

    if (!pkd_control_body(c) || !pkd_control_name(c) || !read_draft(c, &d) ||
        !pkd_control_text(c, "provider", &provider) ||
        !pkd_control_text(c, "ai_provider_id", &other))
        return false;
    if (provider.len == 0)
        provider = other;
    if (provider.len == 0 || d.secret.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "%s: must be given",
                       provider.len ? "key" : "provider");
    if (!pk_store_key_put(c->store, c->arena, c->errand->app->secrets, c->slug, provider, d.secret,
                          pk_buf_str(&d.options), c->now_us, c->err) ||
        !pkd_control_title(c) || !make_provider(c))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "object", pk_str_of(c->is->noun));
    return true;
}

static bool update(struct pkd_control *c)
{
    struct draft d;

    if (!pkd_control_body(c) || !pkd_control_known(c) || !read_draft(c, &d))
        return false;
    if (pkd_control_at(c, "provider") >= 0 || pkd_control_at(c, "ai_provider_id") >= 0)
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "provider: stays what it is; make another virtual key");
    const struct pk_key_change change = {c->slug, d.secret, pk_buf_str(&d.options), c->now_us};
    if (!pk_store_key_update(c->store, c->arena, c->errand->app->secrets, &change, c->err) ||
        !pkd_control_title(c) || !pkd_control_reset(c))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "object", pk_str_of(c->is->noun));
    return true;
}

/* A key that is out in the open must go whoever names it: the answer says who does. */
static bool delete_it(struct pkd_control *c)
{
    struct pk_users users;
    bool existed;

    if (!pkd_control_known(c) ||
        !pk_store_users(c->store, c->arena, PK_USED_VIRTUAL_KEY, c->slug, &users, c->err) ||
        !pk_store_key_revoke(c->store, c->slug, c->now_us, &existed, c->err) ||
        !pkd_control_untitle(c))
        return false;
    pk_users_print(c->out, &users);
    return true;
}

/* --- providers ---------------------------------------------------------------------------------------- */

static bool create_provider(struct pkd_control *c)
{
    struct draft d;
    pk_str from;

    if (!pkd_control_body(c) || !pkd_control_name(c) || !read_draft(c, &d) ||
        !pkd_control_text(c, "integration_id", &from))
        return false;
    if (from.len == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "integration_id: must be given");
    const struct pk_key_change change = {c->slug, PK_NONE, pk_buf_str(&d.options), c->now_us};
    if (!pk_store_key_copy(c->store, c->arena, c->errand->app->secrets, from, &change, c->err) ||
        !pkd_control_title(c) || !note_integration(c, c->slug, from))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "object", PK_STR("provider"));
    return true;
}

PKD_VERB(keys, key_create, create)
PKD_VERB(keys, key_list, pkd_control_list)
PKD_VERB(keys, key_get, pkd_control_get)
PKD_VERB(keys, key_update, update)
PKD_VERB(keys, key_delete, delete_it)
PKD_VERB(integrations, integration_create, create)
PKD_VERB(integrations, integration_list, pkd_control_list)
PKD_VERB(integrations, integration_get, pkd_control_get)
PKD_VERB(integrations, integration_update, update)
PKD_VERB(integrations, integration_delete, delete_it)
PKD_VERB(providers, provider_create, create_provider)
PKD_VERB(providers, provider_list, pkd_control_list)
PKD_VERB(providers, provider_get, pkd_control_get)
PKD_VERB(providers, provider_update, update)
PKD_VERB(providers, provider_delete, delete_it)
