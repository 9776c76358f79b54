/* fn_chat.c - pk_chat, pk_ask, pk_try_chat, pk_embed, pk_moderate, pk_prompt and pk_replay: one call a row.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "drive.h"
#include "reply.h"
#include "statement.h"
#include "store_audit.h"
#include "store_prompt.h"
#include "store_replay.h"
#include "value.h"

/* One evaluation of one function. */
struct query {
    struct pk_conn *conn;
    struct pk_arena arena;
    struct pk_request req;
    pk_str config;
    struct pk_prompt_use use; /* pk_prompt, pk_replay: what the request is made from, */
    struct pk_replay replay;  /* once the store is open */
    const struct pk_snapshot *snapshot;
    const struct pk_record *record; /* of the call, once it is over */
    struct pk_error outcome;        /* of the call: PK_OK, or why it failed */
    pk_str body;
};

/* Builds the request from the arguments, and q->config. */
typedef bool build_fn(struct query *q, struct pk_args args, struct pk_error *err);
/* Turns what came of the call into the function's value. */
typedef bool give_fn(struct query *q, sqlite3_context *ctx, struct pk_error *err);

static bool build_chat(struct query *q, struct pk_args args, struct pk_error *err)
{
    pk_str messages, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "messages", PK_BODY_BYTES_MAX, &messages, err) &&
           pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_chat(&q->arena, messages, params, true, &q->req, err);
}

static bool build_ask(struct query *q, struct pk_args args, struct pk_error *err)
{
    pk_str prompt, system, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "prompt", PK_BODY_BYTES_MAX, &prompt, err) &&
           pk_arg_text(args, 2, "system", PK_BODY_BYTES_MAX, &system, err) &&
           pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_ask(&q->arena, prompt, system, params, &q->req, err);
}

static bool build_embed(struct query *q, struct pk_args args, struct pk_error *err)
{
    pk_str input, params;
    int64_t dimensions = 0;
    bool given;

    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) ||
        !pk_arg_text(args, 1, "input", PK_BODY_BYTES_MAX, &input, err) ||
        !pk_arg_int(args, 2, "dimensions", &dimensions, &given, err) ||
        !pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &params, err))
        return false;
    if (given && dimensions == 0)
        dimensions = -1; /* which no model makes */
    return pk_request_embed(&q->arena, input, given ? dimensions : 0, params, &q->req, err);
}

static bool build_moderate(struct query *q, struct pk_args args, struct pk_error *err)
{
    pk_str input, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "input", PK_BODY_BYTES_MAX, &input, err) &&
           pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_moderate(&q->arena, input, params, &q->req, err);
}

static bool build_prompt(struct query *q, struct pk_args args, struct pk_error *err)
{
    struct pk_prompt_use *use = &q->use;

    return pk_arg_text(args, 0, "prompt", PK_REFERENCE_BYTES_MAX, &use->reference, err) &&
           pk_arg_text(args, 1, "variables", PK_BODY_BYTES_MAX, &use->vars, err) &&
           pk_arg_text(args, 2, "config", PK_CONFIG_BYTES_MAX, &use->config, err) &&
           pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &use->params, err) &&
           pk_request_options(&q->arena, use->params, &q->req, err);
}

/* The rest of build_prompt(). */
static bool use_prompt(struct query *q, struct pk_error *err)
{
    q->use.seed = pk_random_next(&q->conn->random);
    if (!pk_store_prompt_request(q->conn->store, &q->arena, &q->use, &q->req, err))
        return false;
    q->config = q->use.config;
    return true;
}

static bool build_replay(struct query *q, struct pk_args args, struct pk_error *err)
{
    pk_str id;

    q->replay.given = true;
    return pk_arg_text(args, 0, "log_id", PK_SLUG_BYTES_MAX, &id, err) &&
           pk_arg_text(args, 1, "config", PK_CONFIG_BYTES_MAX, &q->replay.config, err) &&
           (pk_uuid_parse(id, q->replay.id) ||
            pk_fail(err, PK_BAD_REQUEST, "log_id: must be the id of a row of pk_logs"));
}

/* The rest of build_replay(). */
static bool use_log(struct query *q, struct pk_error *err)
{
    if (!pk_conn_flush(q->conn, err) ||
        !pk_store_replay_request(q->conn->store, &q->arena, &q->replay, &q->req, err))
        return false;
    q->config = q->replay.config;
    return true;
}

/* Everything that can be wrong without a call is found before it. */
static bool run(struct query *q, struct pk_args args, build_fn *build, struct pk_error *err)
{
    struct pk_conn *c = q->conn;

    if (!build(q, args, err) || !pk_settings_request(&c->settings, &q->arena, &q->req, err) ||
        !pk_conn_ready(c, err) || (q->use.reference.at && !use_prompt(q, err)) ||
        (q->replay.given && !use_log(q, err)))
        return false;
    q->req.role = pk_store_actor_name(c->store);
    q->snapshot = pk_resolve(c->resolver, c->store, q->config, pk_clock_us(), err);
    if (!q->snapshot || !pk_conn_online(c, err))
        return false;
    struct pk_call *call = pk_call_new(&q->arena, &q->snapshot->config, q->snapshot->facts, &q->req,
                                       pk_clock_us(), pk_random_next(&c->random), err);
    if (!call || !pk_drive(c, call, &q->arena, &q->body, err))
        return false;
    q->record = pk_call_record(call);
    q->outcome = *pk_call_error(call);
    if (q->outcome.code == PK_QUERY_LIMIT) /* whatever on_error wishes */
        *err = q->outcome;
    return q->outcome.code != PK_QUERY_LIMIT;
}

/* A call that failed, as on_error wishes. An interrupted statement always ends. */
static bool give_failure(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    enum pk_on_error wish = q->conn->settings.on_error;
    pk_str text;

    if (q->outcome.code == PK_CANCELLED || wish == PK_RAISE) {
        pk_result_error(ctx, &q->outcome, q->record->error_message);
        return true;
    }
    if (wish == PK_GIVE_NULL)
        return true;
    if (!pk_reply_try(&q->arena, q->record, &q->outcome, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

static bool give_chat(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;

    if (q->outcome.code != PK_OK)
        return give_failure(q, ctx, err);
    if (!pk_reply_chat(&q->arena, q->record, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

static bool give_text(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;
    bool is_null;

    if (q->outcome.code != PK_OK)
        return give_failure(q, ctx, err);
    if (!pk_reply_text(&q->arena, q->body, &text, &is_null, err))
        return false;
    if (!is_null)
        pk_result_text(ctx, text);
    return true;
}

/* A vector has no place for an error's document: on_error "json" raises. */
static bool give_vector(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    enum pk_on_error wish = q->conn->settings.on_error;
    float *at;
    int dims;

    if (q->outcome.code != PK_OK && wish != PK_GIVE_JSON)
        return give_failure(q, ctx, err);
    if (q->outcome.code != PK_OK) {
        pk_result_error(ctx, &q->outcome, q->record->error_message);
        return true;
    }
    if (!pk_reply_vector(&q->arena, q->req.body, q->body, &at, &dims, err))
        return wish == PK_GIVE_NULL && err->code == PK_BAD_ANSWER;
    pk_result_floats(ctx, at, dims);
    return true;
}

static bool give_verdict(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;

    if (q->outcome.code != PK_OK)
        return give_failure(q, ctx, err);
    if (!pk_reply_verdict(&q->arena, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

static bool give_try(struct query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;

    if (q->outcome.code == PK_CANCELLED)
        return give_failure(q, ctx, err);
    if (!pk_reply_try(&q->arena, q->record, &q->outcome, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

/* NULL when one of the first `required` arguments is. */
static void answer(sqlite3_context *ctx, struct pk_args args, int required, build_fn *build,
                   give_fn *give)
{
    struct query q = {.conn = sqlite3_user_data(ctx)};
    struct pk_error err;

    if (pk_args_null(args, required))
        return;
    pk_arena_init(&q.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    (void)pk_statement_of(ctx, q.conn);
    q.conn->busy++;
    if (!run(&q, args, build, &err) || !give(&q, ctx, &err))
        pk_result_error(ctx, &err, PK_NONE);
    q.conn->busy--;
    if (q.snapshot)
        pk_snapshot_release(q.conn->resolver, q.snapshot);
    pk_arena_free(&q.arena);
}

void pk_fn_chat(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_chat, give_chat);
}

void pk_fn_ask(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_ask, give_text);
}

void pk_fn_try_chat(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_chat, give_try);
}

void pk_fn_embed(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_embed, give_vector);
}

void pk_fn_moderate(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_moderate, give_verdict);
}

void pk_fn_prompt(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 2, build_prompt, give_chat);
}

void pk_fn_replay(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    answer(ctx, (struct pk_args){values, count}, 1, build_replay, give_chat);
}
