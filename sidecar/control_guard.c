/* control_guard.c - /v1/guardrails.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A body is a guardrail as pk_guardrail_put() takes it, Portkey's {"checks","actions"} too, beside its name.
 */
#include "control.h"
#include "member.h"
#include "store_guard.h"
#include "store_value.h"

static void print_guardrail(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    static const char *const parts[] = {"checks", "actions"};
    struct pk_error unused;
    struct pk_json doc;

    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    pk_member_text(c->out, "status", PK_STR("active"));
    pk_member_text(c->out, "version_id", pkd_version_id(c, v[0].s, v[2].i));
    if (whole && pk_json_parse(c->arena, v[3].s, "guardrail", &doc, &unused)) {
        pk_member_raw(c->out, "guardrail", v[3].s);
        for (size_t i = 0; i < PK_COUNT(parts); i++)
            pk_member_raw(c->out, parts[i], pk_json_raw(&doc, pk_json_get(&doc, 0, parts[i])));
    }
    pk_member_time(c->out, "created_at", v[5].i);
    pk_member_time(c->out, "last_updated_at", v[4].i);
    pk_member_text(c->out, "object", PK_STR("guardrail"));
}

static const char *const about[] = {"name", "slug", "workspace_id", "organisation_id", "status"};
static const char *const members[] = {NULL};

/* Whatever else there is, is the guardrail's own to know. */
static bool is_any(pk_str member)
{
    (void)member;
    return true;
}

static const struct pkd_resource guardrails = {
    .noun = "guardrail",
    .kind = "guardrail",
    .prefix = "pg",
    .members = members,
    .more = is_any,
    .page = PK_SQL_guardrail_page,
    .print = print_guardrail,
};

/* The body without what is about it. */
static pk_str own_text(struct pkd_control *c)
{
    struct pk_json_edit edits[PK_COUNT(about)];
    struct pk_buf text = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);

    for (size_t i = 0; i < PK_COUNT(about); i++)
        edits[i] = (struct pk_json_edit){pk_str_of(about[i]), PK_NONE};
    pk_json_splice(&text, &c->body, 0, edits, (int)PK_COUNT(edits));
    return text.failed ? PK_NONE : pk_buf_str(&text);
}

static bool put(struct pkd_control *c, pk_str body)
{
    struct pk_guardrail_draft draft = {.slug = c->slug, .body = body, .at_us = c->now_us};
    int64_t version;

    if (body.len == 0)
        return pk_fail(c->err, PK_TOO_LARGE, "guardrail: at most %d bytes", PK_CONFIG_BYTES_MAX);
    if (!pk_store_guardrail_put(c->store, c->arena, &draft, &version, c->err) ||
        !pkd_control_title(c))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "version_id", pkd_version_id(c, c->slug, version));
    pk_member_text(c->out, "object", PK_STR("guardrail"));
    return true;
}

static bool create(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_name(c) && pkd_control_active(c) &&
           put(c, own_text(c));
}

/* Members of the body in place of those that are stored. */
static bool update(struct pkd_control *c)
{
    pk_str was, now;

    return pkd_control_body(c) && pkd_control_known(c) && pkd_control_active(c) &&
           pk_store_guardrail_get(c->store, c->arena, c->slug, &was, c->err) &&
           pk_json_merge(c->arena, was, own_text(c), "body", &now, c->err) && put(c, now);
}

static bool delete_it(struct pkd_control *c)
{
    bool existed;

    return pkd_control_known(c) &&
           pk_store_guardrail_delete(c->store, c->slug, c->now_us, &existed, c->err) &&
           pkd_control_untitle(c);
}

PKD_VERB(guardrails, guardrail_create, create)
PKD_VERB(guardrails, guardrail_list, pkd_control_list)
PKD_VERB(guardrails, guardrail_get, pkd_control_get)
PKD_VERB(guardrails, guardrail_update, update)
PKD_VERB(guardrails, guardrail_delete, delete_it)
