/* control_config.c - /v1/configs.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "control.h"
#include "member.h"
#include "store_value.h"

static void print_config(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_int(c->out, "is_default", 0);
    pk_member_text(c->out, "status", PK_STR("active"));
    pk_member_text(c->out, "version_id", pkd_version_id(c, v[0].s, v[2].i));
    pk_member_int(c->out, "version", v[2].i);
    if (whole)
        pk_member_raw(c->out, "config", v[3].s);
    pk_member_time(c->out, "created_at", v[5].i);
    pk_member_time(c->out, "last_updated_at", v[4].i);
    pk_member_text(c->out, "object", PK_STR("config"));
}

static const char *const members[] = {
    "name", "slug", "config", "is_default", "workspace_id", "organisation_id", "status", NULL};

static const struct pkd_resource configs = {
    .noun = "config",
    .kind = "config",
    .prefix = "pc",
    .members = members,
    .wrapped = true,
    .page = PK_SQL_config_page,
    .print = print_config,
};

/* There is no config for whoever names none, but for those of one API key. */
static bool no_default(struct pkd_control *c)
{
    int value = pkd_control_at(c, "is_default");
    enum pk_json_type type = pk_json_type(&c->body, value);
    int64_t number = 0;

    return value < 0 || type == PK_JSON_NULL || type == PK_JSON_FALSE ||
           (pk_json_int(&c->body, value, &number) && number == 0) ||
           pk_fail(c->err, PK_BAD_REQUEST,
                   "is_default: is not supported; give an API key \"defaults\": {\"config_id\": "
                   "...}");
}

/* Stores what the body has as "config": an object, or the text of one. *version stays 0 when it has none. */
static bool put(struct pkd_control *c, int64_t *version)
{
    int value = pkd_control_at(c, "config");
    enum pk_json_type type = pk_json_type(&c->body, value);
    pk_str text = pk_json_raw(&c->body, value);

    *version = 0;
    if (value < 0 || type == PK_JSON_NULL)
        return true;
    if (type == PK_JSON_STRING)
        text = pk_json_str(c->arena, &c->body, value);
    else if (type != PK_JSON_OBJECT)
        return pk_fail(c->err, PK_BAD_REQUEST, "config: must be an object, not %s",
                       pk_json_type_name(type));
    return pk_store_config_put(c->store, c->arena, c->slug, text, c->now_us, version, c->err);
}

static bool create(struct pkd_control *c)
{
    int64_t version;

    if (!pkd_control_body(c) || !pkd_control_name(c) || !pkd_control_active(c) || !no_default(c) ||
        !put(c, &version))
        return false;
    if (version == 0)
        return pk_fail(c->err, PK_BAD_REQUEST, "config: must be given");
    if (!pkd_control_title(c))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "version_id", pkd_version_id(c, c->slug, version));
    pk_member_text(c->out, "object", PK_STR("config"));
    return true;
}

static bool update(struct pkd_control *c)
{
    int64_t version, unused;
    pk_str body;

    if (!pkd_control_body(c) || !pkd_control_known(c) || !pkd_control_active(c) || !no_default(c) ||
        !put(c, &unused) || !pkd_control_title(c) ||
        !pk_store_config_get(c->store, c->arena, c->slug, &body, &version, c->err))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "version_id", pkd_version_id(c, c->slug, version));
    pk_member_text(c->out, "object", PK_STR("config"));
    return true;
}

static bool delete_it(struct pkd_control *c)
{
    bool existed;

    return pkd_control_known(c) &&
           pk_store_config_delete(c->store, c->slug, c->now_us, &existed, c->err) &&
           pkd_control_untitle(c);
}

/* --- versions --------------------------------------------------------------------------------------- */

struct versions {
    struct pkd_control *c;
    int count;
};

static bool print_version(void *ctx, const struct pk_value *v, int count)
{
    struct versions *list = ctx;
    struct pkd_control *c = list->c;

    PK_ASSERT(count == 4);
    list->count++;
    pk_member_item(c->out);
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "name", v[3].s.len ? v[3].s : c->slug);
    pk_member_int(c->out, "is_default", 0);
    pk_member_text(c->out, "status", PK_STR("active"));
    pk_member_text(c->out, "version_id", pkd_version_id(c, c->slug, v[0].i));
    pk_member_int(c->out, "version", v[0].i);
    pk_member_text(c->out, "config", v[1].s);
    pk_member_text(c->out, "format", PK_STR("json"));
    pk_member_time(c->out, "created_at", v[2].i);
    pk_member_time(c->out, "last_updated_at", v[2].i);
    pk_member_text(c->out, "object", PK_STR("config"));
    pk_buf_addc(c->out, '}');
    return true;
}

static bool versions(struct pkd_control *c)
{
    const struct pk_value args[] = {pk_v_required(c->slug)};
    struct versions list = {.c = c};

    if (!pkd_control_known(c))
        return false;
    c->listed = true;
    pk_member_text(c->out, "object", PK_STR("list"));
    pk_member_raw(c->out, "data", PK_STR("["));
    if (!c->store->ops->exec(c->store, PK_SQL_config_versions, args, PK_COUNT(args), print_version,
                             &list, c->err))
        return false;
    pk_buf_addc(c->out, ']');
    pk_member_int(c->out, "total", list.count);
    return true;
}

PKD_VERB(configs, config_create, create)
PKD_VERB(configs, config_list, pkd_control_list)
PKD_VERB(configs, config_get, pkd_control_get)
PKD_VERB(configs, config_update, update)
PKD_VERB(configs, config_delete, delete_it)
PKD_VERB(configs, config_versions, versions)
