/* store_job_batch.c - see store_job_batch.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_job_batch.h"

#include "resolve.h"
#include "store_value.h"

#include <string.h>

static const char *const states[] = {
    [PK_JB_NEW] = "new", [PK_JB_SENT] = "sent", [PK_JB_OVER] = "over"};

static const int64_t later_us = INT64_MAX / 2; /* when an item of a batch is due */

/* --- what can be batched ------------------------------------------------------------------- */

bool pk_job_batch_check(struct pk_store *s, pk_str config, int64_t now_us, struct pk_error *err)
{
    struct pk_resolver *r = pk_resolver_new(pk_allocator_malloc());

    if (!r)
        return pk_fail(err, PK_NO_MEMORY, "config: out of memory");
    const struct pk_snapshot *snapshot = pk_resolve(r, s, config, now_us, err);
    const struct pk_provider *p = snapshot ? NULL : pk_provider_find(pk_str_trim(config));
    bool ok = snapshot && pk_config_batches(&snapshot->config, err);
    if (p) /* whose key is in the environment of whoever works it off */
        ok = pk_config_provider_batches(p, err);
    if (snapshot)
        pk_snapshot_release(r, snapshot);
    pk_resolver_free(r);
    return ok;
}

bool pk_store_job_batch_wanted(struct pk_store *s, bool *wanted, struct pk_error *err)
{
    *wanted = false;
    return s->ops->exec(s, PK_SQL_job_batch_wanted, NULL, 0, pk_row_mark, wanted, err);
}

/* --- claiming ------------------------------------------------------------------------------ */

struct found_job {
    uint8_t *id;
    bool found;
};

static bool read_job(void *ctx, const struct pk_value *v, int count)
{
    struct found_job *f = ctx;

    PK_ASSERT(count == 1 && v[0].s.len == PK_UUID_BYTES);
    memcpy(f->id, v[0].s.at, PK_UUID_BYTES);
    f->found = true;
    return false;
}

bool pk_store_job_batch_next(struct pk_store *s, int64_t now_us, uint8_t job[PK_UUID_BYTES],
                             bool *found, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(now_us), pk_v_int(PK_JOB_LOSSES_MAX)};
    struct found_job f = {job, false};

    bool ok = s->ops->exec(s, PK_SQL_job_batch_next, args, PK_COUNT(args), read_job, &f, err);
    *found = f.found;
    return ok;
}

struct claiming {
    bool (*take)(void *ctx, const struct pk_job_claim *claim);
    void *ctx;
    const uint8_t *job;
};

static bool give_claim(const struct claiming *c, const struct pk_value *v)
{
    struct pk_job_claim claim = {
        .ord = v[0].i, .kind = pk_job_kind_of(v[1].s), .text = v[2].s, .tries = (int)v[3].i};

    memcpy(claim.job, c->job, PK_UUID_BYTES);
    return c->take(c->ctx, &claim);
}

static bool take_claim(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 5);
    return give_claim(ctx, v + 1);
}

bool pk_store_job_batch_claim(struct pk_store *s, const struct pk_job_batch_claim *c,
                              bool (*take)(void *ctx, const struct pk_job_claim *claim), void *ctx,
                              struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_int(c->now_us), pk_v_int(c->until_us),       pk_v_blob(c->worker, PK_WORKER_BYTES),
        pk_v_int(c->count),  pk_v_int(PK_JOB_LOSSES_MAX), pk_v_uuid(c->job)};
    struct claiming give = {take, ctx, c->job};

    return s->ops->exec(s, PK_SQL_job_batch_claim, args, PK_COUNT(args), take_claim, &give, err);
}

/* --- batches ------------------------------------------------------------------------------- */

/* Ends what ops->begin() began. */
static bool end(struct pk_store *s, bool ok, struct pk_error *err)
{
    struct pk_error unused;

    return ok ? s->ops->end(s, true, err) : (s->ops->end(s, false, &unused), false);
}

static bool read_int(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 1);
    *(int64_t *)ctx = v[0].i;
    return true;
}

static bool put(struct pk_store *s, const struct pk_job_batch *b,
                const uint8_t worker[PK_WORKER_BYTES], int64_t until_us, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(b->id),
        pk_v_uuid(b->job),
        pk_v_int(b->created_us),
        pk_v_required(b->provider),
        pk_v_required(b->target_path),
        pk_v_required(b->model.len ? b->model : PK_STR("")),
        pk_v_blob(worker, PK_WORKER_BYTES),
        pk_v_int(until_us),
    };
    const struct pk_value items[] = {pk_v_uuid(b->job), pk_v_blob(worker, PK_WORKER_BYTES),
                                     pk_v_uuid(b->id), pk_v_int(later_us)};
    int64_t count = 0;

    if (!s->ops->exec(s, PK_SQL_job_batch_put, args, PK_COUNT(args), read_int, &count, err))
        return false;
    if (count != b->items)
        return pk_fail(err, PK_STORE, "batch: another worker has some of its items by now");
    return s->ops->exec(s, PK_SQL_job_batch_put_items, items, PK_COUNT(items), NULL, NULL, err);
}

bool pk_store_job_batch_put(struct pk_store *s, const struct pk_job_batch *b,
                            const uint8_t worker[PK_WORKER_BYTES], int64_t until_us,
                            struct pk_error *err)
{
    return s->ops->begin(s, err) && end(s, put(s, b, worker, until_us, err), err);
}

struct row {
    struct pk_arena *arena;
    struct pk_job_batch *batch;
    bool found;
};

static enum pk_job_batch_state state_of(pk_str word)
{
    for (int i = 0; i < (int)PK_COUNT(states); i++)
        if (pk_str_is(word, states[i]))
            return (enum pk_job_batch_state)i;
    return PK_JB_NEW;
}

static bool read_batch(void *ctx, const struct pk_value *v, int count)
{
    struct row *row = ctx;
    struct pk_job_batch *b = row->batch;

    PK_ASSERT(count == 13 && v[0].s.len == PK_UUID_BYTES && v[1].s.len == PK_UUID_BYTES);
    *b = (struct pk_job_batch){
        .created_us = v[2].i,
        .provider = pk_copy(row->arena, v[3].s),
        .target_path = pk_copy(row->arena, v[4].s),
        .model = pk_copy(row->arena, v[5].s),
        .items = v[6].i,
        .state = state_of(v[7].s),
        .asks = (int)v[8].i,
        .looks = (int)v[9].i,
        .file_id = pk_copy(row->arena, v[10].s),
        .remote_id = pk_copy(row->arena, v[11].s),
        .cancelled = v[12].i != 0,
    };
    memcpy(b->id, v[0].s.at, PK_UUID_BYTES);
    memcpy(b->job, v[1].s.at, PK_UUID_BYTES);
    row->found = true;
    return true;
}

bool pk_store_job_batch_take(struct pk_store *s, struct pk_arena *arena,
                             const uint8_t worker[PK_WORKER_BYTES], int64_t now_us,
                             int64_t until_us, struct pk_job_batch *b, bool *found,
                             struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(now_us), pk_v_int(until_us),
                                    pk_v_blob(worker, PK_WORKER_BYTES)};
    struct row row = {arena, b, false};
    bool due = false;

    *found = false;
    if (!s->ops->exec(s, PK_SQL_job_batch_due, args, 1, pk_row_mark, &due, err))
        return false;
    if (due && !s->ops->exec(s, PK_SQL_job_batch_take, args, PK_COUNT(args), read_batch, &row, err))
        return false;
    *found = row.found;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "batch: out of memory");
}

bool pk_store_job_batch_save(struct pk_store *s, const struct pk_job_batch *b,
                             const uint8_t worker[PK_WORKER_BYTES], bool keep, bool *had,
                             struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(b->id),
        pk_v_blob(worker, PK_WORKER_BYTES),
        pk_v_required(pk_str_of(states[b->state])),
        pk_v_int(b->asks),
        pk_v_int(b->looks),
        pk_v_int_unless(b->state == PK_JB_OVER, b->due_us),
        pk_v_text(b->file_id),
        pk_v_text(b->remote_id),
        pk_v_int(b->cancelled),
        pk_v_int(b->updated_us),
        pk_v_int(keep),
    };

    *had = false;
    return s->ops->exec(s, PK_SQL_job_batch_save, args, PK_COUNT(args), pk_row_mark, had, err);
}

static bool take_item(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 4);
    return give_claim(ctx, v);
}

bool pk_store_job_batch_items(struct pk_store *s, const struct pk_job_batch *b,
                              bool (*take)(void *ctx, const struct pk_job_claim *claim), void *ctx,
                              struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(b->job), pk_v_uuid(b->id)};
    struct claiming give = {take, ctx, b->job};

    return s->ops->exec(s, PK_SQL_job_batch_items, args, PK_COUNT(args), take_item, &give, err);
}

bool pk_store_job_batch_known(struct pk_store *s, pk_str remote_id, bool *known,
                              struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_required(remote_id)};

    *known = false;
    return s->ops->exec(s, PK_SQL_job_batch_known, args, PK_COUNT(args), pk_row_mark, known, err);
}

static bool read_stopped(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 1);
    *(bool *)ctx = v[0].i != 0;
    return false;
}

bool pk_store_job_batch_stopped(struct pk_store *s, const uint8_t job[PK_UUID_BYTES], bool *stopped,
                                struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(job)};

    *stopped = true;
    return s->ops->exec(s, PK_SQL_job_batch_stopped, args, PK_COUNT(args), read_stopped, stopped,
                        err);
}

bool pk_store_job_batch_hurry(struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(now_us)};

    return s->ops->exec(s, PK_SQL_job_batch_hurry, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_batch_drop(struct pk_store *s, const struct pk_job_batch *b, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(b->job), pk_v_uuid(b->id)};

    return s->ops->exec(s, PK_SQL_job_batch_drop, args, PK_COUNT(args), NULL, NULL, err);
}
