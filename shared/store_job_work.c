/* store_job_work.c - what workers do with the queue; the other half of store_job.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_job.h"

#include "store_value.h"

#include <string.h>

/* --- claiming ------------------------------------------------------------------------------ */

struct claiming {
    bool (*take)(void *ctx, const struct pk_job_claim *claim);
    void *ctx;
    const uint8_t *before;       /* the job that was served last */
    uint8_t last[PK_UUID_BYTES]; /* and now */
    bool any, wrapped;           /* wrapped: it is no longer one after `before` */
};

/* Jobs are served in a circle that begins behind `before`. */
static void note_job(struct claiming *c, const uint8_t *job)
{
    bool wrapped = memcmp(job, c->before, PK_UUID_BYTES) <= 0;

    if (c->any && (wrapped != c->wrapped ? c->wrapped : memcmp(job, c->last, PK_UUID_BYTES) <= 0))
        return;
    c->any = true;
    c->wrapped = wrapped;
    memcpy(c->last, job, PK_UUID_BYTES);
}

enum pk_job_kind pk_job_kind_of(pk_str word)
{
    if (pk_str_is(word, "vars"))
        return PK_JOB_VARS;
    return pk_str_is(word, "messages") ? PK_JOB_MESSAGES : PK_JOB_PROMPT;
}

static bool take_claim(void *ctx, const struct pk_value *v, int count)
{
    struct claiming *c = ctx;
    struct pk_job_claim claim = {
        .ord = v[1].i, .kind = pk_job_kind_of(v[2].s), .text = v[3].s, .tries = (int)v[4].i};

    PK_ASSERT(count == 5 && v[0].s.len == PK_UUID_BYTES);
    memcpy(claim.job, v[0].s.at, PK_UUID_BYTES);
    note_job(c, claim.job);
    return c->take(c->ctx, &claim);
}

struct turn {
    char actor[PK_ACTOR_BYTES];
    bool found, others;
};

static bool read_turn(void *ctx, const struct pk_value *v, int count)
{
    struct turn *t = ctx;
    size_t len = v[0].s.len < sizeof t->actor ? v[0].s.len : sizeof t->actor - 1;

    PK_ASSERT(count == 2);
    memcpy(t->actor, v[0].s.at, len);
    t->found = true;
    t->others = v[1].i != 0;
    return false;
}

static uint8_t *place_of(struct pk_job_turns *turns, const char *actor)
{
    unsigned hash = 0;

    for (; *actor; actor++)
        hash = hash * 31 + (unsigned char)*actor;
    return turns->jobs[hash % PK_JOB_TURNS];
}

bool pk_store_job_claim(struct pk_store *s, struct pk_job_turns *turns,
                        const uint8_t worker[PK_WORKER_BYTES], int64_t now_us, int64_t until_us,
                        int count, bool (*take)(void *ctx, const struct pk_job_claim *claim),
                        void *ctx, struct pk_error *err)
{
    const struct pk_value last[] = {pk_v_int(now_us), pk_v_required(pk_str_of(turns->actor))};
    struct turn turn = {.found = false};

    if (!s->ops->exec(s, PK_SQL_job_turn, last, PK_COUNT(last), read_turn, &turn, err))
        return false;
    if (!turn.found)
        return true;
    uint8_t *job = place_of(turns, turn.actor);
    struct claiming c = {.take = take, .ctx = ctx, .before = job};
    const struct pk_value args[] = {pk_v_int(now_us),
                                    pk_v_int(until_us),
                                    pk_v_blob(worker, PK_WORKER_BYTES),
                                    pk_v_int(turn.others ? (count + 1) / 2 : count),
                                    pk_v_int(PK_JOB_LOSSES_MAX),
                                    pk_v_required(pk_str_of(turn.actor)),
                                    pk_v_uuid(job)};
    memcpy(turns->actor, turn.actor, sizeof turns->actor);
    if (!s->ops->exec(s, PK_SQL_job_claim, args, PK_COUNT(args), take_claim, &c, err))
        return false;
    if (c.any)
        memcpy(job, c.last, PK_UUID_BYTES);
    return true;
}

struct job_row {
    struct pk_arena *arena;
    struct pk_job *job;
    bool found;
};

static bool read_job(void *ctx, const struct pk_value *v, int count)
{
    struct job_row *row = ctx;

    PK_ASSERT(count == 5);
    row->found = true;
    row->job->actor = pk_copy(row->arena, v[0].s);
    row->job->config = pk_copy(row->arena, v[1].s);
    row->job->params = pk_copy(row->arena, v[2].s);
    row->job->prompt = pk_copy(row->arena, v[3].s);
    row->job->tries_max = (int)v[4].i;
    return false;
}

bool pk_store_job_get(struct pk_store *s, struct pk_arena *arena, const uint8_t id[PK_UUID_BYTES],
                      struct pk_job *job, bool *found, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id)};
    struct job_row row = {arena, job, false};

    *job = (struct pk_job){0};
    memcpy(job->id, id, PK_UUID_BYTES);
    if (!s->ops->exec(s, PK_SQL_job_get, args, PK_COUNT(args), read_job, &row, err))
        return false;
    *found = row.found;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "job: out of memory");
}

bool pk_store_job_renew(struct pk_store *s, const uint8_t worker[PK_WORKER_BYTES], int64_t until_us,
                        struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_blob(worker, PK_WORKER_BYTES), pk_v_int(until_us)};

    return s->ops->exec(s, PK_SQL_job_renew, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_give_back(struct pk_store *s, const uint8_t worker[PK_WORKER_BYTES],
                            int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_blob(worker, PK_WORKER_BYTES), pk_v_int(now_us)};

    return s->ops->exec(s, PK_SQL_job_give_back, args, PK_COUNT(args), NULL, NULL, err);
}

/* --- ending -------------------------------------------------------------------------------- */

bool pk_store_job_end(struct pk_store *s, const struct pk_job_claim *claim, int tries,
                      const struct pk_result *r, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(claim->job),
        pk_v_int(claim->ord),
        pk_v_required(r->ok ? PK_STR("done") : PK_STR("failed")),
        pk_v_int(tries),
        r->has_content ? pk_v_required(r->content.at ? r->content : PK_STR("")) : pk_v_null(),
        pk_v_text(r->response),
        pk_v_text(pk_str_of(r->error_code)),
        pk_v_text(r->error_message),
        pk_v_int_unless(r->ok, r->retryable),
        pk_v_int_unless(r->http_status == 0, r->http_status),
        pk_v_text(r->provider),
        pk_v_text(r->model),
        pk_v_int_unless(!r->has_usage, r->input_tokens),
        pk_v_int_unless(!r->has_usage, r->output_tokens),
        pk_v_int_unless(!r->cost_known, r->cost_pusd),
        pk_v_int(r->latency_us),
        pk_v_int(r->attempts),
        pk_v_text(r->cache_status),
        pk_v_text(r->trace_id),
    };

    return s->ops->exec(s, PK_SQL_job_item_end, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_again(struct pk_store *s, const struct pk_job_claim *claim,
                        const uint8_t worker[PK_WORKER_BYTES], int tries, int64_t due_us,
                        const struct pk_result *r, struct pk_error *err)
{
    const struct pk_value args[] = {
        pk_v_uuid(claim->job),
        pk_v_int(claim->ord),
        pk_v_blob(worker, PK_WORKER_BYTES),
        pk_v_int(tries),
        pk_v_int(due_us),
        pk_v_int_unless(!r->cost_known, r->cost_pusd),
        pk_v_text(pk_str_of(r->error_code)),
        pk_v_text(r->error_message),
    };

    return s->ops->exec(s, PK_SQL_job_item_again, args, PK_COUNT(args), NULL, NULL, err);
}

static bool count_row(void *ctx, const struct pk_value *columns, int count)
{
    (void)columns;
    (void)count;
    ++*(int64_t *)ctx;
    return true;
}

bool pk_store_job_share(struct pk_store *s, bool *more, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(PK_JOB_SHARES_MAX)};
    int64_t shared = 0;
    bool any = false;

    *more = false;
    if (!s->ops->exec(s, PK_SQL_job_shares, NULL, 0, pk_row_mark, &any, err))
        return false;
    if (!any)
        return true;
    if (!s->ops->exec(s, PK_SQL_job_share, args, PK_COUNT(args), count_row, &shared, err) ||
        !s->ops->exec(s, PK_SQL_job_shared, NULL, 0, NULL, NULL, err))
        return false;
    *more = shared == PK_JOB_SHARES_MAX;
    return true;
}

bool pk_store_job_finish(struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_int(now_us)};

    return s->ops->exec(s, PK_SQL_job_finish, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_tidy(struct pk_store *s, int64_t now_us, struct pk_error *err)
{
    const struct pk_value now[] = {pk_v_int(now_us)};
    const struct pk_value lost[] = {pk_v_int(now_us), pk_v_int(PK_JOB_LOSSES_MAX),
                                    pk_v_required(PK_STR("worker_lost")),
                                    pk_v_required(PK_STR("too many workers ended while they "
                                                         "had it"))};
    bool open = false, more;

    if (!s->ops->exec(s, PK_SQL_job_open, NULL, 0, pk_row_mark, &open, err))
        return false;
    return !open ||
           (s->ops->exec(s, PK_SQL_job_tidy_cancelled, now, PK_COUNT(now), NULL, NULL, err) &&
            s->ops->exec(s, PK_SQL_job_tidy_lost, lost, PK_COUNT(lost), NULL, NULL, err) &&
            pk_store_job_share(s, &more, err) && pk_store_job_finish(s, now_us, err));
}
