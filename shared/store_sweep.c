/* store_sweep.c - see store_sweep.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * A pass is a row of stages. Each first looks, without a transaction, whether there is something to do: most of
 * the time there is not.
 */
#include "store_sweep.h"

#include "progress.h"
#include "store_cache.h"
#include "store_value.h"

#include <inttypes.h>
#include <string.h>

enum { HOURS_MAX = 24 }; /* that a step forgets */

static const int64_t us_per_day = 86400000000, us_per_minute = 60000000, us_per_s = 1000000;

struct step {
    struct pk_store *store;
    struct pk_sweep *sweep;
    int64_t now_us;
    struct pk_error *err;
};

/* --- times ----------------------------------------------------------------------------------- */

/* When that which is just old enough was made; 0: nothing is. */
static int64_t before_us(const struct step *st, enum pk_kept kept)
{
    int64_t keep_us = st->sweep->keep.keep_us[kept];

    return keep_us && keep_us < st->now_us ? st->now_us - keep_us : 0;
}

/* The smallest UUIDv7 of that time. */
static struct pk_value uuid_at(int64_t at_us, uint8_t id[PK_UUID_BYTES])
{
    pk_uuid7(at_us, 0, id);
    return pk_v_uuid(id);
}

/* Payloads that no log row can refer to go as well. A payload's time is that of its last use, or up to
 * payload_touch_us, at most a day, earlier. */
static int64_t payloads_before_us(const struct step *st)
{
    int64_t own = before_us(st, PK_KEPT_PAYLOADS), logs = before_us(st, PK_KEPT_LOGS);

    logs = logs > us_per_day ? logs - us_per_day : 0;
    return own > logs ? own : logs;
}

/* A text that is used again and again is noted as such often enough to outlive its retention by a tenth
 * at most. */
static int64_t touch_us(const struct pk_retention *r)
{
    int64_t keep_us = r->keep_us[PK_KEPT_PAYLOADS], tenth = keep_us / 10;

    if (keep_us == 0 || tenth > us_per_day)
        return us_per_day;
    return tenth > us_per_minute ? tenth : us_per_minute;
}

/* --- stages: false on failure; *rows is what went ---------------------------------------------- */

/* What deleted rows leave: how many there were, and the last of them. */
struct gone {
    struct pk_sweep *sweep;
    int64_t rows;
};

static void note_id(struct pk_sweep *w, pk_str id)
{
    PK_ASSERT(id.len == PK_UUID_BYTES);
    if (memcmp(id.at, w->id, PK_UUID_BYTES) > 0)
        memcpy(w->id, id.at, PK_UUID_BYTES);
}

static bool read_gone(void *ctx, const struct pk_value *columns, int count)
{
    struct gone *g = ctx;

    PK_ASSERT(count == 1);
    g->rows++;
    if (columns[0].type == PK_V_BLOB)
        note_id(g->sweep, columns[0].s);
    else if (columns[0].i > g->sweep->at)
        g->sweep->at = columns[0].i;
    return true;
}

static bool count_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    ++*(int64_t *)ctx;
    return true;
}

static bool exec(const struct step *st, enum pk_stmt stmt, const struct pk_value *args, int count,
                 int64_t *rows)
{
    return st->store->ops->exec(st->store, stmt, args, count, count_row, rows, st->err);
}

static bool end(const struct step *st, bool ok)
{
    struct pk_error ignored;

    if (ok)
        return st->store->ops->end(st->store, true, st->err);
    (void)st->store->ops->end(st->store, false, &ignored);
    return false;
}

/* Looks with the first two arguments, and deletes when there is something. */
static bool look_and_delete(const struct step *st, enum pk_stmt look, const struct pk_value *args,
                            int count, int64_t *rows)
{
    struct gone g = {.sweep = st->sweep};
    int64_t found = 0;

    if (!exec(st, look, args, 2, &found))
        return false;
    if (!found)
        return true;
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    /* The statement that deletes follows the one that looks. */
    bool ok = st->store->ops->exec(st->store, (enum pk_stmt)(look + 1), args, count, read_gone, &g,
                                   st->err);
    *rows = g.rows;
    return end(st, ok);
}

static struct pk_value last_id(const struct step *st)
{
    return pk_v_uuid(st->sweep->id);
}

static bool delete_logs(const struct step *st, const struct pk_value args[2], int64_t *rows)
{
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    return end(st, exec(st, PK_SQL_sweep_spans_delete, args, 2, &st->sweep->swept.spans) &&
                       exec(st, PK_SQL_sweep_logs_delete, args, 2, rows));
}

static bool sweep_logs(const struct step *st, int64_t *rows)
{
    int64_t before = before_us(st, PK_KEPT_LOGS);
    uint8_t id[PK_UUID_BYTES], after[PK_UUID_BYTES];
    struct gone last = {.sweep = st->sweep};

    if (!before)
        return true;
    memcpy(after, st->sweep->id, sizeof after);
    const struct pk_value args[] = {pk_v_blob(after, sizeof after), uuid_at(before, id),
                                    pk_v_int(st->sweep->rows)};
    if (!st->store->ops->exec(st->store, PK_SQL_sweep_logs, args, PK_COUNT(args), read_gone, &last,
                              st->err))
        return false;
    const struct pk_value range[] = {args[0], last_id(st)};
    return !last.rows || delete_logs(st, range, rows);
}

/* What is kept of hours that calls are gone from (pk_log_hour) goes as well. */
static bool sweep_hours(const struct step *st, int64_t *rows)
{
    const struct pk_value args[] = {pk_v_int(before_us(st, PK_KEPT_LOGS)), pk_v_int(HOURS_MAX)};
    struct gone last = {.sweep = st->sweep};

    if (!args[0].i)
        return true;
    if (!st->store->ops->exec(st->store, PK_SQL_sweep_hours, args, PK_COUNT(args), read_gone, &last,
                              st->err))
        return false;
    const struct pk_value upto[] = {pk_v_int(st->sweep->at)};
    int64_t columns = 0;
    if (!last.rows)
        return true;
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    return end(st, exec(st, PK_SQL_sweep_hour_columns, upto, PK_COUNT(upto), &columns) &&
                       exec(st, PK_SQL_sweep_hour, upto, PK_COUNT(upto), rows));
}

static bool sweep_payloads(const struct step *st, int64_t *rows)
{
    int64_t before = payloads_before_us(st);
    const struct pk_value args[] = {pk_v_int(st->sweep->at), pk_v_int(before),
                                    pk_v_int(st->sweep->rows), pk_v_int(PK_SWEEP_BYTES_MAX)};

    return !before || look_and_delete(st, PK_SQL_sweep_payloads, args, PK_COUNT(args), rows);
}

static bool sweep_feedback(const struct step *st, int64_t *rows)
{
    int64_t before = before_us(st, PK_KEPT_FEEDBACK);
    uint8_t id[PK_UUID_BYTES], after[PK_UUID_BYTES];

    if (!before)
        return true;
    memcpy(after, st->sweep->id, sizeof after);
    const struct pk_value args[] = {pk_v_blob(after, sizeof after), uuid_at(before, id),
                                    pk_v_int(st->sweep->rows)};
    return look_and_delete(st, PK_SQL_sweep_feedback, args, PK_COUNT(args), rows);
}

static bool sweep_audit(const struct step *st, int64_t *rows)
{
    int64_t before = before_us(st, PK_KEPT_AUDIT);
    const struct pk_value args[] = {pk_v_int(st->sweep->at), pk_v_int(before),
                                    pk_v_int(st->sweep->rows)};

    return !before || look_and_delete(st, PK_SQL_sweep_audit, args, PK_COUNT(args), rows);
}

/* Jobs that were over before the log begins, a job's items first. */
static bool sweep_jobs(const struct step *st, int64_t *rows)
{
    int64_t before = before_us(st, PK_KEPT_LOGS), items = 0, batches = 0, found = 0;
    const struct pk_value args[] = {pk_v_int(before), pk_v_int(st->sweep->rows)};

    if (!before)
        return true;
    if (!exec(st, PK_SQL_sweep_jobs_look, args, 1, &found))
        return false;
    if (!found)
        return true;
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    bool ok = exec(st, PK_SQL_sweep_job_items, args, PK_COUNT(args), &items) &&
              (items > 0 || (exec(st, PK_SQL_sweep_job_batches, args, PK_COUNT(args), &batches) &&
                             exec(st, PK_SQL_sweep_jobs, args, PK_COUNT(args), rows)));
    *rows += items;
    return end(st, ok);
}

/* Of batches whose process was killed. */
static bool sweep_progress(const struct step *st, int64_t *rows)
{
    const struct pk_value before[] = {pk_v_int(st->now_us - PK_PROGRESS_SWEEP_S * us_per_s)};
    int64_t found = 0;

    if (!exec(st, PK_SQL_sweep_progress_look, before, 1, &found))
        return false;
    return !found || exec(st, PK_SQL_sweep_progress, before, 1, rows);
}

/* Expired answers go in any case. */
static bool sweep_cache(const struct step *st, int64_t *rows)
{
    return pk_store_cache_sweep(st->store, st->now_us, before_us(st, PK_KEPT_CACHE), rows, st->err);
}

static bool shrink(const struct step *st, int64_t *pages)
{
    return !st->store->ops->shrink ||
           st->store->ops->shrink(st->store, PK_SWEEP_PAGES, pages, st->err);
}

/* clang-format off */
static const struct stage {
    bool (*run)(const struct step *st, int64_t *rows);
    size_t count; /* where its rows are counted */
} stages[] = {
    {sweep_logs,     offsetof(struct pk_swept, logs)},
    {sweep_hours,    offsetof(struct pk_swept, hours)},
    {sweep_payloads, offsetof(struct pk_swept, payloads)},
    {sweep_cache,    offsetof(struct pk_swept, cache)},
    {sweep_feedback, offsetof(struct pk_swept, feedback)},
    {sweep_audit,    offsetof(struct pk_swept, audit)},
    {sweep_jobs,     offsetof(struct pk_swept, jobs)},
    {sweep_progress, offsetof(struct pk_swept, progress)},
    {shrink,         offsetof(struct pk_swept, pages)},
};
/* clang-format on */

/* --- a step ---------------------------------------------------------------------------------- */

static void begin_stage(struct pk_sweep *w)
{
    w->at = 0;
    memset(w->id, 0, sizeof w->id);
}

static bool begin_pass(const struct step *st)
{
    if (!pk_store_retention(st->store, &st->sweep->keep, st->err))
        return false;
    st->store->payload_touch_us = touch_us(&st->sweep->keep);
    begin_stage(st->sweep);
    return true;
}

static void next_stage(struct pk_sweep *w)
{
    w->stage++;
    begin_stage(w);
}

/* Now and then, and at the end of a pass that did something: what was written goes where it belongs. */
static bool settle(const struct step *st, bool over, enum pk_sweep_then *then)
{
    struct pk_store *s = st->store;
    int64_t behind = 0;

    if (!s->ops->settle || (over ? st->sweep->steps == 0 : st->sweep->steps % PK_SWEEP_LOOK_STEPS))
        return true;
    if (!s->ops->settle(s, &behind, st->err))
        return false;
    if (!over && behind > PK_SWEEP_BEHIND_PAGES)
        *then = PK_SWEEP_WAIT;
    return true;
}

bool pk_store_sweep(struct pk_store *s, struct pk_sweep *w, int64_t now_us,
                    enum pk_sweep_then *then, struct pk_error *err)
{
    const struct step st = {s, w, now_us, err};
    int64_t rows = 0;

    *then = PK_SWEEP_OVER;
    if (w->rows == 0)
        w->rows = PK_SWEEP_ROWS_MAX / 4;
    if (w->stage == 0 && w->steps == 0 && !begin_pass(&st))
        return false;
    for (; w->stage < (int)PK_COUNT(stages); next_stage(w)) {
        const struct stage *stage = &stages[w->stage];

        if (!stage->run(&st, &rows)) {
            w->stage = w->steps = 0;
            return false;
        }
        *(int64_t *)(void *)((char *)&w->swept + stage->count) += rows;
        if (rows == 0)
            continue;
        w->steps++;
        *then = PK_SWEEP_ON;
        return settle(&st, false, then); /* the same stage again, until it finds nothing */
    }
    bool ok = settle(&st, true, then);
    w->stage = w->steps = 0;
    return ok;
}

int64_t pk_sweep_pause_ms(bool ok, enum pk_sweep_then then)
{
    if (!ok)
        return PK_SWEEP_REST_MS;
    switch (then) {
    case PK_SWEEP_ON: return PK_SWEEP_PAUSE_MS;
    case PK_SWEEP_WAIT: return PK_SWEEP_WAIT_MS;
    case PK_SWEEP_OVER: break;
    }
    return PK_SWEEP_REST_MS;
}

void pk_sweep_took(struct pk_sweep *w, int64_t us)
{
    if (us > PK_SWEEP_STEP_US && w->rows > PK_SWEEP_ROWS_MIN)
        w->rows /= 2;
    else if (us < PK_SWEEP_STEP_US / 4 && w->rows < PK_SWEEP_ROWS_MAX)
        w->rows *= 2;
}

void pk_swept_print(const struct pk_swept *n, struct pk_buf *out)
{
    pk_buf_addf(out,
                "{\"logs\":%" PRId64 ",\"spans\":%" PRId64 ",\"payloads\":%" PRId64
                ",\"cache\":%" PRId64 ",\"feedback\":%" PRId64 ",\"audit\":%" PRId64
                ",\"jobs\":%" PRId64 ",\"pages\":%" PRId64 "}",
                n->logs, n->spans, n->payloads, n->cache, n->feedback, n->audit, n->jobs, n->pages);
}
