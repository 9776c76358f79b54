/* statement.c - see statement.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    /* What SQLite keeps under a negative number is the statement's rather than a function's (its own json functions
     * keep their cache so). */
    SLOT = -774411,
    HINT_AFTER = 100, /* calls */
};

struct pk_statement {
    struct pk_conn *conn;
    struct pk_memo *memo;
    int64_t calls; /* one after the other */
};

/* --- the memo ------------------------------------------------------------------------------ */

/* All of it, each value with its type and length in front. */
static pk_str question_of(struct pk_arena *arena, const void *what, struct pk_args args)
{
    struct pk_buf out = pk_buf_in(arena, PK_CALL_BYTES_MAX);

    pk_buf_add(&out, (pk_str){(const char *)&what, sizeof what});
    for (int i = 0; i < args.count; i++) {
        int type = sqlite3_value_type(args.at[i]);
        const char *text = type == SQLITE_BLOB ? sqlite3_value_blob(args.at[i])
                                               : (const char *)sqlite3_value_text(args.at[i]);
        size_t front[] = {(size_t)type, (size_t)sqlite3_value_bytes(args.at[i])};

        pk_buf_add(&out, (pk_str){(const char *)front, sizeof front});
        if (text)
            pk_buf_add(&out, (pk_str){text, front[1]});
    }
    return out.failed ? PK_NONE : pk_buf_str(&out);
}

static void give(sqlite3_context *ctx, const struct pk_value_kept *v)
{
    int64_t n;
    double x;

    switch (v->kind) {
    case PK_HEARD_NOTHING: break;
    case PK_HEARD_TEXT: pk_result_text(ctx, v->bytes); break;
    case PK_HEARD_JSON: pk_result_json(ctx, v->bytes); break;
    case PK_HEARD_INT:
        memcpy(&n, v->bytes.at, sizeof n);
        sqlite3_result_int64(ctx, n);
        break;
    case PK_HEARD_REAL:
        memcpy(&x, v->bytes.at, sizeof x);
        sqlite3_result_double(ctx, x);
        break;
    case PK_HEARD_FLOATS:
        sqlite3_result_blob64(ctx, v->bytes.at, v->bytes.len, SQLITE_TRANSIENT);
        break;
    }
}

bool pk_statement_recall(struct pk_statement *s, struct pk_arena *arena, const void *what,
                         struct pk_args args, sqlite3_context *ctx, pk_str *question)
{
    *question = s ? question_of(arena, what, args) : PK_NONE;
    if (!s || !question->len)
        return false;
    const struct pk_value_kept *v = pk_memo_get(s->memo, *question);
    if (v)
        give(ctx, v);
    return v != NULL;
}

void pk_statement_listen(struct pk_statement *s, struct pk_arena *arena)
{
    if (s)
        pk_hearing = (struct pk_hearing){.arena = arena};
}

void pk_statement_keep(struct pk_statement *s, pk_str question, bool keep)
{
    if (!s)
        return;
    struct pk_value_kept v = {pk_hearing.kind, pk_hearing.bytes};

    pk_hearing = (struct pk_hearing){0};
    if (keep && question.len && v.kind != PK_HEARD_NOTHING)
        pk_memo_put(s->memo, question, &v);
}

void pk_statement_note(const char *text)
{
    sqlite3_log(SQLITE_NOTICE, "pk: %s", text);
    if (isatty(STDIN_FILENO) && isatty(STDERR_FILENO)) /* somebody waits at a shell */
        (void)fprintf(stderr, "pk: %s\n", text);
}

/* --- the hint ------------------------------------------------------------------------------ */

void pk_statement_called(struct pk_statement *s)
{
    static const char hint[] =
        "a statement makes many calls, one after the other: pk_map() makes them at the same time, "
        "and so does pk_prefetch() before it";

    if (!s || ++s->calls != HINT_AFTER + 1)
        return;
    s->conn->hint = hint;
    pk_statement_note(hint);
}

/* --- the config ---------------------------------------------------------------------------- */

void pk_statement_resolved(struct pk_statement *s, const struct pk_snapshot *snapshot)
{
    pk_str unused;

    if (s && pk_config_has_literal_key(&snapshot->config, &unused))
        pk_snapshot_hold(s->conn->resolver, &s->conn->literal, snapshot);
}

/* --- birth and death ----------------------------------------------------------------------- */

void pk_statement_join(struct pk_conn *c)
{
    struct pk_account *a = &c->settings.account;

    if (c->statements++ == 0)
        a->calls = a->cost_pusd = a->held_pusd = 0;
}

void pk_statement_leave(struct pk_conn *c)
{
    PK_ASSERT(c->statements > 0);
    if (--c->statements == 0)
        pk_snapshot_hold(c->resolver, &c->literal, NULL);
}

static void end(void *object)
{
    struct pk_statement *s = object;

    pk_statement_leave(s->conn);
    pk_conn_release(s->conn);
    pk_memo_free(s->memo);
    free(s);
}

struct pk_statement *pk_statement_of(sqlite3_context *ctx, struct pk_conn *c)
{
    struct pk_statement *s = sqlite3_get_auxdata(ctx, SLOT);
    struct pk_memo *memo = s ? NULL : pk_memo_new();

    if (s || !memo)
        return s;
    s = calloc(1, sizeof *s);
    if (!s) {
        pk_memo_free(memo);
        return NULL;
    }
    *s = (struct pk_statement){.conn = c, .memo = memo};
    c->refs++;
    pk_statement_join(c);
    sqlite3_set_auxdata(ctx, SLOT, s, end);
    return sqlite3_get_auxdata(ctx, SLOT);
}
