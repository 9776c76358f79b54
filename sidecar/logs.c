/* logs.c - see logs.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "logs.h"

#include "logs_row.h"
#include "member.h"
#include "operation.h"
#include "path.h"

enum { COUNT_MAX = 10000, SETTLE_MS = 200 };

void pkd_logs_settle(struct pkd_errand *e)
{
    if (e->app) /* a shell has no writer */
        (void)pk_writer_flush(e->app->writer, SETTLE_MS);
}

/* --- the list ------------------------------------------------------------------------------- */

struct page {
    struct pkd_errand *e;
    struct pk_buf room;
    struct pk_error *err;
    int64_t rows;
    uint8_t last[PK_UUID_BYTES];
    bool payloads, failed;
};

static bool add_payloads(struct page *p, const struct pk_value *v)
{
    static const char *const names[] = {"request", "response"};

    for (int i = 0; i < 2; i++) {
        pk_str text;

        if (!pkd_log_payload(p->e->store, v, PKD_L_request_encoding + 3 * i, &p->room, &text,
                             p->err))
            return false;
        pk_member_raw(&p->e->out, names[i], text.len ? text : PK_STR("null"));
    }
    return true;
}

static bool take_log(void *ctx, const struct pk_value *v, int count)
{
    struct page *p = ctx;

    PK_ASSERT(count == PKD_LOG_COLUMNS);
    pk_member_item(&p->e->out);
    pkd_cell_members(&p->e->out, pkd_log_cells, v);
    p->failed = p->payloads && !add_payloads(p, v);
    pk_buf_addc(&p->e->out, '}');
    for (int i = 0; i < PK_UUID_BYTES; i++)
        p->last[i] = (uint8_t)v[PKD_L_id].s.at[i];
    p->rows++;
    return !p->failed && !p->e->out.failed;
}

static bool take_count(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 1);
    *(int64_t *)ctx = v[0].i;
    return false;
}

/* How many calls there are; of very many only that they are. A page that is not full says it by itself. */
static bool count_all(const struct page *p, struct pkd_filter *f, int64_t skipped, int64_t *total,
                      struct pk_error *err)
{
    *total = skipped + p->rows;
    if (p->rows < f->page_size && (p->rows > 0 || skipped == 0))
        return true;
    f->args[PKD_FILTER_ARGS] = pk_v_int(COUNT_MAX);
    return p->e->store->ops->exec(p->e->store, PK_SQL_logs_count, f->args, PKD_FILTER_ARGS + 1,
                                  take_count, total, err);
}

bool pkd_logs_page(struct pkd_errand *e, struct pkd_filter *f, struct pk_error *err)
{
    struct page p = {.e = e,
                     .room = pk_buf_in(e->arena, PK_BODY_BYTES_MAX),
                     .err = err,
                     .payloads = pk_str_is(f->payloads, "true")};
    char next[PK_UUID_TEXT + 1];
    int64_t skipped = f->current_page * f->page_size, total;

    f->args[PKD_FILTER_ARGS] = pk_v_int(f->page_size);
    f->args[PKD_FILTER_ARGS + 1] = pk_v_int(skipped);
    f->args[PKD_FILTER_ARGS + 2] = pk_v_int(p.payloads);
    pk_member_raw(&e->out, "data", PK_STR("["));
    if (!e->store->ops->exec(e->store, PK_SQL_logs, f->args, PKD_FILTER_ARGS + 3, take_log, &p,
                             err) ||
        p.failed || !count_all(&p, f, skipped, &total, err))
        return false;
    pk_buf_addc(&e->out, ']');
    pk_member_int(&e->out, "total", total);
    pk_member_bool(&e->out, "total_is_exact", total < COUNT_MAX);
    pk_member_int(&e->out, "page_size", f->page_size);
    pk_member_int(&e->out, "current_page", f->current_page);
    pk_uuid_print(p.last, next);
    pk_member_text(&e->out, "next_after",
                   p.rows == f->page_size ? pk_copy(e->arena, pk_str_of(next)) : PK_NONE);
    return true;
}

bool pkd_logs_list(struct pkd_errand *e, struct pk_error *err)
{
    struct pkd_filter f;

    pkd_logs_settle(e);
    if (!pkd_filter_query(e, &f, err))
        return false;
    pk_buf_adds(&e->out, "{\"object\":\"list\"");
    bool ok = pkd_logs_page(e, &f, err);
    pk_buf_addc(&e->out, '}');
    return ok;
}

/* --- one call ------------------------------------------------------------------------------- */

/* clang-format off */
static const struct pkd_cell span_cells[] = {
    {"ord",           0,  PKD_CELL_INT},
    {"kind",          1,  PKD_CELL_TEXT},
    {"started_at",    2,  PKD_CELL_TIME},
    {"latency_ms",    3,  PKD_CELL_MILLI},
    {"ttfb_ms",       4,  PKD_CELL_MILLI},
    {"name",          5,  PKD_CELL_TEXT},
    {"target_path",   6,  PKD_CELL_TEXT},
    {"provider",      7,  PKD_CELL_TEXT},
    {"model",         8,  PKD_CELL_TEXT},
    {"http_status",   9,  PKD_CELL_INT},
    {"error_type",    10, PKD_CELL_TEXT},
    {"error_message", 11, PKD_CELL_TEXT},
    {"wait_ms",       12, PKD_CELL_INT},
    {"input_tokens",  13, PKD_CELL_INT},
    {"output_tokens", 14, PKD_CELL_INT},
    {"cost_usd",      15, PKD_CELL_USD},
    {0},
};
static const struct pkd_cell feedback_cells[] = {
    {"id",         0, PKD_CELL_UUID},
    {"value",      1, PKD_CELL_INT},
    {"weight",     2, PKD_CELL_REAL},
    {"metadata",   3, PKD_CELL_JSON},
    {"created_at", 4, PKD_CELL_TIME},
    {0},
};
/* clang-format on */

/* What was sent and what came, without the headers, which are not kept. */
static bool add_message(struct page *p, const struct pk_value *v, int payload)
{
    struct pk_buf *out = &p->e->out;
    pk_str body;

    if (!pkd_log_payload(p->e->store, v, payload, &p->room, &body, p->err))
        return false;
    pk_member_raw(out, "headers", PK_STR("{}"));
    pk_member_raw(out, "body", body.len ? body : PK_STR("null"));
    return true;
}

static bool add_request(struct page *p, const struct pk_value *v)
{
    const struct pk_operation *o = pk_operation_find(v[PKD_L_operation].s);
    struct pk_buf *out = &p->e->out;

    pk_buf_adds(out, ",\"request\":{");
    pk_member_text(out, "url", pk_copyf(p->e->arena, "/v1%s", o ? o->path : ""));
    pk_member_text(out, "method", PK_STR("POST"));
    if (!add_message(p, v, PKD_L_request_encoding))
        return false;
    pk_member_raw(out, "portkeyHeaders", PK_STR("{}"));
    pk_buf_addc(out, '}');
    return true;
}

static bool add_response(struct page *p, const struct pk_value *v)
{
    static const struct pkd_cell cells[] = {
        {"status", PKD_L_http_status, PKD_CELL_INT},
        {"responseTime", PKD_L_duration_us, PKD_CELL_MILLI},
        {"lastUsedOptionJsonPath", PKD_L_target_path, PKD_CELL_TEXT},
        {0},
    };
    struct pk_buf *out = &p->e->out;

    pk_buf_adds(out, ",\"response\":{");
    pkd_cell_members(out, cells, v);
    if (!add_message(p, v, PKD_L_response_encoding))
        return false;
    pk_buf_addc(out, '}');
    return true;
}

static bool take_one(void *ctx, const struct pk_value *v, int count)
{
    static const struct pkd_cell ids[] = {
        {"_id", PKD_L_id, PKD_CELL_UUID},
        {"id", PKD_L_id, PKD_CELL_UUID},
        {"trace_id", PKD_L_trace_id, PKD_CELL_TEXT},
        {"created_at", PKD_L_started_us, PKD_CELL_TIME},
        {0},
    };
    struct page *p = ctx;
    struct pk_buf *out = &p->e->out;

    PK_ASSERT(count == PKD_LOG_COLUMNS);
    p->rows = 1;
    pkd_cell_members(out, ids, v);
    pk_member_text(out, "organisation_id", PK_NONE);
    p->failed = !add_request(p, v) || !add_response(p, v);
    pk_buf_adds(out, ",\"metrics\":{");
    pkd_cell_members(out, pkd_log_cells, v);
    pk_buf_addc(out, '}');
    return false;
}

struct items {
    struct pk_buf *out;
    const struct pkd_cell *cells;
};

static bool take_item(void *ctx, const struct pk_value *v, int count)
{
    const struct items *i = ctx;

    (void)count;
    pk_member_item(i->out);
    pkd_cell_members(i->out, i->cells, v);
    pk_buf_addc(i->out, '}');
    return !i->out->failed;
}

static bool add_items(struct pkd_errand *e, const char *name, enum pk_stmt stmt,
                      struct pk_value key, struct pk_error *err)
{
    struct items items = {&e->out, stmt == PK_SQL_log_spans ? span_cells : feedback_cells};

    pk_member_raw(&e->out, name, PK_STR("["));
    bool ok = e->store->ops->exec(e->store, stmt, &key, 1, take_item, &items, err);
    pk_buf_addc(&e->out, ']');
    return ok;
}

bool pkd_log_get(struct pkd_errand *e, struct pk_error *err)
{
    struct page p = {.e = e, .room = pk_buf_in(e->arena, PK_BODY_BYTES_MAX), .err = err};
    pk_str text = pkd_path_segment(e->arena, e->path, 2);
    uint8_t id[PK_UUID_BYTES];
    struct pk_value key = pk_v_blob(id, sizeof id);

    pkd_logs_settle(e);
    pk_buf_addc(&e->out, '{');
    if (pk_uuid_parse(text, id) &&
        !e->store->ops->exec(e->store, PK_SQL_log_get, &key, 1, take_one, &p, err))
        return false;
    if (p.rows == 0)
        return pk_fail(err, PK_NOT_FOUND, "log: there is no call \"%.*s\"",
                       PK_FMT(pk_str_sub(text, 0, PK_SLUG_BYTES_MAX)));
    if (p.failed || !add_items(e, "spans", PK_SQL_log_spans, key, err) ||
        !add_items(e, "feedback", PK_SQL_log_feedback, key, err))
        return false;
    pk_buf_addc(&e->out, '}');
    return true;
}
