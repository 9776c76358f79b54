/* control_limit.c - /v1/limits: budgets and rates of their own, in the words of pk_limit_put().
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Those that belong to a key are shown as well, and are changed with the key.
 */
#include "control.h"
#include "member.h"
#include "record.h"
#include "store_limit.h"
#include "store_value.h"

enum { ROW_COLUMNS = 15, FOREVER_US_BITS = 62 };

static void print_amount(struct pk_buf *out, const char *name, pk_str counts, int64_t amount)
{
    char dollars[32];

    if (!pk_str_is(counts, pk_limit_counts_name(PK_LC_COST))) {
        pkd_member_int(out, name, amount);
        return;
    }
    pk_usd_print(amount, dollars);
    pkd_member_raw(out, name, pk_str_of(dollars));
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
        pkd_member_text(out, scope, value);
        return;
    }
    pk_buf_addc(&member, '{');
    pk_json_quote(&member, v[3].s);
    pk_buf_addc(&member, ':');
    pk_json_quote(&member, value);
    pk_buf_addc(&member, '}');
    pkd_member_raw(out, scope, pk_buf_str(&member));
}

/* The members of pk_limit_put()'s document. */
static void print_document(struct pkd_control *c, struct pk_buf *out, const struct pk_value *v)
{
    pkd_member_text(out, "counts", v[5].s);
    print_amount(out, "amount", v[5].s, v[8].i);
    pkd_member_text(out, "per", v[6].s);
    pkd_member_bool(out, "rolling", v[7].i);
    if (v[9].type != PK_V_NULL)
        print_amount(out, "alert_threshold", v[5].s, v[9].i);
    print_scope(c, out, v);
}

static void print_limit(struct pkd_control *c, const struct pk_value *v, bool whole)
{
    int64_t until_us = v[14].i < INT64_C(1) << FOREVER_US_BITS ? v[14].i : 0;

    (void)whole;
    pkd_print_ids(c, v[0].s);
    pkd_member_text(c->out, "name", v[1].s.len ? v[1].s : v[0].s);
    print_document(c, c->out, v);
    print_amount(c->out, "used", v[5].s, v[13].i);
    pkd_member_time(c->out, "resets_at", until_us);
    pkd_member_bool(c->out, "owned", v[10].i);
    pkd_member_time(c->out, "created_at", v[11].i);
    pkd_member_time(c->out, "last_updated_at", v[12].i);
    pkd_member_text(c->out, "object", PK_STR("limit"));
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

    PK_ASSERT(count == ROW_COLUMNS);
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

/* The body in place of the members of `was` that it names, without what pk_limit_put() does not know. */
static bool merged(struct pkd_control *c, pk_str was, pk_str *now)
{
    const struct pk_json_edit about[] = {{PK_STR("name"), PK_NONE}, {PK_STR("slug"), PK_NONE}};
    struct pk_json_edit scopes[PK_LS_VIRTUAL_KEY];
    struct pk_buf base = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    struct pk_buf over = pk_buf_in(c->arena, PK_CONFIG_BYTES_MAX);
    struct pk_json doc;
    int count = 0;

    for (int s = PK_LS_API_KEY; says_scope(c) && s <= PK_LS_VIRTUAL_KEY; s++)
        scopes[count++] =
            (struct pk_json_edit){pk_str_of(pk_limit_scope_name((enum pk_limit_scope)s)), PK_NONE};
    if (!pk_json_parse(c->arena, was, "limit", &doc, c->err))
        return false;
    pk_json_splice(&base, &doc, 0, scopes, count);
    pk_json_splice(&over, &c->body, 0, about, (int)PK_COUNT(about));
    if (base.failed || over.failed)
        return pk_fail(c->err, PK_TOO_LARGE, "body: too large");
    return pk_json_merge(c->arena, pk_buf_str(&base), pk_buf_str(&over), "body", now, c->err);
}

static bool put(struct pkd_control *c)
{
    pk_str was, now;

    if (!load_document(c, &was) || !merged(c, was, &now) ||
        !pk_store_limit_put(c->store, c->arena, c->slug, now, c->now_us, c->err) ||
        !pkd_control_title(c))
        return false;
    pkd_print_ids(c, c->slug);
    pkd_member_text(c->out, "object", PK_STR("limit"));
    return true;
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

#define VERB(name, verb)                                                                           \
    pkd_errand_fn pkd_limit_##name;                                                                \
    bool pkd_limit_##name(struct pkd_errand *e, struct pk_error *err)                              \
    {                                                                                              \
        return pkd_control(e, &limits, verb, err);                                                 \
    }
VERB(create, create)
VERB(list, pkd_control_list)
VERB(get, pkd_control_get)
VERB(update, update)
VERB(delete, delete_it)
#undef VERB
