/* fn_reduce.c - pk_reduce: one answer about the texts of a group.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Rows are only kept until the group is whole; then the calls of a level (reduce.h) are a batch like pk_map's.
 */
#include "functions.h"

#include "drive.h"
#include "many.h"
#include "reduce.h"
#include "result.h"
#include "statement.h"
#include "value.h"

#include <stdlib.h>

/* A group. */
struct group {
    struct pk_arena arena;
    pk_str config, instruction, params; /* of its first row */
    pk_str *items;
    int count;
    size_t bytes;
    unsigned raised; /* conn->raised at its first row */
};

/* What SQLite keeps for it, zeroed at first. */
struct slot {
    struct group *group;
};

/* --- rows --------------------------------------------------------------------------------------- */

static struct group *new_group(const struct pk_conn *c)
{
    struct group *g = calloc(1, sizeof *g);

    if (!g)
        return NULL;
    g->raised = c->raised;
    pk_arena_init(&g->arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    return g;
}

static void free_group(struct group *g)
{
    pk_arena_free(&g->arena);
    free(g);
}

/* What all rows of a group have in common. */
static bool same(struct group *g, pk_str *kept, pk_str given, const char *name,
                 struct pk_error *err)
{
    if (g->count == 0)
        *kept = pk_copy(&g->arena, given);
    return pk_str_eq(*kept, given) ||
           pk_fail(err, PK_BAD_REQUEST, "%s: must be the same for all rows of a group", name);
}

static bool keep(struct group *g, pk_str item, struct pk_error *err)
{
    pk_str *rows = pk_alloc_row(&g->arena, g->items, g->count, sizeof *rows);

    if (!rows)
        return pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory");
    g->items = rows;
    if (item.len > PK_REDUCE_BYTES_MAX - g->bytes)
        return pk_fail(err, PK_TOO_LARGE, "pk_reduce: the items of a group are larger than %d MiB",
                       PK_REDUCE_BYTES_MAX >> 20);
    g->bytes += item.len;
    g->items[g->count++] = pk_copy(&g->arena, item);
    return !g->arena.failed || pk_fail(err, PK_NO_MEMORY, "pk_reduce: out of memory");
}

static bool take_row(struct group *g, struct pk_args args, struct pk_error *err)
{
    pk_str config, instruction, item, params;

    return pk_arg_text(args, 0, "config", PK_CONFIG_BYTES_MAX, &config, err) &&
           pk_arg_text(args, 1, "instruction", PK_BODY_BYTES_MAX, &instruction, err) &&
           pk_arg_text(args, 2, "item", PK_BODY_BYTES_MAX, &item, err) &&
           pk_arg_text(args, 3, "params", PK_BODY_BYTES_MAX, &params, err) &&
           same(g, &g->config, config, "config", err) &&
           same(g, &g->instruction, instruction, "instruction", err) &&
           same(g, &g->params, params, "params", err) && keep(g, item, err);
}

/* A row whose config, instruction or item is NULL is left out. */
void pk_fn_reduce_step(sqlite3_context *ctx, int count, sqlite3_value **values)
{
    struct pk_args args = {values, count};
    struct slot *at = sqlite3_aggregate_context(ctx, sizeof *at);
    struct pk_error err;

    (void)pk_statement_of(ctx, sqlite3_user_data(ctx));
    if (at && !at->group)
        at->group = new_group(sqlite3_user_data(ctx));
    if (!at || !at->group) {
        sqlite3_result_error_nomem(ctx);
        return;
    }
    if (pk_args_null(args, 3) || take_row(at->group, args, &err))
        return;
    ((struct pk_conn *)sqlite3_user_data(ctx))->raised++;
    pk_result_error(ctx, &err, PK_NONE);
}

/* --- the calls of a level ----------------------------------------------------------------------- */

struct level {
    struct pk_reduce *reduce;
    int at, count;
    pk_str messages; /* of the prompt that is next; its memory lasts a level */
    struct pk_arena arena;
};

static bool next(void *ctx, struct pk_many_row *row, bool *more, struct pk_error *row_error,
                 struct pk_error *err)
{
    struct level *l = ctx;

    (void)row_error;
    *more = l->at < l->count;
    if (!*more)
        return true;
    pk_arena_free(&l->arena);
    if (!pk_reduce_messages(l->reduce, l->at++, &l->arena, &l->messages, err))
        return false;
    *row = (struct pk_many_row){.has_text = true, .text = l->messages, .kind = PK_ASK_MESSAGES};
    return true;
}

/* A prompt's answer; *failed with what became of its call. */
static bool take_answer(struct level *l, const struct pk_item *item, bool *failed,
                        struct pk_error *err)
{
    const struct pk_result *r = &item->result;

    *failed = !r->ok || !r->has_content;
    if (*failed) {
        pk_result_why(r, err);
        return false;
    }
    pk_reduce_answer(l->reduce, (int)item->ord - 1, r->content);
    return true;
}

static bool ask_all(struct pk_conn *c, struct level *l, const struct group *g, pk_str params,
                    bool *failed, struct pk_error *err)
{
    struct pk_many_source source = {.next = next, .ctx = l, .name = "pk_reduce", .count = l->count};
    struct pk_many *m = pk_many_new(c, g->config, params, source, err);
    const struct pk_item *item = NULL;
    bool ok = m != NULL;

    while (ok) {
        ok = pk_many_next(m, &item, err);
        if (!ok || !item)
            break;
        ok = take_answer(l, item, failed, err);
    }
    pk_many_free(m);
    return ok;
}

/* --- the value ---------------------------------------------------------------------------------- */

static bool fit(struct pk_conn *c, const struct group *g, struct pk_reduce *r, struct pk_error *err)
{
    const struct pk_snapshot *s = pk_resolve(c->resolver, c->store, g->config, pk_clock_us(), err);
    bool ok = s && pk_reduce_fit(r, &s->config, &s->facts->prices, pk_clock_us(), err);

    if (s)
        pk_snapshot_release(c->resolver, s);
    return ok;
}

static bool reduce(struct pk_conn *c, struct group *g, pk_str *out, bool *failed,
                   struct pk_error *err)
{
    struct pk_reduce_options o;
    struct level l = {.count = 2};
    bool ok = true;

    if (!pk_reduce_options_read(&g->arena, g->params, &o, err) || !pk_conn_ready(c, err))
        return false;
    l.reduce = pk_reduce_new(&g->arena, g->instruction, g->items, g->count, &o, err);
    if (!l.reduce || !fit(c, g, l.reduce, err))
        return false;
    pk_arena_init(&l.arena, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    while (ok && l.count > 1) {
        l.at = 0;
        ok = pk_reduce_level(l.reduce, &l.count, err) && ask_all(c, &l, g, o.params, failed, err);
    }
    pk_arena_free(&l.arena);
    if (ok)
        *out = pk_reduce_value(l.reduce);
    return ok;
}

static bool interrupted(struct pk_conn *c)
{
    struct pk_interrupt p = {.db = c->db};
    bool is = pk_ride_interrupted(c, &p);

    pk_interrupt_end(&p);
    return is;
}

/* SQLite also comes here to clean up behind a statement that was interrupted, or in which a function has failed: then
 * the group is not whole, and nobody reads its value. Text has no place for an error's document: on_error "json"
 * raises. */
void pk_fn_reduce_final(sqlite3_context *ctx)
{
    struct slot *at = sqlite3_aggregate_context(ctx, 0);
    struct pk_conn *c = sqlite3_user_data(ctx);
    struct pk_error err = {0};
    bool failed = false;
    pk_str out;

    if (!at || !at->group)
        return;
    c->busy++;
    if (at->group->count == 0 || at->group->raised != c->raised || interrupted(c))
        sqlite3_result_null(ctx); /* an empty group, or none */
    else if (reduce(c, at->group, &out, &failed, &err))
        pk_result_text(ctx, out);
    else if (!(failed && c->settings.on_error == PK_GIVE_NULL))
        pk_result_error(ctx, &err, PK_NONE);
    c->busy--;
    free_group(at->group);
    at->group = NULL;
}
