/* control_workspace.c - /v1/admin/workspaces and /v1/integrations/{slug}/workspaces: here there is one workspace.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Clients of Portkey look it up before they administer anything. What would make another, or take from the one that
 * there is, is refused, and told what does the same here.
 */
#include "control.h"
#include "member.h"
#include "path.h"

#define ONE  "default"
#define NAME "Default"

static void print_workspace(struct pk_buf *out, bool whole)
{
    pk_member_text(out, "id", PK_STR(ONE));
    pk_member_text(out, "slug", PK_STR(ONE));
    pk_member_text(out, "name", PK_STR(NAME));
    pk_member_text(out, "description", PK_STR("All that this gateway has"));
    pk_member_text(out, "status", PK_STR("active"));
    pk_member_int(out, "is_default", 1);
    pk_member_raw(out, "defaults",
                  PK_STR("{\"metadata\":null,\"is_default\":1,\"object\":\"workspace\"}"));
    pk_member_raw(out, "usage_limits", PK_STR("[]"));
    pk_member_raw(out, "rate_limits", PK_STR("[]"));
    if (whole)
        pk_member_raw(out, "users", PK_STR("[]"));
    pk_member_time(out, "created_at", 0);
    pk_member_time(out, "last_updated_at", 0);
    pk_member_text(out, "object", PK_STR("workspace"));
}

/* Whether what a list asks for is the one. */
static bool is_asked_for(const struct pkd_errand *e)
{
    pk_str name = pkd_query_value(e->arena, e->query, "name");
    pk_str exact = pkd_query_value(e->arena, e->query, "exact_name");
    pk_str status = pkd_query_value(e->arena, e->query, "status");

    return (pkd_query_finds(PK_STR(NAME), name) || pkd_query_finds(PK_STR(ONE), name)) &&
           (exact.len == 0 || pk_str_is(exact, NAME)) &&
           (status.len == 0 || pk_str_is(status, "active"));
}

pkd_errand_fn pkd_workspace_list;
bool pkd_workspace_list(struct pkd_errand *e, struct pk_error *err)
{
    int64_t rows = 100, page;

    if (!pkd_query_check(e->arena, e->query,
                         "name exact_name status page_size current_page pageSize currentPage",
                         err) ||
        !pkd_query_page(e->arena, e->query, &rows, &page, err))
        return false;
    bool asked = is_asked_for(e);
    pk_str other = pkd_query_value(e->arena, e->query, "currentPage"); /* Portkey's SDKs say so */
    bool first = page == 0 && (other.len == 0 || pk_str_is(other, "0"));
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"data\":[");
    if (asked && first) {
        pk_buf_addc(&e->out, '{');
        print_workspace(&e->out, false);
        pk_buf_addc(&e->out, '}');
    }
    pk_buf_addf(&e->out, "],\"total\":%d}", asked);
    return true;
}

pkd_errand_fn pkd_workspace_get;
bool pkd_workspace_get(struct pkd_errand *e, struct pk_error *err)
{
    pk_str id = pkd_path_segment(e->arena, e->path, 3);

    if (!pkd_query_check(e->arena, e->query, "", err))
        return false;
    if (!pk_str_is(id, ONE))
        return pk_fail(err, PK_NOT_FOUND, "workspace: there is one, called \"" ONE "\"");
    pk_buf_addc(&e->out, '{');
    print_workspace(&e->out, true);
    pk_buf_addc(&e->out, '}');
    return true;
}

pkd_errand_fn pkd_workspace_refuse;
bool pkd_workspace_refuse(struct pkd_errand *e, struct pk_error *err)
{
    (void)e;
    return pk_fail(err, PK_BAD_REQUEST,
                   "workspace: there is one, called \"" ONE
                   "\", and it stays as it is; what a team may do is said by its API keys "
                   "(/v1/api-keys), what it may use by limits (/v1/limits)");
}

/* --- of an integration -------------------------------------------------------------------------- */

static const char *const members[] = {"workspaces",
                                      "global_workspace_access",
                                      "override_existing_workspace_access",
                                      "create_default_provider", /* an integration is one */
                                      "default_provider_slug",
                                      NULL};

static const struct pkd_resource integrations = {
    .noun = "integration",
    .kind = "virtual_key",
    .members = members,
    .page = PK_SQL_key_page,
};

static bool list(struct pkd_control *c)
{
    if (!pkd_control_known(c))
        return false;
    c->listed = true;
    pk_member_raw(c->out, "workspaces", PK_STR("["));
    pk_member_item(c->out);
    pk_member_text(c->out, "id", PK_STR(ONE));
    pk_member_text(c->out, "name", PK_STR(NAME));
    pk_member_bool(c->out, "enabled", true);
    pk_member_raw(c->out, "usage_limits", PK_STR("null"));
    pk_member_raw(c->out, "rate_limits", PK_STR("null"));
    pk_buf_adds(c->out, "}]");
    pk_member_raw(c->out, "global_workspace_access",
                  PK_STR("{\"enabled\":true,\"usage_limits\":null,\"rate_limits\":null}"));
    pk_member_int(c->out, "total", 1);
    return true;
}

/* Whether a grant changes nothing: it is for the one workspace, and takes nothing from it. */
static bool is_as_it_is(struct pkd_control *c, int grant, bool named)
{
    static const char *const limits[] = {"usage_limits", "rate_limits"};
    const struct pk_json *doc = &c->body;
    int enabled = pk_json_get(doc, grant, "enabled"), id = pk_json_get(doc, grant, "id");
    bool ok = pk_json_type(doc, grant) == PK_JSON_OBJECT &&
              (enabled < 0 || pk_json_type(doc, enabled) == PK_JSON_TRUE) &&
              (!named || pk_json_is(doc, id, ONE));

    for (size_t i = 0; i < PK_COUNT(limits); i++)
        ok = ok && pk_json_count(doc, pk_json_get(doc, grant, limits[i])) <= 0;
    return ok;
}

static bool update(struct pkd_control *c)
{
    if (!pkd_control_body(c) || !pkd_control_known(c))
        return false;
    int all = pkd_control_at(c, "global_workspace_access"),
        grants = pkd_control_at(c, "workspaces");
    bool ok = pk_json_type(&c->body, all) != PK_JSON_OBJECT || is_as_it_is(c, all, false);

    for (int v = pk_json_first(&c->body, grants); v >= 0; v = pk_json_next(&c->body, grants, v))
        ok = ok && is_as_it_is(c, v, true);
    return ok || pk_fail(c->err, PK_BAD_REQUEST,
                         "workspaces: there is one, called \"" ONE
                         "\", which has every integration; limits go with a provider "
                         "(/v1/providers), and API keys choose with their config");
}

PKD_VERB(integrations, integration_workspaces_list, list)
PKD_VERB(integrations, integration_workspaces_update, update)
