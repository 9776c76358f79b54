/* fn_typed.c - pk_json, pk_extract, pk_classify, pk_filter, pk_score: calls whose answer has a type; and pk_messages.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "functions.h"

#include "typed.h"
#include "verb.h"

/* --- the request -------------------------------------------------------------------------------- */

/* Config, and the three arguments behind it. */
static bool read_args(struct pk_query *q, struct pk_args args, const char *const names[3],
                      pk_str *const into[3], struct pk_error *err)
{
    if (!pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &q->config, err))
        return false;
    for (int i = 0; i < 3; i++)
        if (!pk_arg_text(args, i + 1, names[i], PK_BODY_BYTES_MAX, into[i], err))
            return false;
    return true;
}

static bool build_json(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    static const char *const names[] = {"prompt", "schema", "system"};
    struct pk_typed_args a = {0};
    pk_str *const into[] = {&a.text, &a.about, &a.system};

    return read_args(q, args, names, into, err) &&
           pk_arg_text(args, 4, "params", PK_BODY_BYTES_MAX, &a.params, err) &&
           pk_typed_json(&q->arena, &a, &q->req, err);
}

static bool build_extract(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    static const char *const names[] = {"input", "schema", "params"};
    struct pk_typed_args a = {0};
    pk_str *const into[] = {&a.text, &a.about, &a.params};

    return read_args(q, args, names, into, err) && pk_typed_extract(&q->arena, &a, &q->req, err);
}

static bool build_classify(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    static const char *const names[] = {"input", "labels", "params"};
    struct pk_typed_args a = {0};
    pk_str *const into[] = {&a.text, &a.about, &a.params};

    return read_args(q, args, names, into, err) && pk_typed_classify(&q->arena, &a, &q->req, err);
}

static bool build_filter(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    static const char *const names[] = {"question", "input", "params"};
    struct pk_typed_args a = {0};
    pk_str *const into[] = {&a.about, &a.text, &a.params};

    return read_args(q, args, names, into, err) && pk_typed_filter(&q->arena, &a, &q->req, err);
}

static bool build_score(struct pk_query *q, struct pk_args args, struct pk_error *err)
{
    static const char *const names[] = {"rubric", "input", "params"};
    struct pk_typed_args a = {0};
    pk_str *const into[] = {&a.about, &a.text, &a.params};

    return read_args(q, args, names, into, err) && pk_typed_score(&q->arena, &a, &q->req, err);
}

/* --- the value ---------------------------------------------------------------------------------- */

static void give_value(sqlite3_context *ctx, enum pk_typed_kind kind,
                       const struct pk_typed_value *value)
{
    switch (kind) {
    case PK_TYPED_JSON: pk_result_json(ctx, value->text); break;
    case PK_TYPED_LABEL: pk_result_text(ctx, value->text); break;
    case PK_TYPED_TRUTH: pk_result_int(ctx, value->truth); break;
    case PK_TYPED_SCORE: pk_result_real(ctx, value->score); break;
    }
}

/* Only JSON has a place for an error's document. */
static bool give_failure(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    const struct pk_typed *typed = q->req.typed;

    if (pk_typed_null(typed, q->outcome.code))
        return true;
    if (typed->kind == PK_TYPED_TRUTH) {
        pk_verb_raise(q, ctx);
        return true;
    }
    return typed->kind == PK_TYPED_JSON ? pk_verb_failure(q, ctx, err)
                                        : pk_verb_bare_failure(q, ctx, err);
}

/* The answer may be a guardrail's, which was not asked to fit. */
static bool give(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    struct pk_typed_value value;

    if (q->outcome.code == PK_OK &&
        pk_typed_read(&q->arena, q->req.typed, q->body, &value, &q->outcome)) {
        give_value(ctx, q->req.typed->kind, &value);
        return true;
    }
    return give_failure(q, ctx, err);
}

static const struct pk_verb json = {3, build_json, NULL, give};
static const struct pk_verb extract = {3, build_extract, NULL, give};
static const struct pk_verb classify = {3, build_classify, NULL, give};
static const struct pk_verb filter = {3, build_filter, NULL, give};
static const struct pk_verb score = {3, build_score, NULL, give};

void pk_fn_json(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &json);
}

void pk_fn_extract(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &extract);
}

void pk_fn_classify(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &classify);
}

void pk_fn_filter(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &filter);
}

void pk_fn_score(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    pk_verb_answer(ctx, (struct pk_args){values, count}, &score);
}

/* --- pk_messages -------------------------------------------------------------------------------- */

static bool messages(struct pk_arena *arena, struct pk_args args, pk_str *out, struct pk_error *err)
{
    struct pk_buf list = pk_buf_in(arena, PK_BODY_BYTES_MAX);
    pk_str text;

    for (int i = 0; i < args.count; i++) {
        if (!pk_arg_text(args, i, i ? "turn" : "system", PK_BODY_BYTES_MAX, &text, err))
            return false;
        pk_messages_add(&list, i, text);
    }
    return pk_messages_end(&list, out, err);
}

/* pk_messages(system, user, ...): turns of user and assistant alternate; a system that is NULL or empty is left out.
 * NULL when a turn is. */
void pk_fn_messages(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_args args = {values, count}, turns = {values + 1, count - 1};
    struct pk_arena arena;
    struct pk_error err;
    pk_str text;

    if (count < 2) {
        (void)pk_fail(&err, PK_BAD_REQUEST, "pk_messages: needs a system and a user's turn");
        pk_result_error(ctx, &err, PK_NONE);
        return;
    }
    if (pk_args_null(turns, turns.count))
        return;
    pk_arena_init(&arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    if (messages(&arena, args, &text, &err))
        pk_result_json(ctx, text);
    else
        pk_result_error(ctx, &err, PK_NONE);
    pk_arena_free(&arena);
}
