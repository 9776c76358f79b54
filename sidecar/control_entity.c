/* control_entity.c - /v1/policies/usage-limits/{policy}/entities: who has used how much of a budget.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * An entity is whoever is counted: the value by which the policy groups, which is its id; "all" where there is one
 * count for all. Those are listed that have used something in the period that is now.
 */
#include "control_inner.h"
#include "member.h"
#include "path.h"
#include "record.h"
#include "store_limit.h"
#include "store_value.h"

#define ALL "all"

struct entities {
    struct pkd_control *c;
    pk_str key, value, counts; /* the policy's */
    int64_t amount;
    pk_str status, search;
    int64_t skip, rows, total, shown;
    pk_str wanted; /* an id */
    bool found;
};

static bool take_policy(void *ctx, const struct pk_value *v, int count)
{
    struct entities *e = ctx;

    PK_ASSERT(count > 8);
    e->key = pk_copy(e->c->arena, pkd_policy_key(e->c, v));
    e->value = pk_copy(e->c->arena, v[4].s);
    e->counts = pk_copy(e->c->arena, v[5].s);
    e->amount = v[8].i;
    return false;
}

static bool load_policy(struct entities *e)
{
    const struct pk_value args[] = {pk_v_required(e->c->slug)};

    return e->c->store->ops->exec(e->c->store, PK_SQL_budget_rows, args, PK_COUNT(args),
                                  take_policy, e, e->c->err);
}

static bool each_subject(struct pkd_control *c, void *ctx,
                         bool (*take)(void *ctx, const struct pk_value *v, int count))
{
    const struct pk_value args[] = {pk_v_required(c->slug)};

    return c->store->ops->exec(c->store, PK_SQL_limit_subjects, args, PK_COUNT(args), take, ctx,
                               c->err);
}

/* "metadata.team:red" */
static pk_str value_key(const struct entities *e, pk_str subject)
{
    pk_str value = subject.len ? subject : e->value;

    return e->key.len ? pk_copyf(e->c->arena, "%.*s:%.*s", PK_FMT(e->key), PK_FMT(value))
                      : PK_STR(ALL);
}

static pk_str id_of(pk_str subject)
{
    return subject.len ? subject : PK_STR(ALL);
}

static void print_used(struct pk_buf *out, const char *name, pk_str counts, int64_t used)
{
    char dollars[32];

    if (!pk_str_is(counts, pk_limit_counts_name(PK_LC_COST))) {
        pk_member_int(out, name, used);
        return;
    }
    pk_usd_print(used, dollars);
    pk_member_raw(out, name, pk_str_of(dollars));
}

/* --- the list ----------------------------------------------------------------------------------- */

static bool print_entity(void *ctx, const struct pk_value *v, int count)
{
    struct entities *e = ctx;
    struct pk_buf *out = e->c->out;
    pk_str key = value_key(e, v[0].s);
    const char *status = v[1].i < e->amount ? "active" : "exhausted";

    PK_ASSERT(count == 3);
    if (!pkd_query_finds(key, e->search) || (e->status.len && !pk_str_is(e->status, status)) ||
        e->total++ < e->skip || e->shown == e->rows)
        return true;
    e->shown++;
    pk_member_item(out);
    pk_member_text(out, "id", id_of(v[0].s));
    pk_member_text(out, "value_key", key);
    print_used(out, "current_usage", e->counts, v[1].i);
    pk_member_text(out, "status", pk_str_of(status));
    pk_member_time(out, "resets_at", pkd_resets_us(PK_LW_TOTAL, true, v[2].i, e->c->now_us));
    pk_member_text(out, "object", PK_STR("policy_usage_limits_entity"));
    pk_buf_addc(out, '}');
    return true;
}

static bool list(struct pkd_control *c)
{
    pk_str query = c->errand->query;
    struct entities e = {.c = c,
                         .rows = 100,
                         .status = pkd_query_value(c->arena, query, "status"),
                         .search = pkd_query_value(c->arena, query, "search")};
    int64_t page;

    if (!pkd_control_known(c) || !pkd_query_page(c->arena, query, &e.rows, &page, c->err) ||
        !load_policy(&e))
        return false;
    e.skip = page * e.rows;
    c->listed = true;
    pk_member_text(c->out, "object", PK_STR("list"));
    pk_member_raw(c->out, "data", PK_STR("["));
    if (!each_subject(c, &e, print_entity))
        return false;
    pk_buf_addc(c->out, ']');
    pk_member_int(c->out, "total", e.total);
    return true;
}

/* --- the policy itself -------------------------------------------------------------------------- */

static bool print_mapped(void *ctx, const struct pk_value *v, int count)
{
    struct entities *e = ctx;
    const char *name = pk_copy(e->c->arena, value_key(e, v[0].s)).at;

    PK_ASSERT(count == 3);
    if (name)
        print_used(e->c->out, name, e->counts, v[1].i);
    return true;
}

void pkd_print_usage_map(struct pkd_control *c, const struct pk_value *row)
{
    struct entities e = {.c = c};

    (void)take_policy(&e, row, 9);
    pk_member_raw(c->out, "value_key_usage_map", PK_STR("{"));
    if (!each_subject(c, &e, print_mapped))
        c->out->failed = true; /* c->err says why */
    pk_buf_addc(c->out, '}');
}

/* --- resets ------------------------------------------------------------------------------------- */

static bool find_entity(void *ctx, const struct pk_value *v, int count)
{
    struct entities *e = ctx;

    PK_ASSERT(count == 3);
    e->found = e->found || pk_str_eq(id_of(v[0].s), e->wanted) ||
               pk_str_eq(value_key(e, v[0].s), e->wanted);
    if (!e->found)
        return true;
    e->wanted = pk_copy(e->c->arena, v[0].s);
    return false;
}

/* `wanted`: an id or a value_key. */
static bool reset(struct pkd_control *c, pk_str wanted)
{
    struct entities e = {.c = c, .wanted = wanted};

    if (!load_policy(&e) || !each_subject(c, &e, find_entity))
        return false;
    if (!e.found)
        return pk_fail(c->err, PK_NOT_FOUND, "entity: \"%.*s\" has used nothing of it",
                       PK_FMT(pk_name_shown(wanted)));
    return pk_store_limit_forget(c->store, c->slug, e.wanted, c->now_us, c->err);
}

bool pkd_policy_reset(struct pkd_control *c)
{
    pk_str wanted;

    return pkd_control_text(c, "reset_usage_for_value", &wanted) &&
           (wanted.len == 0 || reset(c, wanted));
}

static bool reset_one(struct pkd_control *c)
{
    return pkd_control_known(c) && reset(c, pkd_path_segment(c->arena, c->errand->path, 5));
}

static const struct pkd_resource entities = {
    .noun = "policy_usage_limits",
    .kind = "limit",
    .queries = "status search page_size current_page",
    .at = 3,
    .page = PK_SQL_budget_rows,
};

PKD_VERB(entities, policy_entities, list)
PKD_VERB(entities, policy_entity_reset, reset_one)
