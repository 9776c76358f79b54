/* analytics.c - see analytics.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "analytics.h"

#include "cell.h"
#include "logs.h"
#include "member.h"
#include "path.h"

/* What a statement wants behind the filter. */
enum extra { ALONE, BUCKET, NARROW, NARROW_BUCKET };

struct figures {
    enum pk_stmt stmt;
    enum extra extra;
    const struct pkd_cell *cells; /* end with one without a name */
};

/* A graph has a point for each row of `points`; or one for all rows of the same time, which then are items of the
 * member `nested`. Its summary is the first row of `summary`, in a bucket that holds everything. */
struct graph {
    const char *path; /* behind /v1/analytics/graphs/ */
    struct figures points, summary;
    const char *nested;
    const struct pkd_cell *nested_cells;
};

struct group {
    const char *path;
    enum pk_stmt stmt;
    int total; /* column: how many groups there are */
    const struct pkd_cell *cells;
};

/* clang-format off */
#define CELLS(...)   (const struct pkd_cell[]){__VA_ARGS__ {0}}
#define AT           {"timestamp", 0, PKD_CELL_TIME},
#define INT(n, c)    {n, c, PKD_CELL_INT},
#define MILLI(n, c)  {n, c, PKD_CELL_MILLI},
#define REAL(n, c)   {n, c, PKD_CELL_REAL},
#define TEXT(n, c)   {n, c, PKD_CELL_TEXT},
#define MONEY(n, c)  {n, c, PKD_CELL_CENTS}, {n "_usd", c, PKD_CELL_USD},
#define LATENCY      MILLI("avg", 1) MILLI("p50", 2) MILLI("p90", 3) MILLI("p95", 4) MILLI("p99", 5)
#define COST         MONEY("total", 4) MONEY("avg", 5)

static const struct graph graphs[] = {
    {"requests",            {PK_SQL_graph_calls, BUCKET, CELLS(AT INT("total", 1))},
                            {PK_SQL_sum_calls, ALONE, CELLS(INT("total", 1))}, NULL, NULL},
    {"cost",                {PK_SQL_graph_calls, BUCKET, CELLS(AT COST)},
                            {PK_SQL_sum_calls, ALONE, CELLS(COST)}, NULL, NULL},
    {"latency",             {PK_SQL_graph_latency, BUCKET, CELLS(AT LATENCY)},
                            {PK_SQL_graph_latency, BUCKET, CELLS(LATENCY)}, NULL, NULL},
    {"tokens",              {PK_SQL_graph_calls, BUCKET, CELLS(AT INT("total", 6) MILLI("avg", 7))},
                            {PK_SQL_sum_calls, ALONE, CELLS(INT("total", 6) MILLI("avg", 7))}, NULL, NULL},
    {"users",               {PK_SQL_graph_users, BUCKET, CELLS(AT INT("total", 1))},
                            {PK_SQL_sum_users, ALONE, CELLS(INT("total", 1))}, NULL, NULL},
    {"users/requests",      {PK_SQL_graph_users, BUCKET, CELLS(AT MILLI("avg", 4))},
                            {PK_SQL_sum_users, ALONE, CELLS(INT("total", 3) INT("unique", 1) MILLI("avg", 4))},
                            NULL, NULL},
    {"errors",              {PK_SQL_graph_calls, BUCKET, CELLS(AT INT("total", 2))},
                            {PK_SQL_sum_calls, ALONE, CELLS(INT("total", 2))}, NULL, NULL},
    {"errors/rate",         {PK_SQL_graph_calls, BUCKET, CELLS(AT MILLI("rate", 3))},
                            {PK_SQL_sum_calls, ALONE, CELLS(MILLI("rate", 3))}, NULL, NULL},
    {"errors/stacks",       {PK_SQL_graph_error_stacks, BUCKET, CELLS(AT)},
                            {PK_SQL_error_totals, ALONE, CELLS(INT("total", 0))},
                            "stats", CELLS(INT("status_code", 1) INT("count", 2))},
    {"errors/status-codes", {PK_SQL_graph_error_codes, ALONE, CELLS(INT("status_code", 0) INT("count", 1))},
                            {PK_SQL_error_totals, ALONE,
                             CELLS(INT("total_errors", 0) INT("unique_error_codes", 1))}, NULL, NULL},
    {"requests/rescued",    {PK_SQL_graph_rescued, BUCKET, CELLS(AT INT("fallback", 1))},
                            {PK_SQL_sum_calls, ALONE, CELLS(INT("retry", 8) INT("fallback", 9))},
                            "retry", CELLS(INT("retry_count", 2) INT("count", 3))},
    {"cache/hit-rate",      {PK_SQL_graph_cache, BUCKET,
                             CELLS(AT INT("simple_hits", 1) INT("semantic_hits", 2) MILLI("rate", 4)
                                   MONEY("cumulative_simple_cache_savings", 5)
                                   MONEY("cumulative_semantic_cache_savings", 6))},
                            {PK_SQL_graph_cache, BUCKET, CELLS(INT("total", 3) MILLI("rate", 4))}, NULL, NULL},
    {"cache/latency",       {PK_SQL_graph_cache, BUCKET, CELLS(AT MILLI("avg", 7))},
                            {PK_SQL_graph_cache, BUCKET, CELLS(MILLI("avg", 7))}, NULL, NULL},
    {"feedbacks",           {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(AT INT("total", 1))},
                            {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))}, NULL, NULL},
    {"feedbacks/scores",    {PK_SQL_graph_scores, NARROW, CELLS(INT("score", 0) INT("total", 1))},
                            {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))}, NULL, NULL},
    {"feedbacks/weighted",  {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(AT REAL("avg", 2))},
                            {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(REAL("avg", 2))}, NULL, NULL},
    {"feedbacks/ai-models", {PK_SQL_graph_feedback_models, NARROW,
                             CELLS(TEXT("ai_model", 0) INT("total", 1) REAL("avg_weighted_feedback", 2))},
                            {PK_SQL_graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))}, NULL, NULL},
};

static const struct group groups[] = {
    {"users",     PK_SQL_group_users,    3, CELLS(TEXT("user", 0) INT("requests", 1) MONEY("cost", 2))},
    {"ai-models", PK_SQL_group_models,   3, CELLS(TEXT("ai_model", 0) INT("requests", 1) MONEY("cost", 2))},
    {"metadata",  PK_SQL_group_metadata, 7, CELLS(TEXT("metadata_value", 0) INT("requests", 1) MONEY("cost", 2)
                                                  MILLI("avg_tokens", 3) REAL("avg_weighted_feedback", 4)
                                                  INT("requests_with_feedback", 5)
                                                  {"last_seen", 6, PKD_CELL_TIME},)},
};

static const struct pkd_cell totals[] = {
    INT("total", 0) INT("errors", 1) MONEY("cost", 2) INT("input_tokens", 3) INT("output_tokens", 4)
    INT("total_tokens", 5) MILLI("avg_latency_ms", 6) INT("cache_hits", 7) INT("users", 8)
    {"first_at", 9, PKD_CELL_TIME}, {"last_at", 10, PKD_CELL_TIME}, {0},
};
static const struct pkd_cell cache_cells[] = {
    INT("hits", 0) MILLI("avg_latency", 1) INT("total_requests", 2) MILLI("cache_speedup", 3) {0},
};
/* clang-format on */

/* --- statements ----------------------------------------------------------------------------- */

/* Where rows go. */
struct sheet {
    struct pk_buf *out;
    const struct pkd_cell *cells, *nested_cells;
    const char *nested;
    int64_t at_us, rows, total;
    int total_column;
    const char *object;
};

static bool run(struct pkd_errand *e, struct pkd_filter *f, const struct figures *what,
                int64_t bucket_us, pk_row_fn *on_row, struct sheet *sheet, struct pk_error *err)
{
    bool narrow = what->extra == NARROW || what->extra == NARROW_BUCKET;
    bool bucket = what->extra == BUCKET || what->extra == NARROW_BUCKET;
    int count = PKD_FILTER_ARGS;

    if (narrow) {
        pkd_filter_widen(f); /* what is said of a call is said later */
        f->args[count++] = pk_v_int(f->narrow);
    }
    if (bucket)
        f->args[count++] = pk_v_int(bucket_us);
    sheet->cells = what->cells;
    return e->store->ops->exec(e->store, what->stmt, f->args, count, on_row, sheet, err);
}

static bool take_summary(void *ctx, const struct pk_value *v, int count)
{
    struct sheet *s = ctx;

    (void)count;
    pkd_cell_members(s->out, s->cells, v);
    s->rows = 1;
    return false;
}

/* Without a row there was nothing to count, and nothing to take a mean of. */
static void add_nothing(struct sheet *s)
{
    static const struct pk_value zero = {.type = PK_V_INT}, null = {.type = PK_V_NULL};

    for (const struct pkd_cell *c = s->cells; c->name; c++) {
        const struct pkd_cell cell = {c->name, 0, c->kind};

        pkd_cell_member(s->out, &cell, c->kind == PKD_CELL_INT ? &zero : &null);
    }
}

static bool add_summary(struct pkd_errand *e, struct pkd_filter *f, const struct figures *what,
                        struct pk_error *err)
{
    struct sheet s = {.out = &e->out};

    pk_buf_adds(&e->out, "{\"summary\":{");
    if (!run(e, f, what, INT64_MAX, take_summary, &s, err))
        return false;
    if (s.rows == 0)
        add_nothing(&s);
    pk_buf_addc(&e->out, '}');
    return true;
}

/* --- graphs --------------------------------------------------------------------------------- */

static bool take_point(void *ctx, const struct pk_value *v, int count)
{
    struct sheet *s = ctx;

    (void)count;
    pk_member_item(s->out);
    pkd_cell_members(s->out, s->cells, v);
    pk_buf_addc(s->out, '}');
    return !s->out->failed;
}

static bool take_nested(void *ctx, const struct pk_value *v, int count)
{
    struct sheet *s = ctx;

    (void)count;
    if (s->rows++ == 0 || s->at_us != v[0].i) {
        if (s->rows > 1)
            pk_buf_adds(s->out, "]}");
        s->at_us = v[0].i;
        pk_member_item(s->out);
        pkd_cell_members(s->out, s->cells, v);
        pk_member_raw(s->out, s->nested, PK_STR("["));
    }
    pk_member_item(s->out);
    pkd_cell_members(s->out, s->nested_cells, v);
    pk_buf_addc(s->out, '}');
    return !s->out->failed;
}

static bool add_points(struct pkd_errand *e, struct pkd_filter *f, const struct graph *g,
                       struct pk_error *err)
{
    struct sheet s = {.out = &e->out, .nested = g->nested, .nested_cells = g->nested_cells};

    pk_member_raw(&e->out, "data_points", PK_STR("["));
    if (!run(e, f, &g->points, pkd_filter_bucket_us(f), g->nested ? take_nested : take_point, &s,
             err))
        return false;
    pk_buf_adds(&e->out, s.rows ? "]}]" : "]");
    return true;
}

/* The path behind its first three segments. */
static pk_str path_of(const struct pkd_errand *e)
{
    pk_str rest = e->path;

    for (int i = 0; i < 4; i++) {
        int slash = pk_str_find(rest, '/');

        rest = slash < 0 ? PK_NONE : pk_str_sub(rest, (size_t)slash + 1, rest.len);
    }
    return rest;
}

static bool fail_path(struct pk_error *err, const char *what, pk_str path)
{
    return pk_fail(err, PK_NOT_FOUND, "%s: there is none called \"%.*s\"", what,
                   PK_FMT(pk_str_sub(path, 0, PK_SLUG_BYTES_MAX)));
}

bool pkd_analytics_graph(struct pkd_errand *e, struct pk_error *err)
{
    const struct graph *g = NULL;
    struct pkd_filter f;

    for (size_t i = 0; i < PK_COUNT(graphs); i++)
        if (pk_str_is(path_of(e), graphs[i].path))
            g = &graphs[i];
    if (!g)
        return fail_path(err, "graph", path_of(e));
    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err) || !add_summary(e, &f, &g->summary, err) ||
        !add_points(e, &f, g, err))
        return false;
    pk_member_text(&e->out, "object", PK_STR("analytics-graph"));
    pk_buf_addc(&e->out, '}');
    return true;
}

/* --- groups, summaries, sessions ------------------------------------------------------------ */

static bool take_group(void *ctx, const struct pk_value *v, int count)
{
    struct sheet *s = ctx;

    (void)count;
    s->total = v[s->total_column].i;
    pk_member_item(s->out);
    pkd_cell_members(s->out, s->cells, v);
    pk_member_text(s->out, "object", PK_STR("analytics-group"));
    pk_buf_addc(s->out, '}');
    return !s->out->failed;
}

static const struct group *find_group(struct pkd_errand *e, pk_str *key)
{
    pk_str name = pkd_path_segment(e->arena, e->path, 3);

    *key = pkd_path_segment(e->arena, e->path, 4);
    for (size_t i = 0; i < PK_COUNT(groups); i++)
        if (pk_str_is(name, groups[i].path) &&
            (key->len > 0) == (groups[i].stmt == PK_SQL_group_metadata))
            return &groups[i];
    return NULL;
}

bool pkd_analytics_group(struct pkd_errand *e, struct pk_error *err)
{
    struct sheet s = {.out = &e->out};
    struct pkd_filter f;
    pk_str key;
    const struct group *g = find_group(e, &key);

    if (!g)
        return fail_path(err, "group", path_of(e));
    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err))
        return false;
    s.cells = g->cells;
    s.total_column = g->total;
    s.total = f.current_page * f.page_size;
    f.args[PKD_FILTER_ARGS] = pk_v_int(f.page_size);
    f.args[PKD_FILTER_ARGS + 1] = pk_v_int(s.total);
    f.args[PKD_FILTER_ARGS + 2] = pk_v_text(key);
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"data\":[");
    if (!e->store->ops->exec(e->store, g->stmt, f.args, PKD_FILTER_ARGS + 2 + (key.len > 0),
                             take_group, &s, err))
        return false;
    pk_buf_addc(&e->out, ']');
    pk_member_int(&e->out, "total", s.total);
    pk_buf_addc(&e->out, '}');
    return true;
}

bool pkd_analytics_cache(struct pkd_errand *e, struct pk_error *err)
{
    static const struct figures figures = {PK_SQL_cache_totals, ALONE, cache_cells};
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err) || !add_summary(e, &f, &figures, err))
        return false;
    pk_member_text(&e->out, "object", PK_STR("analytics-summary"));
    pk_buf_addc(&e->out, '}');
    return true;
}

/* What a trace or a time has come to, and its calls, newest first. */
bool pkd_analytics_requests(struct pkd_errand *e, struct pk_error *err)
{
    static const struct figures figures = {PK_SQL_usage_totals, ALONE, totals};
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err) || !add_summary(e, &f, &figures, err))
        return false;
    pk_member_text(&e->out, "object", PK_STR("list"));
    bool ok = pkd_logs_page(e, &f, err);
    pk_buf_addc(&e->out, '}');
    return ok;
}
