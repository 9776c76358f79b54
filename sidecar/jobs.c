/* jobs.c - /v1/jobs: how far jobs are, and the batches that run elsewhere on the same store.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * What `pkd jobs` and pk_running show. Jobs are put, and collected, by SQL.
 */
#include "cell.h"
#include "errand.h"
#include "member.h"
#include "path.h"
#include "store_job.h"

enum { PAGE_ROWS_DEFAULT = 100 };

/* As far as it has been read. */
struct listing {
    struct pk_buf *out;
    int64_t rows;
};

static bool take(struct listing *l, const struct pkd_cell *cells, const struct pk_value *v,
                 const char *object)
{
    l->rows++;
    pk_member_item(l->out);
    pkd_cell_members(l->out, cells, v);
    pk_member_text(l->out, "object", pk_str_of(object));
    pk_buf_addc(l->out, '}');
    return !l->out->failed;
}

static bool take_job(void *ctx, const struct pk_value *v, int count)
{
    static const struct pkd_cell cells[] = {
        {"id", 0, PKD_CELL_TEXT},    {"state", 1, PKD_CELL_TEXT},    {"total", 2, PKD_CELL_INT},
        {"queued", 3, PKD_CELL_INT}, {"running", 4, PKD_CELL_INT},   {"done", 5, PKD_CELL_INT},
        {"failed", 6, PKD_CELL_INT}, {"cancelled", 7, PKD_CELL_INT}, {0},
    };
    PK_ASSERT(count == 8);
    return take(ctx, cells, v, "job");
}

/* The last three but one are numbers that the statement has made texts of. */
static bool take_running(void *ctx, const struct pk_value *v, int count)
{
    static const struct pkd_cell cells[] = {
        {"id", 11, PKD_CELL_TEXT},
        {"kind", 0, PKD_CELL_TEXT},
        {"actor", 1, PKD_CELL_TEXT},
        {"host", 2, PKD_CELL_TEXT},
        {"pid", 3, PKD_CELL_INT},
        {"total", 4, PKD_CELL_INT},
        {"done", 5, PKD_CELL_INT},
        {"failed", 6, PKD_CELL_INT},
        {"in_flight", 7, PKD_CELL_INT},
        {"cost_usd", 8, PKD_CELL_JSON},
        {"rate", 9, PKD_CELL_JSON},
        {"eta_s", 10, PKD_CELL_JSON},
        {0},
    };
    PK_ASSERT(count == 12);
    return take(ctx, cells, v, "running");
}

static bool take_total(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 1);
    *(int64_t *)ctx = v[0].i;
    return true;
}

pkd_errand_fn pkd_jobs_list, pkd_jobs_running, pkd_job_get;

/* A page of what a statement lists, and how many there are. */
struct pages {
    enum pk_stmt page, count;
    pk_row_fn *take;
};

static bool list(struct pkd_errand *e, const struct pages *what, struct pk_error *err)
{
    const struct pk_store_ops *ops = e->store->ops;
    struct listing listing = {.out = &e->out};
    int64_t size = PAGE_ROWS_DEFAULT, page, total = 0;

    if (!pkd_query_check(e->arena, e->query, "current_page page_size", err) ||
        !pkd_query_page(e->arena, e->query, &size, &page, err))
        return false;
    const int64_t skip = page * size;
    const struct pk_value args[] = {pk_v_int(size), pk_v_int(skip)};
    pk_buf_adds(&e->out, "{\"object\":\"list\",\"data\":[");
    if (!ops->exec(e->store, what->page, args, PK_COUNT(args), what->take, &listing, err))
        return false;
    /* The last page tells by itself. A count sees what has come and gone meanwhile. */
    bool is_last = listing.rows < size && (listing.rows > 0 || skip == 0);
    if (!is_last && !ops->exec(e->store, what->count, NULL, 0, take_total, &total, err))
        return false;
    if (is_last || (listing.rows > 0 && total < skip + listing.rows))
        total = skip + listing.rows;
    pk_buf_addc(&e->out, ']');
    pk_member_int(&e->out, "total", total);
    pk_member_int(&e->out, "current_page", page);
    pk_member_int(&e->out, "page_size", size);
    pk_buf_addc(&e->out, '}');
    return true;
}

bool pkd_jobs_list(struct pkd_errand *e, struct pk_error *err)
{
    static const struct pages jobs = {PK_SQL_job_page, PK_SQL_job_count, take_job};

    return list(e, &jobs, err);
}

bool pkd_jobs_running(struct pkd_errand *e, struct pk_error *err)
{
    static const struct pages running = {PK_SQL_running_page, PK_SQL_running_count, take_running};

    return list(e, &running, err);
}

bool pkd_job_get(struct pkd_errand *e, struct pk_error *err)
{
    pk_str name = pkd_path_segment(e->arena, e->path, 2);
    uint8_t id[PK_UUID_BYTES];
    struct pk_error unused;
    bool found = false;

    if (!pkd_query_check(e->arena, e->query, "", err))
        return false;
    if (pk_job_id_parse(name, id, &unused) &&
        !pk_store_job_status(e->store, id, PK_NONE, &e->out, &found, err))
        return false;
    return found || pk_fail(err, PK_NOT_FOUND, "job: there is none called \"%.*s\"",
                            PK_FMT(pk_name_shown(name)));
}
