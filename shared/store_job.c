/* store_job.c - enqueueing, and looking at what was enqueued; store_job_work.c has the other half of store_job.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "store_job.h"

#include "iso.h"
#include "resolve.h"
#include "store_audit.h"
#include "store_job_batch.h"
#include "store_prompt.h"
#include "store_value.h"

static const char *const kinds[] = {
    [PK_JOB_PROMPT] = "prompt", [PK_JOB_MESSAGES] = "messages", [PK_JOB_VARS] = "vars"};

static const int64_t never_us = INT64_MAX; /* when one is due that waits for another's answer */

static bool fail_unknown(struct pk_error *err)
{
    return pk_fail(err, PK_NOT_FOUND, "id: there is no such job");
}

/* --- options ------------------------------------------------------------------------------- */

static bool read_tries(const struct pk_json *doc, int pk, struct pk_job *job, struct pk_error *err)
{
    int value = pk_json_get(doc, pk, "max_attempts");
    int64_t n = PK_JOB_TRIES;

    if (value >= 0 && (!pk_json_int(doc, value, &n) || n < 1 || n > PK_JOB_TRIES_MAX))
        return pk_fail(err, PK_BAD_REQUEST,
                       "params.pk.max_attempts: must be an integer from 1 to %d", PK_JOB_TRIES_MAX);
    job->tries_max = (int)n;
    return true;
}

static bool read_prompt(struct pk_arena *arena, const struct pk_json *doc, int pk,
                        struct pk_job *job, struct pk_error *err)
{
    int value = pk_json_get(doc, pk, "prompt");

    if (value < 0)
        return true;
    job->prompt = pk_json_str(arena, doc, value);
    return (job->prompt.len > 0 && job->prompt.len <= PK_REFERENCE_BYTES_MAX) ||
           pk_fail(err, PK_BAD_REQUEST,
                   "params.pk.prompt: must be a prompt's slug, slug@version or slug@label");
}

static bool read_executor(struct pk_arena *arena, const struct pk_json *doc, int pk,
                          struct pk_job *job, struct pk_error *err)
{
    int value = pk_json_get(doc, pk, "executor");
    pk_str name = value < 0 ? PK_STR("call") : pk_json_str(arena, doc, value);

    job->batched = pk_str_is(name, "batch");
    return job->batched || pk_str_is(name, "call") ||
           pk_fail(err, PK_BAD_REQUEST, "params.pk.executor: must be \"call\" or \"batch\"");
}

/* job->params: `params` without the job's own options. */
static bool read_options(struct pk_arena *arena, pk_str params, struct pk_job *job,
                         struct pk_error *err)
{
    struct pk_json_edit edits[] = {{PK_STR("max_attempts"), PK_NONE},
                                   {PK_STR("prompt"), PK_NONE},
                                   {PK_STR("executor"), PK_NONE}};
    struct pk_buf pk_left = pk_buf_in(arena, PK_BODY_BYTES_MAX), left = pk_left;
    struct pk_json doc;

    job->tries_max = PK_JOB_TRIES;
    job->prompt = PK_NONE;
    job->params = params.len ? params : PK_STR("{}");
    if (!pk_json_parse(arena, job->params, "params", &doc, err))
        return false;
    int pk = pk_json_get(&doc, 0, "pk");
    if (pk_json_type(&doc, pk) != PK_JSON_OBJECT)
        return true; /* pk_request_options() says what is wrong, if anything */
    if (!read_tries(&doc, pk, job, err) || !read_prompt(arena, &doc, pk, job, err) ||
        !read_executor(arena, &doc, pk, job, err))
        return false;
    pk_json_splice(&pk_left, &doc, pk, edits, (int)PK_COUNT(edits));
    edits[0] = (struct pk_json_edit){PK_STR("pk"), pk_buf_str(&pk_left)};
    pk_json_splice(&left, &doc, 0, edits, 1);
    job->params = pk_buf_str(&left);
    return !(pk_left.failed || left.failed) || pk_fail(err, PK_NO_MEMORY, "params: out of memory");
}

bool pk_job_session(struct pk_arena *arena, const struct pk_request *asked, struct pk_job *job,
                    struct pk_error *err)
{
    struct pk_buf pk = pk_buf_in(arena, PK_BODY_BYTES_MAX), all = pk;
    const char *log = pk_payloads_name(asked->privacy.payloads);
    struct pk_json_edit edits[3];
    struct pk_json doc;
    int count = 0;

    if (asked->metadata.len)
        edits[count++] = (struct pk_json_edit){PK_STR("metadata"), asked->metadata};
    if (asked->timeout_ms)
        edits[count++] = (struct pk_json_edit){
            PK_STR("timeout"), pk_copyf(arena, "\"%lldms\"", (long long)asked->timeout_ms)};
    if (asked->privacy.payloads != PK_PAYLOADS_FULL)
        edits[count++] = (struct pk_json_edit){PK_STR("log"), pk_copyf(arena, "\"%s\"", log)};
    if (count == 0)
        return true;
    if (!pk_json_parse(arena, job->params, "params", &doc, err))
        return false;
    int at = pk_json_get(&doc, 0, "pk");
    struct pk_json none;
    if (at < 0 && !pk_json_parse(arena, PK_STR("{}"), "params", &none, err))
        return false;
    pk_json_splice(&pk, at < 0 ? &none : &doc, at < 0 ? 0 : at, edits, count);
    edits[0] = (struct pk_json_edit){PK_STR("pk"), pk_buf_str(&pk)};
    pk_json_splice(&all, &doc, 0, edits, 1);
    job->params = pk_buf_str(&all);
    return !(pk.failed || all.failed || arena->failed) ||
           pk_fail(err, PK_NO_MEMORY, "params: out of memory");
}

bool pk_job_messages_check(struct pk_arena *arena, pk_str messages, struct pk_error *err)
{
    struct pk_error unused;
    struct pk_json doc;

    /* What is no JSON is a text. */
    return !pk_json_parse(arena, messages, "messages", &doc, &unused) ||
           pk_json_type(&doc, 0) != PK_JSON_ARRAY || pk_json_first(&doc, 0) >= 0 ||
           pk_fail(err, PK_BAD_REQUEST, "messages: must not be empty");
}

/* --- enqueueing ---------------------------------------------------------------------------- */

/* A name that is none is told as calls tell it. */
static bool check_config(struct pk_store *s, struct pk_arena *arena, pk_str config, int64_t now_us,
                         struct pk_error *err)
{
    bool known = true;

    if (pk_str_starts(pk_str_trim(config), "{"))
        return pk_store_config_check(s, arena, config, now_us, err);
    return pk_store_reference_known(s, arena, config, &known, err) &&
           (known || pk_resolve_unknown(config, err));
}

bool pk_store_job_check(struct pk_store *s, struct pk_arena *arena, pk_str config, pk_str params,
                        int64_t now_us, struct pk_job *job, struct pk_error *err)
{
    struct pk_request asked = {0};

    *job = (struct pk_job){.config = config};
    if (!read_options(arena, params, job, err) ||
        !pk_request_options(arena, job->params, &asked, err) ||
        !check_config(s, arena, config, now_us, err) ||
        (job->prompt.len && !pk_store_prompt_check(s, arena, job->prompt, err)) ||
        (job->batched && !pk_job_batch_check(s, config, now_us, err)))
        return false;
    job->equals = asked.alone ? NULL : pk_job_equals_new(arena);
    return job->equals || asked.alone || pk_fail(err, PK_NO_MEMORY, "job: out of memory");
}

bool pk_store_job_put(struct pk_store *s, struct pk_job *job, int64_t now_us, struct pk_error *err)
{
    job->actor = pk_str_of(s->actor);
    const struct pk_value args[] = {
        pk_v_uuid(job->id),         pk_v_int(now_us),
        pk_v_required(job->actor),  pk_v_required(job->config),
        pk_v_required(job->params), pk_v_required(job->prompt.len ? job->prompt : PK_STR("")),
        pk_v_int(job->tries_max),   pk_v_required(job->batched ? PK_STR("batch") : PK_STR("call")),
    };

    if (!s->ops->begin(s, err))
        return false;
    if (s->ops->exec(s, PK_SQL_job_put, args, PK_COUNT(args), NULL, NULL, err))
        return true;
    struct pk_error unused;
    (void)s->ops->end(s, false, &unused);
    return false;
}

static bool check_input(const struct pk_job *job, const struct pk_job_input *in,
                        struct pk_error *err)
{
    if (in->ord > PK_JOB_ROWS_MAX)
        return pk_fail(err, PK_TOO_LARGE, "query: a job has at most %d rows", PK_JOB_ROWS_MAX);
    if (in->text.len > PK_JOB_ITEM_BYTES_MAX || in->key.len > PK_JOB_ITEM_BYTES_MAX)
        return pk_fail(err, PK_TOO_LARGE, "row %lld: longer than %d bytes", (long long)in->ord,
                       PK_JOB_ITEM_BYTES_MAX);
    return in->kind != PK_JOB_VARS || job->prompt.len > 0 ||
           pk_fail(err, PK_BAD_REQUEST,
                   "params.pk.prompt: needed, as rows have variables of a prompt");
}

/* *same_as: the item whose answer it gets, which knows of it; 0: its own. */
static bool find_equal(struct pk_store *s, const struct pk_job *job, const struct pk_job_input *in,
                       int64_t *same_as, struct pk_error *err)
{
    bool first_time = false;

    *same_as = 0;
    if (!job->equals || !in->has_text)
        return true;
    *same_as =
        pk_job_equals_meet(job->equals, (unsigned char)in->kind, in->text, in->ord, &first_time);
    const struct pk_value args[] = {pk_v_uuid(job->id), pk_v_int(*same_as)};
    return !first_time ||
           s->ops->exec(s, PK_SQL_job_item_leads, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_add(struct pk_store *s, const struct pk_job *job, const struct pk_job_input *in,
                      int64_t now_us, struct pk_error *err)
{
    int64_t same_as;

    if (!check_input(job, in, err) || !find_equal(s, job, in, &same_as, err))
        return false;
    const struct pk_value args[] = {
        pk_v_uuid(job->id),
        pk_v_int(in->ord),
        in->has_key ? pk_v_required(in->key) : pk_v_null(),
        pk_v_int(in->key_is_int),
        pk_v_required(pk_str_of(kinds[in->kind])),
        in->has_text ? pk_v_required(in->text.at ? in->text : PK_STR("")) : pk_v_null(),
        pk_v_int(same_as ? never_us : now_us),
        pk_v_int_unless(same_as == 0, same_as),
        pk_v_int(job->batched),
    };

    return s->ops->exec(s, PK_SQL_job_item_put, args, PK_COUNT(args), NULL, NULL, err);
}

bool pk_store_job_enqueued(struct pk_store *s, const struct pk_job *job, bool ok, int64_t total,
                           int64_t calls, int64_t now_us, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(job->id), pk_v_int(total),
                                    pk_v_int_unless(calls > 0, now_us)};
    struct pk_error unused;

    ok = ok && s->ops->exec(s, PK_SQL_job_total, args, PK_COUNT(args), NULL, NULL, err);
    if (ok)
        return s->ops->end(s, true, err);
    (void)s->ops->end(s, false, &unused);
    return false;
}

bool pk_store_job_request(struct pk_store *s, struct pk_arena *arena, const struct pk_job *job,
                          enum pk_job_kind kind, pk_str text, uint64_t seed, struct pk_request *req,
                          struct pk_error *err)
{
    struct pk_prompt_use use = {.reference = job->prompt,
                                .vars = text,
                                .params = job->params,
                                .config = job->config,
                                .seed = seed};

    switch (kind) {
    case PK_JOB_PROMPT: return pk_request_ask(arena, text, PK_NONE, job->params, req, err);
    case PK_JOB_MESSAGES: return pk_request_chat(arena, text, job->params, true, req, err);
    case PK_JOB_VARS: break;
    }
    return pk_request_options(arena, job->params, req, err) &&
           pk_store_prompt_request(s, arena, &use, req, err);
}

/* --- status -------------------------------------------------------------------------------- */

bool pk_job_id_parse(pk_str text, uint8_t id[PK_UUID_BYTES], struct pk_error *err)
{
    return pk_uuid_parse(text, id) ||
           pk_fail(err, PK_BAD_REQUEST, "id: must be what pk_enqueue() or pk_enqueue_query() gave");
}

struct status {
    const uint8_t *id;
    struct pk_buf *out;
    bool found;
};

static void add_time(struct pk_buf *out, const char *name, const struct pk_value *v)
{
    char text[PK_ISO_BYTES];

    pk_buf_addf(out, ",\"%s\":", name);
    if (v->type == PK_V_NULL) {
        pk_buf_adds(out, "null");
        return;
    }
    pk_iso_print(v->i, text);
    pk_json_quote(out, pk_str_of(text));
}

static const char *state_of(const struct pk_value *v)
{
    if (v[2].type != PK_V_NULL)
        return "cancelled";
    if (v[1].type == PK_V_NULL)
        return v[12].i ? "running" : "queued";
    return v[10].i > 0 && v[9].i == 0 ? "failed" : "done";
}

/* As the view pk_jobs has it. */
static bool print_status(void *ctx, const struct pk_value *v, int count)
{
    static const char *const counts[] = {"total", "queued", "running",
                                         "done",  "failed", "cancelled"};
    struct status *st = ctx;
    struct pk_buf *out = st->out;
    char text[PK_UUID_TEXT + 1], usd[32];

    PK_ASSERT(count == 14);
    st->found = true;
    pk_uuid_print(st->id, text);
    pk_buf_addf(out, "{\"id\":\"%s\",\"state\":\"%s\"", text, state_of(v));
    for (size_t i = 0; i < PK_COUNT(counts); i++)
        pk_buf_addf(out, ",\"%s\":%lld", counts[i], (long long)v[6 + i].i);
    pk_usd_print(v[13].i, usd);
    pk_buf_addf(out, ",\"cost_usd\":%s", v[13].type == PK_V_NULL ? "null" : usd);
    pk_buf_addf(out, ",\"max_attempts\":%lld,\"actor\":", (long long)v[5].i);
    pk_json_quote(out, v[3].s);
    add_time(out, "created_at", &v[0]);
    add_time(out, "finished_at", &v[1]);
    pk_buf_addc(out, '}');
    return false;
}

bool pk_store_job_status(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                         struct pk_buf *out, bool *found, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id), pk_v_text(actor)};
    struct status st = {id, out, false};

    if (!s->ops->exec(s, PK_SQL_job_status, args, PK_COUNT(args), print_status, &st, err))
        return false;
    *found = st.found;
    return !out->failed || pk_fail(err, PK_NO_MEMORY, "job: out of memory");
}

struct over {
    bool found, over, mine;
};

static bool read_over(void *ctx, const struct pk_value *v, int count)
{
    PK_ASSERT(count == 2);
    *(struct over *)ctx = (struct over){true, v[0].type != PK_V_NULL, v[1].i != 0};
    return false;
}

bool pk_store_job_over(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                       bool *over, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id), pk_v_text(actor)};
    struct over o = {0};

    if (!s->ops->exec(s, PK_SQL_job_over, args, PK_COUNT(args), read_over, &o, err))
        return false;
    if (!o.found)
        return fail_unknown(err);
    *over = o.over;
    return o.over || !o.mine ||
           pk_fail(err, PK_BAD_REQUEST,
                   "id: this transaction has enqueued the job or changed it; no worker sees that "
                   "before it commits");
}

/* --- results ------------------------------------------------------------------------------- */

struct results {
    struct pk_arena *arena;
    struct pk_job_result *out;
    int count;
    int64_t total; /* items of the job */
};

/* The name that the core has for a code, which lives as long as the program; else a copy. */
static const char *code_text(struct pk_arena *arena, pk_str code)
{
    pk_str copy = code.len ? pk_copyf(arena, "%.*s", PK_FMT(code)) : PK_NONE;

    return copy.at;
}

static void read_call(struct pk_arena *arena, const struct pk_value *v, struct pk_result *r)
{
    r->http_status = (int)v[9].i;
    r->provider = pk_copy(arena, v[10].s);
    r->model = pk_copy(arena, v[11].s);
    r->has_usage = v[12].type != PK_V_NULL;
    r->input_tokens = v[12].i;
    r->output_tokens = v[13].i;
    r->cost_known = v[14].type != PK_V_NULL;
    r->cost_pusd = v[14].i;
    r->latency_us = v[15].i;
    r->attempts = (int)v[16].i;
    r->cache_status = pk_copy(arena, v[17].s);
    r->trace_id = pk_copy(arena, v[18].s);
}

static void read_item(struct results *x, const struct pk_value *v)
{
    struct pk_job_result *out = &x->out[x->count++];
    struct pk_result *r = &out->result;
    bool cancelled = pk_str_is(v[3].s, "cancelled");

    PK_ASSERT(x->count <= PK_JOB_RESULTS_MAX);
    *out = (struct pk_job_result){.ord = v[0].i, .has_key = v[1].type != PK_V_NULL};
    out->key = pk_copy(x->arena, v[1].s);
    out->key_is_int = v[2].i != 0;
    r->ok = pk_str_is(v[3].s, "done");
    r->has_content = v[4].type != PK_V_NULL;
    r->content = pk_copy(x->arena, v[4].s);
    r->response = pk_copy(x->arena, v[5].s);
    r->error_code = cancelled ? pk_code_name(PK_CANCELLED) : code_text(x->arena, v[6].s);
    r->error_message = cancelled ? PK_STR("the job was cancelled") : pk_copy(x->arena, v[7].s);
    r->retryable = v[8].i != 0;
    read_call(x->arena, v, r);
}

static bool read_result(void *ctx, const struct pk_value *v, int count)
{
    struct results *x = ctx;

    PK_ASSERT(count == 20);
    x->total = v[0].i;
    if (v[1].type != PK_V_NULL)
        read_item(x, &v[1]);
    return true;
}

bool pk_store_job_results(struct pk_store *s, struct pk_arena *arena,
                          const uint8_t id[PK_UUID_BYTES], pk_str actor, int64_t *after,
                          struct pk_job_result *out, int *count, struct pk_error *err)
{
    struct results x = {arena, out, 0, 0};

    do {
        const struct pk_value args[] = {pk_v_uuid(id), pk_v_int(*after),
                                        pk_v_int(PK_JOB_RESULTS_MAX), pk_v_text(actor)};

        if (!s->ops->exec(s, PK_SQL_job_results, args, PK_COUNT(args), read_result, &x, err))
            return false;
        *after += PK_JOB_RESULTS_MAX;
    } while (x.count == 0 && *after < x.total);
    *count = x.count;
    return !arena->failed || pk_fail(err, PK_NO_MEMORY, "job: out of memory");
}

/* --- cancelling and retrying --------------------------------------------------------------- */

/* Ends what ops->begin() began. */
static bool end(struct pk_store *s, bool ok, struct pk_error *err)
{
    struct pk_error unused;

    return ok ? s->ops->end(s, true, err) : (s->ops->end(s, false, &unused), false);
}

/* Whether there is such a job, and the actor's. */
static bool is_there(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                     struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id), pk_v_text(actor)};
    bool found = false;

    return s->ops->exec(s, PK_SQL_job_over, args, PK_COUNT(args), pk_row_mark, &found, err) &&
           (found || fail_unknown(err));
}

static bool cancel(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                   int64_t now_us, bool *cancelled, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id), pk_v_text(actor), pk_v_int(now_us)};
    const struct pk_value items[] = {pk_v_uuid(id)};

    return s->ops->exec(s, PK_SQL_job_cancel, args, PK_COUNT(args), pk_row_mark, cancelled, err) &&
           (!*cancelled ||
            (s->ops->exec(s, PK_SQL_job_cancel_items, items, PK_COUNT(items), NULL, NULL, err) &&
             pk_store_job_finish(s, now_us, err)));
}

bool pk_store_job_cancel(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                         int64_t now_us, bool *cancelled, struct pk_error *err)
{
    *cancelled = false;
    return is_there(s, id, actor, err) && s->ops->begin(s, err) &&
           end(s, cancel(s, id, actor, now_us, cancelled, err), err);
}

static bool count_row(void *ctx, const struct pk_value *v, int count)
{
    (void)v;
    (void)count;
    ++*(int64_t *)ctx;
    return true;
}

static bool retry(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], int64_t now_us,
                  int64_t *count, struct pk_error *err)
{
    const struct pk_value args[] = {pk_v_uuid(id), pk_v_int(now_us), pk_v_int(never_us)};
    const struct pk_value job[] = {pk_v_uuid(id)};

    return s->ops->exec(s, PK_SQL_job_retry, args, PK_COUNT(args), count_row, count, err) &&
           (*count == 0 ||
            (s->ops->exec(s, PK_SQL_job_retry_leads, job, PK_COUNT(job), NULL, NULL, err) &&
             s->ops->exec(s, PK_SQL_job_reopen, job, PK_COUNT(job), NULL, NULL, err)));
}

bool pk_store_job_retry(struct pk_store *s, const uint8_t id[PK_UUID_BYTES], pk_str actor,
                        int64_t now_us, int64_t *count, struct pk_error *err)
{
    *count = 0;
    return is_there(s, id, actor, err) && s->ops->begin(s, err) &&
           end(s, retry(s, id, now_us, count, err), err);
}
