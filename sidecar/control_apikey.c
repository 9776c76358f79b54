/* control_apikey.c - /v1/api-keys.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Portkey has a scope for each verb of each thing; ours are coarser. One of theirs that only reads what is
 * administered gives nothing: ours for that, "admin", would give more than was asked for.
 */
#include "control.h"
#include "member.h"
#include "path.h"
#include "store_apikey.h"
#include "store_value.h"

#include <string.h>

/* --- scopes ----------------------------------------------------------------------------------------- */

/* What a Portkey scope begins with, its verb ("": any), and what it means here; the first that fits is taken. */
static const struct {
    const char *thing, *verb;
    unsigned scopes;
} portkey_scopes[] = {
    {"completions", "", PK_SCOPE_CALL},
    {"prompts", "render", PK_SCOPE_CALL},
    {"feedbacks", "", PK_SCOPE_CALL},
    {"logs", "", PK_SCOPE_LOGS},
    {"analytics", "", PK_SCOPE_LOGS},
    {"audit_logs", "", PK_SCOPE_LOGS},
    {"", "create", PK_SCOPE_ADMIN},
    {"", "update", PK_SCOPE_ADMIN},
    {"", "delete", PK_SCOPE_ADMIN},
    {"", "publish", PK_SCOPE_ADMIN},
    {"", "write", PK_SCOPE_ADMIN},
    {"", "read", 0},
    {"", "list", 0},
    {"", "view", 0},
    {"", "export", 0},
};

static bool scope_of(pk_str name, unsigned *scopes)
{
    int dot = pk_str_find(name, '.');
    pk_str thing = pk_str_sub(name, 0, dot < 0 ? 0 : (size_t)dot);
    pk_str verb = pk_str_sub(name, thing.len + 1, name.len);

    if (dot < 0)
        return pk_str_find(name, ' ') < 0 && pk_scopes_read(name, scopes) && *scopes;
    for (size_t i = 0; i < PK_COUNT(portkey_scopes); i++) {
        *scopes = portkey_scopes[i].scopes;
        if ((!*portkey_scopes[i].thing || pk_str_is(thing, portkey_scopes[i].thing)) &&
            (!*portkey_scopes[i].verb || pk_str_is(verb, portkey_scopes[i].verb)))
            return true;
    }
    return false;
}

/* ["call","logs"] */
static pk_str scope_list(struct pk_arena *arena, unsigned scopes)
{
    struct pk_buf out = pk_buf_in(arena, 2 * PK_SLUG_BYTES_MAX);
    char words[32];

    pk_scopes_print(scopes, words);
    pk_buf_adds(&out, "[\"");
    for (const char *c = words; *c; c++) {
        if (*c == ' ')
            pk_buf_adds(&out, "\",\"");
        else
            pk_buf_addc(&out, *c);
    }
    pk_buf_adds(&out, *words ? "\"]" : "]");
    return *words ? pk_buf_str(&out) : PK_STR("[]");
}

/* 0: the body has none. */
static bool read_scopes(struct pkd_control *c, unsigned *scopes)
{
    int value = pkd_control_at(c, "scopes");
    unsigned one;

    *scopes = 0;
    if (value < 0)
        return true;
    if (pk_json_type(&c->body, value) != PK_JSON_ARRAY)
        return pk_fail(c->err, PK_BAD_REQUEST, "scopes: must be a list");
    for (int v = pk_json_first(&c->body, value); v >= 0; v = pk_json_next(&c->body, value, v)) {
        pk_str name = pk_json_str(c->arena, &c->body, v);

        if (!scope_of(name, &one))
            return pk_fail(c->err, PK_BAD_REQUEST, "scopes: there is none called \"%.*s\"",
                           PK_FMT(pk_name_shown(name)));
        *scopes |= one;
    }
    return *scopes ||
           pk_fail(c->err, PK_BAD_REQUEST,
                   "scopes: these allow nothing: reading what is administered needs \"admin\"");
}

/* Without keys whoever reaches loopback administers. The first ends that, so it must be one that can. */
static bool check_first(struct pkd_control *c)
{
    bool first = c->errand->caller.len == 0;
    unsigned scopes;

    return read_scopes(c, &scopes) &&
           (!first || (scopes & PK_SCOPE_ADMIN) ||
            pk_fail(c->err, PK_BAD_REQUEST,
                    "scopes: the first API key needs \"admin\": without it nobody could administer "
                    "over HTTP any more"));
}

/* Once there are keys, only one with "admin" lets anybody in who could make another. */
static bool check_last(struct pkd_control *c)
{
    const struct pk_value args[] = {pk_v_int(c->now_us)};
    bool left = false;

    return c->store->ops->exec(c->store, PK_SQL_api_key_admins, args, PK_COUNT(args), pk_row_mark,
                               &left, c->err) &&
           (left ||
            pk_fail(c->err, PK_IN_USE,
                    "api-key \"%.*s\": is the last one with the scope \"admin\", without which "
                    "nobody could administer over HTTP any more: make another one first, or use "
                    "`pkd apikey` on the machine of the store",
                    PK_FMT(pk_name_shown(c->slug))));
}

/* --- printing ---------------------------------------------------------------------------------------- */

static void print_key(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    unsigned scopes = 0;

    (void)whole;
    (void)pk_scopes_read(v[3].s, &scopes);
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_text(c->out, "key", pk_copyf(c->arena, "pk-********%.*s", PK_FMT(v[7].s)));
    pk_member_text(c->out, "description", v[2].s);
    pk_member_text(c->out, "type", PK_STR("workspace-service"));
    pk_member_text(c->out, "creation_mode", PK_STR("api"));
    pk_member_raw(c->out, "scopes", scope_list(c->arena, scopes));
    pk_member_raw(c->out, "defaults", PK_STR("{"));
    pk_member_raw(c->out, "metadata", v[6].s.len ? v[6].s : PK_STR("null"));
    pk_member_text(c->out, "config_id", v[4].s);
    pk_member_bool(c->out, "allow_config_override", !v[5].i);
    pk_buf_addc(c->out, '}');
    pkd_print_limits(c, v[0].s, v[10].i, false);
    pk_member_time(c->out, "created_at", v[8].i);
    pk_member_time(c->out, "last_updated_at", v[9].i);
    pk_member_time(c->out, "key_transition_expires_at", v[11].i > c->now_us ? v[11].i : 0);
    pk_member_text(c->out, "object", PK_STR("api-key"));
}

/* --- bodies ------------------------------------------------------------------------------------------ */

static const char *const members[] = {"id",
                                      "name",
                                      "description",
                                      "type",
                                      "sub_type",
                                      "organisation_id",
                                      "workspace_id",
                                      "user_id",
                                      "rate_limits",
                                      "usage_limits",
                                      "reset_usage",
                                      "scopes",
                                      "defaults",
                                      "expires_at",
                                      "alert_emails",
                                      "slug",
                                      "rotation_policy",
                                      "key_transition_period_ms",
                                      NULL};

static const struct pkd_resource keys = {
    .noun = "api-key",
    .kind = "api_key",
    .members = members,
    .limited = PK_LS_API_KEY,
    .page = PK_SQL_api_key_page,
    .print = print_key,
};

/* What a body says that nobody here would do. */
static bool no_more(struct pkd_control *c)
{
    static const char *const others[][2] = {
        {"alert_emails", "pk sends no mail; what an alert_threshold says is in /v1/alerts"},
        {"rotation_policy",
         "a key that pk made by itself would be shown to nobody; POST /v1/api-keys/{id}/rotate"}};

    for (size_t i = 0; i < PK_COUNT(others); i++)
        if (pk_json_count(&c->body, pkd_control_at(c, others[i][0])) > 0)
            return pk_fail(c->err, PK_BAD_REQUEST, "%s: is not supported; %s", others[i][0],
                           others[i][1]);
    return true;
}

/* The options of pk_store_api_key_create(). */
static bool read_options(struct pkd_control *c, pk_str *options)
{
    static const char *const same[] = {"description", "rate_limits", "usage_limits", "defaults",
                                       "expires_at"};
    struct pk_buf out = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    unsigned scopes;

    if (!no_more(c) || !read_scopes(c, &scopes))
        return false;
    pk_buf_addc(&out, '{');
    for (size_t i = 0; i < PK_COUNT(same); i++)
        pk_member_raw(&out, same[i], pk_json_raw(&c->body, pkd_control_at(c, same[i])));
    if (scopes)
        pk_member_raw(&out, "scopes", scope_list(c->arena, scopes));
    pk_buf_addc(&out, '}');
    *options = pk_buf_str(&out);
    return !out.failed || pk_fail(c->err, PK_TOO_LARGE, "body: too large");
}

/* --- the verbs --------------------------------------------------------------------------------------- */

/* /v1/api-keys/{type}/{sub-type}, which both mean nothing here. */
static bool check_type(struct pkd_control *c)
{
    pk_str type = pkd_path_segment(c->arena, c->errand->path, 2);
    pk_str sub = pkd_path_segment(c->arena, c->errand->path, 3);

    return (type.len == 0 && sub.len == 0) ||
           ((pk_str_is(type, "organisation") || pk_str_is(type, "workspace")) &&
            (pk_str_is(sub, "service") || pk_str_is(sub, "user"))) ||
           pk_fail(c->err, PK_NOT_FOUND,
                   "api-key: a type is organisation or workspace, and service or user");
}

static bool create(struct pkd_control *c)
{
    pk_str options, key;

    if (!check_type(c) || !pkd_control_body(c) || !pkd_control_name(c) ||
        !read_options(c, &options) || !check_first(c) ||
        !pk_store_api_key_create(c->store, c->arena, c->slug, options, c->now_us, &key, c->err) ||
        !pkd_control_title(c))
        return false;
    pk_member_text(c->out, "id", c->slug);
    pk_member_text(c->out, "key", key);
    pk_member_text(c->out, "object", PK_STR("api-key"));
    return true;
}

static bool update(struct pkd_control *c)
{
    pk_str options;

    if (!pkd_control_body(c) || !pkd_control_known(c) || !read_options(c, &options) ||
        !pk_store_api_key_update(c->store, c->arena, c->slug, options, c->now_us, c->err) ||
        !check_last(c) || !pkd_control_title(c) || !pkd_control_reset(c))
        return false;
    pk_member_text(c->out, "id", c->slug);
    pk_member_text(c->out, "object", PK_STR("api-key"));
    return true;
}

static bool rotate(struct pkd_control *c)
{
    int64_t grace_ms = 0;
    pk_str key, options = PK_NONE;

    if (!pkd_control_known(c) || (c->errand->body.len && !pkd_control_body(c)))
        return false;
    if (c->errand->body.len) {
        int period = pkd_control_at(c, "key_transition_period_ms");
        (void)pk_json_int(&c->body, period, &grace_ms);
        if (period >= 0)
            options = pk_copyf(c->arena, "{\"key_transition_period_ms\":%.*s}",
                               PK_FMT(pk_json_raw(&c->body, period)));
    }
    if (!pk_store_api_key_rotate(c->store, c->arena, c->slug, options, c->now_us, &key, c->err))
        return false;
    pk_member_text(c->out, "id", c->slug);
    pk_member_text(c->out, "key", key);
    pk_member_time(c->out, "key_transition_expires_at", grace_ms ? c->now_us + grace_ms * 1000 : 0);
    return true;
}

static bool delete_it(struct pkd_control *c)
{
    bool existed;

    return pkd_control_known(c) &&
           pk_store_api_key_revoke(c->store, c->slug, c->now_us, &existed, c->err) &&
           check_last(c) && pkd_control_untitle(c);
}

PKD_VERB(keys, api_key_create, create)
PKD_VERB(keys, api_key_list, pkd_control_list)
PKD_VERB(keys, api_key_get, pkd_control_get)
PKD_VERB(keys, api_key_update, update)
PKD_VERB(keys, api_key_delete, delete_it)
PKD_VERB(keys, api_key_rotate, rotate)
