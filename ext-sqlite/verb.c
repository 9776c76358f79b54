/* verb.c - see verb.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "verb.h"

#include "drive.h"
#include "functions.h"
#include "reply.h"
#include "statement.h"
#include "store_audit.h"

/* Everything that can be wrong without a call is found before it. */
static bool run(struct pk_query *q, struct pk_args args, const struct pk_verb *verb,
                struct pk_error *err)
{
    struct pk_conn *c = q->conn;

    if (!verb->build(q, args, err))
        return false;
    if (q->no_call)
        return true;
    if (!pk_settings_request(&c->settings, &q->arena, &q->req, err) || !pk_conn_ready(c, err) ||
        (verb->load && !verb->load(q, err)))
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

void pk_verb_raise(struct pk_query *q, sqlite3_context *ctx)
{
    q->conn->raised++;
    pk_result_error(ctx, &q->outcome, q->record->error_message);
}

bool pk_verb_failure(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    enum pk_on_error wish = q->conn->settings.on_error;
    pk_str text;

    if (q->outcome.code == PK_CANCELLED || wish == PK_RAISE) {
        pk_verb_raise(q, ctx);
        return true;
    }
    if (wish == PK_GIVE_NULL)
        return true;
    if (!pk_reply_try(&q->arena, q->record, &q->outcome, q->body, &text, err))
        return false;
    pk_result_json(ctx, text);
    return true;
}

bool pk_verb_bare_failure(struct pk_query *q, sqlite3_context *ctx, struct pk_error *err)
{
    if (q->conn->settings.on_error != PK_GIVE_JSON)
        return pk_verb_failure(q, ctx, err);
    pk_verb_raise(q, ctx);
    return true;
}

static void ask(struct pk_query *q, sqlite3_context *ctx, struct pk_args args,
                const struct pk_verb *verb, pk_str question)
{
    struct pk_statement *s = pk_statement_of(ctx, q->conn);
    struct pk_error err;
    bool ok = run(q, args, verb, &err);

    if (q->snapshot)
        pk_statement_resolved(s, q->snapshot);
    if (q->record && q->record->attempts > 0)
        pk_statement_called(s);
    pk_statement_listen(s, &q->arena);
    ok = ok && (q->no_call || verb->give(q, ctx, &err));
    pk_statement_keep(s, question, ok && q->outcome.code == PK_OK && !q->req.alone);
    if (!ok) {
        q->conn->raised++;
        pk_result_error(ctx, &err, PK_NONE);
    }
}

void pk_verb_answer(sqlite3_context *ctx, struct pk_args args, const struct pk_verb *verb)
{
    struct pk_query q = {.conn = sqlite3_user_data(ctx)};
    pk_str question;

    if (pk_args_null(args, verb->required))
        return;
    pk_arena_init(&q.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    q.conn->busy++;
    if (!pk_statement_recall(pk_statement_of(ctx, q.conn), &q.arena, verb, args, ctx, &question))
        ask(&q, ctx, args, verb, question);
    q.conn->busy--;
    if (q.snapshot)
        pk_snapshot_release(q.conn->resolver, q.snapshot);
    pk_arena_free(&q.arena);
}
