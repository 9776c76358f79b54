/* control_limit.c - /v1/limits: budgets and rates of their own, in the words of pk_limit_put(); and the same as
 * Portkey's /v1/policies/usage-limits and /v1/policies/rate-limits.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Those that belong to a key are shown as limits as well, and are changed with the key.
 */
#include "control_inner.h"
#include "member.h"
#include "path.h"
#include "record.h"
#include "store_limit.h"
#include "store_value.h"

enum { ROW_COLUMNS = 13 };

static void print_amount(struct pk_buf *out, const char *name, pk_str counts, int64_t amount)
{
    char dollars[32];

    if (!pk_str_is(counts, pk_limit_counts_name(PK_LC_COST))) {
        pk_member_int(out, name, amount);
        return;
    }
    pk_usd_print(amount, dollars);
    pk_member_raw(out, name, pk_str_of(dollars));
}

/* Whose use is counted: "virtual_key": "a", "user": "*", "metadata": {"team": "red"}. */
static void print_scope(struct pkd_control *c, struct pk_buf *out, const struct pk_value *v)
{
    const char *scope = pk_copy(c->arena, v[2].s).at;
    pk_str value = v[4].s.len ? v[4].s : PK_STR("*");
    struct pk_buf member = pk_buf_in(c->arena, PK_HEADERS_BYTES_MAX);

    if (pk_str_is(v[2].s, pk_limit_scope_name(PK_LS_ALL)))
        return;
    if (v[3].s.len == 0) {
        pk_member_text(out, scope, value);
        return;
    }
    pk_buf_addc(&member, '{');
    pk_json_quote(&member, v[3].s);
    pk_buf_addc(&member, ':');
    pk_json_quote(&member, value);
    pk_buf_addc(&member, '}');
    pk_member_raw(out, scope, pk_buf_str(&member));
}

/* The members of pk_limit_put()'s document. */
static void print_document(struct pkd_control *c, struct pk_buf *out, const struct pk_value *v)
{
    pk_member_text(out, "counts", v[5].s);
    print_amount(out, "amount", v[5].s, v[8].i);
    pk_member_text(out, "per", v[6].s);
    pk_member_bool(out, "rolling", v[7].i);
    if (v[9].type != PK_V_NULL)
        print_amount(out, "alert_threshold", v[5].s, v[9].i);
    print_scope(c, out, v);
}

static void print_limit(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    enum pk_limit_window window;

    (void)whole;
    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    print_document(c, c->out, v);
    print_amount(c->out, "used", v[5].s, v[13].i);
    pk_member_time(c->out, "resets_at",
                   pk_limit_window_of(v[6].s, &window)
                       ? pkd_resets_us(window, v[7].i, v[14].i, c->now_us)
                       : 0);
    pk_member_bool(c->out, "owned", v[10].i);
    pk_member_time(c->out, "created_at", v[11].i);
    pk_member_time(c->out, "last_updated_at", v[12].i);
    pk_member_text(c->out, "object", PK_STR("limit"));
}

static const char *const members[] = {
    "name",    "slug",   "counts",   "amount", "per",  "rolling",     "alert_threshold",
    "api_key", "config", "metadata", "role",   "user", "virtual_key", NULL};

static const struct pkd_resource limits = {
    .noun = "limit",
    .kind = "limit",
    .members = members,
    .page = PK_SQL_limit_rows,
    .print = print_limit,
};

struct stored {
    struct pkd_control *c;
    struct pk_buf document;
};

static bool take_document(void *ctx, const struct pk_value *v, int count)
{
    struct stored *row = ctx;

    PK_ASSERT(count >= ROW_COLUMNS);
    print_document(row->c, &row->document, v);
    return false;
}

/* What is stored of c->slug, as a document; {} when there is none. */
static bool load_document(struct pkd_control *c, pk_str *text)
{
    const struct pk_value args[] = {pk_v_required(c->slug)};
    struct stored row = {c, pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX)};

    pk_buf_addc(&row.document, '{');
    if (!c->store->ops->exec(c->store, PK_SQL_limit_rows, args, PK_COUNT(args), take_document, &row,
                             c->err))
        return false;
    pk_buf_addc(&row.document, '}');
    *text = pk_buf_str(&row.document);
    return true;
}

/* What whose use is counted may be said by: one of these stands for all that were there. */
static bool says_scope(const struct pkd_control *c)
{
    for (int s = PK_LS_API_KEY; s <= PK_LS_VIRTUAL_KEY; s++)
        if (pkd_control_at(c, pk_limit_scope_name((enum pk_limit_scope)s)) >= 0)
            return true;
    return false;
}

/* `over` in place of the members of `was` that it names. */
static bool merged(struct pkd_control *c, pk_str was, pk_str over, bool scoped, pk_str *now)
{
    struct pk_json_edit scopes[PK_LS_VIRTUAL_KEY];
    struct pk_buf base = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    struct pk_json doc;
    int count = 0;

    for (int s = PK_LS_API_KEY; scoped && s <= PK_LS_VIRTUAL_KEY; s++)
        scopes[count++] =
            (struct pk_json_edit){pk_str_of(pk_limit_scope_name((enum pk_limit_scope)s)), PK_NONE};
    if (!pk_json_parse(c->arena, was, "limit", &doc, c->err))
        return false;
    pk_json_splice(&base, &doc, 0, scopes, count);
    return pk_json_merge(c->arena, pk_buf_str(&base), over, "body", now, c->err);
}

/* Stores `over` over what is there; `scoped`: it says whose use is counted. */
static bool put_over(struct pkd_control *c, pk_str over, bool scoped)
{
    pk_str was, now;

    if (!load_document(c, &was) || !merged(c, was, over, scoped, &now) ||
        !pk_store_limit_put(c->store, c->arena, c->slug, now, c->now_us, c->err) ||
        !pkd_control_title(c))
        return false;
    pkd_print_ids(c, c->slug);
    pk_member_text(c->out, "object", pk_str_of(c->is->noun));
    return true;
}

/* The body, without what pk_limit_put() does not know. */
static bool put(struct pkd_control *c)
{
    const struct pk_json_edit about[] = {{PK_STR("name"), PK_NONE}, {PK_STR("slug"), PK_NONE}};
    struct pk_buf over = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);

    pk_json_splice(&over, &c->body, 0, about, (int)PK_COUNT(about));
    return over.failed ? pk_fail(c->err, PK_TOO_LARGE, "body: too large")
                       : put_over(c, pk_buf_str(&over), says_scope(c));
}

static bool create(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_name(c) && put(c);
}

static bool update(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_known(c) && put(c);
}

static bool delete_it(struct pkd_control *c)
{
    bool existed;

    return pkd_control_known(c) &&
           pk_store_limit_delete(c->store, c->slug, c->now_us, &existed, c->err) &&
           pkd_control_untitle(c);
}

/* --- Portkey's policies ------------------------------------------------------------------------------ */

/* What Portkey calls whose use is counted; a member of the metadata is "metadata.NAME". */
static const struct {
    const char *key;
    enum pk_limit_scope scope;
} policy_keys[] = {
    {"api_key", PK_LS_API_KEY}, {"config", PK_LS_CONFIG},           {"metadata._user", PK_LS_USER},
    {"role", PK_LS_ROLE},       {"virtual_key", PK_LS_VIRTUAL_KEY},
};

static const struct {
    const char *word, *per;
} periods[] = {{"weekly", "week"}, {"monthly", "month"}, {"daily", "day"}, {"rps", "second"},
               {"rpm", "minute"},  {"rph", "hour"},      {"rpd", "day"}};
enum { RATES_FROM = 3 }; /* before it those of a budget */

#define METADATA "metadata."

pk_str pkd_policy_key(struct pkd_control *c, const struct pk_value *v)
{
    if (pk_str_is(v[2].s, pk_limit_scope_name(PK_LS_ALL)))
        return PK_NONE;
    for (size_t i = 0; i < PK_COUNT(policy_keys); i++)
        if (pk_str_is(v[2].s, pk_limit_scope_name(policy_keys[i].scope)))
            return pk_str_of(policy_keys[i].key);
    return pk_copyf(c->arena, METADATA "%.*s", PK_FMT(v[3].s));
}

#define GROUPED                                                                                    \
    "{\"grouped\":true}" /* the details of a policy for one value that was grouped by its key as well */

/* [{"key": ..., "value": ...}]: whose use is counted, and by what it is told apart. */
static void print_whose(struct pkd_control *c, const struct pk_value *v)
{
    bool all = pk_str_is(v[2].s, pk_limit_scope_name(PK_LS_ALL));

    pk_member_raw(c->out, "conditions", PK_STR("["));
    if (!all && v[4].s.len) {
        pk_member_item(c->out);
        pk_member_text(c->out, "key", pkd_policy_key(c, v));
        pk_member_text(c->out, "value", v[4].s);
        pk_buf_addc(c->out, '}');
    }
    pk_buf_addc(c->out, ']');
    pk_member_raw(c->out, "group_by", PK_STR("["));
    if (!all && (v[4].s.len == 0 || pk_str_is(v[13].s, GROUPED))) {
        pk_member_item(c->out);
        pk_member_text(c->out, "key", pkd_policy_key(c, v));
        pk_buf_addc(c->out, '}');
    }
    pk_buf_addc(c->out, ']');
}

static pk_str period_word(pk_str per, bool budget)
{
    for (size_t i = budget ? 0 : RATES_FROM; i < PK_COUNT(periods); i++)
        if (pk_str_is(per, periods[i].per))
            return pk_str_of(periods[i].word);
    return PK_NONE;
}

static bool is_budget(const struct pkd_control *c)
{
    return c->is->page == PK_SQL_budget_rows;
}

static void print_policy(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    bool budget = is_budget(c);
    enum pk_limit_window window;

    pkd_print_ids(c, v[0].s);
    pk_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    print_whose(c, v);
    pk_member_text(c->out, "type", v[5].s);
    print_amount(c->out, budget ? "credit_limit" : "value", v[5].s, v[8].i);
    if (budget && v[9].type != PK_V_NULL)
        print_amount(c->out, "alert_threshold", v[5].s, v[9].i);
    pk_member_text(c->out, budget ? "periodic_reset" : "unit", period_word(v[6].s, budget));
    if (pk_limit_window_of(v[6].s, &window) && pk_limit_days_of(window)) {
        pk_member_int(c->out, "periodic_reset_days", pk_limit_days_of(window));
        pk_member_time(c->out, "next_usage_reset_at",
                       pk_limit_slot(window, false, c->now_us).until_us);
    }
    pk_member_text(c->out, "status", PK_STR("active"));
    pk_member_time(c->out, "created_at", v[11].i);
    pk_member_time(c->out, "last_updated_at", v[12].i);
    pk_member_text(c->out, "object", pk_str_of(c->is->noun));
    if (whole && pk_str_is(pkd_query_value(c->arena, c->errand->query, "include_usage"), "true"))
        pkd_print_usage_map(c, v);
}

/* status, type and unit of the query. */
static bool is_chosen(struct pkd_control *c, const struct pk_value *v)
{
    pk_str query = c->errand->query;
    pk_str status = pkd_query_value(c->arena, query, "status");
    pk_str type = pkd_query_value(c->arena, query, "type");
    pk_str unit = pkd_query_value(c->arena, query, "unit");

    return (status.len == 0 || pk_str_is(status, "active")) &&
           (type.len == 0 || pk_str_eq(type, v[5].s)) &&
           (unit.len == 0 || pk_str_eq(unit, period_word(v[6].s, is_budget(c))));
}

static const char *const usage_members[] = {"name",
                                            "slug",
                                            "conditions",
                                            "group_by",
                                            "type",
                                            "credit_limit",
                                            "alert_threshold",
                                            "periodic_reset",
                                            "periodic_reset_days",
                                            "next_usage_reset_at",
                                            "reset_usage_for_value",
                                            "workspace_id",
                                            "organisation_id",
                                            NULL};
static const char *const rate_members[] = {
    "name", "slug",  "conditions",   "group_by",        "type",
    "unit", "value", "workspace_id", "organisation_id", NULL};

static const struct pkd_resource usage_policies = {
    .noun = "policy_usage_limits",
    .kind = "limit",
    .members = usage_members,
    .queries = "status type include_usage",
    .at = 3,
    .chosen = is_chosen,
    .page = PK_SQL_budget_rows,
    .print = print_policy,
};

static const struct pkd_resource rate_policies = {
    .noun = "policy_rate_limits",
    .kind = "limit",
    .members = rate_members,
    .queries = "status type unit",
    .at = 3,
    .chosen = is_chosen,
    .page = PK_SQL_rate_rows,
    .print = print_policy,
};

/* The only item of a list, -1 when it is empty. */
static bool only_item(struct pkd_control *c, const char *member, int *item)
{
    int list = pkd_control_at(c, member);
    int count = pk_json_count(&c->body, list);

    *item = count == 1 ? pk_json_first(&c->body, list) : -1;
    return (pk_json_type(&c->body, list) == PK_JSON_ARRAY && count <= 1) || list < 0 ||
           pk_fail(c->err, PK_BAD_REQUEST, "%s: must be a list of one at most", member);
}

/* "api_key": "a" of {"key": "api_key", "value": "a"}; a group without a value is each on its own. */
static bool take_whose(struct pkd_control *c, struct pk_buf *out)
{
    pk_str key, by, value;
    int condition, group;

    if (!only_item(c, "conditions", &condition) || !only_item(c, "group_by", &group))
        return false;
    key = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, condition, "key"));
    by = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, group, "key"));
    value = pk_json_str(c->arena, &c->body, pk_json_get(&c->body, condition, "value"));
    if (condition >= 0 && group >= 0 && !pk_str_eq(key, by))
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "group_by[0].key: a limit that is for one value counts that one alone");
    if (condition >= 0 && (value.len == 0 || pk_str_is(value, "*")))
        return pk_fail(c->err, PK_BAD_REQUEST, "conditions[0].value: must be a text%s",
                       value.len ? "; each on its own is what group_by says" : "");
    if (condition < 0) {
        key = by;
        value = PK_STR("*");
    }
    if (condition < 0 && group < 0)
        return true;
    for (size_t i = 0; i < PK_COUNT(policy_keys); i++) {
        if (!pk_str_is(key, policy_keys[i].key))
            continue;
        pk_member_text(out, pk_limit_scope_name(policy_keys[i].scope), value);
        return true;
    }
    if (!pk_str_starts(key, METADATA) || key.len == sizeof METADATA - 1)
        return pk_fail(c->err, PK_BAD_REQUEST,
                       "key: must be api_key, virtual_key, config, role or metadata.NAME");
    pk_member_raw(out, "metadata", PK_STR("{"));
    pk_json_quote(out, pk_str_sub(key, sizeof METADATA - 1, key.len));
    pk_buf_addc(out, ':');
    pk_json_quote(out, value);
    pk_buf_addc(out, '}');
    return true;
}

/* A budget that begins anew every so many days, or on a day of its own. */
static bool take_reset(struct pkd_control *c, struct pk_buf *out)
{
    const struct pk_limit_reset reset = {pkd_control_at(c, "periodic_reset"),
                                         pkd_control_at(c, "periodic_reset_days"),
                                         pkd_control_at(c, "next_usage_reset_at"), c->now_us};
    enum pk_limit_window window;
    char per[PK_LW_TEXT];

    if (!pk_limit_read_reset(c->arena, &c->body, &reset, &window, c->err))
        return false;
    pk_limit_window_print(window, per);
    if (c->errand->method == PKD_POST || reset.word >= 0 || reset.days >= 0 || reset.next >= 0)
        pk_member_text(out, "per", pk_copy(c->arena, pk_str_of(per)));
    return true;
}

static bool take_period(struct pkd_control *c, struct pk_buf *out)
{
    pk_str word;

    if (is_budget(c))
        return take_reset(c, out);
    if (!pkd_control_text(c, "unit", &word))
        return false;
    for (size_t i = RATES_FROM; i < PK_COUNT(periods); i++) {
        if (!pk_str_is(word, periods[i].word))
            continue;
        pk_member_text(out, "per", pk_str_of(periods[i].per));
        return true;
    }
    return word.len == 0 || pk_fail(c->err, PK_BAD_REQUEST, "unit: must be rps, rpm, rph or rpd");
}

/* What the limit itself does not say of what was put. */
static bool note_grouping(struct pkd_control *c)
{
    int groups = pk_json_count(&c->body, pkd_control_at(c, "group_by"));
    int conditions = pk_json_count(&c->body, pkd_control_at(c, "conditions"));
    struct pk_title t;

    if (!pk_store_title_get(c->store, c->arena, c->is->kind, c->slug, &t, c->err))
        return false;
    if (t.details.len == 0 && (groups <= 0 || conditions <= 0))
        return true;
    t.details = groups > 0 && conditions > 0 ? PK_STR(GROUPED) : PK_NONE;
    t.updated_us = c->now_us;
    return pk_store_title_put(c->store, &t, c->err);
}

/* Stores the body as pk_limit_put() has it. */
static bool put_policy(struct pkd_control *c)
{
    static const char *const same[][2] = {{"type", "counts"},
                                          {"credit_limit", "amount"},
                                          {"value", "amount"},
                                          {"alert_threshold", "alert_threshold"}};
    struct pk_buf over = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    bool scoped = pkd_control_at(c, "conditions") >= 0 || pkd_control_at(c, "group_by") >= 0;

    pk_buf_addc(&over, '{');
    for (size_t i = 0; i < PK_COUNT(same); i++)
        pk_member_raw(&over, same[i][1], pk_json_raw(&c->body, pkd_control_at(c, same[i][0])));
    if (!take_period(c, &over) || !take_whose(c, &over))
        return false;
    if (!is_budget(c))
        pk_member_bool(&over, "rolling", true);
    pk_buf_addc(&over, '}');
    if (over.failed)
        return pk_fail(c->err, PK_TOO_LARGE, "body: too large");
    return put_over(c, pk_buf_str(&over), scoped) && (!scoped || note_grouping(c));
}

/* A policy need have no name. */
static bool create_policy(struct pkd_control *c)
{
    uint64_t random;

    if (!pkd_control_body(c))
        return false;
    if (pkd_control_at(c, "name") >= 0 || pkd_control_at(c, "slug") >= 0)
        return pkd_control_name(c) && put_policy(c);
    pk_secret_random(&random, sizeof random);
    c->slug = pk_copyf(c->arena, "policy-%016llx", (unsigned long long)random);
    return put_policy(c);
}

static bool update_policy(struct pkd_control *c)
{
    return pkd_control_body(c) && pkd_control_known(c) && put_policy(c) &&
           (!is_budget(c) || pkd_policy_reset(c));
}

PKD_VERB(limits, limit_create, create)
PKD_VERB(limits, limit_list, pkd_control_list)
PKD_VERB(limits, limit_get, pkd_control_get)
PKD_VERB(limits, limit_update, update)
PKD_VERB(limits, limit_delete, delete_it)
PKD_VERB(usage_policies, usage_policy_create, create_policy)
PKD_VERB(usage_policies, usage_policy_list, pkd_control_list)
PKD_VERB(usage_policies, usage_policy_get, pkd_control_get)
PKD_VERB(usage_policies, usage_policy_update, update_policy)
PKD_VERB(usage_policies, usage_policy_delete, delete_it)
PKD_VERB(rate_policies, rate_policy_create, create_policy)
PKD_VERB(rate_policies, rate_policy_list, pkd_control_list)
PKD_VERB(rate_policies, rate_policy_get, pkd_control_get)
PKD_VERB(rate_policies, rate_policy_update, update_policy)
PKD_VERB(rate_policies, rate_policy_delete, delete_it)
