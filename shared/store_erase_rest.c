/* store_erase_rest.c - what is a person's and not of a single call: feedback, jobs, use of limits.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_erase_inner.h"

#include "json.h"

enum { SCRATCH_BYTES_MAX = PK_CALL_BYTES_MAX, ITEMS_STEP = 512, FEEDBACK_STEP = 1000 };

/* --- feedback ----------------------------------------------------------------------------------- */

struct feedback_ids {
    int count;
    uint8_t ids[FEEDBACK_STEP][PK_UUID_BYTES];
};

static bool note_feedback(void *ctx, const struct pk_value *columns, int count)
{
    struct feedback_ids *f = ctx;

    PK_ASSERT(f->count < FEEDBACK_STEP);
    return pk_erase_read_id(f->ids[f->count++], columns, count);
}

static bool delete_feedback(const struct pk_erase_step *st, const struct feedback_ids *f)
{
    bool ok = true;

    if (f->count == 0)
        return true;
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    for (int i = 0; ok && i < f->count; i++) {
        const struct pk_value id[] = {pk_v_uuid(f->ids[i])};

        ok = pk_erase_exec(st, PK_SQL_erase_feedback_item, id, 1, &st->e->counts.feedback);
    }
    return pk_erase_end(st, ok);
}

/* Whose own metadata are the person's. */
bool pk_erase_feedback(const struct pk_erase_step *st, bool *done)
{
    struct pk_erasure *e = st->e;
    uint8_t upto[PK_UUID_BYTES];
    const struct pk_value ahead[] = {pk_v_uuid(e->after), pk_v_int(FEEDBACK_STEP)};
    const struct pk_value args[] = {pk_v_uuid(e->after), pk_v_uuid(upto),
                                    pk_v_text(e->filter.metadata)};
    struct feedback_ids f = {0};

    *done = e->filter.metadata.len == 0 || e->filter.trace_id.len || e->filter.api_key.len;
    if (*done)
        return true;
    memcpy(upto, e->after, sizeof upto);
    if (!st->store->ops->exec(st->store, PK_SQL_erase_feedback_upto, ahead, PK_COUNT(ahead),
                              pk_erase_read_id, upto, st->err))
        return false;
    *done = memcmp(upto, e->after, sizeof upto) == 0;
    if (*done)
        return true;
    if (!st->store->ops->exec(st->store, PK_SQL_erase_feedback_find, args, PK_COUNT(args),
                              note_feedback, &f, st->err))
        return false;
    memcpy(e->after, upto, sizeof upto);
    return delete_feedback(st, &f);
}

/* --- jobs -------------------------------------------------------------------------------------- */

struct job {
    struct pk_erase_step *st;
    uint8_t id[PK_UUID_BYTES];
    bool found, over, all, of_trace;
};

/* Whether each member of the filter's metadata is in that of the calls. */
static bool has_metadata(struct pk_erase_step *st, const struct pk_json *doc, int metadata)
{
    struct pk_error unused;
    struct pk_json wanted;

    if (!pk_json_parse(&st->arena, st->e->filter.metadata, "metadata", &wanted, &unused))
        return false;
    for (int k = pk_json_first(&wanted, 0); k >= 0; k = pk_json_next(&wanted, 0, k)) {
        int value = pk_json_member(doc, metadata, pk_json_str(&st->arena, &wanted, k));

        if (pk_json_type(doc, value) != PK_JSON_STRING ||
            !pk_str_eq(pk_json_str(&st->arena, doc, value),
                       pk_json_str(&st->arena, &wanted, k + 1)))
            return false;
    }
    return true;
}

static bool is_user(struct pk_erase_step *st, const struct pk_json *doc)
{
    static const char *const paths[] = {"pk.user_id", "pk.metadata._user", "user"};
    pk_str user = PK_NONE;

    for (size_t i = 0; i < PK_COUNT(paths) && user.len == 0; i++)
        user = pk_json_str(&st->arena, doc, pk_json_at(doc, paths[i]));
    return pk_str_eq(user, st->e->filter.user_id);
}

/* Whether all calls of a job with these parameters are the person's. A job has no API key. */
static bool all_hers(struct pk_erase_step *st, pk_str params)
{
    const struct pk_erase_filter *f = &st->e->filter;
    struct pk_error unused;
    struct pk_json doc;

    if (f->api_key.len || !pk_json_parse(&st->arena, params, "params", &doc, &unused))
        return false;
    return (f->trace_id.len == 0 ||
            pk_str_eq(f->trace_id,
                      pk_json_str(&st->arena, &doc, pk_json_at(&doc, "pk.trace_id")))) &&
           (f->user_id.len == 0 || is_user(st, &doc)) &&
           (f->metadata.len == 0 || has_metadata(st, &doc, pk_json_at(&doc, "pk.metadata")));
}

static bool read_job(void *ctx, const struct pk_value *columns, int count)
{
    struct job *j = ctx;

    PK_ASSERT(count == 3);
    (void)pk_erase_read_id(j->id, columns, count);
    j->found = true;
    j->all = all_hers(j->st, columns[1].s);
    j->over = columns[2].i != 0;
    return false;
}

/* Items first, so that what is left when it is cut short is found again. */
static bool delete_job(struct pk_erase_step *st, const struct job *j, bool *gone)
{
    const struct pk_value args[] = {pk_v_uuid(j->id), pk_v_int(ITEMS_STEP)};
    int64_t items = 0, jobs = 0;

    *gone = st->e->dry;
    if (st->e->dry)
        return st->store->ops->exec(st->store, PK_SQL_erase_job_count, args, 1, pk_row_int, &items,
                                    st->err) &&
               ((st->e->counts.jobs += items), true);
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    bool ok = pk_erase_exec(st, PK_SQL_erase_job_items, args, PK_COUNT(args), &items) &&
              (items > 0 || (pk_erase_exec(st, PK_SQL_erase_job_batches, args, 1, NULL) &&
                             pk_erase_exec(st, PK_SQL_erase_job, args, 1, &jobs)));
    *gone = items == 0;
    st->e->counts.jobs += items;
    return pk_erase_end(st, ok);
}

/* Of a job that has other calls too, those of a trace say nothing any more. */
static bool blank_items(struct pk_erase_step *st, const struct job *j)
{
    const struct pk_value args[] = {pk_v_uuid(j->id), pk_v_text(st->e->filter.trace_id)};

    if (args[1].type == PK_V_NULL || st->e->filter.user_id.len || st->e->filter.metadata.len ||
        st->e->filter.api_key.len)
        return true;
    if (!st->store->ops->begin(st->store, st->err))
        return false;
    return pk_erase_end(
        st, pk_erase_exec(st, PK_SQL_erase_job_trace, args, PK_COUNT(args), &st->e->counts.jobs));
}

/* One job a step, or some of its items. */
bool pk_erase_jobs(const struct pk_erase_step *of, bool *done)
{
    struct pk_erase_step st = *of;
    struct job j = {.st = &st};
    const struct pk_value args[] = {pk_v_uuid(st.e->after), pk_v_int(1)};
    bool gone = true;

    pk_arena_init(&st.arena, pk_allocator_malloc(), SCRATCH_BYTES_MAX);
    bool ok = st.store->ops->exec(st.store, PK_SQL_erase_jobs, args, PK_COUNT(args), read_job, &j,
                                  st.err);
    if (ok && j.found && j.all && j.over)
        ok = delete_job(&st, &j, &gone);
    else if (ok && j.found && j.all)
        st.e->counts.open_jobs++;
    else if (ok && j.found)
        ok = blank_items(&st, &j);
    pk_arena_free(&st.arena);
    if (ok && j.found && gone)
        memcpy(st.e->after, j.id, sizeof j.id);
    *done = !j.found;
    return ok;
}

/* --- limits ------------------------------------------------------------------------------------- */

static bool forget_use(const struct pk_erase_step *st, const char *scope, pk_str key,
                       pk_str subject)
{
    const struct pk_value args[] = {pk_v_required(pk_str_of(scope)), pk_v_text(key),
                                    pk_v_required(subject)};

    return pk_erase_exec(st, PK_SQL_erase_limit_use, args, PK_COUNT(args), &st->e->counts.limits);
}

static bool forget_metadata_use(struct pk_erase_step *st)
{
    struct pk_json doc;
    bool ok = st->e->filter.metadata.len == 0 ||
              pk_json_parse(&st->arena, st->e->filter.metadata, "metadata", &doc, st->err);

    for (int k = ok && st->e->filter.metadata.len ? pk_json_first(&doc, 0) : -1; ok && k >= 0;
         k = pk_json_next(&doc, 0, k)) {
        pk_str value = pk_json_str(&st->arena, &doc, k + 1);

        ok = forget_use(st, "metadata", pk_json_str(&st->arena, &doc, k), value) &&
             (!pk_json_is(&doc, k, "_user") || forget_use(st, "user", PK_NONE, value));
    }
    return ok;
}

/* What a person has used of limits is under their name. With a trace or a key, it is not all of it that goes. */
bool pk_erase_limits(const struct pk_erase_step *of, bool *done)
{
    const struct pk_erase_filter *f = &of->e->filter;
    struct pk_erase_step st = *of;

    *done = true;
    if (f->trace_id.len || f->api_key.len)
        return true;
    if (!st.store->ops->begin(st.store, st.err))
        return false;
    pk_arena_init(&st.arena, pk_allocator_malloc(), PK_CONFIG_BYTES_MAX);
    bool ok = pk_erase_end(
        &st, forget_metadata_use(&st) &&
                 (f->user_id.len == 0 || forget_use(&st, "user", PK_NONE, f->user_id)));
    pk_arena_free(&st.arena);
    return ok;
}
