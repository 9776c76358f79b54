/* fn_chat.c - pk_chat, pk_ask, pk_try_chat, pk_embed, pk_moderate, pk_prompt and pk_replay: one call a row.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "reply.h"
#include "verb.h"

static bool build_chat(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    pk_str messages, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "messages", PK_BODY_BYTES_MAX, &messages, err) &&
           pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_chat(&q->arena, messages, params, true, &q->req, err);
}

static bool build_ask(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    pk_str prompt, system, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "prompt", PK_BODY_BYTES_MAX, &prompt, err) &&
           pk_arg_text(args, 2, "system", PK_BODY_BYTES_MAX, &system, err) &&
           pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_ask(&q->arena, prompt, system, params, &q->req, err);
}

static bool build_embed(struct pk_query *q, struct pk_args args, struct pk_error *err)
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
        dimensions = -1;         /* which no model makes */
    q->no_call = input.len == 0; /* which providers refuse */
    return pk_request_embed(&q->arena, input, given ? dimensions : 0, params, &q->req, err);
}

static bool build_moderate(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    pk_str input, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err) &&
           pk_arg_text(args, 1, "input", PK_BODY_BYTES_MAX, &input, err) &&
           pk_arg_text(args, 2, "params", PK_BODY_BYTES_MAX, &params, err) &&
           pk_request_moderate(&q->arena, input, params, &q->req, err);
}

static bool build_prompt(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    struct pk_prompt_use *use = &q->use;

    return pk_arg_text(args, 0, "prompt", PK_REFERENCE_BYTES_MAX, &use->reference, err) &&
           pk_arg_text(args, 1, "variables", PK_BODY_BYTES_MAX, &use->vars, err) &&
           pk_arg_text(args, 2, "config", PK_CONFIG_BYTES_MAX, &use->config, err) &&
           pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &use->params, err) &&
           pk_request_options(&q->arena, use->params, &q->req, err);
}

/* The rest of build_prompt(). */
static bool use_prompt(struct pk_query *q, struct pk_error *err)
{
    q->use.seed = pk_random_next(&q->conn->random);
    if (!pk_store_prompt_request(q->conn->store, &q->arena, &q->use, &q->req, err))
        return false;
    q->config = q->use.config;
    return true;
}

static bool build_replay(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    pk_str id;

    q->replay.given = true;
    return pk_arg_text(args, 0, "log_id", PK_SLUG_BYTES_MAX, &id, err) &&
           pk_arg_text(args, 1, "config", PK_CONFIG_BYTES_MAX, &q->replay.config, err) &&
           (pk_uuid_parse(id, q->replay.id) ||
            pk_fail(err, PK_BAD_REQUEST, "log_id: must be the id of a row of pk_logs"));
}

/* The rest of build_replay(). */
static bool use_log(struct pk_query *q, struct pk_error *err)
{
    if (!pk_conn_flush(q->conn, err) ||
        !pk_store_replay_request(q->conn->store, &q->arena, &q->replay, &q->req, err))
        return false;
    q->config = q->replay.config;
    return true;
}

static bool give_chat(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_json doc;
    pk_str text;

    if (q->outcome.code != PK_OK)
        return pk_verb_failure(q, ctx, err);
    if (!pk_reply_read(&q->arena, q->body, &doc, err) ||
        !pk_reply_chat(&q->arena, q->record, &doc, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

static bool give_text(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_json doc;
    pk_str text;
    bool is_null;

    if (q->outcome.code != PK_OK)
        return pk_verb_failure(q, ctx, err);
    if (!pk_reply_read(&q->arena, q->body, &doc, err) ||
        !pk_reply_text(&q->arena, &doc, &text, &is_null, err))
        return false;
    if (!is_null)
        pk_result_text(ctx, text);
    return true;
}

static bool give_vector(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    enum pk_on_error wish = q->conn->settings.on_error;
    float *at;
    int dims;

    if (q->outcome.code != PK_OK)
        return pk_verb_bare_failure(q, ctx, err);
    if (!pk_reply_vector(&q->arena, q->req.body, q->body, &at, &dims, err))
        return wish == PK_GIVE_NULL && err->code == PK_BAD_ANSWER;
    pk_result_floats(ctx, at, dims);
    return true;
}

static bool give_verdict(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;

    if (q->outcome.code != PK_OK)
        return pk_verb_failure(q, ctx, err);
    if (!pk_reply_verdict(&q->arena, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

static bool give_try(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    pk_str text;

    if (q->outcome.code == PK_CANCELLED)
        return pk_verb_failure(q, ctx, err);
    if (!pk_reply_try(&q->arena, q->record, &q->outcome, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

/* --- the functions ------------------------------------------------------------------------------ */

static const struct pk_verb chat = {2, build_chat, NULL, give_chat};
static const struct pk_verb ask = {2, build_ask, NULL, give_text};
static const struct pk_verb try_chat = {2, build_chat, NULL, give_try};
static const struct pk_verb embed = {2, build_embed, NULL, give_vector};
static const struct pk_verb moderate = {2, build_moderate, NULL, give_verdict};
static const struct pk_verb prompt = {2, build_prompt, use_prompt, give_chat};
static const struct pk_verb replay = {1, build_replay, use_log, give_chat};

void pk_fn_chat(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &chat);
}

void pk_fn_ask(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &ask);
}

void pk_fn_try_chat(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &try_chat);
}

void pk_fn_embed(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &embed);
}

void pk_fn_moderate(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &moderate);
}

void pk_fn_prompt(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &prompt);
}

void pk_fn_replay(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &replay);
}
