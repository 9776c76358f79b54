/* analytics.c - see analytics.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "analytics.h"

#include "cell.h"
#include "logs.h"
#include "member.h"

/* One row, into an object that was begun. */
struct summary {
    struct pk_buf *out;
    const struct pkd_cell *cells;
};

static bool take_summary(void *ctx, const struct pk_value *v, int count)
{
    const struct summary *s = ctx;

    (void)count;
    pkd_cell_members(s->out, s->cells, v);
    return false;
}

/* clang-format off */
static const struct pkd_cell totals[] = {
    {"total",          0,  PKD_CELL_INT},
    {"errors",         1,  PKD_CELL_INT},
    {"cost",           2,  PKD_CELL_CENTS},
    {"cost_usd",       2,  PKD_CELL_USD},
    {"input_tokens",   3,  PKD_CELL_INT},
    {"output_tokens",  4,  PKD_CELL_INT},
    {"total_tokens",   5,  PKD_CELL_INT},
    {"avg_latency_ms", 6,  PKD_CELL_MILLI},
    {"cache_hits",     7,  PKD_CELL_INT},
    {"users",          8,  PKD_CELL_INT},
    {"first_at",       9,  PKD_CELL_TIME},
    {"last_at",        10, PKD_CELL_TIME},
    {0},
};
/* clang-format on */

/* What a trace or a time has come to, and its calls, newest first. */
bool pkd_analytics_requests(struct pkd_errand *e, struct pk_error *err)
{
    struct summary summary = {&e->out, totals};
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err))
        return false;
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"summary\":{");
    if (!e->store->ops->exec(e->store, PK_SQL_usage_totals, f.args, PKD_FILTER_ARGS, take_summary,
                             &summary, err))
        return false;
    pk_buf_addc(&e->out, '}');
    bool ok = pkd_logs_page(e, &f, err);
    pk_buf_addc(&e->out, '}');
    return ok;
}
