/* guard_check_call.c - checks of who asks for what: models, metadata, kinds of request.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "guard_inner.h"

/* Exactly, or up to a '*' at the end of the pattern. */
static bool fits(pk_str pattern, pk_str name)
{
    if (pk_str_ends(pattern, "*"))
        return name.len >= pattern.len - 1 && pk_str_eq(pk_str_sub(name, 0, pattern.len - 1),
                                                        pk_str_sub(pattern, 0, pattern.len - 1));
    return pk_str_eq(pattern, name);
}

static bool any_fits(const struct pk_strings *patterns, pk_str name)
{
    for (int i = 0; i < patterns->count; i++)
        if (fits(patterns->at[i], name))
            return true;
    return false;
}

/* --- model_allowlist --------------------------------------------------------------------------- */

struct models_params {
    struct pk_strings models, deny;
};

static bool models_models(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "models", value, &((struct models_params *)into)->models);
}

static bool models_deny(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "deny", value, &((struct models_params *)into)->deny);
}

static const struct pk_config_member models_members[] = {
    {"models", models_models}, {"deny", models_deny}, {0}};

static bool models_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct models_params *x = check->params;

    return x->models.count + x->deny.count > 0 || pk_config_fail(p, "models", "must be given");
}

static void models_run(struct pk_check_run *r)
{
    const struct models_params *x = r->check->params;
    pk_str model = r->call->model;

    r->verdict =
        (x->models.count == 0 || any_fits(&x->models, model)) && !any_fits(&x->deny, model);
    pk_check_say(r, "The model is %sallowed.", r->verdict ? "" : "not ");
    pk_check_note(r, "model", pk_check_quoted(r, model));
}

const struct pk_check_body pk_check_model_allowlist = {sizeof(struct models_params), models_members,
                                                       models_ready, models_run, NULL};

/* --- model_rules ------------------------------------------------------------------------------- */

/* {defaults: [models], metadata: {key: {value: [models]}}}; kept as JSON. */
struct rules_params {
    struct pk_json doc; /* count 0: not given */
};

static bool is_list_of_texts(const struct pk_json *doc, int list)
{
    if (pk_json_type(doc, list) != PK_JSON_ARRAY)
        return false;
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (pk_json_type(doc, v) != PK_JSON_STRING)
            return false;
    return true;
}

static bool check_values(struct pk_config_reader *p, const struct pk_json *doc, int values)
{
    if (pk_json_type(doc, values) != PK_JSON_OBJECT)
        return pk_config_fail(p, "rules.metadata", "must hold objects {value: [models]}");
    for (int k = pk_json_first(doc, values); k >= 0; k = pk_json_next(doc, values, k))
        if (!is_list_of_texts(doc, k + 1))
            return pk_config_fail(p, "rules.metadata", "must hold lists of models");
    return true;
}

static bool check_rule(struct pk_config_reader *p, const struct pk_json *doc, int key)
{
    int value = key + 1;

    if (pk_json_is(doc, key, "defaults"))
        return is_list_of_texts(doc, value) ||
               pk_config_fail(p, "rules.defaults", "must be a list of models");
    if (!pk_json_is(doc, key, "metadata"))
        return pk_config_fail(p, "rules", "has only defaults and metadata");
    if (pk_json_type(doc, value) != PK_JSON_OBJECT)
        return pk_config_fail(p, "rules.metadata", "must be an object");
    for (int k = pk_json_first(doc, value); k >= 0; k = pk_json_next(doc, value, k))
        if (!check_values(p, doc, k + 1))
            return false;
    return true;
}

static bool rules_rules(struct pk_config_reader *p, int value, void *into)
{
    struct rules_params *x = into;

    if (pk_json_type(&p->doc, value) != PK_JSON_OBJECT)
        return pk_config_fail(p, "rules", "must be an object");
    if (!pk_json_parse(p->arena, pk_copy(p->arena, pk_json_raw(&p->doc, value)), "rules", &x->doc,
                       p->err))
        return false;
    for (int k = pk_json_first(&x->doc, 0); k >= 0; k = pk_json_next(&x->doc, 0, k))
        if (!check_rule(p, &x->doc, k))
            return false;
    return true;
}

static const struct pk_config_member rules_members[] = {{"rules", rules_rules}, {0}};

static bool rules_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct rules_params *x = check->params;

    return x->doc.count > 0 || pk_config_fail(p, "rules", "must be given");
}

static bool list_fits(struct pk_check_run *r, const struct pk_json *doc, int list)
{
    for (int v = pk_json_first(doc, list); v >= 0; v = pk_json_next(doc, list, v))
        if (fits(pk_json_str(r->arena, doc, v), r->call->model))
            return true;
    return false;
}

/* The rules for what the call's metadata say, all together; *any when there is one. */
static bool by_metadata(struct pk_check_run *r, const struct pk_json *rules, bool *any)
{
    int keys = pk_json_get(rules, 0, "metadata");
    struct pk_error unused = {0};
    struct pk_json metadata;
    bool allowed = false;

    *any = false;
    if (r->call->metadata.len == 0 ||
        !pk_json_parse(r->arena, r->call->metadata, "metadata", &metadata, &unused))
        return false;
    for (int k = pk_json_first(rules, keys); k >= 0; k = pk_json_next(rules, keys, k)) {
        pk_str key = pk_copy(r->arena, pk_json_str(r->arena, rules, k));
        pk_str said = pk_json_str(r->arena, &metadata, pk_json_get(&metadata, 0, key.at));
        int list = pk_json_get(rules, k + 1, pk_copy(r->arena, said).at);

        if (said.len == 0 || list < 0)
            continue;
        *any = true;
        allowed = allowed || list_fits(r, rules, list);
    }
    return allowed;
}

static void rules_run(struct pk_check_run *r)
{
    const struct rules_params *x = r->check->params;
    bool any = false;

    r->verdict = by_metadata(r, &x->doc, &any);
    if (!any)
        r->verdict = list_fits(r, &x->doc, pk_json_get(&x->doc, 0, "defaults"));
    pk_check_say(r, "The model is %sallowed by %s.", r->verdict ? "" : "not ",
                 any ? "the metadata's rules" : "the defaults");
    pk_check_note(r, "model", pk_check_quoted(r, r->call->model));
}

const struct pk_check_body pk_check_model_rules = {sizeof(struct rules_params), rules_members,
                                                   rules_ready, rules_run, NULL};

/* --- required_metadata --------------------------------------------------------------------------- */

struct metadata_params {
    struct pk_strings keys;
    enum pk_wanted op;
    bool op_given;
};

static bool metadata_keys(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "keys", value, &((struct metadata_params *)into)->keys);
}

static bool metadata_operator(struct pk_config_reader *p, int value, void *into)
{
    struct metadata_params *x = into;

    x->op_given = true;
    return pk_wanted_read(p, value, &x->op);
}

static const struct pk_config_member metadata_members[] = {
    {"keys", metadata_keys},
    {"metadata_keys", metadata_keys},
    {"operator", metadata_operator},
    {0},
};

static bool metadata_ready(struct pk_config_reader *p, struct pk_check *check)
{
    struct metadata_params *x = check->params;

    if (!x->op_given)
        x->op = PK_WANT_ALL;
    return x->keys.count > 0 || pk_config_fail(p, "keys", "must be given");
}

static void metadata_run(struct pk_check_run *r)
{
    const struct metadata_params *x = r->check->params;
    struct pk_json metadata = {0};
    struct pk_error unused = {0};
    int found = 0;

    if (r->call->metadata.len &&
        !pk_json_parse(r->arena, r->call->metadata, "metadata", &metadata, &unused))
        metadata.count = 0;
    for (int i = 0; metadata.count && i < x->keys.count; i++)
        found += pk_json_get(&metadata, 0, x->keys.at[i].at) >= 0;
    r->verdict = pk_wanted_holds(x->op, found, x->keys.count);
    pk_check_say(r, "%d of %d metadata keys are there; wanted: %s.", found, x->keys.count,
                 pk_wanted_name(x->op));
}

const struct pk_check_body pk_check_required_metadata = {
    sizeof(struct metadata_params), metadata_members, metadata_ready, metadata_run, NULL};

/* --- request_types -------------------------------------------------------------------------------- */

struct types_params {
    struct pk_strings allowed, blocked;
};

static bool types_allowed(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "allowed_types", value, &((struct types_params *)into)->allowed);
}

static bool types_blocked(struct pk_config_reader *p, int value, void *into)
{
    return pk_strings_read(p, "blocked_types", value, &((struct types_params *)into)->blocked);
}

static const struct pk_config_member types_members[] = {
    {"allowed_types", types_allowed}, {"blocked_types", types_blocked}, {0}};

static bool types_ready(struct pk_config_reader *p, struct pk_check *check)
{
    const struct types_params *x = check->params;

    return x->allowed.count + x->blocked.count > 0 ||
           pk_config_fail(p, "", "needs allowed_types or blocked_types");
}

pk_str pk_guard_request_type(pk_str operation)
{
    const struct pk_operation *o = pk_operation_find(operation);

    return o ? pk_str_of(o->type) : operation;
}

static void types_run(struct pk_check_run *r)
{
    const struct types_params *x = r->check->params;
    pk_str own = r->call->operation, type = pk_guard_request_type(own);

    r->verdict = (x->allowed.count == 0 || pk_strings_have(&x->allowed, type) ||
                  pk_strings_have(&x->allowed, own)) &&
                 !pk_strings_have(&x->blocked, type) && !pk_strings_have(&x->blocked, own);
    pk_check_say(r, "Requests of this type are %sallowed.", r->verdict ? "" : "not ");
    pk_check_note(r, "requestType", pk_check_quoted(r, type));
}

const struct pk_check_body pk_check_request_types = {sizeof(struct types_params), types_members,
                                                     types_ready, types_run, NULL};
