/* reports.c - see reports.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "reports.h"

#include "cell.h"
#include "logs_filter.h"
#include "member.h"
#include "path.h"
#include "price.h"

enum { AUDIT_COLUMNS = 7 };

struct list {
    struct pk_buf *out;
    int64_t total;
};

/* --- alerts --------------------------------------------------------------------------------- */

static bool take_alert(void *ctx, const struct pk_value *v, int count)
{
    static const struct pkd_cell cells[] = {
        {"at", 0, PKD_CELL_TIME},      {"kind", 1, PKD_CELL_TEXT},
        {"slug", 2, PKD_CELL_TEXT},    {"applies_to", 3, PKD_CELL_TEXT},
        {"subject", 4, PKD_CELL_TEXT}, {"counts", 5, PKD_CELL_TEXT},
        {"per", 8, PKD_CELL_TEXT},     {0},
    };
    struct list *l = ctx;
    enum pkd_cell_kind unit = pk_str_is(v[5].s, "cost") ? PKD_CELL_USD : PKD_CELL_INT;
    const struct pkd_cell amounts[] = {{"amount", 6, unit}, {"alert_threshold", 7, unit}, {0}};

    PK_ASSERT(count == 9);
    pk_member_item(l->out);
    pkd_cell_members(l->out, cells, v);
    pkd_cell_members(l->out, amounts, v);
    pk_member_text(l->out, "object", PK_STR("alert"));
    pk_buf_addc(l->out, '}');
    l->total++;
    return !l->out->failed;
}

bool pkd_alerts(struct pkd_errand *e, struct pk_error *err)
{
    struct list l = {&e->out, 0};

    if (!pkd_query_check(e->arena, e->query, "", err))
        return false;
    pk_buf_adds(l.out, "{\"object\":\"list\",\"data\":[");
    if (!e->store->ops->exec(e->store, PK_SQL_alerts, NULL, 0, take_alert, &l, err))
        return false;
    pk_buf_addf(l.out, "],\"total\":%lld}", (long long)l.total);
    return true;
}

/* --- the audit ------------------------------------------------------------------------------ */

/* "key:ops" changed "config_put" of "support". */
static bool take_change(void *ctx, const struct pk_value *v, int count)
{
    static const struct pkd_cell cells[] = {
        {"id", 0, PKD_CELL_INT},      {"timestamp", 1, PKD_CELL_TIME},
        {"action", 3, PKD_CELL_TEXT}, {"resource_id", 4, PKD_CELL_TEXT},
        {"detail", 5, PKD_CELL_JSON}, {0},
    };
    struct list *l = ctx;
    int colon = pk_str_find(v[2].s, ':'), bar = pk_str_find(v[3].s, '_');
    pk_str who = pk_str_sub(v[2].s, colon < 0 ? 0 : (size_t)colon + 1, v[2].s.len);

    PK_ASSERT(count == AUDIT_COLUMNS);
    l->total = v[6].i;
    pk_member_item(l->out);
    pkd_cell_members(l->out, cells, v);
    pk_member_text(l->out, "user_id", who);
    pk_member_text(l->out, "user_type",
                   pk_str_starts(v[2].s, "key:") ? PK_STR("api_key") : PK_STR("user"));
    pk_member_text(l->out, "resource_type", bar < 0 ? v[3].s : pk_str_sub(v[3].s, 0, (size_t)bar));
    pk_buf_addc(l->out, '}');
    return !l->out->failed;
}

static bool read_time(struct pkd_errand *e, const char *name, int64_t *at_us, struct pk_error *err)
{
    pk_str text = pkd_query_value(e->arena, e->query, name);

    return text.len == 0 || pkd_time_read(text, at_us) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: must be a time in ISO 8601, or seconds since 1970",
                   name);
}

bool pkd_audit(struct pkd_errand *e, struct pk_error *err)
{
    int64_t from_us = 0, to_us = INT64_MAX, size = PKD_PAGE_ROWS_DEFAULT, page;
    struct list l = {&e->out, 0};

    if (!pkd_query_check(e->arena, e->query,
                         "start_time end_time action user_id resource_type current_page page_size",
                         err) ||
        !read_time(e, "start_time", &from_us, err) || !read_time(e, "end_time", &to_us, err) ||
        !pkd_query_page(e->arena, e->query, &size, &page, err))
        return false;
    const struct pk_value args[] = {
        pk_v_int(from_us),
        pk_v_int(to_us),
        pk_v_text(pkd_query_value(e->arena, e->query, "action")),
        pk_v_text(pkd_query_value(e->arena, e->query, "user_id")),
        pk_v_text(pkd_query_value(e->arena, e->query, "resource_type")),
        pk_v_int(size),
        pk_v_int(page * size),
    };
    pk_buf_adds(l.out, "{\"records\":[");
    if (!e->store->ops->exec(e->store, PK_SQL_audit_page, args, PK_COUNT(args), take_change, &l,
                             err))
        return false;
    pk_buf_addf(l.out, "],\"total\":%lld,\"object\":\"list\"}", (long long)l.total);
    return true;
}

/* --- a price -------------------------------------------------------------------------------- */

/* In cents a token; nothing when it is not known. */
static void add_rate(struct pk_buf *out, const char *name, int64_t pusd)
{
    const struct pk_value value = pk_v_int(pusd);
    const struct pkd_cell cell = {"price", 0, PKD_CELL_CENTS};

    if (pusd < 0)
        return;
    pk_member_raw(out, name, PK_STR("{"));
    pkd_cell_member(out, &cell, &value);
    pk_buf_addc(out, '}');
}

/* How Portkey's clients compute a bill: a sum of tokens times rates. */
static const char calculate[] =
    "{\"request\":{\"operation\":\"sum\",\"operands\":["
    "{\"operation\":\"multiply\",\"operands\":[{\"value\":\"input_tokens\"},{\"value\":\"rates."
    "request_token\"}]},"
    "{\"operation\":\"multiply\",\"operands\":[{\"value\":\"cache_write_tokens\"},"
    "{\"value\":\"rates.cache_write_input_token\"}]},"
    "{\"operation\":\"multiply\",\"operands\":[{\"value\":\"cache_read_tokens\"},"
    "{\"value\":\"rates.cache_read_input_token\"}]}]},"
    "\"response\":{\"operation\":\"multiply\",\"operands\":[{\"value\":\"output_tokens\"},"
    "{\"value\":\"rates.response_token\"}]}}";

/* A model's name may have slashes. */
static pk_str model_of(struct pkd_errand *e)
{
    struct pk_buf out = pk_buf_in(e->arena, PK_URL_BYTES_MAX);
    pk_str part;

    for (int i = 4; (part = pkd_path_segment(e->arena, e->path, i)).len; i++) {
        if (i > 4)
            pk_buf_addc(&out, '/');
        pk_buf_add(&out, part);
    }
    return pk_buf_str(&out);
}

bool pkd_model_price(struct pkd_errand *e, struct pk_error *err)
{
    pk_str provider = pkd_path_segment(e->arena, e->path, 3), model = model_of(e);
    struct pk_prices prices = {0};

    if (!pk_store_prices_load(e->store, e->arena, provider, &prices, err))
        return false;
    const struct pk_price *p = pk_price_find(&prices, provider, model, 0, pk_clock_us());
    if (!p)
        return pk_fail(err, PK_NOT_FOUND, "price: there is none of \"%.*s\"",
                       PK_FMT(pk_str_sub(model, 0, PK_SLUG_BYTES_MAX)));
    pk_buf_adds(&e->out, "{\"pay_as_you_go\":{");
    add_rate(&e->out, "request_token", p->input);
    add_rate(&e->out, "response_token", p->output);
    add_rate(&e->out, "cache_write_input_token", p->cache_write);
    add_rate(&e->out, "cache_read_input_token", p->cache_read);
    pk_buf_addf(&e->out, "},\"calculate\":%s,\"currency\":\"USD\"}", calculate);
    return true;
}
