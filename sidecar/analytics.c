/* analytics.c - see analytics.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "analytics.h"

#include "cell.h"
#include "hours.h"
#include "logs.h"
#include "member.h"
#include "path.h"
#include "tally.h"

/* What a statement wants behind the filter. */
enum extra { NARROW, NARROW_BUCKET };

/* Rows of a tally, or of a statement about feedback. */
struct figures {
    enum pkd_rows rows; /* PKD_R_NONE: of the statement */
    unsigned counting;
    const struct pkd_cell *cells; /* end with one without a name */
    enum pk_stmt stmt;
    enum extra extra;
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
    unsigned counting;
    enum pkd_rows rows;
    int total; /* column: how many groups there are */
    const struct pkd_cell *cells;
};

enum { TALLY_BYTES_MAX = 256 << 20 };

/* clang-format off */
#define CELLS(...)   (const struct pkd_cell[]){__VA_ARGS__ {0}}
#define OF(rows, counting, cells) {PKD_R_##rows, counting, cells, PK_STMT_COUNT, NARROW}
#define SAID(stmt, extra, cells)  {PKD_R_NONE, 0, cells, PK_SQL_##stmt, extra}
#define AT           {"timestamp", 0, PKD_CELL_TIME},
#define INT(n, c)    {n, c, PKD_CELL_INT},
#define MILLI(n, c)  {n, c, PKD_CELL_MILLI},
#define REAL(n, c)   {n, c, PKD_CELL_REAL},
#define TEXT(n, c)   {n, c, PKD_CELL_TEXT},
#define MONEY(n, c)  {n, c, PKD_CELL_CENTS}, {n "_usd", c, PKD_CELL_USD},
#define LATENCY      MILLI("avg", 1) MILLI("p50", 2) MILLI("p90", 3) MILLI("p95", 4) MILLI("p99", 5)
#define COST         MONEY("total", 4) MONEY("avg", 5)

static const struct graph graphs[] = {
    {"requests",            OF(CALLS, 0, CELLS(AT INT("total", 1))), OF(CALLS, 0, CELLS(INT("total", 1))), NULL, NULL},
    {"cost",                OF(CALLS, PKD_N_COST, CELLS(AT COST)), OF(CALLS, PKD_N_COST, CELLS(COST)), NULL, NULL},
    {"latency",             OF(LATENCY, PKD_N_LATENCY | PKD_N_SPREAD, CELLS(AT LATENCY)),
                            OF(LATENCY, PKD_N_LATENCY | PKD_N_SPREAD, CELLS(LATENCY)), NULL, NULL},
    {"tokens",              OF(CALLS, PKD_N_UNITS, CELLS(AT INT("total", 6) MILLI("avg", 7))),
                            OF(CALLS, PKD_N_UNITS, CELLS(INT("total", 6) MILLI("avg", 7))), NULL, NULL},
    {"users",               OF(USERS, PKD_N_USERS, CELLS(AT INT("total", 1))),
                            OF(USERS, PKD_N_USERS, CELLS(INT("total", 1))), NULL, NULL},
    {"users/requests",      OF(USERS, PKD_N_USERS, CELLS(AT MILLI("avg", 4))),
                            OF(USERS, PKD_N_USERS, CELLS(INT("total", 3) INT("unique", 1) MILLI("avg", 4))), NULL, NULL},
    {"errors",              OF(CALLS, PKD_N_ERRORS, CELLS(AT INT("total", 2))),
                            OF(CALLS, PKD_N_ERRORS, CELLS(INT("total", 2))), NULL, NULL},
    {"errors/rate",         OF(CALLS, PKD_N_ERRORS, CELLS(AT MILLI("rate", 3))),
                            OF(CALLS, PKD_N_ERRORS, CELLS(MILLI("rate", 3))), NULL, NULL},
    {"errors/stacks",       OF(STACKS, PKD_N_CODES, CELLS(AT)),
                            OF(ERRORS, PKD_N_ERRORS | PKD_N_CODES, CELLS(INT("total", 0))),
                            "stats", CELLS(INT("status_code", 1) INT("count", 2))},
    {"errors/status-codes", OF(CODES, PKD_N_CODES, CELLS(INT("status_code", 0) INT("count", 1))),
                            OF(ERRORS, PKD_N_ERRORS | PKD_N_CODES,
                               CELLS(INT("total_errors", 0) INT("unique_error_codes", 1))), NULL, NULL},
    {"requests/rescued",    OF(RETRIES, PKD_N_RETRIES | PKD_N_RESCUED, CELLS(AT INT("fallback", 1))),
                            OF(CALLS, PKD_N_RESCUED, CELLS(INT("retry", 8) INT("fallback", 9))),
                            "retry", CELLS(INT("retry_count", 2) INT("count", 3))},
    {"cache/hit-rate",      OF(CACHE, PKD_N_CACHE, CELLS(AT INT("simple_hits", 1) INT("semantic_hits", 2) MILLI("rate", 4)
                                                         MONEY("cumulative_simple_cache_savings", 5)
                                                         MONEY("cumulative_semantic_cache_savings", 6))),
                            OF(CACHE, PKD_N_CACHE, CELLS(INT("total", 3) MILLI("rate", 4))), NULL, NULL},
    {"cache/latency",       OF(CACHE, PKD_N_CACHE, CELLS(AT MILLI("avg", 7))),
                            OF(CACHE, PKD_N_CACHE, CELLS(MILLI("avg", 7))), NULL, NULL},
    {"feedbacks",           SAID(graph_feedback, NARROW_BUCKET, CELLS(AT INT("total", 1))),
                            SAID(graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))), NULL, NULL},
    {"feedbacks/scores",    SAID(graph_scores, NARROW, CELLS(INT("score", 0) INT("total", 1))),
                            SAID(graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))), NULL, NULL},
    {"feedbacks/weighted",  SAID(graph_feedback, NARROW_BUCKET, CELLS(AT REAL("avg", 2))),
                            SAID(graph_feedback, NARROW_BUCKET, CELLS(REAL("avg", 2))), NULL, NULL},
    {"feedbacks/ai-models", SAID(graph_feedback_models, NARROW,
                                 CELLS(TEXT("ai_model", 0) INT("total", 1) REAL("avg_weighted_feedback", 2))),
                            SAID(graph_feedback, NARROW_BUCKET, CELLS(INT("total", 1))), NULL, NULL},
};

static const struct group groups[] = {
    {"users",     PKD_N_BY_USER,   PKD_R_GROUPS,  3, CELLS(TEXT("user", 0) INT("requests", 1) MONEY("cost", 2))},
    {"ai-models", PKD_N_BY_MODEL,  PKD_R_GROUPS,  3, CELLS(TEXT("ai_model", 0) INT("requests", 1) MONEY("cost", 2))},
    {"metadata",  PKD_N_BY_MEMBER, PKD_R_MEMBERS, 7, CELLS(TEXT("metadata_value", 0) INT("requests", 1) MONEY("cost", 2)
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

/* --- rows ----------------------------------------------------------------------------------- */

/* Where rows go. */
struct sheet {
    struct pk_buf *out;
    const struct pkd_cell *cells, *nested_cells;
    const char *nested;
    int64_t at_us, rows, total;
    int total_column;
};

/* What is added up of the calls that a request is about. */
struct adding {
    struct pk_arena arena;
    struct wanted {
        struct pkd_tally *tally; /* NULL: is not wanted */
        unsigned counting;
        int64_t bucket_us; /* 0: is not wanted */
    } all, points;
    pk_str member; /* of the metadata, by which calls are grouped */
};

static bool make_tally(struct adding *a, struct wanted *w)
{
    if (w->bucket_us)
        w->tally = pkd_tally_new(&a->arena, w->counting, w->bucket_us);
    return w->tally || !w->bucket_us;
}

static bool begin_blocks(void *ctx)
{
    struct adding *a = ctx;

    pk_arena_free(&a->arena);
    return make_tally(a, &a->all) && make_tally(a, &a->points);
}

static bool take_block(void *ctx, struct pkd_block *b)
{
    struct adding *a = ctx;

    return (!a->all.tally || pkd_tally_add(a->all.tally, b)) &&
           (!a->points.tally || pkd_tally_add(a->points.tally, b));
}

static bool no_memory(struct pk_error *err)
{
    return pk_fail(err, PK_NO_MEMORY, "analytics: out of memory; ask for less time");
}

static unsigned needs(const struct wanted *w)
{
    return w->bucket_us ? pkd_tally_needs(w->counting, w->bucket_us) : 0;
}

/* Goes through the calls, for what is wanted by then. */
static bool add_up(struct pkd_errand *e, const struct pkd_filter *f, struct adding *a,
                   struct pk_error *err)
{
    const struct pkd_hours what = {needs(&a->all) | needs(&a->points), a->member, begin_blocks,
                                   take_block, a};

    return pkd_hours_read(e, f, &what, err);
}

static void begin_adding(struct adding *a)
{
    *a = (struct adding){0};
    pk_arena_init(&a->arena, pk_allocator_malloc(), TALLY_BYTES_MAX);
}

/* What a statement says of feedback. */
static bool run(struct pkd_errand *e, struct pkd_filter *f, const struct figures *what,
                int64_t bucket_us, pk_row_fn *on_row, struct sheet *sheet, struct pk_error *err)
{
    int count = PKD_FILTER_ARGS;

    pkd_filter_widen(f); /* what is said of a call is said later */
    f->args[count++] = pk_v_int(f->narrow);
    if (what->extra == NARROW_BUCKET)
        f->args[count++] = pk_v_int(bucket_us);
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
                        struct pkd_tally *of_all, struct pk_error *err)
{
    static const struct pkd_tally_page all = {0};
    struct sheet s = {.out = &e->out, .cells = what->cells};

    pk_buf_adds(&e->out, "{\"summary\":{");
    if (of_all ? !pkd_tally_rows(of_all, what->rows, all, take_summary, &s)
               : !run(e, f, what, INT64_MAX, take_summary, &s, err))
        return of_all ? no_memory(err) : false;
    if (s.rows == 0)
        add_nothing(&s);
    pk_buf_addc(&e->out, '}');
    return true;
}

/* A summary without points. */
static bool sum_up(struct pkd_errand *e, struct pkd_filter *f, const struct figures *what,
                   struct pk_error *err)
{
    struct adding a;

    begin_adding(&a);
    a.all = (struct wanted){.counting = what->counting, .bucket_us = INT64_MAX};
    bool ok = add_up(e, f, &a, err) && add_summary(e, f, what, a.all.tally, err);
    pk_arena_free(&a.arena);
    return ok;
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
                       struct pkd_tally *of_points, struct pk_error *err)
{
    static const struct pkd_tally_page all = {0};
    struct sheet s = {.out = &e->out,
                      .cells = g->points.cells,
                      .nested = g->nested,
                      .nested_cells = g->nested_cells};
    pk_row_fn *take = g->nested ? take_nested : take_point;

    pk_member_raw(&e->out, "data_points", PK_STR("["));
    if (of_points ? !pkd_tally_rows(of_points, g->points.rows, all, take, &s)
                  : !run(e, f, &g->points, pkd_filter_bucket_us(f), take, &s, err))
        return of_points ? no_memory(err) : false;
    pk_buf_adds(&e->out, s.rows ? "]}]" : "]");
    return true;
}

static bool add_graph(struct pkd_errand *e, struct pkd_filter *f, const struct graph *g,
                      struct adding *a, struct pk_error *err)
{
    if (g->points.rows != PKD_R_NONE) {
        bool timed = g->points.rows != PKD_R_CODES;

        a->all = (struct wanted){.counting = g->summary.counting, .bucket_us = INT64_MAX};
        a->points = (struct wanted){.counting = g->points.counting,
                                    .bucket_us = timed ? pkd_filter_bucket_us(f) : INT64_MAX};
        if (!add_up(e, f, a, err))
            return false;
    }
    return add_summary(e, f, &g->summary, a->all.tally, err) &&
           add_points(e, f, g, a->points.tally, err);
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
    struct adding a;
    struct pkd_filter f;

    for (size_t i = 0; i < PK_COUNT(graphs); i++)
        if (pk_str_is(path_of(e), graphs[i].path))
            g = &graphs[i];
    if (!g)
        return fail_path(err, "graph", path_of(e));
    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err))
        return false;
    begin_adding(&a);
    bool ok = add_graph(e, &f, g, &a, err);
    pk_arena_free(&a.arena);
    if (!ok)
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
            (key->len > 0) == (groups[i].counting == PKD_N_BY_MEMBER))
            return &groups[i];
    return NULL;
}

static bool take_opinion(void *ctx, const struct pk_value *v, int count)
{
    struct pkd_tally *t = ctx;

    PK_ASSERT(count == 3);
    pkd_tally_opinion(t, v[0].s, v[1].r, v[2].i);
    return true;
}

static bool add_opinions(struct pkd_errand *e, struct pkd_filter *f, struct adding *a,
                         struct pk_error *err)
{
    f->args[PKD_FILTER_ARGS] = pk_v_text(a->member);
    return a->member.len == 0 ||
           e->store->ops->exec(e->store, PK_SQL_group_opinions, f->args, PKD_FILTER_ARGS + 1,
                               take_opinion, a->all.tally, err);
}

static bool group_calls(struct pkd_errand *e, struct pkd_filter *f, const struct group *g,
                        struct sheet *s, pk_str member, struct pk_error *err)
{
    const struct pkd_tally_page page = {f->page_size, f->current_page * f->page_size};
    struct adding a;

    begin_adding(&a);
    a.member = member;
    a.all = (struct wanted){.counting = g->counting, .bucket_us = INT64_MAX};
    bool ok = add_up(e, f, &a, err) && add_opinions(e, f, &a, err) &&
              (pkd_tally_rows(a.all.tally, g->rows, page, take_group, s) || no_memory(err));
    pk_arena_free(&a.arena);
    return ok;
}

/* Groups that are too many for memory are made by the engine, of rows. */
static bool group_rows(struct pkd_errand *e, struct pkd_filter *f, pk_str member, struct sheet *s,
                       struct pk_error *err)
{
    f->args[PKD_FILTER_ARGS] = pk_v_int(f->page_size);
    f->args[PKD_FILTER_ARGS + 1] = pk_v_int(f->current_page * f->page_size);
    f->args[PKD_FILTER_ARGS + 2] = pk_v_text(member);
    return e->store->ops->exec(e->store, PK_SQL_group_metadata, f->args, PKD_FILTER_ARGS + 3,
                               take_group, s, err);
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
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"data\":[");
    if (!group_calls(e, &f, g, &s, key, err) &&
        (err->code != PK_NO_MEMORY || !key.len || !group_rows(e, &f, key, &s, err)))
        return false;
    pk_buf_addc(&e->out, ']');
    pk_member_int(&e->out, "total", s.total);
    pk_buf_addc(&e->out, '}');
    return true;
}

bool pkd_analytics_cache(struct pkd_errand *e, struct pk_error *err)
{
    static const struct figures figures = OF(HITS, PKD_N_CACHE, cache_cells);
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err) || !sum_up(e, &f, &figures, err))
        return false;
    pk_member_text(&e->out, "object", PK_STR("analytics-summary"));
    pk_buf_addc(&e->out, '}');
    return true;
}

/* What a trace or a time has come to, and its calls, newest first. */
bool pkd_analytics_requests(struct pkd_errand *e, struct pk_error *err)
{
    static const struct figures figures =
        OF(TOTALS,
           PKD_N_ERRORS | PKD_N_COST | PKD_N_UNITS | PKD_N_LATENCY | PKD_N_CACHE | PKD_N_USERS |
               PKD_N_SPAN,
           totals);
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err) || !sum_up(e, &f, &figures, err))
        return false;
    pk_member_text(&e->out, "object", PK_STR("list"));
    bool ok = pkd_logs_page(e, &f, err);
    pk_buf_addc(&e->out, '}');
    return ok;
}
