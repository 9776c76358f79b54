/* control_title.c - /v1/labels and /v1/collections: names that prompts go by.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A label's id is what a prompt's version is called by, slug@label; one that a prompt has is a label, whether it
 * was made here or not. A collection is a name in prompts, and nothing else.
 */
#include "control.h"
#include "member.h"
#include "store_audit.h"
#include "store_value.h"

/* What else was said, which is kept as it came. */
static void print_details(struct pkd_control *c, pk_str details, const char *const *names)
{
    struct pk_error unused;
    struct pk_json doc;
    bool read = details.len && pk_json_parse(c->arena, details, "details", &doc, &unused);

    for (; *names; names++)
        pk_member_text(c->out, *names,
                       read ? pk_json_str(c->arena, &doc, pk_json_get(&doc, 0, *names)) : PK_NONE);
}

static const char *const label_details[] = {"color_code", NULL};
static const char *const collection_details[] = {"parent_collection_id", NULL};

static void print_title(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    bool label = c->is->note;

    (void)whole;
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    if (label)
        pk_member_text(c->out, c->is->note, v[2].s);
    print_details(c, v[3].s, label ? label_details : collection_details);
    if (label)
        pk_member_bool(c->out, "is_universal", true);
    else
        pk_member_bool(c->out, "is_default", false);
    pk_member_text(c->out, "status", PK_STR("active"));
    pk_member_time(c->out, "created_at", v[4].i);
    pk_member_time(c->out, "last_updated_at", v[5].i);
    pk_member_text(c->out, "object", pk_str_of(c->is->noun));
}

static const char *const label_members[] = {"name",
                                            "slug",
                                            "description",
                                            "color_code",
                                            "workspace_id",
                                            "organisation_id",
                                            "organization_id",
                                            NULL};
static const char *const collection_members[] = {"name", "slug", "parent_collection_id",
                                                 "workspace_id", NULL};

static const struct pkd_resource labels = {
    .noun = "label",
    .kind = "label",
    .members = label_members,
    .note = "description",
    .page = PK_SQL_label_page,
    .print = print_title,
};

static const struct pkd_resource collections = {
    .noun = "collection",
    .kind = "collection",
    .prefix = "",
    .members = collection_members,
    .page = PK_SQL_collection_page,
    .print = print_title,
};

static bool put(struct pkd_control *c)
{
    const char *detail = c->is->note ? label_details[0] : collection_details[0];
    struct pk_title t;
    pk_str name, note = PK_NONE, text;

    if (!pkd_control_text(c, "name", &name) || !pkd_control_text(c, detail, &text) ||
        (c->is->note && !pkd_control_text(c, c->is->note, &note)) ||
        !pk_store_title_get(c->store, c->arena, c->is->kind, c->slug, &t, c->err))
        return false;
    t.name = name.len ? name : t.name;
    if (c->is->note && pkd_control_at(c, c->is->note) >= 0)
        t.note = note;
    if (pkd_control_at(c, detail) >= 0)
        t.details = pk_copyf(c->arena, "{\"%s\":%.*s}", detail,
                             PK_FMT(pk_json_raw(&c->body, pkd_control_at(c, detail))));
    t.updated_us = c->now_us;
    if (!pk_store_title_put(c->store, &t, c->err))
        return false;
    pkd_print_ids(c, c->slug);
    return true;
}

static bool create(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_name(c) && pk_slug_check(c->slug, c->err) && put(c);
}

static bool update(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_known(c) && put(c);
}

static bool delete_it(struct pkd_control *c)
{
    return pkd_control_known(c) && pkd_control_untitle(c);
}

/* No prompt has it from then on. */
static bool delete_label(struct pkd_control *c)
{
    const struct pk_value args[] = {pk_v_required(c->slug)};
    const struct pk_change change = {c->now_us, "label_delete", c->slug, PK_NONE};

    if (!delete_it(c) || !c->store->ops->begin(c->store, c->err))
        return false;
    bool ok =
        c->store->ops->exec(c->store, PK_SQL_label_drop, args, PK_COUNT(args), NULL, NULL, c->err);
    return pk_store_change_end(c->store, ok, &change, c->err);
}

PKD_VERB(labels, label_create, create)
PKD_VERB(labels, label_list, pkd_control_list)
PKD_VERB(labels, label_get, pkd_control_get)
PKD_VERB(labels, label_update, update)
PKD_VERB(labels, label_delete, delete_label)
PKD_VERB(collections, collection_create, create)
PKD_VERB(collections, collection_list, pkd_control_list)
PKD_VERB(collections, collection_get, pkd_control_get)
PKD_VERB(collections, collection_update, update)
PKD_VERB(collections, collection_delete, delete_it)
